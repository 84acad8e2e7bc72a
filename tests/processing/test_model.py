from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest

from processing.model import Basis as Kind
from processing.model import Change, EventType, Level, SameOrder, State


def test_an_event_type_takes_the_newest_unless_told_otherwise() -> None:
    """Holding lines of ambiguous orders is the brand's choice."""
    kind = EventType(1, "Sale", Level.ORDER, Kind.SALE, {"PAY": Change.APPROVE})
    assert kind.same_order is SameOrder.NEWEST
    assert kind == EventType(1, "Sale", Level.ORDER, Kind.SALE, {"PAY": Change.APPROVE}, SameOrder.NEWEST)
    assert hash(kind) == hash(EventType(1, "Sale", Level.ORDER, Kind.SALE, {}))


def test_a_catalogue_does_not_change_under_its_reader() -> None:
    """Values are frozen."""
    kind = cast("Any", EventType(1, "Sale", Level.ORDER, Kind.SALE, {}))
    with pytest.raises(FrozenInstanceError):
        kind.name = "Lead"


def test_the_words_of_the_store_are_those_of_the_design() -> None:
    """State and change are kept as texts."""
    assert [*State] == ["PENDING", "APPROVED", "REVERSED"]
    assert [*Change] == ["modify", "reverse", "approve", "reset", "restore", "undo"]
