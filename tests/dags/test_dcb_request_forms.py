"""The forms of `dcb_place_request` and `dcb_cancel_request`."""

import json

import pytest
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from tests.dags.bag import BAG

PLACE, CANCEL = BAG.dags["dcb_place_request"], BAG.dags["dcb_cancel_request"]
CONF = {
    "pr_id": "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11",
    "supplier": {
        "system": "LENDER",
        "mms_id": "9900000000004401",
        "holding_id": "2200000000004401",
        "item_pid": "2300000000004401",
    },
    "borrower": {"system": "BORROWER", "user_id": "patron-1"},
    "pickup": {"system": "BORROWER", "library": "MAIN", "circ_desk": None},
    "bib": {"title": "A title"},
    "item": {"barcode": "32101000000001"},
}


def checked(dag, conf):
    """What Airflow makes of a conf that comes by its REST API."""
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return stored.params.deep_merge(conf).validate()


def test_the_form_takes_the_conf_of_the_documents_and_fills_in_the_rest():
    found = checked(PLACE, CONF)
    assert found == {**CONF, "workflow": "RET-STD", "note": None, "dry_run": False}
    assert checked(CANCEL, {"pr_id": "PR-1"}) == {"pr_id": "PR-1", "reason": None, "dry_run": False}


@pytest.mark.parametrize(
    "change",
    [
        {"pr_id": "../../etc"},
        {"pr_id": "x" * 65},
        {"workflow": "RET-ANY"},
        {"supplier": {**CONF["supplier"], "mms_id": "not digits"}},
        {"supplier": {"system": "LENDER"}},
        {"borrower": {"system": "BORROWER"}},
        {"borrower": "patron-1"},
        {"pickup": {**CONF["pickup"], "more": "than is known"}},
        {"item": {"barcode": "of two\nlines"}},
        {"note": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_malformed_conf_starts_no_run(change):
    with pytest.raises(ParamValidationError):
        checked(PLACE, {**CONF, **change})


@pytest.mark.parametrize("missing", sorted(CONF))
def test_what_must_be_given_is_not_made_up(missing):
    conf = {name: value for name, value in CONF.items() if name != missing}
    with pytest.raises(ParamValidationError):
        checked(PLACE, conf)


def test_the_form_says_what_the_parts_consist_of():
    supplier = PLACE.params.get_param("supplier")
    for field in ("system", "mms_id", "holding_id", "item_pid"):
        assert field in supplier.description
        assert field in supplier.schema["required"]


@pytest.mark.parametrize("name", ["supplier", "borrower", "pickup", "bib", "item"])
def test_the_form_shows_an_example_that_it_would_take(name):
    param = PLACE.params.get_param(name)
    example = json.loads(param.schema["description_md"].split("```json")[1].split("```")[0])
    assert checked(PLACE, {**CONF, name: example})[name] == example
    assert "examples" not in param.schema
