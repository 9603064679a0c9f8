"""Settings files: every fault in one sentence that names the line."""

import pytest
from pydantic import BaseModel, ConfigDict, Field

from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import read_settings


class Place(BaseModel):
    model_config = ConfigDict(extra="forbid")

    library: str
    desks: list[str] = []


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = "x"
    share: float = Field(0.5, ge=0, le=1)
    places: dict[str, Place] = {}


def problem(text: str) -> str:
    with pytest.raises(InputProblem) as raised:
        read_settings(text, Example, source="config/x.yaml")
    return str(raised.value)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n", "{}"])
def test_a_file_without_settings_has_the_defaults(text):
    assert read_settings(text, Example, source="x") == Example()


def test_nested_settings():
    text = "name: Ärzteblatt\nplaces:\n  m: {library: MAIN, desks: [a, b]}\n"
    found = read_settings(text, Example, source="x")
    assert (found.name, found.places["m"].desks) == ("Ärzteblatt", ["a", "b"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("share: 2", "config/x.yaml, line 1: share: must be at most 1.0, not 2"),
        ("\n# words\n\nshare: 2", "config/x.yaml, line 4: share: "),
        ("name: x\ncolour: red", "config/x.yaml, line 2: colour: is not known here. Known are "),
        ("places:\n  m:\n    desks: [a]", "config/x.yaml, line 2: places.m.library: is missing"),
        (
            "places:\n  m:\n    library: M\n    desks:\n    - a\n    - 5",
            "line 6: places.m.desks.1: must be text, put it in quotes",
        ),
        (
            "places:\n  m: {library: 12}",
            "line 2: places.m.library: must be text, put it in quotes",
        ),
        ("name: no", "line 1: name: must be text, put it in quotes"),
        ("name: 2026-01-01", "line 1: name: must be text, put it in quotes"),
        ("name: [a]", "line 1: name: must be text, not a list"),
        ("places: 5", "line 1: places: must be settings of the form `name: value`, not 5"),
        ("12: x", "line 1: 12: "),
        ("- a", "line 1: expected settings of the form `name: value`"),
        ("words", "line 1: expected settings of the form `name: value`"),
        ("name: x\n  share: 1", "config/x.yaml, line 2: not readable as YAML"),
        ("name: 'x", "not readable as YAML"),
        ("a: 1\nname: \x00", "config/x.yaml, line 2: not readable as YAML"),
        ("a: 1\n---\nb: 2", "not readable as YAML"),
        ("name: !!python/name:os.system", "line 1: not readable as YAML"),
        ("name: *nobody", "line 1: not readable as YAML"),
    ],
)
def test_a_fault_names_the_file_the_line_and_the_setting(text, told):
    assert told in problem(text)


def test_all_faults_are_told_at_once():
    found = problem("share: 2\ncolour: red\nplaces: {m: {}}\n")
    assert [part in found for part in ("line 1: share", "line 2: colour", "line 3: places.m.library")] == [
        True
    ] * 3
    assert found.count("; ") == 2
