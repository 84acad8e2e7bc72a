"""The standard reason codes every account may send; an event type's disposition codes come on top.

What each may be used for: reference of the platform that this re-implements, reasons of updates and of reversals.
"""

from typing import Final

RESET: Final = "RESET"

FOR_MODIFICATIONS_ONLY: Final = frozenset({"ORDER_UPDATE", "PARTNER_NOT_ACTIVE"})
FOR_REVERSALS_ONLY: Final = frozenset({"CONS_INFO_INVALID", "MP_RETURNED", "REJECTED"})
FOR_BOTH: Final = frozenset(
    {
        "ADV_ACT_DISPUTE",
        "CONS_ERROR",
        "CONS_FRAUD",
        "CREDITED_DIFFERENT_MP",
        "ITEM_OUT_OF_STOCK",
        "ITEM_RETURNED",
        "NOT_COMPLIANCE_TERMS",
        "ORDER_ERROR",
        "OTHER",
        "PUB_ACT_DISPUTE",
        "TEST_ACTION",
    }
)
STANDARD_REASONS: Final = FOR_MODIFICATIONS_ONLY | FOR_REVERSALS_ONLY | FOR_BOTH | {RESET}
