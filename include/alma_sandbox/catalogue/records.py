"""Bibs, holdings and items as the sandbox keeps them."""

from dataclasses import dataclass, field
from datetime import datetime

from alma_sandbox.catalogue.marc import Record

# Fields of item_data that a client may write, besides the coded ones, in Alma's order (section 5.4).
ITEM_TEXTS = (
    "description", "pages", "pieces", "issue_date", "arrival_date", "expected_arrival_date",
    "year_of_issue", "enumeration_a", "enumeration_b", "enumeration_c", "enumeration_d", "enumeration_e",
    "enumeration_f", "enumeration_g", "enumeration_h", "chronology_i", "chronology_j", "chronology_k",
    "chronology_l", "chronology_m", "linking_number", "type_of_unit", "receiving_operator",
    "inventory_number", "inventory_date", "inventory_price", "replacement_cost", "receive_number",
    "alternative_call_number", "alt_number_source", "storage_location_id", "public_note",
    "fulfillment_note", "internal_note_1", "internal_note_2", "internal_note_3", "statistics_note_1",
    "statistics_note_2", "statistics_note_3", "retention_note", "po_line", "weeding_number", "weeding_date",
)  # fmt: skip
# Coded fields of item_data and the code table that explains each.
ITEM_CODES = {
    "physical_material_type": "PhysicalMaterialType",
    "policy": "ItemPolicy",
    "provenance": "provenanceCodes",
    "break_indicator": "BreakIndicator",
    "pattern_type": "PatternType",
    "alternative_call_number_type": "CallNumberType",
    "physical_condition": "PhysicalCondition",
    "committed_to_retain": "YesNo",
    "retention_reason": "RetentionReason",
}
# Fields of holding_data that say where an item is for a time.
TEMPORARY = (
    "temp_library", "temp_location", "temp_call_number", "temp_call_number_type", "temp_call_number_source",
    "temp_policy",
)  # fmt: skip


@dataclass
class Bib:
    """A bibliographic record and what Alma keeps beside its MARC."""

    mms_id: str
    record: Record
    suppressed: bool = False
    suppressed_external: bool = False
    sync_with_oclc: str = "BIBS"
    cataloging_level: str = "00"
    brief_level: str = ""  # empty: the institution's rule computes it
    linked_record: tuple[str, str] | None = None  # (type, id), e.g. ("NZ", "99...")
    created_by: str = "import"
    created_date: str = "2020-12-02Z"
    modified_by: str = "System"
    modified_date: str = "2024-05-01Z"
    originating_system: str = "ILS"
    originating_system_id: str = ""
    host_mms_id: str | None = None  # the bib on whose holdings a bound-with title hangs
    portfolio: bool = False
    saved_at: str = ""  # when a call saved it, as Alma writes times; kept while an index lags
    before: Record | None = None  # what an index that lags still has; None: it did not have this bib

    def in_index(self, now: datetime, lag_s: float) -> Record | None:
        """The record as an index has it that is ``lag_s`` seconds behind; None while it does not have it."""
        if not lag_s or not self.saved_at:
            return self.record
        age = (now - datetime.fromisoformat(self.saved_at)).total_seconds()
        return self.record if age >= lag_s else self.before


@dataclass
class Holding:
    """A holdings record. Library and location live in its 852 only, as in Alma."""

    holding_id: str
    mms_id: str
    record: Record
    suppressed: bool = False
    created_by: str = "import"
    created_date: str = "2020-12-02Z"
    modified_by: str = "System"
    modified_date: str = "2024-01-01Z"
    originating_system: str = "ILS"
    originating_system_id: str = ""
    made_at: str = ""  # when a call made it, as Alma writes times

    def _852(self, code: str) -> str:
        fields = self.record.data("852")
        return fields[0].first(code) if fields else ""

    @property
    def library(self) -> str:
        """Library code, 852 $b."""
        return self._852("b")

    @property
    def location(self) -> str:
        """Location code, 852 $c."""
        return self._852("c")

    @property
    def call_number(self) -> str:
        """Call number, 852 $h and $i."""
        return " ".join(part for part in (self._852("h"), self._852("i")) if part)

    @property
    def call_number_type(self) -> str:
        """First indicator of 852."""
        fields = self.record.data("852")
        return fields[0].ind1.strip() if fields else ""


@dataclass
class Item:
    """An item. ``base_status`` 1 = in place, 0 = not in place; ``process_type`` says why not."""

    pid: str
    mms_id: str
    holding_id: str
    barcode: str
    texts: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    is_magnetic: bool = False
    copy_id: str = ""
    in_temp_location: bool = False
    temp_library: str = ""
    temp_location: str = ""
    temp_call_number: str = ""
    temp_call_number_type: str = ""
    temp_call_number_source: str = ""
    temp_policy: str = ""
    process_type: str = ""
    awaiting_reshelving: bool = False
    work_order_type: str = ""
    work_order_at: str = ""
    work_order_status: str = ""
    created_date: str = "2021-03-09Z"
    modified_date: str = "2024-04-03Z"

    @property
    def in_place(self) -> bool:
        """Whether the base status is "Item in place"."""
        return self.process_type in ("", "REQUESTED")
