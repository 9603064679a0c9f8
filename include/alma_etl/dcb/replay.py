"""Replay observations through the machine, without network or store: the form of the test vectors."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alma_etl.dcb.machine.model import State, read_seen
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import Workflow
from alma_etl.errors import InputProblem


def replay_file(path: Path) -> list[dict[str, Any]]:
    """Replay every case of a file. Raises InputProblem, one sentence that names the case."""
    try:
        cases = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputProblem(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputProblem(f"{path} is not JSON text in UTF-8: {error}") from error
    if not isinstance(cases, list):
        raise InputProblem(f"{path} must hold an array of cases, each with a name and observations")
    return [replay(case, number) for number, case in enumerate(cases, 1)]


def replay(case: object, number: int = 1) -> dict[str, Any]:
    """Replay one case, ``{"name", "observations": [...]}`` with an optional ``workflow``, one step an observation.

    The request starts at REQUEST_PLACED_AT_SUPPLYING_AGENCY. Gives ``name``, ``transitions`` (the statuses
    reached), ``flags`` (each once, in the order raised) and ``trace``, one entry an observation.
    """
    if not isinstance(case, Mapping) or not isinstance(case.get("observations"), Sequence):
        raise InputProblem(f"Case {number} must be an object with a name and an array of observations")
    name = case.get("name", f"case {number}")
    try:
        state = State(workflow=Workflow(case.get("workflow", Workflow.STANDARD)))
    except ValueError as error:
        raise InputProblem(f"{name}: {error}; known workflows are {', '.join(Workflow)}") from error
    reached: list[str] = []
    trace: list[dict[str, Any]] = []
    for place, observation in enumerate(case["observations"], 1):
        try:
            result = step(state, [read_seen(observation)])
        except ValueError as error:
            raise InputProblem(f"{name}, observation {place}: {error}") from error
        state = result.state
        reached += [transition.to for transition in result.transitions]
        trace.append(
            {
                "transitions": [transition.to_json() for transition in result.transitions],
                "actions": [action.to_json() for action in result.actions],
                "flags": list(result.flags),
            }
        )
    return {"name": name, "transitions": reached, "flags": list(state.flags), "trace": trace}
