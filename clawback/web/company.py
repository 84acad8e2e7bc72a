"""Reads the account itself: its name, its programs and its partners."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import Connection

from clawback.web import described
from clawback.web.access import Reader
from clawback.web.actions import answered
from clawback.web.paging import Paged
from clawback.web.refusal import Refusal, Refused
from clawback.web.representation import Document, Fields, Single
from clawback.web.shapes import Shaper

router = APIRouter(tags=["Account"])
Number = Annotated[str, Path(pattern=r"^[0-9]{1,15}$")]


@router.get(
    "/CompanyInformation", operation_id="GetCompanyInformation", summary="Read the account", responses=described.COMPANY
)
async def company(request: Request, sid: Reader) -> Response:
    """Name, currency and time zone of the account."""

    def found(_db: Connection, shaper: Shaper) -> Document:
        terms = shaper.terms
        fields = {
            "AccountSid": terms.sid,
            "CompanyName": terms.name,
            "Currency": terms.currency,
            "Timezone": str(terms.zone),
            "Uri": f"{shaper.base}/CompanyInformation",
        }
        return Single(fields, "CompanyInformation")

    return await answered(request, sid, found)


@router.get("/Campaigns", operation_id="ListCampaigns", summary="List programs", responses=described.CAMPAIGNS)
async def campaigns(request: Request, sid: Reader, paged: Paged) -> Response:
    """The account's programs with their event types."""
    return await answered(
        request, sid, lambda _db, shaper: paged.whole("Campaigns", "Campaign", list(_campaigns(shaper).values()))
    )


@router.get("/Campaigns/{Id}", operation_id="GetCampaign", summary="Read one program", responses=described.CAMPAIGN)
async def campaign(request: Request, sid: Reader, Id: Number) -> Response:  # noqa: N803 - the API's
    """A program with its event types."""
    return await answered(request, sid, _one("Campaign", _campaigns, Id))


@router.get("/MediaPartners", operation_id="ListMediaPartners", summary="List partners", responses=described.PARTNERS)
async def partners(request: Request, sid: Reader, paged: Paged) -> Response:
    """The partners that the account has contracts with."""
    return await answered(
        request,
        sid,
        lambda _db, shaper: paged.whole("MediaPartners", "MediaPartner", list(_partners(shaper).values())),
    )


@router.get(
    "/MediaPartners/{Id}", operation_id="GetMediaPartner", summary="Read one partner", responses=described.PARTNER
)
async def partner(request: Request, sid: Reader, Id: Number) -> Response:  # noqa: N803 - the API's
    """A partner."""
    return await answered(request, sid, _one("MediaPartner", _partners, Id))


def _one(
    item: str, read: Callable[[Shaper], dict[str, Fields]], number: str
) -> Callable[[Connection, Shaper], Document]:
    def found(_db: Connection, shaper: Shaper) -> Document:
        fields = read(shaper).get(number)
        if fields is None:
            raise Refusal(Refused.NOT_FOUND)
        return Single(fields, item)

    return found


def _campaigns(shaper: Shaper) -> dict[str, Fields]:
    trackers: dict[int, list[dict[str, Any]]] = {}
    for number, kind in sorted(shaper.terms.event_types.items()):
        fields = {"Id": str(number), "Name": kind.name, "Level": kind.level.value, "Basis": kind.basis.value}
        trackers.setdefault(kind.program_id, []).append(fields)
    return {
        str(number): {
            "Id": str(number),
            "Name": name,
            "ActionTrackers": trackers.get(number, []),
            "Uri": f"{shaper.base}/Campaigns/{number}",
        }
        for number, name in shaper.programs.items()
    }


def _partners(shaper: Shaper) -> dict[str, Fields]:
    return {
        str(number): {"Id": str(number), "Name": name, "Uri": f"{shaper.base}/MediaPartners/{number}"}
        for number, name in sorted(shaper.terms.partners.items())
    }
