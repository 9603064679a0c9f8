"""Sets: three that are always there, and those that calls make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alma_sandbox.catalogue import ids

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

_TITLES_OF_ITEM_SET = 50  # the set of items holds the items of the first titles


@dataclass
class AlmaSet:
    """A set. ``members`` is None for the set of all titles, whose members are computed."""

    id: str
    name: str
    content: str
    type: str = "ITEMIZED"
    description: str = ""
    private: bool = False
    status: str = "ACTIVE"
    query: str = ""
    origin: str = "UI"
    created_by: str = "exl_impl"
    created_date: str = "2023-08-21T09:05:07.281Z"
    status_date: str = "2023-08-21T09:05:07.281Z"
    members: list[str] | None = field(default_factory=list)


class Sets:
    """All sets of a sandbox by id."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_id: dict[str, AlmaSet] = {}
        suffix = sandbox.catalogue.suffix
        items = [
            item.pid
            for mms_id in sandbox.catalogue.title_ids(0, _TITLES_OF_ITEM_SET)
            for item in sandbox.catalogue.items_of_bib(mms_id)
        ]
        for made in (
            AlmaSet(ids.set_id(0, suffix), "WEST archive titles", "BIB_MMS", members=None),
            AlmaSet(ids.set_id(1, suffix), "Empty set", "BIB_MMS"),
            AlmaSet(ids.set_id(2, suffix), "WEST archive items", "ITEM", members=items),
        ):
            self.by_id[made.id] = made

    def size(self, found: AlmaSet) -> int:
        """Number of members."""
        if found.members is None:
            return self._sandbox.settings.titles + self._vanished()
        return len(found.members)

    def page(self, found: AlmaSet, offset: int, limit: int) -> list[str]:
        """Member ids of one page, with the paging quirk that the settings ask for."""
        page = self._slice(found, offset, offset + limit)
        if self._sandbox.settings.set_paging == "shifting" and offset > 0 and page:
            # The set was re-evaluated between two pages and slid by one: the last member of the page
            # before comes again, and the first of this one never comes.
            page = [*self._slice(found, offset - 1, offset), *page[1:]]
        return page

    def _slice(self, found: AlmaSet, start: int, stop: int) -> list[str]:
        if found.members is not None:
            return found.members[start:stop]
        stop = min(stop, self.size(found))
        return [self._title_member(number) for number in range(start, stop)]

    def _title_member(self, number: int) -> str:
        """Member ``number`` of the set of all titles; vanished ones come first, one at every other place."""
        vanished, titles = self._vanished(), self._sandbox.settings.titles
        if number < 2 * vanished and number % 2 and number // 2 < vanished:
            return ids.mms_id(titles + number // 2, self._sandbox.catalogue.suffix)
        return ids.mms_id(number - min((number + 1) // 2, vanished), self._sandbox.catalogue.suffix)

    def _vanished(self) -> int:
        return min(self._sandbox.settings.vanished_members, self._sandbox.settings.titles)
