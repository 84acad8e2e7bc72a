"""A brand's own FTP or FTPS server as a source.

A file is whole when its size and its modification time are the same in the listing, before and after the download,
as many bytes arrived, and the server said that it sent all. That it was written to the end is for its content to prove.
"""

import ftplib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from io import BytesIO
from socket import socket
from types import TracebackType
from typing import BinaryIO, Final, Self

from connectors.ftp_client import WIRE, at, hang_up, logged_in, telling
from connectors.source import (
    PROCESSED,
    UPLOADING,
    Part,
    RemoteFile,
    Seam,
    Step,
    apart,
    in_order,
    may_be_delivery,
    trial_name,
)
from connectors.source_settings import FtpPullSettings
from processing.errors import SourceRefused, SourceUnreachable

_BLOCK_BYTES: Final = 256 * 1024
_FACTS: Final = ["type", "size", "modify"]
# Another program has the file open: it is being written.
_BUSY: Final = "450"
_GONE: Final = "550"
_UNKNOWN_COMMAND: Final = ("500", "501", "502", "503", "504")


class FtpSource:
    """An FTP server; ``environ`` holds the password that the settings refer to."""

    def __init__(self, settings: FtpPullSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._stack = ExitStack()
        self._ftp: ftplib.FTP = ftplib.FTP()  # noqa: S321 - not connected; replaced by one that is
        self._raw: dict[str, str] = {}
        self._has_facts = True

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._ftp = stack.enter_context(logged_in(self._settings, self._environ))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without the error: it has been told already.
        with suppress(SourceUnreachable, SourceRefused):
            self._stack.close()

    def waiting(self) -> list[RemoteFile]:
        """The files that match, oldest first; raises SourceRefused when the folder cannot be listed."""
        return in_order(self._listed(lambda name: may_be_delivery(name, self._settings.pattern)))

    def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
        """Hand the file's bytes behind ``part`` to ``write``; False when it is not whole or has changed."""
        with telling(self._settings, f"reading {file.name}"):
            try:
                if self._found(file.name) != file:
                    return False
                received = self._received(file, Seam(part, write))
                # Also when too little came: a connection that broke shows here, and is worth another try.
                return self._found(file.name) == file and received == file.size_bytes
            except ftplib.error_temp as error:
                if str(error).startswith(_BUSY):
                    return False
                raise

    def settle(self, file: RemoteFile, delivery: str) -> bool:
        """Move or delete a fetched file, if it still is the one that was fetched."""
        if self._settings.after == "keep":
            return True
        with telling(self._settings, f"settling {file.name}"):
            if self._found(file.name) != file:
                return False
            if self._settings.after == "delete":
                self._ftp.delete(self._path(file.name))
                return True
            return self._moved(file, delivery)

    def put(self, name: str, content: BinaryIO) -> None:
        """Upload an answer under a temporary name and rename it."""
        folder = self._settings.result_folder.rstrip("/")
        hidden, path = _wire(f"{folder}/.{name}{UPLOADING}"), _wire(f"{folder}/{name}")
        with telling(self._settings, f"writing into {folder or '/'}"):
            self._ftp.storbinary(f"STOR {hidden}", content)
            try:
                self._ftp.rename(hidden, path)
            except ftplib.error_perm:
                # The server does not replace a file by renaming.
                self._ftp.delete(path)
                self._ftp.rename(hidden, path)

    def check(self) -> Iterable[Step]:
        """List the folder, and try a write where something is to be written."""
        settings = self._settings
        names = [one.name for one in self._listed(lambda _name: True)]
        match = sum(may_be_delivery(name, settings.pattern) for name in names)
        yield Step(ok=True, message=f"{settings.folder}: {len(names)} files, {match} of them match")
        if settings.after == "move":
            yield self._tried(f"{settings.folder.rstrip('/')}/{PROCESSED}", make=True)
        if settings.result_folder:
            yield self._tried(settings.result_folder, make=False)

    def _tried(self, folder: str, *, make: bool) -> Step:
        path = _wire(f"{folder.rstrip('/')}/{trial_name()}")
        try:
            with telling(self._settings, f"writing into {folder}"):
                if make:
                    self._make_folder(folder)
                self._ftp.storbinary(f"STOR {path}", BytesIO())
                self._ftp.delete(path)
        except SourceRefused as error:
            return Step(ok=False, message=str(error))
        return Step(ok=True, message=f"{folder}: a file can be written")

    def _listed(self, wanted: Callable[[str], bool]) -> Iterator[RemoteFile]:
        folder = self._settings.folder
        with telling(self._settings, f"listing {folder}"):
            try:
                entries = list(self._ftp.mlsd(_wire(folder), _FACTS))
            except ftplib.error_perm as error:
                if not str(error).startswith(_UNKNOWN_COMMAND):
                    raise
                self._has_facts = False
                yield from self._listed_by_names(wanted)
                return
            self._bytes_as_they_are()
            for raw, facts in entries:
                if facts.get("type", "").lower() == "file" and wanted(name := self._readable(raw)):
                    yield self._of_facts(name, facts)

    def _listed_by_names(self, wanted: Callable[[str], bool]) -> Iterator[RemoteFile]:
        """For a server that cannot list facts: its names, and size and time of each."""
        names = self._ftp.nlst(_wire(self._settings.folder))
        self._bytes_as_they_are()
        for raw in names:
            if wanted(name := self._readable(raw.rpartition("/")[2])):
                # A folder has no size.
                with suppress(ftplib.error_perm):
                    yield self._look(name)

    def _bytes_as_they_are(self) -> None:
        """Undo what a list does in ftplib: it asks for text, and every file after it would be text too."""
        self._ftp.voidcmd("TYPE I")

    def _found(self, name: str) -> RemoteFile | None:
        """The file as it is now; None when it is gone."""
        try:
            return self._look(name)
        except ftplib.error_perm as error:
            if str(error).startswith(_GONE):
                return None
            raise

    def _look(self, name: str) -> RemoteFile:
        """The file as it is now, told in the same way as its listing told it."""
        path = self._path(name)
        if not self._has_facts:
            size, time = self._ftp.size(path), self._ftp.sendcmd(f"MDTM {path}").split()[-1]
            return self._of_facts(name, {"size": str(size), "modify": time})
        lines = self._ftp.sendcmd(f"MLST {path}").splitlines()
        facts = dict(fact.split("=", 1) for fact in lines[1].split(" ")[1].rstrip(";").split(";"))
        return self._of_facts(name, {key.lower(): value for key, value in facts.items()})

    def _of_facts(self, name: str, facts: Mapping[str, str]) -> RemoteFile:
        try:
            # A fraction that only some commands tell would make two times of one.
            modified = datetime.strptime(facts["modify"].partition(".")[0], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            return RemoteFile(name, int(facts["size"]), int(modified.timestamp()))
        except (KeyError, ValueError):
            raise SourceRefused(
                f"{at(self._settings)} does not tell size and time of {name}; nothing proves that it is whole."
            ) from None

    def _received(self, file: RemoteFile, seam: Seam) -> int | None:
        """Up to which byte the file came; None when it is another than the part that is there is of."""
        data = self._begun(file, seam)
        same = True
        try:
            while seam.at <= file.size_bytes and same and (block := data.recv(_BLOCK_BYTES)):
                same = seam.take(block)
        finally:
            hang_up(data)
        if seam.at > file.size_bytes or not same:
            # It grows, or is another. The server may call the end that we made an error.
            with suppress(ftplib.Error):
                self._ftp.voidresp()
        else:
            self._ftp.voidresp()
        return seam.at if same else None

    def _begun(self, file: RemoteFile, seam: Seam) -> socket:
        """The data connection of a download, from the middle where the server can."""
        command = f"RETR {self._path(file.name)}"
        if seam.start:
            try:
                return self._ftp.transfercmd(command, seam.start)
            except ftplib.error_perm as error:
                if not str(error).startswith(_UNKNOWN_COMMAND):
                    raise
                seam.at = 0
        return self._ftp.transfercmd(command)

    def _moved(self, file: RemoteFile, delivery: str) -> bool:
        folder = f"{self._settings.folder.rstrip('/')}/{PROCESSED}"
        self._make_folder(folder)
        path = _wire(folder) + "/" + self._raw_of(file.name)
        if self._exists(path):
            path = _wire(folder) + "/" + self._raw_of(apart(file.name, delivery))
        self._ftp.rename(self._path(file.name), path)
        return True

    def _make_folder(self, folder: str) -> None:
        """Make a folder that may be there; whether it can be used shows when it is."""
        with suppress(ftplib.error_perm):
            self._ftp.mkd(_wire(folder))

    def _exists(self, path: str) -> bool:
        try:
            self._ftp.size(path)
        except ftplib.error_perm:
            return False
        return True

    def _readable(self, raw: str) -> str:
        """A file's name as text: UTF-8 if it can be, else each of its bytes as a letter."""
        try:
            name = raw.encode(WIRE).decode()
        except UnicodeDecodeError:
            name = raw
        self._raw[name] = raw
        return name

    def _raw_of(self, name: str) -> str:
        return self._raw.get(name) or _wire(name)

    def _path(self, name: str) -> str:
        return f"{_wire(self._settings.folder.rstrip('/'))}/{self._raw_of(name)}"


def _wire(text: str) -> str:
    """Text as the session writes it: UTF-8, each byte a letter."""
    return text.encode().decode(WIRE)
