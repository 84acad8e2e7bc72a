"""Bodies of requests: forms and JSON objects into texts by name, within limits of size and time."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from clawback.web.access import office_of
from clawback.web.refusal import LEAST_BYTES_PER_S, Fault, Refusal, Refused

# What JSON may give as a number; items carry a number of their own behind the name.
NUMERIC: Final = frozenset(
    {"ActionId", "OrderId", "ActionTrackerId", "EventTypeId", "CampaignId", "MediaPartnerId", "Amount", "Quantity"}
    | {"Sku", "Rebate"}
)
# Parameters of the original that nothing here could honour; one that is left out in silence would be believed.
NOT_TAKEN: Final = {
    "ItemSubTotalDelta": "A difference would count twice when it is sent twice; give Amount, the total.",
    "Rebate": "Rebates are not kept here; leave it out, or give 0.",
}
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
_MOST_BYTES: Final = 64 * 1024
_LARGEST: Final = Decimal(10) ** 15
_DECIMALS: Final = Decimal("0.0001")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_SANE: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_NOISE: Final = Decimal("1e-9")

Model = TypeVar("Model", bound=BaseModel)


async def parameters(request: Request, model: type[Model]) -> Model:
    """The body as a model; raises Refusal naming each field that is wrong."""
    body = await whole(request, _MOST_BYTES)
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind == FORM:
        texts = _of_form(body)
    elif kind == JSON:
        texts = _of_json(body)
    else:
        raise Refusal(Refused.UNSUPPORTED_MEDIA_TYPE)
    try:
        return model.model_validate(texts)
    except ValidationError as error:
        raise Refusal(Refused.VALIDATION_FAILED, *faults(error.errors(include_url=False))) from None


async def whole(request: Request, most_bytes: int) -> bytes:
    """A short body, all of which has to come within the idle time; raises Refusal as ``blocks`` does."""
    try:
        async with asyncio.timeout(office_of(request).web.idle_timeout_s):
            return b"".join([block async for block in blocks(request, most_bytes)])
    except TimeoutError:
        raise Refusal(Refused.BODY_TOO_SLOW) from None


async def blocks(request: Request, most_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives; raises Refusal when it grows too large, comes too slowly, or ends early.

    However long it is, ``LEAST_BYTES_PER_S`` for as many seconds as the idle time has must come within that time; what
    the server needs for them does not count.
    """
    idle_s, clock = office_of(request).web.idle_timeout_s, asyncio.get_running_loop().time
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most_bytes:
        raise Refusal(Refused.BODY_TOO_LARGE)
    size, more = 0, True
    recent_bytes, waited_s = 0, 0.0
    while more:
        began_s = clock()
        try:
            async with asyncio.timeout(idle_s - waited_s):
                message = await request.receive()
        except TimeoutError:
            raise Refusal(Refused.BODY_TOO_SLOW) from None
        if message["type"] == "http.disconnect":
            raise Refusal(Refused.LENGTH_MISMATCH)
        block, more = message.get("body", b""), message.get("more_body", False)
        size += len(block)
        if size > most_bytes:
            raise Refusal(Refused.BODY_TOO_LARGE)
        recent_bytes, waited_s = recent_bytes + len(block), waited_s + clock() - began_s
        if recent_bytes >= LEAST_BYTES_PER_S * idle_s:
            recent_bytes, waited_s = 0, 0.0
        yield block


def faults(errors: Any) -> list[Fault]:  # noqa: ANN401 - pydantic's list of dicts
    """Each error that a validation found, under the name of its parameter."""
    found = []
    for error in errors:
        where = [str(part) for part in error["loc"] if part not in {"body", "query", "path", "header"}]
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append(Fault(".".join(where), message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")))
    return found


def _of_form(body: bytes) -> Mapping[str, str]:
    try:
        # An & too many, as at the end, stands between nothing; the rule of forms is to pass over it.
        text = "&".join(filter(None, body.decode("ascii").split("&")))
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:
        raise _malformed("The body is not a form: names and values in UTF-8, percent-encoded.") from None
    return _once(_taken(pairs))


def _of_json(body: bytes) -> Mapping[str, str]:
    try:
        pairs = json.loads(
            body.decode("utf-8"),
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_no_number,
            object_pairs_hook=_Pairs,
        )
    except (ValueError, RecursionError):
        raise _malformed("The body is not JSON.") from None
    if not isinstance(pairs, _Pairs):
        raise _malformed("The body is not a JSON object.")
    return _once([(name, _as_text(name, value)) for name, value in _taken(pairs)])


def _taken(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The parameters; raises Refusal naming those that are known and not taken."""
    wrong = [Fault(name, why) for name, value in pairs if (why := _objection(name, value))]
    if wrong:
        raise Refusal(Refused.VALIDATION_FAILED, *wrong)
    return pairs


def _objection(name: str, value: object) -> str | None:
    kind = name.rstrip("0123456789")
    no_rebate = kind == "Rebate" and str(value).strip("0") in {"", "."}
    return None if no_rebate else NOT_TAKEN.get(kind)


def _no_number(word: str) -> None:
    raise ValueError(word)


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, with what it holds twice."""


def _as_text(name: str, value: object) -> str:
    if isinstance(value, _Number) and name.rstrip("0123456789") in NUMERIC:
        return _plain(name, value)
    if isinstance(value, _Number) or not isinstance(value, str):
        raise Refusal(Refused.VALIDATION_FAILED, Fault(name, "Give a text."))
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refusal(Refused.VALIDATION_FAILED, Fault(name, "The text holds half of a character.")) from None
    return value


def _plain(name: str, written: str) -> str:
    """A number in plain digits, without the noise that binary fractions leave behind the fourth decimal."""
    if _WHOLE.fullmatch(written):
        return written
    value = Decimal(written) if _SANE.fullmatch(written) else _LARGEST
    exact = value.quantize(_DECIMALS) if abs(value) < _LARGEST else value
    if value < 0 or value >= _LARGEST or abs(value - exact) > _NOISE:
        raise Refusal(
            Refused.VALIDATION_FAILED, Fault(name, "The number is negative, too large, or has too many decimals.")
        )
    text = f"{abs(exact):f}".rstrip("0").rstrip(".")
    if not name.startswith("Amount") and value != value.to_integral_value():
        raise Refusal(Refused.VALIDATION_FAILED, Fault(name, "Give a whole number."))
    return text


def _once(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for name, value in pairs:
        if name in texts:
            raise Refusal(Refused.VALIDATION_FAILED, Fault(name, "The parameter is given twice."))
        texts[name] = value
    return texts


def _malformed(message: str) -> Refusal:
    return Refusal(Refused.MALFORMED_BODY, message=message)
