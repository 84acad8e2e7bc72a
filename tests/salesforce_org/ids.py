"""The ids of the fake org: made of 15 characters, and refused where they are none."""

import re
import string
from typing import Final

from tests.salesforce_org.soql import Refused

_LETTERS: Final = string.ascii_uppercase + "012345"
_ID: Final = re.compile(r"[A-Za-z0-9]{15}")


def checked(identity: str) -> str:
    """The 18 characters of an id of 15."""
    suffix = "".join(
        _LETTERS[sum(1 << at for at, one in enumerate(identity[part : part + 5]) if one in string.ascii_uppercase)]
        for part in (0, 5, 10)
    )
    return identity[:15] + suffix


def check(text: str, prefix: str) -> None:
    """Refuse, as the org does, what is no id, or that of another object than the one with this prefix."""
    if not _ID.fullmatch(text[:15]) or text not in {text[:15], checked(text)} or not text.startswith(prefix):
        raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
