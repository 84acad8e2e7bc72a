"""What a request is refused with: a status, a stable code, a sentence, and the fields that are at fault."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

# The mark of a request that came when there were too many connections, in the state of its scope.
FULL: Final = "full"
# What comes or is taken more slowly than this holds its place for too long.
LEAST_BYTES_PER_S: Final = 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one parameter."""

    field: str
    message: str


class Refused(Enum):
    """The stable codes of the API, each with its HTTP status and its sentence."""

    UNAUTHORIZED = (401, "Give your AccountSID and an AuthToken by HTTP Basic.")
    FORBIDDEN = (403, "This token may read only; use one with the scope write.")
    NOT_FOUND = (404, "There is no such resource.")
    METHOD_NOT_ALLOWED = (405, "This resource has no such method.")
    VALIDATION_FAILED = (400, "Validation Failed")
    MALFORMED_REQUEST = (400, "The request is not HTTP as it should be.")
    MALFORMED_BODY = (400, "The body cannot be read.")
    UNSUPPORTED_MEDIA_TYPE = (415, "Send the body as application/x-www-form-urlencoded or application/json.")
    BODY_TOO_LARGE = (413, "The body is larger than this resource takes.")
    BODY_TOO_SLOW = (408, "The body did not arrive in time; nothing was kept. Send the request again.")
    LENGTH_MISMATCH = (400, "The body is not as long as announced; nothing was kept. Send the request again.")
    DIGEST_MISMATCH = (400, "The body is not the one its Content-Digest tells; nothing was kept. Send it again.")
    IDEMPOTENCY_KEY_REUSED = (409, "This Idempotency-Key belongs to another request; give each request its own.")
    CONTRACT_ERROR = (409, "The conversion cannot be credited.")
    NOT_FINISHED = (409, "The delivery has no such file, or not yet.")
    NOT_UNDOABLE = (409, "There is nothing of this delivery to undo.")
    RATE_LIMITED = (
        429,
        "The account has used up its requests of this hour; X-RateLimit-Reset tells when more are given.",
    )
    TOO_MANY_CONNECTIONS = (503, "The server has as many connections as it takes; try again later.")
    STORAGE_FAILED = (503, "The request could not be stored; nothing was kept. Send it again later.")
    STORE_UNAVAILABLE = (503, "The ledger does not answer at the moment; try again later.")
    INTERNAL = (500, "The server has a problem of its own; nothing is half done. Try again later.")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """What is said when nothing more particular is known."""
        return self.value[1]


class Refusal(Exception):
    """Ends a request with an answer in the documented envelope."""

    def __init__(
        self, code: Refused, *faults: Fault, message: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code.name)
        self.code = code
        self.faults = faults
        self.message = message or code.sentence
        self.headers = dict(headers or {})


def fields_of(code: Refused, message: str | None = None, faults: tuple[Fault, ...] = ()) -> dict[str, object]:
    """The documented envelope."""
    errors = [{"Field": fault.field, "Message": fault.message} for fault in faults]
    return {"Status": "ERROR", "Message": message or code.sentence, "Code": code.name, "Errors": errors}


def invalid(field: str, message: str) -> Refusal:
    """A parameter that is wrong."""
    return Refusal(Refused.VALIDATION_FAILED, Fault(field, message))
