"""Which runs of the checks the page Set-up shows, on both databases."""

from datetime import timedelta

import pytest

from alma_etl.jobs.ledger import About, Results
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from alma_etl.views.set_up import HEALTH, PoolSlots, set_up_page
from tests.unit.jobs.ledger_world import opened

POOL = PoolSlots("alma_api", 4, 0, 0)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def world(request, tmp_path):
    with opened(request, tmp_path) as made:
        yield made


def checked(world, run_id, outcome, *, state="done"):
    key = RunKey(HEALTH, run_id)
    attempt = world.ledger.begin(key, About(HEALTH))
    record = RunRecord(outcome, "alma_default", 1, label=f"of {run_id}", reasons="answers", message="Do it.")
    if state != "running":
        world.ledger.replace(key, Results({outcome: 1}, records=[record]), attempt)
        world.ledger.finish(key, state, "over", attempt)
    world.clock.now += timedelta(hours=1)


def shown(world, seen=(HEALTH,), conn_ids=("alma_default", "alma_zone")):
    with world.ledger.reading() as connection:
        return set_up_page(connection, seen, conn_ids, POOL)


def test_the_last_run_that_has_ended_is_shown_and_the_one_under_way_named(world):
    checked(world, "r1", "missing")
    checked(world, "r2", "unknown", state="failed")
    checked(world, "r3", "ok", state="running")
    page = shown(world)
    (check,) = page.checks
    assert (check.run.run_id, check.under_way.run_id) == ("r2", "r3")
    assert [row.label for row in check.rows] == ["of r2"]
    assert [each.what for each in page.attention] == ["alma_default: of r2"]
    assert {each.name: each.state.word for each in page.systems} == {
        "alma_default": "not known",
        "alma_zone": "not checked",
        "aleph_default": "not set up",
        "west_sftp": "not set up",
        "smtp_default": "not set up",
    }
    checked(world, "r4", "ok")
    page = shown(world)
    assert (page.checks[0].run.run_id, page.attention, page.version.fits) == ("r4", [], True)
    assert page.checks[0].under_way is None, "a run that a later one followed does not count as under way"


def test_an_aleph_is_not_set_up_only_where_there_is_no_connection(world):
    checked(world, "r1", "ok")
    named = [(each.name, each.state.word) for each in shown(world, conn_ids=("aleph_default",)).systems]
    assert [word for name, word in named if name == "aleph_default"] == ["not checked"]


def test_without_a_check_that_may_be_seen_nothing_of_it_is_read(world):
    checked(world, "r1", "missing")
    page = shown(world, seen=())
    assert (page.checks, page.attention) == ([], [])
