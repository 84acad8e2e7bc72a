"""The fake org's sender of outbound messages: batches, retries until acknowledged, duplicates, disorder, late data."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from xml.sax.saxutils import escape

import httpx

from tests.salesforce_org.ids import checked
from tests.salesforce_org.server import Org

ACTION_ID: Final = checked("04k5g00000AbCdE")
MOST: Final = 100
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=2)
GIVES_UP: Final = timedelta(hours=24)
_FRAME: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org_id}</OrganizationId>
   <ActionId>{action_id}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/62.0/x</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/62.0/x</PartnerUrl>
{notifications}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"""
_NOTIFICATION: Final = """\
   <Notification>
    <Id>{number}</Id>
    <sObject xsi:type="sf:{of}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject>
   </Notification>"""


@dataclass
class Sender:
    """Sends what the org's automation tells of its records, until it is acknowledged."""

    org: Org
    url: str
    verify: bool | str = True
    queue: list[tuple[str, str]] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    _count: int = 0

    def tell(self, *identities: str) -> None:
        """The automation fires for these records; what is sent is what they are when it is sent."""
        for one in identities:
            self._count += 1
            self.queue.append((checked(f"04l6g{self._count:010d}"), one))

    def send(self, *, shuffled: random.Random | None = None, twice: bool = False, batch: int = MOST) -> bool:
        """One try for everything that is queued; what is acknowledged leaves the queue, unless it is sent ``twice``."""
        if shuffled is not None:
            shuffled.shuffle(self.queue)
        left: list[tuple[str, str]] = []
        for at in range(0, len(self.queue), batch):
            some = self.queue[at : at + batch]
            for _ in range(2 if twice else 1):
                acknowledged = self.post(self.message(some))
            left += [] if acknowledged else some
        self.queue = left
        return not left

    def keep_trying(self, pass_by: Callable[[timedelta], object]) -> list[timedelta]:
        """Try until all is acknowledged, waiting longer and longer; gives the waits.

        What was not acknowledged after a day is dropped.
        """
        waits: list[timedelta] = []
        while not self.send():
            wait = min(FIRST_WAIT * 2 ** len(waits), LONGEST_WAIT)
            if sum(waits, wait) > GIVES_UP:
                self.queue.clear()
                break
            waits.append(wait)
            pass_by(wait)
        return waits

    def post(self, message: bytes, kind: str = "text/xml; charset=UTF-8") -> bool:
        """Send one message; whether it was acknowledged."""
        headers = {"Content-Type": kind, "SOAPAction": '""'}
        with httpx.Client(trust_env=False, timeout=60, verify=self.verify) as client:
            try:
                answer = client.post(self.url, content=message, headers=headers)
            except httpx.TransportError:
                return False
        self.answers.append(answer)
        return answer.status_code == httpx.codes.OK and b"<Ack>true</Ack>" in answer.content

    def message(
        self, some: Iterable[tuple[str, str]], org_id: str = "", action_id: str = ACTION_ID, of: str = ""
    ) -> bytes:
        """The bytes of one message about these records as they are now."""
        return envelope(
            [(number, of or self.org.world.object_of(one), self._fields(one)) for number, one in some],
            org_id or self.org.org_id,
            action_id,
        )

    def _fields(self, identity: str) -> str:
        found = self.org.world.read(identity)
        if found is None or found["IsDeleted"]:
            return ""
        told = {"Id": identity, "StageName": found.get("StageName")}
        return "".join(f"<sf:{name}>{escape(str(value))}</sf:{name}>" for name, value in told.items() if value)


def envelope(notifications: Iterable[tuple[str, str, str]], org_id: str, action_id: str = ACTION_ID) -> bytes:
    """A message of (number, object, fields as XML)."""
    inner = "\n".join(_NOTIFICATION.format(number=number, of=of, fields=its) for number, of, its in notifications)
    return _FRAME.format(org_id=org_id, action_id=action_id, notifications=inner).encode()
