"""Proposed adjustments: what lines asked for after their action had locked.

Nothing changes a locked action; what a late line would have done is kept for a person to settle in the next cycle.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from processing import bulk
from processing.decide import Entries
from processing.instants import instant
from processing.intent import Asked
from processing.match import Actions
from processing.money import to_text
from processing.tables import account, action, adjustment, delivery, partner

_SIDES = ("amount_before", "amount_after", "payout_before", "payout_after")


def record(db: Connection, delivery_id: int, late: Entries, asked: Asked, actions: Actions) -> None:
    """Keep what late lines of a delivery would have done."""
    at = late.position
    rows = {
        "delivery_id": np.full(len(at), delivery_id, dtype=np.int64),
        "line": asked.line[at],
        "action_id": actions.id[late.row],
        "change": asked.change[at],
        "reason": asked.reason[at],
        **{name: getattr(late, name) for name in _SIDES},
    }
    bulk.insert(db, adjustment, bulk.frame(rows))


def listing(db: Connection, sid: str | None = None) -> Iterator[dict[str, Any]]:
    """Every proposed adjustment, or those of one account, in the order in which their deliveries arrived."""
    query = (
        select(
            adjustment,
            account.c.sid,
            action.c.action_id.label("name"),
            *(action.c[name] for name in ("order_id", "currency", "locks_at", "partner_id")),
            partner.c.name.label("partner_name"),
            *(delivery.c[name] for name in ("delivery", "received_at")),
        )
        .join(action, action.c.id == adjustment.c.action_id)
        .join(account, account.c.id == action.c.account_id)
        .join(partner, (partner.c.account_id == account.c.id) & (partner.c.partner_id == action.c.partner_id))
        .join(delivery, delivery.c.id == adjustment.c.delivery_id)
        .order_by(delivery.c.received_at, delivery.c.id, adjustment.c.line)
    )
    if sid is not None:
        query = query.where(account.c.sid == sid)
    for one in db.execute(query, execution_options={"yield_per": 10_000}):
        yield {
            "account": one.sid,
            "delivery": one.delivery,
            "line": one.line,
            "action_id": one.name,
            "order_id": one.order_id,
            "partner": one.partner_id,
            "partner_name": one.partner_name,
            "change": one.change,
            "reason": one.reason,
            "currency": one.currency,
            **{name: to_text(getattr(one, name), one.currency) for name in _SIDES},
            "payout_difference": to_text(one.payout_after - one.payout_before, one.currency),
            "locks_at": instant(one.locks_at).isoformat(),
            "received_at": instant(one.received_at).isoformat(),
        }
