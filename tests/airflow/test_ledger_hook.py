"""How tasks write the ledger, and what becomes of them when they cannot."""

import json
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from alma_airflow.hooks import ledger as hooks
from alma_airflow.hooks.ledger import RunLedger, counted_calls, open_ledger, retention
from alma_airflow.operators import base
from alma_airflow.operators.base import EtlOperator, note_failure
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.ledger import About, Results
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.store.db import StoreUnavailable
from alma_etl.store.upgrade import upgrade

RUN = RunKey("west_holdings", "r1")
HOUR = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade(url)
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
    return url


@pytest.fixture
def no_store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", f"sqlite:///{tmp_path}/none/store.db")


def context(**more):
    run = SimpleNamespace(dag_id=RUN.dag_id, run_id=RUN.run_id, triggering_user_name="librarian")
    return {"dag_run": run, "params": {"dry_run": True}, "ti": SimpleNamespace(id="ti-1"), **more}


class Step(EtlOperator):
    ledger_job = "west_holdings"

    def work(self, context):
        return "checked"


class Last(Step):
    ends_run = True


class Discreet(Step):
    quotes_errors = False


def run_in_ledger():
    with open_ledger() as ledger:
        return ledger.run(RUN)


def test_each_task_begins_and_the_last_one_ends_the_run(store, monkeypatch):
    monkeypatch.setattr(base, "purge_once_a_day", lambda: None)
    assert Step(task_id="step").execute(context()) == "checked"
    found = run_in_ledger()
    assert (found.state, found.dry_run, found.requested_by) == ("running", True, "librarian")
    Last(task_id="last").execute(context())
    assert (run_in_ledger().state, run_in_ledger().headline) == ("done", "checked")


@pytest.mark.parametrize(
    ("kind", "what"),
    [(Step, "There is no set 12: name another"), (Discreet, "The task step failed (NotAcceptable)")],
)
def test_a_failure_is_noted_with_what_to_do_and_without_words_that_may_name_a_patron(store, kind, what):
    task = kind(task_id="step")
    note_failure(context(task=task, exception=NotAcceptable("There is no set 12: name another")))
    found = run_in_ledger()
    assert (found.state, found.headline, found.ended_at) == ("failed", what, None)
    (attention,) = found.attention
    assert attention["what"] == what
    assert "clear step" in attention["what_to_do"]


def test_of_an_error_that_nobody_expected_only_the_kind_is_kept(store):
    note_failure(context(task=Last(task_id="last"), exception=RuntimeError("secret")))
    found = run_in_ledger()
    assert found.headline == "The task last failed (RuntimeError)"
    assert found.ended_at is not None


def test_tasks_of_other_dags_keep_no_run(store):
    class Own(EtlOperator):
        def work(self, context):
            return 1

    assert Own(task_id="own").execute(context()) == 1
    note_failure(context(task=Own(task_id="own"), exception=RuntimeError()))
    assert run_in_ledger() is None


def test_without_the_store_a_task_works_and_keeps_its_own_error(no_store, caplog):
    assert Step(task_id="step").execute(context()) == "checked"
    note_failure(context(task=Step(task_id="step"), exception=NotAcceptable("no")))
    assert "The ledger could not note that this task began" in caplog.text
    assert "The ledger could not note that this task failed" in caplog.text


def test_results_that_cannot_be_kept_fail_the_task_but_hide_no_other_error(no_store):
    ledger = RunLedger(RUN, About("west_holdings"))
    with pytest.raises(StoreUnavailable, match="ledger of runs"), ledger.keeping(lambda: Results({})):
        pass
    with pytest.raises(NotAcceptable, match="The set is empty"), ledger.keeping(lambda: Results({})):
        raise NotAcceptable("The set is empty")


def test_results_are_kept_although_the_task_could_not_begin(store):
    RunLedger(RUN, About("west_holdings", "a set")).replace(Results({"delivered": 1}))
    assert (run_in_ledger().subject, run_in_ledger().counts) == ("a set", {"delivered": 1})


def test_calls_are_kept_while_a_task_runs_and_when_it_ends(store, monkeypatch):
    monkeypatch.setattr(hooks, "_EVERY", 0.01)
    monkeypatch.setattr(hooks, "get_current_context", context)
    kept, add_calls = threading.Event(), hooks.Ledger.add_calls

    def noted(*given):
        add_calls(*given)
        kept.set()

    monkeypatch.setattr(hooks.Ledger, "add_calls", noted)
    Step(task_id="step").execute(context())
    with counted_calls("alma_default") as meter:
        meter.sent()
        assert kept.wait(60)
        assert run_in_ledger().calls == {"alma_default": 1}
        monkeypatch.setattr(hooks, "_EVERY", 60)
        meter.sent()
        meter.answered(429)
    assert run_in_ledger().calls == {"alma_default": 2}
    with open_ledger() as ledger:
        assert {use.dag_id for use in ledger.api_use(HOUR)} == {"west_holdings"}
        assert sum(use.refused for use in ledger.api_use(HOUR)) == 1


def test_calls_outside_of_tasks_are_kept_without_a_dag(store):
    with counted_calls("alma_default") as meter:
        meter.sent()
    with open_ledger() as ledger:
        assert [(use.dag_id, use.calls) for use in ledger.api_use(HOUR)] == [("", 1)]


def test_calls_that_cannot_be_kept_stop_nothing(no_store, caplog):
    with counted_calls("alma_default") as meter:
        meter.sent()
    assert "could not keep 1 call of alma_default" in caplog.text


def test_how_long_things_are_kept_stands_in_the_connection(monkeypatch):
    def connect(**extra):
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", json.dumps(connection))

    connect()
    assert (retention().keep_records, retention().keep_job_runs, retention().keep_runs) == (30, 400, 30)
    connect(keep_records="7", sslmode="require")
    assert retention().keep_records == 7
    connect(keep_runs=0)
    with pytest.raises(InputProblem, match="keep_runs"):
        retention()
