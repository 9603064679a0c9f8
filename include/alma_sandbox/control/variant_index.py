"""Which titles are of which variant: so that a test can ask for a title with an expired commitment."""

from typing import Any

from alma_sandbox.catalogue import ids, titles
from alma_sandbox.catalogue.holdings import count
from alma_sandbox.catalogue.variants import CYCLE, GOOD, VARIANTS, variant_of
from alma_sandbox.settings import Settings


def find(settings: Settings, name: str | None = None, limit: int = 10) -> dict[str, list[dict[str, Any]]]:
    """The first ``limit`` titles of one variant, or of each. ValueError for an unknown name."""
    if name is not None and name != GOOD and name not in VARIANTS:
        raise ValueError(f"unknown variant {name}; there are {', '.join([GOOD, *VARIANTS])}")
    wanted = [name] if name is not None else [GOOD, *VARIANTS]
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in wanted}
    # Each cycle holds every variant: enough titles to find ``limit`` of each that exists.
    for title in range(min(settings.titles, CYCLE * (limit + 1))):
        variant = variant_of(settings.seed, title)
        if variant in found and len(found[variant]) < limit:
            found[variant].append(_describe(settings, title))
    return found


def _describe(settings: Settings, title: int) -> dict[str, Any]:
    suffix = settings.suffix
    holdings = [ids.holding_id(title, number, suffix) for number in range(count(settings.seed, title))]
    bib = titles.bib(settings.seed, title, settings.titles, suffix)
    return {"title": title, "mms_id": bib.mms_id, "host_mms_id": bib.host_mms_id, "holding_ids": holdings}
