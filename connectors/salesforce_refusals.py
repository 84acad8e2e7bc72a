"""What an org's refusal means: whether it passes, and who has to act if it does not."""

import json
import re
from typing import Any, Final

import requests
from simple_salesforce.exceptions import SalesforceError

from processing.errors import SourceExhausted, SourceRefused, SourceUnreachable

LIMIT: Final = "REQUEST_LIMIT_EXCEEDED"
_LOST_PLACE: Final = "INVALID_QUERY_LOCATOR"
_TOO_LONG: Final = "QUERY_TIMEOUT"
_PASSING: Final = frozenset({406, 408, 420, 429})
_SERVER: Final = 500
_REFERENCE: Final = re.compile(r"[\w.-]+")


class Told(SourceRefused):
    """A refusal with the codes that the org gave."""

    def __init__(self, message: str, codes: frozenset[str]) -> None:
        super().__init__(message)
        self.codes = codes


class LostPlace(SourceUnreachable):
    """A query cannot be read on: trying the same page again would not help."""


def sorted_refusal(name: str, what: str, error: SalesforceError) -> Exception:
    """Which of ours a refusal is; its text may hold data, so only its codes are told."""
    codes = _codes(error.content)
    told = ", ".join(sorted(codes)) or f"HTTP {error.status}"
    if LIMIT in codes:
        return SourceExhausted(f"Source {name}: the org's API calls of the day are used up ({LIMIT}).")
    if _LOST_PLACE in codes:
        return LostPlace(f"Source {name}: the {what} cannot be read on ({told}). It is read anew.")
    if error.status in _PASSING or error.status >= _SERVER or _TOO_LONG in codes:
        return SourceUnreachable(f"Source {name}: Salesforce failed at the {what} (HTTP {error.status}, {told}).")
    kind = "permission" if error.status == requests.codes.forbidden else "configuration"
    return Told(
        f"Source {name}: Salesforce refuses the {what} ({told}); this is a matter of {kind}. "
        f"`clawback sources check {name}` says what to change.",
        codes,
    )


def _codes(content: object) -> frozenset[str]:
    """The error codes of an answer, whatever its shape."""
    told: Any = content
    if isinstance(told, str | bytes):
        try:
            told = json.loads(told)
        except ValueError:
            return frozenset()
    each = told if isinstance(told, list) else [told]
    codes = (str(one.get("errorCode", "")) for one in each if isinstance(one, dict))
    return frozenset(code for code in codes if _REFERENCE.fullmatch(code))
