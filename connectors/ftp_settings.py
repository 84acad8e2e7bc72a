"""What an operator decides about the hosted FTP server."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from processing.errors import Unusable

Tls = Literal["required", "optional", "off"]

_TLS: Final = ("required", "optional", "off")
_PORTS: Final = range(1, 65536)
_POSITIVE: Final = (
    "max_connections",
    "max_connections_per_ip",
    "max_upload_bytes",
    "quota_bytes",
    "idle_timeout_s",
    "login_attempts",
    "login_window_s",
    "login_refusal_s",
)


@dataclass(frozen=True, slots=True)
class FtpSettings:
    """Settings of the hosted FTP server; ``Unusable`` says which one cannot be used and why.

    ``port`` 0 takes a free one. ``tls`` is ``required`` (control and data), ``optional`` or ``off``. Failed logins:
    each is answered after ``login_delay_s``, doubled each time; after ``login_attempts`` within ``login_window_s`` the
    address is refused for ``login_refusal_s``.
    """

    certificate: Path
    key: Path
    host: str = "127.0.0.1"
    port: int = 2121
    tls: Tls = "required"
    passive_ports: range | None = None
    masquerade_address: str | None = None
    max_connections: int = 200
    max_connections_per_ip: int = 20
    max_upload_bytes: int = 1 << 30
    quota_bytes: int = 10 << 30
    idle_timeout_s: float = 300
    login_attempts: int = 5
    login_window_s: float = 600
    login_refusal_s: float = 900
    login_delay_s: float = 1

    def __post_init__(self) -> None:
        if self.tls not in _TLS:
            raise Unusable(f"tls is {self.tls!r}. Give one of {', '.join(_TLS)}.")
        if self.port not in range(65536):
            raise Unusable(f"port is {self.port}. Give a port from 1 to 65535, or 0 for a free one.")
        for setting in _POSITIVE:
            if getattr(self, setting) <= 0:
                raise Unusable(f"{setting} is {getattr(self, setting)}. Give a number above 0.")
        if self.login_delay_s < 0:
            raise Unusable(f"login_delay_s is {self.login_delay_s}. Give 0 or more seconds.")
        self._check_passive()

    def _check_passive(self) -> None:
        ports = self.passive_ports
        if ports is not None and (not ports or ports[0] not in _PORTS or ports[-1] not in _PORTS):
            raise Unusable(f"passive_ports is {ports}. Give a range of ports from 1 to 65535.")
        if self.masquerade_address is not None and not _is_ipv4(self.masquerade_address):
            raise Unusable(f"masquerade_address is {self.masquerade_address!r}. Give an IPv4 address.")


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
