"""Rows that share a holding: one group for each title, library and location."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from alma_etl.counted import counted
from alma_etl.items.outcomes import ItemOutcome
from alma_etl.items.profiles import ItemProfile
from alma_etl.jobs.outcomes import Row


class GroupResult(TypedDict):
    """Which holding the rows of a group go to.

    ``outcome`` is "" when they can be loaded, else the end of them all. ``made`` says whether this run created the
    holding; in a dry run a holding that would be created has no id. ``message`` goes to the rows' report.
    """

    mms_id: str
    library: str
    location: str
    outcome: str
    holding_id: str
    call_number: str
    made: bool
    message: str


@dataclass
class Group:
    """The rows of one title that go to one place."""

    mms_id: str
    library: str
    location: str
    rows: list[Row] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Library and location as reports write them."""
        return f"{self.library}/{self.location}"

    def ends(self, outcome: ItemOutcome, message: str) -> GroupResult:
        """The result of a group whose rows cannot be loaded."""
        return self._result(outcome.value, message=message)

    def goes_to(
        self, holding_id: str, call_number: str, message: str = "", *, made: bool = False
    ) -> GroupResult:
        """The result of a group that has its holding."""
        return self._result("", holding_id, call_number, message, made)

    def _result(
        self, outcome: str, holding_id: str = "", call_number: str = "", message: str = "", made: bool = False
    ) -> GroupResult:
        return GroupResult(
            mms_id=self.mms_id,
            library=self.library,
            location=self.location,
            outcome=outcome,
            holding_id=holding_id,
            call_number=call_number,
            made=made,
            message=message,
        )


@dataclass(frozen=True)
class Candidate:
    """A holding of a title, as availability or the title's list names it."""

    holding_id: str
    library: str
    location: str
    call_number: str
    suppressed: bool = False


def group_key(row: Row | Group) -> tuple[str, str, str]:
    """By what rows, groups and their results belong together."""
    if isinstance(row, Group):
        return row.mms_id, row.library, row.location
    return row["mms_id"], row["library"], row["location"]


def groups_of(rows: Iterable[Row]) -> list[Group]:
    """The groups of these rows, in the order in which they first come."""
    groups: dict[tuple[str, str, str], Group] = {}
    for row in rows:
        groups.setdefault(group_key(row), Group(*group_key(row))).rows.append(row)
    return list(groups.values())


def choose(
    group: Group, candidates: Sequence[Candidate], profile: ItemProfile, *, doubt: str = ""
) -> GroupResult | None:
    """The holding among a title's holdings that is at the group's place; None when none is.

    A suppressed holding counts only where there is no other. Of several the one with the lowest id is taken,
    unless the profile leaves the choice to people. ``doubt`` says why the title may have more holdings than
    these: then nothing is concluded from what is not among them.
    """
    at_place = {
        each.holding_id: each
        for each in candidates
        if (each.library, each.location) == (group.library, group.location)
    }
    visible = [each for each in at_place.values() if not each.suppressed] or list(at_place.values())
    if not visible:
        return (
            group.ends(ItemOutcome.FAILED, f"no holding at {group.place} is known, but {doubt}")
            if doubt
            else None
        )
    visible.sort(key=lambda each: (len(each.holding_id), each.holding_id))
    first = visible[0]
    ids = ", ".join(each.holding_id for each in visible[:10])
    if len(visible) > 1 and profile.on_several_holdings == "fail":
        return group.ends(
            ItemOutcome.SEVERAL_HOLDINGS,
            f"the title has {counted(len(visible), 'holding')} at {group.place} ({ids}): merge them in Alma, "
            "or give the row another place",
        )
    if doubt and (profile.on_several_holdings == "fail" or first.suppressed):
        return group.ends(
            ItemOutcome.FAILED,
            f"whether {first.holding_id} is the only holding at {group.place} is not known: {doubt}",
        )
    remarks = []
    if doubt:
        remarks.append(f"other holdings at {group.place} may exist: {doubt}")
    if len(visible) > 1:
        remarks.append(f"the first of {counted(len(visible), 'holding')} at {group.place} was taken ({ids})")
    if first.suppressed:
        remarks.append("the holding is suppressed from publishing")
    return group.goes_to(first.holding_id, first.call_number, "; ".join(remarks))


def is_settled(result: GroupResult) -> bool:
    """Whether a retry need not ask again."""
    return not result["outcome"] or ItemOutcome(result["outcome"]).weight.acceptable
