"""What attempts leave of a chunk's rows: the ends that they came to, and the record of what was sent.

The record names the rows that an attempt is about to send, before it sends them: after a kill nobody knows more.
"""

import uuid
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from alma_etl.items.outcomes import rank_of, row_key
from alma_etl.items.run import LoadFolder, Plan
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step, digest
from alma_etl.store.bucket import NoSuchObject, json_line

STEP = Step("results.jsonl", key=row_key, rank=rank_of)
FOLDER = "announced/"


def ends_of(folder: LoadFolder, plan: Plan, number: int, alma: str | None = None) -> Checkpoint:
    """The ends of a chunk's rows, with what they depend on: whether it is a dry run, and what the profile gives."""
    settings = {"dry_run": plan.dry_run, "values": plan.profile.values(plan.day)}
    return Checkpoint(folder.bucket, folder.chunk_key(number, STEP.name), STEP, settings=settings, alma=alma)


def made_items(folder: LoadFolder, plan: Plan, number: int, alma: str | None = None) -> Collection[Hashable]:
    """The rows of a chunk whose item this run has made, under whatever settings, by `row_key`."""
    rows = ends_of(folder, plan, number, alma).rows()
    return {key for key, row in rows.items() if rank_of(row) is Rank.MADE}


@dataclass(frozen=True)
class Sent:
    """That a row may have been sent: the first day of it, and the holdings it was sent to, as far as they are known."""

    day: date
    holding_ids: frozenset[str]

    def __or__(self, other: "Sent") -> "Sent":
        return Sent(min(self.day, other.day), self.holding_ids | other.holding_ids)


def sent_lines(folder: LoadFolder, number: int, scope: str | None) -> dict[int, Sent]:
    """The rows of a chunk that may have been sent and whose end is not known, by line.

    ``scope``: the digest of the Alma that is meant, None for whichever.
    """
    found: dict[int, Sent] = {}
    for record in _records(folder, number, scope).values():
        for line, sent in record.items():
            found[line] = found[line] | sent if line in found else sent
    return found


@dataclass
class SentRecord:
    """What one attempt notes. What earlier attempts noted is `before`."""

    folder: LoadFolder
    number: int
    alma: str
    _earlier: dict[str, dict[int, Sent]] = field(init=False)
    _own: dict[str, dict[int, Sent]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._scope = digest(self.alma)
        self._earlier = _records(self.folder, self.number, self._scope)
        self.before = sent_lines(self.folder, self.number, self._scope)

    def note(self, holding_ids: Mapping[int, str], day: date) -> None:
        """Note rows that are about to be sent: the holding of each, by line."""
        key = self.folder.chunk_key(self.number, f"{FOLDER}{uuid.uuid4().hex}.jsonl")
        lines = {line: Sent(day, frozenset({holding_id})) for line, holding_id in holding_ids.items()}
        self._put(key, lines)
        self._own[key] = lines

    def withdraw(self, *, ended: Collection[int], not_sent: Collection[int]) -> None:
        """Take back the rows that have an end which says what is in Alma, and those that this attempt did not send.

        ``ended`` rows were looked for if an earlier attempt may have sent them, so that its note of them goes as well;
        that this attempt did not send a row says nothing about what earlier ones did.
        """
        for records, known in ((self._own, {*ended, *not_sent}), (self._earlier, set(ended))):
            for key, lines in records.items():
                left = {line: sent for line, sent in lines.items() if line not in known}
                if not left:
                    self.folder.bucket.delete([key])
                elif len(left) < len(lines):
                    self._put(key, left)

    def _put(self, key: str, lines: Mapping[int, Sent]) -> None:
        told: dict[str, Any] = {
            "alma": self._scope,
            "day": min(sent.day for sent in lines.values()).isoformat(),
            "lines": list(lines),
            "holding_ids": [sorted(sent.holding_ids) for sent in lines.values()],
        }
        self.folder.bucket.put(key, json_line(told), "application/x-ndjson")


def _records(folder: LoadFolder, number: int, scope: str | None) -> dict[str, dict[int, Sent]]:
    found = {}
    for part in folder.bucket.list(folder.chunk_key(number, FOLDER)):
        try:
            told: Sequence[dict[str, Any]] = list(folder.bucket.read_rows(part.key))
        except NoSuchObject:  # withdrawn in the meantime
            continue
        for each in told:
            if scope is not None and each.get("alma", scope) != scope:
                continue
            day = date.fromisoformat(each["day"])
            places = each.get("holding_ids") or [[] for _ in each["lines"]]
            found[part.key] = {
                line: Sent(day, frozenset(ids)) for line, ids in zip(each["lines"], places, strict=True)
            }
    return found
