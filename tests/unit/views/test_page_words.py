"""The words of all jobs are known to the pages."""

import ast
from pathlib import Path

from alma_etl.jobs.places import AREAS
from alma_etl.store.ledger_models import file_table, run_table
from alma_etl.views import words
from alma_etl.views.file_jobs import FILE_JOBS

ETL = Path(words.__file__).parents[1]


PARTS = {"OrderOutcome", "OrderedItemOutcome"}  # of records, whose own outcome is what pages show


def test_the_outcomes_of_every_job_on_files_are_registered():
    kinds = {
        node.name
        for path in ETL.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and "RowOutcome" in map(ast.unparse, node.bases)
    }
    assert kinds
    assert {kind.__name__ for kind in words.OF_FILES.values()} == kinds - PARTS


def test_every_outcome_has_a_colour_and_a_meaning():
    for job in ("west_holdings", *words.OF_FILES):
        known = words._outcomes(job)
        assert known
        assert all(each.meaning for each in known.values())
        assert known["failed"].tone == "bad"
    assert words.outcome("delivered", "west_holdings").tone == "good"
    assert words.outcome("created", "item_creation").tone == "good"
    assert words.outcome("anything", "a_job_of_somebody").tone == "plain"


def test_every_state_has_a_colour():
    for table in (run_table, file_table):
        (check,) = (each for each in table.constraints if "state" in str(each.name))
        for word in str(check.sqltext).partition("(")[2].rstrip(")").split(", "):
            assert word.strip("'") in words._STATES, word
            if table is file_table:
                assert words.FILE_STATES[word.strip("'")]


def test_every_area_has_its_job():
    assert [job.area for job in FILE_JOBS.values()] == list(AREAS)
    assert all(area == job.area.folder for area, job in FILE_JOBS.items())
