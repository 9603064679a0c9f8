"""How fast the DCB state machine is, beside what Alma can deliver to it.

    python benchmarks/dcb_reducer.py [VECTORS.json]

Runs all test vectors again and again and prints JSON: observations a second on one core, the time of one, and how
many times more that is than the observations a gateway can deliver (20 calls a second, about two to an observation).
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from alma_etl.dcb.machine.model import State, read_seen
from alma_etl.dcb.machine.step import step

VECTORS = Path(__file__).parents[1] / "tests" / "unit" / "dcb" / "vectors.json"
CALLS_A_SECOND = 20
CALLS_AN_OBSERVATION = 2
SECONDS = 3.0


def measure(vectors: list[dict[str, Any]], seconds: float = SECONDS) -> dict[str, float]:
    """Steps a second, from parsed observations and with the state stored and read back in between."""
    parsed = [[read_seen(observation) for observation in vector["observations"]] for vector in vectors]
    figures = {}
    for name, stored in (("steps_per_second", False), ("steps_per_second_with_stored_state", True)):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            for story in parsed:
                state = State()
                for seen in story:
                    if stored:
                        state = State.from_json(json.loads(json.dumps(state.to_json())))
                    state = step(state, [seen]).state
                done += len(story)
        figures[name] = done / (time.perf_counter() - start)
    delivered = CALLS_A_SECOND / CALLS_AN_OBSERVATION
    return {
        **{name: round(figure) for name, figure in figures.items()},
        "microseconds_per_step": round(1e6 / figures["steps_per_second"], 1),
        "observations_per_second_alma_delivers": delivered,
        "times_faster_than_alma": round(figures["steps_per_second_with_stored_state"] / delivered),
    }


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    vectors = json.loads(Path(given[0] if given else VECTORS).read_text("utf-8"))
    print(json.dumps(measure(vectors), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
