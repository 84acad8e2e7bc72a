"""Log lines of a server: ``key=value``, one event a line, on standard error, never with the store's password."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from clawback.settings import Settings

OURS: Final = ("clawback", "connectors", "flows", "processing", "schemas")
_HIDDEN: Final = "***"


class Lines(logging.Formatter):
    """``at=… level=info part=worker event=landed delivery=… account=…``; other people's messages are quoted."""

    def __init__(self, part: str, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._part = part
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if record.name.partition(".")[0] in OURS:
            event = f"event={message}".replace("\n", "\\n")
        else:
            event = f"event=said logger={record.name} message={json.dumps(message, ensure_ascii=False)}"
        line = f"at={at} level={record.levelname.lower()} part={self._part} {event}"
        if record.exc_info:
            line += f" traceback={json.dumps(self.formatException(record.exc_info), ensure_ascii=False)}"
        for secret in self._secrets:
            line = line.replace(secret, _HIDDEN)
        return line


def configure(part: str, settings: Settings) -> None:
    """Let everything this process logs go to standard error in our form; of others only what is wrong."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(part, secrets_of(settings.store_url)))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def secrets_of(url: str) -> tuple[str, ...]:
    """The password in a database URL, as it stands there and as it is meant."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return ()
    return tuple({password, unquote(password)}) if password else ()


def without_secrets(url: str) -> str:
    """A database URL that may be shown."""
    for secret in secrets_of(url):
        url = url.replace(f":{secret}@", f":{_HIDDEN}@")
    return url
