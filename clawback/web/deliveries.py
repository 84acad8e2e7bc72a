"""Whole files by HTTP: upload, preview, state and answers."""

import base64
import binascii
import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse

from clawback import pipeline, revising
from clawback import preview as rehearsal
from clawback.intake import arrival_of
from clawback.unnamed import unnamed
from clawback.web import described
from clawback.web.access import Reader, Writer, office_of
from clawback.web.bodies import blocks
from clawback.web.changes import Key
from clawback.web.document import query_names
from clawback.web.multipart import file_part
from clawback.web.refusal import Refusal, Refused, invalid
from clawback.web.representation import Single, respond
from clawback.web.submissions import landed
from clawback.wiring import Desk
from connectors.envelope import NUMBER
from processing import deliveries
from processing.errors import NotFound, Unusable

CHANNEL: Final = "http"
CHANGED_BY: Final = "api"
DEFAULT_NAME: Final = "delivery.csv"
_UPLOAD: Final = "UploadDelivery"
# A file may have a million bad lines, and all that an answer has is in memory at once.
MOST_LINES: Final = 1000
router = APIRouter(tags=["Deliveries"])

_MULTIPART: Final = "multipart/form-data"
_ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512"}
_DIGEST: Final = re.compile(r"\s*([a-z0-9-]+)=:([A-Za-z0-9+/=]*):\s*")
_BLOCK_BYTES: Final = 1024 * 1024

Number = Annotated[str, PathParameter(pattern=f"^{NUMBER.pattern}$", description="As the upload was answered.")]
EventType = Annotated[int | None, Query(ge=0, le=9_999_999_999, description="The event type of lines that name none.")]
Name = Annotated[
    str | None,
    Query(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$",
        description="What the file is called.",
        examples=["returns.csv"],
    ),
]
Preview = Annotated[bool, Query(description="Decide every line and write nothing.")]
Digest = Annotated[
    str | None,
    Header(
        alias="Content-Digest",
        description="RFC 9530: sha-256 or sha-512 of the body's bytes.",
        examples=["sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"],
    ),
]


@router.post(
    "/Deliveries",
    operation_id=_UPLOAD,
    summary="Upload a file",
    status_code=202,
    responses=described.LANDED | described.UPLOAD_ERRORS,
    openapi_extra=described.UPLOAD,
)
async def upload(  # noqa: PLR0913, PLR0917 - the parameters of the API
    request: Request,
    sid: Writer,
    FileName: Name = None,  # noqa: N803 - the API's
    ActionTrackerId: EventType = None,  # noqa: N803 - the API's
    preview: Preview = False,  # noqa: FBT002 - the API's
    key: Key = None,
    digest: Digest = None,
) -> Response:
    """Stores a file (CSV or XML, raw or as multipart/form-data) for the same pipeline as every other channel."""
    office = office_of(request)
    checked = _Checked(request, office.web.max_upload_bytes, digest)
    name, content = await _part(request, checked, FileName)
    if preview:
        return await _preview(request, sid, checked, (name, _gathered(content), ActionTrackerId))
    receive = office.desk.spool.receive
    with receive(account=sid, channel=CHANNEL, name=name, event_type=ActionTrackerId, key=key) as received:
        async for block in _gathered(content):
            await office.land(lambda block=block: received.write(block))  # type: ignore[misc]
        checked.check()
        envelope = await office.land(partial(received.land, proven=True))
    base = f"/Advertisers/{sid}"
    fields = {
        "Status": "QUEUED",
        "QueuedUri": f"{base}/FTPFileSubmissions/F-{envelope.delivery}",
        "DeliveryId": envelope.delivery,
        "Uri": f"{base}/Deliveries/{envelope.delivery}",
    }
    return respond(request, Single(fields), 202)


@router.get(
    "/Deliveries/{DeliveryId}", operation_id="GetDelivery", summary="Read a delivery", responses=described.DELIVERY
)
async def one(request: Request, sid: Reader, DeliveryId: Number) -> Response:  # noqa: N803 - the API's
    """How far a file has come, and its receipt once it was judged."""

    def found(desk: Desk) -> dict[str, Any]:
        receipt = _receipt(desk, sid, DeliveryId)
        waiting = desk.spool.pending(sid)
        ahead = [one.delivery for one in waiting if one.delivery < DeliveryId] if receipt is None else []
        size = landed(desk.spool, sid, DeliveryId, lines=False).size_bytes if receipt is None else receipt["bytes"]
        uri = f"/Advertisers/{sid}/Deliveries/{DeliveryId}"
        return {
            "DeliveryId": DeliveryId,
            "State": "queued" if receipt is None else receipt["state"],
            "Progress": {"Ahead": len(ahead), "Bytes": size},
            "Receipt": receipt,
            "ResultUri": f"{uri}/result.csv",
            "FixUri": f"{uri}/fix.csv",
            "Uri": uri,
        }

    return respond(request, Single(await office_of(request).with_desk(found), "Delivery"))


@router.get(
    "/Deliveries/{DeliveryId}/result.csv",
    operation_id="GetResult",
    summary="All lines, answered",
    responses=described.FILE,
)
async def result(request: Request, sid: Reader, DeliveryId: Number) -> Response:  # noqa: N803 - the API's
    """Your own columns, and beside each line its verdict."""
    return await _file(request, sid, DeliveryId, "result")


@router.get(
    "/Deliveries/{DeliveryId}/fix.csv", operation_id="GetFix", summary="What can be repaired", responses=described.FILE
)
async def fix(request: Request, sid: Reader, DeliveryId: Number) -> Response:  # noqa: N803 - the API's
    """The lines that you can repair and send again."""
    return await _file(request, sid, DeliveryId, "fix")


@router.post(
    "/Deliveries/{DeliveryId}/undo", operation_id="UndoDelivery", summary="Undo a delivery", responses=described.UNDONE
)
async def undo(
    request: Request,
    sid: Writer,
    DeliveryId: Number,  # noqa: N803 - the API's
    preview: Preview = False,  # noqa: FBT002 - the API's
) -> Response:
    """Returns each action that a file changed, and nobody since, to what it was."""
    office = office_of(request)
    at = office.clock()

    def undone(desk: Desk) -> dict[str, Any]:
        if _receipt(desk, sid, DeliveryId) is None:
            raise Refusal(Refused.NOT_UNDOABLE, message="The delivery was not judged yet; nothing of it was applied.")
        act = revising.preview_undo if preview else revising.undo
        try:
            return act(desk, DeliveryId, by=CHANGED_BY, reason=None, at=at, most_lines=MOST_LINES)
        except Unusable as error:
            raise Refusal(Refused.NOT_UNDOABLE, message=str(error)) from None

    receipt = await office.claim(undone)
    return respond(request, Single({"Status": "PREVIEW" if preview else "UNDONE", "Receipt": receipt}))


class _Checked:
    """The body with what its headers tell of it: how long it is, and its digest."""

    def __init__(self, request: Request, most_bytes: int, digest: str | None) -> None:
        self._request = request
        self._most_bytes = most_bytes
        self._wanted = _read_digest(digest)
        self._digests = {name: hashlib.new(_ALGORITHMS[name]) for name in self._wanted}
        announced = request.headers.get("content-length", "")
        self._announced = int(announced) if announced.isdecimal() else None
        self._size = 0

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body."""
        async for block in blocks(self._request, self._most_bytes):
            self._size += len(block)
            for digest in self._digests.values():
                digest.update(block)
            yield block

    def check(self) -> None:
        """Raise Refusal unless all came that was announced; a body without a length is whole by its last chunk."""
        if self._announced is not None and self._size != self._announced:
            raise Refusal(Refused.LENGTH_MISMATCH)
        if any(self._digests[name].digest() != wanted for name, wanted in self._wanted.items()):
            raise Refusal(Refused.DIGEST_MISMATCH)


def _read_digest(header: str | None) -> dict[str, bytes]:
    wanted = {}
    for one in (header or "").split(",") if header is not None else ():
        found = _DIGEST.fullmatch(one)
        if found is None or found[1] not in _ALGORITHMS:
            raise invalid("Content-Digest", "Give sha-256=:…: or sha-512=:…: with the digest in Base64.")
        try:
            wanted[found[1]] = base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raise invalid("Content-Digest", "The digest is not Base64.") from None
    return wanted


async def _part(request: Request, checked: _Checked, name: str | None) -> tuple[str, AsyncIterator[bytes]]:
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != _MULTIPART:
        return name or DEFAULT_NAME, checked.blocks()
    sent, content = await file_part(kind, checked.blocks(), query_names(request.app, _UPLOAD))
    return name or sent or DEFAULT_NAME, content


async def _gathered(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks that are worth the way to the disk."""
    waiting = bytearray()
    async for block in content:
        waiting += block
        if len(waiting) >= _BLOCK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


async def _preview(
    request: Request, sid: str, checked: "_Checked", sent: tuple[str, AsyncIterator[bytes], int | None]
) -> Response:
    office, (name, content, event_type) = office_of(request), sent
    with unnamed(office.scratch) as (file, path):
        async for block in content:
            await office.land(lambda block=block: file.write(block))  # type: ignore[misc]
        checked.check()
        file.flush()
        at = office.clock()

        def previewed(desk: Desk) -> dict[str, Any]:
            arrival = arrival_of(path, event_type=event_type, again=False, received_at=at)
            arrival = replace(arrival, name=name, channel=CHANNEL, proven=True)
            return rehearsal.preview(desk, arrival, sid, path, MOST_LINES)

        receipt = await office.claim(previewed)
    return respond(request, Single({"Status": "PREVIEW", "Receipt": receipt}))


async def _file(request: Request, sid: str, number: str, which: str) -> Response:
    office = office_of(request)

    def written(desk: Desk) -> IO[bytes] | None:
        if _receipt(desk, sid, number) is None:
            return None
        with pipeline.answer_file(desk, number, which) as answer, ExitStack() as undone:
            if answer is None:
                return None
            # The answer is the store's only as long as this lasts; a slow reader must not hold it.
            out = undone.enter_context(TemporaryFile(dir=office.scratch))
            shutil.copyfileobj(answer, out, _BLOCK_BYTES)
            out.seek(0)
            undone.pop_all()
            return out

    found = await office.with_desk(written)
    if found is None:
        raise Refusal(Refused.NOT_FINISHED)

    def content() -> Iterator[bytes]:
        with found:
            while block := found.read(_BLOCK_BYTES):
                yield block

    return StreamingResponse(content(), media_type="application/octet-stream")


def _receipt(desk: Desk, sid: str, number: str) -> dict[str, Any] | None:
    """The head of a file's receipt, None for one that was not judged yet; raises NotFound."""
    with desk.store.read() as db:
        try:
            found = deliveries.find(db, number)
        except NotFound:
            landed(desk.spool, sid, number, lines=False)
            return None
        if found.sid != sid or found.channel in {deliveries.PERSON, deliveries.API}:
            raise NotFound(number)
        return deliveries.head(found)
