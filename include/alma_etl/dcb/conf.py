"""What a run of `dcb_place_request` or `dcb_cancel_request` is given: by the form in Airflow or by its REST API."""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from alma_etl.dcb.machine.vocabulary import Workflow
from alma_etl.dcb.settings import DcbSettings, SystemCode
from alma_etl.errors import InputProblem
from alma_etl.identifiers import read_characters
from alma_etl.jobs.settings_files import Form, sentence_of


def _one_line(value: object) -> object:
    """A text in one line. Neither XML nor PostgreSQL takes what else cannot be printed."""
    line = " ".join(value.split()) if isinstance(value, str) else value
    if isinstance(line, str) and any(unicodedata.category(each) in ("Cc", "Cs") for each in line):
        raise ValueError("holds characters that cannot be printed: type it again")
    return line


# Ids go into paths of URLs and into the marker of the hold's comment.
Stripped = StringConstraints(strip_whitespace=True)
RequestId = Annotated[
    str,
    Stripped,
    Form(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "letters, digits, . _ and -, at most 64 of them"),
]
AlmaId = Annotated[str, Stripped, Form(r"^[0-9]{5,20}$", "an id of Alma, which is 5 to 20 digits")]
OneLine = BeforeValidator(_one_line)
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), OneLine]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), OneLine]


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
    Stripped,
    Form(r"^[^\x00-\x1f\x7f]{1,100}$", "a barcode of 1 to 100 characters that can be printed"),
]


def _given(value: object) -> object:
    """A field that was left empty is not given."""
    return None if isinstance(value, str) and not value.strip() else value


IfGiven = BeforeValidator(_given)


def _stripped(value: object) -> object:
    return _given(value.strip() if isinstance(value, str) else value)


def _usual(value: object) -> object:
    return _stripped(value) or Workflow.STANDARD


def _lines(value: object) -> object:
    if value is None:
        return ()
    return [line for line in map(str.strip, value.splitlines()) if line] if isinstance(value, str) else value


def _spaced(value: object) -> object:
    return _visible(" ".join(value.split(None, 1))) if isinstance(value, str) else value


CopyLine = Annotated[
    str,
    BeforeValidator(_spaced),
    Stripped,
    Form(
        r"^[A-Za-z0-9_.-]{1,40} [^\x00-\x1f\x7f]{1,100}$",
        "the code of a system, a blank and a barcode, such as LENDER 31000000000000",
    ),
]
CopyLines = Annotated[
    tuple[CopyLine, ...],
    BeforeValidator(_lines),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "null"},
            ]
        }
    ),
]


class _ConfPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _made_where_empty(schema: dict[str, Any]) -> None:
    schema["required"].remove("pr_id")


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy that may be asked for: a system and the book's barcode, or the ids of title, holding and item there."""

    system: str
    barcode: str | None = None
    mms_id: str | None = None
    holding_id: str | None = None
    item_pid: str | None = None

    def __str__(self) -> str:
        return f"{self.barcode or self.item_pid} of {self.system}"


class PlaceRequest(_ConfPart):
    """The conf of `dcb_place_request`. What is left empty is looked up in the lender's Alma."""

    model_config = ConfigDict(json_schema_extra=_made_where_empty)

    pr_id: RequestId = Field(
        description="Id of the patron request: DCB's, or your own; never used twice. Empty: one is made"
    )
    supplier_system: SystemCode = Field(description="Needed. Code of the lender's system in config/dcb.yaml")
    item_barcode: Annotated[Barcode | None, IfGiven] = Field(
        None, description="Barcode of the book at the lender. Needed, unless the three ids below are given"
    )
    supplier_mms_id: Annotated[AlmaId | None, IfGiven] = Field(
        None, description="Instead of the barcode: MMS id of the title at the lender"
    )
    supplier_holding_id: Annotated[AlmaId | None, IfGiven] = Field(
        None, description="Instead of the barcode: id of the holding at the lender"
    )
    supplier_item_pid: Annotated[AlmaId | None, IfGiven] = Field(
        None, description="Instead of the barcode: id (pid) of the item at the lender"
    )
    borrower_system: SystemCode = Field(
        description="Needed. Code of the borrower's system in config/dcb.yaml"
    )
    user_id: Name = Field(description="Needed. An identifier of the patron in the borrower's system")
    pickup_system: Annotated[SystemCode | None, IfGiven] = Field(
        None, description="Code of the system where the patron fetches the book. Empty: the borrower's"
    )
    pickup_library: Annotated[Name | None, IfGiven] = Field(
        None,
        description="Alma code of the library where the patron fetches the book. Needed, but for RET-EXP",
    )
    pickup_desk: Annotated[Name | None, IfGiven] = Field(
        None, description="Its circulation desk, where the library has several"
    )
    title: Annotated[Line | None, IfGiven] = Field(
        None, description="What the virtual title shows to staff and patron. Empty: as the lender has it"
    )
    author: Annotated[Line | None, IfGiven] = Field(None, description="Empty: as the lender has it")
    isbn: Annotated[Name | None, IfGiven] = Field(None, description="Empty: as the lender has it")
    material_type: Annotated[Name | None, IfGiven] = Field(
        None, description="Alma code of the physical material type. Empty: that of the lender's item"
    )
    note: Annotated[Line | None, IfGiven] = Field(None, description="For the staff of the pickup library")
    workflow: Annotated[
        Workflow,
        BeforeValidator(_usual),
        WithJsonSchema({"type": "string", "enum": [*map(str, Workflow)]}),
    ] = Field(
        Workflow.STANDARD,
        description="RET-STD: picked up at a library of the borrower's; RET-PUA: at a third system's; RET-EXP: the "
        "patron stands at the lender's desk with the book; RET-LOCAL: a book of the patron's own system, handed over "
        "to its Alma",
    )
    suppliers: CopyLines = Field(
        (),
        description="More copies, tried in this order when the first cannot be had: one a line, its system and its "
        "barcode, such as LENDER 31000000000000",
    )

    @property
    def fetched_at(self) -> str:
        """The code of the system where the patron gets the book."""
        usual = self.supplier_system if self.workflow is Workflow.EXPEDITED else self.borrower_system
        return self.pickup_system or usual

    @property
    def copies(self) -> tuple[Copy, ...]:
        """The copies that may be asked for, in their order."""
        first = Copy(
            self.supplier_system,
            self.item_barcode,
            self.supplier_mms_id,
            self.supplier_holding_id,
            self.supplier_item_pid,
        )
        return (first, *(Copy(*line.split(" ", 1)) for line in self.suppliers))

    @model_validator(mode="after")
    def _sides_fit(self) -> PlaceRequest:
        problem = next(self._misfits(), None)
        if problem:
            raise ValueError(problem)
        return self

    def _misfits(self) -> Iterator[str]:
        if self.item_barcode is None and None in (
            self.supplier_mms_id,
            self.supplier_holding_id,
            self.supplier_item_pid,
        ):
            yield (
                "item_barcode is missing: give the barcode of the book, or supplier_mms_id, supplier_holding_id and "
                "supplier_item_pid"
            )
        local = self.workflow is Workflow.LOCAL
        lenders = {copy.system for copy in self.copies}
        others = {copy.system for copy in self.copies[1:]}
        if local and lenders != {self.borrower_system}:
            yield "RET-LOCAL is for a book of the patron's own system: supplier_system must be borrower_system"
        if not local and self.borrower_system in others:
            yield f"suppliers: {self.borrower_system} is the borrower's system; copies of other libraries are tried"
        if not local and self.borrower_system == self.supplier_system:
            yield (
                "supplier_system and borrower_system are the same: that is a local request, which needs RET-LOCAL"
            )
        if self.workflow is Workflow.EXPEDITED:
            if self.fetched_at != self.supplier_system:
                yield "pickup_system must be the lender's for RET-EXP: the patron stands at its desk"
            if self.suppliers:
                yield "suppliers must be empty for RET-EXP: the patron has the book in hand"
            return
        home = self.fetched_at == self.borrower_system
        if self.workflow is Workflow.PICKUP_ANYWHERE:
            if home or self.fetched_at in lenders:
                yield "pickup_system must be a third system for RET-PUA"
        elif not home:
            yield f"pickup_system must be the borrower's for {self.workflow}; another system needs RET-PUA"


class CancelRequest(_ConfPart):
    """The conf of `dcb_cancel_request`."""

    pr_id: RequestId = Field(description="Id of the patron request")
    reason: Annotated[Name | None, IfGiven] = Field(
        None, description="Code of a request cancellation reason in Alma; else that of config/dcb.yaml"
    )


Conf = TypeVar("Conf", bound=BaseModel)


def made_id(*run: object) -> str:
    """The id of the request of a run that was given none: the same as often as it is asked for."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "urn:alma-airflow:dcb:request:" + "|".join(map(str, run))))


def read_place(conf: Mapping[str, Any] | None, settings: DcbSettings, *, own_id: str = "") -> PlaceRequest:
    """Check the conf of a placing. ``own_id``: the request's id where the conf names none.

    Raises InputProblem with a sentence for each fault, which names the field, and the choices where there are some.
    """
    given = dict(conf or {})
    if is_nested(given):
        flat = json.dumps(flattened(given), ensure_ascii=False)
        raise InputProblem(
            f"The conf is written in the nested form of before, which is not taken any more. Write it so: {flat}"
        )
    if not _given(given.get("pr_id")):
        given["pr_id"] = own_id
    known = ", ".join(sorted(settings.systems))
    missing = [name for name in ("supplier_system", "borrower_system") if not _given(given.get(name))]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputProblem(
            f"The request cannot be placed as given: {' and '.join(missing)}: {verb} missing; the systems of "
            f"config/dcb.yaml are {known}"
        )
    for field in ("supplier_system", "borrower_system", "pickup_system"):
        code = given[field] = _stripped(given.get(field))
        if isinstance(code, str) and code not in settings.systems:
            raise InputProblem(f"{field}: there is no system {code!r} in config/dcb.yaml; known are {known}")
    place = _read(given, PlaceRequest, "placed")
    for copy in place.copies[1:]:
        if copy.system not in settings.systems:
            raise InputProblem(
                f"suppliers: there is no system {copy.system!r} in config/dcb.yaml; known are {known}"
            )
    _check_parts(place, settings)
    return place


def _systems_of(place: PlaceRequest) -> Iterator[tuple[str, str]]:
    yield "supplier_system", place.supplier_system
    yield "borrower_system", place.borrower_system
    yield "pickup_system", place.fetched_at
    for copy in place.copies[1:]:
        yield "suppliers", copy.system


def _check_parts(place: PlaceRequest, settings: DcbSettings) -> None:
    """Each system has the kind and the settings that its part in this request needs."""
    for field, code in _systems_of(place):
        if field not in ("supplier_system", "suppliers"):
            continue
        if settings.systems[code].kind == "other":
            raise InputProblem(
                f"{field}: {code} is no Alma, and only dcb-service can place a hold there: have it place the request; "
                "dcb_adopt_requests then follows it"
            )
        if settings.systems[code].kind != "alma":
            raise InputProblem(f"{field}: {code} is not an Alma; requests are placed in Alma")
    if place.workflow is Workflow.EXPEDITED and settings.systems[place.borrower_system].kind != "alma":
        raise InputProblem(
            f"workflow: RET-EXP needs a borrower that is an Alma: nobody can lend at {place.borrower_system}"
        )
    if place.workflow is Workflow.EXPEDITED and settings.mode != "drive":
        raise InputProblem(
            "workflow: RET-EXP lends the book at both sides, which mode: observe of config/dcb.yaml does not allow"
        )
    for code, names in _needs(place).items():
        system = settings.systems[code]
        missing = system.lacks(*names) if system.kind == "alma" else []
        if missing:
            raise InputProblem(
                f"The system {code} of config/dcb.yaml lacks {', '.join(missing)}, which its part in this request needs"
            )


def _needs(place: PlaceRequest) -> dict[str, list[str]]:
    if place.workflow is Workflow.LOCAL:
        return {}
    needs = {copy.system: ["sharing_library", "user_group"] for copy in place.copies}
    needs[place.borrower_system] = ["location", "item_policy"]
    if place.workflow in (Workflow.PICKUP_ANYWHERE, Workflow.EXPEDITED):
        needs[place.borrower_system].append("sharing_library")
    if place.workflow is Workflow.PICKUP_ANYWHERE:
        needs[place.fetched_at] = ["location", "item_policy", "user_group"]
    return needs


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


# --- confs that are kept with requests: some in the nested form of before


_NESTED: Mapping[str, Mapping[str, str]] = {
    "supplier": {
        "system": "supplier_system",
        "mms_id": "supplier_mms_id",
        "holding_id": "supplier_holding_id",
        "item_pid": "supplier_item_pid",
    },
    "borrower": {"system": "borrower_system", "user_id": "user_id"},
    "pickup": {"system": "pickup_system", "library": "pickup_library", "circ_desk": "pickup_desk"},
    "bib": {"title": "title", "author": "author", "isbn": "isbn"},
    "item": {"barcode": "item_barcode", "material_type": "material_type"},
}
LOOKED_UP = frozenset(
    {"item_barcode", "supplier_mms_id", "supplier_holding_id", "supplier_item_pid"}
    | {"title", "author", "isbn", "material_type"}
)
"""The fields that are looked up where they are empty."""


def is_nested(conf: Mapping[str, Any]) -> bool:
    """Whether a conf is written in the form of before."""
    return any(isinstance(conf.get(name), Mapping) for name in _NESTED)


def flattened(conf: Mapping[str, Any]) -> dict[str, Any]:
    """A nested conf as it is written now; a flat one as it is."""
    flat: dict[str, Any] = {}
    for name, value in conf.items():
        if name in _NESTED and isinstance(value, Mapping):
            flat |= {_NESTED[name].get(part, f"{name}_{part}"): each for part, each in value.items()}
        else:
            flat[name] = value
    return {name: value for name, value in flat.items() if value is not None}


def nested(place: PlaceRequest) -> dict[str, Any]:
    """A conf as it was written before, so that what was begun with it is known again."""
    flat = {"material_type": "BOOK"} | place.model_dump(mode="json", exclude_none=True)
    flat["pickup_system"] = place.fetched_at
    parts = {
        name: {part: flat.pop(field) for part, field in fields.items() if field in flat}
        for name, fields in _NESTED.items()
    }
    return {name: value for name, value in flat.items() if name != "suppliers"} | parts


def read_kept(conf: Mapping[str, Any]) -> PlaceRequest:
    """The conf that a request was placed with. Raises ValidationError when it was not placed by `dcb_place_request`."""
    return PlaceRequest.model_validate(flattened(conf))


def next_systems(conf: Mapping[str, Any]) -> set[str]:
    """The systems of the further copies that a kept conf names."""
    return {line.split(" ", 1)[0] for line in conf.get("suppliers") or () if isinstance(line, str)}


def is_same(place: PlaceRequest, kept: Mapping[str, Any]) -> bool:
    """Whether a conf asks for what is kept. A field that it leaves empty may have been looked up."""
    try:
        theirs = _meaning(read_kept(kept))
    except ValidationError:
        return False
    mine = _meaning(place)
    names = (mine.keys() | theirs.keys()) - (LOOKED_UP - mine.keys())
    return all(mine.get(name) == theirs.get(name) for name in names)


def _meaning(place: PlaceRequest) -> dict[str, Any]:
    values = place.model_dump(mode="json", exclude={"note"}, exclude_none=True)
    return values | {"pickup_system": place.fetched_at}
