"""Reads actions and their history."""

from typing import Any

from sqlalchemy import BigInteger, Connection, Row, cast, func, select

from processing.errors import NotFound
from processing.instants import instant
from processing.model import State
from processing.money import to_text
from processing.record_tables import unread_lock
from processing.tables import account, action, delivery, entry, item, item_entry, partner

_MONEY = ("amount", "payout")


def show(db: Connection, sid: str, action_id: str) -> dict[str, Any]:
    """One action with all its entries, oldest first; raises NotFound."""
    found = db.execute(_query().where(account.c.sid == sid, action.c.action_id == action_id)).one_or_none()
    if found is None:
        raise NotFound(f"Account {sid} has no action {action_id}.")
    told = {**_told(found), "locked_unread": _unread_feeds(db, found)}
    return {**told, "items": _items(db, found), "history": _entries(db, found)}


def listing(
    db: Connection, sid: str, *, state: State | None = None, order_id: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Actions of an account in the order they lock, without their history."""
    query = _query().where(account.c.sid == sid).order_by(action.c.locks_at, action.c.id).limit(limit)
    if state is not None:
        query = query.where(action.c.state == state.value)
    if order_id is not None:
        query = query.where(action.c.order_id == order_id)
    return [_told(found) for found in db.execute(query)]


def _query() -> Any:  # noqa: ANN401 - SQLAlchemy's type of a select with computed columns says nothing
    return (
        select(action, account.c.sid, partner.c.name.label("partner_name"))
        .join(account, account.c.id == action.c.account_id)
        .join(partner, (partner.c.account_id == action.c.account_id) & (partner.c.partner_id == action.c.partner_id))
    )


def _told(found: Row[Any]) -> dict[str, Any]:
    return {
        "action_id": found.action_id,
        "account": found.sid,
        "program": found.program_id,
        "event_type": found.event_type_id,
        "partner": {"id": found.partner_id, "name": found.partner_name},
        "order_id": found.order_id,
        "state": found.state,
        "locked": found.locked_at is not None,
        **_money(found, "{}"),
        "currency": found.currency,
        "customer_status": found.customer_status,
        # Every action is tracked as pending; the file of actions has no other state.
        "tracked": {**_money(found, "tracked_{}"), "state": State.PENDING.value},
        "event_at": instant(found.event_at).isoformat(),
        "locks_at": instant(found.locks_at).isoformat(),
        "clears_on": None if found.clears_on is None else found.clears_on.isoformat(),
    }


def _entries(db: Connection, found: Row[Any]) -> list[dict[str, Any]]:
    query = (
        select(entry, delivery.c.delivery, delivery.c.channel, delivery.c.sent_by, delivery.c.received_at)
        .join(delivery, delivery.c.id == entry.c.delivery_id)
        .where(entry.c.action_id == found.id)
        .order_by(entry.c.version)
    )
    changed = _changed_items(db, found)
    return [
        {
            "delivery": one.delivery,
            "line": one.line,
            "channel": one.channel,
            "by": one.sent_by,
            "received_at": instant(one.received_at).isoformat(),
            "change": one.change,
            "reason": one.reason,
            "before": _side(one, "before", found.currency),
            "after": _side(one, "after", found.currency),
            "items": changed.get((one.delivery_id, one.line), []),
        }
        for one in db.execute(query)
    ]


def _unread_feeds(db: Connection, found: Row[Any]) -> list[str]:
    """The feeds that had not been read when the action locked, though they may have had something to say of it."""
    query = select(unread_lock.c.channel).where(unread_lock.c.action_id == found.id).order_by(unread_lock.c.channel)
    return list(db.execute(query).scalars())


def _items(db: Connection, found: Row[Any]) -> list[dict[str, Any]]:
    """The items of an action; all are returned while it is reversed, whatever a later approval gives back."""
    gone = found.state == State.REVERSED
    return [
        {
            "sku": one.sku,
            "category": one.category,
            "quantity": 0 if gone else one.quantity,
            "amount": to_text(0 if gone else one.amount, found.currency),
            "tracked": {"quantity": one.tracked_quantity, "amount": to_text(one.tracked_amount, found.currency)},
        }
        for one in db.execute(item.select().where(item.c.action_id == found.id).order_by(item.c.position))
    ]


def _changed_items(db: Connection, found: Row[Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """What each entry changed of the action's items, by delivery and line."""
    query = (
        select(item_entry)
        .join(item, (item.c.action_id == item_entry.c.action_id) & (item.c.sku == item_entry.c.sku))
        .where(item_entry.c.action_id == found.id)
        .order_by(item.c.position)
    )
    changed: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in db.execute(query):
        sides = {
            side: {
                "quantity": getattr(one, f"quantity_{side}"),
                "amount": to_text(getattr(one, f"amount_{side}"), found.currency),
            }
            for side in ("before", "after")
        }
        changed.setdefault((one.delivery_id, one.line), []).append({"sku": one.sku, **sides})
    return changed


def _side(one: Row[Any], side: str, currency: str) -> dict[str, Any]:
    return {
        "state": getattr(one, f"state_{side}"),
        "amount": to_text(getattr(one, f"amount_{side}"), currency),
        "payout": to_text(getattr(one, f"payout_{side}"), currency),
        "customer_status": getattr(one, f"status_{side}"),
    }


def _money(found: Row[Any], name: str) -> dict[str, str]:
    return {one: to_text(getattr(found, name.format(one)), found.currency) for one in _MONEY}


def totals(db: Connection, sid: str) -> dict[str, dict[str, dict[str, Any]]]:
    """How many actions an account has and what they are worth, by currency and state."""
    query = (
        select(
            action.c.currency,
            action.c.state,
            func.count().label("actions"),
            *(cast(func.sum(action.c[name]), BigInteger).label(name) for name in _MONEY),
        )
        .join(account, account.c.id == action.c.account_id)
        .where(account.c.sid == sid)
        .group_by(action.c.currency, action.c.state)
        .order_by(action.c.currency, action.c.state)
    )
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in db.execute(query):
        found.setdefault(one.currency, {})[one.state] = {
            "actions": one.actions,
            **{name: to_text(getattr(one, name), one.currency) for name in _MONEY},
        }
    return found
