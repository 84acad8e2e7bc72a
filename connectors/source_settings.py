"""How a brand's own server is reached, and what is fetched from it: values only, one class for each kind of source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from connectors.host_key import HostKey
from processing.errors import Unusable

ENV: Final = "env:"
FILE: Final = "file:"
# The platform that we stand in for looks this often.
EVERY_S: Final = 4 * 3600
MAX_FILE_BYTES: Final = 2 * 1024**3
After = Literal["keep", "move", "delete"]
BY_HAND: Final = "off"
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_S: Final = 10


def interval(value: object) -> int | None:
    """The seconds of ``4h``, ``30m``, ``10s`` or ``1d``, None for ``off``; raises ValueError for anything else."""
    if value == BY_HAND:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd])", value) if isinstance(value, str) else None
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if seconds < _SHORTEST_S:
        raise ValueError(f"{value!r} is no interval; write 4h, 30m, 10s (the shortest), 1d, or off for by hand only")
    return seconds


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret stands (``env:NAME`` or ``file:PATH``), never the secret: that is read when it is needed."""

    reference: str

    @classmethod
    def parse(cls, text: str, folder: Path) -> Self:
        """A reference, a relative path in it being relative to ``folder``; raises Unusable without repeating it."""
        if text.startswith(ENV) and len(text) > len(ENV):
            return cls(text)
        if text.startswith(FILE) and len(text) > len(FILE):
            return cls(f"{FILE}{(folder / text.removeprefix(FILE)).absolute()}")
        raise Unusable("a secret does not belong into a settings file; write env:NAME or file:PATH")

    def reveal(self, environ: Mapping[str, str]) -> str:
        """The secret itself; raises Unusable when it is not where the reference says."""
        if self.reference.startswith(ENV):
            secret = environ.get(self.reference.removeprefix(ENV), "")
        else:
            path = Path(self.reference.removeprefix(FILE))
            try:
                secret = path.read_text().removesuffix("\n").removesuffix("\r")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                raise Unusable(f"The secret {self.reference} cannot be read: {reason}.") from None
        if not secret:
            raise Unusable(f"The secret {self.reference} is empty or not set.")
        return secret


@dataclass(frozen=True, slots=True)
class SftpSettings:
    """A brand's SFTP server; one of ``key_file`` and ``password`` opens it, ``host_key`` proves that it is the one.

    ``key_passphrase`` opens a ``key_file`` that is encrypted.
    ``folder`` and ``result_folder`` are paths on the server; without the latter no answers are put there. ``every_s``
    is None for a source that is pulled by hand only.
    """

    name: str
    account: str
    host: str
    user: str
    port: int = 22
    event_type: int | None = None
    key_file: Path | None = None
    key_passphrase: Secret | None = None
    password: Secret | None = None
    host_key: tuple[HostKey, ...] = ()
    folder: str = "."
    pattern: str = "*"
    after: After = "keep"
    result_folder: str = ""
    every_s: int | None = EVERY_S
    timeout_s: int = 60
    max_file_bytes: int = MAX_FILE_BYTES

    @property
    def channel(self) -> str:
        """The channel of its deliveries."""
        return f"sftp:{self.name}"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"sftp://{self.user}@{self.host}:{self.port}/{self.folder.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class FtpPullSettings:
    """A brand's FTP server, with explicit TLS unless that is off; ``ca_file`` is trusted instead of the system's.

    The other fields are those of ``SftpSettings``.
    """

    name: str
    account: str
    host: str
    user: str
    password: Secret
    port: int = 21
    event_type: int | None = None
    tls: Literal["required", "off"] = "required"
    ca_file: Path | None = None
    folder: str = "."
    pattern: str = "*"
    after: After = "keep"
    result_folder: str = ""
    every_s: int | None = EVERY_S
    timeout_s: int = 60
    max_file_bytes: int = MAX_FILE_BYTES

    @property
    def channel(self) -> str:
        """The channel of its deliveries; the hosted FTP server's is plain ``ftp``."""
        return f"ftp:{self.name}"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"ftp://{self.user}@{self.host}:{self.port}/{self.folder.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """A file at a URL; ``authorization`` is the value of ``header``, such as ``Bearer …`` or ``Basic …``.

    ``compare``: whether headers tell that the file is new, or only its content. Addresses have to be public, or in the
    ``private_networks`` named. ``file`` is what its deliveries are called, by default the end of the URL's path. The
    other fields are those of ``SftpSettings``.
    """

    name: str
    account: str
    url: str
    event_type: int | None = None
    authorization: Secret | None = None
    header: str = "Authorization"
    file: str = ""
    compare: Literal["headers", "content"] = "headers"
    tls: Literal["required", "off"] = "required"
    ca_file: Path | None = None
    private_networks: str = ""
    every_s: int | None = EVERY_S
    timeout_s: int = 60
    max_file_bytes: int = MAX_FILE_BYTES

    @property
    def channel(self) -> str:
        """The channel of its deliveries."""
        return f"http:{self.name}"

    @property
    def place(self) -> str:
        """Where it is, for people: what follows a ``?`` may be a secret."""
        return self.url.partition("?")[0]

    @property
    def pattern(self) -> str:
        """All that is there is the one file."""
        return "*"

    @property
    def after(self) -> After:
        """Nothing is changed at a URL."""
        return "keep"

    @property
    def result_folder(self) -> str:
        """A URL takes no answers."""
        return ""


SourceSettings = SftpSettings | FtpPullSettings | HttpSettings
KINDS: Final[Mapping[str, type[SourceSettings]]] = {"sftp": SftpSettings, "ftp": FtpPullSettings, "http": HttpSettings}


def kind_of(settings: SourceSettings) -> str:
    """The name of a source's kind, as its table in the settings file is called."""
    return next(kind for kind, its in KINDS.items() if isinstance(settings, its))
