"""Measures the SFTP source against ``sftp`` and a bare listing, on OpenSSH's server; prints a table.

    .venv/bin/python bench/sources.py                       500 MB and 10,000 files, three times each
    .venv/bin/python bench/sources.py --megabytes 100 --files 2000 --repeat 1

Both sides of a row are measured in turn, from connecting to having all on disk or listed.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import paramiko

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clawback.loading import load_catalog
from clawback.pulling import pull
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from connectors.spool import Spool
from processing import fetched
from tests.connectors.source_site import Brand, key_pair, openssh
from tests.worlds import CATALOGUE, SID

MEGA = 1_000_000
THEN = 1_800_000_000
DOWNLOAD_SHARE = 0.8
LISTING_TIMES = 3


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def by_sftp(brand: Brand, name: str, folder: Path) -> None:
    """What an operator would type, and the file made durable."""
    values = brand.values
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{values['port']} {values['host_key'][0]}\n")
    options = ["-P", str(values["port"]), "-i", str(values["key_file"]), "-o", f"UserKnownHostsFile={known}"]
    place = f"{values['user']}@127.0.0.1:{brand.folder / name}"
    target = folder / "by-sftp"
    command = [shutil.which("sftp") or "sftp", "-q", *options, place, str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def by_source(brand: Brand, folder: Path) -> None:
    """The same into the spool: with its digest, and durable."""
    spool = Spool(folder / "spool", clock=now)
    with brand.source() as source, spool.receive(account=SID, channel="sftp:acme", name="large") as upload:
        (file,) = source.waiting()
        assert source.fetch(file, upload.write)
        upload.land()


def bare_listing(brand: Brand) -> None:
    """Connect, log in, and list with sizes and times."""
    values: dict[str, Any] = brand.values
    transport = paramiko.Transport((values["host"], values["port"]))
    transport.start_client(timeout=10)
    transport.auth_publickey(values["user"], paramiko.PKey.from_path(values["key_file"]))
    client = paramiko.SFTPClient.from_transport(transport)
    assert client is not None
    assert len(client.listdir_attr(str(brand.folder))) > 1
    transport.close()


def a_round(brand: Brand, desk: Desk, claims: Path, files: int) -> None:
    """A round that finds nothing new."""
    pulled = pull(desk, brand.settings(account=SID), brand.source(), claims=claims)
    assert pulled is not None
    assert (pulled.known, pulled.fetched) == (files, [])


def in_turn(repeat: int, *acts: Callable[[], object]) -> list[float]:
    """The medians of acts that are done one after the other, again and again."""
    runs = [[seconds(act) for act in acts] for _ in range(repeat)]
    return [median(run[at] for run in runs) for at in range(len(acts))]


def download(folder: Path, megabytes: int, repeat: int) -> None:
    """One large file."""
    with openssh(folder / "one" / "feed", "ed25519") as brand:
        path = brand.folder / "large"
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(MEGA))
        theirs, ours = in_turn(repeat, lambda: by_sftp(brand, "large", folder), lambda: by_source(brand, folder))
        path.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    share = theirs / ours
    told = f"{megabytes / theirs:.0f} MB/s by sftp, {megabytes / ours:.0f} MB/s into the spool, peak {peak} MiB"
    print(f"| download of {megabytes} MB | {told} | {share:.0%} | {DOWNLOAD_SHARE:.0%} at least |", flush=True)


def listing(folder: Path, files: int, repeat: int) -> None:
    """Many files that are known."""
    with openssh(folder / "many" / "feed", "ed25519") as brand, open_desk(Settings(state=folder / "var"), now) as desk:
        (folder / "catalog.toml").write_text(CATALOGUE)
        load_catalog(desk, folder / "catalog.toml")
        with desk.store.write() as db:
            for number in range(files):
                brand.write(f"{number}.csv", b"x", THEN)
                seen = fetched.Seen(f"{number}.csv", 1, THEN)
                fetched.record(db, "acme", seen, "0" * 64, f"D-{number}", now())
        bare, round_ = in_turn(
            repeat, lambda: bare_listing(brand), lambda: a_round(brand, desk, folder / "claims", files)
        )
    told = f"{bare:.2f} s bare, {round_:.2f} s as a round"
    print(f"| listing of {files:,} known files | {told} | {round_ / bare:.1f} times | {LISTING_TIMES} at most |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    wanted = parser.parse_args()
    key_pair("ed25519")
    print(f"On OpenSSH's server, {wanted.repeat} rounds; medians.\n")
    print("| what | both sides | ours | wanted |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="clawback-bench-") as name:
        download(Path(name), wanted.megabytes, wanted.repeat)
        listing(Path(name), wanted.files, wanted.repeat)


if __name__ == "__main__":
    main()
