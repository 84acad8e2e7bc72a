"""Takes a file of this machine in: into the spool, or for a preview only its digest."""

import hashlib
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.envelope import Envelope
from connectors.spool import Spool
from processing.deliveries import Arrival

CHANNEL: Final = "cli"
_BLOCK_BYTES: Final = 1024 * 1024


def land_file(
    spool: Spool, file: Path, sid: str, *, event_type: int | None, again: bool, received_at: datetime | None
) -> Envelope:
    """Land a copy of the file; raises UploadRefused when the disk does not take it."""
    with (
        file.open("rb") as content,
        spool.receive(account=sid, channel=CHANNEL, name=file.name, event_type=event_type, again=again) as upload,
    ):
        while block := content.read(_BLOCK_BYTES):
            upload.write(block)
        return upload.land(received_at)


def arrival_of(file: Path, *, event_type: int | None, again: bool, received_at: datetime) -> Arrival:
    """The file as a delivery that is not landed."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Arrival(
        delivery=f"preview-{secrets.token_hex(8)}",
        channel=CHANNEL,
        name=file.name,
        sha256=digest,
        size_bytes=file.stat().st_size,
        received_at=received_at,
        event_type=event_type,
        again=again,
    )
