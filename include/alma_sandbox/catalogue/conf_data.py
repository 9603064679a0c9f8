"""Libraries, locations, desks and code tables of the invented institution."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Institution:
    """An institution; all of its ids end in ``suffix``."""

    code: str
    name: str
    suffix: str


SANDBOX = Institution("01ZZ_INST", "Sandbox University", "4401")


@dataclass(frozen=True)
class Location:
    """A location; its code is unique within its library only."""

    code: str
    name: str
    suppressed: bool = False
    type: str = "OPEN"


@dataclass(frozen=True)
class Library:
    """A library with its locations and circulation desks. Its id ends in the institution's suffix.

    ``shelfless``: desks without a hold shelf. ``resource_sharing``: Alma's own Resource Sharing Library, to which no
    patron's hold is delivered.
    """

    code: str
    id: str
    name: str
    locations: tuple[Location, ...]
    desks: tuple[str, ...] = ("DEFAULT_CIRC_DESK",)
    departments: tuple[str, ...] = ()
    shelfless: tuple[str, ...] = ()
    resource_sharing: bool = False

    def location(self, code: str) -> Location | None:
        """The location with this code, if the library has it."""
        return next((location for location in self.locations if location.code == code), None)


LIBRARIES: dict[str, Library] = {
    library.code: library
    for library in (
        Library(
            "MAIN",
            "11200000000",
            "Main Library",
            (
                Location("stacks", "Main Stacks"),
                Location("periodicals", "Periodicals"),
                Location("microform", "Microform"),
                Location("reserves", "Course Reserves"),
                Location("DCB", "Books of other libraries"),
                Location("closed", "Withdrawn, not public", suppressed=True, type="CLOSED"),
                Location("UNASSIGNED", "Unassigned location", suppressed=True, type="UNAVAILABLE"),
            ),
            desks=("DEFAULT_CIRC_DESK", "RES_SHARE", "RETURNS"),
            departments=("AcqDeptMAIN", "Conservation"),
            shelfless=("RETURNS",),
        ),
        Library(
            "SCI",
            "11200000001",
            "Science Library",
            (
                Location("stacks", "Science Stacks"),
                Location("periodicals", "Science Periodicals"),
                Location("display", "New and Notable"),
                Location("microform", "Science Microform"),
            ),
            departments=("AcqDeptSCI",),
        ),
        Library(
            "LAW",
            "11200000002",
            "Law Library",
            (Location("periodicals", "Law Reviews"), Location("stacks", "Law Stacks")),
        ),
        Library(
            "STOR",
            "11200000003",
            "Storage Facility",
            (
                Location("archive", "Shared Print Archive", type="REMOTE"),
                Location("microform", "Film Vault", type="REMOTE"),
            ),
        ),
        Library(
            "RES_SHARE",
            "11200000004",
            "Resource Sharing Library",
            (
                Location("IN_RS_REQ", "Borrowing resource sharing requests"),
                Location("OUT_RS_REQ", "Lending resource sharing requests"),
            ),
            resource_sharing=True,
        ),
    )
}


def library_name(code: str) -> str:
    """Name of a library, or its code when there is none."""
    found = LIBRARIES.get(code)
    return found.name if found else code


def location_of(library: str, code: str) -> Location | None:
    """A location by library and code."""
    found = LIBRARIES.get(library)
    return found.location(code) if found else None


def location_name(library: str, code: str) -> str:
    """Name of a location, or its code when there is none."""
    found = location_of(library, code)
    return found.name if found else code


# code table -> {code: description}
CODE_TABLES: dict[str, dict[str, str]] = {
    "BaseStatus": {"0": "Item not in place", "1": "Item in place"},
    "PROCESSTYPE": {
        "ACQ": "Acquisition",
        "CLAIM_RETURNED_LOAN": "Claimed Returned",
        "HOLDSHELF": "Hold Shelf",
        "ILL": "Resource Sharing Request",
        "LOAN": "Loan",
        "LOST_ILL": "Lost resource sharing item",
        "LOST_LOAN": "Lost",
        "LOST_LOAN_AND_PAID": "Lost and paid",
        "MISSING": "Missing",
        "REQUESTED": "Requested",
        "TECHNICAL": "Technical - Migration",
        "TRANSIT": "Transit",
        "TRANSIT_TO_REMOTE_STORAGE": "Transit to remote storage",
        "WORK_ORDER_DEPARTMENT": "In Process",
    },
    "ItemPolicy": {
        "01": "Loan 28 days",
        "02": "Loan 7 days",
        "03": "In library use",
        "BOOK": "Book",
        "DCB": "Resource sharing",
        "DCB_NO_RENEW": "Resource sharing, no renewal",
        "ILL": "Interlibrary Loan",
    },
    "PhysicalMaterialType": {
        "BOOK": "Book",
        "DVD": "DVD",
        "ISSBD": "Issue, bound",
        "ISSUE": "Issue",
        "JOURNAL": "Journal",
        "MAP": "Map",
        "MICROFORM": "Microform",
        "SCORE": "Music score",
    },
    "CallNumberType": {
        "0": "Library of Congress classification",
        "1": "Dewey Decimal classification",
        "4": "Shelving control number",
        "7": "Source specified in subfield $2",
        "8": "Other scheme",
    },
    "RequestCancellationReasons": {
        "AdditionalReason01": "Additional reason 1",
        "AdditionalReason02": "Additional reason 2",
        "CancelledAtPatronRequest": "Canceled at patron's request",
        "CannotBeFulfilled": "Request cannot be fulfilled",
    },
    "LoanProcessStatusSearchColumn": {
        "CLAIMED_RETURN": "Claimed returned",
        "LOST": "Lost",
        "NORMAL": "Normal",
        "OVERDUE": "Overdue",
        "RECALL": "Recall",
        "RENEW": "Renewed",
    },
    "UserGroups": {
        "DCB": "Resource sharing patron",
        "FACULTY": "Faculty",
        "GRAD": "Graduate",
        "STAFF": "Staff",
        "UGRD": "Undergraduate",
        "VISITOR": "Visitor without borrowing rights",
    },
    "UserIdentifierTypes": {
        "BARCODE": "Barcode",
        "INST_ID": "Institution ID",
        "OTHER_ID_1": "Additional ID 1",
    },
    "UserBlockTypes": {"CASH": "Cash", "GENERAL": "General", "LOAN": "Loan", "USER": "User"},
    "UserBlockDescription": {
        "01-OVERDUE": "Overdue items",
        "02-GLOBAL": "Blocked by an operator",
        "03-LIMIT": "Fine limit reached",
    },
    "SetContentType": {
        "BIB_MMS": "All Titles",
        "HOLDING": "Physical Holdings",
        "IEP": "Physical Titles",
        "ITEM": "Physical Items",
        "USER": "Users",
    },
    "BriefLevels": {f"{level:02d}": f"{level:02d}" for level in range(1, 11)},
    "CatalogerLevel": {"00": "Default Level", "10": "Trainee", "20": "Cataloguer", "30": "Expert"},
    "CurrencySubset": {"EUR": "Euro", "GBP": "Pound Sterling", "JPY": "Yen", "USD": "US Dollar"},
    "BreakIndicator": {"C": "Complete", "G": "Gap", "I": "Incomplete"},
    "PatternType": {"1": "Enumeration and chronology"},
    "PhysicalCondition": {"BRITTLE": "Brittle", "DAMAGED": "Damaged", "GOOD": "Good"},
    "RetentionReason": {"CooperativeRetention": "Cooperative retention", "WEST": "WEST commitment"},
    "provenanceCodes": {"GIFT": "Gift"},
    "YesNo": {"false": "No", "true": "Yes"},
    "WorkOrderType": {"Binding": "Binding", "Conservation": "Conservation"},
}

# Codes that stand in a table, but may not be used.
DISABLED: dict[str, frozenset[str]] = {"RequestCancellationReasons": frozenset({"AdditionalReason02"})}

PATRON_ROLE = "200"
WITHOUT_ROLE_RULE = frozenset({"VISITOR"})
"""User groups whose new users get the Patron role by no role-assignment rule."""


def description(table: str, code: str) -> str:
    """What a code means, or the code itself when the table does not say."""
    return CODE_TABLES.get(table, {}).get(code, code)
