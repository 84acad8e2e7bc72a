"""What an org's triggers send us: outbound messages (SOAP) and callouts of flows or Apex (JSON).

Only names of records are taken from them. Nothing they say of a record is believed, no address in them is called, and
no session in them is looked at.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from connectors.salesforce_ids import canonical
from connectors.source_settings import Secret
from processing.errors import Unusable

MOST_BYTES: Final = 1024 * 1024
_MOST_NOTIFICATIONS: Final = 100
_MOST_RECORDS: Final = 1000
_SOAP: Final = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND: Final = "{http://soap.sforce.com/2005/09/outbound}"
_OBJECT: Final = "{urn:sobject.enterprise.soap.sforce.com}"
_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_SLUG: Final = re.compile(r"[A-Za-z0-9_-]{20,200}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,64}")

ACK: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)
"""The answer to a message that is durable."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Something happened to a record of an object.

    ``record`` is None when the notification does not say which; ``object`` is empty when it does not say of what.
    """

    id: str
    object: str
    record: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """What one request told: whose org it says it is from, and by which outbound message, if by one."""

    org_id: str
    action_id: str | None
    notifications: tuple[Notification, ...]


def slug_of(secret: Secret, environ: Mapping[str, str]) -> str:
    """The secret end of an address; raises Unusable for one that is not there, or is too easy to guess."""
    slug = secret.reveal(environ)
    if not _SLUG.fullmatch(slug):
        raise Unusable(f"The secret {secret.reference} is no end of an address: 20 or more letters and digits.")
    return slug


def outbound(body: bytes) -> Message:
    """An outbound message; raises Unusable for anything else."""
    root = _parsed(body)
    told = root.find(f"{_SOAP}Body/{_OUTBOUND}notifications")
    if root.tag != f"{_SOAP}Envelope" or told is None:
        raise Unusable("It is no SOAP envelope with notifications of an outbound message.")
    given = told.findall(f"{_OUTBOUND}Notification")
    if not 1 <= len(given) <= _MOST_NOTIFICATIONS:
        raise Unusable(f"It has {len(given)} notifications; an outbound message has 1 to {_MOST_NOTIFICATIONS}.")
    org_id = _id(told.findtext(f"{_OUTBOUND}OrganizationId"), "00D")
    action_id = _id(told.findtext(f"{_OUTBOUND}ActionId"), "04k")
    try:
        return Message(org_id, action_id, tuple(_notification(one) for one in given))
    except RecursionError:
        raise Unusable("It is nested too deeply.") from None


def callout(body: bytes) -> Message:
    """A JSON callout: ``organizationId``, ``object``, ``recordIds``, and ``id`` if the caller repeats itself.

    Raises Unusable for anything else.
    """
    try:
        told = json.loads(body)
        of, records = told["object"], told["recordIds"]
        org_id = _id(told["organizationId"], "00D")
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Unusable("It is no JSON object with organizationId, object and recordIds.") from None
    if not isinstance(of, str) or not _NAME.fullmatch(of):
        raise Unusable("object is no name of an object.")
    if not isinstance(records, list) or not 1 <= len(records) <= _MOST_RECORDS:
        raise Unusable(f"recordIds is no list of 1 to {_MOST_RECORDS} ids.")
    key = told.get("id")
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise Unusable("id is no text of up to 64 printable characters.")
    return Message(org_id, None, tuple(_called(key, of, _record(one)) for one in records))


def _called(key: str | None, of: str, record: str | None) -> Notification:
    # Without a key of its caller a callout is never the same as another; whoever lands it gives it a name.
    return Notification("" if key is None else f"{key}/{record}"[:80], of, record)


def _parsed(body: bytes) -> ET.Element:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Unusable("It is not UTF-8.") from None
    # Without these there are no entities but XML's own, inside or outside.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unusable("It has a document type; messages have none.")
    try:
        return ET.fromstring(text)  # noqa: S314 - without a document type it cannot grow or reach out
    except (ET.ParseError, ValueError):
        raise Unusable("It is not well-formed XML.") from None


def _notification(given: ET.Element) -> Notification:
    its = given.find(f"{_OUTBOUND}sObject")
    kind = "" if its is None else its.get(_TYPE, "").rpartition(":")[2]
    identity = given.findtext(f"{_OUTBOUND}Id") or ""
    try:
        identity = canonical(identity, "04l")
    except ValueError:
        identity = hashlib.sha256(ET.tostring(given)).hexdigest()
    if its is None or not _NAME.fullmatch(kind):
        # Refusing the message would have the good ones beside it sent again for a day.
        return Notification(identity, "", None)
    return Notification(identity, kind, _record(its.findtext(f"{_OBJECT}Id")))


def _record(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    try:
        return canonical(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _id(value: object, prefix: str) -> str:
    try:
        return canonical(value if isinstance(value, str) else "", prefix)
    except ValueError as error:
        raise Unusable(f"{error}.") from None
