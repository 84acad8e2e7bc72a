"""Which secret ends of addresses open which org's hook."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clawback.settings import Settings
from connectors.salesforce_messages import slug_of
from connectors.salesforce_settings import SalesforceSettings
from connectors.source_settings import Secret
from processing.errors import Unusable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hook:
    """The end of an address, and the org that knows it."""

    slug: str = field(repr=False)
    org: SalesforceSettings


def hooks_of(settings: Settings, environ: Mapping[str, str]) -> tuple[Hook, ...]:
    """The hooks of an installation; one whose secret is not there, another's, or too easy to guess, stays closed."""
    found = list[Hook]()
    for org in settings.orgs:
        if org.hook is None:
            continue
        try:
            slug = _slug_of_its_own(org.hook, environ, {one.slug for one in found})
        except Unusable as error:
            _log.error("hook_closed source=%s because=%r", org.name, str(error))
            continue
        found.append(Hook(slug, org))
    return tuple(found)


def _slug_of_its_own(secret: Secret, environ: Mapping[str, str], taken: Collection[str]) -> str:
    slug = slug_of(secret, environ)
    if slug in taken:
        raise Unusable(f"The secret {secret.reference} is that of another source, too.")
    return slug
