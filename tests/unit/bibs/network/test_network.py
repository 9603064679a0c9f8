"""Records that the institution has no title of, and the network zone has: looked up there, linked once, ordered on."""

import pytest

from alma_etl.inventory.waiting_titles import SqlWaitingTitles
from tests.unit.bibs.network.conftest import NZ, linked, posts
from tests.unit.bibs.records import lines, record
from tests.unit.bibs.test_bib_imports import F008, new
from tests.unit.bibs.test_import_guide import rearrange
from tests.unit.bibs.test_order_imports import PROFILES, gobi
from tests.unit.bibs.test_order_imports import lines as po_lines

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("sru", [False, True])
def test_a_record_of_the_network_zone_is_linked_and_not_changed(imports, network, sru):
    there = network.has(901)
    twice = [network.has(902), network.has(902)]
    if sru:
        network.with_sru()
        imports.with_sru()
    imports.alma.forget()
    network.forget()
    file = [new(901, title="The vendor's"), new(902), new(903)]
    run = imports.load(*file)
    assert run.outcomes == ["created", "multi_match", "created"]
    first, second, third = run.rows
    assert linked(imports) == {first["mms_id"]: there}
    assert first["reasons"] == second["reasons"] == "NETWORK"
    assert f"linked to the network zone's {there} by 035 $a 901" in first["message"]
    assert second["message"] == "in the network zone: " + "; ".join(f"{each} by 035 $a 902" for each in twice)
    assert (third["reasons"], linked(imports).get(third["mms_id"])) == ("", None)
    title = imports.title(first["mms_id"])
    assert lines(title, "245") == ["245 00 $a Of the network"]
    assert f"035 __ $a (EXLNZ-{NZ}){there}" in lines(title, "035")
    assert [call["method"] for call in network.calls() if call["method"] != "GET"] == []
    assert len(posts(imports)) == 2
    assert (run.problem, run.filed.startswith("bibs/done/")) == ("", True)

    imports.alma.forget()
    again = imports.load(*file, name="april.mrc")
    assert again.outcomes == ["unchanged", "multi_match", "unchanged"]
    assert again.rows[0]["mms_id"] == first["mms_id"]
    assert "nothing of the record was written" in again.rows[0]["message"]
    assert posts(imports) == []


def test_with_sru_a_linked_record_costs_a_look_and_a_post(imports, network):
    for number in range(20):
        network.has(1000 + number)
    network.with_sru()
    imports.with_sru()
    imports.alma.forget()
    network.forget()
    run = imports.load(*(new(1000 + number) for number in range(40)))
    assert run.counts == {"created": 40}
    assert len(linked(imports)) == 20
    assert imports.calls()[0] <= 20 * 2 + 20 * 1 + 2
    assert sum("/bibs" in call["path"] for call in network.calls()) <= 2


def test_a_dry_run_says_what_would_be_linked(imports, network):
    network.has(901)
    staff = network.has(902)
    theirs = network.link_by_staff(staff)
    imports.alma.forget()
    by_id = record(f"001 {staff}", F008, "245 00 $a By the zone's id")
    run = imports.load(new(901), new(901, title="Twin"), by_id, new(903), dry_run=True)
    assert run.outcomes == ["would_create", "unchanged", "unchanged", "would_create"], run.rows
    assert "linked to the network zone" in run.rows[0]["message"]
    assert "record 1 of the file has the same number" in run.rows[1]["message"]
    assert run.rows[2]["mms_id"] == theirs
    assert posts(imports) == []
    assert imports.load(new(901), name="b.mrc").outcomes == ["created"]


def test_what_somebody_linked_already_is_the_title_and_is_not_linked_again(imports, network):
    there = network.has(901)
    theirs = network.link_by_staff(there)
    imports.alma.forget()
    by_id = record(f"001 {there}", F008, "245 00 $a By the zone's id")
    run = imports.load(by_id)
    assert [(row["outcome"], row["mms_id"], row["reasons"]) for row in run.rows] == [
        ("unchanged", theirs, "NETWORK")
    ]
    assert imports.load(new(901), name="b.mrc").rows[0]["mms_id"] == theirs
    assert posts(imports) == []


def test_numbers_of_one_record_of_the_zone_link_it_once_in_a_file_and_across_files(imports, network):
    there = network.has(901, "035 __ $z (OCoLC)902", "035 __ $z (OCoLC)903")
    network.with_sru()  # finds $z
    imports.alma.settings(number_lag_s=3600, sru_lag_s=3600)
    run = imports.load(new(901), new(902, title="Another"))
    assert run.outcomes == ["created", "unchanged"]
    first = run.rows[0]["mms_id"]
    assert linked(imports) == {first: there}
    assert "record 1 of the file is of the same title" in run.rows[1]["message"]
    later = imports.load(new(901), new(903), new(902), name="b.mrc")
    assert [(row["outcome"], row["mms_id"]) for row in later.rows] == [("unchanged", first)] * 3
    assert list(linked(imports).values()) == [there]


def test_several_in_the_zone_are_added_by_a_profile_that_adds_what_is_refused(imports, network):
    network.has(902)
    network.has(902)
    network.profile(", on_refused: create")
    run = imports.load(new(902))
    assert [(row["outcome"], row["reasons"]) for row in run.rows] == [("created", "MULTI_MATCH")]
    assert imports.load(new(902), name="b.mrc").outcomes == ["unchanged"]


def test_a_zone_is_asked_where_the_profile_creates_nothing_and_not_where_there_is_a_title(imports, network):
    network.has(901)
    network.has(902)
    ours = imports.add("035 __ $a (OCoLC)902", "245 00 $a Old")
    network.profile(", on_no_match: skip")
    network.forget()
    run = imports.load(new(901), new(902), new(903))
    assert run.outcomes == ["created", "merged", "no_key"]
    assert run.rows[1]["mms_id"] == ours
    assert not any("902" in call["query"] for call in network.calls())


def test_order_and_items_go_to_the_linked_title_and_again_to_it(imports, network):
    there = network.has(901)
    imports.profiles(
        PROFILES.replace("  gobi:\n", "  catalog: {network: nz}\n  gobi:\n")
        + "  pals2:\n    inventory:\n      field: '949'\n"
        "      subfields: {barcode: b, item_policy: c, library: d, location: e}\n"
    )
    run = imports.load(gobi(901, "R1"), gobi(901, "R2"), profile="gobi")
    assert run.outcomes == ["created", "merged"], run.rows  # both have their order
    title = run.rows[0]["mms_id"]
    assert linked(imports) == {title: there}
    assert "Alma made it not suppressed" in run.rows[0]["message"]
    again = imports.load(gobi(901, "R3"), name="b.mrc", profile="gobi")
    assert again.outcomes == ["merged"]
    assert {name: line.mms_id for name, line in po_lines(imports).items()} == dict.fromkeys(
        ("R1", "R2", "R3"), title
    )
    items = imports.load(new(901, "949 __ $b A1 $c 01 $d MAIN $e stacks"), name="c.mrc", profile="pals2")
    assert items.outcomes == ["merged"]
    assert [item["mms_id"] for item in imports.alma.made()[0].values() if item["barcode"] == "A1"] == [title]
    imports.alma.forget()
    assert imports.load(gobi(901, "R3"), name="d.mrc", profile="gobi").outcomes == ["conflict"]
    assert posts(imports) == []


def order_by_hand(imports, mms_id, reference):
    price = {"sum": "5.00", "currency": {"value": "USD"}}
    imports.client.po_lines.create(
        {
            "owner": {"value": "MAIN"},
            "type": {"value": "PRINTED_BOOK_OT"},
            "vendor": {"value": "GOBI"},
            "vendor_account": "GOBI-1",
            "price": price,
            "fund_distribution": [{"fund_code": {"value": "HIST"}, "amount": price}],
            "additional_order_reference": reference,
            "resource_metadata": {"mms_id": {"value": mms_id}},
            "location": [
                {"quantity": 1, "library": {"value": "MAIN"}, "shelving_location": "stacks", "copy": [{}]}
            ],
        }
    )


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("references", ["R1 R3", "R3 R1"])
def test_what_staff_ordered_on_a_title_that_is_known_by_the_zone_alone_is_not_ordered_again(
    imports, network, references, dry_run
):
    there = network.has(901)
    imports.profiles(PROFILES.replace("  gobi:\n", "  catalog: {network: nz}\n  gobi:\n"))
    order_by_hand(imports, network.link_by_staff(there), "R1")
    file = [gobi(910 + at, reference) for at, reference in enumerate(references.split())]
    for each in file:
        each["001"].data = there  # the title that staff linked has no other number of theirs
    imports.alma.forget()
    run = imports.load(*file, profile="gobi", dry_run=dry_run)
    ends = dict(zip(references.split(), run.rows, strict=True))
    assert ends["R1"]["outcome"] == "conflict", run.rows
    assert "the reference R1 stands in PO line" in ends["R1"]["message"]
    assert ends["R3"]["outcome"] == ("would_merge" if dry_run else "merged"), run.rows
    imports.load(*file, name="b.mrc", profile="gobi", dry_run=dry_run)
    assert sum("/po-lines" in call["path"] for call in posts(imports)) == (0 if dry_run else 1)


def test_a_linked_title_that_the_library_has_is_reported(imports, network):
    there = network.has(901)
    network.profile(", search_first: true")
    title = imports.load(new(901)).rows[0]["mms_id"]
    imports.alma.add_holding(title, "MAIN", "stacks")
    assert imports.load(new(901), name="b.mrc").outcomes == ["already_owned"]
    by_id = record(f"001 {there}", F008, "245 00 $a By the zone's id")
    assert imports.load(by_id, name="c.mrc").outcomes == ["already_owned"]


def test_without_network_a_linked_title_is_still_nobodys_to_change(imports, network):
    network.has(901)
    imports.load(new(901))
    imports.profiles("profiles: {}")
    imports.alma.forget()
    assert imports.load(new(901), name="b.mrc").outcomes == ["linked_nz"]
    assert posts(imports) == []


@pytest.mark.parametrize(
    ("set_up", "words"),
    [
        (lambda network, imports: network.profile(", match: [isbn]"), "set `sru_url` of the connection nz"),
        (lambda network, imports: network.with_sru("01ZZ_OTHER"), "leads to 01ZZ_OTHER"),
        (
            lambda network, imports: imports.further.update({("alma", "nz"): imports.client}),
            "a key of the institution 01ZZ_INST itself",
        ),
        (lambda network, imports: imports.profiles("profiles:\n  catalog: {network: alma_default}\n"), "institution"),
        (
            lambda network, imports: imports.further.update({("alma", "nz"): imports.new_client(network.url, "no")}),
            "may not read the network zone",
        ),
        (lambda network, imports: network.profile(", zone: nz"), "needs `zone: iz`"),
    ],
    ids=["isbn without SRU", "another SRU", "the institution's key", "its connection", "no rights", "zone nz"],
)  # fmt: skip
def test_a_network_that_cannot_be_asked_stops_the_run_before_anything_is_looked_up(
    imports, network, set_up, words
):
    network.has(901)
    if words.startswith("set"):
        imports.with_sru()
    imports.alma.forget()
    set_up(network, imports)
    run = imports.load(new(901, "020 __ $a 9780306406157"))
    assert words in run.problem
    assert not any("/bibs?" in call["path"] or call["method"] != "GET" for call in imports.alma.calls())


@pytest.mark.quick
def test_a_linked_title_does_not_wait_for_its_full_record(imports, network):
    network.has(901)
    network.profile(", awaits_full_record: true")
    linked_title, made = [row["mms_id"] for row in imports.load(new(901), new(902)).rows]
    waiting = SqlWaitingTitles(imports.store, f"{imports.client.host} 01ZZ_INST SANDBOX")
    assert waiting.waiting([linked_title, made]) == {made}
    waiting.close()


@pytest.mark.parametrize("remembered", ["another", "unlinked"])
def test_a_title_that_is_linked_to_another_record_of_the_zone_is_not_taken_for_the_one_that_was_found(
    imports, network, remembered
):
    there, other = network.has(901), network.has(902)
    title = imports.load(new(901)).rows[0]["mms_id"]
    rearrange(imports, title, linked=["NZ", other] if remembered == "another" else None)
    imports.profiles("profiles:\n  catalog: {network: nz, match: [mms_id]}\n")
    by_id = record(f"001 {there}", F008, "245 00 $a By the zone's id")
    run = imports.load(by_id, name="b.mrc", dry_run=True)
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["would_create"], "")
    run = imports.load(by_id, name="c.mrc")
    assert run.outcomes == ["created"]
    assert linked(imports)[run.rows[0]["mms_id"]] == there
    assert run.rows[0]["mms_id"] != title


def test_several_in_the_zone_are_reported_by_a_profile_that_creates_nothing(imports, network):
    network.has(902)
    network.has(902)
    network.profile(", on_refused: create, on_no_match: skip")
    imports.alma.forget()
    run = imports.load(new(902), new(903))
    assert [(row["outcome"], row["reasons"]) for row in run.rows] == [
        ("multi_match", "NETWORK"),
        ("no_key", ""),
    ]
    assert posts(imports) == []
