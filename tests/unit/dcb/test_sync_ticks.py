"""Ticks of the sync against two sandboxes."""

import json
from datetime import timedelta

import pytest

from alma_etl.dcb.decisions import decide
from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.tick import poll
from alma_etl.dcb.flows.tick.folder import SyncFolder
from alma_etl.dcb.flows.tick.report import check_outcome, problems_of
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore, Hint, LegRecord, NewRequest
from alma_etl.errors import InputProblem, NotAcceptable
from tests.unit.dcb.records import dump

pytestmark = pytest.mark.heavy


def test_a_request_goes_its_whole_way_tick_by_tick(sync):
    sync.place()
    summary = sync.tick()
    assert sync.status() == "RPBA"
    assert (summary.due, summary.polled) == (1, 1)
    assert summary.actions == {"PLACE_AT_BORROWER": {"SENT": 1}}
    folder = sync.folder()
    written = json.loads(folder.bucket.get(folder.key("summary.json")))
    assert written["deeds"] == summary.actions  # the file keeps its names
    sync.ship()
    sync.later()
    assert sync.status() == "PICKUP_TRANSIT"
    sync.arrive()
    sync.later()
    assert sync.status() == "READY_FOR_PICKUP"
    sync.borrow()
    sync.later()
    assert sync.status() == "LOANED"
    sync.give_back()
    sync.later()
    assert sync.status() == "RETURN_TRANSIT"
    sync.come_home()
    sync.later()
    assert sync.status() == "FINALISED"
    assert explain(sync.store, "PR-1").agrees
    assert sync.tick().due == 0
    for side in (sync.almas.lender, sync.almas.borrower):
        left = side.contents()
        assert not left["bibs"]
        assert not left["loans"]
        assert not left["requests"]
    told = [row.payload["to"] for row in sync.ears.told if row.type == "dcb.status.changed"]
    assert told == sync.path()


HOLDS = r"/users/[^/]+/requests"


def test_a_tick_with_nothing_due_does_nothing_and_is_content(sync):
    summary = sync.tick()
    assert (summary.due, summary.polled, summary.calls) == (0, 0, {})
    assert problems_of(summary, {}) == []


def test_several_requests_of_one_patron_are_read_by_one_list(sync):
    for number in range(3):
        sync.place(f"PR-{number}", number)
    sync.tick()
    for number in range(3):
        sync.ship(number)
    sync.later()
    asked = sync.later().calls  # in transit: the patron's holds, no more
    assert {sync.status(f"PR-{number}") for number in range(3)} == {"PICKUP_TRANSIT"}
    assert asked["alma_borrower"] <= 1 + 3  # one list, and once a day each item


def test_a_hold_that_is_not_in_the_whole_list_is_gone(sync):
    for number in range(2):
        sync.place(f"PR-{number}", number)
    sync.tick()
    for number in range(2):
        sync.ship(number)
    sync.later()
    hold = sync.store.get("PR-0").legs[Role.BORROWER].request_id
    sync.almas.borrower.control("POST", f"requests/{hold}", {"cancel": "x"})
    sync.later()
    assert sync.status("PR-0") == "PICKUP_TRANSIT"  # missed once
    sync.later()
    assert (sync.status("PR-0"), sync.status("PR-1")) == ("AWAITING_RETURN", "PICKUP_TRANSIT")


def test_a_list_that_cannot_be_read_whole_moves_nothing(sync):
    for number in range(2):
        sync.place(f"PR-{number}", number)
    sync.tick()
    for number in range(2):
        sync.ship(number)
    sync.later()
    sync.almas.borrower.strike("server_error", "GET", HOLDS)
    for _ in range(3):
        summary = sync.later()
    assert summary.failed_reads > 0
    assert {sync.status(f"PR-{number}") for number in range(2)} == {"PICKUP_TRANSIT"}
    assert sync.store.get("PR-0").legs[Role.BORROWER].last_error.startswith("request 500")
    assert problems_of(summary, {}) == []


def test_a_system_that_is_down_freezes_only_the_requests_that_need_it(sync):
    sync.place("PR-far", 0)
    sync.tick()
    sync.ship(0)
    sync.later()
    sync.place("PR-near", 1, patron="patron009")
    before = sync.store.get("PR-far")
    sync.almas.borrower.strike("refuse", "GET", "", code="UNAUTHORIZED", message="no")
    summary = sync.later()
    assert sync.status("PR-near") in ("CONFIRMED", "RPBA")
    after = sync.store.get("PR-far")
    assert (after.version, after.poll_repeat, after.next_poll_at) == (
        before.version,
        before.poll_repeat,
        before.next_poll_at,
    )
    assert summary.frozen == 1
    assert summary.unread == ("alma_borrower",)
    (problem,) = problems_of(summary, {})
    assert problem.startswith("Nothing could be read by the connection alma_borrower")
    assert "patron003" not in "".join(body.decode() for body in sync.bucket.objects.values())
    asked = len(sync.almas.borrower.calls("GET"))
    sync.almas.borrower.control("DELETE", "faults")
    sync.arrive(0)
    sync.tick()  # still due, at once
    assert sync.status("PR-far") == "READY_FOR_PICKUP"
    assert len(sync.almas.borrower.calls("GET")) > asked


def test_those_of_a_system_that_is_down_do_not_take_all_turns(sync):
    sync.place("PR-far", 0)
    sync.tick()
    sync.ship(0)
    sync.later()
    sync.place("PR-near", 1, patron="patron009")
    sync.almas.borrower.strike("refuse", "GET", "", code="UNAUTHORIZED", message="no")
    sync.pass_time(timedelta(hours=30))
    first, second = sync.tick(limit=1), sync.later(hours=1 / 12, limit=1)
    assert (first.frozen, second.frozen, second.polled) == (1, 0, 1)
    assert sync.status("PR-near") == "CONFIRMED"
    sync.almas.borrower.control("DELETE", "faults")
    sync.arrive(0)
    sync.later(hours=1 / 4, limit=1)
    assert sync.status("PR-far") == "READY_FOR_PICKUP"


def test_those_that_the_day_has_no_calls_for_do_not_take_all_turns(sync):
    for number, patron in enumerate(("patron003", "patron009")):
        sync.place(f"PR-{number}", number, patron)
    sync.tick()
    sync.ship(0)
    sync.later()  # PR-0 is under way, which goes before what is only placed
    sync.almas.settings = sync.almas.settings.model_copy(update={"calls_per_day": 10_000})
    sync.pass_time(timedelta(hours=10))
    sync.store.count_calls(sync.clock.time.date(), "alma_borrower", 10_000)
    first, second = sync.tick(limit=1), sync.later(hours=1 / 12, limit=1)
    assert (first.due, first.left) == (1, 1)
    assert (second.due, second.polled) == (1, 1)


def test_an_outage_costs_one_call_however_many_wait(sync):
    for number in range(4):
        sync.place(f"PR-{number}", number)
    sync.almas.lender.strike("daily", "GET", "")
    before = len(sync.almas.lender.calls("GET"))
    summary = sync.tick()
    assert summary.frozen == 4
    assert len(sync.almas.lender.calls("GET")) == before + 1
    assert "calls of today are used up" in problems_of(summary, {})[0]


def test_the_days_calls_are_counted_over_ticks_and_kept_to(sync):
    for number in range(3):
        sync.place(f"PR-{number}", number)
    made = sync.tick().calls
    today = sync.clock.time.date()
    assert sync.store.calls_of(today) == made
    again = sync.tick(pr_ids=["PR-0", "PR-1", "PR-2"]).calls
    assert sync.store.calls_of(today)["alma_default"] == made["alma_default"] + again["alma_default"]
    # What is left is to last until midnight; those that ask by hand come first.
    used = sync.store.calls_of(today)["alma_default"]
    sync.almas.settings = sync.almas.settings.model_copy(update={"calls_per_day": used + 150})
    summary = sync.tick(pr_ids=["PR-0", "PR-1", "PR-2"])
    assert (summary.polled, summary.left) == (1, 2)
    assert any("2 due requests wait" in remark for remark in summary.remarks)
    sync.almas.settings = sync.almas.settings.model_copy(update={"calls_per_day": used})
    asked = len(sync.almas.lender.calls("GET"))
    assert sync.later(hours=1, pr_ids=["PR-0"]).polled == 0
    assert len(sync.almas.lender.calls("GET")) == asked


def test_what_is_not_taken_stays_due_and_free(sync):
    for number in range(3):
        sync.place(f"PR-{number}", number)
    summary = sync.tick(limit=1)
    assert (summary.due, summary.polled) == (1, 1)
    assert sync.tick().polled == 2


def test_time_that_is_up_leaves_the_rest_to_the_next_tick(sync):
    for number in range(2):
        sync.place(f"PR-{number}", number)
    sync.new_run()
    sync.select()
    polled = sync.poll(seconds=0)
    assert (polled.polled, polled.late) == (0, 2)
    sync.apply()
    assert sync.act(seconds=0).done == 0
    (problem,) = problems_of(sync.report(), {})
    assert problem.startswith("None of 2 requests could be polled")
    assert sync.tick().polled == 2


def test_a_dry_run_tells_what_would_change_and_changes_nothing(sync):
    sync.place()
    before = dump(sync.url, leave_out=())
    summary = sync.tick(dry_run=True)
    assert summary.would == (
        ("PR-1", "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "CONFIRMED; then PLACE_AT_BORROWER"),
    )
    after = dump(sync.url, leave_out=())
    assert after.pop("dcb_calls") != before.pop("dcb_calls")  # the calls are spent all the same
    assert after == before
    assert sync.tick(pr_ids=["PR-1", "PR-2"], dry_run=True).unknown == ("PR-2",)
    assert b"would change" in sync.bucket.get(sync.folder().key("report.html"))


@pytest.mark.parametrize("first", [{"dry_run": True}, {"pr_ids": ["PR-2"]}])
def test_a_run_that_is_cleared_with_other_params_looks_and_acts_by_the_new_ones(sync, first):
    """A dry run, and one that was asked to look at another request, of which the plan is kept with the run."""
    sync.place()
    sync.tick(**first)
    if "pr_ids" in first:
        sync.place("PR-3", 1)
    for number in sync.select():
        sync.poll(number)
    sync.apply()
    sync.act()
    sync.publish()
    assert not sync.report().dry_run
    assert {sync.path(pr_id)[0] for pr_id in ("PR-1", "PR-3") if sync.store.get(pr_id)} == {"CONFIRMED"}


def test_observing_reads_and_tells_but_does_nothing(sync):
    sync.almas.settings = sync.almas.settings.model_copy(update={"mode": "observe"})
    sync.place()
    before = len(sync.almas.borrower.calls("POST"))
    summary = sync.tick()
    assert sync.status() == "CONFIRMED"
    assert summary.skipped == {"acted": "config/dcb.yaml says mode: observe"}
    assert len(sync.almas.borrower.calls("POST")) == before
    assert [row.payload["to"] for row in sync.ears.told] == ["CONFIRMED"]


def test_a_hint_makes_a_request_due_and_tells_how_its_hold_ended(sync):
    sync.place()
    sync.tick()
    hold = sync.store.get("PR-1").legs[Role.BORROWER].request_id
    sync.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    sync.almas.borrower.control("POST", f"requests/{hold}", {"cancel": "x"})
    sync.store.keep_hint(Hint("1", "BORROWER", "REQUEST_CANCELED", request_id=hold), sync.clock())
    sync.pass_time(timedelta(minutes=1))
    summary = sync.tick()
    assert summary.hints == 1
    assert sync.status() == "FINALISED"  # one sighting is enough, and the cleaning up was done at once
    assert sync.store.get("PR-1").state.closure == "CANCELED"


def cancelled_by_the_patron(sync):
    sync.place()
    sync.tick()
    hold = sync.store.get("PR-1").legs[Role.BORROWER].request_id
    sync.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    sync.almas.borrower.control("POST", f"requests/{hold}", {"cancel": "x"})
    return hold


def test_a_hint_that_a_hold_was_closed_does_not_say_how(sync):
    hold = cancelled_by_the_patron(sync)
    sync.store.keep_hint(Hint("1", "BORROWER", "REQUEST_CLOSED", request_id=hold), sync.clock())
    sync.pass_time(timedelta(minutes=1))
    assert sync.tick().hints == 1  # it makes us look
    assert sync.status() == "RPBA"  # and one sighting is not enough
    sync.later()
    assert sync.status() == "FINALISED"
    assert sync.store.get("PR-1").state.closure == "UNKNOWN"


def test_a_book_shipped_while_its_request_was_cancelled_keeps_its_virtual_item_until_it_is_home(sync):
    hold = cancelled_by_the_patron(sync)
    sync.store.keep_hint(Hint("1", "BORROWER", "REQUEST_CANCELED", request_id=hold), sync.clock())
    sync.pass_time(timedelta(minutes=1))
    sync.new_run()
    for number in sync.select():
        sync.poll(number)
    sync.apply()
    sync.ship()
    pid = sync.store.get("PR-1").legs[Role.SUPPLIER].item_pid
    sync.almas.lender.control("POST", f"items/{pid}", {"process_type": "TRANSIT"})
    sync.act()
    assert (sync.status(), sync.store.get("PR-1").state.standing) == ("CANCELLED", ("CANCELLED_IN_TRANSIT",))
    assert [alert.code for alert in sync.store.open_alerts()] == ["CANCELLED_IN_TRANSIT"]
    assert len(sync.almas.borrower.contents()["bibs"]) == 1
    sync.almas.lender.control("POST", f"items/{pid}", {"process_type": "TRANSIT"})
    sync.later()
    assert sync.status() == "CANCELLED"
    assert sync.store.get("PR-1").next_poll_at is not None
    sync.almas.lender.control("POST", f"items/{pid}", {"process_type": ""})
    sync.later()
    assert (sync.status(), sync.store.open_alerts()) == ("FINALISED", [])
    assert sync.almas.borrower.contents()["bibs"] == {}
    cleanups = [row.state for row in sync.history().outbox if row.type == "CLEANUP"]
    assert cleanups == ["SUPERSEDED", "SENT"]
    assert explain(sync.store, "PR-1").agrees


def test_a_patron_who_is_gone_is_an_alert_until_seen_again(sync):
    sync.place()
    sync.tick()
    sync.ship()
    sync.later()
    leg = sync.store.get("PR-1").legs[Role.BORROWER]
    rule = {"code": "401890", "message": "User not found."}
    sync.almas.borrower.strike("refuse", "GET", HOLDS, **rule)
    sync.almas.borrower.strike("server_error", "GET", "/items/[^/]+/requests")
    sync.later()
    assert "PATRON_GONE" in sync.store.get("PR-1").state.standing
    assert leg.user_id not in str(sync.store.open_alerts())
    sync.almas.borrower.control("DELETE", "faults")
    sync.later()
    assert "PATRON_GONE" not in sync.store.get("PR-1").state.standing


def test_a_block_is_looked_for_where_our_loan_was_refused(sync):
    sync.place()
    sync.tick()
    sync.ship()
    sync.later()
    sync.arrive()
    sync.later()
    sync.borrow()
    user = sync.store.get("PR-1").legs[Role.SUPPLIER].user_id
    alma = sync.almas.at_lender
    body = alma.users.read(user).value.raw
    block = {
        "block_type": {"value": "LOAN"},
        "block_description": {"value": "02"},
        "block_status": "ACTIVE",
    }
    alma.users.update(user, {**body, "user_block": [block]})
    sync.later()
    tracked = sync.store.get("PR-1")
    assert (tracked.status.name, tracked.state.standing) == ("LOANED", ("SUPPLIER_LOAN_FAILED",))
    sync.later(hours=48)
    assert "SUPPLIER_PATRON_BLOCKED" in sync.store.get("PR-1").state.standing
    alma.users.update(user, {**body, "user_block": []})
    with pytest.raises(InputProblem):
        decide(sync.store, sync.almas.settings, "PR-1", "rollback", by="sam", now=sync.clock())
    told = decide(sync.store, sync.almas.settings, "PR-1", "retry", by="sam", now=sync.clock())
    assert "CREATE_SUPPLIER_LOAN" in told
    sync.later(hours=48)
    sync.later(hours=48)
    assert sync.store.get("PR-1").state.standing == ()
    assert list(sync.almas.lender.contents()["loans"])


def test_a_run_begun_anew_takes_up_its_own_leases_and_reads_only_what_is_missing(sync, monkeypatch):
    for number in range(3):
        sync.place(f"PR-{number}", number)
    sync.new_run()
    saved = sync.bucket.put
    monkeypatch.setattr(sync.bucket, "put", _dies)
    with pytest.raises(KeyboardInterrupt):
        sync.select()
    monkeypatch.setattr(sync.bucket, "put", saved)
    assert sync.select() == [1]
    assert len(sync.folder().plan().pr_ids) == 3
    monkeypatch.setattr(poll, "_AT_ONCE", 2)
    read, reads = SyncFolder.save_polled, []
    monkeypatch.setattr(SyncFolder, "save_polled", _dies)
    with pytest.raises(KeyboardInterrupt):
        sync.poll()
    monkeypatch.setattr(SyncFolder, "save_polled", read)
    reads = sync.almas.lender.calls("GET")
    assert sync.poll().polled == 3
    assert sync.almas.lender.calls("GET") == reads
    assert sync.poll().polled == 3  # finished: nothing is read
    assert sync.apply() == {"applied": 3, "changed": 3}
    assert sync.apply() == {"applied": 3, "changed": 0}


def _dies(*_args, **_kwargs):
    raise KeyboardInterrupt


def test_what_happens_to_one_request_does_not_keep_the_others(sync, monkeypatch):
    for number in range(2):
        sync.place(f"PR-{number}", number)
    take = DcbStore.apply

    def broken(store, pr_id, *args, **kwargs):
        if pr_id == "PR-0":
            raise ValueError("a broken row")
        return take(store, pr_id, *args, **kwargs)

    monkeypatch.setattr(DcbStore, "apply", broken)
    summary = sync.tick()
    assert sync.status("PR-1") == "RPBA"
    assert problems_of(summary, {}) == []
    monkeypatch.setattr(DcbStore, "apply", take)
    sync.later(hours=1)  # a request whose step failed waits a while
    assert sync.status("PR-0") == "RPBA"


def test_a_request_without_anything_to_read_is_put_off(sync):
    sync.store.add(NewRequest("PR-1", (LegRecord(Role.SUPPLIER, "LENDER", user_id="x"),)), sync.clock())
    assert sync.tick().polled == 1
    assert sync.store.get("PR-1").next_poll_at > sync.clock.time
    assert sync.tick().due == 0


def test_a_system_that_is_not_in_the_settings_any_more_is_told(sync):
    sync.place()
    settings = sync.almas.settings
    kept = {code: each for code, each in settings.systems.items() if code != "LENDER"}
    sync.almas.settings = settings.model_copy(update={"systems": kept})
    sync.almas.systems = Systems(sync.almas.settings, sync.almas)
    summary = sync.tick()
    assert summary.frozen == 1
    assert "There is no system 'LENDER'" in problems_of(summary, {})[0]


def test_the_report_names_what_changed_and_nobody(sync):
    sync.place()
    summary = sync.tick()
    assert summary.changed == (
        (
            "PR-1",
            "REQUEST_PLACED_AT_SUPPLYING_AGENCY",
            "CONFIRMED -> REQUEST_PLACED_AT_BORROWING_AGENCY",
        ),
    )
    page = sync.bucket.get(sync.folder().key("report.html")).decode()
    assert "REQUEST_PLACED_AT_BORROWING_AGENCY" in page
    assert "1 request read, 1 changed, 1 action done" in page
    everything = page + "".join(body.decode() for body in sync.bucket.objects.values()) + str(dump(sync.url))
    user = sync.almas.at_borrower.users.read("patron003").value.raw
    for name in (user["last_name"], user["contact_info"]["email"][0]["email_address"]):
        assert name not in everything


def test_a_task_that_failed_or_a_plan_that_was_not_made_is_a_red_run(sync):
    sync.place()
    sync.tick()
    assert check_outcome(sync.folder(), {}).startswith("1 request read")
    with pytest.raises(NotAcceptable, match="The task poll is failed"):
        check_outcome(sync.folder(), {"poll": "failed"})
    sync.new_run()
    with pytest.raises(NotAcceptable, match="No plan was made"):
        check_outcome(sync.folder(), {})
    assert sync.report({"select_due": "failed"}).due == 0


def test_when_somebody_waits_for_the_book_at_the_lenders_the_patron_renews_no_more(sync):
    sync.place()
    sync.tick()
    sync.ship()
    sync.later()
    sync.arrive()
    sync.later()
    sync.borrow()
    sync.later()
    sync.later()
    assert sync.status() == "LOANED"
    hold = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
    book = sync.store.get("PR-1").legs[Role.SUPPLIER]
    sync.almas.at_lender.requests.create("patron011", hold, item_pid=book.item_pid)
    sync.later()
    assert "RECALLED" in sync.store.get("PR-1").state.flags
    virtual = sync.store.get("PR-1").legs[Role.BORROWER]
    item = sync.almas.at_borrower.items.read(virtual.mms_id, virtual.holding_id, virtual.item_pid).value
    assert item.item_policy == "DCB_NO_RENEW"
    sync.later()
    actions = [row.type for row in sync.history().outbox if row.kind == "ALMA_ACTION"]
    assert actions.count("PREVENT_RENEWAL_AT_BORROWER") == 1
