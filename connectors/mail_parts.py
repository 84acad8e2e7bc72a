"""A raw message, understood: who sent it, what may be answered, and which of its parts are files for us."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.errors import (
    CloseBoundaryNotFoundDefect,
    InvalidBase64CharactersDefect,
    InvalidBase64LengthDefect,
    InvalidBase64PaddingDefect,
    MessageDefect,
    StartBoundaryNotFoundDefect,
)
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import Policy
from pathlib import PurePosixPath
from typing import Any, Final

from connectors.envelope import UNKEEPABLE
from connectors.mail_book import canonical
from processing.errors import Unusable

ACCEPTED: Final = "CSV, XML, Excel (.xlsx), gzip and zip files"

_EXTENSIONS: Final = frozenset({".csv", ".tsv", ".xml", ".xlsx", ".gz", ".zip"})
_TYPES: Final = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "application/gzip": ".gz",
    "application/x-gzip": ".gz",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
_MAGIC: Final = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"<?xml": ".xml"}
_NEVER: Final = ("image/", "audio/", "video/", "text/html", "text/calendar", "text/vcard", "text/x-vcard")
_SIGNATURES: Final = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
# What we send is never read as a delivery (it may come back in a reply).
_OURS: Final = ("receipt_", "result_", "fix_")
_HEADER_LINE: Final = re.compile(rb"(action_?id|o_?id|order_?id)", re.IGNORECASE)
_DELIMITERS: Final = b",;\t|"
_CUT_OFF: Final = (CloseBoundaryNotFoundDefect, StartBoundaryNotFoundDefect)
_DAMAGED: Final = (InvalidBase64CharactersDefect, InvalidBase64LengthDefect, InvalidBase64PaddingDefect)
_BULK: Final = frozenset({"bulk", "list", "junk"})
_LISTS: Final = ("List-Id", "List-Post", "List-Unsubscribe", "Mailing-List")
_MACHINES: Final = re.compile(
    r"(mailer-daemon|postmaster|noreply|no-reply|donotreply|do-not-reply|.*-request|owner-.*)@"
)
_READ: Final = frozenset(
    {"from", "subject", "message-id", "references", "auto-submitted", "precedence", "x-auto-response-suppress"}
    | {"content-type", "content-disposition", "content-transfer-encoding"}
    | {name.lower() for name in _LISTS}
)
_NESTED: Final = 1
# Each part costs a thousand times its bytes, and each level makes the reading of every line slower.
MOST_PARTS: Final = 500
MOST_LEVELS: Final = 20
# What takes the parser of headers, whose time grows with the square of their length, a few milliseconds.
MOST_HEADER_BYTES: Final = 8192
MOST_HEADERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message; ``damaged``: its encoding is broken, so bytes are missing."""

    name: str
    content: bytes
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as the pipeline sees it.

    ``sender`` is the one address of From, "" if there is none or are several. ``unanswered`` says why the message is
    not to be answered (RFC 3834), "" if it is; ``is_report`` that it is about a message of ours. ``identity`` is the
    same for the same Message-ID and content. ``cut_off``: its end is missing. ``refused`` says why it was not taken
    apart, "" if it was.
    """

    sender: str
    subject: str
    message_id: str
    references: tuple[str, ...]
    identity: str
    unanswered: str
    is_report: bool
    cut_off: bool
    attachments: tuple[Attachment, ...]
    refused: str = ""


class _TooMuch(Exception):
    """A message that is not to be taken apart, and why."""


class _Part(EmailMessage):
    """A part that knows how deep it lies, and has headers that can be read in no time."""

    level = 0

    def set_raw(self, name: str, value: str) -> None:
        """Take a header in, as the parser does while it reads."""
        if name.lower() in _READ and len(value) > MOST_HEADER_BYTES:
            self._too_much(f"The header {name} of the message has more than {MOST_HEADER_BYTES:,} bytes.")
        elif len(self) >= MOST_HEADERS:
            self._too_much(f"A part of the message has more than {MOST_HEADERS:,} headers.")
        else:
            super().set_raw(name, value)

    def _too_much(self, why: str) -> None:
        raise _TooMuch(why)

    def attach(self, payload: "_Part") -> None:  # type: ignore[override] # the parser makes parts of this class
        """Take a part in, as the parser does while it reads."""
        payload.level = self.level + 1
        if payload.level > MOST_LEVELS:
            raise _TooMuch(f"The parts of the message lie more than {MOST_LEVELS} deep in each other.")
        super().attach(payload)


def read(raw: bytes, *, mail_from: str, recipient: str) -> Letter:
    """Understand a message; whatever its bytes are, this gives a letter."""
    message, refused = _parsed(raw)
    message_id = _header(message, "Message-ID").strip()
    body = raw.partition(b"\r\n\r\n")[2]
    known = f"{recipient}\n{message_id}\n".encode() + body
    parts = list(_leaves(message))
    return Letter(
        sender=_sender(message),
        subject=_header(message, "Subject"),
        message_id=message_id,
        references=tuple(re.findall(r"<[^<>\s]+>", _header(message, "References"))),
        identity=hashlib.sha256(known).hexdigest(),
        unanswered=_unanswered(message, mail_from),
        is_report=not mail_from or message.get_content_type() == "multipart/report",
        cut_off=not refused and any(_has(part, _CUT_OFF) for part in message.walk()),
        attachments=tuple(one for part in parts if (one := _attachment(part)) is not None),
        refused=refused,
    )


class _Head(_Part):
    """The headers of a message that is not taken apart, as far as they can be read."""

    def _too_much(self, why: str) -> None:
        """Read the others."""


def _parsed(raw: bytes) -> tuple[EmailMessage, str]:
    """The message, or its headers alone and why it was not taken apart."""
    made = 0

    def part(policy: "Policy[Any]") -> _Part:
        nonlocal made
        made += 1
        # The message itself is the first.
        if made > MOST_PARTS + 1:
            raise _TooMuch(f"The message has more than {MOST_PARTS} parts.")
        return _Part(policy)

    bounded = policy.default.clone(message_factory=part)
    try:
        return BytesParser(policy=bounded).parsebytes(raw), ""
    except _TooMuch as error:
        headers = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        read = BytesParser(policy=policy.default.clone(message_factory=_Head))
        return read.parsebytes(headers, headersonly=True), str(error)


def _leaves(message: EmailMessage, nested: int = 0) -> Iterator[EmailMessage]:
    """The parts that hold something, in order; messages within the message are opened once."""
    if message.get_content_type() == "message/rfc822":
        if nested < _NESTED:
            for inner in _payload(message):
                yield from _leaves(inner, nested + 1)
    elif message.is_multipart():
        for part in _payload(message):
            yield from _leaves(part, nested)
    else:
        yield message


def _payload(message: EmailMessage) -> list[EmailMessage]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, EmailMessage)] if isinstance(payload, list) else []


def _attachment(part: EmailMessage) -> Attachment | None:
    kind, name = part.get_content_type(), _name(part)
    if kind in _SIGNATURES or kind.startswith(_NEVER) or name.lower().startswith(_OURS):
        return None
    extension = PurePosixPath(name.lower()).suffix
    if extension not in _EXTENSIONS and not name and kind == "text/plain":
        return None  # the text of the message
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content.strip():
        return None
    if extension not in _EXTENSIONS:
        guessed = _TYPES.get(kind) or _guessed(content)
        if not guessed:
            return None
        name = f"{name or 'attachment'}{guessed}"
    return Attachment(name, content, _has(part, _DAMAGED))


def _name(part: EmailMessage) -> str:
    """The name of a part without folders, "" if it has none."""
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""  # a name that cannot be decoded; the content decides
    return PurePosixPath(name.replace("\\", "/")).name.strip()


def _guessed(content: bytes) -> str:
    start = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, extension in _MAGIC.items():
        if start.startswith(magic):
            return extension
    line = start.split(b"\n", 1)[0]
    return ".csv" if _HEADER_LINE.search(line) and any(one in line for one in _DELIMITERS) else ""


def _sender(message: EmailMessage) -> str:
    try:
        found = [address for header in message.get_all("From", []) for address in header.addresses]
        usable = len(found) == 1 and found[0].domain and not UNKEEPABLE.search(found[0].addr_spec)
        return canonical(found[0].addr_spec) if usable else ""
    except (ValueError, LookupError, TypeError, AttributeError, Unusable):
        return ""


def _unanswered(message: EmailMessage, mail_from: str) -> str:
    """Why nobody is to be answered automatically (RFC 3834 2), "" if somebody is."""
    automatic = _header(message, "Auto-Submitted").partition(";")[0].strip().lower()
    reasons = {
        "it has no return path": not mail_from,
        "it was sent automatically": automatic not in {"", "no"},
        "it is a report": message.get_content_type() in {"multipart/report", "message/delivery-status"},
        "it came by a list": any(_header(message, name) for name in _LISTS)
        or _header(message, "Precedence").strip().lower() in _BULK,
        "it asks not to be answered": bool(_header(message, "X-Auto-Response-Suppress"))
        and _header(message, "X-Auto-Response-Suppress").strip().lower() != "none",
        "its sender is no person": bool(_MACHINES.fullmatch(_sender(message).partition("@")[0] + "@")),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _header(message: EmailMessage, name: str) -> str:
    """A header's text on one line; "" if it is not there or cannot be understood."""
    try:
        text = str(message.get(name, ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return " ".join(UNKEEPABLE.sub(" ", text).split())


def _has(part: EmailMessage, kinds: tuple[type[MessageDefect], ...]) -> bool:
    return any(isinstance(defect, kinds) for defect in part.defects)
