"""What the desks read of a request, and whom they find: where it is shipped, whose it is, and the patron's card."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides import alma_act, desk_notes, marks, virtual_item
from alma_etl.dcb.sides.legs import pickup_at, wish_of
from alma_etl.dcb.sides.patrons import Card, ensure_virtual_patron, read_card
from alma_etl.dcb.sides.ports import Impossible, Later, Unsettled
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import LegRecord
from alma_sandbox import Settings, serve
from tests.unit.dcb.sides_course import Course, acks
from tests.unit.dcb.sides_desk import NOTHING, VP, Desk, refused
from tests.unit.dcb.sides_world import KEY, NOW, PATRON, Almas, SandboxSide, supplier_leg

pytestmark = pytest.mark.heavy

A, S = ActionType, Status
LOST = ["drop", "truncated", "server_error"]
CARD = "40000003"
PARTS = {"description": "v.2 (1998)", "enumeration_a": "2", "chronology_i": "1998"}


def configure(almas: Almas, desk: Desk | None = None, **changes: dict[str, object]) -> None:
    """Other settings of some systems, for those who act from now on."""
    systems = {code: each.model_dump() for code, each in almas.settings.systems.items()}
    for code, fields in changes.items():
        systems[code] = {**systems.get(code, {}), **fields}
    almas.settings = DcbSettings.model_validate({"systems": systems, "mode": "drive"})
    almas.systems = Systems(almas.settings, almas)
    if desk is not None:
        desk.context = replace(desk.context, settings=almas.settings, systems=almas.systems)


def bound_volume(almas: Almas) -> None:
    """The lender's book is one volume of several."""
    catalogue = almas.lender.running.sandbox.catalogue
    item = catalogue.item(almas.book().pid)
    item.texts.update(PARTS)
    catalogue.keep_item(item)


def lenders_comment(almas: Almas) -> str:
    (hold,) = almas.lender.contents()["requests"].values()
    return hold["values"]["comment"]


def virtual(almas: Almas):
    return almas.at_borrower.items.by_barcode(almas.book().barcode).value.raw["item_data"]


# --- where the book goes


@pytest.mark.quick
@pytest.mark.parametrize(
    ("ship_to", "words"),
    [
        ({}, "Science Library"),
        ("Mail room, Example University", "Mail room, Example University"),
        ({"SCI": "Science Library - van 3", "MAIN": "Mail room"}, "Science Library - van 3"),
        ({"MAIN": "Mail room"}, "Science Library"),
        ({"MAIN": "Mail room", "*": "Any of ours"}, "Any of ours"),
    ],
)
def test_the_lenders_desk_reads_where_to_ship(ship_to, words, desk, almas):
    configure(almas, desk, BORROWER={"ship_to": ship_to})
    assert desk.place(almas.conf(note="the patron waits")) == S.RPBA
    assert lenders_comment(almas) == f"Ship to {words} (BORROWER) [DCB-REQUEST:PR-1:SUPPLIER]"
    assert alma_act.find_hold(almas.at_lender, VP, marks.hold_mark("PR-1", Role.SUPPLIER)) is not None
    assert marks.pr_id_of(lenders_comment(almas)) == "PR-1"


def test_a_library_that_alma_does_not_name_now_is_called_by_its_code(almas):
    almas.borrower.strike("server_error", "GET", "/conf/libraries")
    assert desk_notes.ship_note(almas.systems, "BORROWER", "SCI") == "Ship to SCI (BORROWER)"
    almas.borrower.control("DELETE", "faults")
    assert desk_notes.ship_note(almas.systems, "BORROWER", "NEW") == "Ship to NEW (BORROWER)"


def test_the_place_of_a_folio_is_named_by_its_setting_or_its_id(almas):
    configure(almas, FOLIO={"kind": "mod_dcb", "ship_to": {"5c9b7f4e": "Town Library"}})
    assert desk_notes.ship_note(almas.systems, "FOLIO", "5c9b7f4e") == "Ship to Town Library (FOLIO)"
    assert desk_notes.ship_note(almas.systems, "FOLIO", "77") == "Ship to 77 (FOLIO)"


def test_a_lender_that_is_no_alma_is_named_by_its_setting_or_its_code(almas):
    leg = LegRecord(Role.SUPPLIER, "SIERRA", "OTHER")
    configure(almas, SIERRA={"kind": "other", "host_lms_code": "sierra"})
    assert desk_notes.lent_copy(almas.systems, leg).note == "Belongs to SIERRA: send it back there."
    configure(almas, SIERRA={"ship_to": "Town Library"})
    note = "Belongs to Town Library (SIERRA): send it back there."
    assert desk_notes.lent_copy(almas.systems, leg) == virtual_item.LentCopy("", note, {})


# --- whose it is


def test_the_virtual_item_says_whose_it_is_and_which_volume(desk, almas):
    bound_volume(almas)
    desk.place(almas.conf())
    shown = virtual(almas)
    library = "Main Library" if almas.book().library == "MAIN" else "Science Library"
    assert shown["fulfillment_note"] == f"Belongs to {library} (LENDER): send it back there."
    assert {name: shown[name] for name in PARTS} == PARTS
    assert (shown["enumeration_b"], shown["policy"]["value"]) == ("", "DCB")


def test_the_lenders_name_is_that_of_its_setting(desk, almas):
    configure(almas, desk, LENDER={"ship_to": "Consortium depot, box 4"})
    desk.place(almas.conf())
    assert (
        virtual(almas)["fulfillment_note"]
        == "Belongs to Consortium depot, box 4 (LENDER): send it back there."
    )


def test_an_action_makes_the_same_virtual_item_as_the_placing(almas):
    bound_volume(almas)
    course = Course(almas).placed()
    data = course.item().raw["item_data"]
    assert {name: data[name] for name in PARTS} == PARTS
    assert data["fulfillment_note"].startswith("Belongs to ")


def test_with_the_next_lender_its_name_and_volume_follow(almas):
    bound_volume(almas)
    course = Course(almas).placed()
    book = almas.book(1)
    configure(almas, LENDER={"ship_to": "Another library"})
    course.actor = almas.actor()
    course.supplier = replace(
        supplier_leg(almas, None, VP, 1), generation=2, barcode="NEXT-BOOK", item_pid=book.pid
    )
    course.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    data = course.item().raw["item_data"]
    other = almas.at_lender.items.read(book.mms_id, book.holding_id, book.pid).value.raw["item_data"]
    assert data["barcode"] == "NEXT-BOOK"
    assert [data[name] for name in PARTS] == [other[name] for name in PARTS]
    assert other["description"] != PARTS["description"]
    assert data["fulfillment_note"] == "Belongs to Another library (LENDER): send it back there."


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_makes_one_virtual_item_with_its_note(kind, desk, almas):
    bound_volume(almas)
    almas.borrower.strike(kind, "POST", "/items", applied=True, first=1)
    assert desk.place(almas.conf()) == S.RPBA
    assert virtual(almas)["description"] == PARTS["description"]
    assert len(desk.context.store.get("PR-1").legs) == 2


def test_a_lender_that_does_not_answer_is_waited_for(almas):
    course = Course(almas)
    almas.lender.strike("server_error", "GET", "/items/")
    answer = course.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert isinstance(answer, Later)
    assert "The lender's item could not be read" in answer.reason
    assert almas.borrower.contents()["bibs"] == {}
    almas.lender.control("DELETE", "faults")
    almas.lender.strike("refuse", "GET", "/items/", code="UNAUTHORIZED")
    assert isinstance(course.do(A.PLACE_AT_BORROWER, S.CONFIRMED), Later)


def test_a_lenders_item_that_is_gone_is_described_by_its_library(almas):
    leg = replace(supplier_leg(almas, None, VP), item_pid="23999999999")
    copy = desk_notes.lent_copy(almas.systems, leg)
    assert (copy.note, copy.parts) == ("Belongs to Main Library (LENDER): send it back there.", {})


def test_what_prevents_renewals_leaves_the_note_of_whose_it_is(almas):
    configure(almas, BORROWER={"no_renew_policy": None})
    course = Course(almas).placed()
    before = course.item().raw["item_data"]["fulfillment_note"]
    course.do(A.PREVENT_RENEWAL_AT_BORROWER, S.LOANED)
    assert course.item().raw["item_data"]["fulfillment_note"] == f"{before} {virtual_item._NO_RENEWAL}"
    course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)
    assert course.item().raw["item_data"]["fulfillment_note"] == before


def test_where_alma_fails_at_the_whole_item_our_fields_are_sent_alone(almas):
    bound_volume(almas)
    course = Course(almas).placed()
    almas.borrower.strike("refuse", "PUT", "/items/", code="401652", first=1)
    answer = course.do(A.SYNC_BARCODE, S.PICKUP_TRANSIT, "SUPPLIER", "NEW-BARCODE")
    assert answer.reports[0].seen.barcode == course.item().barcode == "NEW-BARCODE"
    data = course.item().raw["item_data"]
    assert (data["description"], data["internal_note_1"]) == (PARTS["description"], "DCB request PR-1")


def test_the_material_type_is_that_of_the_system(desk, almas):
    configure(almas, desk, BORROWER={"material_types": {almas.book().material_type: "SCORE"}})
    desk.place(almas.conf())
    assert virtual(almas)["physical_material_type"]["value"] == "SCORE"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"location": "NOWHERE"}, "the library MAIN has no location 'NOWHERE'"),
        ({"library": "NONE"}, "Alma does not list the locations of 'NONE'"),
    ],
)
def test_a_place_that_the_library_does_not_have_is_refused_before_anything_is_written(
    change, why, desk, almas
):
    configure(almas, desk, BORROWER=change)
    assert why in refused(desk, almas.conf())
    assert desk.left() == NOTHING
    assert almas.lender.calls("POST") == []


# --- a copy of the sharing library


def test_a_copy_of_the_sharing_library_goes_to_the_alternative_one(desk, almas):
    book = almas.book()
    configure(almas, desk, LENDER={"sharing_library": book.library})
    assert "belongs to the sharing library" in refused(desk, almas.conf())
    configure(almas, desk, LENDER={"alternative_sharing_library": "STOR"})
    assert desk.place(almas.conf()) == S.RPBA
    supplier = desk.context.store.get("PR-1").legs[Role.SUPPLIER]
    (hold,) = almas.lender.contents()["requests"].values()
    assert supplier.pickup_library == hold["pickup_library"] == "STOR"
    almas.lender.control("POST", "desk", {"pid": book.pid, "library": book.library})
    assert almas.lender.running.sandbox.catalogue.item(book.pid).process_type == "TRANSIT"


def test_every_other_copy_goes_to_the_sharing_library(desk, almas):
    configure(almas, desk, LENDER={"alternative_sharing_library": "LAW"})
    assert desk.place(almas.conf()) == S.RPBA
    assert desk.context.store.get("PR-1").legs[Role.SUPPLIER].pickup_library == "STOR"


def test_a_virtual_item_of_the_sharing_library_goes_to_the_alternative_one_as_well(almas):
    configure(almas, BORROWER={"sharing_library": "MAIN"}, THIRD=almas.borrower_settings.model_dump())
    conf = {"workflow": "RET-PUA", "pickup_system": "THIRD", "pickup_library": "LAW"}
    place = almas.place(**conf)
    with pytest.raises(Impossible, match="name an alternative_sharing_library"):
        pickup_at(place, Role.BORROWER, almas.borrower_settings)
    configure(almas, BORROWER={"alternative_sharing_library": "STOR"})
    assert pickup_at(place, Role.BORROWER, almas.borrower_settings) == ("STOR", None)


# --- the patron's card


def identifiers(alma, user_id=VP):
    rows = alma.users.read(user_id).value.raw["user_identifier"]
    return [row["value"] for row in rows if row["id_type"]["value"] == "BARCODE"]


def with_card(almas: Almas) -> None:
    users = almas.borrower.running.sandbox.users
    rows = [{"id_type": {"value": "BARCODE"}, "value": CARD, "status": "ACTIVE"}]
    users.keep({**users.find(PATRON), "user_identifier": rows, "user_group": {"value": "FACULTY"}})


NO_CARD = Card()


def ensure(almas, card=NO_CARD):
    return ensure_virtual_patron(almas.at_lender, almas.lender_settings, VP, NOW, card)


def test_the_lender_gets_a_barcode_of_its_own_and_a_group_by_the_patrons(desk, almas):
    with_card(almas)
    configure(almas, desk, LENDER={"barcode_prefix": "DCB", "user_groups": {"FACULTY": "GRAD"}})
    desk.place(almas.conf())
    user = almas.at_lender.users.read(VP).value
    assert user.user_group == "GRAD"
    (barcode,) = identifiers(almas.at_lender)
    assert barcode == f"DCB{VP[-16:]}"
    assert CARD not in str(user.raw)
    assert almas.at_lender.users.read(barcode).value.primary_id == VP


def test_without_the_options_nothing_is_asked_and_nothing_given(desk, almas):
    with_card(almas)
    desk.place(almas.conf())
    assert identifiers(almas.at_lender) == []
    assert almas.at_lender.users.read(VP).value.user_group == "DCB"
    assert [path for path in almas.borrower.calls("GET") if path.endswith(f"/users/{PATRON}")] == [
        f"/almaws/v1/users/{PATRON}"
    ]


@pytest.fixture(scope="module")
def third_alma() -> Iterator[SandboxSide]:
    usual = {"per_second": 0, "titles": 10, "api_key": KEY}
    with serve(Settings(**usual, institution="01ZX_INST", suffix="4403")) as running:
        yield SandboxSide(running, "4403")


def test_the_desk_where_the_patron_fetches_the_book_finds_the_card(desk, almas, third_alma):
    third_alma.reset()
    almas.others["alma_third"] = third_alma
    with_card(almas)
    third = {**almas.borrower_settings.model_dump(), "alma_conn_id": "alma_third", "barcode_prefix": "DCB"}
    configure(almas, desk, THIRD=third)
    conf = almas.conf(workflow="RET-PUA", pickup_system="THIRD", pickup_library="LAW")
    assert desk.place(conf) == S.RPPA
    at_third = almas.systems.alma("THIRD")
    assert at_third.users.read(f"DCB{CARD}").value.primary_id == VP
    assert CARD not in str(desk.context.store.get("PR-1"))
    assert not any(CARD in desk.context.bucket.get(name).decode() for name in desk.names())


def test_one_that_is_there_gets_what_it_lacks_once(almas):
    ensure(almas)
    configure(almas, LENDER={"barcode_prefix": "DCB", "user_groups": {"FACULTY": "GRAD"}})
    for _ in range(2):
        assert ensure(almas, Card("FACULTY", CARD)).outcome == "found"
        assert identifiers(almas.at_lender) == [f"DCB{CARD}"]
        assert almas.at_lender.users.read(VP).value.user_group == "GRAD"
    assert len(almas.lender.calls("PUT")) == 1
    ensure(almas)
    assert identifiers(almas.at_lender) == [f"DCB{CARD}"]
    ensure(almas, Card("FACULTY", "40000099"))
    assert identifiers(almas.at_lender) == ["DCB40000099"]


def test_other_identifiers_stay(almas):
    ensure(almas)
    users = almas.lender.running.sandbox.users
    rows = [{"id_type": {"value": "BARCODE"}, "value": "by-hand", "status": "ACTIVE"}]
    users.keep({**users.find(VP), "user_identifier": rows})
    configure(almas, LENDER={"barcode_prefix": "DCB"})
    ensure(almas)
    assert identifiers(almas.at_lender) == ["by-hand", f"DCB{VP[-16:]}"]


@pytest.mark.parametrize("made_before", [False, True])
def test_a_barcode_that_another_user_has_stops_nobody(made_before, almas):
    if made_before:
        ensure(almas)
    configure(almas, LENDER={"barcode_prefix": "DCB"})
    users = almas.lender.running.sandbox.users
    rows = [{"id_type": {"value": "BARCODE"}, "value": f"DCB{CARD}", "status": "ACTIVE"}]
    users.keep({**users.find("patron004"), "user_identifier": rows})
    assert ensure(almas, Card("", CARD)).user_id == VP
    assert identifiers(almas.at_lender) == []


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_gives_the_barcode_once(kind, almas):
    configure(almas, LENDER={"barcode_prefix": "DCB"})
    almas.lender.strike(kind, "POST", "/users$", applied=True, first=1)
    ensure(almas, Card("", CARD))
    assert identifiers(almas.at_lender) == [f"DCB{CARD}"]
    almas.lender.control("DELETE", "faults")
    almas.lender.strike(kind, "PUT", "/users/", applied=True, first=1)
    ensure(almas, Card("", "40000099"))
    assert identifiers(almas.at_lender) == ["DCB40000099"]


def test_two_runs_that_make_the_virtual_patron_at_once_make_one_with_its_barcode(almas, monkeypatch):
    configure(almas, LENDER={"barcode_prefix": "DCB"})
    users, create = type(almas.at_lender.users), type(almas.at_lender.users).create

    def second(self, body):
        monkeypatch.setattr(users, "create", create)
        create(self, {name: value for name, value in body.items() if name != "user_identifier"})
        return create(self, body)

    monkeypatch.setattr(users, "create", second)
    assert ensure(almas, Card("", CARD)).outcome == "found"
    assert identifiers(almas.at_lender) == [f"DCB{CARD}"]


def test_a_card_that_is_not_valid_any_more_is_not_given(almas):
    users = almas.borrower.running.sandbox.users
    rows = [
        {"id_type": {"value": "BARCODE"}, "value": "lost", "status": "INACTIVE"},
        {"id_type": {"value": "INST_ID"}, "value": "I1", "status": "ACTIVE"},
        {"id_type": {"value": "BARCODE"}, "value": CARD, "status": "ACTIVE"},
    ]
    users.keep({**users.find(PATRON), "user_identifier": rows})
    assert read_card(almas.at_borrower, PATRON).barcode == CARD
    assert read_card(almas.at_borrower, "nobody") == Card()
    almas.borrower.strike("server_error", "GET", "/users/")
    with pytest.raises(Unsettled):
        read_card(almas.at_borrower, PATRON)


def test_the_extension_of_another_run_is_not_shortened(almas, monkeypatch):
    """The other one extends further, between the reading of this one and its change."""
    ensure(almas)
    users = almas.lender.running.sandbox.users
    users.keep({**users.find(VP), "expiry_date": "2026-03-20Z"})
    read = type(almas.at_lender.users).read

    def later(self, user_id, **more):
        answer = read(self, user_id, **more)
        users.keep({**users.find(VP), "expiry_date": "2027-12-31Z"})
        return answer

    monkeypatch.setattr(type(almas.at_lender.users), "read", later)
    ensure(almas)
    monkeypatch.undo()
    assert almas.at_lender.users.read(VP).value.expiry_date == "2027-12-31Z"


def test_an_action_at_a_third_library_reads_the_card_at_home(almas):
    with_card(almas)
    third = {**almas.borrower_settings.model_dump(), "alma_conn_id": "alma_default", "barcode_prefix": "DCB"}
    configure(almas, THIRD=third)
    place = almas.place(workflow="RET-PUA", pickup_system="THIRD", pickup_library="LAW")
    card = desk_notes.card_for(
        almas.systems, "BORROWER", PATRON, almas.systems.settings("THIRD"), fetches=True
    )
    assert card == Card("FACULTY", CARD)
    assert wish_of(place).copy is None
    almas.borrower.strike("refuse", "GET", "/users/", code="UNAUTHORIZED")
    with pytest.raises(Unsettled, match="The patron could not be read"):
        desk_notes.card_for(almas.systems, "BORROWER", PATRON, almas.systems.settings("THIRD"), fetches=True)
    assert acks(Course(almas).do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED))
