"""The resources as the OpenAPI document tells them: a model for each, with the types and examples of its fields."""

from types import GenericAlias
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

_DATE: Final = "2027-01-15T10:00:00-05:00"
_CLOSED: Final = ConfigDict(extra="forbid")
SID: Final = "/Advertisers/IRacme1"
DELIVERY: Final = "20270120T120000000000-1a2b3c4d"


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


def listed(name: str, key: str, item: type[BaseModel]) -> type[BaseModel]:
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
            "uri": f"{SID}/Actions",
            "firstpageuri": f"{SID}/Actions?PageSize=20000&Page=1",
            "previouspageuri": "",
            "nextpageuri": "",
            "lastpageuri": f"{SID}/Actions?PageSize=20000&Page=1&Cursor=z.0.0.1",
        }.items()
    }
    fields: dict[str, Any] = texts | {key: (list[item], Field())}  # type: ignore[valid-type]
    return create_model(name, __config__=_CLOSED, **fields)


Fault = _model("ErrorDetail", "What is wrong with one parameter.", Field="Amount", Message="Give digits.")
Error = _model(
    "Error", "Every refusal.", Status="ERROR", Message="Validation Failed", Code="VALIDATION_FAILED", Errors=[Fault]
)
Queued = _model("Queued", "A request that is stored.", Status="QUEUED", QueuedUri=f"{SID}/APISubmissions/A-{DELIVERY}")
Done = _model("Done", "A request that is done.", Status="OK", Uri=f"{SID}/Actions/1000.16027.5d41402abc4b2a76")
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
    Uri=f"{SID}/Actions/1000.4636.158133",
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
    Uri=f"{SID}/Actions/1000.4636.158133/Items/TENT-2P",
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
    ActionUri=f"{SID}/Actions/1000.4636.158133",
    Uri=f"{SID}/ActionUpdates/1000.4636.158133.1",
)
ApiSubmission = _model(
    "ApiSubmission",
    "What became of a PUT or DELETE.",
    BatchId=f"A-{DELIVERY}",
    AccountId="IRacme1",
    SubmissionDate=_DATE,
    CampaignId="1000",
    ActionTrackerId="16027",
    MediaPartnerId="501",
    EventCode="",
    OrderId="",
    Payload="ActionId=1000.4636.158133&DispositionCode=ITEM_RETURNED",
    Type="Reversal",
    Status="Complete",
    CompletionDate=_DATE,
    ErrorType="",
    ErrorReason="",
    ErrorMessage="",
    Uri=f"{SID}/APISubmissions/A-{DELIVERY}",
)
FileSubmission = _model(
    "FtpSubmission",
    "What became of a file, whatever its channel.",
    BatchId=f"F-{DELIVERY}",
    AccountId="IRacme1",
    SubmissionDate=_DATE,
    FileName="returns.csv",
    Type="Modification",
    Status="Complete",
    TotalRecords="600",
    TotalErrors="2",
    CompletionDate=_DATE,
    ErrorsUri=f"{SID}/FTPFileSubmissions/F-{DELIVERY}/ErrorDetails",
    Uri=f"{SID}/FTPFileSubmissions/F-{DELIVERY}",
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
    Uri=f"{SID}/FTPFileSubmissions/F-{DELIVERY}/ErrorDetails",
)
Company = _model(
    "CompanyInformation",
    "The account.",
    AccountSid="IRacme1",
    CompanyName="Acme Outdoor",
    Currency="USD",
    Timezone="America/New_York",
    Uri=f"{SID}/CompanyInformation",
)
Tracker = _model("ActionTracker", "An event type.", Id="16027", Name="Online Sale", Level="order", Basis="sale")
Campaign = _model(
    "Campaign", "A program.", Id="1000", Name="Acme Partners", ActionTrackers=[Tracker], Uri=f"{SID}/Campaigns/1000"
)
Partner = _model("MediaPartner", "A partner.", Id="501", Name="Trail Blog", Uri=f"{SID}/MediaPartners/501")
Landed = _model(
    "Landed",
    "A file that is stored, and where its fate can be read.",
    Status="QUEUED",
    QueuedUri=f"{SID}/FTPFileSubmissions/F-{DELIVERY}",
    DeliveryId=DELIVERY,
    Uri=f"{SID}/Deliveries/{DELIVERY}",
)
Progress = _model("Progress", "How far a delivery has come.", Ahead=0, Bytes=1024)


class Delivery(BaseModel):
    """A file with its receipt, which is there once it was judged."""

    model_config = _CLOSED

    DeliveryId: str = Field(examples=[DELIVERY])
    State: str = Field(examples=["done"])
    Progress: Progress  # type: ignore[valid-type]
    Receipt: dict[str, Any] | None = Field(description="The receipt, as on every channel; its lines are in result.csv.")
    ResultUri: str = Field(examples=[f"{SID}/Deliveries/{DELIVERY}/result.csv"])
    FixUri: str = Field(examples=[f"{SID}/Deliveries/{DELIVERY}/fix.csv"])
    Uri: str = Field(examples=[f"{SID}/Deliveries/{DELIVERY}"])


class Undone(BaseModel):
    """What an undo did, or would do: its receipt, with the first of the lines that could not be undone."""

    Status: str = Field(examples=["UNDONE"])
    Receipt: dict[str, Any]


class Preview(BaseModel):
    """What a file would do: its receipt, with the first of the lines that would not be applied."""

    Status: str = Field(examples=["PREVIEW"])
    Receipt: dict[str, Any]
