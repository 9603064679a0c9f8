"""The calls for requests, loans, users, sets, jobs, orders and configuration as they go out."""

import pytest

from alma_etl.alma.conf import CirculationDesk, CodeRow, Library, Location
from alma_etl.alma.po_lines import PoLineItem
from alma_etl.remote.answers import Absent, Found
from alma_etl.remote.errors import RemoteMalformed
from tests.unit.alma.samples import LOAN, REQUEST, USER, instance
from tests.unit.alma.scripted import Say, as_json, refusal, sent

# requests and loans


def test_requests(alma, client):
    body = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
    alma.says(as_json(REQUEST))
    made = client.requests.create("u1", body, item_pid="231")
    assert (made.request_id, made.status, made.place_in_queue, made.comment) == ("12", "NOT_STARTED", 2, "")
    assert sent(alma) == ("POST", "/users/u1/requests?item_pid=231", body)
    assert client.requests.read("u1", "12").value == made
    alma.says(as_json({"user_request": [REQUEST], "total_record_count": 1}))
    assert client.requests.of_user("u1", request_type="HOLD") == Found([made])
    assert sent(alma)[1] == "/users/u1/requests?request_type=HOLD&status=active&limit=100&offset=0"
    assert client.requests.of_item("991", "221", "231") == Found([made])
    assert sent(alma)[1] == "/bibs/991/holdings/221/items/231/requests"
    with pytest.raises(ValueError, match="either"):
        client.requests.create("u1", body)


def test_a_request_is_cancelled_without_mailing_anybody(alma, client):
    alma.says(Say(b"", 204))
    assert client.requests.cancel("u1", "12", reason="CannotBeFulfilled") == Found(None)
    assert sent(alma)[:2] == ("DELETE", "/users/u1/requests/12?reason=CannotBeFulfilled&notify_user=false")

    client.requests.cancel("u1", "12", reason="X", override=True)
    assert sent(alma)[1] == "/users/u1/requests/12?reason=X&notify_user=false&override=true"


def test_a_cancellation_whose_answer_is_lost_is_repeated_and_then_found_done(alma, client):
    alma.says(Say(b"", 500), refusal("401694"))
    assert isinstance(client.requests.cancel("u1", "12", reason="X"), Absent)
    assert len(alma.asked) == 2


def test_request_options(alma, client):
    alma.says(
        as_json(
            {"request_option": [{"type": {"value": "HOLD", "desc": "Hold"}}, {"type": {"value": "BOOKING"}}]}
        )
    )
    assert client.requests.options_for_item("991", "221", "231", user_id="u1") == ["HOLD", "BOOKING"]
    assert sent(alma)[1] == "/bibs/991/holdings/221/items/231/request-options?user_id=u1"
    alma.says(as_json({}))
    assert client.requests.options_for_bib("991") == []


def test_loans(alma, client):
    alma.says(as_json(LOAN))
    made = client.loans.create("u1", item_pid="231", library="MAIN", circ_desk="DESK", request_id="12")
    assert (made.loan_id, made.loan_status, made.library, made.item_pid) == ("73", "ACTIVE", "MAIN", "231")
    body = {"circ_desk": {"value": "DESK"}, "library": {"value": "MAIN"}, "request_id": {"value": "12"}}
    assert sent(alma) == ("POST", "/users/u1/loans?item_pid=231", body)
    client.loans.renew("u1", "73")
    assert (alma.asked[-1].method, alma.asked[-1].body) == ("POST", b"")
    assert alma.asked[-1].target.endswith("/users/u1/loans/73?op=renew")
    assert client.loans.read("u1", "73") == Found(made)
    with pytest.raises(ValueError, match="one item"):
        client.loans.create("u1", library="MAIN", circ_desk="DESK")
    alma.says(as_json({"item_loan": [LOAN], "total_record_count": 1}))
    assert client.loans.of_user("u1") == Found([made])
    assert sent(alma)[1] == "/users/u1/loans?loan_status=Active&order_by=id&limit=100&offset=0"
    assert client.loans.of_item("991", "221", "231") == Found([made])
    alma.says(refusal("401823"))
    assert isinstance(client.loans.read("u1", "73"), Absent)


def test_a_due_date_may_be_set_twice(alma, client):
    alma.says(Say(b"", 502), as_json(LOAN))
    client.loans.change_due_date("u1", "73", "2026-12-31T22:00:00Z")
    assert sent(alma) == ("PUT", "/users/u1/loans/73?notify_user=false", {"due_date": "2026-12-31T22:00:00Z"})
    assert len(alma.asked) == 2


# users


def test_users(alma, client):
    alma.says(as_json(USER))
    user = client.users.read("u1", expand="loans").value
    assert (user.user_group, user.status, user.expiry_date) == ("UGRD", "ACTIVE", "2027-01-01Z")
    assert [(block.description, block.status) for block in user.blocks] == [("02-GLOBAL", "ACTIVE")]
    assert "Invented" not in repr(user)
    assert sent(alma)[1] == "/users/u1?view=full&expand=loans"
    client.users.create(USER)
    assert sent(alma) == ("POST", "/users", USER)
    client.users.update("u1", USER, override=["user_group", "job_category"])
    assert sent(alma) == ("PUT", "/users/u1?override=user_group%2Cjob_category", USER)
    for wrong in (client.users.create, lambda body: client.users.update("u1", body)):
        with pytest.raises(ValueError, match=r"primary_id|whole user"):
            wrong({"first_name": "x"})
    for code in ("401861", "401890"):
        alma.says(refusal(code))
        assert isinstance(client.users.read("u2"), Absent)


# sets and jobs


def test_sets_are_made_filled_and_found(alma, client):
    made = {"id": "59", "name": "My set", "content": {"value": "ITEM"}, "number_of_members": {"value": 0}}
    alma.says(as_json(made))
    assert client.sets.create("My set", "ITEM").id == "59"
    method, target, body = sent(alma)
    assert (method, target) == ("POST", "/conf/sets")
    assert (body["name"], body["content"], body["type"]) == (
        "My set",
        {"value": "ITEM"},
        {"value": "ITEMIZED"},
    )
    client.sets.add_members("59", ["B1", "B2"], id_type="BARCODE")
    assert sent(alma) == (
        "POST",
        "/conf/sets/59?op=add_members&id_type=BARCODE&fail_on_invalid_id=true",
        {"members": {"member": [{"id": "B1"}, {"id": "B2"}]}},
    )
    for ids in ([], ["1"] * 1001):
        with pytest.raises(ValueError, match="1 to 1000"):
            client.sets.add_members("59", ids)
    alma.says(as_json({"set": [made, {**made, "id": "60", "name": "My set too"}], "total_record_count": 2}))
    assert [each.id for each in client.sets.find("My set")] == ["59"]
    assert sent(alma)[1] == "/conf/sets?q=name~My_set&limit=100&offset=0"


@pytest.mark.parametrize(
    ("status", "finished", "succeeded"),
    [
        ("QUEUED", False, False),
        ("PENDING", False, False),
        ("INITIALIZING", False, False),
        ("RUNNING", False, False),
        ("FINALIZING", False, False),
        ("COMPLETED_SUCCESS", True, True),
        ("COMPLETED_FAILED", True, False),
        ("COMPLETED_WARNING", True, False),
        ("USER_ABORTED", True, False),
        ("A_WORD_OF_NEXT_YEAR", True, False),
    ],
)
def test_a_job_instance_is_judged_by_its_status(status, finished, succeeded, alma, client):
    alma.says(as_json(instance(status)))
    found = client.jobs.instance("ALL", "7").value
    assert (found.finished, found.succeeded) == (finished, succeeded)


def test_jobs(alma, client):
    rows = [
        {"id": "M48", "name": "Export", "type": {"value": "MANUAL"}},
        {"id": "M49", "name": "Export more"},
    ]
    alma.says(as_json({"job": rows, "total_record_count": 2}))
    assert [job.id for job in client.jobs.find(name="Export", type="MANUAL")] == ["M48"]
    alma.says(
        as_json(
            {
                "id": "M48",
                "additional_info": {"value": "x", "link": "https://h/almaws/v1/conf/jobs/M48/instances/7"},
            }
        )
    )
    assert client.jobs.run("M48", {"set_id": "59"}) == "7"
    assert sent(alma) == (
        "POST",
        "/conf/jobs/M48?op=run",
        {"parameter": [{"name": {"value": "set_id"}, "value": "59"}]},
    )
    counter = {"type": {"value": "c.added", "desc": "Added"}, "value": "12"}
    row = instance(
        "COMPLETED_SUCCESS", alert=[{"value": "alert_ok", "desc": "All is well"}], counter=[counter]
    )
    alma.says(as_json({"job_instance": [row], "total_record_count": 1}))
    (found,) = client.jobs.instances("M48", client.today(), client.today()).value
    assert (found.alerts, found.counters, found.job_id) == (("All is well",), {"c.added": "12"}, "M48")
    assert sent(alma)[1] == (
        "/conf/jobs/M48/instances?submit_date_from=2026-11-03&submit_date_to=2026-11-03&limit=100&offset=0"
    )
    alma.says(refusal("402218"))
    assert isinstance(client.jobs.instance("M48", "7"), Absent)


def test_a_start_that_names_no_instance_may_have_started_one(alma, client):
    alma.says(as_json({"id": "M48", "additional_info": {"link": "https://h/almaws/v1/conf/jobs/M48"}}))
    with pytest.raises(RemoteMalformed) as caught:
        client.jobs.run("M48", {})
    assert caught.value.effect_unknown


# acquisitions and configuration


def test_po_lines(alma, client):
    line = {
        "number": "123/0005",
        "status": {"value": "ACTIVE"},
        "owner": {"value": "MAIN"},
        "vendor": {"value": "V"},
    }
    alma.says(as_json({**line, "resource_metadata": {"mms_id": {"value": "991"}}}))
    found = client.po_lines.read("123/0005").value
    assert (found.number, found.mms_id, found.vendor) == ("123/0005", "991", "V")
    assert sent(alma)[1] == "/acq/po-lines/123/0005"  # an encoded slash would not get through the gateway
    alma.says(as_json({"po_line": [line], "total_record_count": 1}))
    assert [each.mms_id for each in client.po_lines.find(library="MAIN")] == [""]
    assert sent(alma)[1] == "/acq/po-lines?status=ACTIVE&library=MAIN&limit=100&offset=0"
    alma.says(as_json({"item": [{"barcode": "B1", "link": "/x"}], "total_record_count": 1}))
    assert client.po_lines.items("9").value == [PoLineItem("B1", "/x")]
    alma.says(refusal("401871"))
    assert isinstance(client.po_lines.read("9"), Absent)


def test_configuration(alma, client):
    alma.says(as_json({"library": [{"code": "MAIN", "name": "Main"}]}))
    assert client.conf.libraries() == [Library("MAIN", "Main")]
    alma.says(as_json({"library": [{"code": "RES_SHARE", "name": "ILL", "resource_sharing": True}]}))
    assert client.conf.libraries() == [Library("RES_SHARE", "ILL", resource_sharing=True)]
    for shelf in (True, False, None):
        alma.says(as_json({"code": "DESK", "name": "Desk", "has_hold_shelf": shelf}))
        assert client.conf.desk("MAIN", "DESK") == CirculationDesk("DESK", "Desk", shelf)
    alma.says(
        as_json(
            {
                "location": [
                    {
                        "code": "stacks",
                        "name": "Stacks",
                        "type": {"value": "OPEN"},
                        "suppress_from_publishing": "true",
                    }
                ],
                "total_record_count": 1,
            }
        )
    )
    assert client.conf.locations("MAIN") == [Location("MAIN", "stacks", "Stacks", "OPEN", True)]
    alma.says(
        as_json(
            {
                "name": "ItemPolicy",
                "row": [{"code": "A", "description": "d", "enabled": "false", "default": True}],
            }
        )
    )
    assert client.conf.code_table("ItemPolicy") == [CodeRow("A", "d", False, True)]
    assert sent(alma)[1] == "/conf/code-tables/ItemPolicy"
    alma.says(as_json({"something": "else"}))
    with pytest.raises(RemoteMalformed):
        client.conf.libraries()
