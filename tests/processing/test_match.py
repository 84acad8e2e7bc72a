from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from clawback.wiring import Desk
from processing.catalog import read_terms
from processing.columns import NONE
from processing.match import NOBODY, Matched, match, recall
from processing.tables import account, action
from tests.worlds import LEAD, OTHER_SID, SALE, SID, Sale, load

EARLIER, LATER = "2027-01-15T16:00:00Z", "2027-01-15T16:00:00.000001Z"
SALES = [
    Sale("A-1", "O-1", created_at=EARLIER),
    Sale("A-2", "O-1", created_at=LATER, status="NEW"),
    Sale("A-3", "O-1", created_at=EARLIER),
    Sale("A-4", "O-1", "40.00", event_type=LEAD),
    Sale("A-5", "O-2", created_at=EARLIER),
    Sale("A-6", "O-2", created_at=EARLIER),
    Sale("A-7"),
    Sale("A-1", "O-1", "5000", "JPY", event_type=26027, program=2000),
    Sale("A-8", "O-8", "5000", "JPY", event_type=26027, program=2000),
]


def matched(desk: Desk, folder: Path, *lines: tuple[str | None, str | None, int | None], sid: str = SID) -> Matched:
    """Match lines of (action id, order id, event type) to the actions above."""
    load(desk, folder, SALES)
    frame = pd.DataFrame(lines, columns=["action_id", "order_id", "event_type"]).astype({"event_type": "Int64"})
    with desk.store.write() as db:
        return match(db, read_terms(db, sid).account_id, frame)


def names(desk: Desk, found: Matched) -> list[str]:
    """The ids of the matched actions."""
    with desk.store.read() as db:
        known = dict(db.execute(select(action.c.id, action.c.action_id)).tuples().all())
    return [known[number] for number in found.actions.id.tolist()]


@pytest.mark.parametrize(
    ("case", "line", "action_id", "candidates"),
    [
        ("by its id", ("A-1", None, None), "A-1", 1),
        ("its id before its order", ("A-1", "O-2", SALE), "A-1", 1),
        ("an id of nobody before a known order", ("A-9", "O-1", SALE), None, 0),
        ("the newest of its order", (None, "O-1", SALE), "A-2", 3),
        ("the order of another event type", (None, "O-1", LEAD), "A-4", 1),
        ("loaded last among equally new ones", (None, "O-2", SALE), "A-6", 2),
        ("an order without its event type", (None, "O-1", None), None, 0),
        ("an order of nobody", (None, "O-9", SALE), None, 0),
        ("an order in another case", (None, "o-1", SALE), None, 0),
        ("another account's action", ("A-8", None, None), None, 0),
        ("another account's order", (None, "O-8", 26027), None, 0),
    ],
)
def test_which_action_a_line_means(
    case: str,
    line: tuple[str | None, str | None, int | None],
    action_id: str | None,
    candidates: int,
    desk: Desk,
    tmp_path: Path,
) -> None:
    """By action id, or by order id and event type, where the newest wins; never another account's."""
    found = matched(desk, tmp_path, line)
    row = int(found.row[0])
    of = None if row == NOBODY else names(desk, found)[row]
    assert (of, int(found.candidates[0])) == (action_id, candidates), case


def test_an_action_stands_once_however_many_lines_mean_it(desk: Desk, tmp_path: Path) -> None:
    """Lines share the row of their action, with all its values; lines that mean nobody have none."""
    found = matched(desk, tmp_path, ("A-2", None, None), ("A-9", None, None), (None, "O-1", SALE), ("A-7", None, None))
    assert len(found.actions) == 2
    assert [names(desk, found)[row] for row in found.row[[0, 2, 3]]] == ["A-2", "A-2", "A-7"]
    assert found.row[1] == NOBODY
    assert found.actions.customer_status[found.row[[0, 3]]].tolist() == ["NEW", None]
    assert found.actions.amount.tolist() == [10_000, 10_000]


def test_the_same_id_in_two_accounts_is_two_actions(desk: Desk, tmp_path: Path) -> None:
    """Each account finds its own."""
    found = matched(desk, tmp_path, ("A-1", None, None), sid=OTHER_SID)
    assert (found.actions.currency.tolist(), found.actions.amount.tolist()) == (["JPY"], [5_000])
    with desk.store.read() as db:
        assert set(db.execute(select(account.c.sid)).scalars()) == {SID, OTHER_SID}


def test_what_an_action_was_is_recalled_for_the_lines_that_ask(desk: Desk, tmp_path: Path) -> None:
    """Only the rows asked for are filled, each with its own action's values."""
    found = matched(desk, tmp_path, ("A-2", None, None), ("A-7", None, None), ("A-4", None, None))
    with desk.store.read() as db:
        recall(db, found.actions, np.zeros(0, dtype=np.int64))
        assert set(found.actions.tracked_payout) == {NONE}
        recall(db, found.actions, found.row[[2, 0]])
    told = [(int(found.actions.tracked_payout[row]), found.actions.tracked_status[row]) for row in found.row]
    assert told == [(500, "NEW"), (NONE, None), (200, None)]
