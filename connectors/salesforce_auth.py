"""Gets tokens for an org, and never keeps one longer than asked: OAuth client credentials or a signed assertion.

No SOAP login, which Salesforce is retiring; user name and password only as OAuth's password grant, for orgs that have
nothing better yet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
import requests

from connectors.salesforce_ids import canonical
from connectors.salesforce_session import Endless, cause
from connectors.salesforce_settings import SalesforceSettings
from processing.errors import SourceRefused, SourceUnreachable, Unusable

_ASSERTION: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIVES: Final = timedelta(minutes=3)
_PATH: Final = "/services/oauth2/token"
_CONFIGURATION: Final = range(400, 404)
_CONNECT_S: Final = 5
_ADVICE: Final = {
    "invalid_client": "Check key and secret (env: or file:), and that client credentials are switched on in the app.",
    "invalid_client_id": "Check key: no app of the org has it.",
    "invalid_grant": "Check that the user may use the app, that the certificate is the app's, user and audience.",
    "unsupported_grant_type": "Give my_domain, not a login address; client credentials need it.",
}


def how_to_call(settings: SalesforceSettings) -> dict[str, Any]:
    """What every call is given: a time limit, and whose certificates are trusted."""
    trust = {} if settings.ca_file is None else {"verify": str(settings.ca_file)}
    return {"timeout": (_CONNECT_S, settings.timeout_s), **trust}


def untrusted(name: str, url: str) -> SourceRefused:
    """What is raised when the certificate of an address proves nothing to us."""
    return SourceRefused(f"Source {name}: the certificate of {url} is not to be trusted. Check ca_file.")


@dataclass(frozen=True, slots=True)
class Token:
    """A session: what to show, and where."""

    value: str = field(repr=False)
    instance_url: str


class TokenProvider:
    """Asks for tokens; the one that was told last is kept until it is given back as expired.

    ``clock`` tells the org's time, as far as it is known: an assertion must not be from the future.
    """

    def __init__(
        self,
        settings: SalesforceSettings,
        environ: Mapping[str, str],
        session: requests.Session,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._session = session
        self._clock = clock
        self._token: Token | None = None

    def token(self) -> Token:
        """The present token; raises SourceRefused or Unusable for what settings can repair, else SourceUnreachable."""
        if self._token is None:
            self._check_trust()
            self._token = self._new()
        return self._token

    def expired(self) -> None:
        """The present token is of no use any more."""
        self._token = None

    def _check_trust(self) -> None:
        """A file of authorities that is not there is no error of requests."""
        its = self._settings
        if its.ca_file is not None and not its.ca_file.exists():
            raise Unusable(f"Source {its.name}: the ca_file {its.ca_file} does not exist.")

    def _new(self) -> Token:
        its = self._settings
        if its.auth == "session":
            return Token(self._revealed("session"), its.base_url)
        answer = self._ask()
        org = str(answer.get("id", "")).rstrip("/").split("/")[-2:-1]
        try:
            same = bool(org) and canonical(org[0]) == its.org_id
        except ValueError:
            same = False
        if not same:
            found = org[0] if org else "an org it does not name"
            raise SourceRefused(f"Source {its.name}: the token is for {found}, not for org {its.org_id}. Check org_id.")
        try:
            return Token(answer["access_token"], str(answer["instance_url"]).rstrip("/"))
        except KeyError as error:
            raise SourceRefused(f"Source {its.name}: the token's answer has no {error}. Check my_domain.") from None

    def _ask(self) -> dict[str, Any]:
        name, url = self._settings.name, self._settings.base_url + _PATH
        grant, login = self._grant()
        try:
            answer = self._session.post(
                url, data=grant, auth=login, allow_redirects=False, **how_to_call(self._settings)
            )
        except requests.exceptions.SSLError:
            raise untrusted(name, url) from None
        except (requests.RequestException, Endless) as error:
            raise SourceUnreachable(f"Source {name}: {url} does not answer as agreed ({cause(error)}).") from None
        try:
            told = answer.json()
        except ValueError:
            told = {}
        if not isinstance(told, dict):
            told = {}
        if answer.status_code == requests.codes.ok and told:
            return told
        why = str(told.get("error", f"HTTP {answer.status_code}"))[:60]
        if answer.status_code in _CONFIGURATION or answer.is_redirect:
            advice = _ADVICE.get(why, "Check my_domain and the app's settings.")
            raise SourceRefused(f"Source {name}: Salesforce gives no token ({why}). {advice}")
        raise SourceUnreachable(f"Source {name}: the token endpoint failed ({why}). It is tried again.")

    def _grant(self) -> tuple[dict[str, str], tuple[str, str] | None]:
        its = self._settings
        if its.auth == "client_credentials":
            return {"grant_type": "client_credentials"}, (self._revealed("key"), self._revealed("secret"))
        if its.auth == "jwt_bearer":
            return {"grant_type": _ASSERTION, "assertion": self._assertion()}, None
        login = {"username": its.user or "", "password": self._revealed("session")}
        app = {"client_id": self._revealed("key"), "client_secret": self._revealed("secret")}
        return {"grant_type": "password", **login, **app}, None

    def _assertion(self) -> str:
        its = self._settings
        assert its.private_key_file  # noqa: S101 - the settings say so
        claims = {"iss": self._revealed("key"), "sub": its.user, "aud": its.audience, "exp": self._clock() + _LIVES}
        try:
            return jwt.encode(claims, its.private_key_file.read_text(), algorithm="RS256")
        except OSError as error:
            raise Unusable(f"Source {its.name}: {its.private_key_file} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError, jwt.PyJWTError):
            raise Unusable(f"Source {its.name}: {its.private_key_file} is no private RSA key as PEM.") from None

    def _revealed(self, name: str) -> str:
        secret = getattr(self._settings, name)
        return str(secret.reveal(self._environ))
