"""The file of a multipart/form-data body, as a stream: nothing of it is kept in memory or written aside."""

import re
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clawback.web.refusal import Refusal, Refused, invalid
from schemas.contract import CONTROL

_LONGEST_NAME: Final = 200
_MOST_HEADER_BYTES: Final = 8 * 1024


@dataclass(slots=True)
class _Parts:
    """What the parser has met: whether it is inside a file, the file's name, and its bytes that nobody took yet."""

    queries: Collection[str]
    name: str | None = None
    files: int = 0
    inside: bool = False
    ended: bool = False
    blocks: list[bytes] = field(default_factory=list)
    _header: list[bytes] = field(default_factory=lambda: [b"", b""])
    _disposition: bytes = b""

    def part_begin(self) -> None:
        self._disposition, self._header = b"", [b"", b""]

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] = self._grown(self._header[0], data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] = self._grown(self._header[1], data[start:end])

    def header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self.inside = b"filename" in options
        if self.inside:
            self.files += 1
            self.name = _checked_name(options[b"filename"].decode("utf-8", "replace"))
        else:
            self._check_field(options.get(b"name", b"").decode("utf-8", "replace"))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self.inside and self.files == 1:
            self.blocks.append(data[start:end])

    def part_end(self) -> None:
        self.inside = False

    def end(self) -> None:
        self.ended = True

    def _check_field(self, name: str) -> None:
        # Passed over in silence, a preview would be applied.
        if name.casefold() in {one.casefold() for one in self.queries}:
            raise invalid(name, "Give it in the query of the address; a form has the file only.")

    def _grown(self, so_far: bytes, more: bytes) -> bytes:
        if len(so_far) + len(more) > _MOST_HEADER_BYTES:
            raise _malformed("A part's header is too long.")
        return so_far + more


async def file_part(
    content_type: str, body: AsyncIterator[bytes], queries: Collection[str]
) -> tuple[str | None, AsyncIterator[bytes]]:
    """The name of the only file of a body, and its bytes; raises Refusal for a body that has none.

    ``queries`` are the parameters that belong into the query; a field of the form that is named like one is refused.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _malformed("The Content-Type names no boundary.")
    parts = _Parts(queries)
    names = (
        "part_begin",
        "header_field",
        "header_value",
        "header_end",
        "headers_finished",
        "part_data",
        "part_end",
        "end",
    )
    try:
        parser = MultipartParser(boundary, {f"on_{name}": getattr(parts, name) for name in names})  # type: ignore[arg-type]
    except FormParserError:
        raise _malformed("The boundary is too long.") from None
    while not parts.files:
        block = await anext(body, None)
        if block is None:
            raise _malformed("The body has no part with a file name.")
        _feed(parser, block)
    return parts.name, _content(parser, parts, body)


async def _content(parser: MultipartParser, parts: _Parts, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for block in _taken(parts):
        yield block
    async for block in body:
        _feed(parser, block)
        for piece in _taken(parts):
            yield piece
    if not parts.ended:
        raise Refusal(Refused.LENGTH_MISMATCH)
    if parts.files > 1:
        raise _malformed("The body has several files; send each by itself.")


def _feed(parser: MultipartParser, block: bytes) -> None:
    try:
        parser.write(block)
    except FormParserError:
        raise _malformed("The body is no multipart/form-data.") from None


def _taken(parts: _Parts) -> list[bytes]:
    blocks, parts.blocks = parts.blocks, []
    return blocks


def _checked_name(name: str) -> str | None:
    if re.search(CONTROL, name):
        raise invalid("filename", "A file name cannot contain control characters. Rename the file.")
    return name[:_LONGEST_NAME] or None


def _malformed(message: str) -> Refusal:
    return Refusal(Refused.MALFORMED_BODY, message=message)
