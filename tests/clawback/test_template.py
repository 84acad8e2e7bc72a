"""Templates of open actions from the ledger to the brand and back, and the command that writes them."""

import io
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from clawback.cli import cli
from clawback.cli.running import guarded
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing.catalog import read_terms
from processing.editable import editable
from schemas.template import Kind, Row, write_filled
from tests.worlds import ARRIVED, CATALOGUE, LEAD, SID, Sale, codes, dump, ingest, load

Run = Callable[..., tuple[int, bytes, str]]

LATER = "2099-01-01T00:00:00Z"
SALES = [
    Sale("A-1", "00123"),
    Sale("A-2", "=1+1", "0"),
    Sale("A-3", "O-3", "5000", "JPY"),
    Sale("A-4", "O-4", partner=502),
    Sale("A-5", "O-5"),
    Sale("A-6", "O-6", "0"),
]


def template(desk: Desk, kind: Kind, reason: str) -> bytes:
    """A template of all open actions, its reasons filled in."""
    out = io.BytesIO()
    with desk.store.read() as db:
        found = editable(db, read_terms(db, SID), at=ARRIVED)
        rows: list[Row] = [(one.action_id, "", str(one.event_type), one.amount, reason) for one in found]
    write_filled(kind, rows, out)
    return out.getvalue()


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Open actions in several states: pending, reversed, of another currency, free of charge."""
    load(desk, tmp_path, SALES)
    ingest(desk, "ActionId,Amount,Reason\nA-5,0,ITEM_RETURNED\n")
    return desk


@pytest.mark.parametrize("kind", ["order-csv", "order-xml"])
def test_a_template_left_as_it_is_changes_nothing(loaded: Desk, kind: Kind) -> None:
    """A brand that forgets the reasons hears so on each line."""
    before = dump(loaded.store)["action"]
    receipt = ingest(loaded, template(loaded, kind, ""), name=f"template.{kind[-3:]}")
    assert [(verdict, code) for _, verdict, code in codes(receipt)] == [("rejected", "REASON_MISSING")] * 6
    assert dump(loaded.store)["action"] == before


@pytest.mark.parametrize("kind", ["order-csv", "order-xml"])
def test_an_amount_left_as_it_is_changes_nothing(loaded: Desk, kind: Kind) -> None:
    """A line with a reason and its old amount is unchanged, a reversed action's too."""
    before = dump(loaded.store)["action"]
    receipt = ingest(loaded, template(loaded, kind, "OTHER"), name=f"template.{kind[-3:]}")
    assert receipt["rows"]["unchanged"] == receipt["rows"]["read"] == 6
    assert dump(loaded.store)["action"] == before


def test_a_template_without_lines_does_no_harm(loaded: Desk) -> None:
    """Of an account with nothing open there is a header, and a file of a header alone is rejected."""
    out = io.BytesIO()
    write_filled("order-csv", [], out)
    assert ingest(loaded, out.getvalue())["code"] == "NO_LINES"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with actions that stay open, one of them with an id that looks like a number."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "catalogue.toml").write_text(CATALOGUE)
    with open_desk(Settings(state=folder / "var"), lambda: datetime.fromisoformat("2027-01-20T00:00:00Z")) as desk:
        load(desk, folder, [Sale("A-1", "=1+1", locks_at=LATER), Sale("1000.10", "O-2", "20.00", locks_at=LATER)])
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """``clawback template`` in the installation: its exit code, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith("CLAWBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["clawback", "template", *arguments])
        code = guarded(cli)
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return call


FILLED = (
    b"\xef\xbb\xbf"
    b'"ActionId","Oid","ActionTrackerId","Amount","Reason"\n'
    b'"A-1","","16027","100.00",""\n'
    b'"1000.10","O-2","16027","20.00",""\n'
)


def test_open_actions_are_printed(run: Run) -> None:
    """Stdout holds the file and nothing else; what a person should know stands on stderr."""
    code, out, err = run("order-csv", "--editable-actions", "--account", SID)
    assert (code, out) == (0, FILLED)
    assert err.startswith("1 action ids look like numbers or days")
    code, out, err = run("order-csv", "--editable-actions", "--account", SID, "--event-type", str(LEAD))
    assert (code, out, err) == (0, FILLED.splitlines(keepends=True)[0], "No action is open; the file has no lines.\n")


def test_examples_need_no_installation(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template of examples is there before anything was loaded, with the event type that was asked for."""
    monkeypatch.chdir(tmp_path)
    code, out, err = run("item-csv", "--event-type", "4711")
    assert (code, out.splitlines()[-1], err) == (0, b",ORDER-20931,4711,ORDER_UPDATE,SOCK-7,,2,12.00", "")
    assert list(tmp_path.iterdir()) == []


def test_open_actions_are_written_to_a_file(run: Run, tmp_path: Path) -> None:
    """A file appears whole; a spreadsheet needs no warning."""
    code, out, _ = run("order-csv", "--editable-actions", "--account", SID, "--out", f"{tmp_path}/open.csv")
    assert (code, out) == (0, f"2 lines written to {tmp_path}/open.csv.\n".encode())
    assert (tmp_path / "open.csv").read_bytes() == FILLED
    code, _, err = run("order-csv", "--editable-actions", "--account", SID, "--out", f"{tmp_path}/open.XLSX")
    assert (code, err) == (0, "")
    assert (tmp_path / "open.XLSX").read_bytes().startswith(b"PK")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["open.XLSX", "open.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["order-pdf"], "'order-pdf' is not one of"),
        (["order-csv", "--editable-actions"], "--editable-actions and --account go together"),
        (["order-csv", "--account", SID], "--editable-actions and --account go together"),
        (["order-xml", "--out", "open.xlsx"], "is no XML"),
        (["order-csv", "--editable-actions", "--account", "IRnobody"], "There is no account IRnobody"),
        (["order-csv", "--editable-actions", "--account", SID, "--event-type", "7"], "has no event type 7"),
        (["order-csv", "--out", "nowhere/open.csv"], "nowhere/open.csv cannot be written"),
    ],
)
def test_what_cannot_be_had_is_said(run: Run, folder: Path, arguments: list[str], message: str) -> None:
    """Exit code 2, a sentence, and no file."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    assert message in err
    assert list(folder.glob("open*")) == []
