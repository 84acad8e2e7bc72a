"""Measures uploads by FTPS against bare pyftpdlib, which keeps no promise about the disk; prints a table.

    .venv/bin/python bench/uploads.py               files of 20 kB, by 1 and by 8 clients, three rounds each
    .venv/bin/python bench/uploads.py --files 100 --repeat 1

Both servers run in a process of their own, one after the other, in turns, on the same disk, with the same certificate.
"""

import argparse
import ftplib
import io
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from connectors.credentials import Credentials
from connectors.ftp_settings import FtpSettings
from connectors.ftp_tls import ensure_certificate
from connectors.hosted_ftp import HostedFtp
from connectors.spool import Spool

SID = "IRbench"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of a server that lives for seconds
SIZE_BYTES = 20_000
CLIENTS = (1, 8)
WANTED = 0.6


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def settings(folder: Path) -> FtpSettings:
    """Where certificate and key of both servers lie."""
    return FtpSettings(certificate=folder / "certificate.pem", key=folder / "key.pem", host="localhost", port=0)


def serve_bare(folder: Path) -> None:
    """The yardstick, until standard input ends."""
    (folder / "home").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user(SID, PASSWORD, str(folder / "home"), perm="elradfmw")
    ensure_certificate(settings(folder), now)
    values = {"authorizer": authorizer, "certfile": str(folder / "certificate.pem"), "keyfile": str(folder / "key.pem")}
    values |= {"tls_control_required": True, "tls_data_required": True}
    server = FTPServer(("localhost", 0), type("Bare", (TLS_FTPHandler,), values))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.address[1], flush=True)
    sys.stdin.read()


def serve_ours(folder: Path) -> None:
    """The product's server, until standard input ends."""
    credentials = Credentials(folder / "credentials")
    credentials.set_password(SID, "ftp", PASSWORD)
    spool = Spool(folder / "spool", clock=now)
    with HostedFtp(settings(folder), spool=spool, credentials=credentials, folder=folder / "ftp") as server:
        threading.Thread(target=server.serve_forever).start()
        print(server.port, flush=True)
        sys.stdin.read()


def measure(kind: str, clients: int, files: int, folder: Path) -> float:
    """Files a second until the last 226, once every client is logged in: checking a password is slow on purpose."""
    command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    port, share = int(server.stdout.readline()), files // clients
    all_in = threading.Barrier(clients + 1)
    threads = [
        threading.Thread(target=upload, args=[port, folder / "certificate.pem", share, one, all_in])
        for one in range(clients)
    ]
    for thread in threads:
        thread.start()
    all_in.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    landed = sum(path.is_file() and path.stat().st_size == SIZE_BYTES for path in folder.rglob("*"))
    server.communicate("")
    assert landed == share * clients, f"{kind}: {landed} of {share * clients} files are there"
    return share * clients / took_s


def upload(port: int, certificate: Path, files: int, client_number: int, all_in: threading.Barrier) -> None:
    """One client's files, each different, in one session."""
    trust = ssl.create_default_context(cafile=str(certificate))
    with ftplib.FTP_TLS(context=trust, timeout=60) as client:  # noqa: S321 - it is FTPS
        client.connect("localhost", port)
        client.login(SID, PASSWORD)
        client.prot_p()
        all_in.wait()
        for number in range(files):
            content = b"%09d,%09d\n" % (client_number, number) * (SIZE_BYTES // 20)
            client.storbinary(f"STOR {client_number}-{number}.csv", io.BytesIO(content))


def main() -> None:
    """Measure and print, or be one of the servers."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--files", type=int, default=1000)
    ask.add_argument("--repeat", type=int, default=3)
    ask.add_argument("--serve", choices=["bare", "ours"])
    ask.add_argument("--folder", type=Path)
    asked = ask.parse_args()
    if asked.serve:
        {"bare": serve_bare, "ours": serve_ours}[asked.serve](asked.folder)
        return
    print(f"Files of 20 kB by FTPS, {asked.repeat} rounds; median, and range in brackets.\n")
    print(f"| clients | bare pyftpdlib, files/s | hosted server, files/s | share (wanted {WANTED:.0%}) |")
    print("|---|---|---|---|")
    # All of it stays until the end: ext4 looks long for a free inode where many were freed in the last half minute.
    with tempfile.TemporaryDirectory(prefix="clawback-uploads-") as folder:

        def one_of(kind: str, clients: int) -> float:
            return measure(kind, clients, asked.files, Path(tempfile.mkdtemp(dir=folder)))

        for clients in CLIENTS:
            rounds = [[one_of(kind, clients) for kind in ("bare", "ours")] for _ in range(asked.repeat)]
            bare, ours = ([one[side] for one in rounds] for side in (0, 1))
            told = [f"{median(side):.0f} ({min(side):.0f}-{max(side):.0f})" for side in (bare, ours)]
            print(f"| {clients} | {told[0]} | {told[1]} | {median(ours) / median(bare):.0%} |", flush=True)


if __name__ == "__main__":
    main()
