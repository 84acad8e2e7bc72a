"""An SSH server's host key as OpenSSH writes it: the pin by which a brand's server is known."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from processing.errors import Unusable

_KIND: Final = re.compile(r"(ssh-|ecdsa-sha2-)[a-z0-9-]+")
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class HostKey:
    """The public key of a server: its kind, such as ``ssh-ed25519``, and its bytes on the wire."""

    kind: str
    blob: bytes

    @classmethod
    def parse(cls, text: str) -> tuple[Self, ...]:
        """The keys in lines of a ``known_hosts`` file, whose host names may be left out; raises Unusable."""
        return tuple(cls._of_line(line) for line in text.splitlines() if line.strip())

    @classmethod
    def _of_line(cls, line: str) -> Self:
        fields = line.split()
        at = next((at for at, field in enumerate(fields[:2]) if _KIND.fullmatch(field)), None)
        if at is None or len(fields) < at + 2:
            raise Unusable(
                "A host key is written like in known_hosts: its kind and its base64, such as ssh-ed25519 AAAA…"
            )
        kind = fields[at]
        try:
            blob = base64.b64decode(fields[at + 1], validate=True)
        except binascii.Error:
            blob = b""
        # The first field on the wire repeats the kind; a key that lost a letter when it was copied shows here.
        length, named = blob[:_LENGTH_BYTES], blob[_LENGTH_BYTES : _LENGTH_BYTES + len(kind)]
        if named != kind.encode() or int.from_bytes(length) != len(kind):
            raise Unusable(f"The {kind} host key is not whole; copy the line again.")
        return cls(kind, blob)

    @property
    def fingerprint(self) -> str:
        """The same as ``ssh-keygen -l`` shows."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"
