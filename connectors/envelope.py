"""What is known of a landed delivery, and how it stands beside its bytes: as JSON with an END record."""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from processing.errors import SpoolBroken

ENVELOPE: Final = "envelope.json"
EMAIL: Final = "email"
# What comes by itself, and what may come in it: a container in a message has files like <message>-0001-0002.
BY_ITSELF: Final = "[0-9]{8}T[0-9]{12}-[0-9a-f]{8}"
NUMBER: Final = re.compile(rf"{BY_ITSELF}(-[0-9]{{4}}){{0,2}}")
_END: Final = "end"
# What no store can hold: a NUL, and halves of characters.
UNKEEPABLE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent what, by which channel, and when it was durable.

    ``proven``: it is known that no byte is missing, by a checksum or because their number was announced. With ``trace``
    it is an e-mail message, and this is what its SMTP session told about it.
    """

    delivery: str
    account: str
    channel: str
    name: str
    received_at: datetime
    sha256: str
    size_bytes: int
    event_type: int | None = None
    again: bool = False
    proven: bool = False
    trace: dict[str, str] | None = None

    def __post_init__(self) -> None:
        # A delivery of such a name would never be judged, and locks would wait for it for ever.
        object.__setattr__(self, "name", UNKEEPABLE.sub("\ufffd", self.name))

    @property
    def part_of(self) -> str | None:
        """The message or container that it came in, ``None`` for a delivery that came by itself."""
        found = NUMBER.fullmatch(self.delivery)
        return self.delivery.removesuffix(found[1]) if found and found[1] else None

    @property
    def rank(self) -> int:
        """Tells it from all that arrived in the same instant; what is in it has the next ones, in order."""
        _, token, *inside = self.delivery.split("-")
        ranks = (int(token, 16), *map(int, inside), 0, 0)
        return (ranks[0] * 10**4 + ranks[1]) * 10**4 + ranks[2]

    @property
    def in_container(self) -> bool:
        """Whether it came in a container; what is attached to a message did not."""
        levels = self.delivery.count("-") - 1
        return levels > (1 if self.channel == EMAIL else 0)


def part_number(container: str, position: int) -> str:
    """The number of the delivery that a container's file is; it sorts behind the container, in the files' order."""
    return f"{container}-{position:04}"


def stamped(draft: Envelope, stamp: datetime) -> Envelope:
    """The envelope of a delivery that arrives at an instant, with a new number that tells it."""
    return replace(draft, delivery=f"{stamp:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}", received_at=stamp)


def asked(envelope: Envelope) -> tuple[object, ...]:
    """What makes a request under a key the same request."""
    return envelope.channel, envelope.name, envelope.sha256, envelope.event_type, envelope.again


def arrival_in(delivery: str) -> datetime:
    """The instant of arrival that a delivery's number tells."""
    return datetime.strptime(delivery.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def sealed(envelope: Envelope) -> bytes:
    """The envelope as JSON; its last key, the END record, is a digest of all the others."""
    told = {one.name: getattr(envelope, one.name) for one in fields(envelope)}
    told["received_at"] = envelope.received_at.isoformat(timespec="microseconds")
    text = _canonical(told)
    return b'%b, "%b": "%b"}' % (text[:-1], _END.encode(), hashlib.sha256(text).hexdigest().encode())


def opened(folder: Path) -> Envelope:
    """Read the envelope of a delivery's folder; raises ``SpoolBroken`` unless its END record is right."""
    try:
        told = json.loads((folder / ENVELOPE).read_bytes())
        end = told.pop(_END)
        envelope = Envelope(**told | {"received_at": datetime.fromisoformat(told["received_at"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpoolBroken(f"Delivery {folder.name} has no END record. Restore its folder from a backup.") from error
    if end != hashlib.sha256(_canonical(told)).hexdigest() or envelope.delivery != folder.name:
        raise SpoolBroken(f"The envelope of delivery {folder.name} was altered. Restore its folder from a backup.")
    return envelope


def _canonical(told: dict[str, object]) -> bytes:
    return json.dumps(told, sort_keys=True).encode()
