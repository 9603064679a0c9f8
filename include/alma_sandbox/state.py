"""The whole mutable state as JSON: what calls changed, for tests to compare."""

from dataclasses import asdict
from typing import Any

from lxml import etree

from alma_sandbox.catalogue.marc import to_element
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.sandbox import Sandbox


def dump(sandbox: Sandbox) -> dict[str, Any]:
    """Everything that differs from a fresh sandbox, by kind and id; a deleted record is null."""
    catalogue = sandbox.catalogue
    kinds: dict[str, dict[str, Any]] = {
        "bibs": {key: _record(bib) for key, bib in sorted(catalogue.bibs.items())},
        "holdings": {key: _record(holding) for key, holding in sorted(catalogue.holdings.items())},
        "items": {
            key: None if item is None else asdict(item) for key, item in sorted(catalogue.items.items())
        },
        "sets": {
            key: {**asdict(found), "members": found.members}
            for key, found in sorted(sandbox.sets.by_id.items())
            if found.members is not None
        },
    }
    return {**kinds, "counts": {kind: len(rows) for kind, rows in kinds.items()}}


def _record(found: Bib | Holding | None) -> dict[str, Any] | None:
    """A bib or holding with its MARC as one text."""
    if found is None:
        return None
    values = {name: value for name, value in vars(found).items() if name != "record"}
    return {**values, "record": etree.tostring(to_element(found.record), encoding="unicode")}
