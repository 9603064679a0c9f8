"""For each update: what goes out, and how it is known that it was taken over."""

import json

import pytest
from lxml import etree

from alma_etl.alma import writes
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome
from tests.unit.alma.samples import USER, item_object
from tests.unit.alma.scripted import BASE, Say, as_json, as_xml, refusal

LOST = Say(b"", 500)


def calls(alma):
    return [f"{asked.method} {asked.target.removeprefix(BASE)}" for asked in alma.asked]


def test_an_item_update_sends_everything_back_and_changes_what_was_asked(alma, client):
    before = item_object(public_note="old", physical_condition={}, internal_note_1="stays")
    after = item_object(public_note="new", policy={"value": "P", "desc": "Policy"}, internal_note_1="stays")
    alma.says(as_json(before), as_json(after))
    changes = {
        "item_data": {
            "public_note": "new",
            "policy": {"value": "P"},
            "physical_material_type": {"value": "BOOK"},
        }
    }
    written = writes.update_item(client, "991", "any", "231", changes)
    assert (written.outcome, written.value.item_policy) == (WriteOutcome.UPDATED, "P")
    sent = json.loads(alma.asked[-1].body)
    expected = item_object(
        public_note="new", policy={"value": "P"}, physical_condition={}, internal_note_1="stays"
    )
    assert sent == expected
    assert sent["item_data"]["barcode"] == "B1"
    assert sent["item_data"]["physical_material_type"]["desc"] == "Book"  # it was so already: left as it came
    assert calls(alma)[-1] == "PUT /bibs/991/holdings/221/items/231"  # by the holding where it really is


def test_an_item_that_is_as_wanted_is_not_sent(alma, client):
    alma.says(as_json(item_object()))
    changes = {
        "item_data": {"policy": {"value": ""}, "description": ""},
        "holding_data": {"in_temp_location": "false"},
    }
    assert writes.update_item(client, "991", "221", "231", changes).outcome is WriteOutcome.UNCHANGED
    assert len(alma.asked) == 1


def test_an_item_that_came_back_with_another_barcode_is_told(alma, client):
    alma.says(as_json(item_object()), as_json(item_object(public_note="new", barcode="GENERATED")))
    written = writes.update_item(client, "991", "221", "231", {"item_data": {"public_note": "new"}})
    assert (written.outcome, written.error.code) == (WriteOutcome.REFUSED, NOT_AS_SENT)
    assert written.value.barcode == "GENERATED"


def test_an_item_update_whose_answer_was_lost_is_seen_in_a_new_reading(alma, client):
    alma.says(as_json(item_object()), LOST, as_json(item_object(public_note="new")))
    written = writes.update_item(client, "991", "221", "231", {"item_data": {"public_note": "new"}})
    assert written.outcome is WriteOutcome.ADOPTED
    assert [asked.method for asked in alma.asked] == ["GET", "PUT", "GET"]


@pytest.mark.parametrize("failure", [LOST, refusal("401652")])
def test_an_item_at_which_alma_fails_is_sent_with_the_least_fields_where_that_is_allowed(
    alma, client, failure
):
    before = item_object(public_note="old", internal_note_1="ours", storage_location_id="S")
    alma.says(as_json(before), failure, as_json(item_object(public_note="new")))
    changes, least = (
        {"item_data": {"public_note": "new"}},
        ("pid", "barcode", "public_note", "internal_note_1"),
    )
    written = writes.update_item(client, "991", "221", "231", changes, least=least)
    assert written.outcome is WriteOutcome.UPDATED
    sent = {"pid": "231", "barcode": "B1", "public_note": "new", "internal_note_1": "ours"}
    assert json.loads(alma.asked[-1].body) == {"item_data": sent}


def test_an_item_that_alma_refuses_is_not_sent_in_part(alma, client):
    alma.says(as_json(item_object()), refusal("401666"))
    changes = {"item_data": {"public_note": "new"}}
    written = writes.update_item(client, "991", "221", "231", changes, least=("pid", "barcode"))
    assert (written.outcome, len(alma.asked)) == (WriteOutcome.REFUSED, 2)


def test_a_barcode_may_be_changed_on_purpose(alma, client):
    alma.says(as_json(item_object()), as_json(item_object(barcode="B2")))
    written = writes.update_item(client, "991", "221", "231", {"item_data": {"barcode": "B2"}})
    assert (written.outcome, written.value.barcode) == (WriteOutcome.UPDATED, "B2")


def test_an_item_that_is_not_there_is_not_found(alma, client):
    alma.says(refusal("401688"))
    written = writes.update_item(client, "991", "221", "231", {"item_data": {"public_note": "new"}})
    assert (written.outcome, written.value) == (WriteOutcome.NOT_FOUND, None)


def test_a_user_update_keeps_everything_else(alma, client):
    contact = {"email": [{"email_address": "a@example.org", "email_type": [{"value": "personal"}]}]}
    stored = {
        "email": [
            {
                "email_address": "a@example.org",
                "preferred": False,
                "email_type": [{"value": "personal", "desc": "P"}],
            }
        ]
    }
    alma.says(as_json(USER), as_json({**USER, "expiry_date": "2028-01-01Z", "contact_info": stored}))
    changes = {"expiry_date": "2028-01-01Z", "contact_info": contact, "user_group": "UGRD"}
    written = writes.update_user(client, "u1", changes, override=["user_group"])
    assert written.outcome is WriteOutcome.UPDATED
    assert json.loads(alma.asked[-1].body) == {**USER, "expiry_date": "2028-01-01Z", "contact_info": contact}
    alma.says(as_json({**USER, "contact_info": {"email": []}}))
    assert writes.update_user(client, "u1", {"contact_info": contact}).error.code == NOT_AS_SENT


def add_note(record):
    if not any(field.get("tag") == "500" for field in record):
        etree.SubElement(record, "datafield", tag="500")


def whole(name, *tags, extra=""):
    fields = "".join(f'<datafield tag="{tag}"/>' for tag in tags)
    return as_xml(f"<{name}><mms_id>991</mms_id>{extra}<record>{fields}</record></{name}>")


def test_a_bib_update_is_done_again_on_what_somebody_else_saved_in_between(alma, client):
    keep = "<suppress_from_publishing>false</suppress_from_publishing>"
    alma.says(
        whole("bib", "245", extra=keep),
        refusal("4022034"),
        whole("bib", "245", "246", extra=keep),
        whole("bib", "245", "246", "500", extra=keep),
    )
    assert writes.update_bib(client, "991", add_note).outcome is WriteOutcome.UPDATED
    assert alma.asked[-1].body == whole("bib", "245", "246", "500", extra=keep).body
    assert [asked.method for asked in alma.asked] == ["GET", "PUT", "GET", "PUT"]


def test_a_bib_that_alma_normalised_the_change_away_from_is_told(alma, client):
    alma.says(whole("bib", "245"), whole("bib", "245"))
    assert writes.update_bib(client, "991", add_note).error.code == NOT_AS_SENT


def test_a_holding_update(alma, client):
    alma.says(whole("holding", "852"), LOST, whole("holding", "852"), whole("holding", "852", "500"))
    assert writes.update_holding(client, "991", "221", add_note).outcome is WriteOutcome.UPDATED
    assert [asked.method for asked in alma.asked] == ["GET", "PUT", "GET", "PUT"]
    alma.says(whole("holding", "852", "500"))
    assert writes.update_holding(client, "991", "221", add_note).outcome is WriteOutcome.UNCHANGED
