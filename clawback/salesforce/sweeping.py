"""Looks up the orders of actions that lock soon: what polling has missed, for whatever reason, is found in time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from clawback.salesforce.checking import Unread
from clawback.salesforce.orders import counts
from clawback.salesforce.reading import Reader
from connectors.salesforce_org import Org
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import Mapping_
from processing import observed
from processing.open_actions import locking_until

_STATE: Final = {"approve": "APPROVED", "reverse": "REVERSED"}


@dataclass(frozen=True, slots=True)
class Swept:
    """What a look-up found: orders without a record, and actions that have another state than was asked for them.

    ``gone`` is how many records were there before and cannot be seen any more.
    """

    orders: int
    missing: tuple[str, ...]
    gone: int
    drifted: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """As JSON shows it."""
        parts = {"orders": self.orders, "missing": len(self.missing), "gone": self.gone}
        return parts | {"drifted": list(self.drifted)}


def sweep(
    reader: Reader,
    org: Org,
    mapping: Mapping_,
    refused: Mapping[str, Unread],
    *,
    until: datetime,
    at: datetime,
) -> Swept:
    """Read the records of all orders whose open actions lock by ``until``, and those that were of these orders before.

    A manual decision in the ledger is left alone and told as drift: the record says nothing new. Raises what a mapping
    was ``refused`` for that would have to be read, too.
    """
    source = reader.settings.name
    server_now = org.server_time()
    with reader.store.read() as db:
        actions = locking_until(db, reader.settings.account, mapping.event_type, until)
    orders = list(dict.fromkeys(one.order_id for one in actions))
    found, there = Counter[str](), set[str]()
    for page in org.with_orders(mapping, orders):
        reader.take(mapping, page, at)
        found.update(record.state.order_id for record in page if record.state.order_id)
        there.update(record.id for record in page)
    gone = _look_for(reader, org, mapping, orders, there, at)
    _look_for_heirs(reader, org, mapping, refused, orders, at)
    reader.ask_once_more(mapping, orders, at)
    with reader.store.write() as db:
        reader.fence(db)
        cursor = observed.cursor(db, source, mapping.name)
        if cursor is not None:
            swept_to = max((one.id for one in actions), default=0)
            swept = replace(cursor, swept_at=min(server_now, at), swept_to=swept_to)
            observed.keep_cursor(db, source, mapping.name, swept)
    missing = tuple(order for order in orders if not found[order])
    return Swept(len(orders), missing, gone, tuple(_drifted(reader, mapping, actions)))


def is_due(reader: Reader, mapping: Mapping_, at: datetime, *, polls: bool = True) -> bool:
    """Whether the last look-up is long enough ago.

    Of a mapping that was never polled nobody knows when that was; it waits while no ``polls`` are made.
    """
    with reader.store.read() as db:
        cursor = observed.cursor(db, reader.settings.name, mapping.name)
    if cursor is None:
        return polls
    if cursor.swept_at is None:
        return True
    return at - cursor.swept_at >= timedelta(seconds=reader.settings.sweep_every_s)


def _look_for(reader: Reader, org: Org, mapping: Mapping_, orders: list[str], there: set[str], at: datetime) -> int:
    """Read the records that spoke for these orders and were not found by them; gives how many are gone."""
    with reader.store.read() as db:
        known = observed.with_orders(db, reader.settings.name, mapping.name, orders)
    missed = {one.record: one for one in known if one.record not in there and counts(State(**one.state))}
    for page in org.with_ids(mapping, list(missed)):
        reader.take(mapping, page, at)
        for record in page:
            missed.pop(record.id, None)
    gone = [Record(name, one.stamp, State(**{**one.state, "gone": True})) for name, one in missed.items()]
    if gone:
        reader.take(mapping, gone, at)
    return len(gone)


def _look_for_heirs(
    reader: Reader,
    org: Org,
    mapping: Mapping_,
    refused: Mapping[str, Unread],
    orders: list[str],
    at: datetime,
) -> None:
    """Find out for records of these orders that became others whether a record still speaks for the order."""
    source = reader.settings.name
    with reader.store.read() as db:
        known = observed.with_orders(db, source, mapping.name, orders)
    became = {one.record: one for one in known if one.state["follows"] is not None}
    if not became:
        return
    # The first characters of an id tell its object; a query by ids of another one is refused.
    merged = [one.state["follows"] for one in became.values() if one.state["follows"][:3] == one.record[:3]]
    converted = [one.state["follows"] for one in became.values() if one.state["follows"][:3] != one.record[:3]]
    heirs = reader.settings.heirs_of(mapping)
    for its, ids in ((mapping, merged), *((one, converted) for one in heirs)):
        if ids and its.name in refused:
            raise refused[its.name]
        for page in org.with_ids(its, list(dict.fromkeys(ids))):
            reader.take(its, page, at)
    taken_over = {one.order_id for one in became.values() if one.order_id}
    with reader.store.read() as db:
        speaking = {
            one.order_id
            for its in reader.settings.about_same(mapping)
            for one in observed.with_orders(db, source, its.name, taken_over)
            if counts(State(**one.state))
        }
    found = [
        Record(one.record, one.stamp, State(**{**one.state, "heirless": one.order_id not in speaking}))
        for one in became.values()
    ]
    if changed := [one for one in found if one.state.told() != became[one.id].state]:
        reader.take(mapping, changed, at)


def _drifted(reader: Reader, mapping: Mapping_, actions: list[Row[tuple[int, str, int, str]]]) -> list[str]:
    states = {one.order_id: one.state for one in actions}
    with reader.store.read() as db:
        known = observed.with_orders(db, reader.settings.name, mapping.name, states)
        undelivered = {one.record for one in observed.due(db, reader.settings.name)}
    drifted = []
    for one in known:
        wanted = _STATE.get((one.asked or {}).get("outcome", ""))
        if wanted and one.order_id and one.record not in undelivered and states[one.order_id] != wanted:
            drifted.append(one.order_id)
    return sorted(drifted)


def horizon(reader: Reader, at: datetime) -> datetime:
    """Until when actions have to lock to be looked up."""
    return at + timedelta(seconds=reader.settings.sweep_before_s)
