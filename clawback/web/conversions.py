"""POST /Conversions: adds an action, by the same road as a file of actions."""

from fastapi import APIRouter, Request, Response

from clawback.loading import NoSuchProgram, load_conversion
from clawback.web import asked
from clawback.web.access import Writer, office_of
from clawback.web.bodies import parameters
from clawback.web.described import CONVERSION_ERRORS, DONE, body
from clawback.web.refusal import Fault, Refusal, Refused
from clawback.web.representation import Single, address, respond, suffix_of

router = APIRouter(tags=["Conversions"])
_COLUMNS = {"OrderId": "Oid", "CurrencyCode": "Currency"}


@router.post(
    "/Conversions",
    operation_id="SubmitConversion",
    summary="Add an action",
    responses=DONE | CONVERSION_ERRORS,
    openapi_extra=body(asked.Conversion),
)
async def submit(request: Request, sid: Writer) -> Response:
    """Adds an action at once; the same conversion again changes nothing, and an order that comes late is dated now."""
    wanted = await parameters(request, asked.Conversion)
    office = office_of(request)
    at = office.clock()
    given = wanted.model_dump(exclude_none=True)
    columns = {_COLUMNS.get(name, name): value for name, value in given.items()}
    if columns["EventDate"] == "NOW":
        columns["EventDate"] = at.isoformat()
    try:
        action_id, problems = await office.claim(lambda desk: load_conversion(desk, sid, columns, at))
    except NoSuchProgram:
        raise Refusal(Refused.NOT_FOUND) from None
    if problems:
        raise Refusal(Refused.CONTRACT_ERROR, *(Fault("", one.message) for one in problems))
    uri = address(f"/Advertisers/{sid}/Actions/{action_id}", suffix_of(request))
    return respond(request, Single({"Status": "OK", "Uri": uri}))
