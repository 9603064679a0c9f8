"""Adopted requests: what was reported of them, what the looks make of it, and that nothing is ever done for them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.adopt.request import RefusalCode, adopt, adopted_as
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.replay import replay
from alma_etl.dcb.settings import SinkSettings
from alma_etl.dcb.store import DcbStore, Report
from tests.unit.dcb.adopting import OBSERVE, PR_ID, Watched, reported
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, report, seen

S = Status
UNDER_WAY = ("PICKUP_TRANSIT", "RECEIVED_AT_PICKUP", "READY_FOR_PICKUP")
Looks = list[list[tuple[str, str | None, str | None, str | None]]]
HOME = ("SUPPLIER", "gone", "in place", "Complete")
PLACED = [("SUPPLIER", "NOT_STARTED", "in place", None), ("BORROWER", "NOT_STARTED", "in place", None)]
SENT_OUT = ("SUPPLIER", "IN_PROCESS", "TRANSIT", None)
ON_SHELF = ("BORROWER", "ON_HOLD_SHELF", "HOLDSHELF", "none")
TRAVELS = ("SUPPLIER", "gone", "TRANSIT", "none")
IN_PLACE = ("SUPPLIER", "gone", "in place", "none")
LENT = ("SUPPLIER", "gone", "LOAN", "Active")
WITH_PATRON = ("BORROWER", "gone", "LOAN", "Active")
RETURNED = ("BORROWER", None, "TRANSIT", "Complete")

STORIES: dict[str, tuple[str, Looks, list[str]]] = {
    "placed": ("REQUEST_PLACED_AT_BORROWING_AGENCY", [PLACED, [SENT_OUT]], ["PICKUP_TRANSIT"]),
    "confirmed": (
        "CONFIRMED",
        [[SENT_OUT, ("BORROWER", "NOT_STARTED", "in place", None)]],
        ["REQUEST_PLACED_AT_BORROWING_AGENCY", "PICKUP_TRANSIT"],
    ),
    "placed at the supplier, and with the patron by now": (
        "REQUEST_PLACED_AT_SUPPLYING_AGENCY",
        [[LENT, WITH_PATRON]],
        ["CONFIRMED", "REQUEST_PLACED_AT_BORROWING_AGENCY", *UNDER_WAY, "LOANED"],
    ),
    "in transit": ("PICKUP_TRANSIT", [[SENT_OUT, ON_SHELF]], ["RECEIVED_AT_PICKUP", "READY_FOR_PICKUP"]),
    "ready": ("READY_FOR_PICKUP", [[SENT_OUT, ON_SHELF], [LENT, WITH_PATRON]], ["LOANED"]),
    "lent": ("LOANED", [[LENT, WITH_PATRON], [RETURNED], [HOME]], ["RETURN_TRANSIT", "COMPLETED"]),
    "lent, returned meanwhile": ("LOANED", [[LENT, RETURNED], [HOME]], ["RETURN_TRANSIT", "COMPLETED"]),
    "lent, without a loan at the lender": (
        "LOANED",
        [[TRAVELS, WITH_PATRON], [RETURNED], [IN_PLACE]],
        ["RETURN_TRANSIT", "COMPLETED"],
    ),
    "on the way home": ("RETURN_TRANSIT", [[LENT, RETURNED], [HOME]], ["COMPLETED"]),
    "on the way home, in transit": ("RETURN_TRANSIT", [[TRAVELS, RETURNED], [IN_PLACE]], ["COMPLETED"]),
    "awaiting return": (
        "AWAITING_RETURN_TO_SUPPLIER",
        [[TRAVELS, ("BORROWER", "gone", "HOLDSHELF", "none")], [IN_PLACE]],
        ["CANCELLED"],
    ),
    "awaiting return, and home at the first look": (
        "AWAITING_RETURN_TO_SUPPLIER",
        [[IN_PLACE, ("BORROWER", "gone", "in place", "none")]],
        ["CANCELLED"],
    ),
    "completed": ("COMPLETED", [], []),
}


@pytest.mark.parametrize("name", STORIES)
def test_each_state_is_adopted_and_followed_without_any_action(store: DcbStore, name: str) -> None:
    status, looks, expected = STORIES[name]
    watched = Watched(store, status)
    assert watched.first == "created"
    assert watched.path == [status]
    for look in looks:
        watched.see(*look)
    assert watched.path == [status, *expected]
    assert watched.tracked.state.standing == ()
    history = store.history(PR_ID)
    assert [row.type for row in history.outbox if row.kind == "ALMA_ACTION"] == []
    (first, *others) = history.transitions
    assert (first.handler, first.inferred, first.actor, first.seq) == (
        "Adopted",
        True,
        "adopt:dcb_service",
        1,
    )
    assert not any(each.handler == "Adopted" for each in others)
    explained = explain(store, PR_ID)
    assert explained is not None
    assert explained.agrees, explained.text
    assert "reported by dcb-service, not seen" in explained.text
    assert "run by dcb-service: only watched here" in explained.text


CONTRADICTED: dict[str, tuple[str, Looks, Looks]] = {
    "in transit, but the book has not left": ("PICKUP_TRANSIT", [PLACED], [[SENT_OUT]]),
    "ready, but it has not arrived": (
        "READY_FOR_PICKUP",
        [[SENT_OUT, ("BORROWER", "NOT_STARTED", "TRANSIT", None)]],
        [[ON_SHELF]],
    ),
    "lent, but on the hold shelf": ("LOANED", [[SENT_OUT, ON_SHELF]], [[LENT, WITH_PATRON]]),
    "lent, but on its way": (
        "LOANED",
        [[SENT_OUT, ("BORROWER", "NOT_STARTED", "TRANSIT", "none")]],
        [[LENT, WITH_PATRON]],
    ),
    "on the way home, but lent": ("RETURN_TRANSIT", [[LENT, WITH_PATRON]], [[RETURNED]]),
    "awaiting return, but the patron waits": (
        "AWAITING_RETURN_TO_SUPPLIER",
        [[SENT_OUT, ON_SHELF]],
        [[("BORROWER", "gone", "HOLDSHELF", None)]],
    ),
}


@pytest.mark.parametrize("name", CONTRADICTED)
def test_what_a_look_contradicts_is_an_alert_until_it_agrees_and_moves_nothing_back(
    store: DcbStore, name: str
) -> None:
    status, against, agreeing = CONTRADICTED[name]
    watched = Watched(store, status)
    for look in against:
        watched.see(*look)
    assert watched.tracked.status == status
    assert watched.tracked.state.standing == ("ADOPTED_DISAGREES",)
    assert [alert.code for alert in store.open_alerts(pr_id=PR_ID)] == ["ADOPTED_DISAGREES"]
    for look in agreeing:
        watched.see(*look)
    assert "ADOPTED_DISAGREES" not in watched.tracked.state.standing
    assert store.open_alerts(pr_id=PR_ID) == []
    assert watched.tracked.status == status


def test_unread_sides_contradict_nothing(store: DcbStore) -> None:
    watched = Watched(store).see(("SUPPLIER", "?", "?", "?"), ("BORROWER", "?", "?", "?"))
    assert watched.tracked.state.standing == ()
    assert watched.tracked.state.leg(Role.BORROWER).adopted
    assert not watched.tracked.state.leg(Role.SUPPLIER).lent


def test_the_lender_is_lent_only_when_its_loan_is_read(store: DcbStore) -> None:
    watched = Watched(store)
    assert not watched.tracked.state.leg(Role.SUPPLIER).lent
    assert watched.see(LENT).tracked.state.leg(Role.SUPPLIER).lent


def test_a_request_is_due_at_once_for_a_whole_look_and_as_old_as_reported(store: DcbStore) -> None:
    tracked = Watched(store).tracked
    assert (tracked.nudged, tracked.next_poll_at) == (True, START)
    assert tracked.status_since == START - 5 * HOUR
    assert (tracked.owner, tracked.is_ours) == ("dcb_service", False)
    assert store.list_by()[0].owner == "dcb_service"


def test_log_and_webhook_are_notified_and_those_who_know_are_not(store: DcbStore) -> None:
    sinks = tuple(
        SinkSettings.model_validate(each)
        for each in ("log", "mod_dcb", "dcb_nudge", {"type": "webhook", "conn_id": "hook"})
    )
    watched = Watched(store, settings=SETTINGS.model_copy(update={"sinks": sinks}))
    (event,) = {str(row.payload): row.payload for row in store.history(PR_ID).outbox}.values()
    assert event["adopted"] is True
    assert [row.target for row in store.history(PR_ID).outbox] == ["log", "webhook:hook"]
    watched.see(LENT, RETURNED)
    later = [row for row in store.history(PR_ID).outbox if row.payload.get("to") == "RETURN_TRANSIT"]
    assert [row.target for row in later] == ["log", "dcb_nudge:dcb_default", "webhook:hook"]
    assert all("adopted" not in row.payload for row in later)


def test_ours_are_driven_beside_it(store: DcbStore) -> None:
    Watched(store)
    store.add(new_request("PR-1"), START)
    look = seen("SUPPLIER", START + HOUR, "NOT_STARTED", "in place")
    store.apply("PR-1", [look], settings=SETTINGS, now=START + HOUR)
    assert [row.type for row in store.history("PR-1").outbox if row.kind == "ALMA_ACTION"] == [
        "PLACE_AT_BORROWER"
    ]


# --- again


def test_the_same_report_changes_nothing_also_when_alma_has_other_ids_by_now(store: DcbStore) -> None:
    watched = Watched(store)
    leg = watched.tracked.legs[Role.SUPPLIER]
    watched.store.apply(
        PR_ID, [], settings=SETTINGS, now=START, legs=[replace(leg, mms_id="998", holding_id="228")]
    )
    assert adopt(store, reported(), settings=SETTINGS, now=START + HOUR) == "same"
    found = watched.tracked.legs[Role.SUPPLIER]
    assert (found.mms_id, found.holding_id, found.generation) == ("998", "228", 1)


def test_ids_that_complete_a_side_belong_to_it(store: DcbStore) -> None:
    watched = Watched(store)
    more = reported(supplier={"holding_id": "221"})
    assert adopt(store, more, settings=SETTINGS, now=START + HOUR) == "updated"
    leg = watched.tracked.legs[Role.SUPPLIER]
    assert (leg.holding_id, leg.generation) == ("221", 1)
    assert watched.tracked.nudges == 2
    assert adopt(store, more, settings=SETTINGS, now=START + 2 * HOUR) == "same"
    assert watched.tracked.nudges == 2


def test_another_lender_begins_a_generation_and_the_one_before_is_kept(store: DcbStore) -> None:
    watched = Watched(store, "REQUEST_PLACED_AT_BORROWING_AGENCY")
    watched.see(("SUPPLIER", "NOT_STARTED", "in place", None), ("BORROWER", "NOT_STARTED", None, None))
    watched.see(("SUPPLIER", "gone", None, None))
    other = {"request_id": "4409", "mms_id": "999", "item_pid": "239", "barcode": "319"}
    again = reported("REQUEST_PLACED_AT_SUPPLYING_AGENCY", supplier=other)
    assert adopt(store, again, settings=SETTINGS, now=watched.now) == "updated"
    tracked = watched.tracked
    assert (tracked.status, tracked.state.leg(Role.SUPPLIER).generation) == (S.RPSA, 2)
    assert tracked.state.leg(Role.SUPPLIER).gone == 0
    assert (tracked.legs[Role.SUPPLIER].request_id, tracked.legs[Role.SUPPLIER].generation) == ("4409", 2)
    assert [side.request_id for side in store.sides_of("LENDER", "vp-1")] == ["4401", "4409"]
    watched.see(("SUPPLIER", "IN_PROCESS", "TRANSIT", None), ("BORROWER", "NOT_STARTED", None, None))
    assert watched.path[-3:] == ["CONFIRMED", "REQUEST_PLACED_AT_BORROWING_AGENCY", "PICKUP_TRANSIT"]
    explained = explain(store, PR_ID)
    assert explained is not None
    assert explained.agrees, explained.text


def test_another_hold_of_the_patron_forgets_that_the_one_before_is_gone(store: DcbStore) -> None:
    watched = Watched(store, "PICKUP_TRANSIT").see(("SUPPLIER", "IN_PROCESS", "TRANSIT", None))
    watched.see(("BORROWER", "gone", None, None))
    again = reported("PICKUP_TRANSIT", borrower={"request_id": "4499"})
    assert adopt(store, again, settings=SETTINGS, now=watched.now) == "updated"
    leg = watched.tracked.legs[Role.BORROWER]
    assert (leg.request_id, leg.item_pid, leg.generation) == ("4499", "232", 2)
    at = watched.now + HOUR
    look = seen("BORROWER", at, "NOT_STARTED", "TRANSIT")
    object.__setattr__(look.seen, "generation", 2)
    watched.look(look)
    assert watched.tracked.state.leg(Role.BORROWER).gone == 0
    assert watched.tracked.state.leg(Role.BORROWER).generation == 2


def test_a_status_that_moves_there_makes_us_look(store: DcbStore) -> None:
    watched = Watched(store, "PICKUP_TRANSIT").see(("SUPPLIER", "IN_PROCESS", "TRANSIT", None))
    assert not watched.tracked.nudged
    for _ in range(2):
        assert adopt(store, reported("READY_FOR_PICKUP"), settings=SETTINGS, now=watched.now) == "same"
    assert (watched.tracked.nudged, watched.tracked.nudges) == (True, 2)
    assert watched.tracked.status is S.PICKUP_TRANSIT


def test_a_request_that_ended_here_is_adopted_again(store: DcbStore) -> None:
    watched = Watched(store).see(LENT, RETURNED).see(HOME)
    watched.look(seen_ack("CLEANED_UP", watched))
    assert watched.tracked.status is S.FINALISED
    assert adopt(store, reported("RETURN_TRANSIT"), settings=SETTINGS, now=watched.now) == "created"
    assert watched.tracked.status is S.RETURN_TRANSIT
    assert (watched.tracked.state.outcome, watched.tracked.nudged) == (None, True)
    assert {leg.generation for leg in watched.tracked.legs.values()} == {2}
    explained = explain(store, PR_ID)
    assert explained is not None
    assert explained.agrees, explained.text


def seen_ack(name: str, watched: Watched) -> Report:
    return report({"ack": name}, watched.now + HOUR)


def test_a_hold_whose_id_an_ended_request_had_is_adopted(store: DcbStore) -> None:
    watched = Watched(store).see(LENT, RETURNED).see(HOME)
    watched.look(seen_ack("CLEANED_UP", watched))
    assert adopt(store, reported(pr_id="another"), settings=SETTINGS, now=watched.now) == "created"


# --- refused


def test_a_request_of_ours_is_refused(store: DcbStore) -> None:
    store.add(new_request(PR_ID), START)
    before = store.get(PR_ID)
    verdict = adopted_as(store, reported(), settings=SETTINGS, now=START)
    assert (verdict.outcome, verdict.reason) == ("refused", RefusalCode.OURS)
    assert store.get(PR_ID) == before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "FINALISED"}, RefusalCode.OVER),
        ({"status": "CANCELLED"}, RefusalCode.OVER),
        ({"status": "NO_ITEMS_SELECTABLE_AT_ANY_AGENCY"}, RefusalCode.OVER),
        ({"supplier": {"system": "ELSEWHERE"}}, RefusalCode.ADOPT_NO_SYSTEM),
        ({"supplier": {"request_id": None, "item_pid": None}}, RefusalCode.ADOPT_NO_IDS),
        ({"borrower": {"request_id": None, "item_pid": None}}, RefusalCode.ADOPT_NO_IDS),
    ],
)
def test_what_cannot_be_watched_is_refused_with_a_sentence(
    store: DcbStore, changes: dict[str, object], reason: RefusalCode
) -> None:
    verdict = adopted_as(store, reported(**changes), settings=SETTINGS, now=START)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == ("refused", reason)
    assert PR_ID in verdict.message
    assert store.get(PR_ID) is None


def test_a_hold_of_another_open_request_is_refused_and_leaves_nothing(store: DcbStore) -> None:
    Watched(store)
    verdict = adopted_as(store, reported(pr_id="another"), settings=SETTINGS, now=START)
    assert verdict.reason is RefusalCode.HOLD_TAKEN
    assert store.get("another") is None


def test_an_error_is_adopted_for_thirty_days(store: DcbStore) -> None:
    old = reported("ERROR").model_copy(
        update={
            "reported": reported("ERROR").reported.model_copy(update={"since": START - timedelta(days=31)})
        }
    )
    assert adopted_as(store, old, settings=SETTINGS, now=START).reason is RefusalCode.OVER
    watched = Watched(store, "ERROR")
    assert (watched.first, watched.tracked.status, watched.tracked.needs_attention) == (
        "created",
        S.ERROR,
        True,
    )
    watched.see(LENT, WITH_PATRON)
    rollback = seen_ack("OPERATOR_ROLLBACK", watched)
    watched.look(rollback)
    assert watched.tracked.status is S.LOANED


# --- two at once


def test_two_adoptions_at_once_make_one_request(store: DcbStore) -> None:
    def one(number: int) -> str:
        return adopt(store, reported(), settings=OBSERVE, now=START + timedelta(seconds=number))

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(one, range(8)))
    assert sorted(outcomes) == ["created", *["same"] * 7]
    assert [each.seq for each in store.history(PR_ID).transitions] == [1]


def test_an_adoption_while_a_tick_holds_the_request_lets_the_next_tick_look(store: DcbStore) -> None:
    watched = Watched(store, "REQUEST_PLACED_AT_BORROWING_AGENCY")
    (leased,) = store.lease_due(START, 10, "tick")
    other = {"request_id": "4409", "mms_id": "999", "item_pid": "239", "barcode": "319"}
    adopt(store, reported("CONFIRMED", supplier=other), settings=SETTINGS, now=START + HOUR)
    late = seen("SUPPLIER", START + timedelta(minutes=1), "gone", "LOAN", "none")
    object.__setattr__(late.seen, "generation", 1)
    store.apply(PR_ID, [late], settings=SETTINGS, now=START + 2 * HOUR, owner="tick", nudges=leased.nudges)
    assert watched.tracked.state.leg(Role.SUPPLIER).gone == 0
    assert (watched.tracked.nudged, watched.tracked.next_poll_at) == (True, START + HOUR)


# --- replayed


def test_replay_takes_the_ack_at_the_beginning_alone() -> None:
    told = {"ack": "ADOPTED", "status": "LOANED", "by": "list"}
    back = {"role": "BORROWER", "item": {"found": True, "process_type": "TRANSIT"}, "at": "T1"}
    result = replay({"name": "adopted", "observations": [told, told, back, told]})
    assert result["transitions"] == ["LOANED", "RETURN_TRANSIT"]
    assert result["trace"][0]["actions"] == []
    placed = {"role": "SUPPLIER", "request": {"found": True, "request_status": "NOT_STARTED"}}
    assert replay({"observations": [placed, told]})["transitions"] == ["CONFIRMED"]


@pytest.mark.parametrize("workflow", ["RET-STD", "RET-PUA", "RET-EXP", "RET-LOCAL"])
@pytest.mark.parametrize(
    "status", [each for each in Status if each not in (S.FINALISED, S.HANDED_OFF_AS_LOCAL)]
)
def test_every_status_is_one_transition_without_actions_in_every_workflow(status: str, workflow: str) -> None:
    told = {"ack": "ADOPTED", "status": status, "by": "dcb_service"}
    result = replay({"workflow": workflow, "observations": [told]})
    (trace,) = result["trace"]
    assert [(each["to"], each["handler"], each["inferred"]) for each in trace["transitions"]] == [
        (status, "Adopted", True)
    ]
    assert trace["actions"] == trace["flags"] == []


def test_a_third_librarys_loan_is_its_own(store: DcbStore) -> None:
    side = {"system": "BORROWER", "user_id": "vp-2", "request_id": "4403", "mms_id": "993", "item_pid": "233"}
    again = reported("RETURN_TRANSIT", workflow="RET-PUA", pickup=side)
    assert adopt(store, again, settings=SETTINGS, now=START) == "created"
    tracked = store.get(PR_ID)
    assert tracked is not None
    assert tracked.state.leg(Role.PICKUP).adopted
    assert not tracked.state.leg(Role.BORROWER).adopted
