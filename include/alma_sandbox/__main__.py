"""``python -m alma_sandbox``: serve a pretend Alma on 127.0.0.1 and print its base URL as the first line."""

import argparse
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from alma_sandbox.app import create_app, run
from alma_sandbox.settings import Settings
from alma_sandbox.state import state_file


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alma_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 = any free one (default)")
    parser.add_argument("--seed", type=int, default=7, help="chooses the invented catalogue (default 7)")
    parser.add_argument("--titles", type=int, default=400, help="titles in the catalogue (default 400)")
    parser.add_argument(
        "--aleph-items", type=int, default=600, help="items that the pretend Aleph at /X has (default 600)"
    )
    parser.add_argument(
        "--api-key",
        help='key with all rights (default: that of the environment, ALMA_SANDBOX_API_KEY, or "sandbox")',
    )
    parser.add_argument(
        "--institution", default="01ZZ_INST", help="code of the institution (default 01ZZ_INST)"
    )
    parser.add_argument("--suffix", default="4401", help="last four digits of all ids (default 4401)")
    parser.add_argument("--latency-ms", type=float, default=0, help="time that each call takes (default 0)")
    parser.add_argument(
        "--per-second", type=int, default=25, help="calls in any second; 0 = no limit (default 25)"
    )
    parser.add_argument("--daily", type=int, default=500_000, help="calls a day (default 500000)")
    parser.add_argument(
        "--sru", choices=("on", "off"), default="off", help="whether the institution has SRU (default off)"
    )
    parser.add_argument("--state", type=Path, help="file that keeps the state over restarts (default: none)")
    return parser


def _ready(url: str) -> None:
    print(url, flush=True)  # noqa: T201 - the contract


def main() -> int:
    """Read the arguments and serve. Exit code 2 when an argument or the port cannot be used."""
    arguments = vars(_arguments().parse_args())
    port, state = arguments.pop("port"), arguments.pop("state")
    arguments["api_key"] = arguments["api_key"] or os.environ.get("ALMA_SANDBOX_API_KEY") or "sandbox"
    try:
        settings = Settings(**arguments)
        if state is None:
            run(settings, port, _ready)
        else:
            state_file.run(settings, state, create_app, port, _ready)
    except state_file.StateFileInUse as error:
        sys.stderr.write(f"--state: {error}\n")
        return 2
    except ValidationError as error:
        for wrong in error.errors():
            sys.stderr.write(f"--{str(wrong['loc'][0]).replace('_', '-')}: {wrong['msg']}\n")
        return 2
    except OSError as error:
        sys.stderr.write(state_file.problem(error, port, state))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
