"""What a brand may do by FTP, and the sentence that refuses the rest."""

import functools
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler

from connectors.durable import ensure_folder
from connectors.ftp_folder import AccountFolder, fault_of_delivery_name, is_temporary
from connectors.ftp_limits import Usage, stored_bytes
from connectors.ftp_session import Session, TlsSession
from connectors.ftp_uploads import (
    CHANNEL,
    INCOMING,
    Declared,
    FtpRefusal,
    Incoming,
    Kept,
    Limits,
    into_folder,
    into_spool,
    land_kept,
    receipt_of,
    rename_kept,
    reply_to,
)
from connectors.results import results_folder
from processing.errors import UploadRefused

_log = logging.getLogger(__name__)

_NO_FOLDERS: Final = "550 Folders cannot be made or removed. Send files to the main folder."
_REFUSED: Final = {
    "APPE": "550 A file cannot be continued. Send the whole file again with STOR.",
    "STOU": "550 A file needs a name. Send it with STOR.",
    "MFMT": "550 Times cannot be set. A delivery has the time at which it arrived.",
    **dict.fromkeys(("MKD", "XMKD", "RMD", "XRMD"), _NO_FOLDERS),
}
_ABSENT: Final = ("SITE", "SITE HELP", "SITE CHMOD")
_NAMING: Final = frozenset({"STOR", "RNTO"})
_TOO_OFTEN: Final = "421 Too many failed logins from your address. Wait before you try again."


def _commands(handler: type[Any]) -> dict[str, Any]:
    return {command: facts for command, facts in handler.proto_cmds.items() if command not in _ABSENT}


class Rights:
    """Stands for pyftpdlib's authorizer; who may do what is decided by the commands themselves."""

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def get_perms(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        """Shown in listings: enter, list, read, delete, rename, write."""
        return "elrdfw"

    def get_msg_quit(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        """The last words."""
        return "Goodbye."

    def impersonate_user(self, username: str, password: str) -> None:
        """Nobody is a user of the machine."""

    def terminate_impersonation(self, username: str) -> None:
        """Nobody is a user of the machine."""


class BrandSession(Session):
    """The commands of a brand."""

    authorizer = Rights()
    abstracted_fs = AccountFolder
    proto_cmds = _commands(FTPHandler)
    _declared: Declared | None = None
    _rnfr: str | None
    _restart_position: int
    username: str

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Answer with a sentence what is never allowed; leave the rest to the command."""
        if self.authenticated and cmd in _REFUSED:
            self.respond(_REFUSED[cmd])
            return
        try:
            super().pre_process_command(line, cmd, arg)
        except FilesystemError as fault:
            self.respond(f"{553 if cmd in _NAMING else 550} {fault}")

    # --- logging in

    def on_connect(self) -> None:
        """Turn away an address that failed too often."""
        if self.desk.door.refuses(self.remote_ip):
            self.respond(_TOO_OFTEN)
            self.close_when_done()

    def ftp_PASS(self, line: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Check the password in a thread: it takes 0.1 s of computing, which the other sessions must not wait for."""
        if self.authenticated or not self.username:
            self.respond("503 You are logged in." if self.authenticated else "503 Give USER first.")
            return
        account, verify = self.username, self.desk.credentials.verify
        self.wait()
        self.desk.workers.check_login(lambda: verify(account, CHANNEL, line), self._checked)

    def _checked(self, outcome: "Future[bool]") -> None:
        if outcome.cancelled():
            return
        error = outcome.exception()
        if error is not None:
            _log.error("bug in=login", exc_info=error)
        if error is None and outcome.result() and not self.desk.door.refuses(self.remote_ip):
            self._welcome()
            return
        # Counted although the client may have hung up, which must not be a way to go on guessing.
        known = self.username in self.desk.credentials.accounts(CHANNEL)
        delay_s = self.desk.door.failed(self.remote_ip, self.username if known else None)
        if not self._closed:
            self.call_later(delay_s, self._turn_away)

    def _welcome(self) -> None:
        if self._closed:
            return
        home = self.desk.folder / self.username
        with self.going_on():
            if home.is_symlink() or results_folder(home).is_symlink():
                _log.error("home_is_link account=%s path=%s", self.username, home)
                self.respond("421 Your folder is not available. Try again later.")
                self.close_when_done()
                return
            ensure_folder(results_folder(home))
            self.desk.door.succeeded(self.remote_ip, self.username)
            _log.info("logged_in account=%s address=%s", self.username, self.remote_ip)
            self._declared = None
            # The password is not kept: pyftpdlib wants it only to become a user of the machine.
            self.handle_auth_success(str(home), "", "Welcome. Send files here; the answers are in results/.")

    def _turn_away(self) -> None:
        self.username = ""
        with self.going_on():
            if self.desk.door.refuses(self.remote_ip):
                self.respond(_TOO_OFTEN)
                self.close_when_done()
            else:
                self.respond("530 The user name or the password is wrong.")

    # --- sending files

    def ftp_ALLO(self, line: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Remember how many bytes the next file has, so that a shorter one is known to be cut off."""
        number = line.partition(" ")[0]
        if not (number.isascii() and number.isdigit()):
            self.respond("501 Give the number of bytes.")
            return
        size_bytes = int(number[:20])
        limit = min(self.desk.settings.max_upload_bytes, self.desk.settings.quota_bytes)
        if size_bytes > limit:
            self.respond(f"552 A file can have at most {limit} bytes. Split it into several.")
            return
        self._declared = Declared(size_bytes, as_text=self._current_type == "a")
        self.respond("200 The next file must have this many bytes.")

    def ftp_STOR(self, file: str, mode: str = "w") -> None:  # noqa: ARG002, N802 - pyftpdlib's signature
        """Receive a file: into the spool, or into the account's folder if its name is a temporary one."""
        offset, self._restart_position = self._restart_position, 0
        declared, self._declared = self._declared, None
        path = Path(file)
        fault = self._fault_of_target(path)
        if offset:
            self.respond("554 A file cannot be continued. Send the whole file again, without REST.")
        elif fault:
            self.respond(f"553 {fault}")
        else:
            self._when_counted(declared, functools.partial(self._begin, path, declared))

    def _when_counted(self, declared: Declared | None, begin: Callable[[], None]) -> None:
        """Begin when it is known what the account has stored already."""
        usage = self.desk.usage.setdefault(self.username, Usage())
        if usage.is_known(declared.size_bytes if declared else 0, self.desk.settings.quota_bytes):
            begin()
            return

        def counted(outcome: "Future[int]") -> None:
            if self._closed:
                return
            with self.going_on():
                if (error := outcome.exception()) is not None:
                    self._cannot_begin(error)
                    return
                usage.count(outcome.result())
                begin()

        self.wait()
        self.desk.workers.store(
            functools.partial(stored_bytes, self.desk.spool, Path(self.fs.root), self.username), counted
        )

    def _fault_of_target(self, path: Path) -> str | None:
        root = Path(self.fs.root)
        if self.fs.in_results(str(path)) or path in (root, results_folder(root)):
            return "Files are sent to the main folder under a name of their own; results/ is written by us."
        return None if is_temporary(path.name) else fault_of_delivery_name(path.name)

    def _begin(self, path: Path, declared: Declared | None) -> None:
        try:
            incoming = self._incoming(path, declared)
        except (UploadRefused, OSError) as error:
            self._cannot_begin(error)
        else:
            self._await_bytes(incoming)

    def _cannot_begin(self, error: BaseException) -> None:
        if not isinstance(error, UploadRefused):
            _log.error("bug in=begin account=%s", self.username, exc_info=error)
        self.respond(reply_to(error))

    def _await_bytes(self, incoming: Incoming) -> None:
        if not self.can_transfer():
            incoming.settle(kept=False)
        elif self.data_channel is not None:
            self.respond("125 Data connection already open. Transfer starting.")
            self.data_channel.file_obj = incoming
            self.data_channel.enable_receiving(self._current_type, "STOR")
        else:
            self.respond("150 File status okay. About to open data connection.")
            self._in_dtp_queue = (incoming, "STOR")

    def _incoming(self, path: Path, declared: Declared | None) -> Incoming:
        usage, settings = self.desk.usage[self.username], self.desk.settings
        limits = Limits(settings.max_upload_bytes, settings.quota_bytes, usage, declared)
        if usage.total_bytes + (declared.size_bytes if declared else 1) > settings.quota_bytes:
            raise FtpRefusal(552, f"The account's {settings.quota_bytes} bytes are full. Delete files, or wait.")
        if is_temporary(path.name):
            return into_folder(path.name, Kept(self.desk.folder / INCOMING, path), limits)
        upload = self.desk.spool.receive(account=self.username, channel=CHANNEL, name=path.name)
        return into_spool(path.name, upload, limits)

    def ftp_ABOR(self, line: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Abort the upload: 426 for the upload, 226 for the command."""
        channel = self.data_channel
        if channel is not None and channel.receive:
            channel.give_up("426 The upload was aborted by ABOR; nothing was kept.")
            self.respond("226 ABOR command successful.")
        else:
            super().ftp_ABOR(line)

    # --- files that are there

    def ftp_RNFR(self, path: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Only a file that waits for its final name can be renamed."""
        if self.fs.is_kept(path):
            self._rnfr = path
            self.respond("350 Give the new name.")
        else:
            self.respond("550 There is no file of this name that waits to be renamed.")

    def ftp_RNTO(self, path: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Rename a kept file; with a final name it lands in the spool, and 250 means that it is on disk."""
        source, self._rnfr = self._rnfr, None
        target = Path(path)
        fault = self._fault_of_target(target)
        if not source:
            self.respond("503 Give RNFR first.")
        elif fault:
            self.respond(f"553 {fault}")
        else:
            self.wait()
            self.desk.workers.store(functools.partial(self._rename, Path(source), target), self._renamed)

    def _rename(self, source: Path, target: Path) -> str:
        if is_temporary(target.name):
            rename_kept(source, target)
            return f"250 Renamed to {target.name}; it is received as a delivery when it gets its final name."
        return receipt_of(land_kept(self.desk.spool, source, self.username, target.name), 250)

    def _renamed(self, outcome: "Future[str]") -> None:
        error = outcome.exception()
        if error is not None and not isinstance(error, UploadRefused):
            _log.error("bug in=rename account=%s", self.username, exc_info=error)
        if not self._closed:
            with self.going_on():
                self.respond(outcome.result() if error is None else reply_to(error))

    def ftp_DELE(self, path: str) -> None:  # noqa: N802 - pyftpdlib's naming
        """Delete an answer, or a file that waits to be renamed; never a delivery."""
        if not self.fs.shows(path):
            self.respond("550 There is no such file.")
            return
        Path(path).unlink(missing_ok=True)
        _log.info("deleted account=%s name=%r", self.username, Path(path).name)
        self.respond("250 File removed.")

    def on_file_sent(self, file: object) -> None:  # noqa: ARG002 - pyftpdlib's signature; it is a number here
        """The brand has fetched an answer."""
        _log.info("answer_fetched account=%s", self.username)


class TlsBrandSession(TlsSession, BrandSession):
    """The commands of a brand, with TLS."""

    proto_cmds = _commands(TLS_FTPHandler)
