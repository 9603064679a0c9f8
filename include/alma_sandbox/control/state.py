"""The whole mutable state as JSON: what calls changed, for tests to compare."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lxml import etree

from alma_sandbox.catalogue.marc import to_element
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def dump(sandbox: Sandbox) -> dict[str, Any]:
    """Everything that differs from a fresh sandbox, by kind and id; a deleted record is null."""
    catalogue = sandbox.catalogue
    kinds: dict[str, dict[Any, Any]] = {
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
        "users": dict(sorted(sandbox.users.by_id.items())),
        "requests": {key: _plain(found) for key, found in sandbox.requests.by_id.items()},
        "loans": {key: _plain(found) for key, found in sandbox.loans.by_id.items()},
        "jobs": {key: _plain(found) for key, found in sandbox.jobs.by_id.items()},
        "po_lines": {key: _plain(found) for key, found in sorted(sandbox.po_lines.by_number.items())},
        "in_house_uses": dict(sorted(sandbox.in_house_uses.items())),
        "letters": dict(enumerate(sandbox.letters)),
    }
    return {**kinds, "counts": {kind: len(rows) for kind, rows in kinds.items()}}


def _plain(found: "DataclassInstance") -> Any:
    """A dataclass with its times as text."""
    return json.loads(json.dumps(asdict(found), default=str))


def _record(found: Bib | Holding | None) -> dict[str, Any] | None:
    """A bib or holding with its MARC as one text."""
    if found is None:
        return None
    values = {name: value for name, value in vars(found).items() if name != "record"}
    return {**values, "record": etree.tostring(to_element(found.record), encoding="unicode")}
