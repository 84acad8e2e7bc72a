"""What a line says of items and what that makes of an action, as plainly as can be: the item part of the oracle.

* A line that names items modifies them, unless its reason approves or resets the action as a whole.
* An item is returned by a quantity of 0, by an amount of 0 unless 0 is what was tracked, by a reason that reverses, and
  by a file that has nothing but ids, items and reasons. Otherwise its new amount has to be given.
* Whoever returns all items reverses the action; its items stay as they were, so that an approval gives them back.
* A returned item of a reversed action can be returned again; any other line that modifies it is refused.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.oracle_text import EXPONENTS, Line

FIELDS = ("sku", "category", "quantity", "amount")


@dataclass(frozen=True)
class Item:
    """An item of an action as it stands, and as it was tracked."""

    sku: str
    category: str
    quantity: int
    amount: Decimal
    tracked: tuple[int, Decimal]

    def back(self) -> "Item":
        """As it was tracked."""
        return replace(self, quantity=self.tracked[0], amount=self.tracked[1])


@dataclass(frozen=True)
class Named:
    """An item as a line names it."""

    sku: str
    category: str
    quantity: str
    amount: str

    def worth(self) -> Decimal | None:
        """The amount, None where the line gives none."""
        return Decimal(self.amount) if self.amount else None

    def returns(self, item: Item | None = None) -> bool:
        """Whether quantity or amount return it."""
        kept_at_nothing = item is not None and item.tracked[1] == 0
        return (self.quantity != "" and int(self.quantity) == 0) or (self.worth() == 0 and not kept_at_nothing)


def numbers(columns: tuple[str, ...]) -> list[int]:
    """The numbers of the items that a file has columns for."""
    return sorted(int(column[3:]) for column in columns if re.fullmatch("sku[0-9]+", column))


def named(line: Line, columns: tuple[str, ...]) -> list[Named]:
    """The items of a line."""
    found = [Named(*(line.get(f"{field}{number}") for field in FIELDS)) for number in numbers(columns)]
    return [one for one in found if one != Named("", "", "", "")]


def has_values(columns: tuple[str, ...]) -> bool:
    """Whether a file can say what an item becomes."""
    return any(column.startswith(("quantity", "amount")) for column in columns)


def amount_fault(items: list[Named], currency: str, largest: int) -> str | None:
    """What is wrong with the amounts in a currency."""
    minor = [worth.scaleb(EXPONENTS[currency]) for one in items if (worth := one.worth()) is not None]
    if any(one != one.to_integral_value() for one in minor):
        return "AMOUNT_MALFORMED"
    return "AMOUNT_TOO_LARGE" if any(one > largest for one in minor) else None


def after(items: list[Item], asked: list[Named], amounts: list[Decimal | None], *, returning: bool) -> list[Item] | str:
    """The items after a line, ``amounts`` being those of ``asked`` in the action's currency, or why there are none."""
    new = {one.sku: one for one in items}
    for one, amount in zip(asked, amounts, strict=True):
        item = new[one.sku]
        if returning or one.returns(item):
            new[one.sku] = replace(item, quantity=0, amount=Decimal(0))
        elif not one.quantity and item.quantity == 0 and amount:
            return "QUANTITY_NEEDED"
        else:
            quantity = int(one.quantity) if one.quantity else item.quantity
            new[one.sku] = replace(item, quantity=quantity, amount=item.amount if amount is None else amount)
    return list(new.values())
