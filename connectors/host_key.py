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
        # The first field repeats the kind; a key that lost letters when it was copied shows here.
        if _fields(blob)[:1] != [kind.encode()]:
            raise Unusable(f"The {kind} host key is not whole; copy the line again.")
        return cls(kind, blob)

    @property
    def fingerprint(self) -> str:
        """The same as ``ssh-keygen -l`` shows."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


def _fields(blob: bytes) -> list[bytes]:
    """The fields of a key on the wire, each with its length before it; none when they do not end where it ends."""
    found = []
    while blob:
        length = int.from_bytes(blob[:_LENGTH_BYTES])
        field, blob = blob[_LENGTH_BYTES : _LENGTH_BYTES + length], blob[_LENGTH_BYTES + length :]
        if len(field) < length:
            return []
        found.append(field)
    return found
