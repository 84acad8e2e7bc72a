"""Every case by which the connector is judged has a test that runs: ``test_s01_…`` is one of case 1."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[2]
CASES: Final = {
    1: "a commit nine minutes after a newer row was read",
    2: "a commit after fifty minutes, whether the org tells what is covered or not",
    3: "2,500 equal stamps over the end of a page",
    4: "a record that changes while its pages are read",
    5: "a crash after each step",
    6: "clocks that are wrong, summer time, instants without a zone",
    7: "a day of polls that find nothing",
    8: "coverage that stands still for three days",
    9: "the limit of calls on page two",
    10: "random worlds: the ledger is what the org says, and other cursors lose updates",
    11: "a floor that only rises, and never too far",
    12: "the same window a hundred times",
    13: "two workers and one row",
    14: "poll, message and look-up at the same instant",
    15: "won, lost, won, lost",
    16: "a field of no interest that is touched a thousand times",
    17: "a message that is older than the last poll",
    18: "two changes in a second",
    19: "a person's decision that outlives a touch",
    20: "a change before, at and after the lock",
    21: "the look-up finds what the cursor has missed",
    22: "an org that is down over the lock, by both policies",
    23: "what proves a change that came too late",
    24: "every outcome, and a record that is open again",
    25: "a status without a mapping, renamed, by its label, in another case",
    26: "a status that is a formula",
    27: "an order with several records",
    28: "cents, yen, no amount, another currency",
    29: "leads that are converted, merged, deleted and restored",
    30: "a status of an item's order",
    31: "hostile orders and hostile names of fields",
    32: "client credentials and assertions, good and bad",
    33: "a session that has expired, whatever says so",
    34: "statuses that pass",
    35: "an org that hangs",
    36: "an answer that is cut, or no JSON",
    37: "an org that moves",
    38: "calls that are left, in both shapes",
    39: "secrets in no log and no error",
    40: "proxies and authorities",
    41: "messages as they are on the wire",
    42: "what is acknowledged is durable",
    43: "a wrong org, action or object",
    44: "hostile XML",
    45: "messages twice, in any order, for a day",
    46: "an answer to a message while the org hangs",
    47: "a notification that cannot be used beside others",
    48: "the list of what is right and wrong, by each rule",
    49: "a first reading that does what its preview says",
    50: "a report that adds up",
    51: "the answers that other clients were tested with",
    52: "the pages and sessions of an emulator",
    53: "the replay of a session that was recorded with an org",
}
WITHOUT: Final = {53: "There is no org yet to record one with."}
_NAME: Final = re.compile(r"test_s(\d\d)_\w+")
# What lets a test pass without having run.
_SKIPS: Final = {
    *("collect_ignore", "collect_ignore_glob", "importorskip", "skip", "skipif", "skipIf", "skipUnless"),
    *("SkipTest", "xfail"),
}


def cases_of(module: ast.Module) -> Iterator[int]:
    """The numbers of the cases that a module's tests are of."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and (found := _NAME.fullmatch(node.name)):
            yield int(found[1])


def skips_of(module: ast.Module) -> set[str]:
    """What a module uses to leave tests out."""
    named = [getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(module)]
    imported = [name.name for node in ast.walk(module) if isinstance(node, ast.ImportFrom) for name in node.names]
    return _SKIPS & {*named, *imported}


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    """All that belongs to the tests."""
    return {path: ast.parse(path.read_text()) for path in TESTS.rglob("*.py")}


def test_every_case_has_a_test(modules: dict[Path, ast.Module]) -> None:
    """But for those of which is said why not."""
    collected = [module for path, module in modules.items() if path.name.startswith("test_")]
    assert {number for module in collected for number in cases_of(module)} == CASES.keys() - WITHOUT.keys()
    assert [*CASES] == list(range(1, 54))


def test_no_test_is_left_out(modules: dict[Path, ast.Module]) -> None:
    """What cannot run here fails, and what is parametrized has parameters, or it is not collected."""
    found = {path: skips_of(module) for path, module in modules.items()}
    assert {path: skips for path, skips in found.items() if skips} == {}


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip\ndef test_s01_it(): ...",
        "pytestmark = pytest.mark.skipif(True, reason='')",
        "def test_s01_it():\n    pytest.skip('no org')",
        "from pytest import importorskip as need",
        "collect_ignore = ['test_cursor.py']",
        "@mark.xfail\ndef test_s01_it(): ...",
    ],
)
def test_what_leaves_a_test_out_is_found(text: str) -> None:
    """Wherever it stands."""
    assert skips_of(ast.parse(text))


def test_a_test_that_is_not_collected_is_none() -> None:
    """One inside of another, or of another name."""
    text = "def outer():\n    def test_s01_it(): ...\ndef s02_it(): ...\ndef test_s3_it(): ...\ndef test_s04_it(): ..."
    assert list(cases_of(ast.parse(text))) == [4]
