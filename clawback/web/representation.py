"""How answers are written: JSON or XML, by the path's suffix, else by the Accept header; XML where nothing is said."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any, Final

from fastapi import Request, Response

ROOT: Final = "ImpactRadiusResponse"
JSON: Final = "application/json"
XML: Final = "application/xml"
_SUFFIXES: Final = {".json": JSON, ".xml": XML}
# What XML 1.0 cannot hold, however it is written.
_UNSPEAKABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of resources: ``name`` is its key in JSON and its element in XML, ``item`` each one's element.

    ``about`` are the page's keys without their ``@``.
    """

    name: str
    item: str
    about: Mapping[str, str]
    rows: Sequence[Fields]
    # The original calls some lists otherwise in JSON.
    json_name: str | None = None


@dataclass(frozen=True, slots=True)
class Single:
    """One resource; ``item`` is its element in XML, None where its fields stand in the root."""

    fields: Fields
    item: str | None = None


Document = Listing | Single


class Suffixes:
    """Takes ``.json`` or ``.xml`` off a path before it is routed, and remembers it."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        """Serve a request."""
        if scope["type"] == "http":
            for suffix, media_type in _SUFFIXES.items():
                if scope["path"].endswith(suffix):
                    path = scope["path"].removesuffix(suffix)
                    state = {**scope.get("state", {}), "wanted": media_type, "suffix": suffix}
                    scope = {**scope, "path": path, "state": state}
                    break
        await self._app(scope, receive, send)


def address(path: str, suffix: str) -> str:
    """A resource's Uri: its path, behind which a suffix stands where the path's own end would be taken for one."""
    return path + suffix if path.endswith(tuple(_SUFFIXES)) else path


def suffix_of(request: Request) -> str:
    """The suffix that asks for the form in which a request is answered."""
    wanted = media_type(request)
    return next(suffix for suffix, kind in _SUFFIXES.items() if kind == wanted)


def media_type(request: Request) -> str:
    """What the answer is to be written in."""
    wanted: str | None = getattr(request.state, "wanted", None)
    if wanted is not None:
        return wanted
    accepted = ",".join(request.headers.getlist("accept")).lower()
    chosen, best = XML, 0.0
    for one in accepted.split(","):
        name, _, parameters = one.strip().partition(";")
        quality = _quality(parameters)
        if name in {JSON, XML, "text/xml"} and quality > best:
            chosen, best = (JSON if name == JSON else XML), quality
    return chosen


def path_as_asked(request: Request) -> str:
    """The path with its suffix, so that the URIs of other pages are answered in the same form."""
    return request.url.path + getattr(request.state, "suffix", "")


def respond(
    request: Request, document: Document, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request."""
    chosen = media_type(request)
    content = as_json(document) if chosen == JSON else as_xml(document)
    return Response(content, status, dict(headers or {}), f"{chosen}; charset=utf-8" if chosen == XML else chosen)


def as_json(document: Document) -> bytes:
    """The document as one JSON object."""
    if isinstance(document, Listing):
        told: Fields = {
            **{f"@{key}": value for key, value in document.about.items()},
            document.json_name or document.name: document.rows,
        }
    else:
        told = document.fields
    return json.dumps(told, ensure_ascii=False, default=_number, separators=(",", ":")).encode("utf-8", "replace")


def as_xml(document: Document) -> bytes:
    """The document below the root element."""
    if isinstance(document, Listing):
        about = "".join(f' {key}="{_text(value)}"' for key, value in document.about.items())
        rows = "".join(f"<{document.item}>{_elements(row)}</{document.item}>" for row in document.rows)
        inside = f"<{document.name}{about}>{rows}</{document.name}>"
    else:
        inside = _elements(document.fields)
        if document.item is not None:
            inside = f"<{document.item}>{inside}</{document.item}>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{ROOT}>{inside}</{ROOT}>'.encode("utf-8", "replace")


def _quality(parameters: str) -> float:
    found = re.search(r"\bq=([01](?:\.[0-9]{0,3})?)", parameters)
    return float(found[1]) if found else 1.0


def _number(value: object) -> float:
    # JSON knows no decimals; an amount has at most 15 digits, which a double gives back as they were.
    assert isinstance(value, Decimal)  # noqa: S101 - nothing else is in our documents
    return float(value)


def _elements(fields: Fields) -> str:
    return "".join(_element(key, value) for key, value in fields.items())


def _element(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return f"<{key}>{_elements(value)}</{key}>"
    if isinstance(value, list | tuple):
        # Errors hold an Error each, ActionTrackers an ActionTracker.
        return f"<{key}>{''.join(_inner(key.removesuffix('s'), value))}</{key}>"
    return f"<{key}>{_text(value)}</{key}>"


def _inner(name: str, values: Iterable[object]) -> Iterator[str]:
    for one in values:
        yield _element(name, one)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(_UNSPEAKABLE.sub("\ufffd", str(value)))
