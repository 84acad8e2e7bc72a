"""Posts events to webhooks: signed, so that a program knows who speaks, and when, and that nobody changed a word."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.durable import claim, ensure_folder, replace_file
from connectors.outside import Client
from connectors.places import Place
from processing.errors import ClawbackError

_KEY_BYTES: Final = 32
_PREFIX: Final = "whsec_"
_TAKEN: Final = range(200, 300)
_GONE: Final = 410


class NotTaken(ClawbackError):
    """The program answered that it does not take an event now; trying again later can help."""


class Gone(ClawbackError):
    """The program answered that it wants no events any more."""


class Secrets:
    """The secrets of webhooks: each follows from the webhook's name by the key in ``folder``, and is kept nowhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "webhooks"
        ensure_folder(self._folder)

    def of(self, webhook: str) -> str:
        """The secret with which the events of a webhook are signed, as its program is given it."""
        digest = hmac.digest(self._key(), webhook.encode(), hashlib.sha256)
        return _PREFIX + base64.b64encode(digest).decode()

    def _key(self) -> bytes:
        path = self._folder / ".key"
        with claim(self._folder / ".claim"):
            if not path.exists():
                replace_file(path, secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()


@dataclass(frozen=True, slots=True)
class Post:
    """An event on its way: its name, which tells a repetition, and its JSON body."""

    event: str
    body: bytes

    def headers(self, secret: str, at: datetime) -> Mapping[str, str]:
        """What proves the event, at the instant of this try: a signature of name, instant and body."""
        timestamp = str(int(at.timestamp()))
        key = base64.b64decode(secret.removeprefix(_PREFIX))
        signed = b".".join((self.event.encode(), timestamp.encode(), self.body))
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return {
            "Content-Type": "application/json",
            "webhook-id": self.event,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


def post(client: Client, url: str, event: Post, secret: str, *, at: datetime) -> None:
    """Return when the program has taken the event, which any 2xx says.

    Raises Gone for 410, NotTaken for every other answer (redirects are not followed), SourceUnreachable and
    SourceRefused when there is none.
    """
    # A webhook's path is often what lets one in, and no log has to have it.
    place = replace(Place.parse(url), path="")
    with client.ask("POST", place, event.headers(secret, at), event.body) as answer:
        # What else it says is not read: it may be endless.
        status = answer.status
    if status == _GONE:
        raise Gone(f"{place} answered 410: it wants no events any more. Remove the webhook.")
    if status not in _TAKEN:
        raise NotTaken(f"{place} answered {status}; it has to answer with 2xx.")
