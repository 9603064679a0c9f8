"""Every published vector, in every detail: transitions, handlers, inferences, transaction states, actions, flags."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alma_etl.dcb.machine.model import State, read_seen
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import Closure, Role
from alma_etl.dcb.replay import replay

FILE = Path(__file__).with_name("vectors.json")
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"][:3] for vector in VECTORS])


@each_vector
def test_a_vector_runs_as_expected(vector: dict[str, Any]) -> None:
    expected = {
        "name": vector["name"],
        "transitions": vector["expected_transitions"],
        "flags": vector["expected_flags"],
        "trace": [
            {
                "transitions": [
                    {key: transition[key] for key in ("frm", "to", "handler", "inferred", "txn")}
                    for transition in entry["transitions"]
                ],
                "actions": entry["actions"],
                "flags": entry["flags"],
            }
            for entry in vector["trace"]
        ],
    }
    assert json.loads(json.dumps(replay(vector))) == expected


@each_vector
def test_transitions_are_numbered_without_a_gap(vector: dict[str, Any]) -> None:
    state, numbers = State(), []
    for observation in vector["observations"]:
        result = step(state, [read_seen(observation)])
        numbers += [transition.seq for transition in result.transitions]
        state = result.state
    assert numbers == [transition["seq"] for entry in vector["trace"] for transition in entry["transitions"]]


@each_vector
def test_an_observation_reported_twice_adds_nothing(vector: dict[str, Any]) -> None:
    state = State()
    for observation in vector["observations"]:
        state = step(state, [read_seen(observation)]).state
        again = step(state, [read_seen(observation)])
        assert (again.transitions, again.actions) == ((), ())
        assert set(again.flags) <= {"STALE_OBSERVATION_DROPPED"}


@each_vector
def test_the_memory_survives_being_stored(vector: dict[str, Any]) -> None:
    kept, stored = State(), State()
    for observation in vector["observations"]:
        seen = [read_seen(observation)]
        kept = step(kept, seen).state
        stored = step(State.from_json(json.loads(json.dumps(stored.to_json()))), seen).state
        assert stored == kept


def test_stored_words_stay_where_the_code_has_others() -> None:
    stored = {"legs": {"SUPPLIER": {"told": "CANCELED", "at": "T02"}}}
    state = State.from_json(stored)
    assert state.leg(Role.SUPPLIER).reported is Closure.CANCELED
    assert state.to_json() == stored


def test_the_command_prints_an_array_in_the_order_of_the_file() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "alma_etl.dcb", "replay", str(FILE)],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(run.stdout)
    assert [entry["name"] for entry in printed] == [vector["name"] for vector in VECTORS]
    assert [entry["transitions"] for entry in printed] == [
        vector["expected_transitions"] for vector in VECTORS
    ]
    assert set(printed[0]) == {"name", "transitions", "flags", "trace"}
    assert set(printed[0]["trace"][0]) == {"transitions", "actions", "flags"}
    assert set(printed[0]["trace"][0]["transitions"][0]) == {"frm", "to", "handler", "inferred", "txn"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "must hold an array"),
        ("[", "is not JSON"),
        ('[{"name": "N"}]', "Case 1 must be an object"),
        ('[{"name": "N", "observations": [{"role": "LENDER"}]}]', "N, observation 1: unknown Role 'LENDER'"),
        ('[{"name": "N", "observations": [{"ack": "MAYBE"}]}]', "unknown AckName 'MAYBE'"),
        ('[{"name": "N", "workflow": "RET-ALL", "observations": []}]', "known workflows are RET-STD"),
        (
            '[{"name": "N", "observations": [{"role": "SUPPLIER", "item": {"found": "yes"}}]}]',
            "found must be true, false or null",
        ),
        (
            '[{"name": "N", "observations": [{"role": "SUPPLIER", "at": "T01", "item": {"found": false}},'
            ' {"role": "SUPPLIER", "at": "2026-01-01T10:00:00Z", "item": {"found": false}}]}]',
            "use labels, or times, not both",
        ),
    ],
)
def test_a_faulty_file_is_reported_in_one_sentence(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from alma_etl.dcb.__main__ import main

    file = tmp_path / "case.json"
    file.write_text(text, "utf-8")
    assert main(["replay", str(file)]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
