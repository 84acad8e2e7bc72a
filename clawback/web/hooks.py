"""The addresses that orgs' triggers call: what they tell is durable before it is acknowledged, and read again later.

Salesforce calls them with what stands in its own configuration, so the secret is the end of the address.
"""

import hmac
import logging
import secrets
from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request, Response

from clawback.web.access import office_of
from clawback.web.bodies import JSON, whole
from clawback.web.office import Office
from clawback.web.refusal import Refusal, Refused, invalid
from clawback.web.slugs import Hook
from clawback.wiring import Desk
from connectors.salesforce_messages import ACK, MOST_BYTES, Message, callout, outbound
from connectors.salesforce_settings import SalesforceSettings
from processing import hints, org_claims
from processing.errors import StoreUnavailable, Unusable
from processing.hints import Hint

_log = logging.getLogger(__name__)

router = APIRouter()
SOAP: Final = "text/xml"


@router.post("/hooks/salesforce/{slug}", include_in_schema=False)
async def told(request: Request, slug: str) -> Response:
    """Take an outbound message or a callout in; answered once it is durable, without asking Salesforce anything."""
    office = office_of(request)
    hook = _known(office.hooks, slug)
    if hook is None:
        # Without what was asked for: it may be a secret with a slip in it.
        _log.warning("hook_unknown from=%s", request.client.host if request.client else None)
        raise Refusal(Refused.NOT_FOUND)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        message = await _message(request, hook.org, kind)
    except _NotTaken as why:
        await _count(office, hook.org, why.because)
        raise why.refusal from None
    new = await office.note(lambda desk: _take(desk, hook.org, message))
    _log.info("told source=%s notifications=%d new=%d", hook.org.name, len(message.notifications), new)
    if kind == SOAP:
        return Response(ACK, media_type=SOAP)
    return Response(b'{"accepted": true}', media_type=JSON)


def _known(hooks: tuple[Hook, ...], slug: str) -> Hook | None:
    """The hook of this address; all are compared, each in constant time."""
    found = None
    for hook in hooks:
        if hmac.compare_digest(hook.slug.encode(), slug.encode()):
            found = hook
    return found


class _NotTaken(Exception):
    """A request at an org's hook is no message of that org, and is refused."""

    def __init__(self, because: str, refusal: Refusal) -> None:
        super().__init__(because)
        self.because = because
        self.refusal = refusal


async def _message(request: Request, org: SalesforceSettings, kind: str) -> Message:
    if kind not in {SOAP, JSON}:
        raise _NotTaken("It is neither text/xml nor JSON.", Refusal(Refused.UNSUPPORTED_MEDIA_TYPE))
    try:
        body = await whole(request, MOST_BYTES)
    except Refusal as refusal:
        # That a connection broke is nobody's doing.
        if refusal.code is not Refused.BODY_TOO_LARGE:
            raise
        raise _NotTaken("It is too large.", refusal) from None
    try:
        message = outbound(body) if kind == SOAP else callout(body)
    except Unusable as error:
        raise _NotTaken(str(error), invalid("body", str(error))) from None
    if strange := _not_of(org, message):
        forbidden = Refusal(Refused.FORBIDDEN, message="This org's triggers are not expected here.")
        raise _NotTaken(f"not ours: {', '.join(strange)}", forbidden)
    return message


def _not_of(org: SalesforceSettings, message: Message) -> list[str]:
    """What another org, another outbound message or another object tells."""
    strange = []
    if message.org_id != org.org_id:
        strange.append(f"org {message.org_id}")
    if message.action_id is not None and message.action_id not in org.hook_actions:
        strange.append(f"outbound message {message.action_id}")
    objects = {one.object for one in org.mappings}
    return strange + [
        f"object {one}" for one in sorted({one.object for one in message.notifications if one.object} - objects)
    ]


async def _count(office: Office, org: SalesforceSettings, because: str) -> None:
    """Remember for whoever lists the sources that something was refused."""
    _log.warning("hook_refused source=%s because=%r", org.name, because)

    def count(desk: Desk) -> None:
        with desk.store.write() as db:
            org_claims.refuse(db, org.name, because, desk.spool.clock())

    # It is refused whether that can be written down or not.
    with suppress(StoreUnavailable):
        await office.note(count)


def _take(desk: Desk, org: SalesforceSettings, message: Message) -> int:
    given = [Hint(one.id or secrets.token_hex(16), one.object, one.record) for one in message.notifications]
    with desk.store.write() as db:
        return hints.take(db, org.name, given, desk.spool.clock())
