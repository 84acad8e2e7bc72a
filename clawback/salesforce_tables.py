"""The tables ``[[salesforce]]`` of the settings file: an org each, with what its records mean."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from connectors.salesforce_settings import Mapping_, SalesforceSettings, Status
from connectors.source_settings import BY_HAND
from processing.errors import Unusable

_SCHEDULE: Final = "schedule"


def parse(table: dict[str, Any], folder: Path, source: str) -> SalesforceSettings:
    """The settings of one org, relative paths being relative to ``folder``; raises Unusable, naming each key."""
    name = table.get("name")
    where = f"{source}: salesforce {name if isinstance(name, str) and name else 'without a name'}"
    try:
        return SalesforceSettings.model_validate(table, context={"folder": folder})
    except ValidationError as error:
        # Values are not repeated but where a check of ours does: one of them may be a secret.
        told = error.errors(include_url=False, include_input=False)
        raise Unusable(f"{where}: " + "; ".join(_said(one) for one in told) + ".") from None


def as_table(settings: SalesforceSettings) -> dict[str, Any]:
    """The table that ``parse`` makes these settings of again, in any folder."""
    table = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return table | {_SCHEDULE: BY_HAND if settings.every_s is None else f"{settings.every_s}s"}


def _said(error: ErrorDetails) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), _names(), n=1)
        return f"{key} is no setting" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    message = str(error["msg"]).removeprefix("Value error, ").removesuffix(".")
    return f"{key}: {message}" if key else message


def _names() -> list[str]:
    models = (SalesforceSettings, Mapping_, Status)
    return [field.alias or name for model in models for name, field in model.model_fields.items()]
