"""The fake org's REST API on the loopback: TLS with a CA of its own, tokens, queries, describes, and every fault."""

import base64
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import trustme

from tests.salesforce_org.soql import Query, Refused
from tests.salesforce_org.world import ORG_ID, USER_ID, World

KEY: Final = "3MVG9consumerkey"
SECRET: Final = "5ecret0fTheConsumer"
USER: Final = "integration@acme.example"
MOST_AT_ONCE: Final = 25
MOST_QUERIES_AT_ONCE: Final = 5
# An address, and with it all the headers of a request, may have so many bytes.
LONGEST_HEAD: Final = 16_384
_DRIPS_S: Final = 30
_DATA: Final = "/services/data/"
_NO_CLIENT: Final = "client identifier invalid"
_STAMP: Final = "%Y-%m-%dT%H:%M:%S.000+0000"


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests whose path matches."""

    path: str = ""
    times: int = 1
    status: int = 0
    body: bytes = b""
    kind: str = "application/json"
    hang_s: float = 0
    hangs_until: threading.Event | None = None
    cut: bool = False
    # Between two bytes of an answer that goes on for half a minute, in its body or already in its head.
    drip_s: float = 0
    drips_head: bool = False
    encoding: str = ""


def refusal(status: int, code: str, message: str = "told by the test", *, as_dict: bool = False) -> Fault:
    """A fault with an error body of the org."""
    told: Any = {"errorCode": code, "message": message}
    return Fault(status=status, body=json.dumps(told if as_dict else [told]).encode())


@dataclass
class Org:
    """A running org: its world, its switches, and what was asked of it."""

    world: World
    ca_file: Path
    url: str = ""
    org_id: str = ORG_ID
    public_key: str = ""
    audience: str = "https://login.salesforce.com"
    page: int = 2000
    shrinking: bool = False
    snapshot: bool = True
    skew: timedelta = timedelta()
    # How far the time that answers tell lags behind the clock by which assertions are judged.
    stale_date: timedelta = timedelta()
    used: int = 100
    quota: int = 100_000
    per_app: bool = False
    # Whether answers tell the usage, and whether our user may see the setup, without which nobody reads the limits.
    tells_usage: bool = True
    sees_setup: bool = True
    moves_to: str = ""
    faults: list[Fault] = field(default_factory=list)
    between_pages: list[Any] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    token_calls: int = 0
    token_padding: str = ""
    calls: list[str] = field(default_factory=list)
    refuses_all_tokens: bool = False
    _locators: dict[str, tuple[Query, list[dict[str, Any]], int]] = field(default_factory=dict)
    _claim: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, fault: Fault, path: str = "/data/", times: int = 1) -> None:
        """Let the next requests fail."""
        fault.path, fault.times = path, times
        self.faults.append(fault)

    def new_token(self) -> str:
        """A session that is open."""
        token = f"00D!{secrets.token_hex(12)}{self.token_padding}"
        self.tokens.add(token)
        return token

    def end_sessions(self) -> None:
        """Every token is expired."""
        self.tokens.clear()

    def expire_locators(self) -> None:
        """No query can be read on."""
        self._locators.clear()

    def due_fault(self, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self._claim:
            found = next((one for one in self.faults if re.search(one.path, path) and one.times), None)
            if found is not None:
                found.times -= 1
            return found

    # Tokens

    def token(self, form: dict[str, str], basic: str) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers."""
        self.token_calls += 1
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            given = base64.b64decode(basic.removeprefix("Basic ")).decode() if basic else ""
            if given != f"{KEY}:{SECRET}":
                return 400, {"error": "invalid_client", "error_description": "invalid client credentials"}
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            problem = self._assertion_problem(form.get("assertion", ""))
            if problem:
                code = "invalid_client_id" if problem == _NO_CLIENT else "invalid_grant"
                return 400, {"error": code, "error_description": problem}
        elif grant == "password":
            if (form.get("username"), form.get("password")) != (USER, "hunter2TOKEN"):
                return 400, {"error": "invalid_grant", "error_description": "authentication failure"}
        else:
            return 400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"}
        instance = self.moves_to or self.url
        told = {"instance_url": instance, "id": self._identity, "token_type": "Bearer"}
        return 200, {"access_token": self.new_token(), **told}

    @property
    def _identity(self) -> str:
        return f"{self.url}/id/{self.org_id}/{USER_ID}"

    def _assertion_problem(self, assertion: str) -> str:
        try:
            claims = jwt.decode(
                assertion,
                self.public_key,
                algorithms=["RS256"],
                audience=self.audience,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidAudienceError:
            return "audience is invalid"
        except jwt.InvalidTokenError:
            return "invalid assertion"
        server_now = (self.world.now + self.skew).timestamp()
        if not server_now - 60 < claims.get("exp", 0) <= server_now + 400:
            return "assertion has expired"
        if claims.get("iss") != KEY:
            return _NO_CLIENT
        return "" if claims.get("sub") == USER else "user hasn't approved this consumer"

    # Data

    def data(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """What a resource answers; raises Refused."""
        version, _, rest = path.partition("/")
        parts = rest.strip("/").split("/")
        base = f"/services/data/{version}"
        if parts[0] in {"query", "queryAll"}:
            if len(parts) > 1:
                return self._next_page(base, unquote(parts[1]))
            found, rows = self.world.query(query["q"], deleted_too=parts[0] == "queryAll")
            if not found.fields:
                return {"totalSize": len(rows), "done": True, "records": []}
            return self._page(base, found, rows, 0)
        if not rest:
            return {"identity": self._identity, "limits": f"{base}/limits"}
        if parts[0] == "limits":
            if not self.sees_setup:
                raise Refused("FORBIDDEN", "You do not have permission to view this page")
            return {"DailyApiRequests": {"Max": self.quota, "Remaining": self.quota - self.used}}
        if parts[0] == "sobjects" and len(parts) == 3 and parts[2] in {"describe", "updated", "deleted"}:
            return self._object(parts[1], parts[2], query)
        raise Refused("NOT_FOUND", "The requested resource does not exist")

    def _object(self, of: str, what: str, query: dict[str, str]) -> dict[str, Any]:
        if of not in self.world.objects:
            raise Refused("NOT_FOUND", "The requested resource does not exist")
        if what == "describe":
            fields = [one.told() for one in self.world.objects[of][1] if (of, one.name) not in self.world.hidden_fields]
            able = {one: (of, one) not in self.world.unable for one in ("queryable", "replicateable")}
            return {"name": of, **able, "fields": fields}
        start, end = (datetime.fromisoformat(query[name]).replace(second=0) for name in ("start", "end"))
        if end - start <= timedelta(minutes=1) - timedelta(seconds=1):
            raise Refused("INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate")
        if self.world.now - start > timedelta(days=30):
            raise Refused("INVALID_REPLICATION_DATE", "startDate is older than 30 days")
        covered = {"latestDateCovered": min(self.world.latest_date_covered(), end).strftime(_STAMP)}
        if what == "updated":
            return {"ids": self.world.updated(of, start, end), **covered}
        earliest = self.world.earliest_deleted(of)
        if start < earliest:
            raise Refused("INVALID_REPLICATION_DATE", "startDate is before what the delete log still holds")
        found = self.world.deleted(of, start, end)
        told = [{"id": one, "deletedDate": at.strftime(_STAMP)} for one, at in found]
        return {"deletedRecords": told, "earliestDateAvailable": earliest.strftime(_STAMP), **covered}

    def composite(self, given: dict[str, Any]) -> dict[str, Any]:
        """What several requests in one come to, each with its own status; reads only."""
        asked = given["compositeRequest"]
        queries = sum("/query" in one["url"] for one in asked)
        if len(asked) > MOST_AT_ONCE or queries > MOST_QUERIES_AT_ONCE:
            raise Refused("PROCESSING_HALTED", "Limit of subrequests exceeded")
        return {"compositeResponse": [self._part(one) for one in asked]}

    def _part(self, asked: dict[str, str]) -> dict[str, Any]:
        split = urlsplit(asked["url"])
        query = {name: one[0] for name, one in parse_qs(split.query).items()}
        part: dict[str, Any] = {"httpHeaders": {}, "httpStatusCode": 200, "referenceId": asked["referenceId"]}
        try:
            return part | {"body": self.data(split.path.removeprefix(_DATA), query)}
        except Refused as error:
            return part | {"body": error.told(), "httpStatusCode": error.status}

    def _next_page(self, base: str, locator: str) -> dict[str, Any]:
        identity, _, at = locator.rpartition("-")
        if identity not in self._locators:
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        for act in self.between_pages[:1]:
            self.between_pages.pop(0)
            act()
        if identity not in self._locators:
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        query, rows, _ = self._locators[identity]
        if not self.snapshot:
            rows = [self.world.read(row["Id"]) or row for row in rows]
        return self._page(base, query, rows, int(at), identity)

    def _page(self, base: str, query: Query, rows: list[dict[str, Any]], at: int, locator: str = "") -> dict[str, Any]:
        size = max(1, self.page // (1 + at // self.page)) if self.shrinking else self.page
        done = at + size >= len(rows)
        told: dict[str, Any] = {"totalSize": len(rows), "done": done}
        if not done:
            locator = locator or f"01g5g{secrets.token_hex(5)}"
            self._locators[locator] = (query, rows, at + size)
            told["nextRecordsUrl"] = f"{base}/query/{locator}-{at + size}"
        told["records"] = [self._row(query, row) for row in rows[at : at + size]]
        return told

    def _row(self, query: Query, row: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": {"type": query.of, "url": f"/services/data/sobjects/{row['Id']}"}}
        for name in query.fields:
            here, parts = shown, name.split(".")
            for part in parts[:-1]:
                here = here.setdefault(part, {"attributes": {}})
            value = self.world.value(query.of, row, name)
            here[parts[-1]] = value.strftime(_STAMP) if isinstance(value, datetime) else value
        return shown


def _json(told: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps(told, default=lambda value: float(value) if isinstance(value, Decimal) else str(value)).encode()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    org: Org

    def do_GET(self) -> None:
        self._serve({})

    def do_HEAD(self) -> None:
        self._tell(200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.headers.get("Content-Type", "").startswith("application/json"):
            self._serve(json.loads(body))
        else:
            self._serve({name: values[0] for name, values in parse_qs(body).items()})

    def _serve(self, form: dict[str, Any]) -> None:
        split = urlsplit(self.path)
        self.org.calls.append(split.path)
        if too_long := self._too_long():
            self._tell(too_long, b"<html>Too long</html>", "text/html")
            return
        fault = self.org.due_fault(self.path)
        if fault is not None:
            time.sleep(fault.hang_s)
            if fault.hangs_until is not None:
                fault.hangs_until.wait(60)
            if fault.drip_s:
                self._drip(fault)
                return
            if fault.cut:
                self._tell(200, b'{"totalSize": 1, "done": tr', cut=True)
                return
            if fault.status or fault.body:
                self._tell(fault.status or 200, fault.body, fault.kind, encoding=fault.encoding)
                return
        if split.path.endswith("/oauth2/token"):
            status, told = self.org.token(form, self.headers.get("Authorization", ""))
            self._tell(status, _json(told))
        elif self._refused():
            self._tell(401, _json([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]))
        else:
            self._data(split.path, {name: one[0] for name, one in parse_qs(split.query).items()}, form)

    def _too_long(self) -> int:
        """The status of a refusal if more is asked than fits the head of a request; 0 if it fits."""
        if len(self.path) > LONGEST_HEAD:
            return 414
        lines = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items())]
        return 431 if sum(len(f"{line}\r\n") for line in lines) > LONGEST_HEAD else 0

    def _data(self, path: str, query: dict[str, str], form: dict[str, Any]) -> None:
        self.org.used += 1
        composite = self.command == "POST" and path.endswith("/composite")
        try:
            told = self.org.composite(form) if composite else self.org.data(path.removeprefix(_DATA), query)
            self._tell(200, _json(told))
        except Refused as error:
            self._tell(error.status, _json(error.told()))

    def _refused(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.org.refuses_all_tokens or token not in self.org.tokens

    def _drip(self, fault: Fault) -> None:
        """Answer a byte at a time."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: " + (b"" if fault.drips_head else b"\r\n\r\n"))
        with suppress(OSError):
            for _ in range(round(_DRIPS_S / fault.drip_s)):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(fault.drip_s)

    def _tell(
        self, status: int, body: bytes, kind: str = "application/json", *, cut: bool = False, encoding: str = ""
    ) -> None:
        org = self.org
        usage = f"api-usage={org.used}/{org.quota}"
        if org.per_app:
            usage += "; per-app-api-usage=17/250(appName=clawback)"
        self.send_response_only(status)
        self.send_header(
            "Date", format_datetime((org.world.now + org.skew - org.stale_date).astimezone(UTC), usegmt=True)
        )
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + 100 * cut))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        if org.tells_usage:
            self.send_header("Sforce-Limit-Info", usage)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's own
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own
        """A client that hangs up is no news."""


@contextmanager
def serving(folder: Path, world: World | None = None) -> Iterator[Org]:
    """An org that answers; gone afterwards."""
    authority = trustme.CA()
    ca_file = folder / "org-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    org = Org(world or World(), ca_file)
    answers = type("Answers", (_Answers,), {"org": org})
    with _Server(("127.0.0.1", 0), answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        org.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield org
        finally:
            server.shutdown()
            thread.join()
