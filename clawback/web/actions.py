"""Reads actions, their items and their updates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy import Connection, Row

from clawback.web import asked, described, windows
from clawback.web.access import Reader, office_of
from clawback.web.paging import Paged
from clawback.web.refusal import Refusal, Refused
from clawback.web.representation import Document, Fields, Single, respond, suffix_of
from clawback.web.shapes import Shaper, action_keys, update_keys
from clawback.web.windows import Date
from processing import action_items, action_pages, update_pages
from processing.action_pages import Wanted
from processing.model import State

router = APIRouter(tags=["Actions"])
_UPDATED = ("StartDate", "EndDate")
_EVENT = ("ActionDateStart", "ActionDateEnd")
_LOCKS = ("LockingDateStart", "LockingDateEnd")


@dataclass(frozen=True, slots=True)
class _Filters:
    program_id: int
    state: State | None
    dates: Mapping[str, str | None]

    def wanted(self, shaper: Shaper, at: datetime) -> Wanted:
        """The filters as the ledger takes them; raises Refusal for windows that are none or beyond the limits."""
        zone = shaper.terms.zone

        def span(names: tuple[str, str]) -> windows.Span | None:
            given = (self.dates[names[0]], self.dates[names[1]])
            return windows.limited(names[0], windows.window(names, given, zone), at, zone)

        updated, event, locks = span(_UPDATED), span(_EVENT), span(_LOCKS)
        if updated is None and event is None and locks is None:
            updated = windows.usual(at)
        return Wanted(self.program_id, self.state, updated, event, locks)


def _filters(  # noqa: PLR0913, PLR0917 - the parameters of the API
    CampaignId: Annotated[int, Query(ge=0, le=10**15, description="The program.", examples=[1000])],  # noqa: N803 - the API's
    State: Annotated[State | None, Query(description="Only actions in this state.")] = None,  # noqa: N803 - the API's
    StartDate: Date = None,  # noqa: N803 - the API's
    EndDate: Date = None,  # noqa: N803 - the API's
    ActionDateStart: Date = None,  # noqa: N803 - the API's
    ActionDateEnd: Date = None,  # noqa: N803 - the API's
    LockingDateStart: Date = None,  # noqa: N803 - the API's
    LockingDateEnd: Date = None,  # noqa: N803 - the API's
) -> _Filters:
    dates = (StartDate, EndDate, ActionDateStart, ActionDateEnd, LockingDateStart, LockingDateEnd)
    return _Filters(CampaignId, State, dict(zip((*_UPDATED, *_EVENT, *_LOCKS), dates, strict=True)))


Filters = Annotated[_Filters, Depends(_filters)]
ActionId = Annotated[asked.ActionIdText, Path(description="The action's id.")]


@router.get("/Actions", operation_id="ListActions", summary="List actions", responses=described.ACTIONS)
async def list_actions(request: Request, sid: Reader, filters: Filters, paged: Paged) -> Response:
    """Actions of a program, newest created first: by default those updated within the last seven days.

    StartDate and EndDate filter by the last update; windows are at most 45 days and begin at most three years ago.
    """
    at = office_of(request).clock()

    def found(db: Connection, shaper: Shaper) -> Document:
        wanted = filters.wanted(shaper, at)
        page = action_pages.page(db, shaper.terms.account_id, wanted, paged.place)
        kept = windows.kept(_UPDATED, wanted.updated)
        return paged.listing("Actions", "Action", page, action_keys, shaper.action, given=kept)

    return await answered(request, sid, found)


@router.get("/Actions/{ActionId}", operation_id="GetAction", summary="Read one action", responses=described.ACTION)
async def one_action(request: Request, sid: Reader, ActionId: ActionId) -> Response:  # noqa: N803 - the API's
    """One action with its values of now."""
    return await answered(
        request,
        sid,
        lambda db, shaper: Single(shaper.action(action_pages.one(db, shaper.terms.account_id, ActionId)), "Action"),
    )


@router.get(
    "/Actions/{ActionId}/Items", operation_id="ListActionItems", summary="List items", responses=described.ITEMS
)
async def list_items(request: Request, sid: Reader, ActionId: ActionId, paged: Paged) -> Response:  # noqa: N803 - the API's
    """The items of an action, in the order in which they were tracked."""
    return await answered(
        request, sid, lambda db, shaper: paged.whole("ActionItems", "ActionItem", _items(db, shaper, ActionId))
    )


@router.get(
    "/Actions/{ActionId}/Items/{Sku:path}",
    operation_id="GetActionItem",
    summary="Read an item",
    responses=described.ITEM,
)
async def one_item(
    request: Request,
    sid: Reader,
    ActionId: ActionId,  # noqa: N803 - the API's
    Sku: Annotated[asked.SkuText, Path(description="The item's SKU.")],  # noqa: N803 - the API's
) -> Response:
    """One item of an action."""

    def found(db: Connection, shaper: Shaper) -> Document:
        for item in _items(db, shaper, ActionId):
            if item["Sku"] == Sku:
                return Single(item, "ActionItem")
        raise Refusal(Refused.NOT_FOUND)

    return await answered(request, sid, found)


@router.get("/ActionUpdates", operation_id="ListActionUpdates", summary="List updates", responses=described.UPDATES)
async def list_updates(request: Request, sid: Reader, filters: Filters, paged: Paged) -> Response:
    """The changelog of a program's actions, newest first; tracking an action is its first update."""
    at = office_of(request).clock()

    def found(db: Connection, shaper: Shaper) -> Document:
        wanted = filters.wanted(shaper, at)
        page = update_pages.page(db, shaper.terms.account_id, wanted, paged.place)
        kept = windows.kept(_UPDATED, wanted.updated)
        return paged.listing("ActionUpdates", "ActionUpdate", page, update_keys, shaper.update, given=kept)

    return await answered(request, sid, found)


@router.get(
    "/ActionUpdates/{Id}", operation_id="GetActionUpdate", summary="Read one update", responses=described.UPDATE
)
async def one_update(
    request: Request,
    sid: Reader,
    Id: Annotated[  # noqa: N803 - the API's
        str,
        Path(
            pattern=r"^[A-Za-z0-9._-]{1,64}\.[0-9]{1,9}$",
            description="The action's id and the update's serial number.",
            examples=["1000.4636.158133.1"],
        ),
    ],
) -> Response:
    """One update of an action."""
    action_id, _, serial = Id.rpartition(".")

    def found(db: Connection, shaper: Shaper) -> Document:
        row: Row[Any] = update_pages.one(db, shaper.terms.account_id, action_id, int(serial))
        return Single(shaper.update(row), "ActionUpdate")

    return await answered(request, sid, found)


async def answered(request: Request, sid: str, find: Callable[[Connection, Shaper], Document]) -> Response:
    """The answer to a request that only reads."""
    office = office_of(request)
    at, suffix = office.clock(), suffix_of(request)
    # Written beside the event loop as well: a page can have 20,000 resources.
    return await office.read(lambda db: respond(request, find(db, Shaper.of(db, sid, at, suffix))))


def _items(db: Connection, shaper: Shaper, action_id: str) -> list[Fields]:
    """The items of an action; one that is tracked by order has none."""
    row = action_pages.one(db, shaper.terms.account_id, action_id)
    return [shaper.item(row, one) for one in action_items.of_action(db, shaper.terms, row)]
