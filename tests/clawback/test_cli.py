"""The command line as people and scripts meet it: real processes, exit codes, one JSON document."""

import getpass
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from clawback.cli import COMMANDS, cli
from tests.schemas.test_containers import gzipped, zipped
from tests.worlds import CATALOGUE

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ACTIONS = """\
ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency
1000.1,1000,16027,501,O-1,2027-01-15T10:00:00-05:00,100.00,USD
1000.2,1000,16027,501,O-2,2027-01-15T10:00:00-05:00,50.00,USD
"""
RETURNS = "ActionId,Amount,Reason\n1000.1,0,ITEM_RETURNED\n1000.2,-3,ORDER_UPDATE\n"


def runner(folder: Path) -> Run:
    """Runs ``clawback`` in an installation of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLAWBACK_")}

    def call(*arguments: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "clawback", *arguments]
        return subprocess.run(
            command, cwd=folder, env=own | environ, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    return call


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command line on an empty installation."""
    return runner(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a catalogue and two actions, loaded once by the command line."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "catalog.toml").write_text(CATALOGUE)
    (folder / "actions.csv").write_text(ACTIONS)
    (folder / "returns.csv").write_text(RETURNS)
    assert runner(folder)("load", "catalog", "catalog.toml").returncode == 0
    assert runner(folder)("load", "actions", "actions.csv").returncode == 0
    return folder


@pytest.fixture
def loaded(template: Path, tmp_path: Path) -> Run:
    """The command line on a copy of the template."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return runner(tmp_path)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, child in children if child for leaf in leaves(child, (*path, name))]


@pytest.mark.parametrize(
    ("path", "command"), leaves(cli), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_with_an_example(path: tuple[str, ...], command: click.Command) -> None:
    """The help of each command says what it does and shows it."""
    assert command.help is not None
    assert "Example:" in command.help
    assert f"clawback {' '.join(path)}" in command.help


JSONLESS = {("serve",), ("deliveries", "receipt"), ("template",)}


@pytest.mark.parametrize(
    ("path", "command"), leaves(cli), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_speaks_json(path: tuple[str, ...], command: click.Command) -> None:
    """Each has --json, but for the server and those that print files as they are."""
    assert any(option.name == "as_json" for option in command.params) is (path not in JSONLESS)


def test_help_imports_nothing_heavy() -> None:
    """Help is instant because it imports neither Prefect nor pandas nor the database."""
    code = (
        "import sys; sys.argv = ['clawback', '--help']\n"
        "import clawback.cli\n"
        "try:\n    clawback.cli.main()\nfinally:\n    print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = set(shown.splitlines()[-1].split())
    assert COMMANDS.keys() <= set(shown.split())
    assert not modules & {"prefect", "pandas", "numpy", "pyarrow", "sqlalchemy", "pandera", "pyftpdlib", "rich"}


def test_a_sidecar_is_checked_as_one(run: Run, tmp_path: Path) -> None:
    """Alone or beside its file in a zip it is no file of lines; what is no digest is not readable."""
    digest = hashlib.sha256(RETURNS.encode()).hexdigest()
    (tmp_path / "a.csv.sha256").write_text(f"{digest}  a.csv\n")
    (tmp_path / "b.csv.sha256").write_text("no digest\n")
    good = RETURNS.replace("-3", "3").encode()
    (tmp_path / "a.zip").write_bytes(zipped({"a.csv": good, "a.csv.sha256": f"{digest}\n".encode()}))
    alone = run("check", "a.csv.sha256")
    assert (alone.returncode, alone.stdout) == (0, f"a.csv.sha256: sidecar, of the file with the digest {digest}\n")
    assert run("check", "a.zip").returncode == 0
    bad = run("check", "b.csv.sha256")
    assert (bad.returncode, "The sidecar is not one line with a SHA-256 digest" in bad.stderr) == (3, True)


def test_a_release_tells_who_did_it(loaded: Run, tmp_path: Path) -> None:
    """The release itself and ``show`` say it, with why it had been held."""
    (tmp_path / "cut.csv").write_text("ActionId,Amount,Reason\n1000.1,0,ITEM_RETURNED")
    held = loaded("ingest", "cut.csv", "--account", "IRacme1", "--received-at", "2027-01-20", "--json")
    delivery = json.loads(held.stdout)["delivery"]
    done = loaded("deliveries", "release", delivery, "--by", "dana")
    assert done.returncode == 0
    for shown in (done, loaded("deliveries", "show", delivery)):
        assert "\ndana released it. The last line does not end" in shown.stdout


def test_ingest_tells_what_was_not_applied(loaded: Run) -> None:
    """Exit code 3, and a receipt whose numbers balance."""
    done = loaded("ingest", "returns.csv", "--account", "IRacme1", "--received-at", "2027-01-20", "--json")
    receipt = json.loads(done.stdout)
    assert done.returncode == 3
    assert receipt["rows"] == {
        "read": 2,
        "applied": 1,
        "unchanged": 0,
        "rejected": 1,
        "refused": 0,
        "waiting": 0,
        "held": 0,
    }
    sides = {"amount_before": "100.00", "amount_after": "0.00", "payout_before": "5.00", "payout_after": "0.00"}
    assert receipt["money"] == {"USD": sides}
    assert [(one["line"], one["verdict"], one["code"]) for one in receipt["lines"]] == [
        (3, "rejected", "AMOUNT_NEGATIVE")
    ]
    assert receipt["received_at"] == "2027-01-20T05:00:00+00:00"


def test_a_long_receipt_is_cut_and_says_where_the_rest_is(loaded: Run, tmp_path: Path) -> None:
    """The first 20 lines, how many more there are, and the command that prints them all."""
    (tmp_path / "bad.csv").write_text("ActionId,Amount,Reason\n" + "A-1,-1,OTHER\n" * 25)
    done = loaded("ingest", "bad.csv", "--account", "IRacme1")
    *_, last = done.stdout.splitlines()
    before, _, command = last.partition(" more lines: clawback ")
    assert (before, done.stdout.count("-1' is")) == ("… and 5", 20)
    assert len(json.loads(loaded(*command.split()).stdout)["lines"]) == 25


RECEIPT_KEYS = {
    "delivery", "account", "channel", "name", "sha256", "bytes", "received_at", "state", "duplicate_of",
    "rows", "money", "partners", "nearest_lock", "lines",
}  # fmt: skip
ACTION_KEYS = {
    "action_id", "account", "program", "event_type", "partner", "order_id", "state", "locked", "amount", "payout",
    "currency", "customer_status", "tracked", "event_at", "locks_at", "clears_on", "locked_unread", "items", "history",
}  # fmt: skip


def test_a_container_is_previewed_checked_and_ingested(loaded: Run, tmp_path: Path) -> None:
    """Its files are told one after the other; the worst of them gives the exit code."""
    bad = b"ActionId,Amuont\n1000.1,0\n"
    (tmp_path / "returns.zip").write_bytes(zipped({"returns.csv": RETURNS.encode(), "bad.csv": bad}))
    (tmp_path / "good.csv.gz").write_bytes(gzipped(b"ActionId,Reason\n1000.2,OTHER\n"))
    account = ("--account", "IRacme1")
    for command, end in ((("ingest", *account, "--preview"), "PREVIEW"), (("ingest", *account), "returns.zip")):
        told = loaded(command[0], "returns.zip", *command[1:])
        assert (told.returncode, told.stdout.startswith(end)) == (3, True)
        assert [
            one for one in ("1 applied", "is negative", "bad.csv", "Did you mean Amount") if one not in told.stdout
        ] == []
    document = json.loads(loaded("ingest", "good.csv.gz", *account, "--json").stdout)
    assert (document["state"], [one["rows"]["applied"] for one in document["files"]]) == ("unpacked", [1])
    checked = loaded("check", "returns.zip", "--json")
    assert checked.returncode == 3
    assert [[each["code"] for each in one["problems"]] for one in json.loads(checked.stdout)["files"]] == [
        ["AMOUNT_NEGATIVE"],
        ["COLUMN_UNKNOWN"],
    ]
    assert loaded("check", "good.csv.gz").stdout == "good.csv: csv, utf-8, 1 lines, 0 with problems\n"


def test_documents_have_their_keys(loaded: Run) -> None:
    """Receipts and actions have all the keys that programs rely on."""
    receipt = json.loads(loaded("ingest", "returns.csv", "--account", "IRacme1", "--preview", "--json").stdout)
    action = json.loads(loaded("actions", "show", "1000.1", "--account", "IRacme1", "--json").stdout)
    assert receipt.keys() >= RECEIPT_KEYS
    assert action.keys() == ACTION_KEYS
    assert action["history"] == []


def test_a_person_changes_an_action(loaded: Run) -> None:
    """Modify, reverse, restore, approve and reset go through the rules, and the history says who did it."""

    def act(*words: str) -> Any:  # noqa: ANN401 - a JSON document
        done = loaded("actions", *words, "--account", "IRacme1", "--by", "dana", "--json")
        return done.returncode, json.loads(done.stdout)["rows"]["applied"]

    assert act("modify", "1000.1", "--amount", "80.00") == (0, 1)
    assert act("reverse", "1000.1", "--reason", "CONS_FRAUD") == (0, 1)
    assert act("restore", "1000.1") == (0, 1)
    assert act("restore", "1000.1") == (0, 0)
    assert act("approve", "1000.1") == (0, 1)
    assert act("reset", "1000.1") == (0, 1)
    history = json.loads(loaded("actions", "show", "1000.1", "--account", "IRacme1", "--json").stdout)["history"]
    assert [(one["change"], one["by"], one["after"]["state"], one["after"]["amount"]) for one in history] == [
        ("modify", "dana", "PENDING", "80.00"),
        ("reverse", "dana", "REVERSED", "0.00"),
        ("restore", "dana", "PENDING", "80.00"),
        ("approve", "dana", "APPROVED", "80.00"),
        ("reset", "dana", "PENDING", "100.00"),
    ]


def test_rates_are_loaded(loaded: Run, tmp_path: Path) -> None:
    """Lines with problems are listed, the others loaded, and the exit code says that not all were."""
    (tmp_path / "rates.csv").write_text("Day,From,To,Rate\n2027-01-15,EUR,USD,1.1\n2027-01-15,EUR,USD,x\n")
    done = loaded("load", "rates", "rates.csv")
    assert (done.returncode, done.stdout.splitlines()[0]) == (3, "2 read = 1 loaded + 1 not loaded")
    assert "Rate 'x' is not a rate" in done.stdout


def test_lines_that_waited_are_held_and_found(loaded: Run, tmp_path: Path) -> None:
    """Load says so, list and show tell it with the reason and the next lock; release applies them."""
    header, row, _ = ACTIONS.splitlines()
    numbers = [f"1000.{number}" for number in range(10, 30)]
    (tmp_path / "early.csv").write_text("ActionId,Reason\n" + "".join(f"{one},OTHER\n" for one in numbers))
    rows = [header, *(row.replace("1000.1,", f"{one},") for one in numbers)]
    (tmp_path / "more.csv").write_text("".join(f"{each}\n" for each in rows))
    early = ("ingest", "early.csv", "--account", "IRacme1", "--received-at", "2027-01-20", "--json")
    number = json.loads(loaded(*early).stdout)["delivery"]
    told = loaded("load", "actions", "more.csv")
    assert f"Lines that waited are held until somebody releases or rejects them: {number}" in told.stdout
    assert "done, lines held" in loaded("deliveries", "list").stdout
    shown = loaded("deliveries", "show", number).stdout
    assert "OUTLIER With the lines that waited for their actions, it reverses 100.00 of the 107.50 USD" in shown
    assert "Nearest lock 2027-02-28T05:00:00+00:00" in shown
    released = loaded("deliveries", "release", number, "--by", "dana")
    assert (released.returncode, "20 read = 20 applied" in released.stdout) == (0, True)
    assert "dana released its lines that waited." in released.stdout


@pytest.mark.parametrize("name", ["", "  ", "a\nb"])
def test_nobody_decides_nothing(loaded: Run, tmp_path: Path, name: str) -> None:
    """A script whose variable is empty does not release a file in nobody's name."""
    (tmp_path / "cut.csv").write_text(RETURNS.rstrip())
    held = json.loads(loaded("ingest", "cut.csv", "--account", "IRacme1", "--json").stdout)
    assert held["state"] == "held"
    for command in ("release", "reject", "undo", "replay"):
        refused = loaded("deliveries", command, held["delivery"], "--by", name)
        assert (refused.returncode, f"{name!r} is no name" in refused.stderr) == (2, True)
    assert json.loads(loaded("deliveries", "show", held["delivery"], "--json").stdout)["state"] == "held"


def test_a_user_without_a_name_has_to_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user stands in no list."""

    def unknown() -> str:
        raise KeyError(12345)

    monkeypatch.setattr(getpass, "getuser", unknown)
    with pytest.raises(click.UsageError, match="say with --by NAME who it is"):
        cli.main(["deliveries", "release", "D-1"], standalone_mode=False)


def test_a_delivery_waits_is_undone_and_undone_is_said(loaded: Run, tmp_path: Path) -> None:
    """Load judges what waited and says so; a preview of an undo is marked; undo and replay have their exit codes."""
    (tmp_path / "early.csv").write_text("ActionId,Amount,Reason\n1000.3,0,OTHER\n")
    (tmp_path / "more.csv").write_text(ACTIONS.replace("1000.1,", "1000.3,").replace("1000.2,", "1000.4,"))
    early = ("ingest", "early.csv", "--account", "IRacme1", "--received-at", "2027-01-20", "--json")
    receipt = json.loads(loaded(*early).stdout)
    number = receipt["delivery"]
    assert (receipt["rows"]["waiting"], receipt["waits_until"]) == (1, "2027-02-19T05:00:00+00:00")
    assert "Lines wait for their actions until 2027-02-19" in loaded("deliveries", "show", number).stdout
    assert json.loads(loaded("load", "actions", "more.csv", "--json").stdout)["judged_again"] == [number]
    assert "actions were loaded; 1 judged again: 1 applied." in loaded("deliveries", "show", number).stdout
    previewed = loaded("deliveries", "undo", number, "--by", "dana", "--preview", "--json")
    assert (previewed.returncode, json.loads(previewed.stdout)["preview"]) == (0, True)
    undone = loaded("deliveries", "undo", number, "--by", "dana", "--reason", "too early")
    assert (undone.returncode, "1 read = 1 applied" in undone.stdout) == (0, True)
    assert "It was undone by" in loaded("deliveries", "show", number).stdout
    for by in ((), ("--by", "dana")):
        refused = loaded("deliveries", "replay", number, *by)
        assert (refused.returncode, "undo that first" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ingest"], 2, "Missing argument 'FILE'"),
        (["ingest", "nowhere.csv", "--account", "IRacme1"], 2, "'nowhere.csv' does not exist"),
        (["ingest", "returns.csv", "--account", "IRother"], 2, "There is no account IRother"),
        (["ingest", "returns.csv", "--account", "IRacme1", "--event-type", "7"], 2, "has no event type 7"),
        (["actions", "show", "1", "--account", "IRacme1"], 2, "has no action 1"),
        (["actions", "modify", "1000.1", "--account", "IRacme1", "--amount", "1.005"], 2, "more decimals than USD"),
        (["actions", "modify", "1000.1", "--account", "IRacme1", "--amount", "-1"], 2, "is negative"),
        (["actions", "reverse", "1000.1", "--account", "IRacme1", "--reason", "nope"], 2, "neither a standard code"),
        (["deliveries", "show", "nope"], 2, "There is no delivery nope"),
        (["deliveries", "release", "nope"], 2, "There is no delivery nope"),
        (["deliveries", "undo", "nope"], 2, "There is no delivery nope"),
        (["deliveries", "replay", "nope", "--preview"], 2, "There is no delivery nope"),
        (["lock", "--as-of", "tomorrow"], 2, "'tomorrow' is not an instant"),
        (["terms", "2027-01-15", "--locking", "soon", "--payment", "15 days after day"], 2, "soon"),
        (
            ["terms", "2027-01-15", "--locking", "1 day after day", "--payment", "1 day after day", "--timezone", "X"],
            2,
            "X",
        ),
        (["check", "catalog.toml"], 3, "account"),
        (["load", "catalog", "returns.csv"], 2, "returns.csv"),
        (["load", "actions", "returns.csv"], 3, "Column 'Reason' is not known"),
        (["accounts", "password", "IRother", "--channel", "ftp"], 2, "There is no account IRother"),
        (["accounts", "password", "IRacme1", "--channel", "ftp", "--password-stdin"], 2, "is empty"),
    ],
)
def test_failures_are_told(loaded: Run, arguments: list[str], code: int, message: str) -> None:
    """Each failure has a sentence on stderr and its exit code; no traceback."""
    done = loaded(*arguments)
    assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr


def test_a_failure_is_a_document_too(loaded: Run) -> None:
    """With --json a failure is one JSON document on stdout."""
    done = loaded("deliveries", "show", "nope", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]) == (2, "NotFound")


def test_store_that_does_not_answer(run: Run, tmp_path: Path) -> None:
    """Our trouble is exit code 1, and the password in the store's address is not shown."""
    done = run("accounts", "list", CLAWBACK_STORE=f"postgresql://me:secret@/x?host={tmp_path}")
    assert (done.returncode, "secret" in done.stderr, "Traceback" in done.stderr) == (1, False, False), done.stderr


def test_tokens_are_told_once(loaded: Run, tmp_path: Path) -> None:
    """Made, listed without their secret, revoked."""
    made = json.loads(loaded("accounts", "token", "IRacme1", "--scope", "write", "--json").stdout)
    assert {path.name: made["token"] in path.read_text("latin-1") for path in tmp_path.rglob("tokens/*")} == {
        ".claim": False,
        ".key": False,
        "IRacme1": False,
    }
    [listed] = json.loads(loaded("accounts", "token", "IRacme1", "--list", "--json").stdout)
    assert (listed["id"], listed["scope"]) == (made["id"], "write")
    assert loaded("accounts", "token", "IRacme1", "--revoke", made["id"]).returncode == 0
    assert "has no token" in loaded("accounts", "token", "IRacme1", "--list").stdout
    again = loaded("accounts", "token", "IRacme1", "--revoke", made["id"])
    assert (again.returncode, "has no token" in again.stderr) == (2, True)
    assert loaded("accounts", "token", "IRacme1").returncode == 2
    assert "There is no account IRother" in loaded("accounts", "token", "IRother", "--scope", "read").stderr


def test_password_is_printed_once(loaded: Run, tmp_path: Path) -> None:
    """A new password is shown, and only its argon2 hash is kept."""
    made = loaded("accounts", "password", "IRacme1", "--channel", "ftp").stdout.strip()
    [kept] = [path for path in (tmp_path / "var" / "credentials").rglob("*") if path.is_file()]
    assert "$argon2" in kept.read_text()
    assert made not in kept.read_text()
    told = loaded("accounts", "password", "IRacme1", "--channel", "ftp", "--password-stdin", stdin="tr0ub4dor\n")
    assert (told.returncode, "tr0ub4dor" in told.stdout + told.stderr) == (0, False)


def test_answers_are_printed_as_the_brand_got_them(loaded: Run, tmp_path: Path) -> None:
    """Receipt, result and fix file come out byte for byte; one that is not there is said so."""
    receipt = json.loads(loaded("ingest", "returns.csv", "--account", "IRacme1", "--json").stdout)
    results = tmp_path / "var" / "ftp" / "IRacme1" / "results"
    for which, name in (
        ("receipt", "receipt_returns.csv.json"),
        ("result", "result_returns.csv"),
        ("fix", "fix_returns.csv"),
    ):
        printed = loaded("deliveries", "receipt", receipt["delivery"], "--file", which)
        assert printed.stdout == (results / name).read_text()
    again = json.loads(loaded("ingest", "returns.csv", "--account", "IRacme1", "--json").stdout)
    assert (again["state"], again["duplicate_of"]) == ("duplicate", receipt["delivery"])
    missing = loaded("deliveries", "receipt", again["delivery"], "--file", "fix")
    assert (missing.returncode, "has no fix file" in missing.stderr) == (2, True)


def test_terms_of_the_worked_example(run: Run) -> None:
    """The phrases of a contract come out as days and the lock's instant."""
    phrases = ["--locking", "0 months 27 days after month", "--payment", "0 months 20 days after month"]
    done = run("terms", *phrases, "--timezone", "America/New_York", "2027-01-15", "--json")
    assert json.loads(done.stdout) == {
        "event_day": "2027-01-15",
        "timezone": "America/New_York",
        "last_open_day": "2027-02-27",
        "locks_at": "2027-02-28T00:00:00-05:00",
        "clears_on": "2027-03-20",
        "invoiced_on": "2027-04-02",
    }
