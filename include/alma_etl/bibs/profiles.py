"""Profiles of bibliographic imports: how records find their title, and what then becomes of both."""

import codecs
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from alma_etl.alma.bib_writes import BibFlags
from alma_etl.bibs.brief_level import BriefLevelRule
from alma_etl.bibs.field_patterns import FieldPattern
from alma_etl.bibs.inventory import Inventory
from alma_etl.bibs.merging import OVERLAY, MergeRule
from alma_etl.bibs.order_reference import OrderReferenceRule
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.bibs.templates import RecordTemplate
from alma_etl.jobs.profiles import JobProfile, JobProfiles
from alma_etl.jobs.settings_files import Code, SettingsFile
from alma_etl.store.bucket import Bucket

CATALOG = "catalog"
OF_AN_INSTITUTION = (
    "the network zone has no physical inventory and no PO lines: `inventory`, `orders` and `match` by order need "
    "`zone: iz`"
)
NETWORK_OF_AN_INSTITUTION = "`network` says where an institution links records from: it needs `zone: iz`"
T = TypeVar("T")
LONGEST_LOCK = 60  # minutes: Alma frees a title itself an hour after its cataloguer has left
Method = Literal["oclc", "019", "mms_id", "isbn", "issn", "system", "order"]
WEAK: frozenset[Method] = frozenset(("isbn", "issn", "system"))
"""Methods by numbers that other publications carry too: a match has to agree in carrier and OCLC number."""
NEEDS_SRU: frozenset[Method] = frozenset(("isbn", "issn"))
"""Methods that Alma's REST API cannot look up."""

_WORDS: Mapping[Method, str] = {
    "oclc": "the OCLC number (035 $a, or 001 where 003 is OCoLC)",
    "019": "former OCLC numbers (019, 035 $z)",
    "mms_id": "the MMS id in 001",
    "isbn": "ISBN",
    "issn": "ISSN",
    "system": "numbers of other systems (035)",
    "order": "the reference of its order",
}


def _is_pattern(text: str) -> str:
    FieldPattern.parse(text)
    return text


Patterns = tuple[Annotated[Code, AfterValidator(_is_pattern)], ...]


class BibProfile(JobProfile):
    """One profile; the comments of the shipped file explain each setting. The defaults are those of `catalog`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    zone: Literal["iz", "nz"] = "iz"
    network: Code | None = None
    match: tuple[Method, ...] = ("oclc", "019", "mms_id")
    on_match: Literal["merge", "overlay", "skip"] = "merge"
    on_no_match: Literal["create", "skip"] = "create"
    on_refused: Literal["report", "create"] = "report"
    search_first: bool = False
    protect: Patterns = ("9XX", "XXX$9")
    replace: Patterns = ("LDR", "XXX")
    add: Patterns = ("035",)
    check_005: bool = True
    brief_level: BriefLevelRule | None = BriefLevelRule()
    lock_wait_minutes: Annotated[int, Field(ge=0, le=LONGEST_LOCK)] = LONGEST_LOCK
    normalization: Code | None = None
    validates: Annotated[bool, Field(alias="validate")] = True
    override_warning: bool = True
    suppress: bool = False
    suppress_externally: bool | None = None
    sync_with_oclc: Literal["NONE", "BIBS", "HOLDINGS"] | None = None
    flags_on_match: Literal["keep", "set"] = "keep"
    encoding: Code | None = None
    order_reference: OrderReferenceRule | None = None
    orders: OrderProfile | None = None
    inventory: Inventory | None = None
    template: RecordTemplate | None = None
    awaits_full_record: bool = False

    @field_validator("match", mode="before")
    @classmethod
    def _methods(cls, value: Any) -> Any:
        methods = [value] if isinstance(value, str) else value
        if not isinstance(methods, list | tuple):
            return value
        if len(set(map(str, methods))) < len(methods):
            raise ValueError("it names a method twice")
        if not methods:
            raise ValueError(f"name at least one of {', '.join(_WORDS)}")
        return methods

    @field_validator("brief_level", "orders", "template", mode="before")
    @classmethod
    def _or_none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("encoding")
    @classmethod
    def _is_codec(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            known = codecs.lookup(value)._is_text_encoding
        except LookupError:
            known = False
        if not known:
            raise ValueError(
                f"there is no encoding {value!r}; write it as in Python: cp1252, latin-1, iso8859-2"
            )
        return value

    @field_validator("inventory", "orders")
    @classmethod
    def _of_an_institution(cls, value: T, info: ValidationInfo) -> T:
        if value is not None and info.data.get("zone") == "nz":
            raise ValueError(OF_AN_INSTITUTION)
        return value

    @property
    def by_order(self) -> OrderReferenceRule | None:
        """Where a record names the order that it is matched by; None for a profile that matches by none."""
        return self.order_reference if "order" in self.match else None

    @property
    def problem(self) -> str:
        """Why the settings do not fit together, "" when they do: each may come from `catalog`."""
        if self.zone == "nz" and (self.inventory or self.orders or "order" in self.match):
            return OF_AN_INSTITUTION
        if self.zone == "nz" and self.network is not None:
            return NETWORK_OF_AN_INSTITUTION
        if "order" in self.match and self.order_reference is None:
            return (
                "`match` names order: say by `order_reference` where a record has the reference of its order"
            )
        if self.inventory is not None and self.inventory.of_order and self.order_reference is None:
            return "`inventory` is of_order: say by `order_reference` where a record has the reference of its order"
        if "order" in self.match and "oclc" not in self.match:
            return (
                "`match` names order: name oclc beside it, so that a title that has the record's number already "
                "is seen"
            )
        return ""

    @property
    def rule(self) -> MergeRule:
        """How a record becomes part of a title."""
        if self.on_match == "overlay":
            return OVERLAY
        return MergeRule.of(protect=self.protect, replace=self.replace, add=self.add)

    @property
    def flags(self) -> BibFlags:
        """What is set beside the MARC of a title that a record matches; nothing where it keeps its own."""
        if self.flags_on_match == "keep":
            return BibFlags()
        return BibFlags(self.suppress, self.suppress_externally, self.sync_with_oclc)

    def sentences(self) -> list[str]:
        found = self.template.sentences() if self.template else []
        found.append(f"A record is matched by {', then '.join(_WORDS[each] for each in self.match)}.")
        found.append(
            {
                "merge": f"It is merged into the title that it matches: replaced are {_listed(self.replace)}, kept are "
                f"{_listed(self.protect)} and fields marked as local, added are {_listed(self.add)}.",
                "overlay": "It overlays the title that it matches, but for fields with $9.",
                "skip": "A title that it matches is left as it is.",
            }[self.on_match]
        )
        if self.network is not None:
            found.append(
                "A record without a title is looked up in the network zone, by the connection "
                f"{self.network}; the zone's record is linked into the institution as it is."
            )
        without = "a title in either" if self.network is not None else "a title"
        found.append(
            f"A record without {without} becomes a new one{', suppressed' if self.suppress else ''}."
            if self.on_no_match == "create"
            else f"A record without {without} is reported."
        )
        if self.flags.elements and self.on_match != "skip":
            found.append(f"That title is {'' if self.suppress else 'not '}suppressed then{self._to_oclc()}.")
        if self.order_reference is not None:
            found.append(
                f"The reference of its order stands in {', else '.join(self.order_reference.source)} "
                f"(vendor {self.order_reference.vendor})."
            )
        if self.awaits_full_record:
            found.append("New titles are listed as waiting for their full record.")
        if self.search_first:
            found.append("Titles that have inventory are reported and not changed.")
        refused = [
            *(["is briefer than its title"] if self.brief_level else []),
            *(["is older than its title by 005"] if self.check_005 else []),
            "finds its title open in the metadata editor",
        ]
        what = "is added as a new title" if self.on_refused == "create" else "is not added"
        found.append(f"A record that {', or '.join(refused)} {what}.")
        if self.inventory is not None:
            found += self.inventory.sentences()
        return [*found, *(self.orders.sentences() if self.orders else []), *self.dry_run_sentence()]

    def _to_oclc(self) -> str:
        return f", and published to OCLC as {self.sync_with_oclc}" if self.sync_with_oclc else ""


BibProfiles = JobProfiles[BibProfile]
SETTINGS = SettingsFile("config/bib_profiles.yaml", BibProfiles, "alma_etl.bibs", everywhere=True)
GIVES = "how records are matched and merged"


def read_profiles(bucket: Bucket) -> BibProfiles:
    """Return the profiles that hold, those of the bucket over the shipped ones. Raises InputProblem."""
    return completed(SETTINGS.shipped(), SETTINGS.read(bucket, may_use_shipped=True))


def completed(shipped: BibProfiles, found: BibProfiles | None) -> BibProfiles:
    """Return the profiles that hold: the shipped ones, by name those of the bucket instead; a key that one of these
    leaves out has the value that `catalog` has, and so have the bounds for all of them."""
    if found is None:
        return shipped
    given = {**shipped.profiles, **found.profiles}
    base = shipped.profiles[CATALOG]
    catalog = _over(base, given[CATALOG])
    profiles = {name: _over(catalog, profile) for name, profile in given.items()}
    bounds = {name: getattr(found, name) for name in found.model_fields_set}
    return shipped.model_copy(update={**bounds, "profiles": profiles})


def _over(base: BibProfile, profile: BibProfile) -> BibProfile:
    return base.model_copy(update={name: getattr(profile, name) for name in profile.model_fields_set})


def _listed(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "none"
