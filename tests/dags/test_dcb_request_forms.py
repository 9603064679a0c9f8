"""The forms of `dcb_place_request` and `dcb_cancel_request`."""

import pytest
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from alma_etl.dcb.conf import PlaceRequest, read_place
from alma_etl.dcb.settings import shipped_settings
from alma_etl.errors import InputProblem
from tests.dags.bag import BAG

PLACE, CANCEL = BAG.dags["dcb_place_request"], BAG.dags["dcb_cancel_request"]
CONF = {
    "pr_id": "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11",
    "supplier_system": "LENDER",
    "item_barcode": "32101000000001",
    "borrower_system": "BORROWER",
    "user_id": "patron-1",
    "pickup_library": "MAIN",
}


def checked(dag, conf):
    """What Airflow makes of a conf that comes by its REST API."""
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return stored.params.deep_merge(conf).validate()


def test_the_form_takes_the_conf_of_the_documents_and_fills_in_the_rest():
    empty = dict.fromkeys(PlaceRequest.model_fields)
    found = checked(PLACE, CONF)
    assert found == {**empty, **CONF, "workflow": "RET-STD", "dry_run": False}
    assert checked(CANCEL, {"pr_id": "PR-1"}) == {"pr_id": "PR-1", "reason": None, "dry_run": False}


@pytest.mark.parametrize(
    "change",
    [
        {"pr_id": "../../etc"},
        {"pr_id": "x" * 65},
        {"workflow": "RET-ANY"},
        {"supplier_mms_id": "not digits"},
        {"supplier_system": "a b"},
        {"item_barcode": "of two\nlines"},
        {"pickup_library": {"code": "MAIN"}},
        {"note": 5},
        {"suppliers": 5},
        {"dry_run": "perhaps"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_malformed_conf_starts_no_run(change):
    with pytest.raises(ParamValidationError):
        checked(PLACE, {**CONF, **change})


def test_an_empty_field_and_more_copies_in_either_way_are_taken():
    lines, listed = "LENDER 31\nLENDER 32", ["LENDER 31", "LENDER 32"]
    for change in (dict.fromkeys(CONF, ""), {"suppliers": lines}, {"suppliers": listed}, {"suppliers": []}):
        assert checked(PLACE, {**CONF, **change}).items() >= change.items()


def test_a_nested_conf_of_before_reaches_the_task_which_shows_the_flat_one():
    nested = {"pr_id": "PR-1", "supplier": {"system": "LENDER"}, "bib": {"title": "A title"}}
    given = {name: value for name, value in checked(PLACE, nested).items() if value is not None}
    with pytest.raises(InputProblem, match=r'nested form of before.*"supplier_system": "LENDER"'):
        read_place(given, shipped_settings())


@pytest.mark.parametrize("dag", [PLACE, CANCEL], ids=lambda dag: dag.dag_id)
def test_every_field_is_a_simple_one_with_a_title_and_what_it_means(dag):
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
        kind = param.schema["type"]
        shown = kind if isinstance(kind, str) else next(each for each in kind if each != "null")
        assert shown in ("string", "boolean"), name


def test_the_six_fields_that_a_placing_needs_stand_at_the_top():
    top = [name for name in PLACE.params if "section" not in PLACE.params.get_param(name).schema]
    assert set(CONF) <= set(top)
    assert len(top) <= 9
