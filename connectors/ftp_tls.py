"""The certificate and the TLS context of the hosted FTP server."""

import ipaddress
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from connectors.durable import claim, ensure_folder, replace_file
from connectors.ftp_settings import FtpSettings
from processing.errors import Unusable

_log = logging.getLogger(__name__)

_LIFE: Final = timedelta(days=3653)
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")


def ensure_certificate(settings: FtpSettings, clock: Callable[[], datetime]) -> None:
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


def tls_context(settings: FtpSettings) -> SSL.Context:
    """TLS 1.2 or newer with the server's certificate."""
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
