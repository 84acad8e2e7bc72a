"""The address book of the inbox: which address belongs to whom, and who may write to it.

One small file per address and per account, as for passwords, so that neither the question whether a recipient is known
nor the landing of a message needs the database.
"""

import base64
import json
import logging
import re
import secrets
from dataclasses import asdict, dataclass, replace
from email.headerregistry import Address
from pathlib import Path
from typing import Any, Final

from connectors.durable import claim, ensure_folder, replace_file, sync_folder
from processing.errors import NotFound, Unusable

_log = logging.getLogger(__name__)

# 160 bits in letters that survive a mail system that changes their case.
_RANDOM_BYTES: Final = 20
_LOCAL: Final = re.compile(r"[a-z2-7]{32}")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address of ours and whose deliveries come to it; ``event_type`` is meant by lines that name none."""

    local: str
    account: str
    event_type: int | None = None


@dataclass(frozen=True, slots=True)
class Senders:
    """Who may send for an account: addresses and domains; and the address of the person to ask, if there is one."""

    allowed: tuple[str, ...] = ()
    contact: str | None = None

    def allow(self, address: str) -> bool:
        """Whether this (authenticated) address may send; a domain allows its own addresses, not its subdomains'."""
        known = canonical(address)
        return known in self.allowed or known.rpartition("@")[2] in self.allowed


class MailBook:
    """Files in ``folder/addresses/<local part>`` and ``folder/senders/<account>``."""

    def __init__(self, folder: Path) -> None:
        self._addresses = folder / "addresses"
        self._senders = folder / "senders"

    def open_mailbox(self, account: str, event_type: int | None = None) -> Mailbox:
        """Make an address that nobody can guess."""
        _check_account(account)
        local = base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().lower()
        ensure_folder(self._addresses)
        known = {"account": account, "event_type": event_type}
        replace_file(self._addresses / local, json.dumps(known).encode())
        _log.info("address_made account=%s event_type=%s", account, event_type)
        return Mailbox(local, account, event_type)

    def find(self, local: str) -> Mailbox | None:
        """Whose address has this local part, None if it is nobody's (any more)."""
        name = local.lower()
        if not _LOCAL.fullmatch(name):
            return None
        known = _read(self._addresses / name)
        return None if known is None else Mailbox(name, known["account"], known["event_type"])

    def mailboxes(self, account: str) -> list[Mailbox]:
        """The addresses of an account."""
        names = sorted(path.name for path in self._addresses.iterdir()) if self._addresses.is_dir() else []
        found = (self.find(name) for name in names)
        return [one for one in found if one is not None and one.account == account]

    def close_mailbox(self, account: str, local: str) -> None:
        """Take no more messages at an address of the account; raises NotFound."""
        box = self.find(local)
        if box is None or box.account != account:
            raise NotFound(f"{account} has no such address; `clawback accounts address {account} --list` shows them.")
        (self._addresses / box.local).unlink(missing_ok=True)
        sync_folder(self._addresses)
        _log.info("address_revoked account=%s event_type=%s", account, box.event_type)

    def senders(self, account: str) -> Senders:
        """Who may send for an account; at first nobody."""
        _check_account(account)
        known = _read(self._senders / account)
        return Senders() if known is None else Senders(tuple(known["allowed"]), known["contact"])

    def change_senders(
        self, account: str, *, allow: tuple[str, ...] = (), remove: tuple[str, ...] = (), contact: str | None = None
    ) -> Senders:
        """Allow and remove addresses or domains, set the contact (empty: none); raises Unusable and NotFound."""
        ensure_folder(self._senders)
        with claim(self._senders / ".claim"):
            senders = self.senders(account)
            gone = {canonical(one) for one in remove}
            unknown = sorted(gone - set(senders.allowed))
            if unknown:
                raise NotFound(f"{unknown[0]} is not among the senders of {account}; nothing was changed.")
            kept = set(senders.allowed) - gone | {canonical(one) for one in allow}
            senders = replace(senders, allowed=tuple(sorted(kept)))
            if contact is not None:
                senders = replace(senders, contact=_address(contact) if contact else None)
            replace_file(self._senders / account, json.dumps(asdict(senders)).encode())
        _log.info("senders_changed account=%s allowed=%d", account, len(senders.allowed))
        return senders


def canonical(text: str) -> str:
    """An address or a domain as it is compared: its domain in ASCII, all in small letters; raises Unusable."""
    local, at, domain = text.strip().rpartition("@")
    name = domain.lower().rstrip(".")
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not _DOMAIN.fullmatch(name) or (at and not local):
        raise Unusable(f"{text!r} is neither an address nor a domain; give one such as ops@acme.example.")
    return f"{local.lower()}{at}{name}"


def _address(text: str) -> str:
    known = canonical(text)
    try:
        Address(addr_spec=known)
    except (ValueError, IndexError):
        known = ""
    if "@" not in known:
        raise Unusable(f"{text!r} is not an address; give one such as ops@acme.example.")
    return known


def _check_account(account: str) -> None:
    if not _ACCOUNT.fullmatch(account):
        raise Unusable(f"{account!r} cannot be an account: letters, digits, '-' and '_'.")


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
