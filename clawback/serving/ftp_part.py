"""The hosted FTP server in a process of its own; it needs the spool only, neither the store nor Prefect."""

from clawback.serving.part import Supervisor, now, run
from clawback.settings import FtpServer, Settings
from clawback.wiring import brands_folder, credentials_folder, open_spool
from connectors.credentials import Credentials
from connectors.ftp_settings import FtpSettings
from connectors.hosted_ftp import HostedFtp
from processing.errors import Unusable


def ftp_settings(settings: Settings, port: int) -> FtpSettings:
    """The FTP server's settings; a certificate that is not given is made in the state folder. Raises Unusable."""
    ftp = settings.ftp
    folder = settings.state / "tls"
    return FtpSettings(
        certificate=settings.state.parent / ftp.certificate if ftp.certificate else folder / "certificate.pem",
        key=settings.state.parent / ftp.key if ftp.key else folder / "key.pem",
        host=ftp.host,
        port=port or ftp.port,
        tls=ftp.tls,
        passive_ports=_passive_ports(ftp),
        masquerade_address=ftp.public_address or None,
        max_connections=ftp.max_connections,
        max_connections_per_ip=ftp.max_connections_per_address,
        max_upload_bytes=ftp.max_upload_bytes,
        quota_bytes=ftp.quota_bytes,
        idle_timeout_s=ftp.idle_timeout_s,
        login_attempts=ftp.login_attempts,
    )


def _passive_ports(ftp: FtpServer) -> range | None:
    if not ftp.passive_ports:
        return None
    first, dash, last = ftp.passive_ports.partition("-")
    if not (first.strip().isdecimal() and (not dash or last.strip().isdecimal())):
        raise Unusable(f"ftp.passive_ports is {ftp.passive_ports!r}. Give a range such as 50000-50100.")
    return range(int(first), int(last or first) + 1)


def serve_ftp(settings: Settings, supervisor: Supervisor, port: int) -> None:
    """Serve until told to stop."""
    server = HostedFtp(
        ftp_settings(settings, port),
        spool=open_spool(settings, now),
        credentials=Credentials(credentials_folder(settings)),
        folder=brands_folder(settings),
    )
    server.start()
    supervisor.when_told_to_stop(server.close)
    supervisor.report(port=server.port, ready=True)
    server.serve_forever()


if __name__ == "__main__":
    run("ftp", serve_ftp)
