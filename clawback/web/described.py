"""What the OpenAPI document says of bodies and answers."""

from typing import Any, Final

from pydantic import BaseModel

from clawback.web import models
from clawback.web.bodies import NUMERIC
from clawback.web.models import listed
from clawback.web.refusal import Refused
from clawback.web.representation import JSON, XML

Responses = dict[int | str, dict[str, Any]]


def _answer(what: str, model: type[BaseModel], links: dict[str, Any] | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": what,
        "model": model,
        "content": {XML: {"schema": {"type": "object"}}},
        "headers": _LIMITS,
    }
    return told | ({"links": links} if links else {})


_LIMITS: Final = {
    "X-RateLimit-Limit": {"description": "Requests in an hour.", "schema": {"type": "string"}},
    "X-RateLimit-Remaining": {"description": "Requests left.", "schema": {"type": "string"}},
    "X-RateLimit-Reset": {"description": "Seconds until there are more.", "schema": {"type": "string"}},
}


def errors(*codes: Refused) -> Responses:
    """Refusals by their status."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(code.status, []).append(f"{code.name}: {code.sentence}")
    return {
        status: {"description": " ".join(told), "model": models.Error, "content": {XML: {"schema": {"type": "object"}}}}
        for status, told in found.items()
    }


def _link(operation: str, parameter: str, expression: str) -> dict[str, Any]:
    return {
        operation: {
            "operationId": operation,
            "parameters": {"AccountSID": "$request.path.AccountSID", parameter: expression},
        }
    }


_READING: Final = (
    Refused.VALIDATION_FAILED,
    Refused.UNAUTHORIZED,
    Refused.NOT_FOUND,
    Refused.RATE_LIMITED,
    Refused.INTERNAL,
    Refused.STORE_UNAVAILABLE,
    Refused.TOO_MANY_CONNECTIONS,
)
_WRITING: Final = (
    *_READING,
    Refused.MALFORMED_BODY,
    Refused.FORBIDDEN,
    Refused.BODY_TOO_SLOW,
    Refused.BODY_TOO_LARGE,
    Refused.LENGTH_MISMATCH,
    Refused.STORAGE_FAILED,
)
_ALWAYS: Final = errors(*_READING)
CHANGE_ERRORS: Final = errors(*_WRITING, Refused.UNSUPPORTED_MEDIA_TYPE, Refused.IDEMPOTENCY_KEY_REUSED)
CONVERSION_ERRORS: Final = errors(*_WRITING, Refused.UNSUPPORTED_MEDIA_TYPE, Refused.CONTRACT_ERROR)
UPLOAD_ERRORS: Final = errors(*_WRITING, Refused.DIGEST_MISMATCH, Refused.IDEMPOTENCY_KEY_REUSED)


def _read(what: str, model: type[BaseModel], links: dict[str, Any] | None = None) -> Responses:
    return {200: _answer(what, model, links)} | _ALWAYS


_BATCH: Final = r"$response.body#/QueuedUri#regex:[^/]+/([AF]-[0-9T]+-[0-9a-f-]+)$"
QUEUED: Final[Responses] = {
    200: _answer(
        "Stored; the resource at QueuedUri tells what becomes of it.",
        models.Queued,
        _link("GetAPISubmission", "BatchId", _BATCH),
    )
}
DONE: Final[Responses] = {200: _answer("The action is there.", models.Done)}
ACTIONS: Final = _read(
    "A page of actions.",
    listed("ActionList", "Actions", models.Action),
    _link("GetAction", "ActionId", "$response.body#/Actions/0/Id"),
)
ACTION: Final = _read("The action.", models.Action)
ITEMS: Final = _read("The items.", listed("ActionItemList", "ActionItems", models.Item))
ITEM: Final = _read("The item.", models.Item)
UPDATES: Final = _read(
    "A page of updates.",
    listed("ActionUpdateList", "ActionUpdates", models.Update),
    _link("GetActionUpdate", "Id", "$response.body#/ActionUpdates/0/Id"),
)
UPDATE: Final = _read("The update.", models.Update)
API_SUBMISSIONS: Final = _read(
    "A page of submissions.",
    listed("ApiSubmissionList", "APISubmission", models.ApiSubmission),
    _link("GetAPISubmission", "BatchId", "$response.body#/APISubmission/0/BatchId"),
)
API_SUBMISSION: Final = _read("The submission.", models.ApiSubmission)
FILE_SUBMISSIONS: Final = _read(
    "A page of submissions.",
    listed("FtpSubmissionList", "FTPFileSubmissions", models.FileSubmission),
    _link("GetFTPFileSubmission", "BatchId", "$response.body#/FTPFileSubmissions/0/BatchId"),
)
FILE_SUBMISSION: Final = _read(
    "The submission.", models.FileSubmission, _link("ListErrorDetails", "BatchId", "$response.body#/BatchId")
)
ERROR_LINES: Final = _read("A page of lines.", listed("FtpErrorDetailList", "ErrorDetail", models.ErrorLine))
COMPANY: Final = _read("The account.", models.Company)
CAMPAIGN: Final = _read("The program.", models.Campaign)
PARTNER: Final = _read("The partner.", models.Partner)
CAMPAIGNS: Final = _read("The programs.", listed("CampaignList", "Campaigns", models.Campaign))
PARTNERS: Final = _read("The partners.", listed("MediaPartnerList", "MediaPartners", models.Partner))
LANDED: Final[Responses] = {
    200: _answer("What the file would do; nothing was written.", models.Preview),
    202: _answer(
        "Stored.",
        models.Landed,
        _link("GetDelivery", "DeliveryId", "$response.body#/DeliveryId")
        | _link("GetResult", "DeliveryId", "$response.body#/DeliveryId")
        | _link("GetFix", "DeliveryId", "$response.body#/DeliveryId")
        | _link("UndoDelivery", "DeliveryId", "$response.body#/DeliveryId")
        | _link("GetFTPFileSubmission", "BatchId", _BATCH),
    ),
}
_FILE: Final = "ActionId,Amount,Reason\n1000.4636.158133,0,ITEM_RETURNED\n"
UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            # Whatever bytes come are a body; what they mean is told in the receipt.
            "text/csv": {"schema": {}, "example": _FILE},
            "application/xml": {"schema": {}},
            "application/octet-stream": {"schema": {}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    }
}
DELIVERY: Final = _read("The delivery.", models.Delivery)
UNDONE: Final = _read("It is undone, or what that would do.", models.Undone) | errors(
    Refused.FORBIDDEN, Refused.NOT_UNDOABLE
)
_BYTES: Final[Responses] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        "headers": _LIMITS,
    }
}
FILE: Final = _BYTES | errors(*_READING, Refused.NOT_FINISHED)


def body(model: type[BaseModel]) -> dict[str, Any]:
    """A body that may be a form, whose values are texts, or JSON, where amounts and ids may be numbers as well."""
    schema = model.model_json_schema()
    as_json = {
        **schema,
        "properties": {name: _number_too(name, one) for name, one in schema["properties"].items()},
        "patternProperties": {
            pattern: _number_too(pattern.strip("^").partition("[")[0], one)
            for pattern, one in schema.get("patternProperties", {}).items()
        },
    }
    content = {"application/x-www-form-urlencoded": {"schema": schema}, JSON: {"schema": as_json}}
    return {"requestBody": {"required": True, "content": content}}


_LARGEST: Final = {"Quantity": 10**9 - 1, "Rebate": 0} | dict.fromkeys(
    ("ActionTrackerId", "EventTypeId", "CampaignId", "MediaPartnerId"), 10**10 - 1
)


def _number_too(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name not in NUMERIC:
        return schema
    number = {"type": "number", "minimum": 0, "maximum": 99_999_999, "multipleOf": 0.01}
    whole = {"type": "integer", "minimum": 0, "maximum": _LARGEST.get(name, 10**15 - 1)}
    return {"anyOf": [schema, number if name == "Amount" else whole]}
