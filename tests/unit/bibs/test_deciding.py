"""What becomes of a record: the worked examples, each outcome, and which of several comes first."""

from dataclasses import dataclass, field
from itertools import product

import pytest
from pymarc import Record

from alma_etl.alma.bibs import Bib, bib
from alma_etl.bibs.deciding import Decision, decide, decide_alone
from alma_etl.bibs.field_diff import as_text
from alma_etl.bibs.keys import keys_of
from alma_etl.bibs.matching import Matched, Number, Remembered, RestFinder, match, numbers_of
from alma_etl.bibs.profiles import BibProfile
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote import xml
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteServerError
from tests.unit.bibs.records import LEADER, lines, record

CATALOG = BibProfile()
ISBN = BibProfile(match=("isbn",))


def title(number: int, *fields: str, leader: str = LEADER, level: str = "10", linked_to: str = "") -> Bib:
    made = record(f"001 99{number:08}", "005 20260101000000.0", *fields, leader=leader)
    return Bib(
        f"99{number:08}", "T", False, xml_from_record(made), (), brief_level=level, linked_to=linked_to
    )


@dataclass
class Alma:
    """An Alma whose index answers whatever it is asked with all that it has: what counts is verified."""

    bibs: list[Bib]
    asked: list[Number] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=dict)

    def find(self, number: Number):
        self.asked.append(number)
        return Found(self.bibs)

    def had(self, number: Number):
        return self.lost.get(number.value, [])


def decided(new: Record, *bibs: Bib, profile: BibProfile = CATALOG, is_owned: bool = False) -> Decision:
    keys = keys_of(new)
    alone = decide_alone(new, keys, profile)
    if alone is not None:
        return alone
    matched = match(new, keys, profile, Alma(list(bibs)))
    assert isinstance(matched, Matched)
    return decide(new, keys, profile, matched, is_owned=is_owned)


# --- the worked examples


def test_a_number_in_another_spelling_is_the_same_title_and_nothing_is_written():
    decision = decided(
        record("035 __ $a (OCoLC)ocm000064758", "245 00 $a T"),
        title(1, "035 __ $a (OCoLC)64758", "245 00 $a T"),
    )
    assert (decision.outcome, decision.action) == ("unchanged", "none")


def test_a_former_number_finds_the_title_which_gets_the_present_one():
    new = record("035 __ $a (OCoLC)900 $z (OCoLC)700", "245 00 $a T")
    decision = decided(
        new, title(1, "035 __ $a (OCoLC)700", "035 _9 $a 90000000001 $b YBP", "245 00 $a T", "979 __ $a b")
    )
    assert (decision.outcome, decision.action, decision.title.mms_id) == ("merged", "change", "9900000001")
    assert lines(decision.record, "035", "979") == [
        "035 __ $a (OCoLC)900 $z (OCoLC)700", "035 _9 $a 90000000001 $b YBP", "979 __ $a b",
    ]  # fmt: skip
    assert as_text(decision.changes) == "- 035 __ $a (OCoLC)700\n+ 035 __ $a (OCoLC)900 $z (OCoLC)700"


@pytest.mark.parametrize("former", ["035 __ $a (OCoLC)900 $z (OCoLC)700", "019 __ $a 700"])
def test_two_titles_by_the_present_and_the_former_number_are_both_named(former):
    new = record(former, "035 __ $a (OCoLC)900", "245 00 $a T")
    decision = decided(new, title(2, "035 __ $a (OCoLC)900"), title(1, "035 __ $a (OCoLC)ocm00000700"))
    assert (decision.outcome, decision.record) == ("multi_match", None)
    assert decision.message == "9900000001 by 035 $z or 019 700; 9900000002 by 035 $a 900"


def test_a_title_that_has_the_number_as_a_former_one_says_so():
    new = record("035 __ $a (OCoLC)700", "245 00 $a T")
    decision = decided(new, title(1, "035 __ $a (OCoLC)900 $z (OCoLC)700"), title(2, "035 __ $a (OCoLC)700"))
    assert decision.message == "9900000001 by 035 $a 700 (its own 035 $z or 019); 9900000002 by 035 $a 700"


def test_digits_in_another_number_match_nothing():
    new = record("035 __ $a (OCoLC)TGPSM11-B2267", "245 00 $a T")
    assert decided(new, title(1, "035 __ $a (OCoLC)112267")).outcome == "no_key"


@pytest.mark.parametrize(
    ("code", "level", "outcome"),
    [("3", "10", "not_added_brief"), (" ", "10", "merged"), ("3", "03", "merged")],
)
def test_a_briefer_record_is_refused_and_an_equal_one_merges(code, level, outcome):
    new = record("035 __ $a (OCoLC)7", "245 00 $a New", leader=LEADER[:17] + code + LEADER[18:])
    decision = decided(new, title(1, "035 __ $a (OCoLC)7", "245 00 $a T", level=level))
    assert decision.outcome == outcome
    if outcome == "not_added_brief":
        assert decision.message == "03 < 10: the record is 03 (leader/17 3), 9900000001 is 10 (Alma's)"


def test_a_level_that_alma_does_not_state_is_computed_and_said():
    new = record("035 __ $a (OCoLC)7", "245 00 $a New", leader=LEADER[:17] + "3" + LEADER[18:])
    decision = decided(new, title(1, "035 __ $a (OCoLC)7", level=""))
    assert "9900000001 is 10 (leader/17 blank)" in decision.message


@pytest.mark.parametrize(
    ("time", "outcome", "reasons"),
    [
        ("20240501", "merged", ("NO_005",)),
        ("20240501101112.0", "not_added_old", ()),
        ("20270501101112.0", "merged", ()),
    ],
)
def test_an_older_record_is_refused_and_a_malformed_005_is_not_older(time, outcome, reasons):
    new = record(f"005 {time}", "035 __ $a (OCoLC)7", "245 00 $a New")
    decision = decided(new, title(1, "035 __ $a (OCoLC)7"))
    assert (decision.outcome, decision.reasons) == (outcome, reasons)
    assert (
        decided(new, title(1, "035 __ $a (OCoLC)7"), profile=BibProfile(check_005=False)).outcome == "merged"
    )


def test_a_linked_title_is_edited_where_it_lives():
    new = record("035 __ $a (OCoLC)7", "245 00 $a New")
    nz, cz = (title(1, "035 __ $a (OCoLC)7", linked_to=zone) for zone in ("NZ", "CZ"))
    assert decided(new, nz).outcome == "linked_nz"
    assert decided(new, nz, profile=BibProfile(zone="nz")).outcome == "merged"
    assert decided(new, cz, profile=BibProfile(zone="nz")).outcome == "linked_cz"
    for there in (nz, cz):  # whose items are the institution's, and may come
        assert decided(new, there, profile=BibProfile(on_match="skip")).outcome == "unchanged"


# --- what matches


def test_isbn_a_matches_a_and_z_matches_z():
    new = record("020 __ $a 9780306406157", "020 __ $z 9780804429573", "245 00 $a T")
    assert (
        decided(new, title(1, "020 __ $z 0306406152", "020 __ $a 080442957X"), profile=ISBN).outcome
        == "created"
    )
    for same in ("020 __ $a 0306406152", "020 __ $z 080442957X"):
        assert decided(new, title(1, same), profile=ISBN).title.mms_id == "9900000001"


def test_a_weak_match_that_disagrees_counts_as_none_and_is_named():
    new = record("020 __ $a 9780306406157", "035 __ $a (OCoLC)345", "245 00 $a T")
    there = title(1, "020 __ $a 9780306406157", "035 __ $a (OCoLC)123")
    decision = decided(new, there, profile=ISBN)
    assert (decision.outcome, decision.action, decision.reasons) == ("created", "create", ("WEAK_MATCH",))
    assert decision.message == (
        "9900000001 has 020 $a 9780306406157 and is no match: OCLC numbers disagree: 345 and 123 in Alma"
    )
    skipped = decided(new, there, profile=ISBN.model_copy(update={"on_no_match": "skip"}))
    assert (skipped.outcome, skipped.action) == ("no_key", "none")


def test_the_next_method_is_asked_where_the_first_finds_none():
    profile = BibProfile(match=("oclc", "mms_id", "system"))
    new = record("001 9900000001", "035 __ $a (OCoLC)7", "035 __ $a (Vnd)1", "245 00 $a T")
    alma = Alma([title(1, "245 00 $a T")])
    matched = match(new, keys_of(new), profile, alma)
    assert [each.mms_id for each in matched.titles] == ["9900000001"]
    assert [number.method for number in alma.asked] == ["oclc", "mms_id"]


def test_methods_without_a_number_are_left_out_and_oclc_numbers_stay_together():
    keys = keys_of(record("019 __ $a 1", "020 __ $a 9780306406157", "035 __ $a (OCoLC)2", "245 00 $a T"))
    groups = list(numbers_of(keys, ["isbn", "019", "issn", "oclc", "mms_id"]))
    assert [[str(number) for number in group] for group in groups] == [
        ["020 $a 9780306406157"],
        ["035 $z or 019 1", "035 $a 2"],
    ]
    assert [len(group) for group in numbers_of(keys, ["oclc"])] == [1]


def test_a_failed_look_up_is_no_answer():
    error = RemoteServerError("GET /bibs", 500, "", "no")

    class Broken:
        def find(self, number):
            return Unknown(error)

    new = record("035 __ $a (OCoLC)7", "245 00 $a T")
    assert match(new, keys_of(new), CATALOG, Broken()) == Unknown(error)


class FakeBibs:
    """Alma's index of 035 $a, by exact value, and its titles by id."""

    def __init__(self, index: dict[str, Bib], titles: dict[str, Bib] | None = None) -> None:
        self.index, self.titles, self.asked = index, titles or {}, []

    def by_system_number(self, number: str, *, inventory: bool):
        self.asked.append(number)
        return Found([self.index[number]] if number in self.index else [])

    def read_to_change(self, mms_id: str, *, inventory: bool):
        self.asked.append(mms_id)
        return Found(self.titles[mms_id]) if mms_id in self.titles else Absent()

    def read_many(self, mms_ids: list[str], **_: object):
        self.asked.append(",".join(mms_ids))
        return {mms_id: self.titles[mms_id] for mms_id in mms_ids if mms_id in self.titles}


@pytest.mark.parametrize(
    ("number", "old"),
    [
        ("64758", "(OCoLC)ocm00064758"),
        ("123456789", "(OCoLC)ocn123456789"),
        ("1234567890", "(OCoLC)on1234567890"),
    ],
)
def test_by_rest_the_plain_number_is_asked_and_then_oclc_s_form(number, old):
    here, there = title(1, f"035 __ $a (OCoLC){number}"), title(2)
    bibs = FakeBibs({f"(OCoLC){number}": here, old: there})
    assert RestFinder(bibs).find(Number("oclc", "035 $a", number)) == Found([here])
    assert bibs.asked == [f"(OCoLC){number}"]
    bibs = FakeBibs({old: there})
    assert RestFinder(bibs).find(Number("019", "035 $z", number)) == Found([there])
    assert bibs.asked == [f"(OCoLC){number}", old]


def test_what_a_load_made_is_found_before_the_index_knows_it():
    made = title(1, "035 __ $a (OCoLC)7")
    known = Remembered((made.mms_id,), ("9900000009",))
    finder = RestFinder(FakeBibs({}, {made.mms_id: made}), lambda numbers: dict.fromkeys(numbers, known))
    assert finder.find(Number("oclc", "035 $a", "7")) == Found([made])
    assert finder.had(Number("oclc", "035 $a", "7")) == ("9900000009",)
    assert RestFinder(FakeBibs({})).find(Number("mms_id", "001", "9900000001")) == Found([])


def test_what_imports_know_of_many_numbers_is_read_in_one_call_and_only_when_it_is_needed():
    titles = {str(9900000000 + each): title(each) for each in range(1, 61)}
    numbers = [Number("oclc", "035 $a", str(each)) for each in range(1, 61)]
    indexed = {f"(OCoLC){each}": title(each, f"035 __ $a (OCoLC){each}") for each in range(1, 41)}
    bibs = FakeBibs(indexed, titles)

    def memory(asked):
        return {
            each: Remembered((f"99{int(each.value):08}",) if each.method == "oclc" else ()) for each in asked
        }

    finder = RestFinder(bibs, memory)
    finder.look_up([[[number]] for number in numbers])
    for number in numbers[:40]:
        finder.find(number)
    assert len(bibs.asked) == 40
    for number in numbers[40:]:
        assert [each.mms_id for each in finder.find(number).value] == [f"99{int(number.value):08}"]
    assert len(bibs.asked) == 40 + 2 * 20 + 1
    finder.look_up([[[Number("mms_id", "001", each)], numbers[:1]] for each in titles])
    bibs.asked.clear()
    assert all(finder.find(Number("mms_id", "001", each)).value for each in titles)
    assert len(bibs.asked) == 1


def test_a_number_that_an_import_took_out_of_a_title_finds_it_where_no_title_has_it():
    new = record("035 __ $a (OCoLC)700", "245 00 $a T")
    merged, other = title(1, "035 __ $a (OCoLC)900"), title(2, "035 __ $a (OCoLC)700")
    alma = Alma([merged, other], lost={"700": [merged.mms_id]})
    assert [each.mms_id for each in match(new, keys_of(new), CATALOG, alma).titles] == [other.mms_id]
    alone = match(new, keys_of(new), CATALOG, Alma([merged], lost={"700": [merged.mms_id]}))
    assert [each.how() for each in alone.titles] == ["035 $a 700 (which an import replaced in it)"]
    assert match(new, keys_of(new), CATALOG, Alma([merged])).titles == ()


def test_numbers_that_a_title_loses_are_named_and_those_that_it_keeps_as_former_ones_are_not():
    new = record("019 __ $a 600", "035 __ $a (OCoLC)900 $z (OCoLC)700", "245 00 $a New")
    there = title(1, "019 __ $a 500", "035 __ $a (OCoLC)700 $z (OCoLC)60", "035 __ $a (OCoLC)600")
    decision = decided(new, there)
    assert (decision.outcome, decision.reasons) == ("merged", ("NO_005", "OCLC_REPLACED"))
    assert "the title had (OCoLC)60, (OCoLC)500, which the record does not name" in decision.message


# --- which of several outcomes


@pytest.mark.parametrize("lacks", [[], ["245 00 $c by nobody"], ["245 00 $a   "]])
def test_a_record_without_a_title_is_invalid(lacks):
    assert decided(record("035 __ $a (OCoLC)7", *lacks)).outcome == "invalid_record"


def test_a_deletion_never_deletes_creates_or_changes():
    new = record("035 __ $a (OCoLC)7", "245 00 $a T", leader=LEADER[:5] + "d" + LEADER[6:])
    decision = decided(new, title(1, "035 __ $a (OCoLC)7"))
    assert (decision.outcome, decision.action) == ("delete_requested", "none")


def test_unchanged_comes_before_levels_and_dates():
    new = record(
        "005 20200101000000.0", "035 __ $a (OCoLC)7", "245 00 $a T", leader=LEADER[:17] + "3" + LEADER[18:]
    )
    there = title(1, "035 __ $a (OCoLC)7", "245 00 $a T", leader=LEADER[:17] + "3" + LEADER[18:], level="10")
    assert decided(new, there).outcome == "unchanged"


def test_an_owned_title_is_reported_only_where_the_profile_searches_first():
    new = record("035 __ $a (OCoLC)7", "245 00 $a New")
    there = title(1, "035 __ $a (OCoLC)7")
    assert (
        decided(new, there, profile=BibProfile(search_first=True), is_owned=True).outcome == "already_owned"
    )
    assert decided(new, there, profile=BibProfile(search_first=True)).outcome == "merged"
    assert decided(new, there, is_owned=True).outcome == "merged"


def test_on_match_says_what_becomes_of_the_title():
    new = record("035 __ $a (OCoLC)7", "245 00 $a New", "945 __ $a theirs")
    there = title(1, "035 __ $a (OCoLC)7", "590 __ $a ours $9 local", "945 __ $a ours")
    assert decided(new, there, profile=BibProfile(on_match="skip")).outcome == "unchanged"
    overlaid = decided(new, there, profile=BibProfile(on_match="overlay"))
    assert overlaid.outcome == "overlaid"
    assert lines(overlaid.record)[2:] == [
        "035 __ $a (OCoLC)7",
        "245 00 $a New",
        "590 __ $a ours $9 local",
        "945 __ $a theirs",
    ]


def test_a_refused_record_may_be_added_once():
    profile = BibProfile(on_refused="create")
    new = record("035 __ $a (OCoLC)7", "245 00 $a New", leader=LEADER[:17] + "3" + LEADER[18:])
    full = title(1, "035 __ $a (OCoLC)7", "245 00 $a T")
    decision = decided(new, full, profile=profile)
    assert (decision.outcome, decision.action, decision.reasons) == (
        "created",
        "create",
        ("NOT_ADDED_BRIEF",),
    )
    added = title(2, *lines(decision.record), leader=str(decision.record.leader))
    again = decided(new, full, added, profile=profile)
    assert (again.outcome, again.title.mms_id) == ("unchanged", "9900000002")
    other = title(3, "035 __ $a (OCoLC)7", "245 00 $a Other")
    assert decided(new, full, other, profile=profile).reasons == ("MULTI_MATCH",)


ORDER = [
    "invalid_record", "delete_requested", "no_key", "multi_match", "linked_cz", "linked_nz", "already_owned",
    "unchanged", "not_added_brief", "not_added_old", "merged",
]  # fmt: skip


@pytest.mark.parametrize("faults", list(product([False, True], repeat=5)))
@pytest.mark.parametrize("zone", ["", "NZ", "CZ"])
def test_the_first_that_fits_decides(faults, zone):
    deleted, several, owned, brief, old = faults
    leader = LEADER[:5] + ("d" if deleted else "c") + LEADER[6:17] + ("3" if brief else " ") + LEADER[18:]
    new = record(
        f"005 20{20 if old else 30}0101000000.0", "035 __ $a (OCoLC)7", "245 00 $a New", leader=leader
    )
    bibs = [title(1, "035 __ $a (OCoLC)7", linked_to=zone)]
    bibs += [title(2, "035 __ $a (OCoLC)7")] if several else []
    fits = {
        "delete_requested": deleted, "multi_match": several, "linked_cz": zone == "CZ", "linked_nz": zone == "NZ",
        "already_owned": owned, "not_added_brief": brief, "not_added_old": old, "merged": True,
    }  # fmt: skip
    found = decided(new, *bibs, profile=BibProfile(search_first=True), is_owned=owned)
    assert found.outcome == next(word for word in ORDER if fits.get(word))


@pytest.mark.parametrize(
    ("linked", "zone", "there"),
    [
        ('<linked_record_id type="NZ">9911</linked_record_id>', "NZ", "9911"),
        ("<linked_record_id/>", "", ""),
        ("", "", ""),
        ("(EXLCZ)99370000000012", "CZ", "99370000000012"),
        ("(EXLNZ-01ABC_NETWORK)9911", "NZ", "9911"),
        ("(EXL)9911", "", ""),
    ],
)
def test_alma_says_of_a_bib_its_level_its_zone_and_its_warnings(linked, zone, there):
    number = f'<datafield tag="035" ind1=" " ind2=" "><subfield code="a">{linked}</subfield></datafield>'
    sent = (
        f"<bib><mms_id>991</mms_id>{'' if linked.startswith('(') else linked}<brief_level desc='x'>07</brief_level>"
        "<warnings><warning><message>Field 008 is missing.</message></warning><warning/></warnings>"
        f"<record>{number if linked.startswith('(') else ''}</record></bib>"
    )
    found = bib(xml.parse(sent.encode()))
    assert (found.brief_level, found.linked_to, found.warnings) == ("07", zone, ("Field 008 is missing.",))
    assert found.linked_id == there


def test_a_record_outlives_its_way_through_xml():
    made = record("001 1", "245 10 $6 880-01 $a T & <b> $b \u00e9\U0001f600", "500 1_ $a")
    again = record_from_xml(xml_from_record(made))
    assert (str(again.leader), lines(again)) == (str(made.leader), lines(made))
