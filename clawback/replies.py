"""Replies and notices: what a brand reads in its mailbox about the files it mailed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Any, Final

from processing.codes import Verdict

SHOWN_LINES: Final = 10
DONE: Final = frozenset({Verdict.APPLIED.value, Verdict.UNCHANGED.value})
_SENDER_NAME: Final = "Clawback returns desk"
_LONGEST_SUBJECT: Final = 200
_CELL: Final = "padding:6px 12px 6px 0;border-bottom:1px solid #e3e6ea;text-align:left;vertical-align:top"
_NUMBER: Final = "padding:6px 0 6px 12px;border-bottom:1px solid #e3e6ea;text-align:right;white-space:nowrap"
_SMALL: Final = "color:#7b8794;font-size:13px"
_PAGE: Final = (
    "<div style=\"font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;"
    'line-height:1.5;color:#1f2933;max-width:640px">{}</div>'
)
_COLOURS: Final = {
    "done": "#1b7f4b",
    "unpacked": "#1b7f4b",
    "duplicate": "#52606d",
    "held": "#b25e09",
    "rejected": "#b3261e",
}
_STATES: Final = {
    "done": "finished",
    "duplicate": "sent before",
    "held": "held for a person",
    "rejected": "not applied",
    "broken": "not applied yet",
    "unpacked": "unpacked",
    "waiting": "waiting for its file",
}

Receipt = dict[str, Any]
# Without its content it is too large to be sent.
File = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Frame:
    """What every message of ours carries: who it is from and to, and its own unique name."""

    sender: str
    recipient: str
    key: str
    made_at: datetime

    def message(self, subject: str, thread: Sequence[str] = ()) -> EmailMessage:
        """A message without content, as RFC 3834 wants automatic ones to be."""
        made = EmailMessage()
        local, _, domain = self.sender.rpartition("@")
        made["From"] = Address(_SENDER_NAME, local, domain)
        made["To"] = self.recipient
        made["Subject"] = subject[:_LONGEST_SUBJECT]
        made["Date"] = format_datetime(self.made_at)
        # The same each time it is sent: a relay that took it without our knowing gives it to nobody twice.
        made["Message-ID"] = f"<{self.key}@{domain}>"
        if thread:
            made["In-Reply-To"] = thread[-1]
            made["References"] = " ".join(thread[-10:])
        made["Auto-Submitted"] = "auto-replied" if thread else "auto-generated"
        made["X-Auto-Response-Suppress"] = "All"
        return made


def reply(frame: Frame, subject: str, thread: str, receipts: Sequence[Receipt], remarks: Sequence[str]) -> EmailMessage:
    """The answer to a message: a summary of each delivery, as text and as HTML. Files are attached by ``attach``."""
    known = tuple(one for one in json.loads(thread) if _is_id(one))
    title = subject if subject.lower().startswith("re:") else f"Re: {subject or 'your message'}"
    message = frame.message(title, known)
    if not known:
        message.replace_header("Auto-Submitted", "auto-replied")
    text = "\n\n\n".join([*remarks, *map(_text, receipts), _FOOT])
    message.set_content(text + "\n")
    notes = "".join(f'<p style="color:#b3261e"><strong>{escape(one)}</strong></p>' for one in remarks)
    foot = f'<p style="{_SMALL};margin-top:28px">{escape(_FOOT)}</p>'
    message.add_alternative(_PAGE.format(notes + "".join(map(_html, receipts)) + foot), subtype="html")
    return message


def attach(message: EmailMessage, files: Iterable[File], *, at_most_bytes: int) -> None:
    """Attach files while there is room, and say which had none."""
    left_out, size_bytes = [], 0
    for name, content in files:
        # Base64 makes four bytes of three, and lines.
        coded_bytes = 0 if content is None else len(content) * 14 // 10
        if content is None or size_bytes + coded_bytes > at_most_bytes:
            left_out.append(name)
            continue
        size_bytes += coded_bytes
        kind = ("application", "json") if name.endswith(".json") else ("application", "octet-stream")
        kind = ("text", "csv") if name.endswith(".csv") else kind
        message.add_attachment(content, *kind, filename=name)
    if left_out:
        told = (
            f"Too large for an e-mail, and therefore not attached: {', '.join(left_out)}. They are in your results.\n"
        )
        message.add_attachment(told, filename="not-attached.txt")


def notice(frame: Frame, found: dict[str, Any]) -> EmailMessage:
    """Tell the contact of an account about a message that was not believed."""
    message = frame.message("A message to your returns inbox was set aside")
    message.set_content(
        f"A message to {found['recipient']} was set aside, and nothing of it was applied.\n\n"
        f"It says it is from {found['from'] or 'nobody'}, and arrived {found['received_at']}.\n"
        f"{found['reason']}\n\n"
        "If it is yours, have it released by the programme's desk, and its sender allowed, before the actions it is "
        f"about lock; its arrival still counts. Its number is {found['message']}.\n"
        "If it is not, you need not do anything.\n"
    )
    return message


_FOOT: Final = (
    "This is an automatic answer; nobody reads replies to it. The result file has every line with its verdict; the fix "
    "file, if there is one, has the lines that you can repair and send again."
)


def _text(receipt: Receipt) -> str:
    rows = receipt["rows"]
    verdicts = " + ".join(f"{rows[one.value]:,} {one.value}" for one in Verdict)
    parts = [f"{receipt['name']}: {_state(receipt)[0]}", *_whole(receipt)]
    parts += [f"{rows['read']:,} read = {verdicts}"] if _has_lines(receipt) else []
    parts += [f"  payout {one}: {before} -> {after}" for one, before, after in _payouts(receipt)]
    parts += [_lock(receipt)] if receipt["nearest_lock"] else []
    parts += ["", *(f"  line {one['line']}: {one['verdict']}. {one['message']}" for one in receipt["lines"])]
    parts += _more(receipt)
    return "\n".join([*parts, "", f"  delivery {receipt['delivery']}, received {receipt['received_at']}"])


def _html(receipt: Receipt) -> str:
    rows, (told, colour) = receipt["rows"], _state(receipt)
    counts = "".join(_row(one.value, f"{rows[one.value]:,}") for one in Verdict if rows[one.value])
    payouts = "".join(_row(f"payout {one}", f"{before} &rarr; {after}") for one, before, after in _payouts(receipt))
    lines = "".join(_row(f"line {one['line']}: {one['message']}", one["verdict"]) for one in receipt["lines"])
    state = f'<span style="color:{colour};font-weight:normal">{told}</span>'
    parts = [
        f'<h2 style="font-size:17px;margin:24px 0 4px">{escape(receipt["name"])} {state}</h2>',
        *(f"<p>{escape(one)}</p>" for one in _whole(receipt)),
        _table(_row("read", f"{rows['read']:,}", strong=True) + counts + payouts) if _has_lines(receipt) else "",
        f'<p style="color:#52606d">{escape(_lock(receipt))}</p>' if receipt["nearest_lock"] else "",
        _table(lines) if lines else "",
        *(f"<p>{escape(one)}</p>" for one in _more(receipt)),
        f'<p style="{_SMALL}">Delivery {receipt["delivery"]}, received {receipt["received_at"]}</p>',
    ]
    return "".join(parts)


def _state(receipt: Receipt) -> tuple[str, str]:
    """How far a delivery has come, in words and as a colour."""
    state = receipt["state"]
    if "held_money" in receipt:
        return "finished, but for lines that are held for a person", _COLOURS["held"]
    return _STATES[state], _COLOURS.get(state, "#b3261e")


def _table(rows: str) -> str:
    return f'<table style="border-collapse:collapse;width:100%;margin:8px 0 16px">{rows}</table>'


def _row(name: str, value: str, *, strong: bool = False) -> str:
    weight = ";font-weight:600" if strong else ""
    return f'<tr><td style="{_CELL}{weight}">{escape(name)}</td><td style="{_NUMBER}{weight}">{value}</td></tr>'


def _has_lines(receipt: Receipt) -> bool:
    """Whether it is no container, whose files have the lines."""
    return "files" not in receipt


def _whole(receipt: Receipt) -> list[str]:
    told = (
        [f"The same bytes as {receipt['duplicate_of']}; nothing was applied twice."] if receipt["duplicate_of"] else []
    )
    told += [receipt["message"]] if receipt["message"] else []
    return [*told, f"Changed since the last answer: {_because(receipt)}."] if receipt["revisions"] else told


def _because(receipt: Receipt) -> str:
    because: str = receipt["revisions"][-1]["because"]
    return because.removesuffix(".")


def _payouts(receipt: Receipt) -> list[tuple[str, str, str]]:
    return [(one, sides["payout_before"], sides["payout_after"]) for one, sides in receipt["money"].items()]


def _lock(receipt: Receipt) -> str:
    return f"The nearest lock is {receipt['nearest_lock']}, {receipt['time_left']} after the arrival. {receipt['rule']}"


def _more(receipt: Receipt) -> list[str]:
    more = sum(lines for one, lines in receipt["rows"].items() if one not in DONE | {"read"}) - len(receipt["lines"])
    return [f"… and {more:,} more; the attached result file has them all."] if more > 0 else []


def _is_id(text: str) -> bool:
    return text.isascii() and text.isprintable() and text.startswith("<") and text.endswith(">") and " " not in text
