"""Giving a side other ids by hand, where no row of Alma shows them."""

from datetime import timedelta

import pytest

from alma_etl.dcb.__main__ import main
from alma_etl.dcb.decisions import relink
from alma_etl.dcb.explain import explain
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.errors import InputProblem
from tests.unit.dcb.merging import merge_title
from tests.unit.dcb.records import SETTINGS, START, new_request, report, seen

B, S = Role.BORROWER, Role.SUPPLIER
HOUR = timedelta(hours=1)


@pytest.fixture
def lent(store):
    """A request whose book the patron has, as far as the lender's side shows it."""
    store.add(new_request(), START)
    acks = [{"ack": "BORROWER_PLACED", "role": "BORROWER"}]
    looks = [
        [seen("SUPPLIER", START, "IN_PROCESS", "in place")],
        [report(each, START + HOUR) for each in acks],
        [seen("SUPPLIER", START + 2 * HOUR, "IN_PROCESS", "TRANSIT")],
        [seen("SUPPLIER", START + 3 * HOUR, None, "LOAN", "ACTIVE")],
    ]
    for number, reports in enumerate(looks):
        store.apply("PR-1", reports, settings=SETTINGS, now=START + number * HOUR)
    assert store.get("PR-1").state.leg(S).lent
    return store


def by_hand(store, role=S, at=10, **ids):
    return relink(
        store, SETTINGS, "PR-1", role, ids, by="sam", now=START + at * HOUR, reason="merged by hand"
    )


def test_another_item_is_looked_at_at_once_and_nothing_of_the_one_before_counts(lent):
    before = lent.get("PR-1")
    assert by_hand(lent, item_pid="2300000000077") == (
        "PR-1: item_pid of the supplier side changed. The next tick looks at it."
    )
    after = lent.get("PR-1")
    memory = after.state.leg(S)
    assert (memory.item, memory.away, memory.back, memory.lent, memory.loan_id) == (
        None,
        False,
        None,
        False,
        None,
    )
    assert memory.barcode == before.state.leg(S).barcode
    assert (after.status, after.nudged, after.next_poll_at) == (before.status, True, START + 10 * HOUR)
    (each,) = after.legs[S].earlier
    assert (each["name"], each["from"], each["to"], each["by"]) == (
        "item_pid",
        "PR-1-23",
        "2300000000077",
        "sam",
    )
    told = explain(lent, "PR-1")
    assert "item_pid PR-1-23 -> 2300000000077" in told.text
    assert "by user:sam: merged by hand" in told.text
    assert "OPERATOR_RELINKED: reason merged by hand; by sam; changed item_pid" in told.text
    assert told.agrees


def test_another_title_takes_nothing_away_that_was_seen_of_the_item(lent):
    before = lent.get("PR-1").state.leg(S)
    by_hand(lent, mms_id="990000000000", holding_id="220000000000")
    after = lent.get("PR-1").state.leg(S)
    assert (after.item, after.away, after.lent) == (before.item, before.away, before.lent)
    assert lent.get("PR-1").legs[S].earlier == []  # none was known


def test_another_user_ends_the_alert_and_the_count_of_the_hold_that_was_missed(store):
    store.add(new_request(), START)
    store.apply("PR-1", [seen("SUPPLIER", START, "IN_PROCESS", "in place")], settings=SETTINGS, now=START)
    now = START + HOUR
    gone = {"role": "SUPPLIER", "request": {"found": False}, "patron": {"found": False}}
    store.apply("PR-1", [report(gone, now)], settings=SETTINGS, now=now)
    assert [alert.code for alert in store.open_alerts()] == ["PATRON_GONE"]
    assert store.get("PR-1").state.leg(S).gone == 1
    by_hand(store, user_id="vp-2")
    assert store.open_alerts() == []
    assert (store.get("PR-1").state.leg(S).gone, store.get("PR-1").legs[S].user_id) == (0, "vp-2")
    # One more sighting, by the user of now, is the first one.
    later = START + 11 * HOUR
    store.apply("PR-1", [seen("SUPPLIER", later, "gone", "in place")], settings=SETTINGS, now=later)
    assert store.get("PR-1").status == "CONFIRMED"


def test_a_look_that_began_with_the_ids_of_before_is_stale(lent):
    by_hand(lent, item_pid="2300000000077")
    late = seen("SUPPLIER", START + 9 * HOUR, None, "in place", "COMPLETE")
    applied = lent.apply("PR-1", [late], settings=SETTINGS, now=START + 11 * HOUR)
    assert applied.result.seen == ("STALE",)
    assert lent.get("PR-1").state.leg(S).item is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pr_id": "PR-9"}, "There is no request PR-9"),
        ({"role": Role.PICKUP}, "The pickup side of PR-1 is not placed"),
        ({"role": B}, "The borrower side of PR-1 is not placed"),
        ({"ids": {}}, "Give at least one of"),
        ({"ids": {"user_id": None, "mms_id": None}}, "Give at least one of"),
        ({"ids": {"mms_id": "99x"}}, "5 to 20 digits"),
        ({"ids": {"user_id": "a\nb"}}, "--user is the primary identifier"),
        ({"ids": {"user_id": "vp-1"}}, "has these ids already"),
        ({"by": "Sam Smith"}, "Give your login"),
        ({"reason": "two\nlines"}, "one line"),
    ],
)
def test_what_cannot_be_relinked_is_refused_in_a_sentence(store, changes, words):
    store.add(new_request(), START)
    given = {
        "pr_id": "PR-1",
        "role": S,
        "ids": {"mms_id": "990000000000"},
        "by": "sam",
        "reason": None,
    } | changes
    with pytest.raises(InputProblem, match=words):
        relink(
            store,
            SETTINGS,
            given["pr_id"],
            given["role"],
            given["ids"],
            by=given["by"],
            now=START,
            reason=given["reason"],
        )
    assert not store.get("PR-1").nudged


def test_a_settled_request_is_not_relinked(lent):
    for name in ("OPERATOR_CLOSE_LOST", "CLEANED_UP"):
        now = START + 5 * HOUR
        lent.apply("PR-1", [report({"ack": name}, now)], settings=SETTINGS, now=now)
        with pytest.raises(InputProblem, match="it is over"):
            by_hand(lent, item_pid="2300000000077")


def test_the_command_relinks_and_says_so(store_url, store, capsys):
    store.add(new_request(), START)
    command = ["relink", store_url, "PR-1", "SUPPLIER"]
    assert main([*command, "--user", "vp-2", "--by", "sam", "--reason", "merged"]) == 0
    assert "user_id of the supplier side changed" in capsys.readouterr().out
    assert store.get("PR-1").legs[S].user_id == "vp-2"
    assert main([*command, "--by", "sam"]) == 1
    assert "Nothing was changed" in capsys.readouterr().err


@pytest.mark.heavy
def test_a_book_that_no_row_finds_again_is_found_by_the_ids_of_a_person(sync):
    sync.place()
    sync.tick()
    for go in (sync.ship, sync.arrive, sync.borrow):
        go()
        sync.later()
    assert sync.status() == "LOANED"
    book = sync.almas.book()
    mms_id, holding_id = merge_title(sync.almas.lender, book.pid)
    sync.almas.lender.control("POST", f"items/{book.pid}", {"barcode": "31000000077777"})
    sync.almas.lender.strike("refuse", "GET", "/loans", code="401652", message="General Error")
    sync.later()
    sync.later()
    assert "SUPPLIER_ITEM_GONE" in sync.store.get("PR-1").state.standing
    ids = {"mms_id": mms_id, "holding_id": holding_id}
    relink(sync.store, sync.almas.settings, "PR-1", S, ids, by="sam", now=sync.clock())
    sync.almas.lender.control("DELETE", "faults")
    sync.tick()
    tracked = sync.store.get("PR-1")
    assert (tracked.status.name, tracked.state.standing) == ("LOANED", ())
    assert "SUPPLIER_BARCODE_CHANGED" in tracked.state.flags
    assert explain(sync.store, "PR-1").agrees
