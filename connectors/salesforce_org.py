"""A brand's Salesforce org: what we ask of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from simple_salesforce.api import Salesforce

from connectors import salesforce_soql as soql
from connectors.salesforce_calls import WAITS_S, Calls, Usage
from connectors.salesforce_ids import canonical
from connectors.salesforce_records import Record, instant, record_of
from connectors.salesforce_refusals import Told
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing.errors import SourceRefused, SourceUnreachable

_NO_REPLICATION: Final = "INVALID_REPLICATION_DATE"
_TOO_MANY: Final = "EXCEEDED_ID_LIMIT"
_NO_ID_OF_IT: Final = "INVALID_QUERY_FILTER_OPERATOR"
# getUpdated wants its start at least a minute before its end, and knows thirty days.
_AHEAD: Final = timedelta(minutes=2)
_KNOWN_DAYS: Final = timedelta(days=29)
_SHORTEST: Final = timedelta(minutes=4)


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
        self._calls = Calls(settings, environ, pause=pause, waits_s=waits_s)
        self._tells_limits = True
        # The objects of which it was asked what is covered in a shorter window than was read.
        self.halved: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.close()

    @property
    def is_shut(self) -> bool:
        """Whether it has refused to let us in."""
        return self._calls.is_shut

    @property
    def usage(self) -> Usage | None:
        """How many of its calls of the day are used, as far as it has told."""
        return self._calls.usage

    @property
    def is_low(self) -> bool:
        """Whether what is left of its calls of a day is the reserve, as far as it has told."""
        return self.usage is not None and self.usage.percent > 100 - self._its.api_reserve_percent

    def stop_waiting(self) -> None:
        """From now on try no call again for what passes: an org that is down is not to cost a round its hour."""
        self._calls.stop_waiting()

    def server_time(self) -> datetime:
        """The org's clock, in whole seconds, read now; never ours."""
        # The least that any user may ask: what the limits are needs a permission of its own.
        now = self._calls.timed(self._resources)
        if self.usage is None and self._tells_limits:
            self._ask_limits()
        return now

    def _resources(self) -> dict[str, Any]:
        told = self._calls.make("list of resources", lambda client, how: client.restful("", **how))
        return told if isinstance(told, dict) else {}

    def _ask_limits(self) -> None:
        """Learn the usage of an org whose answers do not tell it; one that does not let us know is not asked again."""
        try:
            told = self._calls.make("limits", lambda client, how: client.restful("limits", **how))
        except SourceRefused:
            if self.is_shut:
                raise
            self._tells_limits = False
            return
        calls = told.get("DailyApiRequests", {}) if isinstance(told, dict) else {}
        if self.usage is None and {"Max", "Remaining"} <= calls.keys():
            self._calls.usage = Usage(int(calls["Max"]) - int(calls["Remaining"]), int(calls["Max"]))

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
            told = self._calls.make(path, lambda client, how: client.restful(path, params=window, **how))
        except Told as error:
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
        told = self._calls.make(path, lambda client, how: client.restful(path, **how))
        return told if isinstance(told, dict) else {}

    def sees_all(self, of: str) -> bool | None:
        """Whether our user may see every record of an object, whoever owns it; None if the org does not tell."""
        try:
            address = str(self._resources()["identity"])
            user = canonical(address.rpartition("/")[2], "005")
            sets = [str(one["PermissionSetId"]) for one in self._rows(*soql.permission_sets(user))]
            return any(self._rows(*query) for query in soql.views_all(of, sets))
        except (SourceRefused, SourceUnreachable, KeyError, TypeError, ValueError):
            if self.is_shut:
                raise
            return None

    def count(self, of: str) -> int | None:
        """How many records of an object our user sees, deleted ones apart; None if the org does not tell.

        Of very many it may take too long: it is asked only once.
        """
        query = soql.count(of)
        try:
            told = self._calls.make(f"number of {of}", lambda client, how: client.query(query, **how), waits_s=())
            return int(told["totalSize"])
        except (SourceRefused, SourceUnreachable, KeyError, TypeError, ValueError):
            if self.is_shut:
                raise
            return None

    def changed_since(self, mapping: Mapping_, floor: datetime) -> Iterator[list[Record]]:
        """All records stamped at ``floor`` or later, page by page; ends normally only when all were read."""
        return self._pages(mapping, soql.changed_since(mapping, floor))

    def with_ids(self, mapping: Mapping_, ids: Sequence[str]) -> Iterator[list[Record]]:
        """The records of these ids; what is missing cannot be seen, is no more, or is of another object."""
        for query in soql.each_with_ids(mapping, ids):
            try:
                yield from self._pages(mapping, query)
            except Told as error:
                if _NO_ID_OF_IT not in error.codes:
                    raise

    def with_orders(self, mapping: Mapping_, orders: Sequence[str]) -> Iterator[list[Record]]:
        """The records of these orders."""
        for query in soql.each_with_orders(mapping, orders):
            yield from self._pages(mapping, query)

    def _pages(self, mapping: Mapping_, query: str) -> Iterator[list[Record]]:
        name = f"query of {mapping.object}"
        told = self._calls.make(name, lambda client, how: client.query(query, include_deleted=True, **how))
        read = 0
        while True:
            rows, total, on = self._page(told)
            read += len(rows)
            yield [record_of(row, mapping) for row in rows]
            if on is None:
                break
            told = self._calls.make(name, partial(_read_on, on))
        if read != total:
            raise SourceUnreachable(
                f"Source {self._its.name}: the {name} told of {total:,} records and gave {read:,}. It is read again."
            )

    def _rows(self, of: str, where: str, name: str = "Id") -> list[dict[str, Any]]:
        """One field of the rows of an object, few enough for one page."""
        query = soql.rows(of, where, name)
        return self._page(self._calls.make(f"query of {of}", lambda client, how: client.query(query, **how)))[0]

    def _page(self, told: Any) -> tuple[list[dict[str, Any]], int, str | None]:  # noqa: ANN401 - any JSON value
        try:
            on = None if told["done"] else str(told["nextRecordsUrl"])
            return list(told["records"]), int(told["totalSize"]), on
        except (KeyError, TypeError, ValueError):
            raise SourceUnreachable(
                f"Source {self._its.name}: a page of a query is not whole. It is read again."
            ) from None


def _read_on(url: str, client: Salesforce, how: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    return client.query_more(url, identifier_is_url=True, **how)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
