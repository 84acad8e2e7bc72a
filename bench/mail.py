"""Measures the inbox against a bare aiosmtpd handler that only writes and fsyncs; prints a table.

    .venv/bin/python bench/mail.py                  messages of 50 kB, by 1 and by 8 clients, three rounds each
    .venv/bin/python bench/mail.py --messages 100 --repeat 1

Both servers run in a process of their own, one after the other, in turns, on the same disk.
"""

import argparse
import os
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from connectors.hosted_smtp import HostedSmtp, SmtpSettings
from connectors.mail_book import MailBook
from connectors.spool import Spool

DOMAIN = "returns.example"
SIZE_BYTES = 50_000
CLIENTS = (1, 8)
WANTED = 0.8


class Bare:
    """All that the yardstick does: write, fsync, 250."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a message."""
        self._count += 1
        handle = os.open(self._folder / str(self._count), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        assert isinstance(envelope.content, bytes)
        os.write(handle, envelope.content)
        os.fsync(handle)
        os.close(handle)
        return "250 OK"


def serve_bare(folder: Path, port: int) -> None:
    """The yardstick, until standard input ends."""
    controller = Controller(Bare(folder), hostname="127.0.0.1", port=port)
    controller.start()
    print(f"x@{DOMAIN}", flush=True)
    sys.stdin.read()
    controller.stop()


def serve_ours(folder: Path, port: int) -> None:
    """The product's inbox, until standard input ends."""
    book = MailBook(folder / "mail")
    address = f"{book.open_mailbox('IRbench').local}@{DOMAIN}"
    settings = SmtpSettings(
        domain=DOMAIN, certificate=folder, key=folder, port=port, tls="off", max_messages_per_minute=1_000_000
    )
    with HostedSmtp(settings, spool=Spool(folder / "spool", clock=lambda: datetime.now(UTC)), book=book) as server:
        threading.Thread(target=server.serve_forever).start()
        print(address, flush=True)
        sys.stdin.read()


def measure(kind: str, port: int, clients: int, messages: int, folder: Path) -> float:
    """Messages a second until the last 250."""
    command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    share = messages // clients
    threads = [threading.Thread(target=send, args=[port, address, share, one]) for one in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    landed = sum(path.is_file() and path.stat().st_size >= SIZE_BYTES for path in folder.rglob("*"))
    server.communicate("")
    assert landed == share * clients, f"{kind}: {landed} of {share * clients} messages are there"
    return share * clients / took_s


def send(port: int, address: str, messages: int, client_number: int) -> None:
    """One client's messages, each different, in one session."""
    body = b"".join(b"%075d\r\n" % line for line in range(SIZE_BYTES // 77 + 1))
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for number in range(messages):
            client.sendmail("ops@acme.example", address, b"Subject: %d-%d\r\n\r\n" % (client_number, number) + body)


def main() -> None:
    """Measure and print, or be one of the servers."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--messages", type=int, default=1000)
    ask.add_argument("--repeat", type=int, default=3)
    ask.add_argument("--port", type=int, default=20025)
    ask.add_argument("--serve", choices=["bare", "ours"])
    ask.add_argument("--folder", type=Path)
    asked = ask.parse_args()
    if asked.serve:
        {"bare": serve_bare, "ours": serve_ours}[asked.serve](asked.folder, asked.port)
        return
    print(f"Messages of 50 kB, {asked.repeat} rounds; median, and range in brackets.\n")
    print(f"| clients | bare handler with fsync, messages/s | inbox, messages/s | share (wanted {WANTED:.0%}) |")
    print("|---|---|---|---|")
    # All of it stays until the end: ext4 looks long for a free inode where many were freed in the last half minute.
    with tempfile.TemporaryDirectory(prefix="clawback-mail-") as folder:

        def one_of(kind: str, clients: int) -> float:
            return measure(kind, asked.port, clients, asked.messages, Path(tempfile.mkdtemp(dir=folder)))

        for clients in CLIENTS:
            rounds = [[one_of(kind, clients) for kind in ("bare", "ours")] for _ in range(asked.repeat)]
            bare, ours = ([one[side] for one in rounds] for side in (0, 1))
            told = [f"{median(side):.0f} ({min(side):.0f}-{max(side):.0f})" for side in (bare, ours)]
            print(f"| {clients} | {told[0]} | {told[1]} | {median(ours) / median(bare):.0%} |", flush=True)


if __name__ == "__main__":
    main()
