"""PUT and DELETE: each is a delivery of one line, durable in the spool before it is answered."""

import csv
import io
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request, Response

from clawback.web import asked
from clawback.web.access import Writer, office_of
from clawback.web.bodies import parameters
from clawback.web.described import CHANGE_ERRORS, QUEUED, body
from clawback.web.representation import Single, respond
from processing.deliveries import API

router = APIRouter(tags=["Actions"])
KEY_HEADER: Final = "Idempotency-Key"
KEY: Final = r"[\x20-\x7e]{1,255}"
Key = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        pattern=f"^{KEY}$",
        description="Your own word for this request: sent twice with the same body it is done once.",
        examples=["2027-01-20-return-0815"],
    ),
]


@router.put(
    "/Actions",
    operation_id="UpdateAction",
    summary="Modify or reset an action",
    responses=QUEUED | CHANGE_ERRORS,
    openapi_extra=body(asked.Modification),
)
async def update(request: Request, sid: Writer, key: Key = None) -> Response:
    """Queues a modification: a new total, a customer status, item fields, RESET, or a disposition code."""
    wanted = await parameters(request, asked.Modification)
    return await _queued(request, sid, "PUT Actions", wanted.columns(), key)


@router.delete(
    "/Actions",
    operation_id="ReverseAction",
    summary="Reverse an action",
    responses=QUEUED | CHANGE_ERRORS,
    openapi_extra=body(asked.Reversal),
)
async def reverse(request: Request, sid: Writer, key: Key = None) -> Response:
    """Queues the reversal of an action."""
    wanted = await parameters(request, asked.Reversal)
    return await _queued(request, sid, "DELETE Actions", wanted.columns(), key)


@router.put(
    "/Actions/{ActionId}/Items/{Sku:path}",
    operation_id="UpdateActionItem",
    summary="Modify an item",
    responses=QUEUED | CHANGE_ERRORS,
    openapi_extra=body(asked.ItemModification),
)
async def update_item(
    request: Request,
    sid: Writer,
    ActionId: Annotated[asked.ActionIdText, Path()],  # noqa: N803 - the API's
    Sku: Annotated[asked.SkuText, Path()],  # noqa: N803 - the API's
    key: Key = None,
) -> Response:
    """Queues what is left of an item of an action."""
    wanted = await parameters(request, asked.ItemModification)
    return await _queued(request, sid, "PUT Items", wanted.columns(ActionId, Sku), key)


async def _queued(request: Request, sid: str, name: str, columns: Mapping[str, str], key: str | None) -> Response:
    """Land the line and say where its fate can be read.

    ``again``: the same change may be asked for twice, with others between; only a key makes two requests one.
    """
    # Nobody else gives it up: once it is to land it does or does not, whatever becomes of this request.
    office = office_of(request)
    upload = office.desk.spool.receive(account=sid, channel=API, name=name, again=True, key=key)
    upload.write(one_line(columns))
    landed = await office.outcomes.of(upload.land_soon(proven=True))
    uri = f"/Advertisers/{sid}/APISubmissions/A-{landed.delivery}"
    return respond(request, Single({"Status": "QUEUED", "QueuedUri": uri}))


def one_line(columns: Mapping[str, str]) -> bytes:
    """A file of a header and one line."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns.keys(), columns.values()])
    return out.getvalue().encode()
