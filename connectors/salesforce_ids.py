"""Salesforce's record ids: 15 characters whose case counts, or 18 of which the last three tell that case."""

import re
import string
from typing import Final

_ID: Final = re.compile(r"[A-Za-z0-9]{15}([A-Z0-5]{3})?")
_LETTERS: Final = string.ascii_uppercase + "012345"
_PART: Final = 5
_SHORT: Final = 15


def canonical(identity: str, prefix: str = "") -> str:
    """The id in its form of 18; raises ValueError for what is none, or does not begin with the object's ``prefix``."""
    if not _ID.fullmatch(identity) or not identity.startswith(prefix):
        kind = f" that begins with {prefix}" if prefix else ""
        raise ValueError(f"{identity[:40]!r} is no Salesforce id{kind} of 15 or 18 characters")
    full = identity[:_SHORT] + _suffix(identity)
    if identity not in {full, identity[:_SHORT]}:
        raise ValueError(f"{identity!r} is no Salesforce id: its last three characters do not fit")
    return full


def _suffix(identity: str) -> str:
    parts = (identity[at : at + _PART] for at in range(0, _SHORT, _PART))
    return "".join(_LETTERS[sum(1 << at for at, one in enumerate(part) if one.isupper())] for part in parts)
