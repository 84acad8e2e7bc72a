"""The connector against the fake org: logins, every failure sorted, and nothing secret told."""

import gzip
import logging
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from clawback.salesforce_tables import as_table, parse
from connectors.salesforce_auth import Token
from connectors.salesforce_calls import Usage
from connectors.salesforce_org import Org
from connectors.salesforce_refusals import LIMIT
from connectors.salesforce_session import MOST_BYTES
from connectors.salesforce_settings import SalesforceSettings
from processing.errors import ClawbackError, SourceExhausted, SourceRefused, SourceUnreachable, Unusable
from tests.clawback.salesforce.site import ENVIRON, mapping_table, settings_for, table
from tests.salesforce_org.ids import checked
from tests.salesforce_org.proxy import tunnelling
from tests.salesforce_org.server import KEY, SECRET, USER, Fault, refusal, serving
from tests.salesforce_org.server import Org as FakeOrg
from tests.salesforce_org.world import PERMISSION_SET, START, USER_ID, Field

LIST = b'[{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}]'


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOrg]:
    """An org that answers."""
    with serving(tmp_path) as running:
        yield running


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """A private key as its file has it."""
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain)


@pytest.fixture(scope="module")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A private key's file, and the public key as the app has it."""
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path_factory.mktemp("key") / "app.pem"
    path.write_bytes(pem(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return path, public.decode()


def opened(fake: FakeOrg, environ: dict[str, str] | None = None, **values: Any) -> Org:  # noqa: ANN401 - of the settings
    """The connector, which does not wait between two tries."""
    return Org(settings_for(fake, **values), ENVIRON | (environ or {}), pause=lambda _seconds: None)


def jwt_settings(fake: FakeOrg, path: Path, **values: Any) -> Org:  # noqa: ANN401 - of the settings
    """A connector that signs."""
    return opened(fake, **{"auth": "jwt_bearer", "private_key_file": str(path), "user": USER, "secret": None} | values)


def test_s32_client_credentials(fake: FakeOrg) -> None:
    """One token for many calls."""
    with opened(fake) as org:
        assert org.server_time() == START
        assert org.identity() == fake.org_id
    assert fake.token_calls == 1


def test_s32_a_signed_assertion(fake: FakeOrg, key_pair: tuple[Path, str]) -> None:
    """Signed by the app's key, for the org's time, whatever ours is."""
    path, fake.public_key = key_pair
    with jwt_settings(fake, path) as org:
        assert org.server_time() == START


# What is wrong, the settings and the environment that make it so, by how much the org's Date lags, and its answer.
REFUSED: tuple[tuple[str, dict[str, Any], dict[str, str], timedelta, str], ...] = (
    ("wrong audience", {"audience": "https://test.salesforce.com"}, {}, timedelta(), "invalid_grant"),
    ("wrong user", {"user": "nobody@acme.example"}, {}, timedelta(), "invalid_grant"),
    ("wrong issuer", {}, {"SF_KEY": "3MVG9another"}, timedelta(), "invalid_client_id"),
    ("signed by another key", {"private_key_file": "other.pem"}, {}, timedelta(), "invalid_grant"),
    ("expired", {}, {}, timedelta(minutes=10), "invalid_grant"),
    ("from the future", {}, {}, timedelta(minutes=-10), "invalid_grant"),
)


def test_s32_an_assertion_that_is_refused(
    fake: FakeOrg, key_pair: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A matter of settings: asked once, never again and again; and nothing that signs or is signed is told."""
    caplog.set_level(logging.DEBUG)
    path, fake.public_key = key_pair
    other = path.with_name("other.pem")
    other.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    keys = [line for file in (path, other) for line in file.read_text().splitlines()[1:-1]]
    for case, values, environ, lag, why in REFUSED:
        fake.stale_date, fake.token_calls = lag, 0
        key = path.with_name(values.get("private_key_file", path.name))
        settings = {"environ": environ, **values, "private_key_file": str(key)}
        with jwt_settings(fake, path, **settings) as org, pytest.raises(SourceRefused, match=rf"\({why}\)") as raised:
            org.server_time()
        assert (fake.token_calls, [one for one in fake.calls if "/data/" in one]) == (1, []), case
        told = "".join([*traceback.format_exception(raised.value), *(one.getMessage() for one in caplog.records)])
        assert all(secret not in told for secret in ("eyJ", KEY, "3MVG9another", *keys)), case


def test_s32_a_key_that_is_none(fake: FakeOrg, tmp_path: Path) -> None:
    """Named, and not told."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("hush, this is secret")
    for path, why in ((wrong, "no private RSA key"), (tmp_path / "gone.pem", "cannot be read")):
        with jwt_settings(fake, path) as org, pytest.raises(Unusable, match=why) as raised:
            org.server_time()
        assert "hush" not in str(raised.value)


def test_s32_user_and_password(fake: FakeOrg) -> None:
    """For orgs that have nothing better yet."""
    with opened(fake, auth="password", user=USER, session="env:SF_SESSION") as org:
        assert org.server_time() == START


def test_s32_wrong_credentials(fake: FakeOrg) -> None:
    """The org that answers is named, the secret is not."""
    with opened(fake, {"SF_SECRET": "wr0ng"}) as org, pytest.raises(SourceRefused, match="invalid_client") as raised:
        org.server_time()
    assert "wr0ng" not in str(raised.value)


def test_s32_another_org(fake: FakeOrg) -> None:
    """A sandbox that was refreshed, or a wrong address: nothing is asked of it."""
    fake.org_id = checked("00D5g000009ZzZz")
    with opened(fake) as org, pytest.raises(SourceRefused, match="not for org 00D5g000004XyZzEAK"):
        org.server_time()
    assert [path for path in fake.calls if "/data/" in path] == []


@pytest.mark.parametrize("body", [LIST, b'{"errorCode": "INVALID_SESSION_ID"}', b"<html>Login</html>", b""])
def test_s33_an_expired_session(fake: FakeOrg, body: bytes) -> None:
    """Whatever the refusal looks like: one new token, one more try."""
    with opened(fake) as org:
        org.server_time()
        fake.end_sessions()
        fake.fault(Fault(status=401, body=body, kind="text/html" if body[:1] == b"<" else "application/json"))
        assert org.server_time() == START
    assert fake.token_calls == 2


def test_s33_a_session_that_never_opens(fake: FakeOrg) -> None:
    """Two tokens at most, and no recursion."""
    fake.refuses_all_tokens = True
    with opened(fake) as org, pytest.raises(SourceRefused, match="does not accept the session"):
        org.describe("Opportunity")
    assert (fake.token_calls, len([one for one in fake.calls if "/data/" in one])) == (2, 2)


@pytest.mark.parametrize("status", [406, 420, 429, 500, 502, 503])
def test_s34_what_passes_is_tried_again(fake: FakeOrg, status: int) -> None:
    """Five times, with longer and longer waits; what lasts is left to the next round."""
    waits: list[float] = []
    with Org(settings_for(fake), ENVIRON, pause=waits.append) as org:
        fake.fault(Fault(status=status, body=b"<html>busy</html>", kind="text/html"), times=2)
        assert org.server_time() == START
        fake.fault(Fault(status=status, body=b"[]"), times=100)
        with pytest.raises(SourceUnreachable, match=f"HTTP {status}"):
            org.server_time()
    assert len(waits) == 7
    assert waits[2:] == sorted(waits[2:])
    assert waits[-1] >= 16


def test_s34_a_query_that_ran_too_long_is_tried_again(fake: FakeOrg) -> None:
    """Its status is that of a wrong request, but nobody has to change anything."""
    with opened(fake) as org:
        fake.fault(refusal(400, "QUERY_TIMEOUT"), times=2)
        assert org.server_time() == START


def test_s34_a_login_that_fails_for_a_while_is_tried_again(fake: FakeOrg) -> None:
    """The token endpoint is as busy as the rest; its refusals are none of these."""
    for status in (429, 500, 503):
        fake.fault(Fault(status=status, body=b"<html>busy</html>", kind="text/html"), "/oauth2/token", times=2)
        with opened(fake) as org:
            assert org.server_time() == START
    assert fake.calls.count("/services/oauth2/token") == 9


def test_s34_refusals_are_sorted(fake: FakeOrg) -> None:
    """By their code: a limit, a permission, a setting; none of them is tried again."""
    with opened(fake) as org:
        for status, code, kind, word in (
            (403, LIMIT, SourceExhausted, "used up"),
            (403, "API_DISABLED_FOR_ORG", SourceRefused, "permission"),
            (400, "INVALID_FIELD", SourceRefused, "configuration"),
            (404, "NOT_FOUND", SourceRefused, "configuration"),
        ):
            for as_dict in (False, True):
                fake.fault(refusal(status, code, as_dict=as_dict))
                before = len(fake.calls)
                with pytest.raises(kind, match=word):
                    org.describe("Opportunity")
                assert len([one for one in fake.calls[before:] if "/data/" in one]) == 1


@pytest.mark.parametrize("path", ["/data/", "/oauth2/token"])
def test_s35_an_org_that_hangs(fake: FakeOrg, path: str) -> None:
    """The time limit ends the call, the login's too, and no thread of ours stays."""
    threads = ours()
    answers = threading.Event()
    fake.fault(Fault(hangs_until=answers), path, times=1)
    began = time.monotonic()
    settings = settings_for(fake, timeout_s=1)
    with Org(settings, ENVIRON, waits_s=()) as org, pytest.raises(SourceUnreachable, match="Timeout"):
        org.server_time()
    assert time.monotonic() - began < 5
    assert ours() == threads
    answers.set()


@pytest.mark.parametrize("path", ["/data/", "/oauth2/token"])
@pytest.mark.parametrize("drips_head", [False, True])
def test_s35_an_org_that_drips(fake: FakeOrg, path: str, drips_head: bool) -> None:  # noqa: FBT001 - a switch
    """A byte now and then is in time for each read, and ends all the same; the next call has a time of its own."""
    fake.fault(Fault(drip_s=0.1, drips_head=drips_head), path, times=1)
    began = time.monotonic()
    with Org(settings_for(fake, timeout_s=1), ENVIRON, waits_s=()) as org:
        with pytest.raises(SourceUnreachable, match="more than 2 s in all"):
            org.server_time()
        assert 2 <= time.monotonic() - began < 5
        assert org.server_time() == START


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_s36_an_answer_without_end(fake: FakeOrg, encoding: str) -> None:
    """What is longer than anything that we ask for is not kept, and counts as what it was before it was compressed."""
    body = b" " * (MOST_BYTES + 1)
    fake.fault(Fault(body=gzip.compress(body) if encoding else body, encoding=encoding))
    with Org(settings_for(fake), ENVIRON, waits_s=()) as org:
        with pytest.raises(SourceUnreachable, match="more than 33,554,432 bytes"):
            org.describe("Opportunity")
        fake.fault(Fault(body=b"{}" + body[3:]))
        assert org.describe("Opportunity") == {}


# Fields as many as the settings allow and two more, and orders as long as the ledger has them.
NAMES = tuple(f"F{n:02}_{'x' * 73}__c" for n in range(60))
ORDERS = tuple(f"{mark * 60}{n:04}" for mark in ("'", "\\", "\u2603", "\U0001f600", "O") for n in range(40))


@pytest.mark.parametrize("ask", ["with_orders", "with_ids"])
def test_s31_the_longest_query_fits_its_address(fake: FakeOrg, ask: str) -> None:
    """Also with a token as long as they come, and however many records there are."""
    prefix, fields = fake.world.objects["Opportunity"]
    long_ones = tuple(Field(name) for name in NAMES[:-2])
    fake.world.objects["Opportunity"] = prefix, (*fields, *long_ones)
    filters = [{"field": one.name, "value": ""} for one in long_ones]
    [mapping] = settings_for(fake, mapping=[mapping_table(filter=filters)]).mappings
    ids = [fake.world.add("Opportunity", Order_Number__c=order) for order in ORDERS for _ in range(3)]
    fake.token_padding = "x" * 4_000
    with opened(fake) as org:
        pages = list(getattr(org, ask)(mapping, ORDERS if ask == "with_orders" else ids))
    assert sorted(one.id for page in pages for one in page) == sorted(ids)


def test_s31_fields_that_fit_no_address(fake: FakeOrg) -> None:
    """A mapping that names so many is refused when it is read, not when it is asked for."""
    filters = [{"field": name, "value": ""} for name in NAMES]
    with pytest.raises(Unusable, match="the names of its fields"):
        settings_for(fake, mapping=[mapping_table(filter=filters)])


def test_s31_ids_of_another_object_keep_no_record_from_being_read(fake: FakeOrg) -> None:
    """A callout may name any record; an org refuses a query with the id of one that cannot be of the object."""
    mapping = settings_for(fake).mappings[0]
    lead, record, other = fake.world.add("Lead"), fake.world.add("Opportunity"), fake.world.add("Opportunity")
    with opened(fake) as org:
        pages = list(org.with_ids(mapping, [record, lead, other]))
        assert list(org.with_ids(mapping, [lead])) == []
        fake.fault(refusal(400, "INVALID_FIELD"), "queryAll")
        with pytest.raises(SourceRefused, match="INVALID_FIELD"):
            list(org.with_ids(mapping, [record]))
    assert sorted(one.id for page in pages for one in page) == [record, other]


def test_s48_a_user_with_many_permission_sets(fake: FakeOrg) -> None:
    """What they allow is asked in several queries, and the last of them may be the one that shows all records."""
    world = fake.world
    for _ in range(1_000):
        one = world.add("PermissionSet", PermissionsViewAllData=False)
        world.add("PermissionSetAssignment", AssigneeId=USER_ID, PermissionSetId=one)
    world.change(PERMISSION_SET, PermissionsViewAllData=False)
    with opened(fake) as org:
        assert org.sees_all("Opportunity") is False
        world.add("ObjectPermissions", ParentId=one, SobjectType="Opportunity", PermissionsViewAllRecords=True)
        assert org.sees_all("Opportunity") is True


def ours() -> set[threading.Thread]:
    """The threads that are running, but for those in which the fake answers."""
    return {one for one in threading.enumerate() if "process_request_thread" not in one.name}


@pytest.mark.parametrize(
    "fault",
    [Fault(cut=True), Fault(status=200, body=b"{not json"), Fault(status=200, body=b"<html></html>", kind="text/html")],
)
def test_s36_an_answer_that_is_not_whole(fake: FakeOrg, fault: Fault) -> None:
    """A cut body, something that is no JSON: tried again, and read whole."""
    fake.world.add("Opportunity", Order_Number__c="O-1")
    settings = settings_for(fake)
    with opened(fake) as org:
        fake.fault(Fault(status=fault.status, body=fault.body, kind=fault.kind, cut=fault.cut), "/queryAll")
        [page] = org.changed_since(settings.mappings[0], START - timedelta(hours=1))
    assert [one.state.order_id for one in page] == ["O-1"]


def test_s36_pages_that_do_not_add_up(fake: FakeOrg) -> None:
    """A page without the next one's address, or fewer records than announced: nothing is taken as complete."""
    mapping = settings_for(fake).mappings[0]
    for body in (b'{"totalSize": 2, "done": false, "records": []}', b'{"totalSize": 2, "done": true, "records": []}'):
        with opened(fake) as org:
            fake.fault(Fault(status=200, body=body), "/queryAll")
            with pytest.raises(SourceUnreachable):
                list(org.changed_since(mapping, START))


def test_s37_an_org_that_moves(fake: FakeOrg, tmp_path: Path) -> None:
    """The new token's address is called from then on."""
    (tmp_path / "new").mkdir()
    with serving(tmp_path / "new") as moved:
        moved.tokens = fake.tokens
        both = tmp_path / "both.pem"
        both.write_bytes(fake.ca_file.read_bytes() + moved.ca_file.read_bytes())
        with opened(fake, ca_file=str(both)) as org:
            org.server_time()
            fake.moves_to = moved.url
            fake.end_sessions()
            before = len(fake.calls)
            for _ in range(2):
                org.server_time()
            assert [one.rpartition("/")[2] for one in moved.calls] == ["", ""]
            # The old address is asked once more, with the session that has ended, and then for a token.
            assert [one.rpartition("/")[2] for one in fake.calls[before:]] == ["", "token"]


@pytest.mark.parametrize("per_app", [False, True])
def test_s38_calls_that_are_left(fake: FakeOrg, per_app: bool) -> None:  # noqa: FBT001 - a switch
    """Read from every answer, in both of its shapes, and from refusals too."""
    fake.per_app = per_app
    with opened(fake) as org:
        org.server_time()
        assert org.usage == Usage(101, 100_000)
        fake.used = 99_999
        fake.fault(refusal(403, LIMIT))
        with pytest.raises(SourceExhausted):
            org.describe("Opportunity")
        assert org.usage == Usage(99_999, 100_000)


@pytest.mark.parametrize(("sees_setup", "usage"), [(True, Usage(101, 1_000)), (False, None)])
def test_s38_answers_without_the_usage(fake: FakeOrg, sees_setup: bool, usage: Usage | None) -> None:  # noqa: FBT001 - a switch
    """Then the limits tell it, if our user may read them; if not, they are asked once, and nothing is known of it."""
    fake.tells_usage, fake.sees_setup, fake.used, fake.quota = False, sees_setup, 99, 1_000
    with opened(fake) as org:
        assert (org.server_time(), org.server_time()) == (START, START)
        assert (org.usage, org.is_low) == (usage, False)
    assert sum(one.endswith("/limits") for one in fake.calls) == 1


def test_s39_nothing_secret_is_told(fake: FakeOrg, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log, not in an exception, not in what describes the settings; and no order number."""
    caplog.set_level(logging.DEBUG)
    texts, order = [], "SECRET-1"
    settings = settings_for(fake)
    with opened(fake) as org:
        org.server_time()
        for status in (400, 403, 404, 500):
            fake.fault(refusal(status, "SOME_CODE", f"customer Jane Doe, order {order}"), times=9)
            with pytest.raises(ClawbackError) as raised:
                list(org.with_orders(settings.mappings[0], [order]))
            fake.faults.clear()
            texts += [repr(raised.value), *traceback.format_exception(raised.value)]
    texts += [repr(settings), str(as_table(settings)), *(repr(Token(one, fake.url)) for one in fake.tokens)]
    logged = [(record.name, record.getMessage()) for record in caplog.records]
    for secret in (KEY, SECRET, *fake.tokens):
        assert all(secret not in text for text in (*texts, *(told for _, told in logged))), secret
    # What urllib3 says when it is asked to say all are addresses, in which a query names its orders; we never ask it.
    said = [told for name, told in logged if not name.startswith("urllib3")]
    for secret in (order, "Jane"):
        assert all(secret not in text for text in (*texts, *said)), secret


def test_s40_another_authority_is_not_trusted(fake: FakeOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its own the org is nobody we know; an authority of the environment does not take its place."""
    with opened(fake, ca_file=None) as org, pytest.raises(SourceRefused, match="ca_file"):
        org.server_time()
    waited = list[float]()
    signing = settings_for(fake, ca_file=None, auth="jwt_bearer", private_key_file="key.pem", user=USER, secret=None)
    with Org(signing, ENVIRON, pause=waited.append) as org, pytest.raises(SourceRefused, match="ca_file"):
        org.server_time()
    assert waited == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    with opened(fake) as org:
        assert org.server_time() == START


@pytest.mark.parametrize("auth", ["client_credentials", "session"])
def test_s40_a_file_of_authorities_that_is_not_there(fake: FakeOrg, tmp_path: Path, auth: str) -> None:
    """It is named, and nobody is asked."""
    its: dict[str, Any] = {"auth": auth, "session": "env:SF_SESSION", "ca_file": str(tmp_path / "nowhere.pem")}
    with opened(fake, **its) as org, pytest.raises(Unusable, match=r"the ca_file /.*/nowhere\.pem does not exist"):
        org.server_time()
    assert (fake.token_calls, fake.calls) == (0, [])


def test_s40_a_proxy_of_the_environment_is_used(fake: FakeOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    """Login and calls go through it, to an org that is trusted as before; one that is gone means no org."""
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with tunnelling() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with opened(fake) as org:
            assert org.server_time() == START
        assert {*proxy.tunnels} == {fake.url.removeprefix("https://")}
        with opened(fake, ca_file=None) as org, pytest.raises(SourceRefused, match="ca_file"):
            org.server_time()
    calls = len(fake.calls)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with opened(fake) as org, pytest.raises(SourceUnreachable, match="ProxyError"):
        org.server_time()
    assert len(fake.calls) == calls


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_s40_an_org_that_drips_through_a_proxy(
    fake: FakeOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """It has no more time than another, whether the proxy is spoken to by TLS or not."""
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    both = tmp_path / "both.pem"
    both.write_bytes(fake.ca_file.read_bytes() + authority.cert_pem.bytes())
    with tunnelling(context if scheme == "https" else None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with Org(settings_for(fake, timeout_s=1, ca_file=str(both)), ENVIRON, waits_s=()) as org:
            assert org.server_time() == START
            fake.fault(Fault(drip_s=0.1))
            with pytest.raises(SourceUnreachable, match="more than 2 s in all"):
                org.describe("Opportunity")
        assert {*proxy.tunnels} == {fake.url.removeprefix("https://")}


def filtered(**its: Any) -> dict[str, Any]:  # noqa: ANN401 - of Filter
    """A mapping with one condition."""
    return mapping_table(filter=[{"field": "RecordType.DeveloperName", **its}])


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"secret": None}, "give key and secret|give secret"),
        ({"secret": "hunter2"}, "secret"),
        ({"key": "env:CLAWBACK_KEY"}, "not passed on"),
        ({"my_domain": "acme.my"}, "one of my_domain and url"),
        ({"url": None, "my_domain": "acme.my.salesforce.com"}, r"my_domain: .* before \.salesforce\.com"),
        ({"url": None, "my_domain": "acme.lightning.force.com"}, "my_domain: .* such as acme.my"),
        ({"org_id": "00D5g"}, "org_id"),
        ({"org_id": "00D5g000004XyZzAAA"}, "last three characters"),
        ({"hook": "env:SF_HOOK"}, "hook_actions"),
        ({"lookback": "soon"}, "lookback"),
        ({"on_stail": "hold"}, "did you mean on_stale"),
        ({"mapping": []}, "mapping"),
        ({"url": "http://127.0.0.1:1"}, "url"),
        ({"mapping": [filtered(value=["Partner", "Reseller"])]}, 'op is = and value a list: write op = "in"'),
        ({"mapping": [filtered(op="!=", value=["Test", "Direct"])]}, "op is != .* a condition for each"),
        ({"mapping": [filtered(op="in", value=[])]}, "filter.0: value is an empty list"),
        ({"mapping": [filtered(value=1)]}, "filter.0.value"),
    ],
)
def test_settings_that_cannot_be_used(values: dict[str, Any], why: str) -> None:
    """Each names its key; a secret in the file is refused and not repeated."""
    with pytest.raises(Unusable, match=why) as raised:
        parse(table(**values), Path(), "test")
    assert "hunter2" not in str(raised.value)


def test_settings_reach_another_process(tmp_path: Path) -> None:
    """As JSON, whatever the folder there."""
    given = parse(
        table(schedule="off", ca_file="ca.pem", hook="env:SF_HOOK", hook_actions=["04k5g00000AbCdE"]), tmp_path, "test"
    )
    assert isinstance(given, SalesforceSettings)
    assert parse(as_table(given), Path("/"), "test") == given
    assert (given.every_s, given.ca_file) == (None, tmp_path / "ca.pem")
