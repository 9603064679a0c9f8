"""583: which note commits the library, and what is wrong with it."""

from datetime import timedelta

import pytest
from pymarc import Field

from alma_etl.west.retention import Commitment, Standing, read_commitment, unlisted_programmes
from tests.unit.west.builders import DAY, field, note, settings


def judge(*notes: Field, programme: str = "WEST", code: str | None = None) -> Commitment:
    names = settings(programme=programme).names_of_programme
    return read_commitment(notes, names=names, on=DAY, marc_org_code=code)


def test_a_full_note_is_valid_without_a_word():
    assert judge(note()) == Commitment(Standing.VALID)


def test_no_note_at_all():
    found = judge()
    assert (found.standing, found.errors, found.is_stated) == (None, ("583",), False)


@pytest.mark.parametrize(
    "action", [None, "", " ", "digitized", "completeness reviewed", "not committed to retain"]
)
def test_another_action_is_no_commitment(action):
    found = judge(note(action))
    assert (found.standing, found.errors, found.is_stated) == (Standing.OTHER_ACTION, ("583RETAIN",), False)


@pytest.mark.parametrize(
    ("action", "warnings"),
    [
        ("committed to retain", ()),
        ("Committed to retain", ("583CASE",)),
        ("COMMITTED TO RETAIN", ("583CASE",)),
        ("committed to retain.", ("583CASE",)),
        ("  committed  to retain ", ()),
    ],
)
def test_case_and_blanks_of_the_action_are_forgiven(action, warnings):
    assert judge(note(action)) == Commitment(Standing.VALID, (), warnings)


@pytest.mark.parametrize(
    "programmes",
    [
        ["WEST"],
        ["WEST", "WEST Bronze"],
        ["EAST", "WEST"],
        ["west bronze"],
        ["WEST Silver."],
        [" WEST   Gold "],
        ["Western Regional Storage Trust"],
        ["WESTERN REGIONAL STORAGE TRUST."],
        ["West Virginia Shared Print", "WEST Bronze"],
    ],
)
def test_the_programme_stands_in_any_f_by_one_of_its_names(programmes):
    assert judge(note(programmes=programmes)).standing is Standing.VALID


@pytest.mark.parametrize(
    "programmes",
    [
        ["EAST"],
        ["Midwest"],
        ["WESTERN"],
        ["WEST2"],
        ["Southwest", "EAST"],
        ["West Virginia Shared Print"],
        ["WEST Platinum"],
        ["WEST.."],
        ["(WEST)"],
        ["WEST Bronze, WEST Silver"],
        ["not WEST"],
    ],
)
def test_the_programme_is_met_by_whole_values_only(programmes):
    found = judge(note(programmes=programmes))
    assert (found.standing, found.errors) == (Standing.OTHER_PROGRAMME, ("583f",))


def test_a_programme_of_several_words_or_signs():
    assert judge(note(programmes=["HathiTrust SP (2)"]), programme="HathiTrust SP (2)").is_stated
    assert not judge(note(programmes=["HathiTrust SP"]), programme="HathiTrust SP (2)").is_stated


@pytest.mark.parametrize("programmes", [[], [""], ["  "]])
def test_a_note_that_names_no_programme_is_broken_not_absent(programmes):
    found = judge(note(programmes=programmes))
    assert (found.standing, found.errors) == (Standing.BROKEN, ("583f",))


@pytest.mark.parametrize(
    ("days", "standing"), [(-1, Standing.EXPIRED), (0, Standing.VALID), (1, Standing.VALID)]
)
def test_a_commitment_holds_through_its_last_day(days, standing):
    end = DAY + timedelta(days)
    assert judge(note(end=f"{end:%Y%m%d}")).standing is standing


def test_an_expired_note_is_expired_whatever_else_is_wrong_with_it():
    found = judge(note(begin=None, end="20201231", programmes=[]))
    assert (found.standing, found.errors) == (Standing.EXPIRED, ("583EXPIRED",))


BAD_DATES = [None, "", "2018-03-15", "March 15, 2018", "20180231", "20181301", "00000101", "201803"]
BAD_DATES += ["2018031", "201803155", "２０１８０３１５", "99999999"]


@pytest.mark.parametrize("date", BAD_DATES)
def test_begin_missing_or_no_date(date):
    found = judge(note(begin=date))
    assert (found.standing, found.errors) == (Standing.BROKEN, ("583c",))


@pytest.mark.parametrize("date", BAD_DATES)
def test_end_missing_or_no_date(date):
    found = judge(note(end=date))
    assert (found.standing, found.errors) == (Standing.BROKEN, ("583d",))


def test_both_dates_bad_are_both_told():
    assert judge(note(begin=None, end="soon")).errors == ("583c", "583d")


def test_begin_after_end_and_on_the_same_day():
    assert judge(note(begin="20361231", end="20351231")).errors == ("583ORDER",)
    assert judge(note(begin="20351231", end="20351231")).standing is Standing.VALID


def test_a_leap_day_is_a_date_in_leap_years_only():
    assert judge(note(end="20360229")).standing is Standing.VALID
    assert judge(note(end="20350229")).errors == ("583d",)


@pytest.mark.parametrize(
    ("broken", "warning"),
    [
        (note(source=None), "5832"),
        (note(source="local"), "5832"),
        (note(owner=None), "5835"),
        (note(owner=" "), "5835"),
        (note(indicators="7 "), "583IND"),
    ],
)
def test_warnings_leave_the_note_valid(broken, warning):
    assert judge(broken) == Commitment(Standing.VALID, (), (warning,))


@pytest.mark.parametrize("indicator", [" ", "0", "1"])
def test_first_indicators_that_are_right(indicator):
    assert judge(note(indicators=f"{indicator} ")).warnings == ()


def test_the_librarys_own_code_is_expected_when_it_is_known():
    assert judge(note(owner="XxXx"), code="XxXx").warnings == ()
    assert judge(note(owner="YyYy"), code="XxXx").warnings == ("5835",)
    several = field("583", *map(tuple, note(owner="YyYy").subfields), ("5", "XxXx"))
    assert judge(several, code="XxXx").warnings == ()


NEARER = [note("digitized"), note(programmes=["EAST"]), note(end="20201231"), note(begin=None), note()]


@pytest.mark.parametrize("best", range(len(NEARER)))
def test_the_nearest_note_speaks_for_the_record_in_any_order(best):
    notes = NEARER[: best + 1]
    assert judge(*notes).standing is Standing(best)
    assert judge(*reversed(notes)).standing is Standing(best)


def test_of_two_equal_notes_the_first_speaks():
    assert judge(note(begin=None), note(end=None)).errors == ("583c",)
    assert judge(note(end=None), note(begin=None)).errors == ("583d",)


@pytest.mark.parametrize(
    ("action", "programme"),
    [
        ("\u202dcommitted to retain\u202c", "WEST"),
        ("committed\u00a0to\u00a0retain", "WEST"),
        ("committed to re\u00adtain", "WEST"),
        ("committed to retain\u200b", "WEST"),
        ("\ufeffcommitted to retain", "WEST"),
        ("\uff43ommitted to retain", "WEST"),
        ("committed to retain", "\u202dWEST\u202c"),
        ("committed to retain", "WE\u200bST"),
        ("committed to retain", "\uff37\uff25\uff33\uff34"),
        ("committed to retain", "\u00a0WEST"),
        ("committed to retain", "WEST\ufe0f"),
        ("committed to retain", "WEST\u2003Bronze"),
    ],
)
def test_words_are_compared_without_what_cannot_be_seen(action, programme):
    assert judge(note(action, programmes=[programme])).standing is Standing.VALID


def test_a_programme_of_nothing_but_invisible_characters_is_no_programme():
    assert judge(note(programmes=["\u200b\u202c"])).errors == ("583f",)


@pytest.mark.parametrize(
    ("listed", "value", "stated"),
    [
        ({}, "WEST", True),  # a programme without an entry means its own name
        ({}, "WEST Bronze", False),
        ({"EAST": ["WEST Bronze"]}, "WEST Bronze", False),
        ({"WEST": ["West Coast Print"]}, "west coast print.", True),
        ({"WEST": ["West Coast Print"]}, "WEST", True),
        ({"WEST": ["West Coast Print"]}, "WEST Bronze", False),
        ({"west": ["Trust"]}, "Trust", True),
    ],
)
def test_the_names_of_a_programme_can_be_listed(listed, value, stated):
    names = settings(programme_names=listed).names_of_programme
    assert read_commitment([note(programmes=[value])], names=names, on=DAY).is_stated is stated


def test_values_with_the_programmes_word_that_are_not_listed_are_named_once():
    notes = [
        note(programmes=["WEST", "WEST Platinum"]),
        note(programmes=["west  platinum", "Midwest", "WEST Platinum"]),
    ]
    names = settings().names_of_programme
    assert unlisted_programmes(notes, programme="WEST", names=names) == ["WEST Platinum", "west platinum"]


def ends(*values):
    """A note with these ends."""
    kept = [tuple(each) for each in note(end=None).subfields]
    return field("583", *kept, *(("d", value) for value in values), indicators="1 ")


@pytest.mark.parametrize(
    ("values", "standing", "reasons"),
    [
        (["20201231", "20351231"], Standing.VALID, ["583RENEW"]),
        (["20351231", "20201231"], Standing.VALID, ["583RENEW"]),
        (["20351231", "20351231"], Standing.VALID, ["583RENEW"]),
        (["20191231", "20201231"], Standing.EXPIRED, ["583EXPIRED"]),
        (["soon", "20351231"], Standing.VALID, ["583RENEW"]),
        (["20201231", "June 30, 2035"], Standing.BROKEN, ["583d", "583RENEW"]),
        (["soon", "later"], Standing.BROKEN, ["583d", "583RENEW"]),
        (["20101231", "20351231"], Standing.VALID, ["583RENEW"]),
        (["", "20351231"], Standing.VALID, []),
        (["20201231", ""], Standing.EXPIRED, ["583EXPIRED"]),
        (["20201231", "\u200b"], Standing.EXPIRED, ["583EXPIRED"]),
        (["20351231"], Standing.VALID, []),
        (["20201231"], Standing.EXPIRED, ["583EXPIRED"]),
    ],
)
def test_a_renewed_commitment_is_judged_by_its_latest_end(values, standing, reasons):
    found = judge(ends(*values))
    assert (found.standing, [*found.errors, *found.warnings]) == (standing, reasons)
