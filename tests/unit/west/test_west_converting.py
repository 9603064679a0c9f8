"""Step 4: one row with one outcome for each holding and each title without one; the record as it is delivered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymarc import Field

from alma_etl.marc.xml import record_from_xml
from alma_etl.west import converting
from alma_etl.west.converting import convert_title, convert_to_marc21, converted
from alma_etl.west.fetching import RESULT as FETCHED
from alma_etl.west.listing import RESULT as LISTING
from alma_etl.west.outcomes import COLUMNS, MEANING, Outcome, Row, count_outcomes
from tests.unit.west.builders import (
    DAY,
    LEADER,
    field,
    hol,
    holding_fields,
    mms,
    note,
    plan,
    read_marc,
    settings,
    xml,
)

NUMBERS = [["022", " ", " ", [["a", "0317-8471"]]], ["035", " ", " ", [["a", "(OCoLC)1234"]]]]


def title(number: int = 1, *holdings: int, **values) -> dict:
    """A listed title."""
    listed = [
        {"holding_id": hol(each), "library": "MAIN", "location": "stacks", "suppressed": None}
        for each in holdings
    ]
    return {
        "mms_id": mms(number),
        "status": "listed",
        "reason": "",
        "title": f"Annals {number}",
        "has_record": True,
        "numbers": NUMBERS,
        "holdings": listed,
        "fell_back": False,
        **values,
    }


def fetched(number: int = 1, of: int = 1, fields=None, leader: str = LEADER, **values) -> dict:
    """A fetched holding."""
    return {
        "mms_id": mms(of),
        "holding_id": hol(number),
        "status": "fetched",
        "reason": "",
        "suppressed": False,
        "record": xml(holding_fields() if fields is None else fields, leader).decode(),
        **values,
    }


def convert(listed: dict, *holdings: dict, **values) -> list[tuple[dict, bytes]]:
    found = {(each["mms_id"], each["holding_id"]): each for each in holdings}
    return list(convert_title(listed, found, settings(**values), DAY))


def one(fields=None, leader: str = LEADER, listed: dict | None = None, holding: dict | None = None, **values):
    """Outcome and reasons of a single holding."""
    ((row, data),) = convert(
        listed or title(1, 1), holding or fetched(fields=fields, leader=leader), **values
    )
    assert (row["size"] > 0) is (row["outcome"] == "delivered")
    assert row["size"] == len(data)
    return row["outcome"], row["reasons"]


def test_an_ordinary_holding_is_delivered_with_all_that_west_asks_for():
    ((row, data),) = convert(title(1, 1), fetched(fields=holding_fields(notes=[note()])))
    assert row == {
        "mms_id": mms(1),
        "holding_id": hol(1),
        "outcome": "delivered",
        "reasons": [],
        "title": "Annals 1",
        "symbol": "ZZMAIN",
        "size": len(data),
        "unlisted": [],
    }
    (made,) = read_marc(data)
    assert (made["001"].data, made["004"].data) == (hol(1), mms(1))
    assert (made["022"]["a"], made["035"]["a"]) == ("0317-8471", "(OCoLC)1234")
    assert tuple(made["852"].subfields[0]) == ("a", "ZZMAIN")
    assert str(made.leader)[9] == "a"
    assert made["583"]["a"] == "committed to retain"


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "reasons"),
    [
        ("not_found", "", "not_found", []),
        ("not_found", "402203", "not_found", ["402203"]),
        ("failed", "broken", "failed", ["broken"]),
    ],
)
def test_a_title_that_was_not_listed_has_one_row(status, reason, outcome, reasons):
    ((row, data),) = convert(title(1, status=status, reason=reason))
    assert (row["mms_id"], row["holding_id"], row["outcome"], row["reasons"]) == (
        mms(1),
        "",
        outcome,
        reasons,
    )
    assert (row["symbol"], row["size"], data) == ("ZZMAIN", 0, b"")


def test_a_title_without_holding_has_one_row():
    ((row, _),) = convert(title(1))
    assert (row["outcome"], row["holding_id"], row["reasons"]) == ("no_holding", "", [])


def test_a_title_has_a_row_for_each_of_its_holdings():
    found = convert(title(1, 1, 2, 3), fetched(1), fetched(2, fields=holding_fields(notes=[])), fetched(3))
    assert [(row["holding_id"], row["outcome"]) for row, _ in found] == [
        (hol(1), "delivered"),
        (hol(2), "no_commitment"),
        (hol(3), "delivered"),
    ]


# --- which outcome


FAILED = {"status": "failed", "reason": "broken", "record": None}
SUPPRESSED = {"suppressed": True}
ELSEWHERE = "microform"
NO_NOTE: list[Field] = []
BAD = [note(begin=None)]


@pytest.mark.parametrize(
    ("values", "location", "notes", "outcome"),
    [
        (FAILED | SUPPRESSED, ELSEWHERE, BAD, "failed"),
        (SUPPRESSED, ELSEWHERE, NO_NOTE, "suppressed"),
        (SUPPRESSED, "stacks", BAD, "suppressed"),
        ({}, ELSEWHERE, NO_NOTE, "excluded_location"),
        ({}, ELSEWHERE, BAD, "excluded_location"),
        ({}, "stacks", NO_NOTE, "no_commitment"),
        ({}, "stacks", BAD, "bad_marc"),
        ({}, "stacks", [note()], "delivered"),
    ],
)
def test_of_the_outcomes_that_fit_the_first_counts(values, location, notes, outcome):
    # What is not told about the holding breaks a rule, too: the leader is that of a bib unless it is delivered.
    leader = LEADER if outcome == "delivered" else LEADER.replace("cy  ", "cas ")
    body = fetched(fields=holding_fields(location=location, notes=notes), leader=leader)
    assert one(holding=body | values, exclude_locations=["microform"])[0] == outcome


@pytest.mark.parametrize(
    ("holding", "outcome", "words"),
    [
        (fetched(status="not_found", reason="402208", record=None), "not_found", "402208"),
        (fetched(status="failed", reason="HTTP 500", record=None), "failed", "HTTP 500"),
        (fetched(record=None), "failed", "no MARC record"),
        (fetched(record="<record><leader>"), "failed", "cannot be read"),
        (fetched(record="<html/>"), "failed", "expected a MARC <record>"),
        (fetched(record='<record><controlfield tag="245">x</controlfield></record>'), "failed", "'245'"),
    ],
)
def test_what_cannot_be_read_is_an_outcome_of_its_holding(holding, outcome, words):
    found, (reason,) = one(holding=holding)
    assert found == outcome
    assert words in reason


def test_what_the_list_said_is_suppressed_was_not_fetched():
    listed = title(1, 1)
    listed["holdings"][0]["suppressed"] = True
    ((row, _),) = convert(listed)
    assert (row["outcome"], row["reasons"]) == ("suppressed", [])


@pytest.mark.parametrize("values", [{}, {"include_suppressed": True}])
def test_what_was_listed_but_not_fetched_for_another_reason_is_not_called_suppressed(values):
    listed = title(1, 1)
    listed["holdings"][0]["suppressed"] = True if values else None
    ((row, _),) = convert(listed, **values)
    assert row["outcome"] == "failed"
    assert "not fetched" in row["reasons"][0]


def test_suppressed_holdings_are_delivered_when_they_are_wanted():
    assert one(holding=fetched(suppressed=True), include_suppressed=True) == ("delivered", [])


@pytest.mark.parametrize(
    ("excluded", "outcome"),
    [
        (["stacks"], "excluded_location"),
        (["MAIN/stacks"], "excluded_location"),
        (["LAW/stacks"], "delivered"),
        (["MAIN"], "delivered"),
        (["STACKS", "stack"], "delivered"),
        ([], "delivered"),
    ],
)
def test_excluded_locations_are_codes_or_library_and_code(excluded, outcome):
    found, reasons = one(exclude_locations=excluded)
    assert found == outcome
    assert reasons == (["MAIN/stacks"] if outcome == "excluded_location" else [])


def test_the_place_is_what_the_record_says_and_else_what_the_list_said():
    assert (
        one(holding_fields(location="microform"), exclude_locations=["microform"])[0] == "excluded_location"
    )
    assert one(holding_fields(location=None), exclude_locations=["stacks"])[0] == "excluded_location"
    none = holding_fields(library=None, location=None)
    assert one(none, exclude_locations=["MAIN/stacks"])[0] == "excluded_location"


# --- rules of the record reach the row with their codes


UNTIDY = note("Committed to retain", source=None, owner=None, indicators="7 ")


@pytest.mark.parametrize(
    ("notes", "outcome", "reasons"),
    [
        ([], "no_commitment", ["583"]),
        ([note("digitized")], "no_commitment", ["583RETAIN"]),
        ([note(programmes=["EAST"])], "no_commitment", ["583f"]),
        ([note(end="20261119")], "no_commitment", ["583EXPIRED"]),
        ([note(end="20261120")], "delivered", []),
        ([note(end="20201231"), note()], "delivered", []),
        ([note(begin="x")], "bad_marc", ["583c"]),
        ([note(end=None)], "bad_marc", ["583d"]),
        ([note(begin="20361231")], "bad_marc", ["583ORDER"]),
        ([note(programmes=[])], "bad_marc", ["583f"]),
        ([UNTIDY], "delivered", ["583CASE", "5832", "5835", "583IND"]),
    ],
)
def test_the_note_decides(notes, outcome, reasons):
    assert one(holding_fields(notes=notes)) == (outcome, reasons)


@pytest.mark.parametrize(
    ("fields", "leader", "reasons"),
    [
        (holding_fields(), LEADER.replace("cy  ", "cas "), ["LDR06"]),
        (holding_fields(f008="short"), LEADER, ["008LEN"]),
        (holding_fields(library=None, location=None), LEADER, ["852"]),
        (holding_fields(library=None), LEADER, ["852b"]),
        (holding_fields(statements=[]), LEADER, ["STMT"]),
        (holding_fields(statements=[field("866", ("a", "x" * 9_995))]), LEADER, ["FIELDLONG"]),
        (holding_fields(statements=[field("866", ("a", "x" * 9_000))] * 12), LEADER, ["TOOLONG"]),
        (holding_fields(extra=[Field("86é", None, [])]), LEADER, ["ROUNDTRIP"]),
        (
            holding_fields(f008=None, statements=[], notes=[note(end=None)]),
            LEADER,
            ["008LEN", "STMT", "583d"],
        ),
    ],
)
def test_a_record_that_breaks_a_rule_stays_out_with_its_codes(fields, leader, reasons):
    assert one(fields, leader) == ("bad_marc", reasons)


def test_the_longest_record_and_field_are_delivered():
    assert one(holding_fields(statements=[field("866", ("a", "x" * 9_994))]))[0] == "delivered"


def test_errors_come_before_warnings():
    fields = holding_fields(statements=[], notes=[note("Committed to retain")])
    assert one(fields, listed=title(1, 1, has_record=False)) == ("bad_marc", ["STMT", "NOBIB", "583CASE"])


def test_numbers_come_from_the_bib_and_no_bib_is_told():
    assert one(listed=title(1, 1, numbers=[])) == ("bad_marc", ["OCN", "022"])
    assert one(listed=title(1, 1, numbers=[], has_record=False)) == ("bad_marc", ["OCN", "NOBIB", "022"])
    assert one(listed=title(1, 1, numbers=NUMBERS[1:])) == ("delivered", ["022"])


# --- symbols


@pytest.mark.parametrize(
    ("library", "symbols", "outcome", "symbol", "in_record"),
    [
        ("LAW", {"symbol_by_library": {"LAW": "ZZLAW"}}, "delivered", "ZZLAW", "ZZLAW"),
        ("MAIN", {"symbol_by_library": {"LAW": "ZZLAW"}}, "delivered", "ZZMAIN", "ZZMAIN"),
        ("LAW", {"oclc_symbol": None, "symbol_by_library": {"LAW": "ZZLAW"}}, "delivered", "ZZLAW", "ZZLAW"),
        ("MAIN", {"oclc_symbol": None, "symbol_by_library": {"LAW": "ZZLAW"}}, "bad_marc", "ZZLAW", None),
    ],
)
def test_the_symbol_is_the_librarys_else_the_common_one(library, symbols, outcome, symbol, in_record):
    ((row, data),) = convert(title(1, 1), fetched(fields=holding_fields(library=library)), **symbols)
    assert (row["outcome"], row["symbol"]) == (outcome, symbol)
    assert row["reasons"] == ([] if in_record else ["852a"])
    assert [each["852"]["a"] for each in read_marc(data)] == ([in_record] if in_record else [])


# --- the step as a whole


def run(folder, listed: list[dict], holdings: list[dict], **values) -> dict[str, int]:
    folder.write_plan(plan(len(listed), **values))
    folder.write_mms_ids(1, [each["mms_id"] for each in listed])
    folder.bucket.write_rows(folder.chunk_key(1, LISTING), listed)
    folder.bucket.write_rows(folder.chunk_key(1, FETCHED), holdings)
    return convert_to_marc21(folder, 1)


def result_of(folder) -> tuple[list[dict], bytes]:
    """The rows and the records that count."""
    with converted(folder, folder.plan(), 1) as found:
        assert found is not None
        pairs = list(found)
    return [row for row, _ in pairs], b"".join(data for _, data in pairs)


def test_rows_and_records_stand_in_the_same_order(folder):
    counts = run(
        folder,
        [title(1, 1, 2), title(2), title(3, 3, status="failed", reason="x", holdings=[]), title(4, 4)],
        [fetched(4, 4), fetched(2, 1, fields=holding_fields(notes=[])), fetched(1, 1)],
    )
    assert counts == {**count_outcomes(()), "delivered": 2, "no_commitment": 1, "no_holding": 1, "failed": 1}
    rows, data = result_of(folder)
    assert [row["outcome"] for row in rows] == [
        "delivered",
        "no_commitment",
        "no_holding",
        "failed",
        "delivered",
    ]
    assert [made["001"].data for made in read_marc(data)] == [hol(1), hol(4)]
    assert sum(row["size"] for row in rows) == len(data)


def test_doing_it_again_gives_the_same_bytes(folder):
    listed, holdings = [title(1, 1, 2), title(2, 3)], [fetched(1), fetched(2), fetched(3, 2)]
    run(folder, listed, holdings)
    before = result_of(folder)
    run(folder, listed, list(reversed(holdings)))
    assert result_of(folder) == before


def test_a_conversion_that_fails_leaves_no_finished_chunk_behind(folder):
    run(folder, [title(1, 1)], [fetched(1)])
    folder.bucket.delete([folder.chunk_key(1, LISTING)])
    with pytest.raises(LookupError):
        convert_to_marc21(folder, 1)
    with converted(folder, folder.plan(), 1) as found:
        assert found is None


def test_a_worker_taken_for_dead_does_not_mix_its_records_with_those_of_its_successor(folder, monkeypatch):
    listed, holdings = [title(1, 1), title(2, 2)], [fetched(1), fetched(2, 2)]
    whole = converting.convert_title

    def overtaken(each, *rest):
        monkeypatch.setattr(converting, "convert_title", whole)
        run(
            folder, listed, holdings, marc_org_code="ZZ"
        )  # another worker, by other settings, from begin to end
        yield from whole(each, *rest)

    monkeypatch.setattr(converting, "convert_title", overtaken)
    run(folder, listed, holdings[:1])
    rows, data = result_of(folder)
    assert [row["outcome"] for row in rows] == ["delivered", "delivered"]
    assert [made["001"].data for made in read_marc(data)] == [hol(1), hol(2)]


# --- the table


def test_a_row_as_cells():
    row = Row("991", "221", Outcome.FAILED, ("GET /x: broken; look there", "5832"), "T")
    assert row.cells() == ("991", "221", "failed", "GET /x: broken, look there;5832", "T")
    assert len(row.cells()) == len(COLUMNS)


def test_every_outcome_has_a_meaning_and_a_place_in_the_counts():
    assert set(MEANING) == set(Outcome)
    assert count_outcomes([Outcome.FAILED, Outcome.FAILED]) == {
        **dict.fromkeys(map(str, Outcome), 0),
        "failed": 2,
    }


# --- any record at all


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30)
SUBFIELD = st.tuples(
    st.sampled_from("abcdfjkz2589"),
    TEXT | st.sampled_from(["committed to retain", "WEST", "20351231", "20180315", "MAIN"]),
)
ANY_FIELD = st.one_of(
    st.builds(lambda tag, data: Field(tag, data=data), st.sampled_from(["001", "004", "007", "008"]), TEXT),
    st.builds(
        lambda tag, ind, pairs: field(tag, *pairs, indicators=ind),
        st.sampled_from(["022", "035", "583", "583", "852", "863", "866", "880", "999"]),
        st.sampled_from(["  ", "1 ", "30", "7 "]),
        st.lists(SUBFIELD, max_size=8),
    ),
)


@given(st.lists(ANY_FIELD, max_size=15), st.sampled_from([LEADER, "", "     cas a22     1a 4500", "x" * 24]))
def test_any_record_has_exactly_one_outcome_and_a_delivered_one_can_be_read(fields, leader):
    ((row, data),) = convert(title(1, 1), fetched(fields=fields, leader=leader))
    assert row["outcome"] in {"no_commitment", "bad_marc", "delivered"}
    assert bool(data) is (row["outcome"] == "delivered")
    assert row["reasons"] or row["outcome"] == "delivered"
    for made in read_marc(data):
        given_fields = record_from_xml(xml(fields, leader)).fields
        kept = [str(each) for each in given_fields if each.tag in ("583", "866", "880", "999")]
        assert [str(each) for each in made.fields if each.tag in ("583", "866", "880", "999")] == kept


# --- what is not known of a title


@pytest.mark.parametrize(("holdings", "outcomes"), [((), ["failed"]), ((1,), ["delivered", "failed"])])
def test_a_title_whose_list_is_not_whole_has_a_failed_row_for_what_is_missing(holdings, outcomes):
    rows = [
        row
        for row, _ in convert(title(1, *holdings, missing="the list counts 2 rows", warnings=[]), fetched(1))
    ]
    assert [row["outcome"] for row in rows] == outcomes
    assert (rows[-1]["holding_id"], rows[-1]["reasons"]) == ("", ["the list counts 2 rows"])


def test_a_number_of_the_bib_that_cannot_be_read_is_a_warning():
    assert one(listed=title(1, 1, warnings=["BIBFIELD"])) == ("delivered", ["BIBFIELD"])


def test_the_library_is_that_of_the_first_852_that_has_one():
    places = [
        field("852", ("c", "old")),
        field("852", ("b", "LAW"), ("c", "stacks")),
        field("852", ("b", "SCI")),
    ]
    fields = holding_fields(library=None, location=None, extra=places)
    symbols = {"LAW": "ZZLAW", "SCI": "ZZSCI"}
    ((row, _),) = convert(title(1, 1), fetched(fields=fields), symbol_by_library=symbols)
    assert (row["outcome"], row["symbol"]) == ("delivered", "ZZLAW")
    assert one(fields=fields, exclude_locations=["LAW/stacks"]) == ("excluded_location", ["LAW/stacks"])


def test_programmes_that_only_share_a_word_stay_out_and_are_counted():
    fields = holding_fields(notes=[note(programmes=["West Virginia Shared Print"])])
    ((row, _),) = convert(title(1, 1), fetched(fields=fields))
    assert (row["outcome"], row["unlisted"]) == ("no_commitment", ["West Virginia Shared Print"])
    listed = {"programme_names": {"WEST": ["West Virginia Shared Print"]}}
    ((row, _),) = convert(title(1, 1), fetched(fields=fields), **listed)
    assert (row["outcome"], row["unlisted"]) == ("delivered", [])
