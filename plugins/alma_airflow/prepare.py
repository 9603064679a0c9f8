"""`python -m alma_airflow.prepare STORE_URL`: upgrade the state store, make the pool `alma_api` where it is missing.

The step between `airflow db migrate` and a start, in the local stack and in production; safe to repeat. A pool that
exists keeps its slots.
"""

import argparse
import sys

from airflow.models.pool import Pool
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from alma_etl.store.__main__ import main as store_command

POOL = "alma_api"
SLOTS = 4
DESCRIPTION = "Tasks that talk to Alma"


def make_pool() -> None:
    """Make the pool unless there is one."""
    try:
        with create_session() as session:
            if session.scalar(select(Pool).where(Pool.pool == POOL)) is None:
                session.add(Pool(pool=POOL, slots=SLOTS, description=DESCRIPTION, include_deferred=False))
    except IntegrityError:  # another process was faster
        return


def main(arguments: list[str] | None = None) -> int:
    """Run the step; 1 when the store cannot be upgraded, which is then said."""
    parser = argparse.ArgumentParser(prog="python -m alma_airflow.prepare", description=__doc__)
    parser.add_argument("url", help="the state store: postgresql+psycopg://user:password@host:5432/database")
    url = parser.parse_args(arguments).url
    code = store_command(["upgrade", url])
    if code == 0:
        make_pool()
    return code


if __name__ == "__main__":
    sys.exit(main())
