"""Hands messages of ours to the server that sends them on; their return path is empty, so nothing ever comes back."""

import os
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Literal

from processing.errors import ClawbackError, Unusable

_PATIENCE_S: Final = 60
_FOR_EVER: Final = 500
_ENV: Final = "env:"
_FILE: Final = "file:"


class RelayUnavailable(ClawbackError):
    """The relay takes nothing now, whatever the message."""


class RefusedForNow(ClawbackError):
    """The relay does not take this message now; trying again later can help."""


class RefusedForEver(ClawbackError):
    """The relay will never take the message for this recipient."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Where the relay is and how it is spoken to; ``password`` is ``env:NAME`` or ``file:PATH`` (from ``folder``)."""

    host: str
    port: int
    tls: Literal["required", "optional", "off"]
    user: str
    password: str
    folder: Path

    def hand_over(self, message: EmailMessage, recipient: str) -> None:
        """Return when the relay has taken the message; raises RelayUnavailable, RefusedForNow, RefusedForEver."""
        try:
            with smtplib.SMTP(self.host, self.port, timeout=_PATIENCE_S) as client:
                self._secure(client)
                if self.user:
                    client.login(self.user, self._secret())
                client.send_message(message, from_addr="", to_addrs=[recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refusal(code, text) from error
        except smtplib.SMTPAuthenticationError as error:
            raise RelayUnavailable("The relay refused our user or password. Correct relay.user.") from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            raise RelayUnavailable(f"The relay {self.host}:{self.port} cannot be used: {_line(str(error))}.") from error

    def _secure(self, client: smtplib.SMTP) -> None:
        client.ehlo()
        if self.tls == "off" or (self.tls == "optional" and not client.has_extn("starttls")):
            return
        context = ssl.create_default_context()
        if self.tls == "optional":
            # Whoever could offer a wrong certificate could as well hide that there is one.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        client.starttls(context=context)
        client.ehlo()

    def _secret(self) -> str:
        reference = self.password
        if reference.startswith(_ENV):
            found = os.environ.get(reference.removeprefix(_ENV))
        elif reference.startswith(_FILE):
            try:
                found = (self.folder / reference.removeprefix(_FILE)).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                found = None
        else:
            raise Unusable("relay.password is neither env:NAME nor file:PATH; a password does not belong there.")
        if not found:
            raise Unusable(f"relay.password names {reference}, which is not there or empty.")
        return found


def _refusal(code: int, text: bytes | str) -> ClawbackError:
    told = f"The relay answered {code} {_line(text.decode('utf-8', 'replace') if isinstance(text, bytes) else text)}"
    return RefusedForEver(told) if code >= _FOR_EVER else RefusedForNow(told)


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
