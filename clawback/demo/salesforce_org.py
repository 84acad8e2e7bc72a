"""A brand's Salesforce org as far as the demonstration needs one: it answers our questions, and tells of one change."""

import json
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from connectors.ftp_settings import FtpSettings
from connectors.ftp_tls import ensure_certificate

ORG_ID: Final = "00D5g000004XyZzEAK"
MESSAGE_ID: Final = "04k5g00000AbCdEAAV"
FIELDS: Final = {"Id": "id", "OrderNumber__c": "string", "StageName": "picklist"}
# Of each of these the org has one, by which our user sees all records.
_OTHERS: Final = {
    "Organization": {"Id": ORG_ID},
    "PermissionSetAssignment": {"PermissionSetId": "0PS5g0000000001EAA"},
    "ObjectPermissions": {"Id": "1105g0000000001AAA"},
}
STAGES: Final = ("Negotiation", "Closed Won", "Closed Lost")
_STAMP: Final = "%Y-%m-%dT%H:%M:%S.000+0000"
_MESSAGE: Final = """\
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>\
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{org}</OrganizationId>\
<ActionId>{action}</ActionId><SessionId xsi:nil="true"/><Notification><Id>04l5g0000000001AAA</Id>\
<sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>{record}</sf:Id></sObject>\
</Notification></notifications></soapenv:Body></soapenv:Envelope>"""


@dataclass
class DemoOrg:
    """An org with opportunities: their order, stage and stamp by their ids."""

    clock: Callable[[], datetime]
    certificate: Path
    url: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    records: dict[str, tuple[str, str, datetime]] = field(default_factory=dict)

    def save(self, record: str, order: str, stage: str) -> None:
        """Somebody sets an opportunity's stage."""
        self.records[record] = (order, stage, self.clock().replace(microsecond=0))

    def tell(self, hook: str, record: str) -> str:
        """Send the outbound message that a record has changed; gives the answer's status and acknowledgement."""
        body = _MESSAGE.format(org=ORG_ID, action=MESSAGE_ID, record=record).encode()
        asked = Request(hook, data=body, headers={"Content-Type": "text/xml; charset=UTF-8"})  # noqa: S310 - our own
        with urlopen(asked, timeout=30) as answer:  # noqa: S310 - our own server
            found = re.search(rb"<Ack>\w+</Ack>", answer.read())
            return f"{answer.status} {found[0].decode() if found else ''}"

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """What a resource tells."""
        if path.endswith("/token"):
            return {"access_token": self.token, "instance_url": self.url, "id": self._identity}
        if path.endswith("/limits"):
            return {"DailyApiRequests": {"Max": 15_000, "Remaining": 14_000}}
        if path.endswith("/describe"):
            return {"queryable": True, "replicateable": True, "fields": [_described(name) for name in FIELDS]}
        if path.endswith("/updated/"):
            return {"ids": [], "latestDateCovered": self.clock().strftime(_STAMP)}
        if "q" not in query:
            return {"identity": self._identity}
        of = query["q"].partition(" FROM ")[2].split()[0]
        rows = [_OTHERS[of]] if of in _OTHERS else list(self._found(query["q"]))
        return {"totalSize": len(rows), "done": True, "records": rows}

    @property
    def _identity(self) -> str:
        return f"{self.url}/id/{ORG_ID}/0055g00000AbCdEAAV"

    def _found(self, soql: str) -> Iterator[dict[str, Any]]:
        since = re.search(r"SystemModstamp >= (\S+)", soql)
        named = set(re.findall(r"'([^']*)'", soql))
        for record, (order, stage, stamp) in sorted(self.records.items(), key=lambda one: (one[1][2], one[0])):
            if stamp >= datetime.fromisoformat(since[1]) if since else named & {record, order}:
                told = {"Id": record, "OrderNumber__c": order, "StageName": stage}
                yield {**told, "SystemModstamp": stamp.strftime(_STAMP), "IsDeleted": False}


def _described(name: str) -> dict[str, Any]:
    values = [{"value": stage, "active": True} for stage in STAGES] if name == "StageName" else []
    return {"name": name, "type": FIELDS[name], "filterable": True, "unique": True, "picklistValues": values}


class _Answers(BaseHTTPRequestHandler):
    org: DemoOrg

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        known = self.headers.get("Authorization") == f"Bearer {self.org.token}" or asked.path.endswith("/token")
        told: Any = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        if known:
            told = self.org.answer(asked.path, {name: one[0] for name, one in parse_qs(asked.query).items()})
        body = json.dumps(told).encode()
        self.send_response_only(200 if known else 401)
        self.send_header("Date", format_datetime(self.org.clock(), usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def salesforce(folder: Path, clock: Callable[[], datetime]) -> Iterator[DemoOrg]:
    """The running org, its certificate in a folder."""
    org = DemoOrg(clock, folder / "org.pem")
    ensure_certificate(FtpSettings(certificate=org.certificate, key=folder / "org.key", host="127.0.0.1"), clock)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(org.certificate, folder / "org.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"org": org})) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        org.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield org
        finally:
            server.shutdown()
            thread.join()
