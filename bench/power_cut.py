"""Cuts the power while uploads land, and looks whether all that were acknowledged are there afterwards.

    sudo .venv/bin/python bench/power_cut.py                five cuts of a journal of 256 KiB
    sudo .venv/bin/python bench/power_cut.py --cuts 20 --journal-kib 4096

Needs root and two loop devices. The spool lies on an ext4 of its own, whose image lies on another one: that is frozen
in the middle of the work, and what the image holds in this instant is all that a disk would have. The copy is mounted
and the spool opened as after a start of the system; the exit code is 1 if anything is missing.
"""

import argparse
import gc
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from connectors import journal
from connectors.spool import Spool
from processing.errors import ClawbackError

SID = "IRbench"
CLIENTS = 8


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Acknowledged:
    """What senders were told is kept: the bytes of each delivery, and the delivery of each key."""

    content: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "Acknowledged":
        """What it is now."""
        return Acknowledged(dict(self.content), dict(self.keys))


def main() -> int:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cuts", type=int, default=5)
    ask.add_argument("--journal-kib", type=int, default=256, help="the smaller, the more often it is cleared")
    asked = ask.parse_args()
    journal.ROOM_BYTES = asked.journal_kib * 1024
    draw, lost = random.Random(1), 0  # noqa: S311 - when the power is cut is no secret
    for cut in range(1, asked.cuts + 1):
        with tempfile.TemporaryDirectory(prefix="clawback-bench-", dir="/var/tmp") as name:
            told, on_disk, missing = power_cut(Path(name), draw.uniform(1, 8))
        print(f"cut {cut}: {told} acknowledged, {on_disk} on disk in their folders, {missing} missing", flush=True)
        lost += missing
    return int(lost > 0)


def power_cut(folder: Path, seconds: float) -> tuple[int, int, int]:
    """How many were acknowledged when it came, were whole in their folders, and were missing after a start."""
    with mounted(folder / "under", 640) as under:
        with mounted(under / "disk", 256) as disk:
            told = land_until_frozen(disk / "spool", under, seconds)
        with mounted(under / "left") as disk:
            whole = sum(is_whole(disk / "spool", number, content) for number, content in told.content.items())
            return len(told.content), whole, missing_from(disk / "spool", told)


def land_until_frozen(folder: Path, under: Path, seconds: float) -> Acknowledged:
    """Land and acknowledge for a while; what was acknowledged before the disk was copied as it is."""
    spool, told, stop = Spool(folder, clock=now), Acknowledged(), threading.Event()
    threads = [threading.Thread(target=send, args=(spool, who, told, stop)) for who in range(CLIENTS)]
    threads.append(threading.Thread(target=work, args=(spool, stop)))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    before = told.copy()
    run("fsfreeze", "-f", under)
    try:
        # To memory: where it is frozen nothing can be written.
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as copy:
            shutil.copyfile(under / "disk.img", copy.name)
            run("fsfreeze", "-u", under)
            shutil.copyfile(copy.name, under / "left.img")
    finally:
        stop.set()
        with suppress(subprocess.CalledProcessError):
            # Or it waits for ever, if the copy failed.
            run("fsfreeze", "-u", under)
        for thread in threads:
            thread.join()
    return before


def send(spool: Spool, who: int, told: Acknowledged, stop: threading.Event) -> None:
    """One client: a line after the other, every third under a key."""
    count = 0
    while not stop.is_set():
        content, key = f"ActionId,Amount\n{who}.{count},1.00\n".encode(), f"{who}-{count}"
        with spool.receive(account=SID, channel="api", name="PUT Actions", key=None if count % 3 else key) as upload:
            upload.write(content)
            landed = upload.land_soon(proven=True).result()
        told.content[landed.delivery] = content
        if count % 3 == 0:
            told.keys[key] = landed.delivery
        count += 1


def work(spool: Spool, stop: threading.Event) -> None:
    """The pipeline's part: what has landed is acknowledged."""
    while not stop.is_set():
        for envelope in spool.pending()[:20]:
            spool.acknowledge(envelope.delivery)
        time.sleep(0.01)


def is_whole(spool: Path, number: str, content: bytes) -> bool:
    """Whether a delivery's own folder reached the disk."""
    paths = [spool / place / number / "content" for place in ("new", "done")]
    return any(path.exists() and path.read_bytes() == content for path in paths)


def missing_from(folder: Path, told: Acknowledged) -> int:
    """How many deliveries and keys a start does not find, or finds otherwise."""
    boot, journal.boot = journal.boot, lambda: b"the next one"
    spool, missing = Spool(folder, clock=now), 0
    journal.boot = boot
    for number, content in told.content.items():
        try:
            spool.verify(number)
            missing += spool.content(number).read_bytes() != content
        except ClawbackError as error:
            print(error)
            missing += 1
    for key, number in told.keys.items():
        content = told.content[number]
        with spool.receive(account=SID, channel="api", name="PUT Actions", key=key) as upload:
            upload.write(content)
            missing += upload.land(proven=True).delivery != number
    return missing


@contextmanager
def mounted(path: Path, mebibytes: int = 0) -> Iterator[Path]:
    """An ext4 in the file ``path.img``, made if it has a size, mounted at ``path``."""
    image = path.with_suffix(".img")
    if mebibytes:
        with image.open("wb") as out:
            out.truncate(mebibytes << 20)
        run("mkfs.ext4", "-q", image)
    path.mkdir()
    with ExitStack() as stack:
        run("mount", "-o", "loop", image, path)
        stack.callback(run, "umount", path)
        # A spool holds its journal open for as long as it is there.
        stack.callback(gc.collect)
        yield path


def run(*command: str | Path) -> None:
    """Run a command; raises CalledProcessError."""
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
