"""The inbox's process is killed with messages on their way: what it said 250 to is there, byte by byte."""

import json
import os
import smtplib
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from clawback.settings import Settings
from clawback.wiring import mail_folder, open_spool
from connectors.mail_book import MailBook
from tests.connectors.ftp_site import clock

# Seconds after the clients begin.
KILLED_AT = (0.05, 0.12, 0.26, 0.5)
CLIENTS = 6


def launch(state: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The part as the supervisor starts it, and its port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLAWBACK_")}
    environ |= {"CLAWBACK_STATE": str(state), "CLAWBACK_SMTP_DOMAIN": "returns.example", "CLAWBACK_SMTP_PORT": "0"}
    environ |= {"CLAWBACK_SMTP_TLS": "off", "CLAWBACK_SMTP_MAX_MESSAGES_PER_MINUTE": "100000"}
    command = [sys.executable, "-m", "clawback.serving.smtp_part", "0"]
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["port"]


def test_every_acknowledged_message_survives(tmp_path: Path) -> None:
    """However often it is killed; and of what was not acknowledged nothing is there by half."""
    address = f"{MailBook(mail_folder(Settings(state=tmp_path))).open_mailbox('IRacme1').local}@returns.example"
    sent: set[bytes] = set()
    acknowledged: set[bytes] = set()

    def send(port: int, name: str) -> None:
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            for number in range(1000):
                told = f"Subject: {name}-{number}\r\n\r\n".encode() + b"x" * 200 * (number % 400) + b"\r\n"
                sent.add(told)
                client.sendmail("ops@acme.example", address, told)
                acknowledged.add(told)

    for kill, killed_at in enumerate(KILLED_AT):
        process, port = launch(tmp_path)
        threads = [threading.Thread(target=send, args=[port, f"{kill}-{client}"]) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(killed_at)
        process.kill()
        process.communicate()
        for thread in threads:
            thread.join()
    spool = open_spool(Settings(state=tmp_path), clock)
    landed = [spool.content(envelope.delivery).read_bytes() for envelope in spool.pending()]
    assert spool.damaged() == {}
    assert len(acknowledged) > len(KILLED_AT)
    assert acknowledged <= set(landed) <= sent
    assert len(landed) == len(set(landed))
    spool.sweep_leftovers()
    assert not list((tmp_path / "spool" / "tmp").iterdir())
