"""Every code and every title that the rows of a file name asked for in Alma, before the first write."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.bibs import in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.conf import CodeRow, Library, Location
from alma_etl.alma.po_lines import PoLine
from alma_etl.inventory.item_fields import PLACE_PAIRS, UPDATE_FIELDS
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row
from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.errors import RemoteRefused, RemoteShortList, RemoteUnauthorized

log = logging.getLogger(__name__)

RESULT = "codes.json"
TITLES = Step(
    "unknown_titles.json",
    key=lambda row: row["mms_id"],
    rank=lambda row: Rank.SETTLED if row.get("known") else Rank.REFUSED,
)
FIRST_OF_ALL = ("item_policy", "material_type")  # their tables are in every Alma
TABLES: Mapping[str, str] = {
    **{column: field.table for column, field in UPDATE_FIELDS.items()},
    "po_line_type": "PurchaseType",
    "acquisition_method": "AcquisitionMethod",
}
"""The code table of each column that has one. No public document names those of PO lines: see `_ALMAS_OWN`."""
# A code that Alma itself brings: a table that does not list it, as disabled or not, is another one of that name.
_ALMAS_OWN = {"po_line_type": "PRINTED_BOOK_OT", "acquisition_method": "PURCHASE"}
_SHARE_OF_PO_LINES = 20  # one question a PO line, for at most one row in so many


C = TypeVar("C", Library, Location, CodeRow)


class Codes(BaseModel):
    """The different codes that the rows use, by the kinds of `FileJob.codes_of`."""

    model_config = ConfigDict(frozen=True)

    places: tuple[tuple[str, str], ...] = ()  # library, location; "" where the library alone is named
    fields: tuple[tuple[str, str], ...] = ()  # column, code: of fields that have a code table
    po_lines: tuple[str, ...] = ()


class CodeCheck(BaseModel):
    """What is wrong with which code, in words; `location` is keyed by `LIBRARY/location`, `fields` by column and code.
    Codes that are right are not named. `remarks` are sentences for the report. `institution` is the code of the one
    that was asked, `alma` that and its environment (`General.key`; "" in checks of an earlier version)."""

    model_config = ConfigDict(frozen=True)

    library: dict[str, str] = {}
    location: dict[str, str] = {}
    fields: dict[str, dict[str, str]] = {}
    po_line: dict[str, str] = {}
    remarks: tuple[str, ...] = ()
    institution: str = ""
    alma: str = ""

    def fault_of(self, row: Row) -> str:
        """Why Alma would not take the row, "" when no code is wrong."""
        return self.fault_of_values({"library": row["library"], "location": row["location"], **row["values"]})

    def fault_of_values(self, values: Mapping[str, str]) -> str:
        """Why Alma would not take these values of an item, by column; "" when no code is wrong."""
        places = ((values.get(library, ""), values.get(location, "")) for library, location in PLACE_PAIRS)
        faults = [
            *(
                self.library.get(library) or self.location.get(f"{library}/{location}")
                for library, location in places
            ),
            *(self.fields.get(column, {}).get(value) for column, value in values.items()),
            self.po_line.get(values.get("po_line", "")),
        ]
        return "; ".join(fault for fault in faults if fault)


def check_codes(client: AlmaClient, folder: FileRun, *, titles: bool = True) -> dict[str, int]:
    """Ask Alma for the libraries, locations, codes of fields, PO lines and, unless ``titles`` is false, titles that the
    rows name.

    Nothing is written. Wrong ones become the outcome of their rows in the next steps; the counts of them come
    back. Costs about six requests, one for each library and PO line, and one for 100 titles. PO lines are left
    to Alma's own refusal when there are nearly as many as rows, or when the key may not read them; so are the codes of
    a table that this Alma does not list.

    Raises RemoteError when a question gets no answer: nothing may be written on a guess.
    """
    plan = folder.plan()
    codes = Codes.model_validate(plan.codes)
    check = _check(client, codes, po_lines_at_most=max(20, plan.rows // _SHARE_OF_PO_LINES))
    general = client.conf.general()
    check = check.model_copy(update={"institution": general.institution, "alma": general.key})
    folder.write_model(RESULT, check)
    counts = {name: len(getattr(check, name)) for name in ("library", "location", "po_line")}
    counts |= {column: len(wrong) for column, wrong in check.fields.items()}
    for remark in check.remarks:
        log.warning("%s", remark)
    if titles:
        alma = alma_of(client, folder)
        counts["titles"] = sum(
            _check_titles(client, folder, number, alma) for number in range(1, plan.chunks + 1)
        )
    return counts


def find_check(folder: FileRun) -> CodeCheck | None:
    """What `check_codes` found, None when it did not get that far."""
    return folder.find_model(RESULT, CodeCheck)


def read_check(folder: FileRun) -> CodeCheck:
    """What `check_codes` found. Raises NoSuchObject when it did not get that far."""
    return CodeCheck.model_validate_json(folder.bucket.get(folder.key(RESULT)))


def alma_of(client: AlmaClient, folder: FileRun) -> str:
    """The Alma that a run writes to, by gateway, institution and environment: what loads remember belongs to it,
    however the connection is called and wherever it will point. Raises RemoteError when the check of the codes did not
    note it and Alma does not answer."""
    check = read_check(folder)
    return f"{client.host} {check.alma or check.institution or client.conf.general().key}"


def unknown_titles(folder: FileRun, number: int, alma: str) -> Mapping[str, str]:
    """The titles of a chunk that this Alma (`alma_of`) does not know, each with what it said."""
    rows = _titles(folder, number, alma).rows().values()
    return {row["mms_id"]: row["reason"] for row in rows if not row.get("known")}


def _titles(folder: FileRun, number: int, alma: str) -> Checkpoint:
    """Which titles of a chunk Alma knows: that depends on no setting."""
    return Checkpoint(folder.bucket, folder.chunk_key(number, TITLES.name), TITLES, settings={}, alma=alma)


def _check(client: AlmaClient, codes: Codes, *, po_lines_at_most: int) -> CodeCheck:
    named = sorted({library for library, _ in codes.places})
    libraries = {row.code for row in _listed(client.conf.libraries, named)} if named else set()
    wrong_libraries = {
        code: f"library {code!r} is unknown to Alma; there are {_some(libraries)}"
        for code in named
        if code not in libraries
    }
    wrong_locations: dict[str, str] = {}
    for library in named:
        if library in wrong_libraries:
            continue
        asked = [location for of, location in codes.places if of == library and location]
        if not asked:
            continue
        known = {row.code for row in _listed(partial(client.conf.locations, library), asked)}
        for code in asked:
            if code not in known:
                wrong_locations[f"{library}/{code}"] = (
                    f"location {code!r} is unknown in library {library}; there are {_some(known)}"
                )
    fields, not_listed = _check_fields(client, codes.fields)
    po_lines, not_asked = _check_po_lines(client, codes.po_lines, po_lines_at_most)
    return CodeCheck(
        library=wrong_libraries,
        location=wrong_locations,
        fields=fields,
        po_line=po_lines,
        remarks=(*not_listed, *not_asked),
    )


def _check_fields(
    client: AlmaClient, codes: Iterable[tuple[str, str]]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    asked: dict[str, list[str]] = {column: [] for column in FIRST_OF_ALL}
    for column, code in codes:
        asked.setdefault(column, []).append(code)
    wrong: dict[str, dict[str, str]] = {}
    remarks = []
    for column, named in asked.items():
        table, why = TABLES[column], ""
        try:
            found = _check_table(client, table, _words(column), named, _ALMAS_OWN.get(column))
        except RemoteRefused as refusal:
            if column in FIRST_OF_ALL:
                raise
            found, why = None, f" ({refusal})"
        if found is None:
            remarks.append(
                f"the codes of {column} were not asked for beforehand, since this Alma does not list the table "
                f"{table}: it refuses the rows whose code it does not know{why}"
            )
        else:
            wrong[column] = found
    return wrong, remarks


def _check_table(
    client: AlmaClient, table: str, name: str, codes: Sequence[str], almas_own: str | None = None
) -> dict[str, str] | None:
    """What is wrong with codes of a table; None where it is not the table that is meant, since it lacks ``almas_own``
    code."""
    if not codes:
        return {}
    rows = _listed(partial(client.conf.code_table, table), codes)
    if almas_own is not None and almas_own not in {row.code for row in rows}:
        return None
    enabled = {row.code for row in rows if row.enabled}
    return {
        code: f"{name} {code!r} is not in Alma's table {table}, or disabled; there are {_some(enabled)}"
        for code in codes
        if code not in enabled
    }


def _listed(read: Callable[[], list[C]], asked: Iterable[str]) -> list[C]:
    """A list of codes. One that names fewer than it counts will do when it names all that are asked for."""
    try:
        return read()
    except RemoteShortList as short:
        if not {row.code for row in short.named}.issuperset(asked):
            raise
        return short.named


def _words(column: str) -> str:
    return column.replace("_", " ").replace("po line", "PO line")


def _check_po_lines(
    client: AlmaClient, numbers: Sequence[str], at_most: int
) -> tuple[dict[str, str], list[str]]:
    if len(numbers) > at_most:
        return {}, [
            f"{len(numbers):,} different PO lines were not asked for beforehand, which would cost a request each: "
            "Alma refuses the rows whose PO line it does not know"
        ]
    wrong: dict[str, str] = {}
    try:
        for number, answer in client.in_parallel(lambda number: _po_line(client, number), numbers):
            match answer:
                case Absent():
                    wrong[number] = f"PO line {number!r} is unknown to Alma"
                case Unknown(error):
                    raise error
                case Found(po_line):
                    if po_line.ended:
                        wrong[number] = f"PO line {number!r} is {po_line.status.lower()}"
    except RemoteUnauthorized:
        # The key is right, or the libraries would have been refused: it lacks the area Acquisitions alone.
        return {}, [
            "PO lines were not asked for beforehand, since the key may not read Acquisitions: "
            "Alma refuses the rows whose PO line it does not know"
        ]
    return wrong, []


def _po_line(client: AlmaClient, number: str) -> Answer[PoLine]:
    try:
        return client.po_lines.read(number)
    except RemoteRefused as error:  # a text that cannot even be asked for
        return Absent(error)


def _check_titles(client: AlmaClient, folder: FileRun, number: int, alma: str) -> int:
    """Ask for the titles of one chunk that no earlier attempt found; how many Alma does not know."""
    checkpoint = _titles(folder, number, alma)
    found = checkpoint.settled()
    mms_ids = [mms_id for mms_id in _mms_ids(folder, number) if mms_id not in found]
    asked = list(_looked_up(client, mms_ids))
    if asked:
        checkpoint.complete(asked)
    return sum(not row["known"] for row in asked)


def _mms_ids(folder: FileRun, number: int) -> Iterator[str]:
    return iter(dict.fromkeys(row["mms_id"] for row in folder.rows(number)))


def _looked_up(client: AlmaClient, mms_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for _, answers in client.in_parallel(
        lambda batch: read_bibs(client.bibs, batch, availability=False), in_batches(mms_ids)
    ):
        for mms_id, answer in answers.items():
            match answer:
                case Unknown(error):
                    raise error
                case Absent():
                    reason = f"Alma does not know the title {mms_id}"
                    yield {"mms_id": mms_id, "known": False, "reason": reason}
                case Found():
                    yield {"mms_id": mms_id, "known": True}


def _some(codes: set[str]) -> str:
    shown = sorted(codes)[:20]
    return ", ".join(shown) + (" and more" if len(codes) > len(shown) else "") if shown else "none"
