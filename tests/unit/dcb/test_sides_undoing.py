"""A placing that is refused, loses answers or is killed: undone, or gone on with, and never doubled."""

import re

import pytest

from alma_etl.dcb.flows.place import steps
from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.errors import InputProblem
from tests.unit.dcb.sides_desk import NOTHING, ONE, STEPS, kills

pytestmark = pytest.mark.heavy


# --- refusals on the way, and what is undone


@pytest.mark.parametrize(
    ("side", "path", "undone"),
    [
        ("lender", "/users$", "Nothing was left behind"),
        ("lender", "/requests", "Nothing was left behind"),
        ("borrower", "/bibs$", "Undone: the lender's hold."),
        ("borrower", "/holdings$", "Undone: the virtual item at the borrower, the lender's hold."),
        ("borrower", "/items$", "Undone: the virtual item at the borrower, the lender's hold."),
        ("borrower", "/requests", "Undone: the virtual item at the borrower, the lender's hold."),
    ],
)
def test_a_refusal_for_good_undoes_what_was_done(side, path, undone, desk, almas):
    getattr(almas, side).strike("refuse", "POST", path, code="401652", message="words about a person")
    told = desk.place(almas.conf())
    assert told.startswith("The request PR-1 was not placed. ")
    assert undone in told
    assert "401652" in told
    assert "words about" not in told
    assert desk.left() == NOTHING
    assert desk.context.store.get("PR-1") is None
    with pytest.raises(InputProblem, match="clear the run from check_patron on"):
        steps.place_supplier_request(desk.placing(almas.conf(), run_id="run-1"))
    getattr(almas, side).control("DELETE", "faults")
    assert desk.place(almas.conf(note="Now otherwise")) == Status.RPBA
    assert desk.left() == ONE


def test_what_cannot_be_undone_is_listed_and_undone_by_the_next_run(desk, almas):
    almas.borrower.strike("refuse", "POST", "/requests", code="401652")
    almas.lender.strike("server_error", "DELETE", "/requests/", applied=False)
    told = desk.place(almas.conf())
    assert "Undone: the virtual item at the borrower." in told
    assert re.search(r"Left: the lender's hold \(.*500.*\)\. Run it once more with the same conf", told)
    assert desk.left() == {**NOTHING, "lender holds": 1}
    almas.lender.control("DELETE", "faults")
    assert "Undone: the virtual item at the borrower, the lender's hold." in desk.place(almas.conf())
    assert desk.left() == NOTHING


def test_when_an_alma_does_not_answer_everything_stays_and_is_gone_on_with(desk, almas):
    almas.borrower.strike("server_error", "POST", "/holdings$", applied=False)
    told = desk.place(almas.conf(), run_id="run-1")
    assert "is not placed: The virtual holding could not be made: " in told
    assert "What stands: lender's hold" in told
    assert "Clear create_virtual_item with downstream to go on" in told
    assert desk.left() == {**NOTHING, "lender holds": 1, "bibs": 1}
    almas.borrower.control("DELETE", "faults")
    placing = desk.placing(almas.conf(), run_id="run-1")
    for step in STEPS[3:]:
        step(placing)
    assert track(placing, {}) == Status.RPBA
    assert desk.left() == ONE


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_every_post_may_lose_its_answer(kind, desk, almas):
    for side in (almas.lender, almas.borrower):
        for path in ("/users$", "/bibs$", "/holdings$", "/items$", "/requests"):
            side.strike(kind, "POST", path, applied=True, first=1)
    assert desk.place(almas.conf()) == Status.RPBA
    assert desk.left() == ONE
    assert len([each for each in almas.lender.contents()["users"] if each.startswith("DCB-")]) == 1


def test_a_worker_killed_at_any_action_and_begun_again_places_once(desk, almas, monkeypatch):
    def begin():
        desk.forget()
        for side in (almas.lender, almas.borrower):
            side.reset()
        return desk.placing(almas.conf())

    killed = []
    for action in kills(monkeypatch, begin, *STEPS, lambda placing: track(placing, {})):
        killed.append(action)
        assert desk.left() == ONE, f"killed at action {action}"
        history = desk.context.store.history("PR-1")
        assert [each.to for each in history.transitions] == [Status.CONFIRMED, Status.RPBA]
        assert desk.context.store.get("PR-1").status is Status.RPBA
    assert len(killed) > 20
