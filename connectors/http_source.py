"""A file that a brand publishes at a URL, as a source.

It is whole when its validators (ETag, Last-Modified) and its length are the same before, with and after the download,
and as many bytes came as the server announced. A server that tells none of these is asked for the content itself, and
the content's digest tells whether it is new.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from tempfile import TemporaryFile
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import unquote, urldefrag, urljoin

import httpcore

from connectors.outside import Client, header
from connectors.places import Guard, Place, networks
from connectors.source import Part, RemoteFile, Seam, Step
from connectors.source_settings import HttpSettings
from processing.errors import SourceRefused, SourceUnreachable, Unusable

_OK: Final = 200
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NOT_LET_IN: Final = frozenset({401, 403, 407})
_BUSY: Final = frozenset({408, 425, 429})
_MOST_MOVES: Final = 5
_SERVER_TROUBLE: Final = 500
_BLOCK_BYTES: Final = 256 * 1024
# Enough of a digest for an identity, and no more than a whole number in every database.
_SOME_BYTES: Final = 6


class HttpSource:
    """A URL; ``environ`` holds the secret that the settings refer to."""

    def __init__(self, settings: HttpSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        guard = Guard(networks(settings.private_networks), plain=settings.tls == "off")
        self._client = Client(guard, timeout_s=settings.timeout_s, ca_file=settings.ca_file)
        self._place = Place.parse(settings.url)
        self._secret = ""
        self._found: RemoteFile | None = None
        self._content: BinaryIO | None = None

    def __enter__(self) -> Self:
        secret = self._settings.authorization
        self._secret = "" if secret is None else secret.reveal(self._environ)
        try:
            self._found = self._look()
        except BaseException:
            self._throw_away()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._throw_away()

    def waiting(self) -> list[RemoteFile]:
        """The file, as the server tells of it; raises SourceRefused when there is none."""
        if self._found is None:
            raise SourceRefused(f"{self._place} is not there (404). Ask the brand for the URL of its file.")
        return [self._found]

    def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
        """Hand the file's bytes behind ``part`` to ``write``; False when it is not whole or has changed.

        It is downloaded from its beginning each time: many servers answer a range with the whole.
        """
        seam = Seam(part, write)
        seam.at = 0
        if self._content is not None:
            # Looking at it was downloading it: its digest is its identity.
            self._content.seek(0)
            blocks = iter(partial(self._content.read, _BLOCK_BYTES), b"")
            return all(map(seam.take, blocks)) and file == self._found
        try:
            received = self._received(file, seam)
        except SourceUnreachable:
            # One that was cut meanwhile ends too early, like a connection that broke.
            if self._look() == file:
                raise
            return False
        return received == file.size_bytes and self._look() == file

    def settle(self, file: RemoteFile, delivery: str) -> bool:  # noqa: ARG002 - a source's
        """Nothing is ever moved or deleted at a URL."""
        return True

    def put(self, name: str, content: BinaryIO) -> None:  # noqa: ARG002 - a source's
        """Refuse: a URL takes no answers."""
        raise SourceRefused(f"{self._place} takes no answers.")

    def check(self) -> Iterable[Step]:
        """Say what the server tells of the file."""
        for file in self.waiting():
            how = "its content" if self._content is not None else "its headers (ETag, Last-Modified)"
            fits = file.size_bytes <= self._settings.max_file_bytes
            limit = "" if fits else f", more than max_file_bytes ({self._settings.max_file_bytes:,})"
            told = f"{file.name}: {file.size_bytes:,} bytes{limit}; {how} will tell when it is new"
            yield Step(ok=fits, message=told)

    def _look(self) -> RemoteFile | None:
        """The file as it is now, None if there is none; by its headers if they tell enough, else by its content."""
        self._throw_away()
        if self._settings.compare == "headers":
            for method in ("HEAD", "GET"):
                with self._answer(method) as answer:
                    # Some servers do not know HEAD, sign their URLs for GET alone, or tell the length of no body: 0.
                    told = self._told(answer) if answer.status == _OK else None
                    if told is not None and (told.size_bytes or method == "GET"):
                        return told
        with self._answer("GET") as answer:
            return self._downloaded(answer) if self._is_there(answer) else None

    def _is_there(self, answer: httpcore.Response) -> bool:
        status = answer.status
        if status in {404, 410}:
            return False
        if status in _NOT_LET_IN:
            raise SourceRefused(
                f"{self._place} refuses our authorization ({status}). Ask the brand, correct the secret."
            )
        if status in _BUSY or status >= _SERVER_TROUBLE:
            raise SourceUnreachable(f"{self._place} answers {status}.")
        if status != _OK:
            raise SourceRefused(f"{self._place} answers {status} where 200 and the file should be.")
        if header(answer, "content-encoding") not in {"", "identity"}:
            raise SourceRefused(
                f"{self._place} compresses the file on the way, though asked not to; its size is unknown."
            )
        return True

    def _told(self, answer: httpcore.Response) -> RemoteFile | None:
        """The file by its headers; None when they do not identify its bytes."""
        etag, modified, length = (header(answer, one) for one in ("etag", "last-modified", "content-length"))
        if not length.isdecimal() or header(answer, "content-encoding") not in {"", "identity"}:
            return None
        if etag and not (etag.startswith("W/") and not modified):
            identity = _number(hashlib.sha256(f"{etag}\n{modified}".encode()))
        elif (seconds := _seconds(modified)) is not None:
            identity = seconds
        else:
            return None
        return RemoteFile(self._name(), int(length), identity)

    def _downloaded(self, answer: httpcore.Response) -> RemoteFile:
        """The file by its content, which is kept until the session ends."""
        content, digest, size_bytes = TemporaryFile(), hashlib.sha256(), 0  # noqa: SIM115 - closed with the session
        self._content = content
        for block in answer.iter_stream():
            size_bytes += len(block)
            if size_bytes > self._settings.max_file_bytes:
                raise SourceRefused(
                    f"{self._place} has more bytes than the {self._settings.max_file_bytes:,} of max_file_bytes."
                )
            digest.update(block)
            content.write(block)
        return RemoteFile(self._name(), size_bytes, _number(digest))

    def _received(self, file: RemoteFile, seam: Seam) -> int:
        """How many bytes came, -1 if they are those of another file."""
        with self._answer("GET") as answer:
            if not self._is_there(answer) or self._told(answer) != file:
                return -1
            return seam.at if all(map(seam.take, answer.iter_stream())) else -1

    @contextmanager
    def _answer(self, method: str) -> Iterator[httpcore.Response]:
        """The answer at the end of all redirects; the secret goes to the URL's own server alone."""
        place = self._place
        with ExitStack() as stack:
            for _ in range(_MOST_MOVES + 1):
                own = place.origin == self._place.origin and bool(self._secret)
                headers = {self._settings.header: self._secret} if own else {}
                hop = stack.enter_context(ExitStack())
                answer = hop.enter_context(self._client.ask(method, place, headers))
                if answer.status not in _MOVED:
                    yield answer
                    return
                place = self._next(place, header(answer, "location"))
                hop.close()
        raise SourceRefused(f"{self._place} redirects more than {_MOST_MOVES} times.")

    def _next(self, place: Place, location: str) -> Place:
        try:
            # A fragment is legal there, and for whoever shows the page.
            moved = Place.parse(urldefrag(urljoin(f"{place.base}{place.target}", location)).url)
        except (Unusable, ValueError):
            raise SourceRefused(
                f"{place} redirects to what is no URL of http:// or https:// in percent-encoded letters. Ask the brand "
                "to correct its redirect, or for the URL at which the file is."
            ) from None
        if place.scheme == "https" and moved.scheme != "https":
            raise SourceRefused(f"{place} redirects to {moved}, which is without TLS; nothing was sent there.")
        return moved

    def _name(self) -> str:
        """What the delivery is called: the last part of the path, or the source."""
        return self._settings.file or unquote(self._place.path).rpartition("/")[2] or self._settings.name

    def _throw_away(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None


def _number(digest: "hashlib._Hash") -> int:
    return int.from_bytes(digest.digest()[:_SOME_BYTES])


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except ValueError:
        return None
