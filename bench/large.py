"""Measures a large file against the yardstick and against what people use instead; prints a section of the results.

    .venv/bin/python bench/large.py --rivals .venv/rivals/bin/python
    .venv/bin/python bench/large.py --actions 100000 --lines 20000 --bad 20000 --long 60000

1,000,000 lines onto 5,000,000 actions; then, on the same store, a file of which no line is right, and a file three
times as long, whose peak memory is to be that of the first. Beside it stand a script of pandas, pandera and SQL row by
row and, where ``--rivals`` names a Python that has dlt, a dlt pipeline that merges by key.
"""

import argparse
import csv
import random
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from run import CLAWBACK, ROOT, STORES, YARDSTICK, Run, empty_store, loaded, prepared, run

RIVALS = ROOT / "bench" / "rivals"
WANTED = {"sqlite": 2.5, "postgresql": 1.5}
WANTED_BAD_S = 15
WANTED_MIB = 512
HEAD = ["ActionId", "Oid", "ActionTrackerId", "Amount", "Reason"]
VACUUM = {"sqlite": "vacuum", "postgresql": "vacuum full analyze action"}
# Exit code of a file that has an answer, but was not applied as a whole.
ANSWERED = (0, 3)


@dataclass(frozen=True, slots=True)
class Measured:
    """One store's figures; seconds."""

    yardstick_s: float
    plain_s: float
    dlt_s: float | None
    ingest: Run
    bad: Run
    long: Run


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--actions", type=int, default=5_000_000)
    ask.add_argument("--lines", type=int, default=1_000_000)
    ask.add_argument("--bad", type=int, default=600_000)
    ask.add_argument("--long", type=int, default=3_000_000)
    ask.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    ask.add_argument("--yardstick", type=Path, default=YARDSTICK)
    ask.add_argument("--python", default=sys.executable, help="of an installation without what only the tests need")
    ask.add_argument("--rivals", default="", help="a Python that has dlt")
    asked = ask.parse_args()
    with prepared(asked) as folder:
        write_files(folder, asked)
        print(report(asked, {store: measure(store, folder, asked) for store in asked.stores}))


def write_files(folder: Path, asked: argparse.Namespace) -> None:
    """The file that dlt merges, the one without a good line, and the long one, whose actions the first leaves alone."""
    taken = [(number_of(line), line) for line in rows(folder / "returns.csv")]
    merged = ([action_id(number), line["Amount"].replace(".", ""), line["Reason"]] for number, line in taken)
    write(folder / "merged.csv", ["action_id", "amount", "reason"], merged)
    write(folder / "bad.csv", HEAD, (bad_line(number) for number in range(asked.bad)))
    free = sorted(set(range(asked.actions)) - {number for number, _ in taken})
    chosen = sorted(random.Random(7).sample(free, asked.long))  # noqa: S311 - a sample
    write(folder / "long.csv", HEAD, (good_line(place, number) for place, number in enumerate(chosen)))


def rows(file: Path) -> Iterator[dict[str, str]]:
    """A CSV file's lines."""
    with file.open(newline="") as lines:
        yield from csv.DictReader(lines)


def write(file: Path, head: list[str], lines: Iterable[list[object]]) -> None:
    """Write a CSV file."""
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([head])
        csv.writer(out).writerows(lines)


def number_of(line: dict[str, str]) -> int:
    """The number of the action that the yardstick's line names by its id or by its order."""
    return int(re.split(r"[.-]", line["ActionId"] or line["Oid"])[-1])


def action_id(number: int) -> str:
    """The id that the yardstick gives to this action."""
    return f"1000.{4000 + number % 97}.{number:08d}"


def good_line(place: int, number: int) -> list[object]:
    """A line nearly as the yardstick writes it: half by id, half by order; a tenth reverse, as with more it is held."""
    key = [action_id(number), "", ""] if place % 2 else ["", f"ORD-{number:09d}", 16027]
    return (
        [*key, "0", "ITEM_RETURNED"] if place % 20 < 2 else [*key, f"{number * 11 % 500 / 100 + 1:.2f}", "ORDER_UPDATE"]
    )


def bad_line(number: int) -> list[object]:
    """A line with one of four faults."""
    fault = number % 4
    amount = {1: "12,34,5", 2: "1e3"}.get(fault, "12.34")
    key = [f"ORD-{number:09d}", "sixteen" if fault == 3 else 16027] if fault else ["", ""]
    return ["", *key, amount, "ORDER_UPDATE"]


def measure(store: str, folder: Path, asked: argparse.Namespace) -> Measured:
    """Each of the ways on one store, one after the other."""
    with empty_store(store, folder / store) as url:
        ours, theirs = url, url.replace("/clawback?", "/postgres?")
        if store == "sqlite":
            theirs = f"sqlite:///{folder / 'yardstick.db'}"
        verb = ["sqlite", folder] if store == "sqlite" else ["postgres", folder, theirs]
        yardstick_s = total(run([sys.executable, asked.yardstick, *verb]))
        sql(theirs, "update action set state = 'PENDING'", "delete from entry", VACUUM[store])
        plain_s = total(run([asked.python, RIVALS / "plain.py", theirs, folder / "returns.csv"]))
        dlt_s = merge(theirs, folder, asked.rivals) if asked.rivals else None
        environ, _ = loaded(ours, folder, asked.python)
        words = [asked.python, *CLAWBACK, "ingest", "--account", "IRbench"]
        ingest, bad, long = (
            run([*words, folder / f"{file}.csv"], environ, ANSWERED) for file in ("returns", "bad", "long")
        )
    found = Measured(yardstick_s, plain_s, dlt_s, ingest, bad, long)
    print(store, found, ingest.out, bad.out, long.out, sep="\n", file=sys.stderr)
    assert " 0 held" in long.out, "the long file was not applied"
    return found


def merge(url: str, folder: Path, python: str) -> float:
    """The seconds of the dlt pipeline, on a table that holds every action already."""
    pipelines = folder / f"dlt-{'sqlite' if url.startswith('sqlite') else 'postgresql'}"
    words = [python, RIVALS / "dlt_merge.py", url, pipelines]
    run([*words, "first"])
    table = "changed" if url.startswith("sqlite") else "merged.changed"
    fill = f"insert into {table} (action_id, amount, reason) select action_id, amount, 'ORDER_UPDATE' from action"  # noqa: S608
    sql(url, fill, f"create index changed_action on {table} (action_id)")
    if url.startswith("sqlite"):
        # Without it each row of the table is looked for in the whole file: 180 s for 20,000 lines onto 100,000.
        staging = url.replace("yardstick.db", "yardstick__main_staging.db")
        sql(staging, "create index staged_action on changed (action_id)")
    return total(run([*words, folder / "merged.csv"]))


def sql(url: str, *statements: str) -> None:
    """Carry out statements, each in a transaction of its own."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        connection = psycopg.connect(url, autocommit=True)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def total(done: Run) -> float:
    """The seconds that a process says it took."""
    found = re.search(r"total ([\d.]+)", done.out)
    assert found, done.out
    return float(found[1])


def report(asked: argparse.Namespace, results: dict[str, Measured]) -> str:
    """The section, as Markdown."""
    head = f"""{asked.lines:,} lines onto {asked.actions:,} actions, {asked.bad:,} lines without a good one, and
{asked.long:,} lines; one round, seconds. The script is pandas, pandera and SQL row by row; dlt merges by key, without
validation.

| store | yardstick | clawback ingest | times (wanted) | script | dlt | all bad (wanted) | {asked.long:,} lines |
|---|---|---|---|---|---|---|---|
"""
    lines = [
        f"| {store} | {one.yardstick_s:.1f} | {one.ingest.wall_s:.1f} | {one.ingest.wall_s / one.yardstick_s:.1f}"
        f" ({WANTED[store]}) | {one.plain_s:.1f} | {'not there' if one.dlt_s is None else f'{one.dlt_s:.1f}'}"
        f" | {one.bad.wall_s:.1f} ({WANTED_BAD_S}) | {one.long.wall_s:.1f} |"
        for store, one in results.items()
    ]
    peaks = ["", f"Peak memory, MiB ({WANTED_MIB} wanted):", ""]
    peaks += [f"| store | {asked.lines:,} lines | all bad | {asked.long:,} lines |", "|---|---|---|---|"]
    peaks += [
        f"| {store} | {one.ingest.peak_mib:.0f} | {one.bad.peak_mib:.0f} | {one.long.peak_mib:.0f} |"
        for store, one in results.items()
    ]
    return head + "\n".join(lines + peaks)


if __name__ == "__main__":
    main()
