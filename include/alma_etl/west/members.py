"""The MMS ids of an Alma set (`GET /conf/sets/{id}/members`)."""

import logging
from dataclasses import dataclass

from alma_etl.alma.client import AlmaClient
from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.identifiers import is_mms_id
from alma_etl.remote.answers import Absent, Unknown
from alma_etl.west.id_index import IdIndex
from alma_etl.west.run import InputCounts

log = logging.getLogger(__name__)

PAGE = 100  # Alma's upper bound for members of one page
MAX_SWEEPS = 3
TITLE_SETS = ("BIB_MMS", "IEP")  # all titles, physical titles: members of both are MMS ids


@dataclass
class _Sweep:
    total: int
    rows: int = 0


def read_set(client: AlmaClient, set_id: str, index: IdIndex) -> InputCounts:
    """Put the MMS ids of the set's members into ``index`` and count them.

    The members of a logical set are worked out again for each page, so that pages may repeat some and skip
    others. When fewer distinct ids came than Alma says the set holds, it is read again with other borders between
    the pages, until a reading adds nothing: then those that came twice are in the set twice. What never came is
    counted as missing, and the delivery's gate weighs it.

    Costs one request for the set and one per 100 members, for each reading.
    Raises InputProblem for a set that is unknown, empty, or not of titles; RemoteError when a page cannot be read.
    """
    _check_set(client, set_id)
    for number in range(MAX_SWEEPS):
        before = len(index)
        sweep = _read_pages(client, set_id, index, first=PAGE - number * PAGE // MAX_SWEEPS)
        distinct = len(index)
        log.info(
            "Set %s: %d of %s read, %d distinct", set_id, sweep.rows, counted(sweep.total, "member"), distinct
        )
        settled = number > 0 and distinct == before
        if settled or distinct >= sweep.total:
            break
    if not distinct:
        raise InputProblem(
            f"The set {set_id} is empty, so there is nothing to deliver: "
            "look at the set in Alma under Admin > Manage Sets, or choose another one"
        )
    total = max(sweep.total, distinct)
    repeated = min(max(sweep.rows - distinct, 0), total - distinct) if settled else 0
    if repeated:
        log.warning("Set %s lists %s more than once", set_id, counted(repeated, "title"))
    return InputCounts(total=total, titles=distinct, repeated=repeated, missing=total - distinct - repeated)


def _check_set(client: AlmaClient, set_id: str) -> None:
    match client.sets.read(set_id):
        case Absent():
            raise InputProblem(
                f"Alma does not know the set {set_id}: check set_id (a set of another institution or "
                "environment has another number, and a private set is seen by its owner's key only)"
            )
        case Unknown(error):
            raise error
        case found:
            if found.value.content and found.value.content not in TITLE_SETS:
                raise InputProblem(
                    f"The set {set_id} ({found.value.name}) holds {found.value.content}, not titles: "
                    "make a set of all titles or of physical titles in Alma and give its number"
                )


def _read_pages(client: AlmaClient, set_id: str, index: IdIndex, *, first: int) -> _Sweep:
    """Read the whole set; the first page has ``first`` members, the others a hundred."""
    start = client.sets.members_page(set_id, 0, limit=first)
    sweep = _Sweep(start.total)
    _add(start.ids, set_id, index, sweep)
    offsets = range(first, start.total, PAGE)
    for _, page in client.in_parallel(
        lambda offset: client.sets.members_page(set_id, offset, limit=PAGE), offsets
    ):
        sweep.total = max(sweep.total, page.total)
        _add(page.ids, set_id, index, sweep)
        if sweep.rows % 10_000 < PAGE:
            log.info("Set %s: %d of %s read", set_id, sweep.rows, counted(sweep.total, "member"))
    # A set that counts fewer than it names does not say where it ends.
    while sweep.rows > sweep.total and len(index) > sweep.total:
        before = len(index)
        page = client.sets.members_page(set_id, sweep.rows, limit=PAGE)
        _add(page.ids, set_id, index, sweep)
        if len(index) == before:
            break
    return sweep


def _add(ids: list[str], set_id: str, index: IdIndex, sweep: _Sweep) -> None:
    strangers = [id_ for id_ in ids if not is_mms_id(id_)]
    if strangers:
        raise InputProblem(
            f"The members of the set {set_id} are not MMS ids (one of them is {strangers[0]!r}): "
            "make a set of all titles or of physical titles in Alma and give its number"
        )
    sweep.rows += len(ids)
    index.add(ids)
