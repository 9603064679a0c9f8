"""Updates and new items against the sandbox's X-Server: what Aleph does of its own accord, and lost answers."""

from typing import Any

import pytest

from alma_etl.aleph.client import AlephClient
from alma_etl.aleph.writes import RESTORED, ItemUpdate, create_item, update_item
from alma_etl.aleph.z30 import KEY as KEY_FIELDS
from alma_etl.aleph.z30 import AlephItem, ItemKey
from alma_etl.remote.answers import Found
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import WriteOutcome
from alma_sandbox.aleph.checks import with_check_digit
from tests.unit.aleph import seed
from tests.unit.aleph.bench import KEY, Aleph

NOTE = {"note-opac": "Seen"}
DONE, SAME = WriteOutcome.UPDATED, WriteOutcome.UNCHANGED
UPDATES = "op=update.item"


def write(aleph: Aleph, values: dict[str, str], **more: Any) -> ItemUpdate:
    access = more.pop("access", {})
    return update_item(aleph.client(**access), KEY, values, **more)


def test_what_is_named_changes_and_all_else_stays_for_two_calls(aleph: Aleph) -> None:
    before = aleph.values()
    update = write(aleph, {"note-opac": "Seen", "description": "", "collection": "PER"})
    assert (update.outcome, update.warnings, update.error) == (DONE, (), None)
    assert aleph.calls() == 2
    after = aleph.values()
    assert {name for name in after if after[name] != before[name]} == {
        "note-opac", "description", "collection", "update-date", "cataloger", "upd-time-stamp",
    }  # fmt: skip
    assert update.before is not None
    assert update.before["description"] == before["description"] != ""
    assert update.after is not None
    assert update.after["collection"] == "PER"


def test_an_item_as_wanted_costs_one_call_and_is_not_written(aleph: Aleph) -> None:
    there = aleph.values()
    full = {name: text for name, text in there.items() if name not in KEY_FIELDS} | {"temp-location": "No"}
    update = write(aleph, full)
    assert (update.outcome, aleph.calls("read-item"), aleph.calls("update-item")) == (SAME, 1, 0)
    assert aleph.values() == there


def test_without_a_first_read_an_update_costs_one_call(aleph: Aleph) -> None:
    update = write(aleph, NOTE, read_first=False)
    assert (update.outcome, update.before, aleph.calls()) == (DONE, None, 1)


@pytest.mark.parametrize("read_first", [True, False])
def test_an_item_that_is_not_there(aleph: Aleph, read_first: bool) -> None:
    update = update_item(aleph.client(), ItemKey("2", "990"), NOTE, read_first=read_first)
    assert update.outcome is WriteOutcome.NOT_FOUND
    assert "no item exist based on given doc number and item sequence" in str(update.error)


def test_short_term_requests_refuse_a_change_of_place_or_status(aleph: Aleph) -> None:
    aleph.staff(values={"item-status": "91"}, booking={"requests": 1})
    update = write(aleph, {"item-status": "01"})
    assert update.outcome is WriteOutcome.REFUSED
    assert "Item has Short-term requests" in str(update.error)
    assert aleph.values()["item-status"] == "91"


def test_checks_of_z30_refuse_an_item(aleph: Aleph) -> None:
    update = write(aleph, {"sub-library": "XXX"})
    assert update.outcome is WriteOutcome.REFUSED
    assert "Sub-library XXX is not valid" in str(update.error)


@pytest.mark.parametrize(
    ("settings", "access", "words"),
    [
        ({}, {"library": "USM01"}, "must be an Administrative library"),
        ({}, {"user": "READER", "password": "READER"}, "not authorized"),
        ({}, {"user": "NOBODY", "password": "x"}, "verification of user name"),
        ({"aleph_access": "refused"}, {}, "ask the Aleph administrator"),
        ({"aleph_access": "refused_200"}, {}, "ask the Aleph administrator"),
    ],
)
def test_a_wrong_library_no_permission_and_a_refused_address_stop_the_run(
    aleph: Aleph, settings: dict[str, Any], access: dict[str, Any], words: str
) -> None:
    aleph.settings(**settings)
    with pytest.raises(RemoteStop, match=words):
        write(aleph, NOTE, access=access)


def test_an_x_server_that_is_switched_off_fails_the_item(aleph: Aleph) -> None:
    aleph.settings(aleph_access="off")
    assert write(aleph, NOTE).outcome is WriteOutcome.FAILED
    assert write(aleph, NOTE, read_first=False).outcome is WriteOutcome.UNCONFIRMED


def test_sessions_that_end_between_calls_are_renewed(aleph: Aleph) -> None:
    client = aleph.client()
    assert update_item(client, KEY, NOTE).done
    aleph.control("DELETE", "aleph/sessions")
    assert update_item(client, KEY, {"note-opac": "Again"}).outcome is DONE


# What Aleph does of its own accord


@pytest.mark.parametrize("padding", ["padded", "bare"])
@pytest.mark.parametrize("shown", ["letter", "word"])
def test_padding_and_the_words_of_temp_location_make_no_difference(
    aleph: Aleph, padding: str, shown: str
) -> None:
    aleph.settings(aleph_padding=padding, aleph_temp_location=shown)
    assert write(aleph, {"no-loans": "3", "temp-location": "N", "copy-sequence-2": "0"}).outcome is SAME


@pytest.mark.parametrize("read_first", [True, False])
def test_an_item_in_a_temporary_location_is_updated_with_a_warning(aleph: Aleph, read_first: bool) -> None:
    aleph.staff(temporary={"collection": "PER"})
    update = write(aleph, {"collection": "MIC"}, read_first=read_first)
    assert (update.outcome, update.warnings) == (DONE, (RESTORED,))
    assert write(aleph, {"note-opac": "Other"}, read_first=read_first).warnings == ()
    aleph.staff(restore=True)
    assert aleph.values()["collection"] != "MIC", "what the warning is about"


def test_the_process_status_is_compared_right_after_the_update_only(aleph: Aleph) -> None:
    aleph.settings(aleph_status_moves={"BD": "IP"})
    assert write(aleph, {"item-process-status": "BD", "note-opac": "Bound"}).outcome is DONE
    assert write(aleph, {"item-process-status": "", "note-opac": "Bound"}).outcome is DONE
    aleph.faults({"kind": "drop", "path": UPDATES, "times": 1})
    update = write(aleph, {"item-process-status": "BD", "note-opac": "Lost answer"})
    assert update.outcome is WriteOutcome.ADOPTED, "the status had moved by the look"


@pytest.mark.parametrize("again", [False, True])
def test_a_process_status_that_was_not_taken_is_named(aleph: Aleph, again: bool) -> None:
    first = aleph.values() if again else None
    aleph.faults({"kind": "ignore", "path": UPDATES, "fields": ["item-process-status"]})
    update = write(aleph, {"item-process-status": "BD", "note-opac": "Bound"}, first=first)
    assert (update.outcome, update.untaken) == (WriteOutcome.REFUSED, ("item-process-status",))
    assert aleph.values()["note-opac"] == "Bound"
    assert aleph.calls("update-item") == 1


def test_a_field_that_was_answered_and_not_taken_is_no_conflict(aleph: Aleph) -> None:
    def meanwhile(before: AlephItem | None) -> None:
        aleph.staff(values={"note-opac": "Theirs"})

    aleph.faults({"kind": "ignore", "path": UPDATES, "fields": ["note-opac"]})
    update = write(aleph, {"note-opac": "Seen", "note-internal": "x"}, before_writing=meanwhile)
    assert (update.untaken, update.conflict) == (("note-opac",), ()), "the rest was written"
    assert aleph.values()["note-opac"] == "Theirs"


def test_a_corrected_barcode_is_a_warning(aleph: Aleph) -> None:
    aleph.settings(aleph_barcode_checksum="correct")
    right = with_check_digit("3000100000015")
    wrong = f"{right[:-1]}{(int(right[-1]) + 1) % 10}" if right else ""
    update = write(aleph, {"barcode": wrong})
    assert update.outcome is DONE
    assert update.warnings == (f"the barcode {wrong!r} was sent, and Aleph made {right!r} of it",)
    assert aleph.values()["barcode"] == right


def test_a_generated_barcode_is_a_warning(aleph: Aleph) -> None:
    aleph.settings(aleph_barcode_checksum="generate")
    old = aleph.values()["barcode"]
    update = write(aleph, NOTE)
    assert update.outcome is DONE
    assert update.warnings == (
        f"Aleph made the barcode {aleph.values()['barcode']!r} of {old!r}, none was sent",
    )


def test_a_barcode_of_another_item_is_refused(aleph: Aleph) -> None:
    other = aleph.values(ItemKey("3", "10"))["barcode"]
    assert write(aleph, {"barcode": other}).outcome is WriteOutcome.REFUSED


@pytest.mark.parametrize("fields", [["note-opac"], ["*"]])
def test_a_success_that_changed_nothing_is_not_applied(aleph: Aleph, fields: list[str]) -> None:
    aleph.faults({"kind": "ignore", "path": UPDATES, "fields": fields})
    update = write(aleph, {"note-opac": "Seen", "note-internal": "x"})
    assert update.outcome is WriteOutcome.REFUSED
    assert update.untaken == (("note-opac",) if fields == ["note-opac"] else ("note-opac", "note-internal"))
    assert aleph.calls("update-item") == 1


# Answers that do not say what is there


def test_another_items_key_in_the_reply_is_decided_by_read_item(aleph: Aleph) -> None:
    aleph.faults({"kind": "other_key", "path": UPDATES, "times": 1})
    update = write(aleph, NOTE)
    assert update.outcome is WriteOutcome.ADOPTED
    assert (aleph.calls("update-item"), aleph.calls("read-item")) == (1, 2)
    assert seed.SUCCESS in update.texts[0]


@pytest.mark.parametrize("applied", [True, False])
def test_a_refusal_beside_a_success_is_decided_by_read_item(aleph: Aleph, applied: bool) -> None:
    messages = [seed.SHORT_TERM] if applied else [seed.SHORT_TERM, seed.SUCCESS]
    aleph.faults({"kind": "aleph_error", "path": UPDATES, "messages": messages, "applied": applied})
    update = write(aleph, NOTE)
    said = "; ".join(update.texts) + str(update.error)
    assert "Short-term requests" in said
    assert "updated successfully" in said
    assert update.outcome is (DONE if applied else WriteOutcome.REFUSED)
    assert aleph.calls("update-item") == 1


@pytest.mark.parametrize("kind", ["drop", "maintenance", "malformed", "truncated", "bad_gateway"])
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("read_first", [True, False])
def test_a_lost_answer_is_looked_for(aleph: Aleph, kind: str, applied: bool, read_first: bool) -> None:
    aleph.faults({"kind": kind, "path": UPDATES, "times": 1, "applied": applied})
    update = write(aleph, NOTE, read_first=read_first)
    assert update.outcome is (WriteOutcome.ADOPTED if applied else DONE)
    assert aleph.calls("update-item") == (1 if applied else 2)
    assert aleph.values()["note-opac"] == "Seen"


@pytest.mark.parametrize("applied", [True, False])
def test_an_answer_that_stays_lost_is_unconfirmed_or_failed(aleph: Aleph, applied: bool) -> None:
    client = aleph.client()
    aleph.faults(
        {"kind": "drop", "path": UPDATES, "applied": applied},
        {"kind": "maintenance", "path": "op=read.item", "nth": [2, 3, 4]},
    )
    assert update_item(client, KEY, NOTE).outcome is WriteOutcome.UNCONFIRMED
    aleph.heal()
    aleph.faults({"kind": "drop", "path": UPDATES, "applied": False})
    assert update_item(client, KEY, {"note-opac": "Third"}).outcome is WriteOutcome.FAILED


def test_failed_to_update_stays_failed(aleph: Aleph) -> None:
    aleph.faults({"kind": "aleph_error", "path": UPDATES, "messages": [seed.FAILED]})
    assert write(aleph, NOTE).outcome is WriteOutcome.FAILED
    assert aleph.calls("update-item") == 3


# Others at the same item


def test_what_somebody_changed_after_a_lost_answer_is_a_conflict(aleph: Aleph) -> None:
    aleph.faults({"kind": "drop", "path": UPDATES, "applied": False, "times": 1})

    def meanwhile(before: AlephItem | None) -> None:
        aleph.staff(values={"note-opac": "Theirs"})

    update = write(aleph, NOTE, before_writing=meanwhile)
    assert (update.outcome, update.conflict) == (WriteOutcome.CONFLICT, ("note-opac",))
    assert aleph.values()["note-opac"] == "Theirs"


def test_what_somebody_changed_since_an_earlier_attempt_is_a_conflict(aleph: Aleph) -> None:
    first = aleph.values()
    aleph.staff(values={"note-opac": "Theirs"})
    assert write(aleph, NOTE, first=first).conflict == ("note-opac",)
    assert write(aleph, {"note-internal": "Ours"}, first=first).outcome is DONE, (
        "another field is no conflict"
    )
    assert aleph.values()["note-opac"] == "Theirs"
    assert aleph.calls("update-item") == 1


def test_what_an_earlier_attempt_wrote_is_ours(aleph: Aleph) -> None:
    first = aleph.values()
    aleph.staff(values=NOTE)
    update = write(aleph, NOTE, first=first)
    assert (update.outcome, update.before, aleph.calls("update-item")) == (WriteOutcome.ADOPTED, first, 0)


def test_an_error_before_writing_ends_the_work(aleph: Aleph) -> None:
    def lost(before: AlephItem | None) -> None:
        assert before is not None
        raise LookupError

    with pytest.raises(LookupError):
        write(aleph, NOTE, before_writing=lost)
    assert aleph.calls("update-item") == 0


# New items

NEW = {
    "barcode": "30001000000018",
    "sub-library": "WID",
    "material": "BOOK",
    "item-status": "01",
    "collection": "GEN",
}


def made(client: AlephClient, **more: Any) -> Any:
    return create_item(client, {**NEW, **more}, adm_doc_number="2")


def test_an_item_is_made_once(aleph: Aleph) -> None:
    written = made(aleph.client())
    assert written.outcome is WriteOutcome.CREATED
    assert written.value.key.doc_number == "000000002"
    again = made(aleph.client())
    assert (again.outcome, again.value.key) == (WriteOutcome.ADOPTED, written.value.key)
    assert aleph.calls("create-item") == 1


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_new_item_is_looked_for_by_its_barcode(aleph: Aleph, applied: bool) -> None:
    aleph.faults({"kind": "drop", "path": "op=create.item", "times": 1, "applied": applied})
    written = made(aleph.client())
    assert written.outcome is (WriteOutcome.ADOPTED if applied else WriteOutcome.CREATED)
    assert aleph.calls("create-item") == (1 if applied else 2)


def test_a_lost_new_item_without_a_barcode_is_not_sent_again(aleph: Aleph) -> None:
    aleph.faults({"kind": "drop", "path": "op=create.item"})
    assert made(aleph.client(), barcode="").outcome is WriteOutcome.UNCONFIRMED
    assert aleph.calls("create-item") == 1


def test_an_item_of_a_document_that_is_not_there_is_refused(aleph: Aleph) -> None:
    written = create_item(aleph.client(), NEW, adm_doc_number="999999")
    assert written.outcome is WriteOutcome.REFUSED
    assert "Input ADM document" in str(written.error)


def test_read_item_takes_barcode_and_key(aleph: Aleph) -> None:
    client = aleph.client()
    barcode = aleph.values()["barcode"]
    found = client.read_item_by_barcode(barcode)
    assert isinstance(found, Found)
    assert found.value.key == KEY
    aleph.settings(aleph_barcode_parameter="barcode")
    assert isinstance(aleph.client(barcode_parameter="barcode").read_item_by_barcode(barcode), Found)
