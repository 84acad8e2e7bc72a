"""The environment in which Prefect is ours alone: its home in the state folder, loopback only, no call outside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clawback.settings import Settings

_LOGGING: Final = "version: 1\ndisable_existing_loggers: false\n"
_ALWAYS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Without an API there shall be an error, never a second server that nobody asked for.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}
# A server that hangs must not hold a delivery up for long.
_CLIENT: Final = {"PREFECT_API_REQUEST_TIMEOUT": "5", "PREFECT_CLIENT_MAX_RETRIES": "1"}
_SERVER: Final = {
    # The second UI asks a server on the internet whatever one sets.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    # A few runs ahead are enough, and fewer are missed while the server is down.
    "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "5",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT1S",
}


def home(settings: Settings) -> Path:
    """Where Prefect keeps its database and its settings."""
    return settings.state / "prefect"


def api_url(settings: Settings, port: int) -> str:
    """Where Prefect's API answers to processes of this machine."""
    host = "127.0.0.1" if settings.prefect.host in {"", "0.0.0.0", "::"} else settings.prefect.host  # noqa: S104 - told apart
    return f"http://{host}:{port}/api"


def server_environment(settings: Settings, port: int) -> dict[str, str]:
    """For the process that is Prefect's server."""
    pulled = (one.every_s for one in settings.sources if one.every_s)
    shortest_s = min(settings.schedule.collect_every_s, settings.schedule.lock_every_s, *pulled)
    return {
        **_common(settings),
        **_SERVER,
        "PREFECT_SERVER_UI_API_URL": api_url(settings, port),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home(settings) / "ui"),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": str(min(max(shortest_s, 5), 60)),
    }


def client_environment(settings: Settings, port: int) -> dict[str, str]:
    """For a process that runs flows."""
    return {**_common(settings), **_CLIENT, "PREFECT_API_URL": api_url(settings, port)}


def without_prefect(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what somebody set for another Prefect; loopback is reached without a proxy."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PREFECT_")}
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [kept.get(name), "127.0.0.1", "localhost"]))
    return kept


def _common(settings: Settings) -> dict[str, str]:
    folder = home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    # Prefect would install handlers of its own; ours see everything.
    logging = folder / "logging.yml"
    if not logging.exists():
        logging.write_text(_LOGGING)
    return {**_ALWAYS, "PREFECT_HOME": str(folder), "PREFECT_LOGGING_SETTINGS_PATH": str(logging)}
