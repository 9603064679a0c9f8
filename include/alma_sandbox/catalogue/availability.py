"""The fields AVA and AVE that ``expand=p_avail,e_avail`` adds to a bib (section 3.3 of the API's notes).

The quirks are kept on purpose: an item in a temporary location has a row without ``$8``; a holding all of whose
items are elsewhere has no row of its own; a holding without items says ``check_holdings`` and has no counts; a
bound-with bib shows the rows of its host, with the host's id in ``$0``; suppressed holdings are not shown.
"""

from collections.abc import Callable, Iterable

from alma_sandbox.catalogue import conf_data, ids
from alma_sandbox.catalogue.conf_data import Institution
from alma_sandbox.catalogue.marc import DataField, data_field
from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.catalogue.store import Catalogue


def calculated_suppressed(holding: Holding) -> bool:
    """Whether a holding is suppressed by its own flag or by its location's."""
    location = conf_data.location_of(holding.library, holding.location)
    return holding.suppressed or (location is not None and location.suppressed)


def physical(
    catalogue: Catalogue, bib: Bib, is_listed: Callable[[Holding], bool], *, show_suppressed: bool
) -> list[DataField]:
    """The AVA rows of a bib, those of the host of a bound-with after its own."""
    rows = _rows(catalogue, bib.mms_id, is_listed, show_suppressed)
    if bib.host_mms_id is not None:
        rows += _rows(catalogue, bib.host_mms_id, is_listed, show_suppressed)
    return rows


def electronic(institution: Institution, bib: Bib) -> list[DataField]:
    """The AVE row of a bib that has a portfolio."""
    title = ids.title_of_mms_id(bib.mms_id, institution.suffix)
    if not bib.portfolio or title is None:
        return []
    link = f"https://resolver.invalid/view/uresolver/{institution.code}/openurl?rft.mms_id={bib.mms_id}"
    row = (("8", ids.portfolio_id(title, institution.suffix)), ("e", "Available"), ("u", link))
    return [data_field("AVE", "  ", *row)]


def _rows(
    catalogue: Catalogue, mms_id: str, is_listed: Callable[[Holding], bool], show_suppressed: bool
) -> list[DataField]:
    rows = []
    for priority, holding in enumerate(catalogue.holdings_of(mms_id), 1):
        if not is_listed(holding):
            continue
        if (calculated_suppressed(holding) and not show_suppressed) or len(_libraries(holding)) != 1:
            continue  # without a library, or with two, a holding is in no availability index
        items = catalogue.items_of(holding.holding_id)
        at_home = [item for item in items if not item.in_temp_location]
        if at_home or not items:
            home = (holding.library, holding.location)
            rows.append(_row(catalogue.institution, holding, at_home, priority, home, at_home=True))
        away: dict[tuple[str, str], list[Item]] = {}
        for item in items:
            if item.in_temp_location:
                away.setdefault((item.temp_library, item.temp_location), []).append(item)
        for place, group in away.items():
            rows.append(_row(catalogue.institution, holding, group, priority, place, at_home=False))
    return rows


def _libraries(holding: Holding) -> list[str]:
    return [code for entry in holding.record.data("852") for code in entry.all("b") if code]


def _row(
    institution: Institution,
    holding: Holding,
    items: list[Item],
    priority: int,
    place: tuple[str, str],
    *,
    at_home: bool,
) -> DataField:
    library, location = place
    unavailable = sum(not item.in_place for item in items)
    state = "check_holdings" if not items else "available" if unavailable < len(items) else "unavailable"
    row = [("0", holding.mms_id)]
    if at_home:
        row.append(("8", holding.holding_id))
    row += [
        ("a", institution.code),
        ("b", library),
        ("c", conf_data.location_name(library, location)),
        ("d", holding.call_number),
        ("e", state),
    ]
    if items:
        row += [("f", str(len(items))), ("g", str(unavailable))]
    summary = _summary(holding)
    if at_home and items and summary:
        row.append(("v", summary[0]))
    row += [
        ("j", location),
        ("k", holding.call_number_type),
        ("p", str(priority)),
        ("q", conf_data.library_name(library)),
    ]
    if at_home:
        row += [("t", text) for text in summary[1:3] or [""]]  # repeatable, and often empty
    return data_field("AVA", "  ", *row)


def _summary(holding: Holding) -> list[str]:
    """Statements short enough for the availability row."""
    return _short(value for entry in holding.record.data("866") for value in entry.all("a"))


def _short(values: Iterable[str]) -> list[str]:
    return [value if len(value) <= 200 else value[:197] + "..." for value in values]
