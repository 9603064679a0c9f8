"""mod-dcb: look first, move on only where a PUT may, look again; and its lists."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest

from alma_etl.dcb.machine.vocabulary import Role, Txn
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteRefused, RemoteTransient, RemoteUnauthorized
from alma_etl.remote.safe_write import WriteOutcome
from alma_etl.remote.service import HttpAccess
from alma_sandbox.consortium import RunningConsortium, serve_consortium
from tests.unit.alma.scripted import Say, Scripted, as_json, sent, serve

CHAIN = [Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN, Txn.CLOSED]
NOT_THERE = as_json({"errors": [{"code": "NOT_FOUND_ERROR"}]}, 404)
BODY = {"role": "BORROWING-PICKUP", "item": {"barcode": "31", "title": "A title"}}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve() as running:
        yield running


@pytest.fixture
def folio(server: Scripted) -> Iterator[ModDcb]:
    with ModDcb(HttpAccess(server.url, api_key="sandbox"), sleep=lambda _: None) as opened:
        yield opened


def stands_at(status: str, role: str | None = None) -> Say:
    return as_json({"status": status} | ({"role": role} if role else {}))


def test_three_answers(folio: ModDcb, server: Scripted) -> None:
    server.says(stands_at("OPEN"))
    assert folio.status("a/b") == Found("OPEN")
    assert server.asked[-1].target == "/transactions/a%2Fb/status"
    server.says(NOT_THERE)
    assert isinstance(folio.status("1"), Absent)
    for answer in (as_json({}, 500), as_json({}, 400), as_json({}), as_json([]), Say(drop=True)):
        server.says(answer)
        assert isinstance(folio.status("1"), Unknown)
    server.says(as_json({}, 401))
    with pytest.raises(RemoteUnauthorized):
        folio.status("1")


def allowed(role: str, now: Txn, target: Txn) -> bool:
    """What mod-dcb's PUT accepts, from its documentation."""
    if target is Txn.CANCELLED:
        return now in (Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP)
    if now not in CHAIN or target not in CHAIN or CHAIN.index(target) <= CHAIN.index(now):
        return False
    if role in ("BORROWING-PICKUP", "PICKUP"):
        return (now, target) in {(Txn.CREATED, Txn.OPEN), (Txn.ITEM_CHECKED_IN, Txn.CLOSED)}
    return not (role == "LENDER" and (target is Txn.CLOSED or now is Txn.CREATED))


@pytest.mark.parametrize("role", ["LENDER", "BORROWER", "BORROWING-PICKUP", "PICKUP"])
def test_only_what_mod_dcb_accepts_is_ever_sent(folio: ModDcb, server: Scripted, role: str) -> None:
    for now, target in product([*CHAIN, Txn.CANCELLED, Txn.EXPIRED, Txn.ERROR], [*CHAIN[1:], Txn.CANCELLED]):
        server.asked.clear()
        server.says(stands_at(now, role), as_json({"status": target}), stands_at(target, role))
        answer = folio.move_to("1", target, Role.BORROWER)
        wrote = [asked for asked in server.asked if asked.method == "PUT"]
        assert len(wrote) <= 1
        if wrote:
            assert allowed(role, now, target), (now, target)
            assert sent_status(wrote[0].body) == target
            assert answer == Done()
        if now is target:
            assert answer == Done()
            assert not wrote
        # a step that PUT can make, and that circulation does not make by itself, is never left out
        if allowed(role, now, target):
            assert wrote, (now, target)


def sent_status(body: bytes) -> str:
    import json

    status: str = json.loads(body)["status"]
    return status


@pytest.mark.parametrize(
    ("role", "now", "target", "kind"),
    [
        ("LENDER", "CREATED", Txn.OPEN, Done),  # as the check-in that sends the book off opens it
        ("LENDER", "CREATED", Txn.ITEM_CHECKED_OUT, Later),  # which nobody has made
        ("LENDER", "ITEM_CHECKED_IN", Txn.CLOSED, Done),  # the check-in at the lender will close it
        ("BORROWING-PICKUP", "OPEN", Txn.AWAITING_PICKUP, Done),  # expected of circulation
        ("BORROWING-PICKUP", "ITEM_CHECKED_OUT", Txn.CLOSED, Later),  # nobody has checked it in
        ("BORROWING-PICKUP", "OPEN", Txn.CLOSED, Refused),
        ("BORROWING-PICKUP", "ITEM_CHECKED_OUT", Txn.OPEN, Done),  # ahead of us
        ("BORROWING-PICKUP", "ITEM_CHECKED_OUT", Txn.CANCELLED, Refused),
        ("BORROWING-PICKUP", "CANCELLED", Txn.OPEN, Refused),
        ("BORROWING-PICKUP", "EXPIRED", Txn.CANCELLED, Done),
        ("BORROWING-PICKUP", "ERROR", Txn.OPEN, Refused),
        ("BORROWING-PICKUP", "NEW_WORD", Txn.OPEN, Later),
    ],
)
def test_what_is_said_without_writing(
    folio: ModDcb, server: Scripted, role: str, now: str, target: Txn, kind: type
) -> None:
    server.says(stands_at(now, role))
    assert isinstance(folio.move_to("1", target, Role.BORROWER), kind)
    assert [asked.method for asked in server.asked] == ["GET"]


def test_the_role_is_ours_where_mod_dcb_does_not_tell_it(folio: ModDcb, server: Scripted) -> None:
    server.says(stands_at("ITEM_CHECKED_IN"))
    assert folio.move_to("1", Txn.CLOSED, Role.SUPPLIER) == Done()
    assert len(server.asked) == 1


def test_a_move_is_looked_for_after_a_lost_answer_or_a_refusal(folio: ModDcb, server: Scripted) -> None:
    for answer in (Say(drop=True), as_json({}, 500), as_json({}, 400)):
        server.says(stands_at("CREATED"), answer, stands_at("OPEN"))
        assert folio.move_to("1", Txn.OPEN, Role.BORROWER) == Done()
    server.says(stands_at("CREATED"), Say(drop=True), stands_at("CREATED"))
    assert isinstance(folio.move_to("1", Txn.OPEN, Role.BORROWER), Later)
    server.says(stands_at("CREATED"), as_json({}, 400), stands_at("CREATED"))
    assert isinstance(folio.move_to("1", Txn.OPEN, Role.BORROWER), Refused)


def test_a_cancellation_that_is_accepted_and_does_nothing_is_tried_again(
    folio: ModDcb, server: Scripted
) -> None:
    server.says(stands_at("OPEN", "LENDER"), as_json({"status": "CANCELLED"}), stands_at("OPEN", "LENDER"))
    answer = folio.move_to("1", Txn.CANCELLED, Role.SUPPLIER)
    assert isinstance(answer, Later)
    assert "does not show it" in answer.reason


def test_a_transaction_that_is_not_there_cannot_be_moved(folio: ModDcb, server: Scripted) -> None:
    server.says(NOT_THERE)
    assert isinstance(folio.move_to("1", Txn.OPEN, Role.BORROWER), Refused)
    server.says(as_json({}, 503))
    assert isinstance(folio.move_to("1", Txn.OPEN, Role.BORROWER), Later)
    with pytest.raises(ValueError, match="EXPIRED"):
        folio.move_to("1", Txn.EXPIRED, Role.BORROWER)


def test_one_is_created_once(folio: ModDcb, server: Scripted) -> None:
    server.says(NOT_THERE, as_json({"status": "CREATED"}, 201))
    assert folio.create("1", BODY).outcome is WriteOutcome.CREATED
    assert sent(server)[:2] == ("POST", "/transactions/1")
    there = as_json({"status": "CREATED", "role": "BORROWING-PICKUP", "item": {"barcode": "31"}})
    server.asked.clear()
    server.says(there)
    assert folio.create("1", BODY).outcome is WriteOutcome.ADOPTED
    assert len(server.asked) == 1
    for lost in (Say(drop=True), as_json({}, 409)):
        server.says(NOT_THERE, lost, there)
        assert folio.create("1", BODY).outcome is WriteOutcome.ADOPTED


@pytest.mark.parametrize(
    "other", [{"role": "LENDER"}, {"role": "BORROWING-PICKUP", "item": {"barcode": "99"}}]
)
def test_somebody_elses_transaction_is_not_adopted(
    folio: ModDcb, server: Scripted, other: dict[str, object]
) -> None:
    server.says(as_json({"status": "CREATED"} | other))
    written = folio.create("1", BODY)
    assert written.outcome is WriteOutcome.REFUSED
    assert written.error is not None
    assert written.error.code == "ANOTHER"


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([NOT_THERE, as_json({}, 422), NOT_THERE], WriteOutcome.REFUSED),
        ([NOT_THERE, Say(drop=True), NOT_THERE], WriteOutcome.UNCONFIRMED),
        ([NOT_THERE, Say(drop=True), as_json({}, 503)], WriteOutcome.UNCONFIRMED),
        ([as_json({}, 503)], WriteOutcome.UNCONFIRMED),
        ([NOT_THERE, as_json({}, 429), NOT_THERE], WriteOutcome.FAILED),
    ],
)
def test_what_is_not_created_is_kept_apart(
    folio: ModDcb, server: Scripted, answers: list[Say], outcome: WriteOutcome
) -> None:
    server.says(*answers)
    assert folio.create("1", BODY).outcome is outcome


def test_what_changed_is_read_page_by_page_and_nothing_personal_is_kept(
    folio: ModDcb, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma_etl.dcb.mod_dcb._PAGE", 2)
    rows = [{"id": str(n), "status": "OPEN", "patron": {"lastName": "Lovelace"}} for n in range(3)]
    server.says(as_json({"transactions": rows[:2]}), as_json({"transactions": rows[2:]}))
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    assert folio.changed(since, until) == {"0": "OPEN", "1": "OPEN", "2": "OPEN"}
    window = "fromDate=2026-03-01T00%3A00%3A00.000Z&toDate=2026-03-02T00%3A00%3A00.000Z&pageSize=2"
    assert [asked.target for asked in server.asked] == [
        f"/transactions/status?{window}&pageNumber={n}" for n in (0, 1)
    ]
    server.says(as_json({}))
    with pytest.raises(RemoteTransient):
        folio.changed(since, until)
    server.says(as_json({}, 422))
    with pytest.raises(RemoteRefused):
        folio.changed(since, until)


def test_orders(folio: ModDcb, server: Scripted) -> None:
    for order, path in ((folio.renew, "renew"), (folio.block_renewal, "block-renewal")):
        server.says(Say(b"", 200))
        assert order("1") == Done()
        assert (server.asked[-1].method, server.asked[-1].target) == ("PUT", f"/transactions/1/{path}")
        server.says(as_json({}, 400))
        assert isinstance(order("1"), Refused)
        server.says(as_json({}, 500))
        assert isinstance(order("1"), Later)


@pytest.fixture(scope="module")
def consortium() -> Iterator[RunningConsortium]:
    with serve_consortium() as running:
        yield running


@pytest.mark.parametrize("role", ["LENDER", "BORROWER", "BORROWING-PICKUP", "PICKUP"])
def test_the_sandbox_refuses_none_of_our_moves(consortium: RunningConsortium, role: str) -> None:
    """From every state to every target: what is sent is accepted, and what is done stands at the target or beyond."""
    world = consortium.consortium
    world.reset()
    access = HttpAccess(f"{consortium.url}/dcbService", api_key=world.settings.api_key)
    body = {
        "role": role,
        "item": {"id": "1", "barcode": "31", "title": "A title", "lendingLibraryCode": "L"},
        "patron": {"id": "2", "barcode": "p", "group": "g", "borrowingLibraryCode": "B"},
        "pickup": {"servicePointId": "3", "servicePointName": "desk", "libraryCode": "B"},
    }
    moved = 0
    with ModDcb(access, sleep=lambda _: None) as folio:
        for now, target in product(
            [*CHAIN, Txn.CANCELLED, Txn.EXPIRED, Txn.ERROR], [*CHAIN[1:], Txn.CANCELLED]
        ):
            txn_id = f"{now}-{target}"
            assert folio.create(txn_id, body).outcome is WriteOutcome.CREATED
            world.transactions.get(txn_id).move(now, world.clock.now())
            answer = folio.move_to(txn_id, target, Role.BORROWER)
            shown = world.transactions.get(txn_id).status
            if isinstance(answer, Done):
                waits = shown == now  # there already, beyond, expired, or for circulation to do
                assert shown == target or waits, (now, target, shown)
            moved += shown != now
    entries = world.log.entries
    assert [(each.path, each.status) for each in entries if each.method == "PUT" and each.status != 200] == []
    assert moved >= 3
