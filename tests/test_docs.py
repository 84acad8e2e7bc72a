"""The guides say what is so: their generated parts, the commands they name, and where their links lead."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clawback.cli import cli
from processing.intent import LARGEST_MINOR
from processing.money import to_minor
from tests.docs import GUIDES, PARTS, ROOT, made, parts_of

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`clawback\s([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def read(guide: Path) -> str:
    """A guide's text."""
    return guide.read_text("utf-8")


def typed(text: str) -> list[list[str]]:
    """The words of each ``clawback`` command that a guide shows as typed at a prompt."""
    found = []
    for _, block in _FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ clawback "):
                words = shlex.split(line, comments=True)[2:]
                found.append(list(itertools.takewhile(lambda word: word not in {">", "|", "&&"}, words)))
    return found


def mentioned(text: str) -> list[list[str]]:
    """The words of each command that a guide names in passing: ``a|b`` is either, ``[…]`` may be left out."""
    found = []
    for span in _SPAN.findall(_FENCED.sub("", text)):
        either = [word.split("|") for word in re.sub(r"[\[\]…]", "", span).split()]
        found += [list(words) for words in itertools.product(*either)]
    return found


def fault(words: list[str], *, whole: bool) -> str | None:
    """What is wrong with a command, parsed and not run; ``whole`` if nothing that it needs may be missing."""
    command: click.Command = cli
    context = click.Context(cli, info_name="clawback")
    while isinstance(command, click.Group) and words:
        child = command.get_command(context, words[0])
        if child is None:
            return f"{context.command_path} has no command {words[0]}"
        context = click.Context(child, parent=context, info_name=words[0])
        command, words = child, words[1:]
    if isinstance(command, click.Group):
        return f"{context.command_path} is not a whole command" if whole else None
    try:
        values, left, _ = command.make_parser(context).parse_args(words)
        if left:
            return f"{context.command_path} takes no {left}"
        for parameter in command.params if whole else []:
            # Files that a guide names need not be there.
            if not isinstance(parameter.type, click.Path):
                parameter.handle_parse_result(context, values, [])
            elif parameter.required and not isinstance(values.get(parameter.name or ""), str):
                return f"{context.command_path} needs {parameter.name}"
    except click.UsageError as error:
        return f"{context.command_path}: {error.format_message()}"
    return None


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_generated_parts_are_up_to_date(guide: Path) -> None:
    """If this fails, run ``python -m tests.docs`` and read the diff."""
    assert read(guide) == made(read(guide))


def test_every_generated_part_stands_in_one_guide() -> None:
    """Nothing is generated for nobody, and no mark is misspelt."""
    assert sorted(name for guide in GUIDES for name in parts_of(read(guide))) == sorted(PARTS)
    marks = sum(read(guide).count("<!-- generated: ") for guide in GUIDES)
    assert marks == len(PARTS) == sum(read(guide).count("<!-- end -->") for guide in GUIDES)


def _commands() -> Iterator[tuple[str, list[str], bool]]:
    for guide in GUIDES:
        yield from ((guide.name, words, True) for words in typed(read(guide)))
        yield from ((guide.name, words, False) for words in mentioned(read(guide)))


def test_every_command_in_the_guides_exists() -> None:
    """Commands are parsed with their options and values; examples at a prompt are whole."""
    commands = list(_commands())
    assert len([whole for _, _, whole in commands if whole]) >= 10
    found = [(guide, fault(words, whole=whole)) for guide, words, whole in commands]
    assert [each for each in found if each[1]] == []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("```console\n$ clawback ingest x.csv --account IR1 --preview  # as told\n```", [None]),
        ("```console\n$ clawback ingest x.csv \\\n  --account IR1 > y\n```", [None]),
        ("```console\n$ clawback ingest x.csv\n```", ["--account"]),
        ("```console\n$ clawback ingest --account IR1\n```", ["clawback ingest needs file"]),
        ("```console\n$ clawback ingest x.csv y.csv --account IR1\n```", ["clawback ingest takes no ['y.csv']"]),
        ("```console\n$ clawback ingest x --account I --event-type y\n```", ["'y' is not a valid integer"]),
        ("```console\n$ clawback template pdf\n```", ["'pdf' is not one of"]),
        ("```console\n$ clawback deliveries\n```", ["clawback deliveries is not a whole command"]),
        ("Say `clawback\ndeliveries release|reject ID`, or `clawback lock`.", [None, None, None]),
        ("Say `clawback deliveries show|unmake ID`.", [None, "clawback deliveries has no command unmake"]),
        ("Say `clawback ingest FILE [--perhaps]`.", ["--perhaps"]),
        ("Say `clawback accounts password … --channel ftp`.", [None]),
    ],
)
def test_wrong_commands_are_found(text: str, faults: list[str | None]) -> None:
    """The check would notice a command, option or value that is not there, and one that is missing."""
    found = [fault(words, whole=True) for words in typed(text)]
    found += [fault(words, whole=False) for words in mentioned(text)]
    assert len(found) == len(faults)
    for one, expected in zip(found, faults, strict=True):
        assert (expected in one) if expected and one else one is expected


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_links_lead_somewhere(guide: Path) -> None:
    """A link inside the project is to a file that is there, or to a heading of the same guide."""
    headings = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in _HEADING.findall(read(guide))}
    for link in _LINK.findall(_FENCED.sub("", read(guide))):
        if link.startswith("#"):
            assert link[1:] in headings
        elif "://" not in link:
            assert (guide.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT)
            assert (guide.parent / link.partition("#")[0]).exists()


def test_the_files_that_contributors_are_sent_to_are_there() -> None:
    """Each path in CONTRIBUTING.md is one of the project."""
    paths = _PATH.findall(read(ROOT / "CONTRIBUTING.md"))
    assert len(paths) >= 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_largest_amounts_of_the_guide_are_those_of_the_rule() -> None:
    """A brand that has larger orders learns it there."""
    found = re.search(r"up to ([0-9.]+) dollars, or ([0-9]+) yen", read(ROOT / "docs" / "files.md"))
    assert found is not None
    assert (to_minor(found[1], "USD"), to_minor(found[2], "JPY")) == (LARGEST_MINOR, LARGEST_MINOR)
