"""The short way of a change: the same answers as by the long one, which the version in the query sends a request."""

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from starlette.routing import Match

from clawback.web.app import create_app
from clawback.web.short_way import ShortWay
from clawback.wiring import open_desk
from connectors.tokens import Scope
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.worlds import OTHER_SID, SID

LONG: Final = {"IrVersion": "13"}
PUT: Final = {"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"}
DELETE: Final = {"ActionId": "A-1", "DispositionCode": "OTHER"}
TOLD: Final = ("content-type", "www-authenticate", "retry-after", "x-ratelimit-limit", "cache-control", "allow")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that counts requests."""
    folder, clock = tmp_path_factory.mktemp("limited"), Clock()
    settings = settings_of(folder, "", requests_per_hour=1000, idle_timeout_s=1)
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as running:
        yield running


def ways(path: str, query: bytes = b"", key: bytes | None = None, method: str = "PUT") -> dict[str, Any]:
    """A request as a route sees it."""
    headers = [] if key is None else [(b"idempotency-key", key)]
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (ways(f"/Advertisers/{SID}/Actions"), Match.FULL),
        (ways(f"/Advertisers/{SID}/Actions", method="DELETE"), Match.FULL),
        (ways(f"/Advertisers/{SID}/Actions", key=b"return 1"), Match.FULL),
        (ways(f"/Advertisers/{SID}/Actions", key=b"x" * 255), Match.FULL),
        (ways(f"/Advertisers/{SID}/Actions", key=b"x" * 256), Match.NONE),
        (ways(f"/Advertisers/{SID}/Actions", key=b""), Match.NONE),
        (ways(f"/Advertisers/{SID}/Actions", key="é".encode("latin-1")), Match.NONE),
        (ways(f"/Advertisers/{SID}/Actions", query=b"IrVersion=13"), Match.NONE),
        (ways(f"/Advertisers/{SID}/Actions", method="GET"), Match.NONE),
        (ways(f"/Advertisers/{SID}/Actions/A-1"), Match.NONE),
    ],
)
def test_who_goes_the_short_way(limited: Site, asked: dict[str, Any], match: Match) -> None:
    """A change without a query, and with a key only if it is one."""
    (way,) = (route for route in create_app(limited.office).routes if isinstance(route, ShortWay))
    assert way.matches(asked)[0] is match


@pytest.mark.parametrize(
    ("scope", "sid", "more"),
    [
        (Scope.WRITE, SID, {"data": PUT}),
        (Scope.WRITE, SID, {"json": PUT}),
        (Scope.WRITE, SID, {"data": PUT, "headers": {"Accept": "application/xml"}}),
        (Scope.WRITE, SID, {"data": PUT, "headers": {"Idempotency-Key": "return 1"}}),
        (Scope.WRITE, SID, {"data": DELETE, "method": "DELETE"}),
        (Scope.WRITE, SID, {"data": PUT, "headers": {"Idempotency-Key": ""}}),
        (Scope.WRITE, SID, {"data": {"ActionId": "A-1", "Sum": "1"}}),
        (Scope.WRITE, SID, {"data": {}}),
        (Scope.WRITE, SID, {"content": b"\xff", "headers": {"Content-Type": "application/json"}}),
        (Scope.WRITE, SID, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
        (Scope.WRITE, SID, {"content": bytes(65 * 1024)}),
        (Scope.READ, SID, {"data": PUT}),
        (Scope.WRITE, OTHER_SID, {"data": PUT}),
        (Scope.WRITE, "IRnobody", {"data": PUT}),
        (Scope.WRITE, SID, {"data": PUT, "auth": None}),
        (Scope.WRITE, SID, {"data": PUT, "auth": (SID, "wrong")}),
        (Scope.WRITE, SID, {"data": PUT, "auth": None, "headers": {"Authorization": "Basic é".encode("latin-1")}}),
    ],
)
def test_both_ways_give_the_same_answer(limited: Site, scope: Scope, sid: str, more: dict[str, Any]) -> None:
    """Status, headers and body, the count of requests, and what lands."""
    given = {"method": "PUT", "url": f"{limited.url}/Advertisers/{sid}/Actions"} | more
    with limited.client(scope=scope) as client:
        answers, left, waiting = [], [], []
        for query in ({}, LONG):
            answers.append(client.request(**given, params=query))
            left.append(int(answers[-1].headers.get("x-ratelimit-remaining", 0)))
            waiting.append(len(limited.desk.spool.pending()))
    assert told(answers[0]) == told(answers[1])
    assert left[0] - left[1] == (1 if left[0] else 0)
    with_key = "Idempotency-Key" in more.get("headers", {})
    assert waiting[1] - waiting[0] == (1 if answers[0].is_success and not with_key else 0)


def told(answer: httpx.Response) -> tuple[object, ...]:
    """What an answer tells, but for the number of what it queued."""
    text = re.sub(r"/A-[0-9T]+-[0-9a-f]{8}", "", answer.text)
    return answer.status_code, [answer.headers.get(name) for name in TOLD], text
