"""Every exception we raise on purpose, sorted by who must act.

::

    ClawbackError
    ├─ Unusable          the person who gave it   a setting, catalogue, argument or command that cannot be used
    ├─ Unreadable        the brand                the bytes are not the file we agreed on; carries a code
    ├─ Braked            a second person      a delivery that does unusual harm, to be released or rejected
    ├─ UploadRefused     the brand                a channel will not take these bytes (too large, bad name)
    ├─ KeyReused         the brand                a request's key belongs to another request
    ├─ SpoolBroken       the operator             a landed delivery is not what its END record says
    ├─ NotFound          the person who asked     no such account, action or delivery
    ├─ SourceRefused     the operator             a brand's server turned us away, or is not the one we know
    ├─ SourceUnreachable nobody: try again        a brand's server does not answer, or the connection broke
    ├─ SourceExhausted   nobody: try much later   a brand's server has answered as often as it will for a while
    ├─ StoreUnavailable  nobody: try again        the database does not answer or was busy too long
    └─ LedgerConflict    nobody: try again        somebody changed the action meanwhile; decide again

``retryable`` tells a flow whether trying again can help. Anything else that is raised is a bug: it keeps its
traceback and fails the run. Messages are sentences with the name, the value and the next step; they never hold
a secret or a customer's data.
"""

from collections.abc import Mapping
from typing import Any

from processing.codes import Code


class ClawbackError(Exception):
    """Root of all errors that Clawback raises on purpose."""

    retryable = False


class Unusable(ClawbackError):
    """What a person gave (a setting, a catalogue, an argument) cannot be used."""


class Unreadable(ClawbackError):
    """The bytes of a delivery are not the file that was agreed on."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Braked(ClawbackError):
    """A delivery, or lines of one that are judged later, would do unusual harm and have to be held.

    ``reason`` is the message without the next step; ``would`` is what they would do, as ``Tally.told`` gives it.
    """

    def __init__(self, code: Code, reason: str, would: Mapping[str, Any]) -> None:
        super().__init__(code.message(reason=reason))
        self.code = code
        self.reason = reason
        self.would = would


class UploadRefused(ClawbackError):
    """A channel will not take these bytes; nothing was kept."""


class KeyReused(ClawbackError):
    """A key that makes a request safe to repeat belongs to another request; nothing was kept."""


class SpoolBroken(ClawbackError):
    """A landed delivery does not match its END record; an operator has to look at the disk."""


class NotFound(ClawbackError):
    """There is no such account, action or delivery."""


class SourceRefused(ClawbackError):
    """A brand's server is not the one whose key is pinned, or refused a login, a folder or a file."""


class SourceUnreachable(ClawbackError):
    """A brand's server does not answer, or the connection to it broke."""

    retryable = True


class SourceExhausted(ClawbackError):
    """A brand's server answers no more for a while: its quota is used up. Trying at once would only prolong it."""


class StoreUnavailable(ClawbackError):
    """The store does not answer or was busy for too long."""

    retryable = True


class LedgerConflict(ClawbackError):
    """An action changed between reading and writing; deciding again on fresh values helps."""

    retryable = True
