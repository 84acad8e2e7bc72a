"""A reversal file applied by the script that everybody writes first: pandas reads, pandera checks, SQL row by row.

plain.py URL returns.csv        prints: total <seconds>

The tables are the yardstick's; one transaction, no receipts, no answer to a line that finds nothing.
"""

import sqlite3
import sys
import time
from decimal import Decimal

import pandas as pd
import pandera.pandas as pa
import psycopg

FILE = pa.DataFrameSchema(
    {
        "ActionId": pa.Column(str),
        "Oid": pa.Column(str),
        "ActionTrackerId": pa.Column(str, pa.Check.str_matches(r"^\d*$")),
        "Amount": pa.Column(str, pa.Check.str_matches(r"^\d+(\.\d\d)?$")),
        "Reason": pa.Column(str, pa.Check.isin(["ITEM_RETURNED", "ORDER_UPDATE"])),
    }
)
OPEN = "select action_id, amount, payout, state from action where locks_at > '2027-02-01' and state = 'PENDING' and "
BY_ID, BY_OID = "action_id = ?", "tracker = ? and oid = ?"
ENTRY = "insert into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
CHANGE = "update action set amount = ?, payout = ?, state = ?, version = version + 1 where action_id = ?"


def main() -> None:
    """Read, check, apply, commit."""
    url, file = sys.argv[1:]
    began = time.perf_counter()
    lines = FILE.validate(pd.read_csv(file, dtype=str, keep_default_na=False), lazy=True)
    connect = sqlite3.connect(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else psycopg.connect(url)
    with connect as db:
        apply(db.cursor(), lines, "?" if url.startswith("sqlite") else "%s")
    print(f"total {time.perf_counter() - began:.2f}")


def apply(db: sqlite3.Cursor | psycopg.Cursor, lines: pd.DataFrame, mark: str) -> None:
    """Change each line's action, by three statements."""
    by_id, by_oid, entry, change = (one.replace("?", mark) for one in (OPEN + BY_ID, OPEN + BY_OID, ENTRY, CHANGE))
    for number, line in enumerate(lines.itertuples(index=False), 2):
        found = (
            db.execute(by_id, (line.ActionId,))
            if line.ActionId
            else db.execute(by_oid, (int(line.ActionTrackerId), line.Oid))
        )
        action = found.fetchone()
        if action is None:
            continue
        action_id, amount, payout, state = action
        new = int(Decimal(line.Amount) * 100)
        after = (new, new * 5 // 100, "PENDING" if new else "REVERSED")
        db.execute(entry, (action_id, number, line.Reason, amount, after[0], payout, after[1], state, after[2]))
        db.execute(change, (*after, action_id))


if __name__ == "__main__":
    main()
