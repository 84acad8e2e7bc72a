"""Settings: ``clawback.toml`` and ``CLAWBACK_*`` variables, read once at the edge into one frozen tree."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_type_hints

from clawback import source_tables
from clawback.source_tables import AnySource
from connectors.salesforce_settings import SalesforceSettings
from connectors.source_settings import SourceSettings
from processing.errors import NotFound, Unusable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FILE: Final = "clawback.toml"
Tree = TypeVar("Tree", bound="DataclassInstance")
CONFIG: Final = "CLAWBACK_CONFIG"
PREFIX: Final = "CLAWBACK_"
SOURCES: Final = "CLAWBACK_SOURCES"


@dataclass(frozen=True, slots=True)
class FtpServer:
    """The hosted FTP server; ``passive_ports`` is a range such as ``"50000-50100"``, empty for any free port."""

    host: str = "127.0.0.1"
    port: int = 2121
    tls: Literal["required", "optional", "off"] = "required"
    passive_ports: str = ""
    public_address: str = ""
    certificate: str = ""
    key: str = ""
    max_connections: int = 256
    max_connections_per_address: int = 32
    max_upload_bytes: int = 2 * 1024**3
    quota_bytes: int = 8 * 1024**3
    idle_timeout_s: int = 300
    login_attempts: int = 5


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The e-mail inbox, served once ``domain`` names the domain of its addresses.

    ``trusted_relay`` names the upstream server whose ``Authentication-Results`` are believed, if the message came from
    one of the ``trusted_networks`` (``"10.0.0.0/8, 192.0.2.7"``); ``dns`` is ``host:port``, by default the system's.
    """

    domain: str = ""
    host: str = "127.0.0.1"
    port: int = 2525
    tls: Literal["required", "optional", "off"] = "optional"
    certificate: str = ""
    key: str = ""
    max_message_bytes: int = 50 * 1024**2
    max_recipients: int = 20
    max_connections: int = 200
    max_connections_per_address: int = 20
    max_messages_per_minute: int = 300
    idle_timeout_s: int = 120
    session_timeout_s: int = 1800
    trusted_relay: str = ""
    trusted_networks: str = ""
    dns: str = ""


@dataclass(frozen=True, slots=True)
class MailRelay:
    """The server that takes our replies; without ``host`` there are none.

    ``password`` is ``env:NAME`` or ``file:PATH``; ``sender`` is the address that replies come from, by default
    ``returns@`` the inbox's domain.
    """

    host: str = ""
    port: int = 25
    tls: Literal["required", "optional", "off"] = "required"
    user: str = ""
    password: str = ""
    sender: str = ""
    max_message_bytes: int = 20 * 1024**2


@dataclass(frozen=True, slots=True)
class WebServer:
    """Web Services; without ``tls`` they listen on this machine only, or behind the ``proxies`` that are named."""

    serve: Literal["on", "off"] = "on"
    host: str = "127.0.0.1"
    port: int = 8080
    tls: Literal["on", "off"] = "off"
    certificate: str = ""
    key: str = ""
    proxies: str = ""
    workers: int = 1
    requests_per_hour: int = 1000
    max_upload_bytes: int = 2 * 1024**3
    max_connections: int = 256
    max_connections_per_address: int = 64
    idle_timeout_s: int = 30


@dataclass(frozen=True, slots=True)
class Webhooks:
    """How programs of accounts are told: only at public addresses by HTTPS, and in the ``private_networks`` named."""

    private_networks: str = ""
    timeout_s: int = 10


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """Where Prefect's server and its UI listen."""

    host: str = "127.0.0.1"
    port: int = 4200


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often the schedules run, in seconds."""

    collect_every_s: int = 60
    lock_every_s: int = 900
    send_every_s: int = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set; ``state`` is the folder that holds all files of this installation.

    ``max_delivery_bytes`` counts what comes out of a container, whatever the container says of itself.
    """

    state: Path = Path("var")
    store: str = ""
    max_delivery_bytes: int = 2 * 1024**3
    ftp: FtpServer = field(default_factory=FtpServer)
    smtp: SmtpServer = field(default_factory=SmtpServer)
    relay: MailRelay = field(default_factory=MailRelay)
    web: WebServer = field(default_factory=WebServer)
    webhooks: Webhooks = field(default_factory=Webhooks)
    prefect: PrefectServer = field(default_factory=PrefectServer)
    schedule: Schedule = field(default_factory=Schedule)
    sources: tuple[AnySource, ...] = ()

    def source(self, name: str) -> AnySource:
        """The source of this name; raises NotFound."""
        found = next((one for one in self.sources if one.name == name), None)
        if found is None:
            kinds = "[[sftp]], [[ftp]], [[http]] or [[salesforce]]"
            names = ", ".join(one.name for one in self.sources) or f"none yet; write {kinds} in the settings"
            raise NotFound(f"There is no source {name!r}; there is {names}.")
        return found

    def server(self, name: str) -> SourceSettings:
        """The source of this name, which has files; raises NotFound and Unusable."""
        found = self.source(name)
        if isinstance(found, SalesforceSettings):
            raise Unusable(f"Source {name} is a Salesforce org: it has records, and no files to fetch.")
        return found

    def org(self, name: str) -> SalesforceSettings:
        """The source of this name, which is a Salesforce org; raises NotFound and Unusable."""
        found = self.source(name)
        if not isinstance(found, SalesforceSettings):
            raise Unusable(f"Source {name} is no Salesforce org.")
        return found

    @property
    def servers(self) -> tuple[SourceSettings, ...]:
        """The sources that have files."""
        return tuple(one for one in self.sources if not isinstance(one, SalesforceSettings))

    @property
    def orgs(self) -> tuple[SalesforceSettings, ...]:
        """The sources that are Salesforce orgs."""
        return tuple(one for one in self.sources if isinstance(one, SalesforceSettings))

    @property
    def store_url(self) -> str:
        """The store's database URL; by default a SQLite file in the state folder."""
        return self.store or f"sqlite:///{self.state.absolute() / 'clawback.db'}"


def load(environ: Mapping[str, str], folder: Path = Path()) -> Settings:
    """Settings of the file that ``CLAWBACK_CONFIG`` names, or of ``clawback.toml`` in the folder, then the environment.

    Relative paths are relative to the folder of the file. Raises Unusable, naming the key, for unknown keys and
    values of the wrong kind.
    """
    named = environ.get(CONFIG)
    path = Path(named) if named else folder / FILE
    given: dict[str, Any] = {}
    if named or path.exists():
        given = _read(path)
    tables, source = source_tables.taken_out(given, str(path)), str(path)
    if SOURCES in environ:
        tables, source = _passed_on(environ[SOURCES]), SOURCES
    settings = _filled(Settings(), given, str(path))
    settings = _filled(settings, _of_environment(environ), "the environment")
    sources = source_tables.parse(tables, path.parent, source)
    return replace(settings, state=(path.parent / settings.state).absolute(), sources=sources)


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make ``load`` give exactly these settings in another process, whatever file there is."""
    given = {CONFIG: os.devnull, SOURCES: source_tables.as_json(settings.sources)}
    for key in fields(settings):
        if key.name == "sources":
            continue
        value = getattr(settings, key.name)
        parts = (
            {f"{key.name}_{part.name}": getattr(value, part.name) for part in fields(value)}
            if is_dataclass(value)
            else {key.name: value}
        )
        given |= {PREFIX + name.upper(): str(one) for name, one in parts.items()}
    return given


def _passed_on(text: str) -> source_tables.Tables:
    """The sources as ``as_environment`` wrote them."""
    try:
        tables: source_tables.Tables = json.loads(text)
    except ValueError as error:
        raise Unusable(f"{SOURCES} is not JSON: {error}.") from None
    return tables


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        if re.search(r"^\s*\[ftp\]", text, re.MULTILINE) and re.search(r"^\s*\[\[ftp\]\]", text, re.MULTILINE):
            raise Unusable(
                f"{path}: beside sources called [[ftp]] the hosted server's table is called [{source_tables.HOSTED}]."
            )
        return tomllib.loads(text)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} is not TOML: {error}.") from None


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """``CLAWBACK_FTP_PORT=21`` means ``ftp.port = 21``."""
    given: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in {CONFIG, SOURCES}:
            continue
        key = name.removeprefix(PREFIX).lower()
        section, _, rest = key.partition("_")
        if section in _SECTIONS and rest:
            given.setdefault(section, {})[rest] = value
        else:
            given[key] = value
    return given


def _filled(base: Tree, given: Mapping[str, Any], source: str, path: str = "") -> Tree:
    kinds = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in kinds or key == "sources":
            near = get_close_matches(key, kinds, n=1)
            hint = f" Did you mean {path}{near[0]}?" if near else ""
            raise Unusable(f"{source}: {path}{key} is no setting.{hint}")
        if is_dataclass(kinds[key]):
            if not isinstance(value, dict):
                raise Unusable(f"{source}: {path}{key} is a table; write [{path}{key}].")
            changes[key] = _filled(getattr(base, key), value, source, f"{path}{key}.")
        else:
            changes[key] = _value(kinds[key], value, f"{source}: {path}{key}")
    return replace(base, **changes)


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any settings value
    choices = get_args(kind)
    if choices:
        if value in choices:
            return value
        raise Unusable(f"{where} is {value!r}; it can be {', '.join(map(repr, choices))}.")
    if kind is int:
        if isinstance(value, bool) or not str(value).isdecimal():
            raise Unusable(f"{where} is {value!r}; it must be a whole number, 0 or more.")
        return int(value)
    if not isinstance(value, str):
        raise Unusable(f"{where} is {value!r}; it must be a text.")
    return kind(value)


_SECTIONS: Final = tuple(name for name, kind in get_type_hints(Settings).items() if is_dataclass(kind))
