"""Every sample cut at every byte: nothing of half a file is applied.

Each cut is decided by the code that ingests deliveries, in a transaction that is rolled back; some go the whole way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from clawback.intake import arrival_of
from clawback.preview import preview
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing.errors import Unreadable
from schemas.document import Document
from tests.conftest import Clock
from tests.schemas.test_containers import gzipped, zipped
from tests.workbooks import table
from tests.worlds import CATALOGUE, SID, WITH_TRAILERS, Sale, ingest, lines, load, values, written

HEADER: Final = "ActionId,Amount,Reason"
ROWS: Final = ("A-1,40.05,ORDER_UPDATE", "A-2,0,ITEM_RETURNED", "A-3,7.5,ORDER_UPDATE")
CSV: Final = lines(HEADER, *ROWS).encode()
WITH_TRAILER: Final = lines(HEADER, *ROWS, "#TRAILER,3,47.55").encode()
RECORD: Final = (
    "<ModificationRequest><ActionId>{}</ActionId><Amount>{}</Amount><Reason>{}</Reason></ModificationRequest>"
)
XML: Final = (
    f"<ModificationRequests>{''.join(RECORD.format(*row.split(',')) for row in ROWS)}</ModificationRequests>"
).encode()
XLSX: Final = table(HEADER.split(","), *(row.split(",") for row in ROWS))
PROVEN: Final = {
    "csv-with-trailer": WITH_TRAILER,
    # Its sum cannot be compared, so the trailer's own end counts.
    "csv-with-trailer-and-bad-lines": lines(HEADER, *ROWS, "A-3,x,OTHER", "A-3", "#TRAILER,5,48.55").encode(),
    "xml": XML,
    "gz": gzipped(WITH_TRAILER),
    "gz-of-xml": gzipped(XML),
    "zip": zipped({"a.csv": WITH_TRAILER}),
    "zip-of-several": zipped({"a.csv": WITH_TRAILER, "b.xml": XML}),
    "utf-16-with-trailer": WITH_TRAILER.decode().encode("utf-16"),
}


@contextmanager
def world(folder: Path, catalogue: str = CATALOGUE) -> Iterator[Desk]:
    """Three actions of Acme Outdoor, in an embedded store: reading a file does not depend on the store."""
    with open_desk(Settings(state=folder), Clock()) as desk:
        load(desk, folder, [Sale("A-1"), Sale("A-2"), Sale("A-3")], catalogue=catalogue)
        yield desk


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An account whose CSV files end with a trailer: without one, a cut between two lines shows nothing."""
    with world(tmp_path_factory.mktemp("state"), WITH_TRAILERS) as desk:
        yield desk


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Desk]:
    """An account whose files have no trailer."""
    with world(tmp_path) as desk:
        yield desk


def previewed(desk: Desk, folder: Path, content: bytes) -> dict[str, Any]:
    """What would become of these bytes."""
    file = written(folder, "returns", content)
    return preview(desk, arrival_of(file, event_type=None, again=False, received_at=Clock()()), SID, file)


def applied(desk: Desk, folder: Path, content: bytes) -> int:
    """How many lines of these bytes would be applied, in all files of a container."""
    receipt = previewed(desk, folder, content)
    return sum(int(one["rows"]["applied"]) for one in [receipt, *receipt.get("files", [])])


@pytest.mark.parametrize("sample", PROVEN)
def test_nothing_of_a_file_that_proves_its_end_is_applied_when_it_is_cut(
    loaded: Desk, tmp_path: Path, sample: str
) -> None:
    """At every byte but behind the last that carries anything: then the file is whole but for a line break."""
    content = PROVEN[sample]
    breaks = {"csv-with-trailer": 1, "utf-16-with-trailer": 2}.get(sample, 0)
    assert applied(loaded, tmp_path, content) >= 3
    assert {end: applied(loaded, tmp_path, content[:end]) for end in range(len(content) - breaks)} == dict.fromkeys(
        range(len(content) - breaks), 0
    )
    assert applied(loaded, tmp_path, content[: len(content) - breaks]) == applied(loaded, tmp_path, content)


def test_nothing_of_an_xlsx_is_applied_when_it_is_cut(loaded: Desk, tmp_path: Path) -> None:
    """Its list of parts stands at its end, so none of its rows is read; a cut in 40 goes before the ledger, too."""
    assert applied(loaded, tmp_path, XLSX) == 3
    for end in range(len(XLSX)):
        with pytest.raises(Unreadable):
            Document.open(written(tmp_path, "returns", XLSX[:end]), "returns.xlsx")
        assert end % 40 or applied(loaded, tmp_path, XLSX[:end]) == 0


def test_without_a_trailer_a_cut_inside_a_line_is_held_and_one_at_a_line_end_applies_whole_lines_exactly_as_sent(
    plain: Desk, tmp_path: Path
) -> None:
    """A last line that ends is all that such a file has to show: where it is cut there, nobody can see it."""
    ends = {at + 1 for at, byte in enumerate(CSV) if byte == ord("\n")}
    for end in range(len(CSV)):
        receipt = previewed(plain, tmp_path, CSV[:end])
        rows = receipt["rows"]
        if end not in ends:
            assert (receipt["state"], rows["applied"]) in {("held", 0), ("rejected", 0)}, end
            continue
        whole = CSV[:end].count(b"\n") - 1
        assert (rows["read"], rows["applied"]) == (whole, whole)
        assert receipt["lines"] == []


@pytest.mark.parametrize("sample", PROVEN)
def test_some_cuts_the_whole_way(tmp_path: Path, sample: str) -> None:
    """Through the spool into the ledger: the actions are as before, and the brand is told."""
    content = PROVEN[sample]
    with world(tmp_path, WITH_TRAILERS) as desk:
        for end in (len(content) // 3, len(content) * 2 // 3, len(content) - 4):
            assert ingest(desk, content[:end])["state"] in {"rejected", "held"}
        untouched = ("PENDING", "100.00", "5.00")
        assert [values(desk.store, action_id) for action_id in ("A-1", "A-2", "A-3")] == [untouched] * 3
        assert ingest(desk, content)["state"] in {"done", "unpacked"}
        assert values(desk.store, "A-2") == ("REVERSED", "0.00", "0.00")
