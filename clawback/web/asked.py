"""What requests may ask for: the bodies of the API, judged by shape alone; what they mean is the ledger's business."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clawback.web.windows import DATE
from schemas.contract import ACTION_ID, EVENT_TYPE, LONGEST_ORDER_ID, LONGEST_STATUS

_CLEAN: Final = r"[^\x00-\x1f\x7f-\x9f]"
_AMOUNT: Final = r"^[0-9]{1,8}(\.[0-9]{1,4})?$"
_NUMBER: Final = r"^[0-9]{1,10}$"
_QUANTITY: Final = r"^[0-9]{1,9}$"
_SKU: Final = f"^{_CLEAN}{{1,255}}$"
# What scripts tell of an item that is not kept here: nothing depends on it.
_NOT_KEPT: Final = {"ItemName": f"^{_CLEAN}{{0,255}}$", "Rebate": r"^(0{1,8}(\.0{1,4})?)?$"}
# The fields of an order's items: the first without a number, as the original has it, or with one.
_ITEM_FIELDS: Final = {"Sku": _SKU, "Category": _SKU, "Quantity": _QUANTITY, "Amount": _AMOUNT} | _NOT_KEPT
_ITEM: Final = re.compile(rf"({'|'.join(_ITEM_FIELDS)})[1-9][0-9]{{0,2}}")

ActionIdText = Annotated[str, Field(pattern=f"^{ACTION_ID}$", examples=["1000.4636.158133"])]
OrderIdText = Annotated[str, Field(pattern=f"^{_CLEAN}{{1,{LONGEST_ORDER_ID}}}$", examples=["O9999935"])]
EventTypeText = Annotated[str, Field(pattern=f"^{EVENT_TYPE}$", examples=["16027"])]
NumberText = Annotated[str, Field(pattern=_NUMBER, examples=["1000"])]
AmountText = Annotated[str, Field(pattern=_AMOUNT, examples=["79.90"])]
QuantityText = Annotated[str, Field(pattern=_QUANTITY, examples=["1"])]
ReasonText = Annotated[str, Field(pattern=f"^{_CLEAN}{{1,64}}$")]
StatusText = Annotated[str, Field(pattern=f"^{_CLEAN}{{1,{LONGEST_STATUS}}}$", examples=["NEW"])]
CurrencyText = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["USD"])]
SkuText = Annotated[str, Field(pattern=_SKU, examples=["TENT-2P"])]
ItemNameText = Annotated[str, Field(pattern=_NOT_KEPT["ItemName"], description="Taken, and not kept.")]
RebateText = Annotated[str, Field(pattern=_NOT_KEPT["Rebate"], description="Not kept; nothing but 0 is taken.")]

# Reason and DispositionCode are one field of a file. Programs have to give the first, and leave the second at this.
_USUAL: Final = "ORDER_UPDATE"
# What pydantic cannot say of several fields together, for the API's document.
_TWO_REASONS: Final[dict[str, Any]] = {
    "required": ["Reason", "DispositionCode"],
    "properties": {name: {"not": {"const": _USUAL}} for name in ("Reason", "DispositionCode")},
}
_TARGET: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["ActionId"]},
        {"required": ["ActionTrackerId", "OrderId"]},
        {"required": ["EventTypeId", "OrderId"]},
    ],
    "not": {"required": ["ActionTrackerId", "EventTypeId"]},
    "additionalProperties": False,
}


class _Target(BaseModel):
    """An action named by its id, or by its order and event type."""

    ActionId: ActionIdText | None = None
    ActionTrackerId: EventTypeText | None = None
    EventTypeId: Annotated[EventTypeText | None, Field(description="Another name of ActionTrackerId.")] = None
    OrderId: OrderIdText | None = None

    @model_validator(mode="after")
    def _named(self) -> "_Target":
        if self.EventTypeId is not None:
            if self.ActionTrackerId is not None:
                raise ValueError("ActionTrackerId and EventTypeId are the same field; give one of them.")
            self.ActionTrackerId, self.EventTypeId = self.EventTypeId, None
        if self.ActionId is None and (self.OrderId is None or self.ActionTrackerId is None):
            raise ValueError("Give ActionId, or OrderId together with ActionTrackerId.")
        return self


class Modification(_Target):
    """PUT /Actions: new totals, a new customer status, item fields, RESET, or one of the brand's disposition codes.

    Items of an order are numbered: Sku, Quantity and Amount, Sku2, Quantity2 and Amount2, and so on.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra=_TARGET
        | {
            "patternProperties": {
                f"^{name}[1-9][0-9]{{0,2}}$": {"type": "string", "pattern": pattern}
                for name, pattern in _ITEM_FIELDS.items()
            },
            "not": {
                "anyOf": [
                    {"required": ["ActionTrackerId", "EventTypeId"]},
                    *({"required": [name, f"{name}1"]} for name in _ITEM_FIELDS),
                    _TWO_REASONS,
                ]
            },
        },
    )

    Reason: Annotated[ReasonText, Field(examples=[_USUAL])]
    DispositionCode: Annotated[
        ReasonText | None, Field(description=f"Instead of the Reason {_USUAL}.", examples=[_USUAL])
    ] = None
    Amount: Annotated[AmountText | None, Field(description="The new total; 0 reverses.")] = None
    CurrencyCode: CurrencyText | None = None
    CustomerStatus: StatusText | None = None
    Sku: SkuText | None = None
    Category: SkuText | None = None
    Quantity: Annotated[QuantityText | None, Field(description="The new quantity; 0 returns the item.")] = None
    ItemName: ItemNameText | None = None
    Rebate: RebateText | None = None

    @model_validator(mode="after")
    def _one_reason(self) -> "Modification":
        if len({self.Reason, self.DispositionCode} - {_USUAL, None}) > 1:
            raise ValueError(f"Reason and DispositionCode differ; give one of them, and {_USUAL} for the other.")
        return self

    @model_validator(mode="after")
    def _known(self) -> "Modification":
        for name, value in (self.model_extra or {}).items():
            field = _ITEM.fullmatch(name)
            if field is None:
                raise ValueError(f"{name[:80]!r} is no parameter of this request.")
            if not re.fullmatch(_ITEM_FIELDS[field[1]], value) or value.endswith("\n"):
                raise ValueError(f"{name} is no {field[1]}.")
            if name == f"{field[1]}1" and getattr(self, field[1]) is not None:
                raise ValueError(f"{field[1]} and {name} are the same field; give one of them.")
        return self

    def columns(self) -> dict[str, str]:
        """The line that asks for it."""
        reason = self.Reason if self.DispositionCode in {None, _USUAL} else self.DispositionCode
        given = _kept(self.model_dump(exclude={"Reason", "DispositionCode"}, exclude_none=True))
        if any(name.startswith("Sku") for name in given):
            return {**self._numbered(given), "Reason": str(reason)}
        # Without a column for the amount a line of ids and reasons would be a reversal.
        return {"Amount": "", **given, "Reason": str(reason)}

    def _numbered(self, given: dict[str, str]) -> dict[str, str]:
        """The fields of items under their numbers, the first of which may be left out."""
        fields = {f"{name}1" if name in _ITEM_FIELDS else name: value for name, value in given.items()}
        numbers = [name.removeprefix("Sku") for name in fields if name.startswith("Sku")]
        # As above: an item without a quantity or an amount would be returned.
        return {f"{what}{number}": "" for number in numbers for what in ("Quantity", "Amount")} | fields


class Reversal(_Target):
    """DELETE /Actions: reverses an action as a whole."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_TARGET)

    DispositionCode: Annotated[ReasonText, Field(examples=["ITEM_RETURNED"])]

    def columns(self) -> dict[str, str]:
        """The line that asks for it."""
        given = self.model_dump(exclude={"DispositionCode"}, exclude_none=True)
        return {**given, "Reason": self.DispositionCode}


class ItemModification(BaseModel):
    """PUT /Actions/{ActionId}/Items/{Sku}: what is left of an item; quantity 0 returns it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"anyOf": [{"required": ["Quantity"]}, {"required": ["Amount"]}]}
    )

    Reason: Annotated[ReasonText, Field(examples=[_USUAL])] = _USUAL
    Quantity: QuantityText | None = None
    Amount: AmountText | None = None
    ItemName: ItemNameText | None = None
    Rebate: RebateText | None = None

    @model_validator(mode="after")
    def _asks(self) -> "ItemModification":
        if self.Quantity is None and self.Amount is None:
            raise ValueError("Give Quantity or Amount.")
        return self

    def columns(self, action_id: str, sku: str) -> dict[str, str]:
        """The line that asks for it."""
        given = _kept(self.model_dump(exclude={"Reason"}, exclude_none=True))
        return {"ActionId": action_id, "Sku": sku, "Quantity": "", "Amount": "", **given, "Reason": self.Reason}


def _kept(given: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name.rstrip("0123456789") not in _NOT_KEPT}


class Conversion(BaseModel):
    """POST /Conversions: an action that was tracked elsewhere."""

    model_config = ConfigDict(extra="forbid")

    CampaignId: NumberText
    ActionTrackerId: Annotated[NumberText, Field(examples=["16027"])]
    MediaPartnerId: Annotated[NumberText, Field(examples=["501"])]
    OrderId: OrderIdText
    EventDate: Annotated[
        str, Field(pattern=f"^NOW$|{DATE}", description="ISO 8601, or NOW.", examples=["2027-01-15T10:00:00-05:00"])
    ]
    Amount: Annotated[str, Field(pattern=_AMOUNT, examples=["120.00"])]
    CurrencyCode: Annotated[CurrencyText | None, Field(description="By default the account's.")] = None
    CustomerStatus: StatusText | None = None
    ActionId: Annotated[ActionIdText | None, Field(description="By default made of event type and order.")] = None
