"""A brand's Salesforce org: what we ask of it, with a time limit on every call and every failure sorted.

simple-salesforce is given a token and an address, and nothing to renew them by: its own renewal recurses, loses headers
and goes on calling the old address. An expired session costs one new token and one more try.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession

from connectors import salesforce_soql as soql
from connectors.salesforce_auth import TokenProvider, how_to_call
from connectors.salesforce_ids import canonical
from connectors.salesforce_records import Record, instant, record_of
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing.errors import SourceExhausted, SourceRefused, SourceUnreachable

Answer = TypeVar("Answer")

# Between two tries of a call; what still fails then is left to the next round.
WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
LIMIT: Final = "REQUEST_LIMIT_EXCEEDED"
_LOST_PLACE: Final = "INVALID_QUERY_LOCATOR"
_NO_REPLICATION: Final = "INVALID_REPLICATION_DATE"
_TOO_MANY: Final = "EXCEEDED_ID_LIMIT"
_TOO_LONG: Final = "QUERY_TIMEOUT"
_PASSING: Final = frozenset({406, 408, 420, 429})
_SERVER: Final = 500
# getUpdated wants its start at least a minute before its end, and knows thirty days.
_AHEAD: Final = timedelta(minutes=2)
_KNOWN_DAYS: Final = timedelta(days=29)
_SHORTEST: Final = timedelta(minutes=4)
_USAGE: Final = re.compile(r"(?:^|[;,]\s*)api-usage=(\d+)/(\d+)")
_REFERENCE: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Usage:
    """How many of an org's calls of a day are used."""

    used: int
    quota: int

    @property
    def percent(self) -> float:
        """Of the whole."""
        return 100 * self.used / self.quota if self.quota else 0.0


class Org:
    """An org, connected inside ``with``; ``pause`` waits between two tries. One that lets us not in is not asked again.

    Every method raises SourceUnreachable for what passes, SourceExhausted when the org's calls of a day are used up,
    and SourceRefused for what somebody has to change: a setting, a permission, the org itself.
    """

    def __init__(
        self,
        settings: SalesforceSettings,
        environ: Mapping[str, str],
        *,
        pause: Callable[[float], None] = time.sleep,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._its = settings
        self._pause = pause
        self._waits_s = waits_s
        self._session = requests.Session()
        # With every call: an authority that the environment names would win over one that the session names.
        self._how = how_to_call(settings)
        self._session.hooks["response"].append(self._heard)
        self._tokens = TokenProvider(settings, environ, self._session, self._time_by_now)
        self._client: Salesforce | None = None
        self._server_time: datetime | None = None
        self._heard_at = 0.0
        # Why it does not let us in: asking again and again has users locked out.
        self._shut: SourceRefused | None = None
        self._tells_limits = True
        # The objects of which it was asked what is covered in a shorter window than was read.
        self.halved: set[str] = set()
        self.usage: Usage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    @property
    def is_shut(self) -> bool:
        """Whether it has refused to let us in."""
        return self._shut is not None

    @property
    def is_low(self) -> bool:
        """Whether what is left of its calls of a day is the reserve, as far as it has told."""
        return self.usage is not None and self.usage.percent > 100 - self._its.api_reserve_percent

    def stop_waiting(self) -> None:
        """From now on try no call again for what passes: an org that is down is not to cost a round its hour."""
        self._waits_s = ()

    def server_time(self) -> datetime:
        """The org's clock, in whole seconds, read now; never ours."""
        self._server_time = None
        # The least that any user may ask: what the limits are needs a permission of its own.
        self._resources()
        if self._server_time is None:
            raise SourceRefused(f"Source {self._its.name}: its answers tell no time. Is a proxy taking Date away?")
        now = self._server_time
        if self.usage is None and self._tells_limits:
            self._ask_limits()
        return now

    def _resources(self) -> dict[str, Any]:
        told = self._call("list of resources", lambda client, how: client.restful("", **how))
        return told if isinstance(told, dict) else {}

    def _ask_limits(self) -> None:
        """Learn the usage of an org whose answers do not tell it; one that does not let us know is not asked again."""
        try:
            told = self._call("limits", lambda client, how: client.restful("limits", **how))
        except SourceRefused:
            if self._shut is not None:
                raise
            self._tells_limits = False
            return
        calls = told.get("DailyApiRequests", {}) if isinstance(told, dict) else {}
        if self.usage is None and {"Max", "Remaining"} <= calls.keys():
            self.usage = Usage(int(calls["Max"]) - int(calls["Remaining"]), int(calls["Max"]))

    def latest_date_covered(self, of: str, floor: datetime, now: datetime) -> datetime | None:
        """The start of the oldest transaction that may not be seen yet; None if the org cannot tell.

        ``now`` is the org's, and nothing is covered beyond it; ``floor`` where reading begins. A window with too many
        changes for one answer is halved at its end, of which the answer tells. That this holds for what was left out
        as well is not proven: nothing says so, and no real org was asked. Its object is one of ``halved``.
        """
        end = now + _AHEAD
        span = end - max(floor, now - _KNOWN_DAYS)
        while (told := self._updated(of, end - span, end)) is None:
            span /= 2
            self.halved.add(of)
            if span < _SHORTEST:
                return None
        try:
            return min(instant(told["latestDateCovered"]), now)
        except (KeyError, TypeError, ValueError):
            return None

    def _updated(self, of: str, start: datetime, end: datetime) -> dict[str, Any] | None:
        """What has changed between two instants; None when it is too much to be told, nothing if it is not known."""
        path, window = f"sobjects/{of}/updated/", {"start": _utc(start), "end": _utc(end)}
        try:
            told = self._call(path, lambda client, how: client.restful(path, params=window, **how))
        except _Told as error:
            if _TOO_MANY in error.codes:
                return None
            if _NO_REPLICATION in error.codes:
                return {}
            raise
        return told if isinstance(told, dict) else {}

    def identity(self) -> str:
        """The org's own id."""
        rows = self._rows("Organization", "")
        return canonical(str(rows[0]["Id"])) if rows else ""

    def describe(self, of: str) -> dict[str, Any]:
        """What the org tells of an object."""
        path = f"sobjects/{of}/describe"
        told = self._call(path, lambda client, how: client.restful(path, **how))
        return told if isinstance(told, dict) else {}

    def sees_all(self, of: str) -> bool | None:
        """Whether our user may see every record of an object, whoever owns it; None if the org does not tell."""
        try:
            address = str(self._resources()["identity"])
            user = canonical(address.rpartition("/")[2], "005")
            sets = [str(one["PermissionSetId"]) for one in self._rows(*soql.permission_sets(user))]
            return any(self._rows(*query) for query in soql.views_all(of, sets)) if sets else False
        except (SourceRefused, SourceUnreachable, KeyError, TypeError, ValueError):
            if self._shut is not None:
                raise
            return None

    def count(self, of: str) -> int | None:
        """How many records of an object our user sees, deleted ones apart; None if the org does not tell.

        Of very many it may take too long: it is asked only once.
        """
        query = soql.count(of)
        try:
            told = self._call(f"number of {of}", lambda client, how: client.query(query, **how), waits_s=())
            return int(told["totalSize"])
        except (SourceRefused, SourceUnreachable, KeyError, TypeError, ValueError):
            if self._shut is not None:
                raise
            return None

    def changed_since(self, mapping: Mapping_, floor: datetime) -> Iterator[list[Record]]:
        """All records stamped at ``floor`` or later, page by page; ends normally only when all were read."""
        return self._pages(mapping, soql.changed_since(mapping, floor))

    def with_ids(self, mapping: Mapping_, ids: Sequence[str]) -> Iterator[list[Record]]:
        """The records of these ids; what is missing cannot be seen or is no more."""
        for some in soql.batches(ids):
            yield from self._pages(mapping, soql.with_ids(mapping, some))

    def with_orders(self, mapping: Mapping_, orders: Sequence[str]) -> Iterator[list[Record]]:
        """The records of these orders."""
        for some in soql.batches(orders):
            yield from self._pages(mapping, soql.with_orders(mapping, some))

    def _pages(self, mapping: Mapping_, query: str) -> Iterator[list[Record]]:
        name = f"query of {mapping.object}"
        told = self._call(name, lambda client, how: client.query(query, include_deleted=True, **how))
        read = 0
        while True:
            rows, total, on = self._page(told)
            read += len(rows)
            yield [record_of(row, mapping) for row in rows]
            if on is None:
                break
            told = self._call(name, partial(_read_on, on))
        if read != total:
            raise SourceUnreachable(
                f"Source {self._its.name}: the {name} told of {total:,} records and gave {read:,}. It is read again."
            )

    def _rows(self, of: str, where: str, name: str = "Id") -> list[dict[str, Any]]:
        """One field of the rows of an object, few enough for one page."""
        query = soql.rows(of, where, name)
        return self._page(self._call(f"query of {of}", lambda client, how: client.query(query, **how)))[0]

    def _page(self, told: Any) -> tuple[list[dict[str, Any]], int, str | None]:  # noqa: ANN401 - any JSON value
        try:
            on = None if told["done"] else str(told["nextRecordsUrl"])
            return list(told["records"]), int(told["totalSize"]), on
        except (KeyError, TypeError, ValueError):
            raise SourceUnreachable(
                f"Source {self._its.name}: a page of a query is not whole. It is read again."
            ) from None

    def _call(
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
                if wait_s is None or isinstance(error, _LostPlace):
                    raise
                self._pause(wait_s * random.uniform(1, 1.25))  # noqa: S311 - spreads tries, keeps no secret

    def _try(self, what: str, act: Callable[[Salesforce, dict[str, Any]], Answer]) -> Answer:
        name = self._its.name
        try:
            return act(self._connected(), self._how)
        except SalesforceExpiredSession:
            raise
        except SalesforceError as error:
            raise self._sorted(what, error) from None
        except requests.exceptions.SSLError:
            raise SourceRefused(
                f"Source {name}: the server's certificate is not to be trusted. Check ca_file."
            ) from None
        except (requests.RequestException, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SourceUnreachable(
                f"Source {name}: Salesforce did not answer the {what} as agreed ({type(error).__name__})."
            ) from None

    def _sorted(self, what: str, error: SalesforceError) -> Exception:
        """Which of ours a refusal is; its text may hold data, so only its codes are told."""
        codes = _codes(error.content)
        told = ", ".join(sorted(codes)) or f"HTTP {error.status}"
        name = self._its.name
        if LIMIT in codes:
            return SourceExhausted(f"Source {name}: the org's API calls of the day are used up ({LIMIT}).")
        if _LOST_PLACE in codes:
            return _LostPlace(f"Source {name}: the {what} cannot be read on ({told}). It is read anew.")
        if error.status in _PASSING or error.status >= _SERVER or _TOO_LONG in codes:
            return SourceUnreachable(f"Source {name}: Salesforce failed at the {what} (HTTP {error.status}, {told}).")
        kind = "permission" if error.status == requests.codes.forbidden else "configuration"
        return _Told(
            f"Source {name}: Salesforce refuses the {what} ({told}); this is a matter of {kind}. "
            f"`clawback sources check {name}` says what to change.",
            codes,
        )

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
            except requests.RequestException as error:
                raise SourceUnreachable(
                    f"Source {self._its.name}: {self._its.base_url} does not answer ({type(error).__name__})."
                ) from None
        if self._server_time is None:
            raise SourceRefused(f"Source {self._its.name}: its answers tell no time. Is a proxy taking Date away?")
        return self._server_time + timedelta(seconds=time.monotonic() - self._heard_at)


def _read_on(url: str, client: Salesforce, how: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    return client.query_more(url, identifier_is_url=True, **how)


class _Told(SourceRefused):
    """A refusal with the codes that the org gave."""

    def __init__(self, message: str, codes: frozenset[str]) -> None:
        super().__init__(message)
        self.codes = codes


class _LostPlace(SourceUnreachable):
    """A query cannot be read on: trying the same page again would not help."""


def _codes(content: object) -> frozenset[str]:
    """The error codes of an answer, whatever its shape."""
    told: Any = content
    if isinstance(told, str | bytes):
        try:
            told = json.loads(told)
        except ValueError:
            return frozenset()
    each = told if isinstance(told, list) else [told]
    codes = (str(one.get("errorCode", "")) for one in each if isinstance(one, dict))
    return frozenset(code for code in codes if _REFERENCE.fullmatch(code))


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
