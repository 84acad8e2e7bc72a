"""The certificate of the hosted FTP server, and TLS for its two kinds of connection.

Control connections are secured by pyOpenSSL, as pyftpdlib does. Data connections are secured by the standard library's
ssl, because it can leave out the session tickets of TLS 1.3 and pyOpenSSL cannot: a client that only sends never reads
them, and when it closes with unread bytes its kernel resets the connection behind (or before) its close_notify. The
upload then looks broken off, and may be (lftp).
"""

import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from connectors.durable import claim, ensure_folder, replace_file
from processing.errors import Unusable

_log = logging.getLogger(__name__)

_LIFE: Final = timedelta(days=3653)
_TRANSLATED: Final = (ssl.SSLError, ConnectionError)
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")


class Certified(Protocol):
    """The settings of a server that has a certificate."""

    @property
    def certificate(self) -> Path:
        """The certificate with its chain, PEM."""

    @property
    def key(self) -> Path:
        """Its key, PEM, without a password."""

    @property
    def host(self) -> str:
        """Where the server listens."""


def ensure_certificate(settings: Certified, clock: Callable[[], datetime]) -> None:
    """Make a self-signed certificate if there is neither a certificate nor a key."""
    ensure_folder(settings.certificate.parent)
    ensure_folder(settings.key.parent)
    # Two servers may start on one folder at once.
    with claim(settings.key.with_name(f".{settings.key.name}.claim")):
        if settings.certificate.exists() and settings.key.exists():
            return
        if settings.certificate.exists():
            raise Unusable(f"{settings.certificate} has no key {settings.key}. Put both there, or neither.")
        # A key alone is what a crash between the two leaves, or the operator's own: it is never replaced.
        if not settings.key.exists():
            replace_file(settings.key, _new_key())
        replace_file(settings.certificate, _self_signed(_read_key(settings.key), settings.host, clock()))
        _log.info("certificate_made path=%s", settings.certificate)


def control_context(settings: Certified) -> SSL.Context:
    """TLS 1.2 or newer with the server's certificate, for control connections."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    try:
        context.use_certificate_chain_file(str(settings.certificate))
        context.use_privatekey_file(str(settings.key))
        context.check_privatekey()
    except (SSL.Error, OSError) as error:
        raise Unusable(
            f"The certificate {settings.certificate} and the key {settings.key} cannot be used together. "
            "Give PEM files that belong to each other."
        ) from error
    return context


def data_context(settings: Certified) -> ssl.SSLContext:
    """The same for data connections, without session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(settings.certificate, settings.key)
    return context


class TlsSocket:
    """A secured socket of the standard library in the place of one of pyOpenSSL: same methods, same exceptions."""

    def __init__(self, context: ssl.SSLContext, plain: socket.socket) -> None:
        self._socket = context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    def set_accept_state(self) -> None:
        """It is the server's side already."""

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        try:
            self._socket.do_handshake()
        except _TRANSLATED as error:
            raise _as_pyopenssl(error) from error
        self._acknowledge()

    def recv(self, size_bytes: int) -> bytes:
        """Read; ``SSL.ZeroReturnError`` is a close_notify, ``SSL.SysCallError`` an end without one."""
        try:
            data = self._socket.recv(size_bytes)
        except _TRANSLATED as error:
            raise _as_pyopenssl(error) from error
        self._acknowledge()
        if not data:
            raise SSL.ZeroReturnError
        return data

    def send(self, data: bytes) -> int:
        """Write."""
        try:
            return self._socket.send(data)
        except _TRANSLATED as error:
            raise _as_pyopenssl(error) from error

    def _acknowledge(self) -> None:
        # Without tickets there is nothing that our acknowledgement could travel with; a client that gathers small
        # writes (Nagle) would wait 40 ms for it with the last bytes of each file. The kernel forgets the option.
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            return  # the client is gone, which the next read finds

    def say_close(self) -> None:
        """Send our close_notify; the other side's is not waited for."""
        try:
            self._socket.unwrap()
        except _TRANSLATED as error:
            raise _as_pyopenssl(error) from error


def _as_pyopenssl(error: ssl.SSLError | ConnectionError) -> SSL.Error:
    match error:
        case ssl.SSLWantReadError():
            return SSL.WantReadError()
        case ssl.SSLWantWriteError():
            return SSL.WantWriteError()
        case ssl.SSLEOFError() | ConnectionError():
            return SSL.SysCallError(-1, "Unexpected EOF")
        case _:
            return SSL.Error(error.reason)


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"The key {path} cannot be read. Give a PEM file without a password.") from error
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    raise Unusable(f"The key {path} is neither an EC nor an RSA key. Give one of those.")


def _self_signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, host: str, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Clawback hosted FTP")])
    names = x509.SubjectAlternativeName([_general_name(value) for value in dict.fromkeys((*_ALWAYS, host)) if value])
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(names, critical=False)
        .add_extension(subject_key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)
