"""Which secret ends of addresses open which org's hook."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from clawback.settings import Settings
from connectors.salesforce_settings import SalesforceSettings
from connectors.source_settings import Secret
from processing.errors import Unusable

_log = logging.getLogger(__name__)

_SLUG: Final = re.compile(r"[A-Za-z0-9_-]{20,200}")


@dataclass(frozen=True, slots=True)
class Hook:
    """The end of an address, and the org that knows it."""

    slug: str = field(repr=False)
    org: SalesforceSettings


def hooks_of(settings: Settings, environ: Mapping[str, str]) -> tuple[Hook, ...]:
    """The hooks of an installation; one whose secret is not there, or is too easy to guess, stays closed."""
    found = []
    for org in settings.orgs:
        if org.hook is None:
            continue
        try:
            slug = _slug(org.hook, environ)
        except Unusable as error:
            _log.error("hook_closed source=%s because=%r", org.name, str(error))
            continue
        found.append(Hook(slug, org))
    return tuple(found)


def _slug(secret: Secret, environ: Mapping[str, str]) -> str:
    slug = secret.reveal(environ)
    if not _SLUG.fullmatch(slug):
        raise Unusable(f"The secret {secret.reference} is no end of an address: 20 or more letters and digits.")
    return slug
