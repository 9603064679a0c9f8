"""``python -m alma_sandbox.consortium``: a pretend mod-dcb and dcb-service on 127.0.0.1; prints its base URL first."""

import argparse
import os
import sys
from pathlib import Path

from alma_sandbox.consortium import ConsortiumSettings, run
from alma_sandbox.consortium.app import create_app
from alma_sandbox.state import state_file


def _ready(url: str) -> None:
    print(url, flush=True)  # noqa: T201 - the contract


def main() -> int:
    """Read the arguments and serve. Exit code 2 when the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m alma_sandbox.consortium", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 = any free one (default)")
    parser.add_argument(
        "--api-key",
        help='key of mod-dcb (default: that of the environment, ALMA_SANDBOX_API_KEY, or "sandbox")',
    )
    parser.add_argument("--state", type=Path, help="file that keeps the state over restarts (default: none)")
    given = parser.parse_args()
    settings = ConsortiumSettings(
        api_key=given.api_key or os.environ.get("ALMA_SANDBOX_API_KEY") or "sandbox"
    )
    try:
        if given.state is None:
            run(settings, given.port, _ready)
        else:
            state_file.run(settings, given.state, create_app, given.port, _ready)
    except state_file.StateFileInUse as error:
        sys.stderr.write(f"--state: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(state_file.problem(error, given.port, given.state))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
