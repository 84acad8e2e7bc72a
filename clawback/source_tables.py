"""The tables ``[[sftp]]``, ``[[ftp]]``, ``[[http]]`` and ``[[salesforce]]`` of the settings file, each a source."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

from clawback import salesforce_tables
from connectors.host_key import HostKey
from connectors.places import Place, networks
from connectors.salesforce_settings import KIND as SALESFORCE
from connectors.salesforce_settings import SalesforceSettings
from connectors.source_settings import (
    BY_HAND,
    KINDS,
    HttpSettings,
    Secret,
    SftpSettings,
    SourceSettings,
    interval,
    kind_of,
)
from processing.errors import Unusable

SCHEDULE: Final = "schedule"
# Where the hosted FTP server's own settings stand in a file that has sources called [[ftp]].
HOSTED: Final = "ftp_server"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_PORTS: Final = range(1, 65536)
# Ours are settings, and Prefect's are taken away from the processes that pull.
_NOT_PASSED_ON: Final = ("env:CLAWBACK_", "env:PREFECT_")

Tables = dict[str, list[dict[str, Any]]]
# What deliveries are fetched from: files from a server, or status changes from an org.
AnySource = SourceSettings | SalesforceSettings


def taken_out(given: dict[str, Any], source: str) -> Tables:
    """Take the sources' tables out of a settings file's; raises Unusable for what only looks like one."""
    tables: Tables = {}
    for kind in (*KINDS, SALESFORCE):
        if isinstance(given.get(kind), list):
            tables[kind] = given.pop(kind)
    for kind in {*KINDS, SALESFORCE} - {"ftp"}:
        if kind in given:
            raise Unusable(f"{source}: {kind} is a list of sources; write [[{kind}]].")
    if HOSTED in given:
        if "ftp" in given:
            raise Unusable(f"{source}: ftp and {HOSTED} are the same table; write one of them.")
        given["ftp"] = given.pop(HOSTED)
    return tables


def parse(tables: Mapping[str, Iterable[Any]], folder: Path, source: str) -> tuple[AnySource, ...]:
    """The sources of these tables, relative paths being relative to ``folder``; raises Unusable, naming the key."""
    sources = tuple(_parsed(kind, table, folder, source) for kind, its in tables.items() for table in its)
    for name, times in Counter(one.name for one in sources).items():
        if times > 1:
            raise Unusable(f"{source}: {times} sources are called {name!r}; each needs a name of its own.")
    return sources


def as_json(sources: Iterable[AnySource]) -> str:
    """The tables that ``parse`` makes these sources of again, in any folder."""
    tables: Tables = {}
    for one in sources:
        if isinstance(one, SalesforceSettings):
            tables.setdefault(SALESFORCE, []).append(salesforce_tables.as_table(one))
            continue
        tables.setdefault(kind_of(one), []).append(
            {key.name: _plain(getattr(one, key.name)) for key in fields(one) if key.name != "every_s"}
            | {SCHEDULE: BY_HAND if one.every_s is None else f"{one.every_s}s"}
        )
    kept = {
        kind: [{key: value for key, value in table.items() if value is not None} for table in its]
        for kind, its in tables.items()
    }
    return json.dumps(kept)


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reference
    if isinstance(value, tuple):
        return "\n".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _parsed(kind: str, table: Any, folder: Path, source: str) -> AnySource:  # noqa: ANN401 - any TOML value
    if not isinstance(table, dict):
        raise Unusable(f"{source}: {kind} is a list of tables; write [[{kind}]].")
    if kind == SALESFORCE:
        return salesforce_tables.parse(table, folder, source)
    label = table.get("name")
    where = f"{source}: {kind} {label if isinstance(label, str) and label else 'without a name'}"
    keys = {SCHEDULE if key.name == "every_s" else key.name: key for key in fields(KINDS[kind])}
    kinds = get_type_hints(KINDS[kind])
    for key in table:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            raise Unusable(f"{where}: {key} is no setting." + (f" Did you mean {near[0]}?" if near else ""))
    for key, its in keys.items():
        if key not in table and _is_required(its):
            raise Unusable(f"{where}: {key} is missing.")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name, label = keys[key].name, f"{where}: {key}"
        values[name] = _seconds(value, label) if key == SCHEDULE else _value(kinds[name], value, folder, label)
    settings = KINDS[kind](**values)
    _check(settings, where)
    return settings


def _is_required(key: "Field[Any]") -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def _value(kind: Any, value: Any, folder: Path, where: str) -> Any:  # noqa: ANN401 - any settings value
    if isinstance(kind, UnionType):
        kind = get_args(kind)[0]
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Unusable(f"{where} is {value!r}; it must be a whole number, 1 or more.")
        return value
    if kind is Secret:
        return _secret(value, folder, where)
    if not isinstance(value, str):
        raise Unusable(f"{where} is {value!r}; it must be a text.")
    return _text(kind, value, folder, where)


def _text(kind: Any, value: str, folder: Path, where: str) -> Any:  # noqa: ANN401 - any settings value
    if kind is str:
        return value
    if kind is Path:
        return (folder / value).absolute()
    if kind == tuple[HostKey, ...]:
        try:
            return HostKey.parse(value)
        except Unusable as error:
            raise Unusable(f"{where}: {error}") from None
    choices = get_args(kind)
    if value not in choices:
        raise Unusable(f"{where} is {value!r}; it can be {', '.join(map(repr, choices))}.")
    return value


def _secret(value: Any, folder: Path, where: str) -> Secret:  # noqa: ANN401 - any TOML value
    if isinstance(value, str) and value.startswith(_NOT_PASSED_ON):
        raise Unusable(f"{where} is {value!r}; choose a variable that does not begin with CLAWBACK_ or PREFECT_.")
    try:
        return Secret.parse(value if isinstance(value, str) else "", folder)
    except Unusable as error:
        raise Unusable(f"{where}: {error}.") from None


def _seconds(value: Any, where: str) -> int | None:  # noqa: ANN401 - any TOML value
    try:
        return interval(value)
    except ValueError:
        raise Unusable(
            f"{where} is {value!r}; write 4h, 30m, 10s (the shortest) or 1d, or off to pull by hand only."
        ) from None


def _check(settings: SourceSettings, where: str) -> None:
    """What one key alone does not show."""
    if not _NAME.fullmatch(settings.name):
        raise Unusable(f"{where}: a name has up to 32 of a-z, 0-9, - and _, and begins with a letter or a digit.")
    for key in ("account", "url", "host", "user", "folder", "pattern", "header"):
        if getattr(settings, key, None) == "":
            raise Unusable(f"{where}: {key} is empty.")
    if isinstance(settings, HttpSettings):
        _check_url(settings, where)
        return
    if settings.port not in _PORTS:
        raise Unusable(f"{where}: port is {settings.port}; it can be 1 to 65535.")
    if "/" in settings.pattern:
        raise Unusable(f"{where}: pattern is {settings.pattern!r}; it is for names in the folder, without /.")
    lines = (settings.host, settings.user, settings.folder, settings.result_folder)
    if any(not one.isprintable() for one in lines):
        raise Unusable(f"{where}: host, user and folders are of printable characters.")
    if isinstance(settings, SftpSettings) and (settings.key_file is None) is (settings.password is None):
        raise Unusable(f"{where}: give one of key_file and password.")
    if isinstance(settings, SftpSettings) and settings.key_passphrase is not None and settings.key_file is None:
        raise Unusable(f"{where}: key_passphrase opens a key_file, and there is none.")


def _check_url(settings: HttpSettings, where: str) -> None:
    try:
        place = Place.parse(settings.url)
        networks(settings.private_networks)
    except Unusable as error:
        raise Unusable(f"{where}: {error}") from None
    if not _HEADER.fullmatch(settings.header):
        raise Unusable(f"{where}: header is {settings.header!r}; it is a name such as Authorization or X-Api-Key.")
    if "/" in settings.file or not settings.file.isprintable():
        raise Unusable(f"{where}: file is {settings.file!r}; it is a name such as returns.csv, without /.")
    if settings.authorization and settings.tls == "off":
        raise Unusable(f"{where}: a secret is never sent to public addresses without TLS; leave out one of the two.")
    if place.scheme == "http" and settings.tls == "required" and not settings.private_networks:
        raise Unusable(f'{where}: the URL is without TLS. Write https://, or tls = "off" if the brand has no other.')
