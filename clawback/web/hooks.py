"""The addresses that orgs' triggers call: what they tell is durable before it is acknowledged, and read again later.

Salesforce calls them with what stands in its own configuration, so the secret is the end of the address.
"""

import hmac
import logging
import secrets
from typing import Final

from fastapi import APIRouter, Request, Response

from clawback.web.access import office_of
from clawback.web.bodies import JSON, blocks
from clawback.web.refusal import Refusal, Refused, invalid
from clawback.web.slugs import Hook
from clawback.wiring import Desk
from connectors.salesforce_messages import ACK, MOST_BYTES, Message, callout, outbound
from connectors.salesforce_settings import SalesforceSettings
from processing import hints
from processing.errors import Unusable
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
        raise Refusal(Refused.NOT_FOUND)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {SOAP, JSON}:
        raise Refusal(Refused.UNSUPPORTED_MEDIA_TYPE)
    body = b"".join([block async for block in blocks(request, MOST_BYTES)])
    try:
        message = outbound(body) if kind == SOAP else callout(body)
    except Unusable as error:
        _log.warning("hook_refused source=%s because=%r", hook.org.name, str(error))
        raise invalid("body", str(error)) from None
    _check(hook.org, message)
    new = await office.with_desk(lambda desk: _take(desk, hook.org, message))
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


def _check(org: SalesforceSettings, message: Message) -> None:
    """Refuse what another org, another outbound message or another object tells."""
    wrong = []
    if message.org_id != org.org_id:
        wrong.append(f"org {message.org_id}")
    if message.action_id is not None and message.action_id not in org.hook_actions:
        wrong.append(f"outbound message {message.action_id}")
    objects = {one.object for one in org.mappings}
    wrong += [f"object {one}" for one in sorted({one.object for one in message.notifications if one.object} - objects)]
    if wrong:
        _log.warning("hook_refused source=%s because=%r", org.name, f"not ours: {', '.join(wrong)}")
        raise Refusal(Refused.FORBIDDEN, message="This org's triggers are not expected here.")


def _take(desk: Desk, org: SalesforceSettings, message: Message) -> int:
    given = [Hint(one.id or secrets.token_hex(16), one.object, one.record) for one in message.notifications]
    with desk.store.write() as db:
        return hints.take(db, org.name, given, desk.spool.clock())
