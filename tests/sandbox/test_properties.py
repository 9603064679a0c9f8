"""Properties that hold for any input: ids, pages of sets, MARC and bodies in two formats."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from starlette.datastructures import Headers

from alma_sandbox import Settings
from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, from_element, to_element
from alma_sandbox.circulation.users import normalise
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import as_json, as_xml
from alma_sandbox.http.call import Call
from alma_sandbox.sandbox import Sandbox

TEXT = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=20
)
WORD = st.text(st.sampled_from("abcXYZ é语"), min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.integers(0, 10**8), st.integers(0, 9), st.integers(0, 99))
def test_ids_and_barcodes_turn_back_into_their_numbers(title: int, holding: int, item: int) -> None:
    assert ids.title_of_mms_id(ids.mms_id(title)) == title
    assert ids.place_of_item_pid(ids.item_pid(title, holding, item)) == (title, holding, item)
    assert ids.place_of_barcode(ids.barcode(title, holding, item)) == (title, holding, item)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 100))
def test_the_pages_of_a_set_hold_every_member_once(titles: int, vanished: int, limit: int) -> None:
    sandbox = Sandbox(Settings(titles=titles, vanished_members=vanished))
    found = sandbox.sets.by_id[ids.ALL_TITLES_SET]
    size = sandbox.sets.size(found)
    members = [
        member for offset in range(0, size, limit) for member in sandbox.sets.page(found, offset, limit)
    ]
    assert len(members) == len(set(members)) == size == titles + min(vanished, titles)
    assert sum(sandbox.catalogue.bib(member) is not None for member in members) == titles


@given(st.lists(st.tuples(st.sampled_from("abc8"), TEXT), min_size=1, max_size=5).map(tuple), TEXT)
def test_marc_survives_xml(subfields: tuple[tuple[str, str], ...], data: str) -> None:
    record = Record(
        "     nx  a22     1n 4500", [ControlField("001", data), DataField("866", " ", "0", subfields)]
    )
    assert from_element(etree.fromstring(etree.tostring(to_element(record)))) == record


def call_with(body: bytes, kind: str, sandbox: Sandbox) -> Call:
    return Call(sandbox, "POST", {}, {}, Headers({"content-type": kind}), body, json=True, base="")


SANDBOX = Sandbox(Settings(titles=0))


@given(WORD, WORD, st.lists(WORD, max_size=3), st.booleans())
def test_a_user_reads_the_same_from_json_and_xml(
    first: str, last: str, codes: list[str], preferred: bool
) -> None:
    body: dict[str, Any] = {
        "primary_id": "u1",
        "first_name": first,
        "last_name": last,
        "user_group": {"value": "GRAD"},
        "contact_info": {"email": [{"email_address": last, "preferred": preferred, "email_type": ["work"]}]},
        "user_identifier": [{"id_type": {"value": "BARCODE"}, "value": value} for value in codes],
    }
    user = normalise(body)
    from_json = bodies.read(call_with(as_json(user), "application/json", SANDBOX))
    from_xml = bodies.read(call_with(as_xml("user", user), "application/xml", SANDBOX))
    assert normalise(from_json) == normalise(from_xml) == user
