"""Makes Airflow's database and the state store ready: `python -m local.airflow_prepare STORE_URL CONNECTIONS.json`.

In Airflow's environment. Migrates the database, does what `alma_airflow.prepare` does in production too, and writes the
connections of the local stack. They go into the database and not into the environment: there they are seen, edited and
tested in the UI, and a change made there holds.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from airflow.cli.cli_parser import get_parser
from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select

from alma_airflow.prepare import main as prepare

from .folders import write_private

ADDRESS = ("host", "port", "login", "password", "schema")
ADDRESS_IN_EXTRA = ("endpoint_url", "service_config")
LOCAL_HOST = "127.0.0.1"


def airflow(*arguments: str) -> None:
    """Runs a command of Airflow's command line in this process, which saves the imports of a further one."""
    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


class WrittenConnections:
    """What this stack ever wrote as the address of a connection, in digests: what stands elsewhere a person wrote.

    In a file that is written before the database, so that an interruption between the two leaves nothing unknown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, list[str]] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def knows(self, conn_id: str, address: dict[str, Any]) -> bool:
        """Whether the address is one of the stack's own."""
        return _digest(address) in self._known.get(conn_id, [])

    def never_wrote(self, conn_id: str) -> bool:
        """Whether nothing is known: a stack of before this file was kept."""
        return conn_id not in self._known

    def add(self, conn_id: str, address: dict[str, Any]) -> None:
        """Remember an address."""
        digests = self._known.setdefault(conn_id, [])
        if _digest(address) not in digests:
            digests.append(_digest(address))
            write_private(self._path, json.dumps(self._known))


def _digest(address: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(address, sort_keys=True).encode()).hexdigest()


def _address(values: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Where a connection leads and by which name, without what only says how it is used."""
    parts = {name: values.get(name) or None for name in ADDRESS}
    return {**parts, **{name: extra[name] for name in ADDRESS_IN_EXTRA if name in extra}}


def save(wanted: dict[str, Any], written: WrittenConnections) -> None:
    """Makes the connection, or leads it to where the server listens this time.

    One that a person pointed elsewhere (at a real Alma, at another server of this machine) is left alone, and so is
    what else was changed.
    """
    conn_id, new_extra = wanted["conn_id"], wanted.get("extra") or {}
    address = _address(wanted, new_extra)
    with create_session() as session:
        found = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        if found is None:
            written.add(conn_id, address)
            made = {name: wanted.get(name) for name in ADDRESS}
            extra = json.dumps(new_extra) if new_extra else None
            session.add(Connection(conn_id=conn_id, conn_type=wanted["conn_type"], extra=extra, **made))
            return
        extra_now = found.extra_dejson
        now = _address({name: getattr(found, name) for name in ADDRESS}, extra_now)
        if now == address:
            written.add(conn_id, address)
            return
        where = " ".join(filter(None, (found.host, str(extra_now.get("endpoint_url", "")))))
        of_before = (
            written.never_wrote(conn_id) and LOCAL_HOST in where and found.password == wanted.get("password")
        )
        if not (of_before or written.knows(conn_id, now)):
            print(f"The connection {conn_id} was changed by a person ({where}): left as it is.")
            return
        written.add(conn_id, address)
        before = found.host
        for name in ADDRESS:
            setattr(found, name, wanted.get(name))
        moved = {name: new_extra[name] for name in ADDRESS_IN_EXTRA if name in new_extra}
        # The stack's own links lead to the port of before; a person's lead elsewhere.
        for name in ("record_url", "sru_url", "job_url"):
            if name in new_extra and str(extra_now.get(name)).startswith(f"{before}/"):
                moved[name] = new_extra[name]
        if moved:
            found.set_extra(json.dumps({**extra_now, **moved}))


def main(store_url: str, path: Path) -> int:
    airflow("db", "migrate")
    code = prepare([store_url])
    if code == 0:
        written = WrittenConnections(path.with_name("connections-written.json"))
        for wanted in json.loads(path.read_text()):
            save(wanted, written)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
