"""What a run is asked for: by the form in Airflow or by its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Form, refuse_unknown, sentence_of

MOST_READ = 100_000


def _given(value: object) -> object:
    """A field that was left empty is not given."""
    return (value.strip() or None) if isinstance(value, str) else value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number of records")
    return value


_IfGiven = BeforeValidator(_given)
Number = Annotated[int, BeforeValidator(_number), Field(ge=0)]
ProfileId = Annotated[str, Form(r"[0-9]{1,20}", "the id of an import profile, which is digits")]
JobId = Annotated[
    str, Form(r"S[0-9]{1,20}", "the id of a scheduled job, an S and digits, such as S5530000000004401")
]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class Expected(BaseModel):
    """What the job's report is compared with, by the kinds of `counts.KINDS`; None is not compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Number | None = None
    records: Number | None = None
    imported: Number | None = None
    matched: Number | None = None
    discarded: Number | None = None
    po_lines: Number | None = None
    headings: Number | None = None


def _as_expected(value: object) -> object:
    value = _given(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return {"records": value}
    if value is not None and not isinstance(value, Mapping | Expected):
        raise ValueError("must be a number of records, or an object such as {files: 2, records: 120}")
    return value


class ProfileRunConf(BaseModel):
    """The conf of `import_profile_run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile_id: Annotated[ProfileId | None, _IfGiven] = None
    job_id: Annotated[JobId | None, _IfGiven] = None
    expected: Annotated[Expected | None, BeforeValidator(_as_expected)] = None
    expected_files: Number | None = None
    label: Line = ""
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""
    read: Annotated[Number, Field(le=MOST_READ)] = 1000
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_job(self) -> ProfileRunConf:
        if (self.profile_id is None) == (self.job_id is None):
            raise ValueError("give either profile_id or job_id")
        files = self.expected.files if self.expected else None
        if None not in (files, self.expected_files) and files != self.expected_files:
            raise ValueError("expected and expected_files name different numbers of files")
        return self

    def to_compare(self) -> Expected:
        """All that is expected."""
        expected = self.expected or Expected()
        if self.expected_files is None:
            return expected
        return expected.model_copy(update={"files": self.expected_files})


def read_conf(given: Mapping[str, Any]) -> ProfileRunConf:
    """The conf as checked. Raises InputProblem, a sentence for each fault."""
    refuse_unknown(given, tuple(ProfileRunConf.model_fields))
    try:
        return ProfileRunConf.model_validate({name: each for name, each in given.items() if each is not None})
    except ValidationError as error:
        raise InputProblem(f"The run cannot be started: {sentence_of(error, ProfileRunConf)}") from error
