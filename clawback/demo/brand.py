"""A brand at the other end of the line: it uploads over FTPS, and fetches its answers."""

import ftplib
import io
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from processing.errors import ClawbackError

PATIENCE_S: Final = 60
LOOK_EVERY_S: Final = 0.1


class NoAnswer(ClawbackError):
    """The answer to a delivery did not come."""


class Brand:
    """One brand's FTPS client; every call is a session of its own, as scheduled jobs have."""

    def __init__(self, port: int, user: str, password: str, certificate: Path) -> None:
        self._address = ("127.0.0.1", port)
        self._login = (user, password)
        self._trust = ssl.create_default_context(cafile=str(certificate))

    def upload(self, name: str, content: bytes) -> str:
        """Send a file; gives the server's answer, which comes once the file is durable."""
        with self._session() as session:
            return session.storbinary(f"STOR {name}", io.BytesIO(content))

    def cut_off(self, name: str, content: bytes) -> str:
        """Begin to send a file and lose the connection half-way; gives the server's answer."""
        with self._session() as session:
            session.voidcmd("TYPE I")
            data = session.transfercmd(f"STOR {name}")
            data.sendall(content[: len(content) // 2])
            # No TLS goodbye: to the server this is a broken connection, not the end of a file.
            data.close()
            try:
                return session.voidresp()
            except ftplib.Error as refusal:
                return str(refusal)

    def answers(self) -> list[str]:
        """The names of the files that wait in ``results``."""
        with self._session() as session:
            session.cwd("results")
            return sorted(session.nlst())

    def fetch(self, name: str) -> bytes:
        """One file of ``results``."""
        content = io.BytesIO()
        with self._session() as session:
            session.retrbinary(f"RETR results/{name}", content.write)
        return content.getvalue()

    def receipt(self, delivery: str) -> dict[str, Any]:
        """The receipt of a delivery, as soon as it is there; raises NoAnswer."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for name in self.answers():
                if name.startswith("receipt_"):
                    receipt: dict[str, Any] = json.loads(self.fetch(name))
                    if receipt["delivery"] == delivery:
                        return receipt
            time.sleep(LOOK_EVERY_S)
        raise NoAnswer(f"There was no receipt for delivery {delivery} within {PATIENCE_S} s.")

    @contextmanager
    def _session(self) -> Iterator[ftplib.FTP_TLS]:
        session = ftplib.FTP_TLS(context=self._trust, timeout=PATIENCE_S)  # noqa: S321 - it is FTPS
        session.connect(*self._address)
        try:
            session.login(*self._login)
            session.prot_p()
            yield session
        finally:
            session.close()
