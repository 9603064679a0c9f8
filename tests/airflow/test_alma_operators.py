"""The operators for DAG authors against the sandbox: what they leave there, also after faults and retries."""

import ast
import inspect
import re
from types import SimpleNamespace

import pytest
import requests
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    TaskDeferred,
)

from alma_airflow.operators import alma, alma_job
from alma_airflow.operators.alma import (
    AlmaAddSetMembersOperator,
    AlmaCreateSetOperator,
    AlmaUpdateItemOperator,
)
from alma_airflow.operators.alma_job import AlmaRunJobOperator
from alma_airflow.sensors.alma_job import AlmaJobSensor
from alma_airflow.triggers.alma_job import AlmaJobTrigger
from alma_etl.remote.errors import RemoteError, RemoteUnreachable
from tests.airflow.conftest import ALL_TITLES, EMPTY_SET, ITEM_SET, KEY, WorkerKilled
from tests.airflow_home import CHECKOUT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
EXPORT = "Export Bibliographic Records"
RUN = "/jobs/M48.op=run"


def get(job_alma, path):
    answer = requests.get(
        f"{job_alma.url}/almaws/v1{path}",
        headers={"Authorization": f"apikey {KEY}", "Accept": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
    return answer.json()


# --- jobs


def run_job(**kwargs):
    settings = {
        "job": EXPORT,
        "parameters": {"set_id": ALL_TITLES, "job_name": "Made for a test"},
        "deferrable": True,
        **kwargs,
    }
    return AlmaRunJobOperator(task_id="run_job", **settings)


def deferred(task, context):
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def instances(job_alma):
    return list(job_alma.control("GET", "state")["jobs"])


def end(instance_id, status="COMPLETED_SUCCESS", alerts=()):
    fields = {"name": "Made for a test", "alerts": list(alerts), "counters": {}}
    return {"end": {"instance_id": instance_id, "status": status, **fields}}


def test_a_job_given_by_name_is_started_once_and_waited_for(job_alma, context):
    task = run_job(poke_interval=90)
    waiting = deferred(task, context)
    (instance_id,) = instances(job_alma)
    assert isinstance(waiting.trigger, AlmaJobTrigger)
    assert (waiting.trigger.instance_id, waiting.trigger.poke_interval) == (instance_id, 90)
    assert task.resume_execution(waiting.method_name, {"event": end(instance_id)}, context) == instance_id
    assert instances(job_alma) == [instance_id]


def test_without_a_triggerer_it_is_rescheduled_until_the_end(job_alma, context):
    for _ in range(2):  # started, then running
        with pytest.raises(AirflowRescheduleException):
            run_job(deferrable=False).execute(context)
        job_alma.advance(60)
    with pytest.raises(AirflowRescheduleException):
        run_job(deferrable=False).execute(
            {**context, "task_state_store": type(context["task_state_store"])()}
        )
    assert len(instances(job_alma)) == 2  # another task starts its own
    assert run_job(deferrable=False).execute(context) == instances(job_alma)[0]


def test_it_can_leave_the_waiting_to_a_sensor(job_alma, context):
    instance_id = run_job(wait_for_completion=False, job="M48").execute(context)
    assert instances(job_alma) == [instance_id]
    job_alma.advance(120)
    assert (
        AlmaJobSensor(task_id="wait", instance_id=instance_id).execute(context)["status"]
        == "COMPLETED_SUCCESS"
    )


@pytest.mark.parametrize("dies_at", ["alma_job_instance", "alma_job_instances_before"])
def test_a_worker_that_dies_leaves_no_second_run(job_alma, context, memory, dies_at):
    memory.dies_at = dies_at
    with pytest.raises(WorkerKilled):
        run_job().execute(context)
    somebody = job_alma.start(name="Somebody's")
    waiting = deferred(run_job(), context)
    ours = [each for each in instances(job_alma) if each != somebody]
    assert ours == [waiting.trigger.instance_id]


@pytest.mark.parametrize(
    "fault", [{"kind": "drop"}, {"kind": "server_error", "applied": True}, {"kind": "truncated"}]
)
def test_a_lost_answer_leads_to_the_instance(job_alma, context, fault):
    job_alma.faults({**fault, "method": "POST", "path": RUN, "nth": 1})
    assert deferred(run_job(), context).trigger.instance_id == instances(job_alma)[0]
    assert len(instances(job_alma)) == 1


def test_when_nobody_knows_the_retry_looks_and_adopts(job_alma, context):
    """The answer is lost, and then the list of instances cannot be read either."""
    job_alma.faults(
        {"kind": "drop", "method": "POST", "path": RUN},
        {"kind": "maintenance", "method": "GET", "path": "/M48/instances", "nth": list(range(3, 60))},
    )
    with pytest.raises(RemoteError, match=r"POST /conf/jobs/M48") as lost:
        run_job().execute(context)
    assert lost.value.effect_unknown
    job_alma.heal()
    assert [deferred(run_job(), context).trigger.instance_id] == instances(job_alma)


def test_several_candidates_are_not_decided_by_guessing(job_alma, context, memory):
    memory.set("alma_job_instances_before", [])
    names = {job_alma.start(name="Made for a test"), job_alma.start(name="Made for a test")}
    with pytest.raises(AirflowFailException) as failed:
        run_job().execute(context)
    assert names <= set(re.findall(r"\d{10,}", str(failed.value)))
    assert set(instances(job_alma)) == names


def test_three_running_jobs_are_waited_for(job_alma, context, memory):
    for _ in range(3):
        job_alma.start(job="M31")
    task = run_job(timeout=3600)
    waiting = deferred(task, context)
    assert isinstance(waiting.trigger, DateTimeTrigger)
    assert len(instances(job_alma)) == 3
    assert memory.values == {}  # what others start meanwhile is not ours
    somebody = [job_alma.advance(120), job_alma.start(name="Made for a test")][1]
    with pytest.raises(TaskDeferred) as raised:
        task.resume_execution(waiting.method_name, {**waiting.kwargs, "event": None}, context)
    assert raised.value.trigger.instance_id not in {somebody, None}
    assert raised.value.timeout < waiting.timeout  # one bound for all the waiting


def test_five_starts_in_an_hour_are_waited_for(job_alma, context):
    for _ in range(5):
        job_alma.start(job="M48")
        job_alma.advance(120)
    with pytest.raises(AirflowRescheduleException):
        run_job(deferrable=False).execute(context)
    assert len(instances(job_alma)) == 5
    job_alma.advance(3600)
    with pytest.raises(AirflowRescheduleException):
        run_job(deferrable=False).execute(context)
    assert len(instances(job_alma)) == 6


def test_waiting_for_a_turn_has_an_end(job_alma, context):
    for _ in range(3):
        job_alma.start(job="M31")
    with pytest.raises(AirflowSensorTimeout):
        run_job(timeout=0).execute(context)


def test_a_job_that_fails_is_not_started_again_by_a_retry_but_by_clearing(job_alma, context, memory):
    job_alma.settings(job_outcome="COMPLETED_FAILED")
    with pytest.raises(AirflowRescheduleException):
        run_job(deferrable=False).execute(context)
    job_alma.advance(120)
    with pytest.raises(AirflowFailException, match=r"COMPLETED_FAILED: The job ended as COMPLETED_FAILED\."):
        run_job(deferrable=False).execute(context)
    assert memory.values == {}
    assert len(instances(job_alma)) == 1
    deferred(run_job(), context)
    assert len(instances(job_alma)) == 2


@pytest.mark.parametrize("status", ["COMPLETED_WARNING", "ON_ANOTHER_PLANET"])
def test_other_endings_that_the_triggerer_tells(job_alma, context, memory, status):
    waiting = deferred(run_job(), context)
    instance_id = waiting.trigger.instance_id
    with pytest.raises(AirflowFailException, match=f"ended as {status}: 3 records were locked. See"):
        run_job().execute_complete(context, end(instance_id, status, ["3 records were locked."]))
    assert memory.values == {}
    accepting = run_job(also_accept=[status])
    assert accepting.execute_complete(context, end(instance_id, status)) == instance_id


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"job": "No such job"}, "no job named 'No such job'"),
        ({"job": "M9999"}, "no job M9999"),
        ({"parameters": {"set_id": "1"}}, "402229"),
        ({"parameters": {"set_id": ALL_TITLES, "unknown": "x"}}, "402228"),
    ],
)
def test_what_no_retry_can_mend_fails_at_once(job_alma, context, arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        run_job(**arguments).execute(context)
    assert instances(job_alma) == []


def test_a_name_of_several_jobs_is_not_decided_by_guessing(job_alma, context):
    rows = ",".join(f'{{"id": "{number}", "name": "Twice"}}' for number in ("M1", "M2"))
    job_alma.faults(
        {
            "kind": "body",
            "path": "/conf/jobs.limit",
            "text": f'{{"job": [{rows}], "total_record_count": 2}}',
            "content_type": "application/json",
            "status": 200,
        }
    )
    with pytest.raises(AirflowFailException, match=r"Several jobs of Alma are named 'Twice' \(M1, M2\)"):
        run_job(job="Twice").execute(context)


def test_an_alma_that_is_not_there_is_left_to_the_retry(connect_job_alma, context):
    connect_job_alma("http://127.0.0.1:9")
    with pytest.raises(RemoteUnreachable):
        run_job().execute(context)


# --- sets


def create_set(**kwargs):
    settings = {"name": "Made for a test", "content": "ITEM", **kwargs}
    return AlmaCreateSetOperator(task_id="make_set", **settings)


def add_members(set_id, ids, **kwargs):
    return AlmaAddSetMembersOperator(task_id="fill_set", set_id=set_id, member_ids=ids, **kwargs)


@pytest.mark.quick
def test_a_set_is_made_once(job_alma, context):
    job_alma.faults({"kind": "drop", "method": "POST", "path": "/conf/sets$", "nth": 1})
    set_id = create_set(description="For people").execute(context)
    assert create_set().execute(context) == set_id
    found = get(job_alma, f"/conf/sets/{set_id}")
    assert (found["name"], found["description"], found["content"]["value"]) == (
        "Made for a test",
        "For people",
        "ITEM",
    )
    assert [each["name"] for each in get(job_alma, "/conf/sets?limit=100")["set"]].count(
        "Made for a test"
    ) == 1


def test_a_set_of_the_same_name_that_holds_something_else_is_not_taken(job_alma, context):
    create_set(content="BIB_MMS").execute(context)
    with pytest.raises(AirflowFailException, match="holds BIB_MMS, not ITEMIZED and ITEM"):
        create_set().execute(context)


def test_members_are_added_a_thousand_a_call_and_counted(context, connect_job_alma):
    from alma_sandbox import Settings, serve
    from tests.airflow.conftest import JobAlma

    with serve(Settings(titles=1205, per_second=0)) as running:
        connect_job_alma(running.url)
        view = JobAlma(running.url)
        titles = running.sandbox.catalogue.title_ids(0, 1205)
        set_id = create_set(content="BIB_MMS").execute(context)
        assert add_members(set_id, titles[:5]).execute(context)["added"] == 5
        counts = add_members(set_id, [*titles, titles[0], titles[700]]).execute(context)
        assert counts == {
            "given": 1207,
            "repeated": 2,
            "already_members": 5,
            "added": 1200,
            "not_added": 0,
            "size": 1205,
        }
        assert view.sent("POST", "op=add_members") == 3
        again = add_members(set_id, titles).execute(context)
        assert (again["already_members"], again["added"], again["size"]) == (1205, 0, 1205)
        assert view.sent("POST", "op=add_members") == 3
        assert running.sandbox.sets.by_id[set_id].members == titles


def test_a_retry_goes_on_where_an_earlier_attempt_came_to(job_alma, context):
    ids = [member["id"] for member in get(job_alma, f"/conf/sets/{ALL_TITLES}/members?limit=30")["member"]]
    set_id = create_set(content="BIB_MMS").execute(context)
    job_alma.faults(
        {"kind": "drop", "method": "POST", "path": "op=add_members"},
        {"kind": "maintenance", "method": "GET", "path": f"/sets/{set_id}$", "nth": list(range(3, 60))},
    )
    with pytest.raises(RemoteError, match=f"POST /conf/sets/{set_id}"):
        add_members(set_id, ids).execute(context)
    job_alma.heal()
    counts = add_members(set_id, ids).execute(context)
    assert (counts["already_members"], counts["added"], counts["size"]) == (30, 0, 30)


def barcodes(job_alma, count):
    members = get(job_alma, f"/conf/sets/{ITEM_SET}/members?limit={count}")["member"]
    return [
        get(job_alma, re.sub(r".*/almaws/v1", "", each["link"]))["item_data"]["barcode"] for each in members
    ]


def test_barcodes_that_are_unknown_or_there_already_are_counted(job_alma, context):
    known = barcodes(job_alma, 4)
    set_id = create_set().execute(context)
    options = {"id_type": "BARCODE", "fail_on_invalid_id": False}
    assert add_members(set_id, known[:1], **options).execute(context)["added"] == 1
    counts = add_members(set_id, [*known, "NO-SUCH-BARCODE"], **options).execute(context)
    assert counts == {
        "given": 5,
        "repeated": 0,
        "already_members": 0,
        "added": 3,
        "not_added": 2,
        "size": 4,
    }


def test_an_unknown_member_fails_the_task_by_default(job_alma, context):
    set_id = create_set().execute(context)
    with pytest.raises(AirflowFailException, match="60117"):
        add_members(set_id, ["NO-SUCH-BARCODE"], id_type="BARCODE").execute(context)
    assert get(job_alma, f"/conf/sets/{set_id}")["number_of_members"]["value"] == 0


def test_an_unknown_set_fails_at_once(job_alma, context):
    with pytest.raises(AirflowFailException, match="There is no set 590"):
        add_members("590", ["1"]).execute(context)
    assert add_members(EMPTY_SET, []).execute(context)["given"] == 0


# --- items


def update_item(**kwargs):
    return AlmaUpdateItemOperator(task_id="update_item", **kwargs)


def test_an_item_is_changed_in_part_and_keeps_the_rest(job_alma, context):
    (barcode,) = barcodes(job_alma, 1)
    before = get(job_alma, f"/items?item_barcode={barcode}")
    changes = {"internal_note_1": "Checked", "policy": {"value": "02"}}
    told = update_item(barcode=barcode, item_data=changes).execute(context)
    after = get(job_alma, f"/items?item_barcode={barcode}")
    assert told == {"outcome": "updated", "item_pid": before["item_data"]["pid"], "barcode": barcode}
    changed = {
        name
        for name in before["item_data"].keys() | after["item_data"].keys()
        if before["item_data"].get(name) != after["item_data"].get(name)
    }
    assert changed - {"modification_date"} == {"internal_note_1", "policy"}
    assert after["item_data"]["internal_note_1"] == "Checked"
    assert update_item(barcode=barcode, item_data=changes).execute(context)["outcome"] == "unchanged"
    assert job_alma.sent("PUT", "/items/") == 1


def test_an_item_is_named_by_its_three_ids_too_and_a_lost_answer_is_seen(job_alma, context):
    link = get(job_alma, f"/conf/sets/{ITEM_SET}/members?limit=1")["member"][0]["link"].split("/")
    ids = {"mms_id": link[-5], "holding_id": link[-3], "item_pid": link[-1]}
    job_alma.faults({"kind": "drop", "method": "PUT", "path": "/items/", "nth": 1})
    told = update_item(**ids, item_data={"internal_note_2": "Seen"}).execute(context)
    assert (told["outcome"], told["item_pid"]) == ("adopted", ids["item_pid"])
    assert job_alma.sent("PUT", "/items/") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"item_data": {"internal_note_1": "x"}}, "Name the item"),
        ({"barcode": "1", "mms_id": "1", "holding_id": "1", "item_pid": "1"}, "Name the item"),
        ({"mms_id": "1", "item_data": {"internal_note_1": "x"}}, "Name the item"),
        ({"barcode": "1"}, "No field"),
        ({"barcode": "NO-SUCH", "item_data": {"internal_note_1": "x"}}, "No item has the barcode NO-SUCH"),
    ],
)
def test_an_item_that_is_not_told_or_not_there_fails_at_once(job_alma, context, arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        update_item(**arguments).execute(context)
    assert job_alma.sent("PUT", "") == 0


# --- documentation and templates

CLASSES = [
    AlmaRunJobOperator,
    AlmaJobSensor,
    AlmaCreateSetOperator,
    AlmaAddSetMembersOperator,
    AlmaUpdateItemOperator,
]


@pytest.mark.parametrize("operator", CLASSES)
def test_the_example_of_a_docstring_makes_a_task(operator):
    text = inspect.getdoc(operator).partition("Example::")[2].partition("\n:param")[0]
    code = inspect.cleandoc(text)
    with DAG("example", schedule=None) as dag:
        exec(compile(ast.parse(code), "example", "exec"), {operator.__name__: operator})
    assert [type(task) for task in dag.tasks] == [operator]


@pytest.mark.parametrize("operator", CLASSES)
def test_every_template_field_is_an_argument_and_documented(operator):
    arguments = {
        name
        for each in operator.__mro__
        if "__init__" in vars(each)
        for name in inspect.signature(each.__init__).parameters
    }
    assert set(operator.template_fields) <= arguments
    own = set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}
    assert all(f":param {name}:" in inspect.getdoc(operator) for name in own)


def test_arguments_are_templates():
    task = run_job(parameters={"set_id": "{{ params.set_id }}", "job_name": "Export {{ run_id }}"})
    task.render_template_fields({"params": {"set_id": "59"}, "run_id": "manual"})
    assert task.parameters == {"set_id": "59", "job_name": "Export manual"}


def test_the_modules_of_the_page_are_there():
    page = (CHECKOUT / "docs" / "operators.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", page, re.MULTILINE)
    assert {name for name, _ in named} >= {each.__name__ for each in CLASSES}
    for name, module in named:
        assert hasattr(__import__(module, fromlist=[name]), name)
    public = {
        name
        for module in (alma, alma_job)
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == module.__name__
    }
    assert public <= {name for name, _ in named}


@pytest.fixture
def example_dag(tmp_path):
    page = (CHECKOUT / "docs" / "operators.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "change_items.py").write_text(code, "utf-8")
    bag = DagBag(str(tmp_path / "dags"))
    assert bag.import_errors == {}
    return bag.dags["change_items"]


def test_the_example_of_the_page_is_a_dag(example_dag):
    assert {task.task_id for task in example_dag.tasks} == {
        "chosen_barcodes",
        "make_set",
        "fill_set",
        "change_items",
    }
    assert example_dag.get_task("change_items").upstream_task_ids == {"make_set", "fill_set"}
    assert SimpleNamespace(**example_dag.default_args).pool == "alma_api"
