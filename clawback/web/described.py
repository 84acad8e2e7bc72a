"""What the OpenAPI document says of bodies and answers: models with examples, one for each resource."""

from types import GenericAlias
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from clawback.web.refusal import Refused
from clawback.web.representation import JSON, XML

Responses = dict[int | str, dict[str, Any]]

_DATE: Final = "2027-01-15T10:00:00-05:00"
_CLOSED: Final = ConfigDict(extra="forbid")
_SID: Final = "/Advertisers/IRacme1"
_DELIVERY: Final = "20270120T120000000000-1a2b3c4d"


def _model(name: str, summary: str, **examples: Any) -> type[BaseModel]:  # noqa: ANN401 - values of any JSON type
    """A model whose fields have the types of their examples; a list holds the model that is its example."""
    kinds: dict[str, Any] = {
        key: GenericAlias(list, tuple(example)) if isinstance(example, list) else type(example)
        for key, example in examples.items()
    }
    fields: dict[str, Any] = {
        key: (kind, Field() if isinstance(kind, GenericAlias) else Field(examples=[examples[key]]))
        for key, kind in kinds.items()
    }
    return create_model(name, __config__=_CLOSED, __doc__=summary, **fields)


def _list(name: str, key: str, item: type[BaseModel]) -> type[BaseModel]:
    """A page of resources with the documented keys, all of them texts."""
    texts: dict[str, Any] = {
        word: (str, Field(alias=f"@{word}", examples=[example]))
        for word, example in {
            "page": "1",
            "numpages": "1",
            "pagesize": "20000",
            "total": "1",
            "start": "0",
            "end": "0",
            "uri": f"{_SID}/Actions",
            "firstpageuri": f"{_SID}/Actions?PageSize=20000&Page=1",
            "previouspageuri": "",
            "nextpageuri": "",
            "lastpageuri": f"{_SID}/Actions?PageSize=20000&Page=1&Cursor=z.0.0.1",
        }.items()
    }
    fields: dict[str, Any] = texts | {key: (list[item], Field())}  # type: ignore[valid-type]
    return create_model(name, __config__=_CLOSED, **fields)


Fault = _model("ErrorDetail", "What is wrong with one parameter.", Field="Amount", Message="Give digits.")
Error = _model(
    "Error", "Every refusal.", Status="ERROR", Message="Validation Failed", Code="VALIDATION_FAILED", Errors=[Fault]
)
Queued = _model(
    "Queued", "A request that is stored.", Status="QUEUED", QueuedUri=f"{_SID}/APISubmissions/A-{_DELIVERY}"
)
Done = _model("Done", "A request that is done.", Status="OK", Uri=f"{_SID}/Actions/1000.16027.5d41402abc4b2a76")
_CUSTOMER: Final = (
    "CustomerPostCode",
    "CustomerArea",
    "CustomerCity",
    "CustomerRegion",
    "CustomerCountry",
    "IpAddress",
)
Action = _model(
    "Action",
    "A conversion credited to a partner.",
    Id="1000.4636.158133",
    CampaignId=1000,
    CampaignName="Acme Partners",
    ActionTrackerId=16027,
    ActionTrackerName="Online Sale",
    EventCode="",
    MediaPartnerId=501,
    MediaPartnerName="Trail Blog",
    State="PENDING",
    AdId=0,
    ClientCost=5.0,
    Payout=5.0,
    DeltaPayout=5.0,
    IntendedPayout=5.0,
    Amount=100.0,
    DeltaAmount=100.0,
    IntendedAmount=100.0,
    Currency="USD",
    ReferringDate="",
    EventDate=_DATE,
    CreationDate=_DATE,
    LockingDate="2027-02-28T00:00:00-05:00",
    ClearedDate="",
    ReferringType="",
    ReferringDomain="",
    PromoCode="",
    Oid="O9999935",
    CustomerId="",
    CustomerStatus="NEW",
    **dict.fromkeys((*_CUSTOMER, "SharedId", "CallerId", "Note"), ""),
    Uri=f"{_SID}/Actions/1000.4636.158133",
)
Item = _model(
    "ActionItem",
    "An item of an action.",
    Sku="TENT-2P",
    ItemName="",
    Category="Tents",
    Quantity="1",
    SaleAmount="100.00",
    SaleAmountCurrency="USD",
    Payout=5.0,
    PayoutCurrency="USD",
    Rebate=0.0,
    RebateCurrency="USD",
    AdjustmentDate="",
    AdjustmentReason="",
    Uri=f"{_SID}/Actions/1000.4636.158133/Items/TENT-2P",
)
Update = _model(
    "ActionUpdate",
    "One update of an action: that it was tracked, or changed.",
    Id="1000.4636.158133.1",
    ActionId="1000.4636.158133",
    CampaignId=1000,
    ActionTrackerId=16027,
    EventTypeId="16027",
    EventTypeName="Online Sale",
    EventCode="",
    MediaPartnerId=501,
    State="REVERSED",
    StateDetail="",
    StateDetailDescription="",
    AdId=0,
    Disposition="ITEM_RETURNED",
    DeltaPayout=-5.0,
    DeltaAmount=-100.0,
    Currency="USD",
    Category="",
    Sku="",
    Quantity="",
    CatalogName="",
    CatalogCategory="",
    CatalogDescription="",
    CatalogManufacturer="",
    CatalogOriginalFormatCategory="",
    CatalogSubCategory="",
    PayoutLevel="ORDER",
    DefaultPayoutRate="",
    ContractId="S-1",
    UpdateDate=_DATE,
    LockingDate="2027-02-28T00:00:00-05:00",
    ClearingDate="",
    ActionDate=_DATE,
    Oid="O9999935",
    CustomerId="",
    CustomerStatus="",
    SharedId="",
    ActionUri=f"{_SID}/Actions/1000.4636.158133",
    Uri=f"{_SID}/ActionUpdates/1000.4636.158133.1",
)
ApiSubmission = _model(
    "ApiSubmission",
    "What became of a PUT or DELETE.",
    BatchId=f"A-{_DELIVERY}",
    AccountId="IRacme1",
    SubmissionDate=_DATE,
    CampaignId="1000",
    ActionTrackerId="16027",
    MediaPartnerId="501",
    EventCode="",
    OrderId="",
    Payload="ActionId=1000.4636.158133&Reason=ITEM_RETURNED",
    Type="Reversal",
    Status="Complete",
    CompletionDate=_DATE,
    ErrorType="",
    ErrorReason="",
    ErrorMessage="",
    Uri=f"{_SID}/APISubmissions/A-{_DELIVERY}",
)
FileSubmission = _model(
    "FtpSubmission",
    "What became of a file, whatever its channel.",
    BatchId=f"F-{_DELIVERY}",
    AccountId="IRacme1",
    SubmissionDate=_DATE,
    FileName="returns.csv",
    Type="Modification",
    Status="Complete",
    TotalRecords="600",
    TotalErrors="2",
    CompletionDate=_DATE,
    ErrorsUri=f"{_SID}/FTPFileSubmissions/F-{_DELIVERY}/ErrorDetails",
    Uri=f"{_SID}/FTPFileSubmissions/F-{_DELIVERY}",
)
ErrorLine = _model(
    "FtpErrorDetail",
    "A line of a file that was not applied.",
    Line=17,
    CampaignId="",
    ActionTrackerId="",
    MediaPartnerId="",
    EventCode="",
    OrderId="",
    Category="",
    Sku="",
    Status="Validation",
    Reason="AMOUNT_MALFORMED",
    Message="Amount '1e3' is not an amount of USD.",
    Uri=f"{_SID}/FTPFileSubmissions/F-{_DELIVERY}/ErrorDetails",
)
Company = _model(
    "CompanyInformation",
    "The account.",
    AccountSid="IRacme1",
    CompanyName="Acme Outdoor",
    Currency="USD",
    Timezone="America/New_York",
    Uri=f"{_SID}/CompanyInformation",
)
Tracker = _model("ActionTracker", "An event type.", Id="16027", Name="Online Sale", Level="order", Basis="sale")
Campaign = _model(
    "Campaign", "A program.", Id="1000", Name="Acme Partners", ActionTrackers=[Tracker], Uri=f"{_SID}/Campaigns/1000"
)
Partner = _model("MediaPartner", "A partner.", Id="501", Name="Trail Blog", Uri=f"{_SID}/MediaPartners/501")
Landed = _model(
    "Landed",
    "A file that is stored, and where its fate can be read.",
    Status="QUEUED",
    QueuedUri=f"{_SID}/FTPFileSubmissions/F-{_DELIVERY}",
    DeliveryId=_DELIVERY,
    Uri=f"{_SID}/Deliveries/{_DELIVERY}",
)
Progress = _model("Progress", "How far a delivery has come.", Ahead=0, Bytes=1024)


class Delivery(BaseModel):
    """A file with its receipt, which is there once it was judged."""

    model_config = _CLOSED

    DeliveryId: str = Field(examples=[_DELIVERY])
    State: str = Field(examples=["done"])
    Progress: Progress  # type: ignore[valid-type]
    Receipt: dict[str, Any] | None = Field(description="The receipt, as on every channel; its lines are in result.csv.")
    ResultUri: str = Field(examples=[f"{_SID}/Deliveries/{_DELIVERY}/result.csv"])
    FixUri: str = Field(examples=[f"{_SID}/Deliveries/{_DELIVERY}/fix.csv"])
    Uri: str = Field(examples=[f"{_SID}/Deliveries/{_DELIVERY}"])


class Preview(BaseModel):
    """What a file would do: its receipt, with the lines that would not be applied."""

    Status: str = Field(examples=["PREVIEW"])
    Receipt: dict[str, Any]


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
        status: {"description": " ".join(told), "model": Error, "content": {XML: {"schema": {"type": "object"}}}}
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


_BATCH: Final = r"$response.body#/QueuedUri#regex:[^/]+/([AF]-[0-9T]+-[0-9a-f]+)$"
QUEUED: Final[Responses] = {
    200: _answer(
        "Stored; the resource at QueuedUri tells what becomes of it.",
        Queued,
        _link("GetAPISubmission", "BatchId", _BATCH),
    )
}
DONE: Final[Responses] = {200: _answer("The action is there.", Done)}
ACTIONS: Final = _read(
    "A page of actions.",
    _list("ActionList", "Actions", Action),
    _link("GetAction", "ActionId", "$response.body#/Actions/0/Id"),
)
ACTION: Final = _read("The action.", Action)
ITEMS: Final = _read("The items.", _list("ActionItemList", "ActionItems", Item))
ITEM: Final = _read("The item.", Item)
UPDATES: Final = _read(
    "A page of updates.",
    _list("ActionUpdateList", "ActionUpdates", Update),
    _link("GetActionUpdate", "Id", "$response.body#/ActionUpdates/0/Id"),
)
UPDATE: Final = _read("The update.", Update)
API_SUBMISSIONS: Final = _read(
    "A page of submissions.",
    _list("ApiSubmissionList", "APISubmission", ApiSubmission),
    _link("GetAPISubmission", "BatchId", "$response.body#/APISubmission/0/BatchId"),
)
API_SUBMISSION: Final = _read("The submission.", ApiSubmission)
FILE_SUBMISSIONS: Final = _read(
    "A page of submissions.",
    _list("FtpSubmissionList", "FTPFileSubmissions", FileSubmission),
    _link("GetFTPFileSubmission", "BatchId", "$response.body#/FTPFileSubmissions/0/BatchId"),
)
FILE_SUBMISSION: Final = _read(
    "The submission.", FileSubmission, _link("ListErrorDetails", "BatchId", "$response.body#/BatchId")
)
ERROR_LINES: Final = _read("A page of lines.", _list("FtpErrorDetailList", "ErrorDetail", ErrorLine))
COMPANY: Final = _read("The account.", Company)
CAMPAIGN: Final = _read("The program.", Campaign)
PARTNER: Final = _read("The partner.", Partner)
CAMPAIGNS: Final = _read("The programs.", _list("CampaignList", "Campaigns", Campaign))
PARTNERS: Final = _read("The partners.", _list("MediaPartnerList", "MediaPartners", Partner))
LANDED: Final[Responses] = {
    200: _answer("What the file would do; nothing was written.", Preview),
    202: _answer("Stored.", Landed, _link("GetDelivery", "DeliveryId", "$response.body#/DeliveryId")),
}
_FILE: Final = "ActionId,Amount,Reason\n1000.4636.158133,0,ITEM_RETURNED\n"
UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": _FILE},
            "application/xml": {"schema": {"type": "string"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
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
DELIVERY: Final = _read("The delivery.", Delivery)
_BYTES: Final[Responses] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        "headers": _LIMITS,
    }
}
FILE: Final = _BYTES | errors(*_READING, Refused.NOT_FINISHED)


def body(model: type[BaseModel]) -> dict[str, Any]:
    """A body that may be a form, whose values are texts, or JSON, where amounts and numbers may be numbers as well."""
    schema = model.model_json_schema()
    as_json = {**schema, "properties": {name: _number_too(name, one) for name, one in schema["properties"].items()}}
    content = {"application/x-www-form-urlencoded": {"schema": schema}, JSON: {"schema": as_json}}
    return {"requestBody": {"required": True, "content": content}}


_NUMBERS: Final[dict[str, dict[str, Any]]] = {
    "Amount": {"type": "number", "minimum": 0, "maximum": 99_999_999, "multipleOf": 0.01},
    "Quantity": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    "ActionTrackerId": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    "CampaignId": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    "MediaPartnerId": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
}


def _number_too(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, _NUMBERS[name]]} if name in _NUMBERS else schema
