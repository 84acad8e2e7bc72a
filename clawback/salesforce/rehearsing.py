"""What the changes that wait would do if they were applied now: decided by the same code, nothing written."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection

from clawback.judging import Case
from clawback.preview import rehearsed
from clawback.salesforce.delivering import lines_of
from clawback.wiring import Desk
from connectors.salesforce_settings import SalesforceSettings
from processing import catalog, observed
from processing.deliveries import Arrival
from schemas.observed import EVIDENCE, files


def rehearse(desk: Desk, settings: SalesforceSettings, *, at: datetime) -> list[dict[str, Any]]:
    """The receipts, with their lines, that the oldest changes would get; nothing of them is kept."""
    with desk.store.read() as db:
        changes = observed.due(db, settings.name)
    receipts = []
    with TemporaryDirectory() as folder:
        for kind, content in files(lines_of(changes)).items():
            path = Path(folder) / f"{kind}.csv"
            path.write_bytes(content)
            receipts.append(rehearsed(desk, settings.account, _case(settings, path, at), at=at))
    return receipts


def _case(settings: SalesforceSettings, path: Path, at: datetime) -> Any:  # noqa: ANN401 - a function of the store
    def case_in(db: Connection) -> Case:
        arrival = Arrival(
            delivery=f"preview-{path.stem}",
            channel=settings.channel,
            name=path.name,
            sha256="",
            size_bytes=path.stat().st_size,
            received_at=at,
            proven=True,
            ignore_columns=EVIDENCE,
        )
        return Case(arrival, path, catalog.read_terms(db, settings.account))

    return case_in
