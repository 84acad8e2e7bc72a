"""A session with a brand's FTP server: with TLS unless the settings say otherwise, its certificate checked.

Names are bytes on the wire; each byte is a letter here (ISO 8859-1), so that a name that is not UTF-8 can still be told
back to the server. Every failure of ftplib, of the network and of the far side becomes one of ours here.
"""

import ftplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from connectors.source_settings import FtpPullSettings
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable, Unusable

WIRE: Final = "iso-8859-1"


class _TlsClient(ftplib.FTP_TLS):
    """Continues the TLS session of the control connection on data connections, as many servers demand."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection; ftplib itself would begin a TLS session of its own."""
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - the connection that TLS begins on
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        try:
            return self.context.wrap_socket(data, server_hostname=self.host, session=session), size
        except BaseException:
            data.close()
            raise


@contextmanager
def logged_in(settings: FtpPullSettings, environ: Mapping[str, str]) -> Iterator[ftplib.FTP]:
    """A session that is logged in and sends bytes as they are; closed at the end."""
    password = settings.password.reveal(environ)
    with _client(settings) as client, telling(settings, "the login"):
        try:
            client.connect(settings.host, settings.port)
            if isinstance(client, ftplib.FTP_TLS):
                _secure(settings, client)
            client.login(settings.user, password)
        except ftplib.error_perm as error:
            raise SourceRefused(f"{at(settings)} refuses the login of {settings.user}: {_reason(error)}.") from None
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        client.voidcmd("TYPE I")
        yield client


def _client(settings: FtpPullSettings) -> ftplib.FTP:
    if settings.tls == "off":
        return ftplib.FTP(timeout=settings.timeout_s, encoding=WIRE)  # noqa: S321 - only where the settings say so
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise Unusable(f"The ca_file {settings.ca_file} of source {settings.name}: {_reason(error)}.") from None
    return _TlsClient(timeout=settings.timeout_s, encoding=WIRE, context=context)


def _secure(settings: FtpPullSettings, client: ftplib.FTP_TLS) -> None:
    """Begin TLS before anything is told to the server."""
    try:
        client.auth()
    except ftplib.error_perm:
        raise SourceRefused(
            f'{at(settings)} offers no TLS. Nothing was sent. Ask the brand, or set tls = "off" for this source.'
        ) from None


@contextmanager
def telling(settings: FtpPullSettings, what: str) -> Iterator[None]:
    """Turn what goes wrong while ``what`` is done into one of our errors."""
    try:
        yield
    except ClawbackError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise SourceRefused(
            f"{at(settings)} shows a certificate that is not trusted ({error.verify_message}). Nothing was sent. If "
            "the brand uses an authority of its own, name its certificate as ca_file."
        ) from None
    except ftplib.error_perm as error:
        raise SourceRefused(f"{at(settings)} refuses {what}: {_reason(error)}.") from None
    except ftplib.error_proto as error:
        raise SourceRefused(f"{at(settings)} does not answer like an FTP server: {_reason(error)}.") from None
    except (OSError, EOFError, ftplib.Error) as error:
        raise SourceUnreachable(f"{at(settings)}: the connection broke off at {what} ({_reason(error)}).") from None


def at(settings: FtpPullSettings) -> str:
    """The source as messages name it."""
    return f"{settings.name} ({settings.host}:{settings.port})"


def hang_up(data: socket.socket) -> None:
    """Close a data connection; one with TLS says so, but not every server answers that."""
    with data, suppress(OSError):
        if isinstance(data, ssl.SSLSocket):
            data.unwrap()


def _reason(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said.splitlines()[0].rstrip(".")
