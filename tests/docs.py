"""The parts of the guides that are made from the code: ``python -m tests.docs`` writes them anew.

In a guide such a part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from processing.codes import Code, Scope, Verdict
from processing.reasons import FOR_BOTH, FOR_MODIFICATIONS_ONLY, FOR_REVERSALS_ONLY, RESET
from schemas.template import KINDS, Kind, examples, is_xml, write_examples

ROOT: Final = Path(__file__).parent.parent
GUIDES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_PART: Final = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def made(text: str) -> str:
    """A guide with its generated parts as the code makes them now."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n{found[3]}", text)


def parts_of(text: str) -> list[str]:
    """The names of the generated parts of a guide."""
    return [found["name"] for found in _PART.finditer(text)]


def _template(kind: Kind) -> str:
    out = io.BytesIO()
    write_examples(kind, examples(kind), out)
    return f"```{'xml' if is_xml(kind) else 'text'}\n{out.getvalue().decode()}```\n"


def _reasons() -> str:
    uses = {
        "a change or a reversal": FOR_BOTH,
        "a change": FOR_MODIFICATIONS_ONLY,
        "a reversal (an amount of 0 is one for any reason)": FOR_REVERSALS_ONLY,
        "bringing the action back to how it was tracked": {RESET},
    }
    rows = [[", ".join(f"`{code}`" for code in sorted(codes)), use] for use, codes in uses.items()]
    return _table(["reason", "can be given for"], rows)


def _codes() -> str:
    return "\n".join(f"### {title}\n\n{_of(codes)}" for title, codes in _groups() if codes)


def _groups() -> Iterator[tuple[str, list[Code]]]:
    about = {Scope.LINE: "Lines that are {}", Scope.DELIVERY: "Deliveries that are {}"}
    for scope, title in about.items():
        for verdict in Verdict:
            yield title.format(verdict.value), [each for each in Code if _is(each, scope, verdict)]
    yield "Notices, with whatever verdict a line has", [each for each in Code if _is(each, Scope.NOTICE, None)]


def _is(code: Code, scope: Scope, verdict: Verdict | None) -> bool:
    return (code.meaning.scope, code.meaning.verdict) == (scope, verdict)


def _of(codes: Iterable[Code]) -> str:
    rows = [[f"`{each}`", _shown(each.meaning.sentence), each.meaning.next_step] for each in codes]
    return _table(["code", "cause", "next step"], rows)


def _shown(sentence: str) -> str:
    if sentence == "{reason}":
        return "The message says why."
    return sentence.replace("{suggestion}", "").replace("{", "*{").replace("}", "}*")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


PARTS: Final[dict[str, Callable[[], str]]] = {
    **{f"template {kind}": partial(_template, kind) for kind in KINDS},
    "reasons": _reasons,
    "codes": _codes,
}


def main() -> None:
    """Write the generated parts of all guides."""
    for guide in GUIDES:
        before = guide.read_text("utf-8")
        after = made(before)
        guide.write_text(after, "utf-8")
        sys.stdout.write(f"{guide.relative_to(ROOT)}: {'unchanged' if after == before else 'written'}\n")


if __name__ == "__main__":
    main()
