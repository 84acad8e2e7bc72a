"""Resources as the API shows them: the documented fields, from what the store knows; empty where it knows nothing."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Row

from clawback.web.representation import address
from processing import catalog
from processing.action_items import ActionItem
from processing.catalog import Terms
from processing.instants import instant
from processing.model import Level
from processing.money import exponent, to_text
from processing.pages import Keys
from processing.update_pages import TRACKED

# What is tracked elsewhere and not kept here.
_UNKNOWN_ACTION: Final = {
    "ReferringType": "",
    "ReferringDomain": "",
    "PromoCode": "",
}
_UNKNOWN_CUSTOMER: Final = {
    "CustomerPostCode": "",
    "CustomerArea": "",
    "CustomerCity": "",
    "CustomerRegion": "",
    "CustomerCountry": "",
    "IpAddress": "",
    "SharedId": "",
    "CallerId": "",
    "Note": "",
}
_UNKNOWN_UPDATE: Final = {
    "CatalogName": "",
    "CatalogCategory": "",
    "CatalogDescription": "",
    "CatalogManufacturer": "",
    "CatalogOriginalFormatCategory": "",
    "CatalogSubCategory": "",
}
_DISPOSITION: Final = {TRACKED: "IR_BLANK"}


@dataclass(frozen=True, slots=True)
class Shaper:
    """Shapes an account's resources: its names, its time zone, the day on which it asks, and the form it asks for."""

    terms: Terms
    programs: dict[int, str]
    today: date
    suffix: str

    @classmethod
    def of(cls, db: Connection, sid: str, at: datetime, suffix: str = ".json") -> "Shaper":
        """The shaper of an account at an instant; raises NotFound."""
        terms = catalog.read_terms(db, sid)
        return cls(terms, catalog.programs(db, terms.account_id), at.astimezone(terms.zone).date(), suffix)

    @property
    def base(self) -> str:
        """The path of the account's resources."""
        return f"/Advertisers/{self.terms.sid}"

    def action(self, row: Row[Any]) -> dict[str, Any]:
        """An Action."""
        payout, amount = self.money(row.payout, row), self.money(row.amount, row)
        return {
            "Id": row.action_id,
            "CampaignId": row.program_id,
            "CampaignName": self.programs.get(row.program_id, ""),
            "ActionTrackerId": row.event_type_id,
            "ActionTrackerName": self._event_type(row.event_type_id),
            "EventCode": "",
            "MediaPartnerId": row.partner_id,
            "MediaPartnerName": self.terms.partners.get(row.partner_id, ""),
            "State": row.state,
            "AdId": 0,
            "ClientCost": payout,
            "Payout": payout,
            "DeltaPayout": payout if row.payout_moved is None else self.money(row.payout_moved, row),
            "IntendedPayout": self.money(row.tracked_payout, row),
            "Amount": amount,
            "DeltaAmount": amount if row.amount_moved is None else self.money(row.amount_moved, row),
            "IntendedAmount": self.money(row.tracked_amount, row),
            "Currency": row.currency,
            "ReferringDate": "",
            "EventDate": self.when(row.event_at),
            "CreationDate": self.when(row.created_at),
            "LockingDate": self.when(row.locks_at),
            "ClearedDate": self._cleared(row.clears_on),
            **_UNKNOWN_ACTION,
            "Oid": row.order_id or "",
            "CustomerId": "",
            "CustomerStatus": row.customer_status or "",
            **_UNKNOWN_CUSTOMER,
            "Uri": self._action_uri(row),
        }

    def item(self, row: Row[Any], one: ActionItem) -> dict[str, Any]:
        """An ActionItem of an action."""
        return {
            "Sku": one.sku,
            "ItemName": "",
            "Category": one.category or "",
            "Quantity": str(one.quantity),
            "SaleAmount": to_text(one.amount, row.currency),
            "SaleAmountCurrency": row.currency,
            "Payout": self.money(one.payout, row),
            "PayoutCurrency": row.currency,
            "Rebate": Decimal(0),
            "RebateCurrency": row.currency,
            "AdjustmentDate": self.when(one.changed_at),
            "AdjustmentReason": one.reason or "",
            # A SKU may hold any letter, also one that divides a path.
            "Uri": address(f"{self.base}/Actions/{row.action_id}/Items/{quote(one.sku, safe='')}", self.suffix),
        }

    def update(self, row: Row[Any]) -> dict[str, Any]:
        """An ActionUpdate."""
        uri = f"{self.base}/ActionUpdates/{row.action_id}.{row.serial}"
        return {
            "Id": f"{row.action_id}.{row.serial}",
            "ActionId": row.action_id,
            "CampaignId": row.program_id,
            "ActionTrackerId": row.event_type_id,
            "EventTypeId": str(row.event_type_id),
            "EventTypeName": self._event_type(row.event_type_id),
            "EventCode": "",
            "MediaPartnerId": row.partner_id,
            "State": row.state_after,
            "StateDetail": "",
            "StateDetailDescription": "",
            "AdId": 0,
            "Disposition": _DISPOSITION.get(row.change, row.reason),
            "DeltaPayout": self.money(row.payout_moved, row),
            "DeltaAmount": self.money(row.amount_moved, row),
            "Currency": row.currency,
            "Category": row.category or "",
            "Sku": row.sku or "",
            "Quantity": "" if row.quantity is None else str(row.quantity),
            **_UNKNOWN_UPDATE,
            "PayoutLevel": self._level(row.event_type_id),
            "DefaultPayoutRate": "",
            "ContractId": f"S-{row.contract_id}",
            "UpdateDate": self.when(row.updated_at),
            "LockingDate": self.when(row.locks_at),
            "ClearingDate": self._day(row.clears_on),
            "ActionDate": self.when(row.event_at),
            "Oid": row.order_id or "",
            "CustomerId": "",
            "CustomerStatus": row.status_after or "",
            "SharedId": "",
            "ActionUri": self._action_uri(row),
            "Uri": uri,
        }

    def when(self, number: int | None) -> str:
        """An instant of the store in the account's time zone, to the second; nothing for none."""
        return "" if number is None else self.moment(instant(number))

    def moment(self, moment: datetime) -> str:
        """An instant in the account's time zone, to the second."""
        return moment.astimezone(self.terms.zone).isoformat(timespec="seconds")

    def money(self, minor: int, row: Row[Any]) -> Decimal:
        """An amount in the currency of its action."""
        return Decimal(minor).scaleb(-exponent(row.currency))

    def _action_uri(self, row: Row[Any]) -> str:
        return address(f"{self.base}/Actions/{row.action_id}", self.suffix)

    def _event_type(self, number: int) -> str:
        kind = self.terms.event_types.get(number)
        return "" if kind is None else kind.name

    def _level(self, number: int) -> str:
        kind = self.terms.event_types.get(number)
        return "ITEM" if kind is not None and kind.level is Level.ITEM else "ORDER"

    def _cleared(self, day: date | None) -> str:
        return "" if day is None or day > self.today else self._day(day)

    def _day(self, day: date | None) -> str:
        """A date of the calendar in the form of all others, which programs read: when it begins."""
        return "" if day is None else self.moment(datetime.combine(day, time(), self.terms.zone))


def action_keys(row: Row[Any]) -> Keys:
    """Where an action stands in its list."""
    return row.created_at, row.id


def update_keys(row: Row[Any]) -> Keys:
    """Where an update stands in its list."""
    return row.updated_at, row.number
