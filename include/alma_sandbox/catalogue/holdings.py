"""Holdings records and items computed from the seed and the number of the title."""

from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.draft import Dice, HoldingDraft, ItemDraft
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, data_field
from alma_sandbox.catalogue.records import Holding, Item
from alma_sandbox.catalogue.variants import holding_draft, title_draft


def count(seed: int, title: int) -> int:
    """How many holdings a title has at first (0-3)."""
    return title_draft(seed, title).holdings


def _852(draft: HoldingDraft, call_number: tuple[str, str]) -> list[DataField]:
    if not draft.write_852:
        return []
    subfields = [("b", draft.library)] if draft.write_852b else []
    subfields += [("c", draft.location), ("h", call_number[0]), ("i", call_number[1])]
    return [data_field("852", "0 ", *subfields)]


def holding(seed: int, title: int, number: int, suffix: str = ids.SUFFIX) -> Holding:
    """Holding number ``number`` of a title, at the institution with this suffix."""
    draft = holding_draft(seed, title, number)
    dice = Dice(seed, "holding record", title, number)
    holding_id, mms_id = ids.holding_id(title, number, suffix), ids.mms_id(title, suffix)
    call_number = (f"AP{dice.between(1, 99, 'class')}", f".S{title + 1:05d}")
    # Holdings that came from an older system keep that system's numbers in 001 and 004.
    own, parent = (f"{title * 3 + number + 1}", f"{title + 1}") if draft.migrated else (holding_id, mms_id)
    fields: list[ControlField | DataField] = [
        ControlField("001", own),
        ControlField("004", parent),
        ControlField("005", f"2023{dice.between(1, 12, 'month'):02d}15120000.0"),
    ]
    if draft.field008 is not None:
        fields.append(ControlField("008", draft.field008))
    fields += [*draft.notes, *_852(draft, call_number), *draft.statements, *draft.extra]
    fields.sort(key=_tag_order)
    return Holding(
        holding_id=holding_id,
        mms_id=mms_id,
        record=Record(draft.leader, fields),
        suppressed=draft.suppressed,
        originating_system_id=f"{title * 3 + number + 1}-west",
    )


def _tag_order(entry: ControlField | DataField) -> tuple[str, str]:
    """Tags ascending; paired fields keep their order (sorting is stable)."""
    return (entry.tag, "")


def item_drafts(seed: int, title: int, number: int) -> list[ItemDraft]:
    """The items that a holding has at first."""
    return holding_draft(seed, title, number).items


def item(title: int, number: int, copy: int, draft: ItemDraft, suffix: str = ids.SUFFIX) -> Item:
    """Item number ``copy`` of a holding, at the institution with this suffix."""
    volume = copy + 1
    temporary = draft.temporary or ("", "")
    return Item(
        pid=ids.item_pid(title, number, copy, suffix),
        mms_id=ids.mms_id(title, suffix),
        holding_id=ids.holding_id(title, number, suffix),
        barcode=ids.barcode(title, number, copy, suffix),
        texts={
            "description": f"v.{volume}",
            "enumeration_a": str(volume),
            "pieces": "1",
            "arrival_date": "2021-04-03Z",
            "receiving_operator": "import",
        },
        codes={"physical_material_type": "ISSBD", "policy": "01"},
        copy_id=str(volume),
        in_temp_location=draft.temporary is not None,
        temp_library=temporary[0],
        temp_location=temporary[1],
        process_type=draft.process_type,
    )
