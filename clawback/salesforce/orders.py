"""Who speaks for an order: its records, in all mappings that are about the same actions.

The ledger has one action for an order, whichever record speaks for it. So several records of an order are held, one
that takes an order over begins from what is not known, and one that speaks no more asks nothing while another does.
What was asked is known only if the ledger has done it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqlalchemy import Connection

from clawback.salesforce.asking import CHANGED, UNKNOWN, Asked
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import observed, observed_fates
from processing.observed import Seen
from processing.observed_fates import Fate


class Voice(NamedTuple):
    """A record as one mapping reads it."""

    mapping: str
    record: str


@dataclass(frozen=True, slots=True)
class Orders:
    """By order: the voices that speak for it now, and the outcome that was asked of its action for each.

    Whoever asks makes what was asked for the others UNKNOWN. ``fates`` tells of what was asked what became of it.
    """

    speaking: dict[str, set[Voice]] = field(default_factory=dict)
    asking: dict[str, dict[Voice, str]] = field(default_factory=dict)
    fates: dict[Voice, Fate] = field(default_factory=dict)

    def rivals(self, order: str, voice: Voice) -> set[str]:
        """The other records that speak for an order."""
        return {one.record for one in self.speaking.get(order, ())} - {voice.record}

    def others_speak(self, order: str, voice: Voice) -> bool:
        """Whether somebody else speaks for an order, be it the same record by another mapping."""
        return bool(self.speaking.get(order, set()) - {voice})

    def others_asked(self, order: str, voice: Voice) -> set[Voice]:
        """The others for which something was asked, unless they are known to have taken it back."""
        asking = self.asking.get(order, {})
        return {one for one, its in asking.items() if its in CHANGED or not self.is_done(one)} - {voice}

    def known(self, asked: Asked, voice: Voice, others: Iterable[Voice]) -> Asked:
        """What was asked for a voice, UNKNOWN if it was in vain, or something was asked for one of the others since."""
        is_last = all(self.asking[asked.order_id][other] == UNKNOWN for other in others)
        in_vain = self.fates.get(voice) is Fate.IN_VAIN
        return asked if is_last and not in_vain else Asked(asked.order_id, UNKNOWN)

    def is_done(self, voice: Voice) -> bool:
        """Whether the ledger has what was asked for a voice last."""
        return self.fates.get(voice, Fate.DONE) is Fate.DONE


def counts(state: State) -> bool:
    """Whether a record in this state speaks for its order."""
    return bool(state.matches) and not state.deleted and not state.gone and state.follows is None


def orders_of(db: Connection, settings: SalesforceSettings, mapping: Mapping_, newest: Mapping[str, Record]) -> Orders:
    """What is known of the orders that these records of a mapping have now; ``newest`` is what they say now."""
    found = Orders()
    wanted = {one.state.order_id for one in newest.values() if one.state.order_id}
    for its in settings.about_same(mapping):
        for known in observed.with_orders(db, settings.name, its.name, wanted):
            voice, order = Voice(its.name, known.record), known.order_id or ""
            is_newer = its.name == mapping.name and known.record in newest
            if not is_newer and counts(State(**known.state)):
                found.speaking.setdefault(order, set()).add(voice)
            if known.asked is not None and known.asked["order_id"] == order:
                found.asking.setdefault(order, {})[voice] = known.asked["outcome"]
    for one in newest.values():
        if one.state.order_id and counts(one.state):
            found.speaking.setdefault(one.state.order_id, set()).add(Voice(mapping.name, one.id))
    return found


def look_up_fates(db: Connection, source: str, orders: Orders, records: Iterable[Record]) -> None:
    """Find out what became of what was asked of the orders of these records, for whichever of them it was asked."""
    by_mapping: dict[str, dict[str, str]] = {}
    for order in {one.state.order_id for one in records if one.state.order_id}:
        for voice in orders.asking.get(order, ()):
            by_mapping.setdefault(voice.mapping, {})[voice.record] = order
    for mapping, asked in by_mapping.items():
        for record, fate in observed_fates.fates(db, source, mapping, asked).items():
            orders.fates[Voice(mapping, record)] = fate


def hold_back(db: Connection, source: str, orders: Orders) -> dict[Voice, str]:
    """Hold what records asked for an order that several have, unless it was delivered already; gives why."""
    why: dict[Voice, str] = {}
    for order, voices in orders.speaking.items():
        if len({one.record for one in voices}) < 2:
            continue
        because = several(order, (one.record for one in voices))
        for mapping in {one.mapping for one in voices}:
            names = {one.record for one in voices if one.mapping == mapping}
            held = observed.hold_back(db, source, mapping, order, names, because)
            why |= {Voice(mapping, name): because for name in held}
            # What was asked and delivered before is not known any more; else nothing was asked.
            delivered = observed.were_delivered(db, source, mapping, order, held)
            known = observed.seen(db, source, mapping, held).values()
            observed.keep_seen(
                db,
                source,
                mapping,
                [forgotten(one) if one.record in delivered else replace(one, asked=None) for one in known],
            )
    return why


def take_over(db: Connection, source: str, voices: Iterable[Voice]) -> None:
    """Forget what was asked for these: another record has asked something else of their order since."""
    for mapping, records in _by_mapping(voices).items():
        known = observed.seen(db, source, mapping, records).values()
        observed.keep_seen(db, source, mapping, [forgotten(one) for one in known])


def several(order: str, records: Iterable[str]) -> str:
    """Why an order with these records is held."""
    return f"Order {order!r} has several records: {', '.join(sorted(set(records)))}."


def forgotten(one: Seen) -> Seen:
    """The record, of which is not known any more what was asked for it."""
    return replace(one, asked=Asked(one.order_id or "", UNKNOWN).told())


def _by_mapping(voices: Iterable[Voice]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in voices:
        found.setdefault(one.mapping, []).append(one.record)
    return found
