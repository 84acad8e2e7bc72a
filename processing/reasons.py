"""The standard reason codes every account may send; an event type's disposition codes come on top."""

from typing import Final

RESET: Final = "RESET"

STANDARD_REASONS: Final = frozenset(
    {
        "ADV_ACT_DISPUTE",
        "CONS_ERROR",
        "CONS_FRAUD",
        "CONS_INFO_INVALID",
        "CREDITED_DIFFERENT_MP",
        "ITEM_OUT_OF_STOCK",
        "ITEM_RETURNED",
        "MP_RETURNED",
        "NOT_COMPLIANCE_TERMS",
        "ORDER_ERROR",
        "ORDER_UPDATE",
        "OTHER",
        "PARTNER_NOT_ACTIVE",
        "PUB_ACT_DISPUTE",
        "REJECTED",
        "TEST_ACTION",
        RESET,
    }
)
