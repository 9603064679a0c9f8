"""`python -m alma_etl.store upgrade URL`: create or upgrade the state store."""

from __future__ import annotations

import argparse
import sys

from alma_etl.store.db import StoreUnavailable, parse_url, place
from alma_etl.store.upgrade import upgrade


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m alma_etl.store", description="Care for the state store.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("upgrade", help="create or upgrade its tables; safe to repeat")
    command.add_argument(
        "url", help="sqlite:///file or postgresql+psycopg://user:password@host:5432/database"
    )
    url = parser.parse_args(arguments).url
    try:
        revision = upgrade(url)
    except StoreUnavailable as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"The state store, {place(parse_url(url))}, is at revision {revision}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
