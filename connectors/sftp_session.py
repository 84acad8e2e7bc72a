"""A session with a brand's SFTP server: nothing is said to a server that has not proved the pinned key.

Every failure of paramiko, of the network and of the far side becomes one of ours here.
"""

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import paramiko

from connectors.host_key import HostKey
from connectors.source_settings import SftpSettings
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable, Unusable

# What goes wrong is raised to us, and told once, with a name.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_RSA: Final = "ssh-rsa"
# A host key of kind ssh-rsa signs with SHA-2; with SHA-1 nobody should.
_ALGORITHMS: Final = {_RSA: ("rsa-sha2-512", "rsa-sha2-256")}
_SCANNED: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", _RSA)
# Encryption and checksum in one pass, which the processors of servers do in hardware.
_CIPHERS: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


def scan(settings: SftpSettings) -> list[HostKey]:
    """The host keys that answer at the server's address, for a person to confirm; nothing else is asked or told."""
    found = []
    for kind in _SCANNED:
        with suppress(paramiko.IncompatiblePeer), _greeted(settings, (kind,)) as transport:
            found.append(_key_of(transport))
    if not found:
        raise SourceRefused(f"{_at(settings)} offers no host key of a kind that is safe: {', '.join(_SCANNED)}.")
    return found


@contextmanager
def logged_in(settings: SftpSettings, environ: Mapping[str, str]) -> Iterator[Any]:
    """A transport that has checked the host key and is logged in; closed at the end."""
    if not settings.host_key:
        raise Unusable(
            f"Source {settings.name} has no host_key, and nothing is sent to a server that nobody vouches for. "
            f"`clawback sources scan {settings.name}` shows its key; have the brand confirm it."
        )
    credential = _credential(settings, environ)
    try:
        with _greeted(settings, tuple(key.kind for key in settings.host_key)) as transport:
            _check_key(settings, _key_of(transport))
            _log_in(settings, transport, credential)
            yield transport
    except paramiko.IncompatiblePeer:
        raise _changed(settings, "a key of another kind, or no safe way to talk") from None


@contextmanager
def telling(settings: SftpSettings, channel: Any, what: str) -> Iterator[None]:  # noqa: ANN401 - paramiko has no types
    """Turn what goes wrong while ``what`` is done into one of our errors, but for a file that is not there."""
    try:
        yield
    except (ClawbackError, FileNotFoundError):
        raise
    except (OSError, EOFError, paramiko.SSHException, paramiko.SFTPError) as error:
        # A refusal of the far side is an OSError like those of the network.
        broken = isinstance(error, TimeoutError | ConnectionError | EOFError | paramiko.SSHException)
        if broken or channel.closed or not channel.get_transport().is_active():
            raise SourceUnreachable(
                f"{_at(settings)}: the connection broke off while {what} ({_reason(error)})."
            ) from None
        if isinstance(error, PermissionError):
            raise SourceRefused(f"{_at(settings)} does not permit {what}.") from None
        raise SourceRefused(f"{_at(settings)} refuses {what}: {_reason(error)}.") from None


def open_sftp(settings: SftpSettings, transport: Any, client: Any) -> Any:  # noqa: ANN401 - paramiko has no types
    """A ``client`` on a channel of its own, that waits for an answer as long as the settings say."""
    try:
        sftp = client.from_transport(transport)
    except (OSError, EOFError, paramiko.SSHException) as error:
        if transport.is_active():
            raise SourceRefused(f"{_at(settings)} gives {settings.user} no SFTP ({_reason(error)}).") from None
        raise SourceUnreachable(f"{_at(settings)}: the connection broke off after the login.") from None
    sftp.get_channel().settimeout(settings.timeout_s)
    return sftp


@contextmanager
def _greeted(settings: SftpSettings, kinds: tuple[str, ...]) -> Iterator[Any]:
    """A transport whose key exchange is done, with a host key of one of these kinds; nobody is logged in."""
    try:
        sock = socket.create_connection((settings.host, settings.port), settings.timeout_s)
    except OSError as error:
        raise SourceUnreachable(f"{_at(settings)} cannot be reached: {_reason(error)}.") from None
    # Small requests would wait for the acknowledgement of those before: 34 times slower.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    try:
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = settings.timeout_s
        options = transport.get_security_options()
        options.key_types = tuple(name for kind in kinds for name in _ALGORITHMS.get(kind, (kind,)))
        options.ciphers = _CIPHERS + tuple(one for one in options.ciphers if one not in _CIPHERS and "cbc" not in one)
        try:
            transport.start_client(timeout=settings.timeout_s)
            # Raises when the time was up, which the call before does not tell.
            transport.get_remote_server_key()
        except paramiko.IncompatiblePeer:
            raise
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise SourceUnreachable(f"{_at(settings)} does not answer like an SSH server: {_reason(error)}.") from None
        yield transport
    finally:
        transport.close()
        # It leaves that to its thread, if it has one.
        sock.close()


def _key_of(transport: Any) -> HostKey:  # noqa: ANN401 - paramiko has no types
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.asbytes())


def _check_key(settings: SftpSettings, key: HostKey) -> None:
    if key not in settings.host_key:
        raise _changed(settings, f"the {key.kind} key {key.fingerprint}")


def _changed(settings: SftpSettings, shown: str) -> SourceRefused:
    pinned = ", ".join(f"{key.kind} {key.fingerprint}" for key in settings.host_key)
    return SourceRefused(
        f"{_at(settings)} is not the server whose host key is pinned: it shows {shown}, pinned is {pinned}. Nothing "
        f"was sent. Ask the brand; if it changed its key, `clawback sources scan {settings.name}` shows the new one."
    )


def _credential(settings: SftpSettings, environ: Mapping[str, str]) -> Any:  # noqa: ANN401 - a key or a password
    """What logs in, read before anything is sent."""
    if settings.password is not None:
        return settings.password.reveal(environ)
    path = settings.key_file
    passphrase = _passphrase(settings, environ)
    try:
        return paramiko.PKey.from_path(path, passphrase)
    except OSError as error:
        raise Unusable(f"The key_file {path} of source {settings.name} cannot be read: {error.strerror}.") from None
    except TypeError:
        raise Unusable(_ill_matched(settings)) from None
    except (ValueError, paramiko.SSHException):
        if settings.key_passphrase is not None and _is_encrypted(path):
            raise Unusable(
                f"The key_passphrase of source {settings.name} does not open its key_file {path}. Put the right one "
                f"where {settings.key_passphrase.reference} says."
            ) from None
        raise Unusable(
            f"The key_file {path} of source {settings.name} is no private key that SSH knows. If it is one in another "
            f"format, `ssh-keygen -p -f {path}` rewrites it."
        ) from None


def _passphrase(settings: SftpSettings, environ: Mapping[str, str]) -> bytes | None:
    if settings.key_passphrase is None:
        return None
    try:
        return settings.key_passphrase.reveal(environ).encode()
    except Unusable as error:
        raise Unusable(f"The key_passphrase of source {settings.name}: {error}") from None


def _ill_matched(settings: SftpSettings) -> str:
    """What to say of a key and a passphrase of which one is there without the other."""
    key = f"The key_file {settings.key_file} of source {settings.name}"
    if settings.key_passphrase is None:
        return f'{key} has a passphrase. Say where it stands: key_passphrase = "env:NAME" or "file:PATH".'
    return f"{key} has no passphrase; take key_passphrase out of the settings."


def _is_encrypted(path: Path | None) -> bool:
    """Whether a key has a passphrase: the library tells a wrong one and a broken file by the same error."""
    try:
        paramiko.PKey.from_path(path)
    except TypeError:
        return True
    except (OSError, ValueError, paramiko.SSHException):
        return False
    return False


def _log_in(settings: SftpSettings, transport: Any, credential: Any) -> None:  # noqa: ANN401 - paramiko has no types
    began = time.monotonic()
    try:
        if settings.password is None:
            transport.auth_publickey(settings.user, credential)
        else:
            transport.auth_password(settings.user, credential)
    except paramiko.BadAuthenticationType as error:
        ways = ", ".join(error.allowed_types)
        raise SourceRefused(f"{_at(settings)} lets {settings.user} in by {ways} only.") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        # paramiko raises the same for a refusal and for a server that has gone or hangs.
        if not transport.is_active() or time.monotonic() - began >= settings.timeout_s:
            raise SourceUnreachable(f"{_at(settings)}: the connection broke off at the login.") from None
        if isinstance(error, paramiko.AuthenticationException):
            with_what = "password" if settings.key_file is None else "key"
            raise SourceRefused(f"{_at(settings)} refuses the login of {settings.user} by this {with_what}.") from None
        raise SourceUnreachable(f"{_at(settings)}: the login failed ({_reason(error)}).") from None
    if not transport.is_authenticated():
        raise SourceRefused(f"{_at(settings)} wants more than one proof of {settings.user}; that is not supported.")


def _at(settings: SftpSettings) -> str:
    return f"{settings.name} ({settings.host}:{settings.port})"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
