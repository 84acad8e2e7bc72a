"""Reads submissions: what became of each PUT and DELETE, and of each file, whatever channel brought it."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy import Connection, Row

from clawback.web import described, windows
from clawback.web.access import Reader, office_of
from clawback.web.actions import answered
from clawback.web.paging import Paged
from clawback.web.representation import Document, Fields, Single
from clawback.web.shapes import Shaper
from clawback.web.windows import Date
from connectors.envelope import BY_ITSELF, NUMBER, Envelope
from connectors.spool import Spool
from processing import submissions
from processing.codes import Verdict
from processing.deliveries import API, PERSON, UNDO, DeliveryState
from processing.errors import NotFound, SpoolBroken
from processing.instants import micros
from processing.pages import Keys, Page
from processing.submissions import Wanted, WholeFile

router = APIRouter(tags=["Submissions"])
LINES: Final = frozenset({API})
NO_FILES: Final = frozenset({API, PERSON, UNDO})
_REVERSAL: Final = "DELETE Actions"
_KINDS: Final = {"PUT Actions": "Modification", "PUT Items": "Modification", _REVERSAL: "Reversal"}

ApiBatch = Annotated[str, Path(pattern=f"^A-{BY_ITSELF}$", description="As QueuedUri tells it.")]
FileBatch = Annotated[str, Path(pattern=f"^F-{NUMBER.pattern}$", description="As QueuedUri or the list tells it.")]


def _spans(
    SubmissionDateStart: Date = None,  # noqa: N803 - the API's
    SubmissionDateEnd: Date = None,  # noqa: N803 - the API's
    CompletedDateStart: Date = None,  # noqa: N803 - the API's
    CompletedDateEnd: Date = None,  # noqa: N803 - the API's
) -> Callable[[Shaper], tuple[windows.Span | None, windows.Span | None]]:
    def spans(shaper: Shaper) -> tuple[windows.Span | None, windows.Span | None]:
        zone = shaper.terms.zone
        return (
            windows.window(
                ("SubmissionDateStart", "SubmissionDateEnd"), (SubmissionDateStart, SubmissionDateEnd), zone
            ),
            windows.window(("CompletedDateStart", "CompletedDateEnd"), (CompletedDateStart, CompletedDateEnd), zone),
        )

    return spans


Spans = Annotated[Callable[[Shaper], tuple[windows.Span | None, windows.Span | None]], Depends(_spans)]


@router.get(
    "/APISubmissions",
    operation_id="ListAPISubmissions",
    summary="List PUTs and DELETEs",
    responses=described.API_SUBMISSIONS,
)
async def list_lines(request: Request, sid: Reader, spans: Spans, paged: Paged) -> Response:
    """PUTs and DELETEs, newest first."""
    spool, pending = office_of(request).desk.spool, await _pending(request, sid)

    def found(db: Connection, shaper: Shaper) -> Document:
        received, finished = spans(shaper)
        wanted = Wanted(LINES, received=received, finished=finished)
        page = submissions.page(db, shaper.terms.account_id, wanted, paged.place, _waiting(db, pending, wanted))
        return paged.listing(
            "APISubmissions",
            "APISubmission",
            page,
            _keys,
            lambda one: (_queued_line if isinstance(one, Envelope) else _line)(one, shaper, spool),
            json_name="APISubmission",
        )

    return await answered(request, sid, found)


@router.get(
    "/APISubmissions/{BatchId}", operation_id="GetAPISubmission", summary="Read one", responses=described.API_SUBMISSION
)
async def one_line(request: Request, sid: Reader, BatchId: ApiBatch) -> Response:  # noqa: N803 - the API's
    """What became of a PUT or DELETE: Queued, In Progress, or Complete with or without an error."""
    spool, number = office_of(request).desk.spool, BatchId.removeprefix("A-")

    def found(db: Connection, shaper: Shaper) -> Document:
        try:
            row = submissions.one(db, shaper.terms.account_id, Wanted(LINES), number)
        except NotFound:
            return Single(_queued_line(landed(spool, sid, number, lines=True), shaper, spool), "APISubmission")
        return Single(_line(row, shaper, spool), "APISubmission")

    return await answered(request, sid, found)


@router.get(
    "/FTPFileSubmissions",
    operation_id="ListFTPFileSubmissions",
    summary="List files",
    responses=described.FILE_SUBMISSIONS,
)
async def list_files(request: Request, sid: Reader, spans: Spans, paged: Paged) -> Response:
    """Files, newest first, whatever channel brought them."""
    pending = await _pending(request, sid)

    def found(db: Connection, shaper: Shaper) -> Document:
        received, finished = spans(shaper)
        wanted = Wanted(NO_FILES, others=True, received=received, finished=finished)
        page = submissions.page(db, shaper.terms.account_id, wanted, paged.place, _waiting(db, pending, wanted))
        files = submissions.files(db, (one for one in page.rows if not isinstance(one, Envelope)))
        return paged.listing(
            "FTPFileSubmissions",
            "FTPFileSubmission",
            page,
            _keys,
            lambda one: (
                _queued_file(one, shaper) if isinstance(one, Envelope) else _file(one, files[one.delivery], shaper)
            ),
        )

    return await answered(request, sid, found)


@router.get(
    "/FTPFileSubmissions/{BatchId}",
    operation_id="GetFTPFileSubmission",
    summary="Read one file",
    responses=described.FILE_SUBMISSION,
)
async def one_file(request: Request, sid: Reader, BatchId: FileBatch) -> Response:  # noqa: N803 - the API's
    """What became of a file."""
    spool, number = office_of(request).desk.spool, BatchId.removeprefix("F-")

    def found(db: Connection, shaper: Shaper) -> Document:
        try:
            row = submissions.one(db, shaper.terms.account_id, Wanted(NO_FILES, others=True), number)
        except NotFound:
            return Single(_queued_file(landed(spool, sid, number, lines=False), shaper), "FTPFileSubmission")
        return Single(_file(row, submissions.files(db, [row])[number], shaper), "FTPFileSubmission")

    return await answered(request, sid, found)


@router.get(
    "/FTPFileSubmissions/{BatchId}/ErrorDetails",
    operation_id="ListErrorDetails",
    summary="List its errors",
    responses=described.ERROR_LINES,
)
async def list_errors(request: Request, sid: Reader, BatchId: FileBatch, paged: Paged) -> Response:  # noqa: N803 - the API's
    """The lines of a file that were not applied, each with its code; of a rejected or held file, why it is."""
    spool, number = office_of(request).desk.spool, BatchId.removeprefix("F-")

    def found(db: Connection, shaper: Shaper) -> Document:
        try:
            row = submissions.one(db, shaper.terms.account_id, Wanted(NO_FILES, others=True), number)
        except NotFound:
            landed(spool, sid, number, lines=False)
            return paged.listing("ErrorDetails", "ErrorDetail", Page([], 0), _error_keys, dict, json_name="ErrorDetail")
        files = [one for one in (row, *submissions.files(db, [row])[number]) if one is not None]
        page = submissions.list_errors(db, files, paged.place)
        uris = {one.id: f"{shaper.base}/FTPFileSubmissions/F-{one.delivery}/ErrorDetails" for one in files}
        return paged.listing(
            "ErrorDetails",
            "ErrorDetail",
            page,
            _error_keys,
            lambda one: _error(one, uris[one.delivery_id]),
            json_name="ErrorDetail",
        )

    return await answered(request, sid, found)


def landed(spool: Spool, sid: str, number: str, *, lines: bool) -> Envelope:
    """A delivery of the account that the store has not seen yet; raises NotFound, also for an e-mail message."""
    try:
        envelope = spool.find(number)
    except SpoolBroken:
        raise NotFound(number) from None
    if envelope.account != sid or envelope.trace is not None or (envelope.channel == API) is not lines:
        raise NotFound(number)
    return envelope


async def _pending(request: Request, sid: str) -> list[Envelope]:
    """What has landed, read before the store: what is judged in between is in both, and in neither otherwise."""
    return await office_of(request).with_desk(lambda desk: desk.spool.pending(sid))


def _waiting(db: Connection, pending: list[Envelope], wanted: Wanted) -> dict[Keys, Envelope]:
    """What was not judged yet, by its place in the list; nothing of it is completed, and a message is no file."""
    if wanted.finished is not None:
        return {}
    low, high = wanted.received or (0, sys.maxsize)
    mine = [
        one
        for one in pending
        if one.trace is None
        and (one.channel in wanted.channels) is not wanted.others
        and low <= micros(one.received_at) <= high
    ]
    seen = submissions.known(db, [one.delivery for one in mine])
    return {_keys(one): one for one in mine if one.delivery not in seen}


def _line(row: Row[Any], shaper: Shaper, spool: Spool) -> Fields:
    done = submissions.finished(row)
    code = row.line_code or row.code or ""
    wrong = bool(row.state == DeliveryState.REJECTED or row.verdict not in {None, Verdict.APPLIED, Verdict.UNCHANGED})
    kind = "" if not wrong or not done else _error_type(row.verdict or row.state)
    return {
        "BatchId": f"A-{row.delivery}",
        "AccountId": shaper.terms.sid,
        "SubmissionDate": shaper.when(row.received_at),
        "CampaignId": _text(row.program_id),
        "ActionTrackerId": _text(row.tracked_by),
        "MediaPartnerId": _text(row.partner_id),
        "EventCode": "",
        "OrderId": "",
        "Payload": _payload(spool, row.delivery, row.name),
        "Type": _KINDS.get(row.name, ""),
        "Status": "Complete" if done else "In Progress",
        "CompletionDate": shaper.when(row.changed_at) if done else "",
        "ErrorType": kind,
        "ErrorReason": code if wrong or not done else "",
        "ErrorMessage": (row.line_message or row.message or "") if wrong or not done else "",
        "Uri": f"{shaper.base}/APISubmissions/A-{row.delivery}",
    }


def _queued_line(envelope: Envelope, shaper: Shaper, spool: Spool) -> Fields:
    empty = ("CampaignId", "ActionTrackerId", "MediaPartnerId", "EventCode", "OrderId")
    return {
        "BatchId": f"A-{envelope.delivery}",
        "AccountId": shaper.terms.sid,
        "SubmissionDate": shaper.moment(envelope.received_at),
        **dict.fromkeys(empty, ""),
        "Payload": _payload(spool, envelope.delivery, envelope.name),
        "Type": _KINDS.get(envelope.name, ""),
        "Status": "Queued",
        **dict.fromkeys(("CompletionDate", "ErrorType", "ErrorReason", "ErrorMessage"), ""),
        "Uri": f"{shaper.base}/APISubmissions/A-{envelope.delivery}",
    }


def _file(row: Row[Any], files: Sequence[Row[Any] | None], shaper: Shaper) -> Fields:
    """A submission of a file; what a container says is true of all its files."""
    judged = [one for one in (row, *files) if one is not None]
    uri = f"{shaper.base}/FTPFileSubmissions/F-{row.delivery}"
    done = submissions.completed_at(row, files)
    return {
        "BatchId": f"F-{row.delivery}",
        "AccountId": shaper.terms.sid,
        "SubmissionDate": shaper.when(row.received_at),
        "FileName": row.name,
        "Type": "Modification",
        "Status": "In Progress" if done is None else "Complete",
        "TotalRecords": str(sum(submissions.rows(one)["read"] for one in judged)),
        "TotalErrors": str(sum(map(submissions.errors, judged))),
        "CompletionDate": shaper.when(done),
        "ErrorsUri": f"{uri}/ErrorDetails",
        "Uri": uri,
    }


def _queued_file(envelope: Envelope, shaper: Shaper) -> Fields:
    uri = f"{shaper.base}/FTPFileSubmissions/F-{envelope.delivery}"
    return {
        "BatchId": f"F-{envelope.delivery}",
        "AccountId": shaper.terms.sid,
        "SubmissionDate": shaper.moment(envelope.received_at),
        "FileName": envelope.name,
        "Type": "Modification",
        "Status": "Queued",
        "TotalRecords": "0",
        "TotalErrors": "0",
        "CompletionDate": "",
        "ErrorsUri": f"{uri}/ErrorDetails",
        "Uri": uri,
    }


def _error(row: Row[Any] | WholeFile, uri: str) -> Fields:
    return {
        "Line": row.line,
        "CampaignId": _text(row.program_id),
        "ActionTrackerId": _text(row.tracked_by),
        "MediaPartnerId": _text(row.partner_id),
        "EventCode": "",
        "OrderId": row.order_id or "",
        "Category": "",
        "Sku": "",
        "Status": _error_type(row.verdict),
        "Reason": row.code or "",
        "Message": row.message or "",
        "Uri": uri,
    }


def _error_type(verdict: str) -> str:
    """The original's two kinds: the data is bad, or it is fine and nothing can be done with it."""
    return "Validation" if verdict == Verdict.REJECTED else "Contract Error"


def _payload(spool: Spool, delivery: str, name: str) -> str:
    """The body of a PUT or DELETE as a form, read from the line that it became; sent again it asks for the same."""
    try:
        text = spool.content(delivery).read_text("utf-8")
    except (NotFound, SpoolBroken, OSError):
        return ""
    names, values = csv.reader(io.StringIO(text, newline=""))
    words = {"Reason": "DispositionCode"} if name == _REVERSAL else {}
    return urlencode([(words.get(one, one), value) for one, value in zip(names, values, strict=True) if value])


def _keys(one: Row[Any] | Envelope) -> Keys:
    return (micros(one.received_at), one.rank) if isinstance(one, Envelope) else (one.received_at, one.id)


def _error_keys(row: Row[Any] | WholeFile) -> Keys:
    return row.delivery_id, 0 if isinstance(row, WholeFile) else row.line


def _text(value: object) -> str:
    return "" if value is None else str(value)
