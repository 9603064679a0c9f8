"""What a run of `dcb_place_request` or `dcb_cancel_request` is given: by the form in Airflow or by its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from alma_etl.dcb.settings import DcbSettings, SystemCode
from alma_etl.errors import InputProblem
from alma_etl.identifiers import read_characters
from alma_etl.jobs.settings_files import Form, sentence_of

# Ids go into paths of URLs and into the marker of the hold's comment.
RequestId = Annotated[
    str, Form(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "letters, digits, . _ and -, at most 64 of them")
]
AlmaId = Annotated[str, Form(r"^[0-9]{5,20}$", "an id of Alma, which is 5 to 20 digits")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def _visible(value: object) -> object:
    """A barcode without what cannot be seen in it; the rest is as it was given, since the book in Alma has it so."""
    if not isinstance(value, str):
        return value
    read = read_characters(value)
    if read.problem:
        raise ValueError(read.problem)
    return read.value


Barcode = Annotated[
    str,
    BeforeValidator(_visible),
    StringConstraints(strip_whitespace=True),
    Form(r"^[^\x00-\x1f\x7f]{1,100}$", "a barcode of 1 to 100 characters that can be printed"),
]


class _ConfPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Supplier(_ConfPart):
    """The copy that is asked for, in the lender's Alma."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "system": "LENDER",
                    "mms_id": "990010000000004401",
                    "holding_id": "220010000000004401",
                    "item_pid": "230010000000004401",
                }
            ]
        }
    )

    system: SystemCode = Field(description="Code of the lender's system in config/dcb.yaml")
    mms_id: AlmaId = Field(description="MMS id of the title")
    holding_id: AlmaId = Field(description="Id of the holding")
    item_pid: AlmaId = Field(description="Id (pid) of the item")


class Borrower(_ConfPart):
    """Who asks, in the borrower's system."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"system": "BORROWER", "user_id": "patron001"}]}
    )

    system: SystemCode = Field(description="Code of the borrower's system in config/dcb.yaml")
    user_id: Name = Field(description="Primary identifier of the patron there")


class Pickup(_ConfPart):
    """Where the patron fetches the book."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"system": "BORROWER", "library": "SCI", "circ_desk": "DEFAULT_CIRC_DESK"}]
        }
    )

    system: SystemCode = Field(description="Code of the system of the pickup library")
    library: Name = Field(description="Alma code of the pickup library")
    circ_desk: Name | None = Field(None, description="Its circulation desk, where the library has several")


class Bib(_ConfPart):
    """What the virtual title shows to staff and patron."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "A title", "author": "An author", "isbn": "9780000000002"}]}
    )

    title: Line = Field(description="Title")
    author: Line | None = Field(None, description="Author")
    isbn: Name | None = Field(None, description="ISBN")


class Item(_ConfPart):
    """What the virtual item shows: the barcode is that of the book, so that it can be scanned."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"barcode": "31000000000000", "material_type": "BOOK"}]}
    )

    barcode: Barcode = Field(description="Barcode of the lender's item")
    material_type: Name = Field("BOOK", description="Alma code of the physical material type")


class PlaceRequest(_ConfPart):
    """The conf of `dcb_place_request`."""

    pr_id: RequestId = Field(description="Id of the patron request: DCB's, or your own; never used twice")
    workflow: Literal["RET-STD", "RET-PUA"] = Field(
        "RET-STD",
        description="RET-STD: picked up at a library of the borrower's; RET-PUA: at a third system's",
    )
    supplier: Supplier
    borrower: Borrower
    pickup: Pickup
    bib: Bib
    item: Item
    note: Line | None = Field(None, description="For the staff of the pickup library")

    @model_validator(mode="after")
    def _sides_fit(self) -> PlaceRequest:
        if self.supplier.system == self.borrower.system:
            raise ValueError(
                "supplier and borrower are the same system: that is a local request, not a DCB one"
            )
        same = self.pickup.system == self.borrower.system
        if self.workflow == "RET-STD" and not same:
            raise ValueError("pickup.system must be the borrower's for RET-STD; another system needs RET-PUA")
        if self.workflow == "RET-PUA" and (same or self.pickup.system == self.supplier.system):
            raise ValueError("pickup.system must be a third system for RET-PUA")
        return self


class CancelRequest(_ConfPart):
    """The conf of `dcb_cancel_request`."""

    pr_id: RequestId = Field(description="Id of the patron request")
    reason: Name | None = Field(
        None, description="Code of a request cancellation reason in Alma; else that of config/dcb.yaml"
    )


Conf = TypeVar("Conf", bound=BaseModel)


def read_place(conf: Mapping[str, Any] | None, settings: DcbSettings) -> PlaceRequest:
    """Check the conf of a placing. Raises InputProblem with a sentence for each fault."""
    place = _read(conf, PlaceRequest, "placed")
    for side, system in (
        ("supplier", place.supplier.system),
        ("borrower", place.borrower.system),
        ("pickup", place.pickup.system),
    ):
        if system not in settings.systems:
            known = ", ".join(sorted(settings.systems))
            raise InputProblem(
                f"{side}.system: there is no system {system!r} in config/dcb.yaml; known are {known}"
            )
    if settings.systems[place.supplier.system].kind != "alma":
        raise InputProblem(
            f"supplier.system: {place.supplier.system} is not an Alma; requests are placed in Alma"
        )
    _check_parts(place, settings)
    return place


def _check_parts(place: PlaceRequest, settings: DcbSettings) -> None:
    """Each system has the settings that its part in this request needs."""
    needs = {
        place.supplier.system: ["sharing_library", "user_group"],
        place.borrower.system: ["location", "item_policy"],
    }
    if place.workflow == "RET-PUA":
        needs[place.borrower.system].append("sharing_library")
        needs[place.pickup.system] = ["location", "item_policy", "user_group"]
    for code, names in needs.items():
        system = settings.systems[code]
        missing = system.lacks(*names) if system.kind == "alma" else []
        if missing:
            raise InputProblem(
                f"The system {code} of config/dcb.yaml lacks {', '.join(missing)}, which its part in this request needs"
            )


def read_cancel(conf: Mapping[str, Any] | None) -> CancelRequest:
    """Check the conf of a cancellation. Raises InputProblem with a sentence for each fault."""
    return _read(conf, CancelRequest, "cancelled")


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a conf, for the form and the documents."""
    return model.model_json_schema()


def _read(conf: Mapping[str, Any] | None, model: type[Conf], what: str) -> Conf:
    try:
        return model.model_validate(conf or {})
    except ValidationError as error:
        raise InputProblem(f"The request cannot be {what} as given: {sentence_of(error, model)}") from error
