"""What an operator decides about the e-mail inbox."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from processing.errors import Unusable

Tls = Literal["required", "optional", "off"]

_TLS: Final = ("required", "optional", "off")
_POSITIVE: Final = (
    "max_message_bytes",
    "max_recipients",
    "max_connections",
    "max_connections_per_address",
    "max_messages_per_minute",
    "idle_timeout_s",
    "session_timeout_s",
)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Settings of the SMTP server; ``Unusable`` says which one cannot be used and why.

    ``port`` 0 takes a free one. ``tls`` says whether STARTTLS is ``required`` before anything else. A session that says
    nothing for ``idle_timeout_s`` ends, and every session after ``session_timeout_s``. ``max_messages_per_minute`` is
    per address of origin, as ``max_connections_per_address`` is.
    """

    domain: str
    certificate: Path
    key: Path
    host: str = "127.0.0.1"
    port: int = 2525
    tls: Tls = "optional"
    max_message_bytes: int = 50 << 20
    max_recipients: int = 20
    max_connections: int = 200
    max_connections_per_address: int = 20
    max_messages_per_minute: int = 300
    idle_timeout_s: float = 120
    session_timeout_s: float = 1800

    def __post_init__(self) -> None:
        if self.tls not in _TLS:
            raise Unusable(f"tls is {self.tls!r}. Give one of {', '.join(_TLS)}.")
        if self.port not in range(65536):
            raise Unusable(f"port is {self.port}. Give a port from 1 to 65535, or 0 for a free one.")
        for setting in _POSITIVE:
            if getattr(self, setting) <= 0:
                raise Unusable(f"{setting} is {getattr(self, setting)}. Give a number above 0.")
