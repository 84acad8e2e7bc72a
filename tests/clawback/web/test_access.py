import base64
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRouter, iter_route_contexts

from clawback.web.app import create_app
from clawback.wiring import Desk
from connectors.tokens import Scope
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.worlds import OTHER_SID, SID, Sale, lines

# An id of each kind that the account has, by the name of the path's parameter.
Ids = dict[str, str]
BODIES: dict[str, dict[str, Any]] = {
    "PUT": {"data": {"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"}},
    "DELETE": {"data": {"ActionId": "A-1", "DispositionCode": "OTHER"}},
}
ACCOUNT = "/Advertisers/{AccountSID}"
# The document, and the address that orgs call, whose end is the secret.
PUBLIC = {("GET", "/openapi"), ("POST", "/hooks/salesforce/{slug}")}


@pytest.fixture(scope="module")
def ids(door: Site) -> Ids:
    """What Acme has: an action, an update, a submission and a file."""
    with door.client() as client:
        change = client.put("/Actions", **BODIES["PUT"]).json()["QueuedUri"]
        file = client.post("/Deliveries", content=lines("ActionId,Reason", "A-1,OTHER")).json()["DeliveryId"]
    door.finish()
    batches = {"A": change.rpartition("/")[2], "F": f"F-{file}"}
    return {"ActionId": "A-1", "Sku": "S", "Id": "A-1.0", "DeliveryId": file, **batches}


def walked(app: FastAPI) -> set[tuple[str, str]]:
    """Every route of an application, in its document or not, by method and path."""
    found = set()
    for route in iter_route_contexts(app.routes):
        # What stands below a mount would not be walked.
        assert route.path_format, route
        assert route.methods, route
        found |= {(method, route.path_format) for method in route.methods - {"HEAD"}}
    return found


def outside(app: FastAPI) -> set[tuple[str, str]]:
    """The routes that stand below no account."""
    return {(method, path) for method, path in walked(app) if not path.startswith(f"{ACCOUNT}/")}


def routes(door: Site) -> list[tuple[str, str]]:
    """Every route of the application below an account, by method and path."""
    app = create_app(door.office)
    return sorted(walked(app) - outside(app))


def filled(path: str, sid: str, ids: Ids) -> str:
    """A route's path with the account and the ids filled in."""
    batch = ids["A"] if "APISubmissions" in path else ids["F"]
    number = {"Campaigns": "1000", "MediaPartners": "501"}.get(path.split("/")[3], ids["Id"])
    known = {**ids, "AccountSID": sid, "BatchId": batch, "Id": number}
    return re.sub(r"\{(\w+)\}", lambda found: known[found[1]], path)


def test_no_route_is_outside_the_account(door: Site) -> None:
    """Every route but the public ones stands below an account, so that the tests below ask it."""
    app = create_app(door.office)
    documented = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert outside(app) == PUBLIC
    assert len(documented) == 25
    assert set(routes(door)) == documented


@pytest.mark.parametrize("shown", [True, False])
def test_a_new_route_is_not_forgotten(door: Site, shown: bool) -> None:  # noqa: FBT001 - a row
    """However deep it is included, and whether the document has it or not."""
    app, outer, inner = create_app(door.office), APIRouter(), APIRouter(prefix=ACCOUNT)
    inner.add_api_route("/New", lambda: None, include_in_schema=shown)
    outer.add_api_route("/New", lambda: None, include_in_schema=shown)
    outer.include_router(inner)
    app.include_router(outer)
    assert outside(app) - PUBLIC == {("GET", "/New")}
    assert walked(app) - walked(create_app(door.office)) == {("GET", "/New"), ("GET", f"{ACCOUNT}/New")}


def test_another_account_sees_and_changes_nothing(door: Site, ids: Ids) -> None:
    """Each route with the other's SID, and with the own SID and the other's ids: the answer of what is nobody's."""
    before = len(door.desk.spool.pending())
    with door.client(OTHER_SID) as client:
        nobody = httpx.get(f"{door.url}/Advertisers/IRnobody/Actions/X", auth=client.auth, headers=client.headers)
        for method, path in routes(door):
            answers = [client.request(method, f"{door.url}{filled(path, SID, ids)}", **BODIES.get(method, {}))]
            own = filled(path, OTHER_SID, ids)
            if (method == "GET" or path.endswith("/undo")) and "{" in path.replace("{AccountSID}", ""):
                answers.append(client.request(method, f"{door.url}{own}"))
            for answer in answers:
                same = path.endswith("/MediaPartners/{Id}") and answer is not answers[0]
                # Both brands have partner 501; what each sees of it is its own.
                assert answer.status_code == (200 if same else 404), (method, path)
                code = answer.json()
                assert same or code["Code"] in {"NOT_FOUND", "NOT_FINISHED"}
                assert same or path.endswith(".csv") or answer.json() == nobody.json()
    assert len(door.desk.spool.pending()) == before


def test_own_resources_are_there(door: Site, ids: Ids) -> None:
    """The same ids are no secret to their owner: the test above would not notice a wrong one."""
    missing = set()
    with door.client() as client:
        for method, path in routes(door):
            if method == "GET":
                params = {"CampaignId": 1000} if path.endswith(("Actions", "ActionUpdates")) else {}
                answer = client.get(f"{door.url}{filled(path, SID, ids)}", params=params)
                if answer.status_code != 200:
                    missing.add(path.rpartition("/")[2])
    # An order-level action has no items, and the file nothing to repair.
    assert missing == {"{Sku}", "fix.csv"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Basic",
        "Basic ???",
        "Bearer token",
        f"Basic {base64.b64encode(b'IRacme1').decode()}",
        f"Basic {base64.b64encode(b'IRacme1:wrong').decode()}",
        f"Basic {base64.b64encode(b'IRnobody:wrong').decode()}",
        f"Basic {base64.b64encode(b'../tokens/.key:x').decode()}",
    ],
)
def test_without_a_token_nothing_is_told(door: Site, ids: Ids, header: str | None) -> None:
    """401 and the challenge on every route, whoever is asked for."""
    headers = {"Accept": "application/json"} | ({} if header is None else {"Authorization": header})
    with httpx.Client(headers=headers, trust_env=False) as client:
        for method, path in routes(door):
            answer = client.request(method, f"{door.url}{filled(path, SID, ids)}")
            assert (answer.status_code, answer.json()["Code"]) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_token_that_reads_writes_nothing(door: Site, ids: Ids) -> None:
    """403 on every route that is not GET."""
    with door.client(scope=Scope.READ) as client:
        for method, path in routes(door):
            if method != "GET":
                answer = client.request(method, f"{door.url}{filled(path, SID, ids)}", **BODIES.get(method, {}))
                assert (answer.status_code, answer.json()["Code"]) == (403, "FORBIDDEN")


def test_a_revoked_token_is_out_at_once(door: Site) -> None:
    """The account's other tokens go on."""
    with door.client() as first, door.client() as second:
        assert first.get("/CompanyInformation").status_code == 200
        tokens = door.office.tokens
        tokens.revoke(SID, tokens.of(SID)[-2].token_id)
        assert first.get("/CompanyInformation").status_code == 401
        assert second.get("/CompanyInformation").status_code == 200


def test_other_methods_are_refused(door: Site) -> None:
    """In the same envelope."""
    with door.client() as client:
        answer = client.post("/Actions")
    assert (answer.status_code, answer.json()["Code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "PUT", "DELETE"}


def test_a_path_with_a_slash_at_its_end_is_nobodys(door: Site) -> None:
    """In the same envelope, with a token or without; nobody is sent to the host that the request names."""
    with door.client(Host="evil.example") as client, httpx.Client(trust_env=False, headers=client.headers) as stranger:
        for asking in (client, stranger):
            for method, path in (("GET", "Campaigns/"), ("PUT", "Actions/"), ("POST", "Deliveries/")):
                answer = asking.request(method, f"{door.url}/Advertisers/{SID}/{path}")
                assert (answer.status_code, answer.headers.get("location")) == (404, None)
                assert answer.json()["Code"] == "NOT_FOUND"


def test_rate_limit(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> None:
    """Told with every answer; a refusal says when there are more, and a wrong token costs nothing."""
    with serving(desk, settings_of(tmp_path, store_url, requests_per_hour=3), clock) as site:
        site.load(tmp_path, Sale("A-1"))
        with site.client() as client, site.client(OTHER_SID) as other:
            told = []
            for _ in range(4):
                httpx.get(f"{site.url}/Advertisers/{SID}/Actions/A-1", auth=(SID, "wrong"))
                answer = client.get("/Actions/A-1")
                names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
                told.append((answer.status_code, *(answer.headers[name] for name in names)))
                clock.pass_by(minutes=10)
            assert told == [
                (200, "3", "2", "3600"),
                (200, "3", "1", "3000"),
                (200, "3", "0", "2400"),
                (429, "3", "0", "1800"),
            ]
            refused = client.get("/Actions/A-1")
            assert (refused.json()["Code"], refused.headers["retry-after"]) == ("RATE_LIMITED", "1200")
            assert other.get("/CompanyInformation").status_code == 200
            clock.pass_by(minutes=20)
            assert client.get("/Actions/A-1").headers["x-ratelimit-remaining"] == "2"
