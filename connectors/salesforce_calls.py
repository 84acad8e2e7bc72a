"""Calls to a brand's Salesforce org, with a time limit on each and every failure sorted.

simple-salesforce is given a token and an address, and nothing to renew them by: its own renewal recurses, loses headers
and goes on calling the old address. An expired session costs one new token and one more try.
"""

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession

from connectors.salesforce_auth import TokenProvider, how_to_call, untrusted
from connectors.salesforce_refusals import LostPlace, sorted_refusal
from connectors.salesforce_session import Endless, cause, session
from connectors.salesforce_settings import SalesforceSettings
from processing.errors import SourceRefused, SourceUnreachable

Answer = TypeVar("Answer")

# Between two tries of a call; what still fails then is left to the next round.
WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
_USAGE: Final = re.compile(r"(?:^|[;,]\s*)api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Usage:
    """How many of an org's calls of a day are used."""

    used: int
    quota: int

    @property
    def percent(self) -> float:
        """Of the whole."""
        return 100 * self.used / self.quota if self.quota else 0.0


class Calls:
    """How an org is called; ``pause`` waits between two tries. One that lets us not in is not asked again.

    ``usage`` is None as long as no answer has told it.
    """

    def __init__(
        self,
        settings: SalesforceSettings,
        environ: Mapping[str, str],
        *,
        pause: Callable[[float], None],
        waits_s: Sequence[float],
    ) -> None:
        self._its = settings
        self._pause = pause
        self._waits_s = waits_s
        self._session = session(2 * settings.timeout_s)
        # With every call: an authority that the environment names would win over one that the session names.
        self._how = how_to_call(settings)
        self._session.hooks["response"].append(self._heard)
        self._tokens = TokenProvider(settings, environ, self._session, self._time_by_now)
        self._client: Salesforce | None = None
        self._server_time: datetime | None = None
        self._heard_at = 0.0
        # Why it does not let us in: asking again and again has users locked out.
        self._shut: SourceRefused | None = None
        self.usage: Usage | None = None

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    @property
    def is_shut(self) -> bool:
        """Whether the org has refused to let us in."""
        return self._shut is not None

    def stop_waiting(self) -> None:
        """From now on try no call again for what passes."""
        self._waits_s = ()

    def timed(self, act: Callable[[], object]) -> datetime:
        """What the org's clock shows, in whole seconds, when it answers the calls of ``act``."""
        self._server_time = None
        act()
        return self._told_time()

    def make(
        self,
        what: str,
        act: Callable[[Salesforce, dict[str, Any]], Answer],
        *,
        waits_s: Sequence[float] | None = None,
    ) -> Answer:
        """One call: again after a while for what passes, once more with a new token for an expired session."""
        renewed = False
        waits = iter(self._waits_s if waits_s is None else waits_s)
        while True:
            if self._shut is not None:
                raise SourceRefused(str(self._shut))
            try:
                return self._try(what, act)
            except SalesforceExpiredSession:
                if renewed or self._its.auth == "session":
                    self._shut = SourceRefused(
                        f"Source {self._its.name}: Salesforce does not accept the session ({what}). "
                        "Check that the app and its user are active."
                    )
                    raise self._shut from None
                renewed = True
                self._tokens.expired()
                self._client = None
            except SourceUnreachable as error:
                wait_s = next(waits, None)
                if wait_s is None or isinstance(error, LostPlace):
                    raise
                self._pause(wait_s * random.uniform(1, 1.25))  # noqa: S311 - spreads tries, keeps no secret

    def _try(self, what: str, act: Callable[[Salesforce, dict[str, Any]], Answer]) -> Answer:
        name = self._its.name
        try:
            return act(self._connected(), self._how)
        except SalesforceExpiredSession:
            raise
        except SalesforceError as error:
            raise sorted_refusal(name, what, error) from None
        except requests.exceptions.SSLError:
            raise SourceRefused(
                f"Source {name}: the server's certificate is not to be trusted. Check ca_file."
            ) from None
        except (requests.RequestException, Endless, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SourceUnreachable(
                f"Source {name}: Salesforce did not answer the {what} as agreed ({cause(error)})."
            ) from None

    def _connected(self) -> Salesforce:
        if self._client is None:
            try:
                token = self._tokens.token()
            except SourceRefused as error:
                self._shut = error
                raise
            self._client = Salesforce(
                session_id=token.value,
                instance_url=token.instance_url,
                version=self._its.api_version,
                session=self._session,
                parse_float=Decimal,
                object_pairs_hook=dict,
            )
        return self._client

    def _heard(self, answer: requests.Response, **_how: object) -> None:
        """Every answer, errors included, tells the time and the calls that are left."""
        date = answer.headers.get("Date")
        if date:
            try:
                self._server_time = parsedate_to_datetime(date).astimezone(UTC)
                self._heard_at = time.monotonic()
            except ValueError:
                self._server_time = None
        found = _USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
        if found:
            self.usage = Usage(int(found[1]), int(found[2]))

    def _time_by_now(self) -> datetime:
        """The org's clock for an assertion; asked of the server once when nothing has been heard yet."""
        if self._server_time is None:
            try:
                self._session.head(self._its.base_url, allow_redirects=False, **self._how)
            except requests.exceptions.SSLError:
                raise untrusted(self._its.name, self._its.base_url) from None
            except (requests.RequestException, Endless) as error:
                raise SourceUnreachable(
                    f"Source {self._its.name}: {self._its.base_url} does not answer ({cause(error)})."
                ) from None
        return self._told_time() + timedelta(seconds=time.monotonic() - self._heard_at)

    def _told_time(self) -> datetime:
        if self._server_time is None:
            raise SourceRefused(f"Source {self._its.name}: its answers tell no time. Is a proxy taking Date away?")
        return self._server_time
