"""Reads again what triggers told of; a trigger is a hint, whatever it says of the record."""

import logging
from collections.abc import Mapping
from datetime import datetime

from clawback.salesforce.checking import Unread
from clawback.salesforce.reading import Reader
from connectors.salesforce_org import Org
from processing import hints
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable

_log = logging.getLogger(__name__)


def heed(reader: Reader, org: Org, refused: Mapping[str, Unread], *, at: datetime) -> tuple[int, list[ClawbackError]]:
    """Read all records that are due by their hints; gives how many, and what kept others from being read.

    What could not be read, or not by a mapping that is ``refused``, is put off, and the next object goes on; polling
    sees it anyway. Raises SourceExhausted, after which nothing else can be read.
    """
    read, wrong = 0, list[ClawbackError]()
    while True:
        with reader.store.read() as db:
            due = hints.due(db, reader.settings.name, at)
        if not due:
            return read, wrong
        for of, notifications in due.items():
            try:
                _read(reader, org, of, notifications, refused, at)
                read += len(notifications)
            except SourceRefused as error:
                wrong.append(error)
            except SourceUnreachable as error:
                wrong.append(error)
                org.stop_waiting()


def put_off(reader: Reader, *, at: datetime) -> None:
    """Put off all that is due, none of which can be read now."""
    with reader.store.write() as db:
        reader.fence(db)
        while due := hints.due(db, reader.settings.name, at):
            for notifications in due.values():
                hints.put_off(db, [one for its in notifications.values() for one in its], at)


def _read(
    reader: Reader,
    org: Org,
    of: str,
    notifications: dict[str, list[int]],
    refused: Mapping[str, Unread],
    at: datetime,
) -> None:
    ids = [one for its in notifications.values() for one in its]
    try:
        # Those that are refused last, so that they keep none of the others from being read.
        for mapping in sorted(reader.settings.of_object(of), key=lambda one: one.name in refused):
            if mapping.name in refused:
                raise refused[mapping.name]
            for page in org.with_ids(mapping, list(notifications)):
                reader.take(mapping, page, at)
    except ClawbackError as error:
        _log.warning("not_read source=%s object=%s hints=%d because=%r", reader.settings.name, of, len(ids), str(error))
        with reader.store.write() as db:
            reader.fence(db)
            hints.put_off(db, ids, at)
        raise
    with reader.store.write() as db:
        reader.fence(db)
        hints.done(db, ids)
