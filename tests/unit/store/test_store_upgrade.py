"""Setting the store up: one line of migrations, that agree with the models, safe to run again and at once."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from alma_etl.store.db import StoreUnavailable, open_engine
from alma_etl.store.models import Base
from alma_etl.store.upgrade import VERSION_TABLE, alembic_config, upgrade

HEAD = ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_the_migrations_have_one_beginning_and_one_head() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


def test_the_migrations_are_shipped_with_the_package() -> None:
    folder = Path(alembic_config().get_main_option("script_location") or "")
    assert (folder / "__init__.py").exists()  # what makes setuptools pack the folder
    assert (folder / "versions" / "__init__.py").exists()


def check(url: str) -> None:
    """The models and what the migrations made agree, and going all the way back works as well."""
    assert upgrade(url) == HEAD
    assert upgrade(url) == HEAD
    engine = open_engine(url)
    with engine.begin() as connection:
        command.check(alembic_config(connection))
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, VERSION_TABLE}
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert inspect(engine).get_table_names() == [VERSION_TABLE]
    engine.dispose()
    assert upgrade(url) == HEAD


def check_newer(url: str) -> None:
    upgrade(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alma_etl_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreUnavailable, match="install the version of Alma Airflow that upgraded it last"):
        upgrade(url)


def many_at_once(url: str, count: int) -> None:
    program = [sys.executable, "-m", "alma_etl.store", "upgrade", url]
    running = [
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        assert out.endswith(f"is at revision {HEAD}.\n")


def test_sqlite(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path / 'a folder' / 'store.db'}")


def test_a_sqlite_store_of_a_newer_version(tmp_path: Path) -> None:
    check_newer(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.mark.heavy
def test_postgresql(postgres: Callable[[], str]) -> None:
    check(postgres())


@pytest.mark.heavy
def test_a_postgresql_store_of_a_newer_version(postgres: Callable[[], str]) -> None:
    check_newer(postgres())


@pytest.mark.heavy
def test_several_at_once_on_postgresql(postgres: Callable[[], str]) -> None:
    many_at_once(postgres(), 3)


@pytest.mark.heavy
def test_several_at_once_on_sqlite(tmp_path: Path) -> None:
    many_at_once(f"sqlite:///{tmp_path / 'store.db'}", 2)


@pytest.mark.heavy
def test_a_transaction_that_reads_then_writes_waits_for_its_turn(sqlite_store: str) -> None:
    """Of two at once, SQLite would otherwise refuse one with "database is locked"."""
    engine = open_engine(sqlite_store)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tally (n INTEGER)"))
        connection.execute(text("INSERT INTO tally VALUES (0)"))

    def count() -> None:
        for _ in range(50):
            with engine.begin() as connection:
                number = connection.execute(text("SELECT n FROM tally")).scalar_one()
                connection.execute(text("UPDATE tally SET n = :n"), {"n": number + 1})

    with ThreadPoolExecutor(3) as threads:
        for counting in [threads.submit(count) for _ in range(3)]:
            counting.result()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM tally")).scalar_one() == 150
    engine.dispose()
