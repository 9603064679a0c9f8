"""`python -m alma_etl.dcb replay FILE.json` and `python -m alma_etl.dcb explain URL PR_ID`."""

import argparse
import json
import sys
from pathlib import Path

from alma_etl.dcb.replay import replay_file
from alma_etl.errors import InputProblem


def main(arguments: list[str] | None = None) -> int:
    """0: done, and for `explain` the replay agrees; 1: bad input, or it does not agree."""
    parser = argparse.ArgumentParser(prog="python -m alma_etl.dcb", description="Look into DCB requests.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("replay", help="run observations through the state machine, print JSON")
    command.add_argument("file", type=Path, help="a JSON array of cases: name and observations")
    command = commands.add_parser("explain", help="tell why a request is in its state, and check it")
    command.add_argument("url", help="the state store: postgresql+psycopg://... or sqlite:///file")
    command.add_argument("pr_id", help="the id of the patron request")
    given = parser.parse_args(arguments)
    try:
        if given.command == "replay":
            sys.stdout.write(json.dumps(replay_file(given.file), indent=2, ensure_ascii=False) + "\n")
            return 0
        return _explain(given.url, given.pr_id)
    except InputProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _explain(url: str, pr_id: str) -> int:
    # Replaying needs no store, nor the libraries that come with it.
    from alma_etl.dcb.explain import explain
    from alma_etl.dcb.store import DcbStore
    from alma_etl.store.db import StoreUnavailable

    try:
        with DcbStore(url) as store:
            told = explain(store, pr_id)
    except StoreUnavailable as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    if told is None:
        sys.stderr.write(f"There is no request {pr_id} in the state store.\n")
        return 1
    sys.stdout.write(told.text)
    return 1 if told.agrees is False else 0


if __name__ == "__main__":
    sys.exit(main())
