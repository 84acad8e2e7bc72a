"""Compares a page of records with what they said before, and writes down what has changed; one transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from clawback.salesforce.asking import UNKNOWN, Answer, Asked, answers
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import observed, org_claims
from processing.observed import Observation, Seen
from processing.open_actions import locks_passed
from processing.store import Store


@dataclass(slots=True)
class Tally:
    """What reading came to: every record that was read is one of changed, unchanged, idle, held or stale."""

    read: int = 0
    changed: int = 0
    unchanged: int = 0
    # It says something else, and that asks nothing of the ledger.
    idle: int = 0
    held: int = 0
    stale: int = 0
    holds: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        """As JSON shows it."""
        parts = ("read", "changed", "unchanged", "idle", "held", "stale")
        return {name: getattr(self, name) for name in parts} | {"holds": dict(self.holds.most_common(20))}


@dataclass(frozen=True, slots=True)
class Reader:
    """Writes under the claim of one source; ``token`` is that claim's, and ``clock`` tells how long it holds."""

    store: Store
    settings: SalesforceSettings
    token: str
    clock: Callable[[], datetime]
    tally: Tally = field(default_factory=Tally)

    def take(self, mapping: Mapping_, records: list[Record], at: datetime) -> None:
        """Write down what a page of records tells; raises LedgerConflict when the claim is lost."""
        with self.store.write() as db:
            self.fence(db)
            counted = observe(db, self.settings, mapping, records, at)
        add(self.tally, counted)

    def fence(self, db: Connection) -> None:
        """Keep the claim from now on, however long the round takes; raises LedgerConflict when it is lost."""
        org_claims.fence(db, self.settings.name, self.token, self.clock())


def observe(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, records: Iterable[Record], at: datetime
) -> Tally:
    """Compare records with what they said before; only those that say something else leave a trace but their stamp."""
    source = settings.name
    newest = {one.id: one for one in records}
    before = observed.seen(db, source, mapping.name, newest)
    newest = {name: _with_heirs(one, before.get(name)) for name, one in newest.items()}
    tally, kept, changes = Tally(read=len(newest)), list[Seen](), list[Observation]()
    differing = [one for one in newest.values() if _differs(one, before.get(one.id), tally, kept)]
    rivals = _rivals(db, source, mapping, newest)
    held_back = _hold_back(db, source, mapping, rivals, newest)
    tally.changed, tally.held = -len(held_back), len(held_back)
    tally.holds.update(held_back.values())
    late = _unproven(db, settings, mapping, differing, at)
    returned = _returned(db, source, mapping, differing, before)
    for one in differing:
        known = before.get(one.id)
        held_or_lines = _answered(one, known, mapping, rivals, late, returned=one.id in returned)
        asked = held_or_lines[-1].asked if held_or_lines else None
        kept.append(
            Seen(one.id, one.stamp, one.state.order_id, one.state.told(), None if asked is None else asked.told())
        )
        changes += _observations(one, known, held_or_lines, mapping)
        _count(tally, held_or_lines)
    observed.keep_seen(db, source, mapping.name, kept)
    observed.end_holds(db, source, mapping.name, {one.id: one.state.order_id for one in differing}, at)
    observed.observe(db, source, mapping.name, changes, at)
    add(tally, _make_room(db, settings, mapping, before, differing, at))
    return tally


def again(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, at: datetime, *, everything: bool = False
) -> Tally:
    """Judge the records anew that are held, by today's settings and by what they said when they were read last.

    ``everything``: those as well that are not held. What a person let go stays so until it says something else, and
    none is held that was not.
    """
    if everything:
        parts: Iterable[dict[str, Seen]] = observed.every(db, settings.name, mapping.name)
    else:
        names = dict.fromkeys(one.record for one in observed.held(db, settings.name, mapping.name))
        known = observed.seen(db, settings.name, mapping.name, names)
        parts = [{name: known[name] for name in names}]
    tally = Tally()
    for some in parts:
        add(tally, _judge_anew(db, settings, mapping, some, at))
    return tally


def otherwise(db: Connection, settings: SalesforceSettings, mapping: Mapping_, at: datetime) -> Tally:
    """What ``again`` would come to for every record; nothing is written."""
    tally = Tally()
    for some in observed.every(db, settings.name, mapping.name):
        add(tally, _judged_anew(db, settings, mapping, some, at)[0])
    return tally


def _judge_anew(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, before: Mapping[str, Seen], at: datetime
) -> Tally:
    tally, kept, changes = _judged_anew(db, settings, mapping, before, at)
    observed.keep_seen(db, settings.name, mapping.name, kept)
    observed.end_holds(db, settings.name, mapping.name, {one.record: one.order_id for one in kept}, at)
    observed.observe(db, settings.name, mapping.name, changes, at)
    return tally


def _make_room(
    db: Connection,
    settings: SalesforceSettings,
    mapping: Mapping_,
    before: Mapping[str, Seen],
    differing: Iterable[Record],
    at: datetime,
) -> Tally:
    """Judge records anew that are held with others which say now that they speak for that order no more."""
    names, orders = set[str](), set[str]()
    for one in differing:
        names.add(one.id)
        known = before.get(one.id)
        if known is None or known.order_id is None or not counts(State(**known.state)):
            continue
        if one.state.order_id != known.order_id or not counts(one.state):
            orders.add(known.order_id)
    others = {one.record: one for one in observed.with_orders(db, settings.name, mapping.name, orders)}
    held = {one.record for one in observed.held(db, settings.name, mapping.name)} if others else set()
    freed = {name: others[name] for name in others.keys() & held - names}
    return _judge_anew(db, settings, mapping, freed, at)


def _judged_anew(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, before: Mapping[str, Seen], at: datetime
) -> tuple[Tally, list[Seen], list[Observation]]:
    tally, kept, changes = Tally(read=len(before)), list[Seen](), list[Observation]()
    records = {name: Record(name, known.stamp, State(**known.state)) for name, known in before.items()}
    rivals = _rivals(db, settings.name, mapping, records)
    late = _unproven(db, settings, mapping, list(records.values()), at)
    left = observed.left(db, settings.name, mapping.name, before)
    for name, known in before.items():
        found = [] if name in left else _answered(records[name], known, mapping, rivals, late)
        _count(tally, found)
        if name in left or any(one.held for one in found):
            continue
        asked = found[-1].asked if found else None
        kept.append(Seen(name, known.stamp, known.order_id, known.state, None if asked is None else asked.told()))
        changes += _observations(records[name], known, found, mapping)
    return tally, kept, changes


def _with_heirs(one: Record, known: Seen | None) -> Record:
    """A record that became another, with what was found of its heirs when somebody looked for them last."""
    if known is None or one.state.heirless is not None or one.state.follows != known.state["follows"]:
        return one
    return replace(one, state=replace(one.state, heirless=known.state.get("heirless")))


def _differs(one: Record, known: Seen | None, tally: Tally, kept: list[Seen]) -> bool:
    """Whether a record says something else than before; what has only been touched has a newer stamp to keep."""
    if known is None:
        return True
    if one.stamp < known.stamp:
        tally.stale += 1
        return False
    if one.state.told() != known.state:
        return True
    tally.unchanged += 1
    if one.stamp > known.stamp:
        kept.append(Seen(one.id, one.stamp, known.order_id, known.state, known.asked))
    return False


def _answered(
    one: Record,
    known: Seen | None,
    mapping: Mapping_,
    rivals: Mapping[str, set[str]],
    late: Collection[str],
    *,
    returned: bool = False,
) -> list[Answer]:
    asked = Asked(**known.asked) if known is not None and known.asked is not None else None
    found = list(answers(asked, one.state, mapping, returned=returned))
    order = one.state.order_id or ""
    others = rivals.get(order, set()) - {one.id}
    why = None
    if others and counts(one.state):
        why = _several(order, {one.id, *others})
    elif order in late:
        why = (
            f"{' and '.join(mapping.of_parents)} of order {order!r} was read only after the lock, and no stamp tells "
            "whether it was so before. Decide on the action, then leave the record."
        )
    # A record that is deleted asks nothing while another has its order.
    elif not (others and one.state.deleted):
        return found
    return [Answer(answer.order_id, held=why, asked=asked) if answer.lines else answer for answer in found]


def _returned(
    db: Connection, source: str, mapping: Mapping_, records: list[Record], before: Mapping[str, Seen]
) -> set[str]:
    """Of these records those that have come back to an order for which something was asked or held before."""
    orders = {
        one.id: one.state.order_id
        for one in records
        if one.state.order_id and one.id in before and before[one.id].order_id != one.state.order_id
    }
    return observed.were_of(db, source, mapping.name, orders)


def _rivals(db: Connection, source: str, mapping: Mapping_, newest: Mapping[str, Record]) -> dict[str, set[str]]:
    """The records of each order that these records have, or had when they were deleted; those of earlier pages too."""
    found: dict[str, set[str]] = {}
    for one in newest.values():
        if one.state.order_id and (counts(one.state) or one.state.deleted):
            found.setdefault(one.state.order_id, set()).update({one.id} if counts(one.state) else ())
    for known in observed.with_orders(db, source, mapping.name, found):
        if known.record not in newest and known.order_id and counts(State(**known.state)):
            found[known.order_id].add(known.record)
    return found


def _hold_back(
    db: Connection, source: str, mapping: Mapping_, rivals: Mapping[str, set[str]], newest: Mapping[str, Record]
) -> dict[str, str]:
    """Hold what records of earlier pages asked for an order that has another record, unless it was delivered already.

    Gives why, by record. What is asked for such an order is not known any more.
    """
    why: dict[str, str] = {}
    for order, names in rivals.items():
        if len(names) > 1 and (earlier := names - newest.keys()):
            held = observed.hold_back(db, source, mapping.name, order, earlier, _several(order, names))
            why |= dict.fromkeys(held, _several(order, names))
    unknown = [
        replace(known, asked=Asked(known.order_id or "", UNKNOWN).told())
        for known in observed.seen(db, source, mapping.name, why).values()
    ]
    observed.keep_seen(db, source, mapping.name, unknown)
    return why


def _several(order: str, records: Iterable[str]) -> str:
    return f"Order {order!r} has several records: {', '.join(sorted(records))}."


def _unproven(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, records: list[Record], at: datetime
) -> Collection[str]:
    """The orders whose lock has passed and waits, where no stamp can tell what was so before it."""
    if settings.on_stale != "hold" or not mapping.of_parents:
        return ()
    orders = [one.state.order_id for one in records if one.state.order_id]
    return locks_passed(db, settings.account, mapping.event_type, orders, at)


def counts(state: State) -> bool:
    """Whether a record in this state speaks for its order."""
    return state.matches and not state.deleted and not state.gone and state.follows is None


def _observations(one: Record, known: Seen | None, found: list[Answer], mapping: Mapping_) -> list[Observation]:
    return [
        Observation(
            record=one.id,
            order_id=answer.order_id,
            event_type=mapping.event_type,
            stamp=one.stamp,
            status_before=None if known is None else known.state["status"],
            status_after=_said(one.state),
            lines=tuple(line.told() for line in answer.lines),
            held=answer.held,
        )
        for answer in found
        if answer.lines or answer.held
    ]


def _said(state: State) -> str | None:
    return _GONE if state.gone else _DELETED if state.deleted else state.status


def _count(tally: Tally, found: list[Answer]) -> None:
    held = [answer.held for answer in found if answer.held]
    tally.held += bool(held)
    tally.changed += not held and any(answer.lines for answer in found)
    tally.idle += not held and not any(answer.lines for answer in found)
    tally.holds.update(held)


def add(tally: Tally, more: Tally) -> None:
    """Add what another part came to."""
    for name in ("read", "changed", "unchanged", "idle", "held", "stale"):
        setattr(tally, name, getattr(tally, name) + getattr(more, name))
    tally.holds.update(more.holds)


_DELETED: Final = "(deleted)"
_GONE: Final = "(gone)"
