"""Makes the case of a landed delivery: its arrival, its bytes, and the terms that judge it."""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row

from clawback.judging import Case, is_written_here
from clawback.wiring import Desk
from connectors.envelope import Envelope
from processing import catalog
from processing.deliveries import Arrival
from schemas.observed import CHANNELS, EVIDENCE


def case_of(db: Connection, desk: Desk, envelope: Envelope) -> Case:
    """A landed delivery and the terms that judge it."""
    terms = catalog.read_terms(db, envelope.account)
    # Of a line that asks for one item, what a brand's files ignore would leave the whole order.
    theirs = () if is_written_here(envelope.channel) else terms.ignore_columns
    ignored = EVIDENCE if envelope.channel.startswith(CHANNELS) else theirs
    arrival = replace(arrival_of(envelope), encoding=terms.encoding, ignore_columns=ignored)
    return Case(arrival, desk.spool.content(envelope.delivery), terms, desk.most_bytes)


def judged_case(db: Connection, desk: Desk, found: Row[Any]) -> Case:
    """The same, read as it was when it was judged: the catalogue may say something else by now."""
    case, reading = case_of(db, desk, desk.spool.find(found.delivery)), json.loads(found.reading)
    return replace(
        case, arrival=replace(case.arrival, **{**reading, "ignore_columns": tuple(reading["ignore_columns"])})
    )


def arrival_of(envelope: Envelope) -> Arrival:
    """What an envelope says of a delivery."""
    return Arrival(
        delivery=envelope.delivery,
        channel=envelope.channel,
        name=envelope.name,
        sha256=envelope.sha256,
        size_bytes=envelope.size_bytes,
        received_at=envelope.received_at,
        event_type=envelope.event_type,
        again=envelope.again,
        proven=envelope.proven,
    )
