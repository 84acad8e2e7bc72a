"""Compares a page of records with what they said before, and writes down what has changed; one transaction."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.salesforce.asking import UNKNOWN, Answer, Asked, answers
from clawback.salesforce.orders import (
    Orders,
    Voice,
    counts,
    forgotten,
    hold_back,
    look_up_fates,
    orders_of,
    several,
    take_over,
)
from clawback.salesforce.tally import Tally, add, count
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import observed, observed_fates, org_claims
from processing.instants import instant
from processing.observed import Observation, Seen
from processing.observed_fates import Fate
from processing.open_actions import locks_passed
from processing.store import Store
from schemas.chunk import quoted
from schemas.contract import LONGEST_ORDER_ID


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

    def ask_once_more(self, mapping: Mapping_, orders: Iterable[str], at: datetime) -> None:
        """Ask again what was asked of these orders before their actions were there, and was given up meanwhile."""
        # Of most orders nothing was in vain, and to find that out takes long when many lock at once.
        with self.store.read() as db:
            unmet = _unmet(db, self.settings.name, mapping, orders)
        if not unmet:
            return
        with self.store.write() as db:
            self.fence(db)
            counted = once_more(db, self.settings, mapping, {one.order_id for one in unmet if one.order_id}, at)
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
    orders = orders_of(db, settings, mapping, newest)
    held_back = hold_back(db, source, orders)
    tally.changed, tally.held = -len(held_back), len(held_back)
    tally.holds.update(held_back.values())
    if mine := {one.record for one in held_back if one.mapping == mapping.name}:
        before |= observed.seen(db, source, mapping.name, mine & before.keys())
        kept = [replace(one, asked=before[one.record].asked) if one.record in mine else one for one in kept]
    look_up_fates(db, source, orders, differing)
    judge = _Judge(mapping, orders, _unproven(db, settings, mapping, differing, at, {}))
    returned = _returned(db, source, mapping, differing, before)
    for one in differing:
        known = before.get(one.id)
        found = judge.answered(one, known, returned=one.id in returned)
        asked = found[-1].asked if found else None
        kept.append(
            Seen(one.id, one.stamp, one.state.order_id, one.state.told(), None if asked is None else asked.told())
        )
        changes += _observations(one, known, found, mapping)
        count(tally, found)
    observed.keep_seen(db, source, mapping.name, kept)
    take_over(db, source, judge.taken_over)
    asked_nothing = {name for name, known in before.items() if known.asked is None}
    now = {one.id: one.state.order_id for one in differing}
    observed.end_holds(db, source, mapping.name, now, at, everywhere=asked_nothing)
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
        # A hold outlives what is known of its record when the mapping is about other actions now.
        names = dict.fromkeys(one.record for one in observed.held(db, settings.name, mapping.name))
        known = observed.seen(db, settings.name, mapping.name, names)
        parts = [{name: known[name] for name in names if name in known}]
    tally = Tally()
    for some in parts:
        add(tally, _judge_anew(db, settings, mapping, some, at))
    return tally


def once_more(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, orders: Iterable[str], at: datetime
) -> Tally:
    """Ask again for records of orders whose lines waited in vain for actions that are there now."""
    unmet = {one.record: forgotten(one) for one in _unmet(db, settings.name, mapping, orders)}
    observed.keep_seen(db, settings.name, mapping.name, unmet.values())
    return _judge_anew(db, settings, mapping, unmet, at, may_hold=True)


def _unmet(db: Connection, source: str, mapping: Mapping_, orders: Iterable[str]) -> list[Seen]:
    """The records of these orders whose lines waited in vain for their actions, but for those that are held since."""
    known = {one.record: one for one in observed.with_orders(db, source, mapping.name, orders)}
    asked = {name: one.order_id for name, one in known.items() if one.order_id and one.asked is not None}
    found = observed_fates.fates(db, source, mapping.name, asked)
    unmet = [name for name, fate in found.items() if fate is Fate.UNMET]
    held = {one.record for one in observed.held(db, source, mapping.name, unmet)}
    return [known[name] for name in unmet if name not in held]


def compare_anew(db: Connection, source: str, mapping: str, unknown: Collection[str]) -> None:
    """Read all records of a mapping again, and take none for unchanged: it is another mapping by which they are read.

    What was asked for those that are ``unknown`` is not known any more.
    """
    observed.forget_cursor(db, source, mapping)
    for some in observed.every(db, source, mapping):
        anew = [replace(one, state=one.state | {"matches": None}) for one in some.values()]
        observed.keep_seen(db, source, mapping, [forgotten(one) if one.record in unknown else one for one in anew])


def otherwise(db: Connection, settings: SalesforceSettings, mapping: Mapping_, at: datetime) -> Tally:
    """What ``again`` would come to for every record; nothing is written."""
    tally = Tally()
    for some in observed.every(db, settings.name, mapping.name):
        add(tally, _judged_anew(db, settings, mapping, some, at)[0])
    return tally


def _judge_anew(
    db: Connection,
    settings: SalesforceSettings,
    mapping: Mapping_,
    before: Mapping[str, Seen],
    at: datetime,
    *,
    may_hold: bool = False,
) -> Tally:
    tally, kept, changes, taken_over = _judged_anew(db, settings, mapping, before, at, may_hold=may_hold)
    take_over(db, settings.name, taken_over)
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
    """Judge records anew to which others left an order: those held with them, and those that do not speak for it.

    What a deleted record asks was not asked while another had the word.
    """
    names, orders, tally = set[str](), set[str](), Tally()
    for one in differing:
        names.add(one.id)
        known = before.get(one.id)
        if known is None or known.order_id is None or not counts(State(**known.state)):
            continue
        if one.state.order_id != known.order_id or not counts(one.state):
            orders.add(known.order_id)
    for its in settings.about_same(mapping) if orders else ():
        others = {one.record: one for one in observed.with_orders(db, settings.name, its.name, orders)}
        held = {one.record for one in observed.held(db, settings.name, its.name, others)}
        silent = {name for name, one in others.items() if not counts(State(**one.state))}
        freed = (others.keys() & held | silent) - (names if its.name == mapping.name else set())
        add(tally, _judge_anew(db, settings, its, {name: others[name] for name in freed}, at))
    return tally


def _judged_anew(
    db: Connection,
    settings: SalesforceSettings,
    mapping: Mapping_,
    before: Mapping[str, Seen],
    at: datetime,
    *,
    may_hold: bool = False,
) -> tuple[Tally, list[Seen], list[Observation], list[Voice]]:
    tally, kept, changes = Tally(read=len(before)), list[Seen](), list[Observation]()
    records = {name: Record(name, known.stamp, State(**known.state)) for name, known in before.items()}
    holds = _holds(db, settings.name, mapping, before)
    read_at = {name: instant(one.observed_at) for name, one in holds.items()}
    late = _unproven(db, settings, mapping, list(records.values()), at, read_at)
    orders = orders_of(db, settings, mapping, records)
    look_up_fates(db, settings.name, orders, records.values())
    judge = _Judge(mapping, orders, late)
    left = observed.left(db, settings.name, mapping.name, before)
    for name, known in before.items():
        found = [] if name in left else judge.answered(records[name], known)
        count(tally, found)
        if name in left or (not may_hold and any(one.held for one in found)):
            continue
        asked = found[-1].asked if found else None
        kept.append(Seen(name, known.stamp, known.order_id, known.state, None if asked is None else asked.told()))
        # What it was held for stands, whatever has touched the record since.
        said = records[name] if name not in holds else replace(records[name], stamp=instant(holds[name].stamp))
        changes += _observations(said, known, found, mapping, read_at.get(name))
    return tally, kept, changes, judge.taken_over


def _holds(db: Connection, source: str, mapping: Mapping_, before: Mapping[str, Seen]) -> dict[str, Row[Any]]:
    """The holds of records for their orders: when they were found to say what they say, and stamped by then."""
    found = observed.held(db, source, mapping.name, before)
    return {one.record: one for one in found if one.order_id == before[one.record].order_id}


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


@dataclass(frozen=True, slots=True)
class _Judge:
    """What records of a mapping ask, given who else speaks for their orders, and of which orders no stamp tells.

    ``taken_over`` gathers the others for which something else was asked before.
    """

    mapping: Mapping_
    orders: Orders
    late: Collection[str]
    taken_over: list[Voice] = field(default_factory=list)

    def answered(self, one: Record, known: Seen | None, *, returned: bool = False) -> list[Answer]:
        asked = Asked(**known.asked) if known is not None and known.asked is not None else None
        order, voice = one.state.order_id or "", Voice(self.mapping.name, one.id)
        others_asked = self.orders.others_asked(order, voice) if counts(one.state) else set()
        is_done = asked is None or asked.order_id != order or self.orders.is_done(voice)
        if asked is not None and asked.order_id == order:
            asked = self.orders.known(asked, voice, others_asked)
        found = list(answers(asked, one.state, self.mapping, returned=returned or bool(others_asked)))
        if not is_done and any(answer.lines for answer in found):
            # How much the ledger will have of what was asked before, nobody knows yet.
            found = list(answers(Asked(order, UNKNOWN), one.state, self.mapping))
        if asked is not None and asked.order_id != order:
            asked = None
        if not counts(one.state) and self.orders.others_speak(order, voice):
            # Whoever speaks for the order has the word.
            unknown = None if asked is None else Asked(order, UNKNOWN)
            return [Answer(answer.order_id, asked=unknown) if answer.lines else answer for answer in found]
        why = self._doubt(one, order, voice)
        if why is None:
            if found and found[-1].lines:
                self.taken_over.extend(others_asked)
            return found
        return [Answer(answer.order_id, held=why, asked=asked) if answer.lines else answer for answer in found]

    def _doubt(self, one: Record, order: str, voice: Voice) -> str | None:
        """Why a person has to decide, whatever the record says."""
        if (why := _too_odd(order)) is not None:
            return why
        if counts(one.state) and (rivals := self.orders.rivals(order, voice)):
            return several(order, {one.id, *rivals})
        if order in self.late:
            return (
                f"{' and '.join(self.mapping.of_parents)} of order {order!r} was read only after the lock, and no "
                "stamp tells whether it was so before. Decide on the action, then leave the record."
            )
        return None


def _too_odd(order: str) -> str | None:
    """Why a line with this order number would be rejected, where nobody looks for it."""
    if len(order) > LONGEST_ORDER_ID:
        return f"The order number {quoted(order)} has more than {LONGEST_ORDER_ID} characters."
    return None if order == order.strip() else f"The order number {quoted(order)} begins or ends with a blank."


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


def _unproven(
    db: Connection,
    settings: SalesforceSettings,
    mapping: Mapping_,
    records: list[Record],
    at: datetime,
    read_at: Mapping[str, datetime],
) -> Collection[str]:
    """The orders whose lock has passed and waits, where no stamp can tell what was so before it.

    Not those of which a record said by then what it says now, ``read_at`` some instant before ``at``.
    """
    if settings.on_stale != "hold" or not mapping.of_parents:
        return ()
    orders = {one.id: one.state.order_id for one in records if one.state.order_id}
    passed = locks_passed(db, settings.account, mapping.event_type, orders.values(), at)
    return {order for one, order in orders.items() if order in passed and read_at.get(one, at) >= passed[order]}


def _observations(
    one: Record, known: Seen | None, found: list[Answer], mapping: Mapping_, read_at: datetime | None = None
) -> list[Observation]:
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
            read_at=read_at,
        )
        for answer in found
        if answer.lines or answer.held
    ]


def _said(state: State) -> str | None:
    return _GONE if state.gone else _DELETED if state.deleted else state.status


_DELETED: Final = "(deleted)"
_GONE: Final = "(gone)"
