"""A sidecar, ``<name>.sha256``: the digest that the file of that name must have, as ``sha256sum`` writes it or bare."""

import re
from pathlib import Path
from typing import Final

from processing.codes import Code
from processing.errors import Unreadable

_SUFFIX: Final = ".sha256"
_LONGEST: Final = 4 * 1024
# A name may stand behind the digest, or before it as BSD writes it; what counts is the name of the sidecar itself.
_DIGEST: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:SHA256 \([^\r\n]*\) = |\\)?([0-9A-Fa-f]{64})(?:[ \t]+[^\r\n]*)?\s*"
)


def described(name: str) -> str | None:
    """The name of the file that a delivery of this name is the sidecar of, ``None`` if it is none."""
    stem = name[: -len(_SUFFIX)]
    return stem if stem and name.lower().endswith(_SUFFIX) else None


def read_digest(path: Path) -> str:
    """The digest in a sidecar, in lower case; raises ``Unreadable`` (NOT_READABLE) if it is not one digest."""
    with path.open("rb") as file:
        found = _DIGEST.fullmatch(file.read(_LONGEST))
    if found is None or path.stat().st_size > _LONGEST:
        reason = "The sidecar is not one line with a SHA-256 digest of 64 hexadecimal digits, as sha256sum writes it."
        raise Unreadable(Code.NOT_READABLE, reason)
    return found[1].decode("ascii").lower()
