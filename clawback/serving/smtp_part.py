"""The e-mail inbox in a process of its own; it needs the spool only, neither the store nor Prefect."""

from clawback.serving.part import Supervisor, now, run
from clawback.settings import Settings
from clawback.wiring import mail_folder, open_spool
from connectors.hosted_smtp import HostedSmtp
from connectors.mail_book import MailBook
from connectors.mail_evidence import trust_of
from connectors.mail_identity import resolver_of
from connectors.smtp_settings import SmtpSettings


def smtp_settings(settings: Settings, port: int) -> SmtpSettings:
    """The inbox's settings; a certificate that is not given is the one of the hosted FTP server. Raises Unusable."""
    smtp = settings.smtp
    folder = settings.state / "tls"
    return SmtpSettings(
        domain=smtp.domain,
        certificate=settings.state.parent / smtp.certificate if smtp.certificate else folder / "certificate.pem",
        key=settings.state.parent / smtp.key if smtp.key else folder / "key.pem",
        host=smtp.host,
        port=port or smtp.port,
        tls=smtp.tls,
        max_message_bytes=smtp.max_message_bytes,
        max_recipients=smtp.max_recipients,
        max_connections=smtp.max_connections,
        max_connections_per_address=smtp.max_connections_per_address,
        max_messages_per_minute=smtp.max_messages_per_minute,
        idle_timeout_s=smtp.idle_timeout_s,
        session_timeout_s=smtp.session_timeout_s,
    )


def serve_smtp(settings: Settings, supervisor: Supervisor, port: int) -> None:
    """Serve until told to stop; settings that the worker could not use are said now."""
    trust_of(settings.smtp.trusted_relay, settings.smtp.trusted_networks)
    resolver_of(settings.smtp.dns)
    server = HostedSmtp(
        smtp_settings(settings, port), spool=open_spool(settings, now), book=MailBook(mail_folder(settings))
    )
    server.start()
    supervisor.when_told_to_stop(server.close)
    supervisor.report(port=server.port, ready=True)
    server.serve_forever()


if __name__ == "__main__":
    run("smtp", serve_smtp)
