"""Makes Airflow's database ready: `python -m local.airflow_prepare CONNECTIONS.json`, in Airflow's environment.

Migrates it, makes the pool `alma_api`, and writes the connections of the local stack. They go into the database
and not into the environment: there they are seen, edited and tested in the UI, and a change made there holds.
"""

import json
import sys
from pathlib import Path
from typing import Any

from airflow.cli.cli_parser import get_parser
from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select

POOL = ("alma_api", "4", "Tasks that talk to Alma")


def airflow(*arguments: str) -> None:
    """Runs a command of Airflow's command line in this process, which saves the imports of a further one."""
    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


def save(wanted: dict[str, Any]) -> None:
    """Makes the connection, or leads it to where the server listens this time.

    One that was pointed elsewhere in the UI (at a real Alma, say) is left alone, and so is what else was changed.
    """
    extra = json.dumps(wanted["extra"]) if wanted.get("extra") else None
    address = {name: wanted.get(name) for name in ("host", "port", "login", "password", "schema")}
    with create_session() as session:
        found = session.scalar(select(Connection).where(Connection.conn_id == wanted["conn_id"]))
        if found is None:
            session.add(
                Connection(conn_id=wanted["conn_id"], conn_type=wanted["conn_type"], extra=extra, **address)
            )
            return
        where = f"{found.host or ''} {found.extra_dejson.get('endpoint_url', '')}"
        if "127.0.0.1" not in where:
            print(f"The connection {found.conn_id} was pointed elsewhere ({where.strip()}): left as it is.")
            return
        for name, value in address.items():
            setattr(found, name, value)
        if "endpoint_url" in (wanted.get("extra") or {}):
            found.set_extra(extra)


def main(path: Path) -> None:
    airflow("db", "migrate")
    airflow("pools", "set", *POOL)
    for wanted in json.loads(path.read_text()):
        save(wanted)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
