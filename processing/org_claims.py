"""The store's record of brands' orgs: who reads one, and whether its settings are checked, or its reading is paused."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, or_, select, update

from processing import upsert
from processing.errors import LedgerConflict
from processing.instants import instant, micros
from processing.record_tables import hook_refusal, org_claim

# A reader that dies leaves its claim to the next after this.
CLAIMED: Final = timedelta(minutes=10)
_LONGEST: Final = 200


def claim(db: Connection, source: str, token: str, at: datetime) -> bool:
    """Take the claim of a source unless somebody has it; whoever had it before writes no more."""
    upsert.add_missing(db, org_claim, {"source": source})
    free = or_(org_claim.c.token.is_(None), org_claim.c.until <= micros(at))
    taken = update(org_claim).where(org_claim.c.source == source, free)
    return db.execute(taken.values(token=token, until=micros(at + CLAIMED))).rowcount == 1


def fence(db: Connection, source: str, token: str, at: datetime) -> None:
    """Keep the claim, in the transaction that writes under it; raises LedgerConflict when another has taken it."""
    mine = update(org_claim).where(org_claim.c.source == source, org_claim.c.token == token)
    if not db.execute(mine.values(until=micros(at + CLAIMED))).rowcount:
        raise LedgerConflict(f"Another reader has taken source {source} over; what was read last is read again.")


def release(db: Connection, source: str, token: str) -> None:
    """Give the claim back; does nothing when another has taken it."""
    mine = update(org_claim).where(org_claim.c.source == source, org_claim.c.token == token)
    db.execute(mine.values(token=None, until=None))


def find(db: Connection, source: str) -> Row[Any] | None:
    """What is known of a source, None if nobody has claimed, paused or checked it yet."""
    return db.execute(select(org_claim).where(org_claim.c.source == source)).one_or_none()


def pause(db: Connection, source: str, until: datetime, *, look_ups: bool) -> None:
    """Poll the org no more before an instant, and heed no triggers; with ``look_ups`` do not call it at all."""
    values = {"paused_until": micros(until)} | ({"look_ups_paused_until": micros(until)} if look_ups else {})
    _set(db, source, **values)


def paused(db: Connection, source: str, at: datetime) -> tuple[datetime | None, datetime | None]:
    """Until when the org is not to be polled, and until when not to be called at all; None where it may be."""
    found = find(db, source)
    if found is None:
        return None, None
    polls, look_ups = (
        None if until is None or until <= micros(at) else instant(until)
        for until in (found.paused_until, found.look_ups_paused_until)
    )
    return polls, look_ups


def checked(db: Connection, source: str, settings: str | None, at: datetime) -> None:
    """Remember by their digest which settings, mappings apart, were found right, None for those that were not."""
    _set(db, source, checked=settings, checked_at=micros(at))


def doubt(db: Connection, source: str) -> None:
    """Have an org checked again before it is read the next time."""
    _set(db, source, checked=None)


def refuse(db: Connection, source: str, because: str, at: datetime) -> None:
    """Count a message that reached the hook of a source and is none of its org's."""
    upsert.add_missing(db, hook_refusal, {"source": source})
    mine = update(hook_refusal).where(hook_refusal.c.source == source)
    counted = {"messages": hook_refusal.c.messages + 1, "refused_at": micros(at), "because": because[:_LONGEST]}
    db.execute(mine.values(counted))


def refused(db: Connection, source: str) -> dict[str, Any] | None:
    """How many messages were refused at the hook of a source, the last when and why; None if none was."""
    found = db.execute(select(hook_refusal).where(hook_refusal.c.source == source)).one_or_none()
    if found is None:
        return None
    last_at = instant(found.refused_at).isoformat()
    return {"messages": found.messages, "last_at": last_at, "because": found.because}


def _set(db: Connection, source: str, **values: object) -> None:
    upsert.add_missing(db, org_claim, {"source": source})
    db.execute(update(org_claim).where(org_claim.c.source == source).values(values))
