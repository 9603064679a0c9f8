"""`python -m alma_etl.dcb replay FILE.json` and `python -m alma_etl.dcb explain URL PR_ID`."""

import argparse
import json
import sys
from pathlib import Path

from alma_etl.dcb.replay import replay_file
from alma_etl.errors import InputProblem


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m alma_etl.dcb", description="Look into DCB requests.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("replay", help="run observations through the state machine, print JSON")
    command.add_argument("file", type=Path, help="a JSON array of cases: name and observations")
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(replay_file(given.file), indent=2, ensure_ascii=False))  # noqa: T201
    except InputProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
