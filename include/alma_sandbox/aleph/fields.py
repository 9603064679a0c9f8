"""The fields of a z30 record in Aleph's order, how long they are, and the tables of codes that explain them."""

# Field without ``z30-`` -> the most characters that it holds. What is longer is cut off, as Aleph's fixed fields do.
WIDTHS: dict[str, int] = {
    "doc-number": 9, "item-sequence": 6, "barcode": 30, "sub-library": 5, "material": 5, "item-status": 2,
    "open-date": 8, "update-date": 8, "cataloger": 10, "date-last-return": 8, "hour-last-return": 4,
    "ip-last-return": 20, "no-loans": 3, "alpha": 1, "collection": 5, "call-no-type": 1, "call-no": 80,
    "call-no-key": 80, "call-no-2-type": 1, "call-no-2": 80, "call-no-2-key": 80, "description": 200,
    "note-opac": 200, "note-circulation": 200, "note-internal": 200, "order-number": 30, "inventory-number": 20,
    "inventory-number-date": 8, "last-shelf-report-date": 8, "price": 10, "shelf-report-number": 20,
    "on-shelf-date": 8, "on-shelf-seq": 6, "doc-number-2": 9, "schedule-sequence-2": 5, "copy-sequence-2": 5,
    "vendor-code": 20, "invoice-number": 15, "line-number": 5, "pages": 30, "issue-date": 8,
    "expected-arrival-date": 8, "arrival-date": 8, "item-statistic": 10, "item-process-status": 2, "copy-id": 5,
    "hol-doc-number": 9, "temp-location": 1, "enumeration-a": 20, "enumeration-b": 20, "enumeration-c": 20,
    "enumeration-d": 20, "enumeration-e": 20, "enumeration-f": 20, "enumeration-g": 20, "enumeration-h": 20,
    "chronological-i": 20, "chronological-j": 20, "chronological-k": 20, "chronological-l": 20,
    "chronological-m": 20, "supp-index-o": 30, "85x-type": 1, "depository-id": 5, "linking-number": 9,
    "gap-indicator": 1, "maintenance-count": 3, "process-status-date": 8, "upd-time-stamp": 15,
    "ip-last-return-v6": 50,
}  # fmt: skip
FIELDS = tuple(WIDTHS)
KEY = ("doc-number", "item-sequence")
OWN = ("update-date", "cataloger", "call-no-key", "call-no-2-key", "process-status-date", "upd-time-stamp")
"""Fields that Aleph writes itself; what a caller sends for them is not looked at."""
ZEROED = (
    "no-loans", "on-shelf-seq", "doc-number-2", "schedule-sequence-2", "copy-sequence-2", "line-number",
    "hol-doc-number", "linking-number", "maintenance-count",
)  # fmt: skip
"""Numbers with zeros in front; a cleared one is all zeros."""
DATES = (
    "open-date", "update-date", "date-last-return", "inventory-number-date", "last-shelf-report-date",
    "on-shelf-date", "issue-date", "expected-arrival-date", "arrival-date",
)  # fmt: skip
NO_DATE = "00000000"
DATES_NEVER_EMPTY = ("last-shelf-report-date", "on-shelf-date")

SUB_LIBRARIES = {
    "WID": "Main Library",
    "USCI": "Science Library",
    "ULAW": "Law Library",
    "USTO": "Storage Facility",
}
COLLECTIONS: dict[str, dict[str, str]] = {
    "WID": {"GEN": "General", "PER": "Periodicals", "MIC": "Microform", "RES": "Course reserves"},
    "USCI": {"GEN": "General", "PER": "Periodicals", "MIC": "Microform", "NEW": "New and notable"},
    "ULAW": {"GEN": "General", "PER": "Law reviews"},
    "USTO": {"ARC": "Shared print archive", "MIC": "Film vault"},
}
MATERIALS = {
    "BOOK": "Book",
    "DVDRO": "DVD-ROM",
    "ISSBD": "Issue, bound",
    "ISSUE": "Issue",
    "JOURN": "Journal",
    "MAP": "Map",
    "MICRO": "Microform",
    "SCORE": "Music score",
}
ITEM_STATUSES = {
    "01": "Regular loan",
    "02": "Short loan",
    "03": "Reading room",
    "11": "Overnight loan",
    "91": "Advance booking",
}
ADVANCE_BOOKING = frozenset({"91"})
"""Item statuses whose items have records of advance booking (Z320)."""
PROCESS_STATUSES = {
    "BD": "At bindery",
    "CA": "Order cancelled",
    "IP": "In process",
    "LO": "Lost",
    "MI": "Missing",
    "NA": "Not arrived",
    "OR": "On order",
}
CALL_NUMBER_TYPES = frozenset("012345678i")

# The same places, materials and policies in the pretend Alma: what a map from Aleph to Alma has to say.
PLACES: dict[tuple[str, str], tuple[str, str]] = {
    ("WID", "GEN"): ("MAIN", "stacks"),
    ("WID", "PER"): ("MAIN", "periodicals"),
    ("WID", "MIC"): ("MAIN", "microform"),
    ("WID", "RES"): ("MAIN", "reserves"),
    ("USCI", "GEN"): ("SCI", "stacks"),
    ("USCI", "PER"): ("SCI", "periodicals"),
    ("USCI", "MIC"): ("SCI", "microform"),
    ("USCI", "NEW"): ("SCI", "display"),
    ("ULAW", "GEN"): ("LAW", "stacks"),
    ("ULAW", "PER"): ("LAW", "periodicals"),
    ("USTO", "ARC"): ("STOR", "archive"),
    ("USTO", "MIC"): ("STOR", "microform"),
}
ALMA_MATERIALS = {
    "BOOK": "BOOK", "DVDRO": "DVD", "ISSBD": "ISSBD", "ISSUE": "ISSUE", "JOURN": "JOURNAL", "MAP": "MAP",
    "MICRO": "MICROFORM", "SCORE": "SCORE",
}  # fmt: skip
ALMA_POLICIES = {"01": "01", "02": "02", "03": "03", "11": "BOOK", "91": "ILL"}


def tables() -> dict[str, object]:
    """Every table, for those who write a map from Aleph's codes to Alma's."""
    return {
        "sub-library": SUB_LIBRARIES,
        "collection": COLLECTIONS,
        "material": MATERIALS,
        "item-status": ITEM_STATUSES,
        "item-process-status": PROCESS_STATUSES,
        "to_alma": {
            "places": [
                {"sub-library": here[0], "collection": here[1], "library": there[0], "location": there[1]}
                for here, there in PLACES.items()
            ],
            "material": ALMA_MATERIALS,
            "item-status": ALMA_POLICIES,
        },
    }
