from processing.reasons import RESET, STANDARD_REASONS


def test_the_standard_reasons_are_those_a_file_may_send() -> None:
    """The reference's list without those that the system sets itself, and without APPROVED, which an account adds."""
    assert {
        *("ADV_ACT_DISPUTE", "CONS_ERROR", "CONS_FRAUD", "CONS_INFO_INVALID", "CREDITED_DIFFERENT_MP"),
        *("ITEM_OUT_OF_STOCK", "ITEM_RETURNED", "MP_RETURNED", "NOT_COMPLIANCE_TERMS", "ORDER_ERROR", "ORDER_UPDATE"),
        *("OTHER", "PARTNER_NOT_ACTIVE", "PUB_ACT_DISPUTE", "REJECTED", "RESET", "TEST_ACTION"),
    } == STANDARD_REASONS
    assert RESET in STANDARD_REASONS
