"""What an account sees by FTP: its own folder, ``results/`` in it, and no way out.

Paths are taken apart by us and put together from names that were checked; there are exactly two folders. Symbolic
links are never followed and never shown.
"""

import os
import stat
import unicodedata
from pathlib import Path
from typing import BinaryIO, Final

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.filesystems import AbstractedFS

from connectors.results import FIX, RECEIPT, RESULT, RESULTS

_ANSWERS: Final = tuple(pattern.partition("{")[0] for pattern in (RECEIPT, RESULT, FIX))
_UNFINISHED: Final = (".part", ".partial", ".filepart", ".tmp", ".temp", ".uploading")
_NAME_BYTES: Final = 255
# Control characters, halves of characters, and what ends or turns round a line wherever the name is shown.
_FORBIDDEN_KINDS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_temporary(name: str) -> bool:
    """Whether a client means to rename this file once it is whole (lftp, WinSCP, FileZilla and others)."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)


def fault_of_name(name: str) -> str | None:
    """Why a file cannot have this name, as a sentence; None if it can."""
    if not (name.isascii() and name.isprintable()) and any(map(_is_forbidden, name)):
        return "A file name cannot contain control characters. Rename the file."
    if "/" in name or "\\" in name:
        return "A file name cannot contain a slash or a backslash. Give the name without its folder."
    if len(name.encode()) > _NAME_BYTES:
        return f"A file name cannot be longer than {_NAME_BYTES} bytes. Give the file a shorter name."
    return None


def fault_of_delivery_name(name: str) -> str | None:
    """Why a file of this name would not be read as a delivery, as a sentence; None if it would."""
    if name.lower().startswith(_ANSWERS):
        return "Names that begin with receipt_, result_ or fix_ are our answers and are never read. Rename the file."
    return None


def _is_forbidden(c: str) -> bool:
    return unicodedata.category(c) in _FORBIDDEN_KINDS or c in _TURNING


class AccountFolder(AbstractedFS):  # type: ignore[misc] # pyftpdlib has no types
    """The file system of one session; ``root`` is the account's folder."""

    def ftp2fs(self, ftppath: str) -> str:
        """The real path of what the client named; ``FilesystemError`` with a sentence if there can be none."""
        # Before the path is normalised, which may stop at a NUL.
        for fault in filter(None, map(fault_of_name, ftppath.split("/"))):
            raise FilesystemError(fault)
        parts = [part for part in self.ftpnorm(ftppath).split("/") if part]
        folder = [RESULTS] if parts[:1] == [RESULTS] else []
        if len(parts) > len(folder) + 1:
            raise FilesystemError("There is no folder but results/. Send the file to the main folder.")
        path: str = os.path.join(self.root, *parts)  # noqa: PTH118 - each command asks for it, and a Path takes long to make
        return path

    def validpath(self, path: str) -> bool:
        """Whether the path may be touched: ``ftp2fs`` made it, and neither it nor its folder is a link."""
        folder = os.path.dirname(path)  # noqa: PTH120 - the same
        return not os.path.islink(path) and (path == self.root or not os.path.islink(folder))  # noqa: PTH114 - the same

    def fs2ftp(self, fspath: str) -> str:
        """What the client calls the real path."""
        return "/" + fspath[len(self.root) :].strip("/")

    def chdir(self, path: str) -> None:
        """Change the session's folder; the one of the process stays, for all sessions share it."""
        if not self.isdir(path):
            raise FilesystemError("There is no such folder. The only one is results/.")
        self.cwd = self.fs2ftp(path)

    def in_results(self, path: str) -> bool:
        """Whether the path is that of a file in ``results/``."""
        return os.path.dirname(path) == os.path.join(self.root, RESULTS)  # noqa: PTH118, PTH120 - the same

    def shows(self, path: str) -> bool:
        """Whether the path is a file that the account may know of."""
        name = Path(path).name
        return self.isfile(path) and not name.startswith(".") if self.in_results(path) else self.is_kept(path)

    def is_kept(self, path: str) -> bool:
        """Whether the path is a file that waits to be renamed."""
        return Path(path).parent == Path(self.root) and self.isfile(path) and is_temporary(Path(path).name)

    def listdir(self, path: str) -> list[str]:
        """The names an account may know of."""
        visible = [file.name for file in Path(path).iterdir() if self.shows(str(file))]
        return visible if path != self.root else [*visible, RESULTS]

    def open(self, filename: str, mode: str) -> BinaryIO:
        """Open an answer for reading; nothing else is opened by its name."""
        if mode != "rb" or not (self.in_results(filename) and self.shows(filename)):
            raise FilesystemError("There is no such file in results/.")
        return os.fdopen(os.open(filename, os.O_RDONLY | os.O_NOFOLLOW), "rb")

    def stat(self, path: str) -> os.stat_result:
        """Never follows a link."""
        return self.lstat(path)

    def lstat(self, path: str) -> os.stat_result:
        """The file's state, if the account may know of it."""
        if path not in (self.root, str(Path(self.root, RESULTS))) and not self.shows(path):
            raise FilesystemError("There is no such file.")
        return Path(path).lstat()

    def isfile(self, path: str) -> bool:
        """Whether the path is a plain file and no link."""
        try:
            return stat.S_ISREG(Path(path).lstat().st_mode)
        except OSError:
            return False

    def isdir(self, path: str) -> bool:
        """Whether the path is one of the two folders."""
        return path in (self.root, str(Path(self.root, RESULTS))) and Path(path).is_dir()

    def islink(self, path: str) -> bool:  # noqa: ARG002 - pyftpdlib's signature
        """Links are not shown."""
        return False

    def realpath(self, path: str) -> str:
        """Links are not followed."""
        return path

    def lexists(self, path: str) -> bool:
        """Whether the account may know of the path."""
        return self.isdir(path) or self.shows(path)
