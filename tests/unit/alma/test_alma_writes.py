"""For each write: the rule by which a lost answer is distinguished from a lost call, in the very calls that go out."""

import json

import pytest

from alma_etl.alma import writes
from alma_etl.alma.items import item
from alma_etl.alma.loans import loan
from alma_etl.remote.errors import RemoteReadOnly
from alma_etl.remote.safe_write import SETTLE, WriteOutcome
from tests.unit.alma.samples import LOAN, REQUEST, USER, instance, item_object
from tests.unit.alma.scripted import BASE, HTML, Say, as_json, as_xml, refusal

LOST = Say(b"", 500)


def calls(alma):
    return [f"{asked.method} {asked.target.removeprefix(BASE)}" for asked in alma.asked]


def redirected(alma, document):
    return Say(b"", 302, headers={"Location": f"{alma.url}{BASE}/there"}), as_json(document)


# items

ITEM = {"item_data": {"barcode": "B1"}}
POST_ITEM = "POST /bibs/991/holdings/221/items"
LOOK_ITEM = ["GET /items?item_barcode=B1", "GET /there"]


def test_an_item_whose_answer_was_lost_is_found_by_its_barcode(alma, client, pauses):
    alma.says(LOST, *redirected(alma, item_object()))
    written = writes.create_item(client, "991", "221", ITEM)
    assert (written.outcome, written.value.pid) == (WriteOutcome.ADOPTED, "231")
    assert calls(alma) == [POST_ITEM, *LOOK_ITEM]
    assert pauses == []


def test_an_item_that_was_not_made_is_sent_again(alma, client):
    alma.says(HTML, refusal("401689"), as_json(item_object()))
    assert writes.create_item(client, "991", "221", ITEM).outcome is WriteOutcome.CREATED
    assert calls(alma) == [POST_ITEM, LOOK_ITEM[0], POST_ITEM]


def test_a_barcode_that_turns_up_elsewhere_is_not_ours(alma, client):
    there = item_object()
    there["holding_data"]["holding_id"] = "229"
    alma.says(LOST, *redirected(alma, there))
    written = writes.create_item(client, "991", "221", ITEM)
    assert (written.outcome, written.error.code) == (WriteOutcome.REFUSED, writes.BARCODE_ELSEWHERE)
    assert "holding 229" in str(written.error)


def test_an_item_that_cannot_be_looked_for_is_unconfirmed(alma, client):
    alma.says(LOST, HTML)
    written = writes.create_item(client, "991", "221", ITEM)
    assert (written.outcome, written.error.call) == (WriteOutcome.UNCONFIRMED, POST_ITEM)
    assert calls(alma) == [POST_ITEM, *[LOOK_ITEM[0]] * 5]


def test_a_read_only_connection_is_no_outcome(alma, make_client):
    with pytest.raises(RemoteReadOnly):
        writes.create_item(make_client(read_only=True), "991", "221", ITEM)


# holdings

RECORD = (
    b'<record><datafield ind1=" " ind2=" " tag="852"><subfield code="b">MAIN</subfield>'
    b'<subfield code="c">stacks</subfield><subfield code="b">SECOND</subfield></datafield></record>'
)
HOLDING = as_xml("<holding><holding_id>222</holding_id><record/></holding>")


def holdings(*rows):
    return as_json(
        {
            "holding": [
                {"holding_id": id_, "library": {"value": library}, "location": {"value": location}}
                for id_, library, location in rows
            ],
            "total_record_count": len(rows),
        }
    )


OLD, OTHER, NEW = ("221", "MAIN", "stacks"), ("223", "MAIN", "desk"), ("222", "MAIN", "stacks")


def test_a_holding_whose_answer_was_lost_is_the_new_one_at_its_place(alma, client):
    alma.says(LOST, holdings(OLD, OTHER, NEW), HOLDING)
    written = writes.create_holding(client, "991", RECORD, known=["221"])
    assert (written.outcome, written.value.holding_id) == (WriteOutcome.ADOPTED, "222")
    assert calls(alma) == ["POST /bibs/991/holdings", "GET /bibs/991/holdings", "GET /bibs/991/holdings/222"]


def test_a_holding_that_stays_away_is_made_again(alma, client, pauses):
    alma.says(LOST, *[holdings(OLD, OTHER)] * 4, HOLDING)
    assert writes.create_holding(client, "991", RECORD, known=["221"]).outcome is WriteOutcome.CREATED
    assert calls(alma).count("POST /bibs/991/holdings") == 2
    assert pauses == list(SETTLE[1:])


def test_two_new_holdings_at_one_place_are_for_a_person_to_tell_apart(alma, client):
    alma.says(LOST, holdings(NEW, ("224", "MAIN", "stacks")))
    assert writes.create_holding(client, "991", RECORD, known=[]).outcome is WriteOutcome.UNCONFIRMED


def test_a_holding_needs_a_place(client):
    with pytest.raises(ValueError, match="852"):
        writes.create_holding(client, "991", b"<record/>", known=[])


# bibs

BIB_RECORD = b'<record><datafield ind1=" " ind2=" " tag="035"><subfield code="a">(ETL)1</subfield></datafield></record>'
BIB = "<bib><mms_id>991</mms_id><record/></bib>"


def test_a_bib_is_found_by_its_marker(alma, client):
    alma.says(LOST, as_xml(f"<bibs>{BIB}</bibs>"))
    written = writes.create_bib(client, BIB_RECORD, marker="(ETL)1", suppressed=True)
    assert (written.outcome, written.value.mms_id) == (WriteOutcome.ADOPTED, "991")
    assert calls(alma)[1] == "GET /bibs?other_system_id=%28ETL%291&view=full"


def test_a_bib_that_the_index_does_not_know_in_time_is_made_again(alma, client):
    alma.says(LOST, *[as_xml("<bibs/>")] * 4, as_xml(BIB))
    assert (
        writes.create_bib(client, BIB_RECORD, marker="(ETL)1", suppressed=True).outcome
        is WriteOutcome.CREATED
    )


def test_two_bibs_with_one_marker_are_not_guessed_between(alma, client):
    alma.says(LOST, as_xml(f"<bibs>{BIB}<bib><mms_id>992</mms_id></bib></bibs>"))
    written = writes.create_bib(client, BIB_RECORD, marker="(ETL)1", suppressed=True)
    assert written.outcome is WriteOutcome.UNCONFIRMED


def test_a_marker_must_be_in_the_record(client):
    with pytest.raises(ValueError, match="035"):
        writes.create_bib(client, BIB_RECORD, marker="(ETL)2", suppressed=True)


# users, requests, loans


@pytest.mark.parametrize(("look", "outcome"), [(as_json(USER), "adopted"), (refusal("401861"), "created")])
def test_a_user_is_found_by_primary_id(look, outcome, alma, client):
    alma.says(LOST, look, as_json(USER))
    assert writes.create_user(client, USER).outcome == outcome


def requests(*comments):
    rows = [{**REQUEST, "request_id": str(n), "comment": comment} for n, comment in enumerate(comments)]
    return as_json({"user_request": rows, "total_record_count": len(rows)})


HOLD = {
    "request_type": "HOLD",
    "pickup_location_type": "LIBRARY",
    "pickup_location_library": "MAIN",
    "comment": "c",
}


def place(client, **settings):
    return writes.create_request(client, "u1", HOLD, marker="[X:1]", item_pid="231", **settings)


def test_a_request_carries_its_marker_and_is_looked_for_first(alma, client):
    alma.says(requests("[X:2]"), as_json(REQUEST))
    assert place(client).outcome is WriteOutcome.CREATED
    assert json.loads(alma.asked[-1].body)["comment"] == "c [X:1]"
    assert HOLD["comment"] == "c"
    alma.says(requests("[X:2]", "c [X:1]"))
    written = place(client)
    assert (written.outcome, written.value.request_id) == (WriteOutcome.ADOPTED, "1")
    assert [call.partition("?")[0] for call in calls(alma)] == [
        "GET /users/u1/requests",
        "POST /users/u1/requests",
        "GET /users/u1/requests",
    ]


@pytest.mark.parametrize(("look", "outcome"), [(requests("c [X:1]"), "adopted"), (requests(), "created")])
def test_a_request_whose_answer_was_lost_is_found_by_its_marker(look, outcome, alma, client):
    alma.says(LOST, look, as_json(REQUEST))
    assert place(client, look_first=False).outcome == outcome


def test_a_user_that_is_not_there_gets_no_request(alma, client):
    alma.says(refusal("401890"))
    written = place(client)
    assert (written.outcome, written.error.code) == (WriteOutcome.REFUSED, "401890")


def loans(*pids):
    rows = [{**LOAN, "loan_id": pid, "item_id": pid} for pid in pids]
    return as_json({"item_loan": rows, "total_record_count": len(rows)})


@pytest.mark.parametrize(("look", "outcome"), [(loans("9", "231"), "adopted"), (loans("9"), "created")])
@pytest.mark.parametrize("first", [True, False])
def test_a_loan_is_found_by_its_item(first, look, outcome, alma, client):
    alma.says(*([] if first else [LOST]), look, as_json(LOAN))
    written = writes.create_loan(
        client, "u1", item_pid="231", library="MAIN", circ_desk="D", look_first=first
    )
    assert written.outcome == outcome


@pytest.mark.parametrize(
    ("look", "outcome"),
    [([as_json({**LOAN, "due_date": "2027-01-01T00:00:00Z"})], "adopted"), ([as_json(LOAN)] * 4, "created")],
)
def test_a_renewal_is_seen_by_the_due_date(look, outcome, alma, client):
    alma.says(LOST, *look, as_json(LOAN))
    assert writes.renew_loan(client, loan(LOAN)).outcome == outcome


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        ([as_json(item_object(process_type={}, base_status={"value": "1"}))], "adopted"),
        ([as_json(item_object())] * 4, "created"),
        ([HTML] * 5, "unconfirmed"),
    ],
)
def test_a_scan_in_is_seen_by_the_state_of_the_item(look, outcome, alma, client):
    alma.says(LOST, *look, as_json(item_object()))
    assert writes.scan_in(client, item(item_object()), library="MAIN", circ_desk="D").outcome == outcome


# sets and jobs


def alma_set(name="S", members=0):
    return {"id": "59", "name": name, "content": {"value": "ITEM"}, "number_of_members": {"value": members}}


def sets(*names):
    return as_json(
        {"set": [alma_set(name) for name in names], "total_record_count": len(names)}
        if names
        else {"total_record_count": 0}
    )


@pytest.mark.parametrize(("looks", "outcome"), [([sets("S")], "adopted"), ([sets()] * 4, "created")])
def test_a_set_is_found_by_its_name(looks, outcome, alma, client):
    alma.says(sets("S of others") if outcome == "adopted" else sets(), LOST, *looks, as_json(alma_set()))
    assert writes.create_set(client, "S", "ITEM").outcome == outcome


def members(alma):
    return [
        len(json.loads(asked.body)["members"]["member"]) for asked in alma.asked if asked.method == "POST"
    ]


def size(count):
    return as_json(alma_set(members=count))


def test_members_are_added_by_the_thousand_and_counted_after_a_lost_answer(alma, client):
    ids = [str(n) for n in range(2300)]
    alma.says(size(5), size(1005), LOST, size(2005), LOST, size(2005), size(2305))
    written = writes.add_members(client, "59", ids)
    assert (written.outcome, written.value.number_of_members) == (WriteOutcome.CREATED, 2305)
    assert members(alma) == [1000, 1000, 300, 300]


def test_a_set_that_grew_otherwise_is_not_guessed_about(alma, client):
    alma.says(size(0), LOST, size(1))
    assert writes.add_members(client, "59", ["1", "2"]).outcome is WriteOutcome.UNCONFIRMED


def test_no_members_need_no_call_but_a_set(alma, client):
    alma.says(size(5))
    assert writes.add_members(client, "59", []).outcome is WriteOutcome.UNCHANGED
    alma.says(refusal("60107"))
    assert writes.add_members(client, "59", ["1"]).outcome is WriteOutcome.NOT_FOUND


def instances(*rows):
    return as_json(
        {
            "job_instance": [instance("RUNNING", id=id_, name=name) for id_, name in rows],
            "total_record_count": len(rows),
        }
    )


STARTED = as_json({"additional_info": {"link": "https://h/almaws/v1/conf/jobs/M48/instances/9"}})


@pytest.mark.parametrize(
    ("after", "outcome", "value"),
    [
        ([instances(("1", "J"), ("2", "theirs"), ("3", "J"))], "adopted", "3"),
        ([instances(("1", "J"), ("2", "theirs"))] * 4, "created", "9"),
        ([instances(("3", "J"), ("4", "J"))], "unconfirmed", None),
    ],
)
def test_a_job_that_may_have_started_is_found_among_the_new_instances_of_its_name(
    after, outcome, value, alma, client
):
    alma.says(instances(("1", "J")), LOST, *after, STARTED)
    written = writes.run_job(client, "M48", {"job_name": "J", "set_id": "59"})
    assert (written.outcome, written.value) == (outcome, value)


def test_a_job_that_does_not_exist(alma, client):
    alma.says(refusal("402215"))
    assert writes.run_job(client, "M0", {}).outcome is WriteOutcome.NOT_FOUND
