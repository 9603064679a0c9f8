"""What a merge does to a title: the worked examples, and what holds for any two records and any rule."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymarc import Field, Record

from alma_etl.bibs.field_diff import as_text, changes
from alma_etl.bibs.field_patterns import FieldPattern
from alma_etl.bibs.keys import is_oclc_035, own_oclc_number
from alma_etl.bibs.merging import OVERLAY, MergeRule, differs, merge, prepared
from tests.unit.bibs.records import LEADER, field, line, lines, record

CATALOG = MergeRule.of(protect=["9XX", "XXX$9"], add=["035"], replace=["LDR", "XXX"])
MMS = "001 991000000000001234"


def test_two_spellings_of_one_number_are_one_035():
    alma = record(MMS, "005 20240501101112.0", "035 __ $a (OCoLC)64758", "245 00 $a T")
    assert not differs(alma, merge(alma, record("035 __ $a (OCoLC)ocm000064758", "245 00 $a T"), CATALOG))


def test_a_merged_number_comes_with_its_former_one_and_vendors_stay():
    alma = record(
        MMS,
        "035 __ $a (OCoLC)700",
        "035 _9 $a 90000000001 $b YBP",
        "035 __ $a (Vnd)12",
        "245 00 $a T",
        "979 __ $a bound",
    )
    new = record(
        "001 ocn900", "003 OCoLC", "019 __ $a 700", "035 __ $a (OCoLC)900 $z (OCoLC)700", "245 00 $a T /"
    )
    merged = merge(alma, new, CATALOG)
    assert lines(merged) == [
        MMS,
        "019 __ $a 700",
        "035 __ $a (OCoLC)900 $z (OCoLC)700",
        "035 _9 $a 90000000001 $b YBP",
        "035 __ $a (Vnd)12",
        "245 00 $a T /",
        "979 __ $a bound",
    ]
    assert not differs(merged, merge(merged, new, CATALOG))


def test_a_record_without_an_oclc_number_leaves_alma_s():
    alma = record("035 __ $a (OCoLC)700 $z (OCoLC)600", "245 00 $a T")
    assert lines(merge(alma, record("245 00 $a New"), CATALOG)) == [
        "035 __ $a (OCoLC)700 $z (OCoLC)600",
        "245 00 $a New",
    ]


@pytest.mark.parametrize("marked", ["035 9_ $a (OCoLC)5", "035 _9 $a (Vnd)5", "035 99 $a 5"])
@pytest.mark.parametrize("rule", [CATALOG, OVERLAY, MergeRule.of(replace=["035"]), MergeRule()])
def test_a_vendor_s_035_is_kept_whatever_the_rule(marked, rule):
    merged = merge(record(marked, "035 __ $a (OCoLC)1"), record("035 __ $a (OCoLC)2"), rule)
    assert lines(merged, "035") in ([marked, "035 __ $a (OCoLC)2"], ["035 __ $a (OCoLC)2", marked])


def test_local_fields_stay_and_those_of_the_file_do_not_come():
    alma = record(
        "245 00 $a T", "590 __ $a ours", "650 _7 $a local $9 local", "650 _0 $a old", "945 __ $a ours"
    )
    new = record("245 00 $a T", "650 _0 $a new", "650 _0 $a theirs $9 LOCAL", "945 __ $a theirs")
    assert lines(merge(alma, new, CATALOG)) == [
        "245 00 $a T", "650 _0 $a new", "650 _7 $a local $9 local", "945 __ $a ours",
    ]  # fmt: skip


NUMBERED = "100 1_ $a Doe, J. $9 123", "245 10 $a T2 $9 1", "650 _0 $a Dogs $9 77"


@pytest.mark.parametrize("rule", [CATALOG, OVERLAY])
def test_fields_with_9_come_where_alma_has_none(rule):
    alma = record(MMS, "100 1_ $a Doe", "245 10 $a T", "650 _0 $a Cats")
    merged = merge(alma, record("035 __ $a (OCoLC)9", *NUMBERED), rule)
    assert lines(merged) == [MMS, "035 __ $a (OCoLC)9", *NUMBERED]
    assert lines(merge(merged, record("035 __ $a (OCoLC)9", *NUMBERED), rule)) == lines(merged)


@pytest.mark.parametrize("rule", [CATALOG, OVERLAY])
def test_alma_s_fields_stay_where_all_of_the_record_is_kept_out(rule):
    alma = record(
        MMS, "100 1_ $a Doe $9 5", "245 10 $a T", "650 _0 $a Cats", "650 _0 $a ours $9 6", "655 _7 $a a"
    )
    new = record(*NUMBERED, "655 _7 $a b $9 local")
    assert lines(merge(alma, new, rule)) == [
        MMS, "100 1_ $a Doe $9 5", "245 10 $a T2 $9 1", "650 _0 $a Cats", "650 _0 $a ours $9 6", "655 _7 $a a",
    ]  # fmt: skip


def test_only_what_is_named_is_replaced_and_added():
    rule = MergeRule.of(protect=["650 *7$2=lcgft"], replace=["245", "6XX"], add=["020", "856 40"])
    alma = record("020 __ $a 1", "245 00 $a T", "500 __ $a note", "650 _7 $a g $2 lcgft", "650 _0 $a old")
    new = record(
        "020 __ $a 1", "020 __ $a 2", "245 00 $a New", "500 __ $a other", "650 _7 $a h $2 lcgft", "650 _7 $a h $2 fast",
        "856 40 $u a", "856 42 $u b", leader=LEADER[:5] + "n" + LEADER[6:],
    )  # fmt: skip
    merged = merge(alma, new, rule)
    assert lines(merged) == [
        "020 __ $a 1", "020 __ $a 2", "245 00 $a New", "500 __ $a note", "650 _7 $a h $2 fast", "650 _7 $a g $2 lcgft",
        "856 40 $u a",
    ]  # fmt: skip
    assert str(merged.leader) == LEADER


def test_the_leader_is_the_record_s_but_for_lengths():
    new = record(leader="99999nas  22004457i 4500")
    assert str(merge(record(), new, CATALOG).leader) == "01234nas a22003017i 4500"


@pytest.mark.parametrize("stays", ["protect", "add"])
def test_a_leader_that_is_to_stay_does(stays):
    rule = MergeRule.of(**{stays: ["LDR"]}, replace=["LDR", "XXX"])
    merged = merge(record("245 00 $a Old"), record("245 00 $a New", leader="99999nas  22004457i 4500"), rule)
    assert (str(merged.leader), lines(merged)) == (LEADER, ["245 00 $a New"])


def test_a_field_goes_with_its_880_and_occurrences_are_counted_again():
    alma = record(
        "245 10 $6 880-02 $a old", "500 __ $6 880-01 $a kept $9 local", "880 __ $6 500-01/(3/r $a KEPT",
        "880 10 $6 245-02/(3/r $a OLD", "880 __ $6 505-00/(3/r $a alone",
    )  # fmt: skip
    new = record(
        "245 10 $6 880-01 $a new",
        "246 __ $6 880-02 $a v",
        "880 10 $6 245-01/(B $a NEW",
        "880 __ $6 246-02/(N $a V",
    )
    assert lines(merge(alma, new, CATALOG)) == [
        "245 10 $6 880-01 $a new", "246 __ $6 880-02 $a v", "500 __ $6 880-03 $a kept $9 local",
        "880 10 $6 245-01/(B $a NEW", "880 __ $6 246-02/(N $a V", "880 __ $6 500-03/(3/r $a KEPT",
    ]  # fmt: skip


def test_what_stands_once_does_not_come_beside_what_stays():
    alma = record("110 2_ $a ours $9 local", "245 00 $a ours $9 local")
    new = record("100 1_ $a theirs", "245 00 $a theirs", "250 __ $a 2nd")
    assert lines(merge(alma, new, CATALOG)) == [
        "110 2_ $a ours $9 local",
        "245 00 $a ours $9 local",
        "250 __ $a 2nd",
    ]


def test_a_vendor_s_001_becomes_a_035_once():
    new = record(
        "001 eb12", "003 Vnd", "020 __ $a 1", "035 __ $a (OCoLC)ocm7", "245 00 $a T $b ", "500 __ $a  "
    )
    assert lines(prepared(new)) == ["020 __ $a 1", "035 __ $a (OCoLC)7", "035 __ $a (Vnd)eb12", "245 00 $a T"]
    assert lines(prepared(record("001 eb12", "003 Vnd", "035 __ $a (Vnd) eb12", "245 00 $a T"))) == [
        "035 __ $a (Vnd) eb12", "245 00 $a T",
    ]  # fmt: skip


def test_two_numbers_in_one_record_leave_the_first():
    new = record("035 __ $a (OCoLC)900", "035 __ $a (OCoLC)800 $z (OCoLC)ocm700", "035 __ $z (OCoLC)600")
    assert lines(prepared(new)) == ["035 __ $a (OCoLC)900 $z (OCoLC)800 $z (OCoLC)700 $z (OCoLC)600"]


def test_other_numbers_in_an_oclc_035_get_one_of_their_own():
    new = record("035 __ $a (OCoLC)901 $a (DLC)77 $z (DE-599)5", "035 __ $z (DE-599)6", "245 00 $a T")
    numbers = ["035 __ $a (OCoLC)901", "035 __ $a (DLC)77", "035 __ $z (DE-599)5", "035 __ $z (DE-599)6"]
    assert lines(prepared(new), "035") == numbers
    alma = record(MMS, "035 __ $a (OCoLC)700 $a (Vnd)1", "245 00 $a T")
    assert sorted(lines(merge(alma, new, CATALOG), "035")) == sorted([*numbers, "035 __ $a (Vnd)1"])


def test_a_local_oclc_035_stays():
    alma = record(MMS, "035 __ $a (OCoLC)700 $9 local", "035 __ $a (OCoLC)701")
    new = record("035 __ $a (OCoLC)900")
    merged = merge(alma, new, CATALOG)
    assert lines(merged, "035") == ["035 __ $a (OCoLC)900", "035 __ $a (OCoLC)700 $9 local"]
    assert not differs(merged, merge(merged, new, CATALOG))


def test_a_diff_has_what_goes_and_what_comes_side_by_side():
    before = record(MMS, "005 20240501101112.0", "245 00 $a T", "650 _0 $a a", "650 _0 $a b")
    after = merge(before, record("245 00 $a T /", "500 __ $a n", "650 _0 $a b"), CATALOG)
    found = changes(before, after)
    assert [(each.before, each.after) for each in found] == [
        ("245 00 $a T", "245 00 $a T /"),
        ("", "500 __ $a n"),
        ("650 _0 $a a", ""),
    ]
    assert as_text(found) == "- 245 00 $a T\n+ 245 00 $a T /\n+ 500 __ $a n\n- 650 _0 $a a"


def test_letters_and_accents_composed_in_two_ways_are_the_same():
    assert not differs(record("245 00 $a Caf\u00e9"), record("245 00 $a Cafe\u0301"))
    assert differs(record("245 00 $a Café"), record("245 00 $a Cafe"))


@pytest.mark.parametrize(
    "text", ["24", "2456", "24Y", "245 1", "245$", "LDR$a", "245 10$", "", "035*9", "880 $a"]
)
def test_what_is_no_pattern(text):
    with pytest.raises(ValueError, match="names no fields"):
        FieldPattern.parse(text)


# --- whatever the records and the rule

_CONTROL = st.sampled_from(["006 m", "006 n", "007 cr", "008 1", "008 2"])
_NUMBERS = st.builds(
    "035 {} ${} {}".format,
    st.sampled_from(["__", "__", "__", "_9", "9_"]),
    st.sampled_from("aaz"),
    st.sampled_from(
        [
            "(OCoLC)1",
            "(OCoLC)ocm002",
            "(OCoLC)3 $z (OCoLC)4",
            "(OCoLC)3 $a (Vnd)6 $z 8",
            "(OCoLC)x5",
            "(Vnd)6",
            "(Vnd)7",
            "8",
            "ocm9",
        ]
    ),
)
_DATA = st.builds(
    "{} {} {}$a {}{}".format,
    st.sampled_from(["020", "100", "110", "245", "500", "505", "650", "650", "856", "945", "979"]),
    st.sampled_from(["__", "_0", "_7"]),
    st.sampled_from(["", "", "", "$6 880-01 ", "$6 880-02 ", "$6 880-03 ", "$6 880-00 ", "$6 bad "]),
    st.sampled_from(["x", "y", "e\u0301", "\u00e9"]),
    st.sampled_from(["", "", "", " $9 local", " $9 own", " $2 fast"]),
)
_ALTERNATE = st.builds(
    "880 __ $6 {}-{}/(3/r $a {}".format,
    st.sampled_from(["100", "245", "500", "505", "650"]),
    st.sampled_from(["00", "01", "02", "03"]),
    st.sampled_from(["X", "Y"]),
)
_SINGLE = st.one_of(_CONTROL, _NUMBERS, _DATA, _DATA, _DATA, _ALTERNATE).map(lambda text: [text])
_PAIR = st.builds(
    lambda tag, number, text, own: [
        f"{tag} __ $6 880-{number} $a {text}{own}", f"880 __ $6 {tag}-{number}/(3/r $a {text.upper()}",
    ],
    st.sampled_from(["100", "245", "500", "505", "650"]),
    st.sampled_from(["01", "02", "03"]),
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["", "", " $9 local"]),
)  # fmt: skip
_FIELDS = st.lists(st.one_of(_SINGLE, _SINGLE, _PAIR), max_size=7).map(
    lambda groups: [text for group in groups for text in group]
)
_LEADERS = st.sampled_from([LEADER, "00000nas  2200000 i 4500", "00042cam a2200025Ka 4500", "short"])
ALMA = st.builds(lambda texts, leader: record(MMS, "005 1", *texts, leader=leader), _FIELDS, _LEADERS)
FILE = st.builds(
    lambda control, texts, leader: record(*control, *texts, leader=leader),
    st.sampled_from([(), ("001 ocm77", "003 OCoLC", "005 2"), ("001 v1", "003 Vnd"), ("001 v1",)]),
    _FIELDS,
    _LEADERS,
)
_PATTERNS = st.lists(
    st.sampled_from(
        [
            "LDR",
            "008",
            "0XX",
            "035",
            "XXX$9",
            "9XX",
            "979",
            "650",
            "650 *7$2=fast",
            "880",
            "1XX",
            "500",
            "XXX",
        ]
    ),
    max_size=4,
)
RULES = st.one_of(
    st.just(CATALOG),
    st.just(OVERLAY),
    st.builds(lambda p, r, a: MergeRule.of(protect=p, replace=r, add=a), _PATTERNS, _PATTERNS, _PATTERNS),
)
whatever = settings(max_examples=300, deadline=None)


def contents(made: Record) -> list[str]:
    """Everything, exactly."""
    return [str(made.leader), *lines(made)]


@whatever
@given(ALMA, FILE, RULES)
def test_merging_again_changes_nothing_and_neither_record_is_touched(alma, new, rule):
    before = contents(alma), contents(new)
    once = merge(alma, new, rule)
    assert (contents(alma), contents(new)) == before
    again = merge(once, new, rule)
    assert not differs(once, again)
    assert contents(merge(again, new, rule)) == contents(again)
    assert changes(once, again) == []


@whatever
@given(ALMA, FILE, RULES)
def test_a_diff_is_empty_exactly_where_nothing_differs(alma, new, rule):
    merged = merge(alma, new, rule)
    assert bool(changes(alma, merged)) is differs(alma, merged)


@whatever
@given(FILE, RULES)
def test_what_was_created_is_unchanged_by_the_same_record(new, rule):
    created = prepared(new)
    created.fields = [*record(MMS, "005 3").fields, *created.fields]
    assert not differs(created, merge(created, new, rule))


@whatever
@given(ALMA, FILE, RULES)
def test_one_oclc_number_is_left_where_the_record_has_one(alma, new, rule):
    merged = merge(alma, new, rule)
    numbers = [value for each in merged.fields if is_oclc_035(each) for value in each.get_subfields("a")]
    own = own_oclc_number(new)
    if own:
        assert numbers == [f"(OCoLC){own}"]
    else:
        before = [value for each in alma.fields if is_oclc_035(each) for value in each.get_subfields("a")]
        assert numbers == before


def without_occurrence(text: str) -> str:
    return re.sub(r"(?<=\$6 \w{3}-)\d\d", "", text)


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    left = iter(whole)
    return all(each in left for each in part)


@whatever
@given(ALMA, FILE, RULES)
def test_protected_fields_never_change_nor_does_their_order(alma, new, rule):
    protect = rule._protect
    kept = [
        each
        for each in alma.fields
        if any(pattern.fits(each) for pattern in protect) and not is_oclc_035(each)
    ]
    merged = merge(alma, new, rule)
    now = [without_occurrence(line(each)) for each in merged.fields]
    tags = {each.tag for each in kept}
    for tag in tags:
        assert is_subsequence([without_occurrence(line(each)) for each in kept if each.tag == tag], now)
    # Tags stay in Alma's order, too, even where they do not rise.
    assert is_subsequence([each.tag for each in kept], [each.tag for each in merged.fields])
    for pattern in protect:
        if not any(
            pattern.fits(each) for each in [*alma.fields, *new.fields] if each.tag == "880" or "6" in each
        ):
            if pattern in rule.add or pattern.tag == "035":
                continue
            before = [line(each) for each in alma.fields if pattern.fits(each) and not is_oclc_035(each)]
            there = {text[:3] for text in before}  # such fields come where Alma has none of that tag
            after = [
                line(each)
                for each in merged.fields
                if pattern.fits(each)
                and not is_oclc_035(each)
                and (each.tag in there or pattern.code != "9" or pattern.value)
            ]
            added = any(
                other.fits(each) for other in rule.add for each in prepared(new).fields if pattern.fits(each)
            )
            assert added or sorted(before) == sorted(after)


@whatever
@given(
    ALMA,
    FILE,
    st.one_of(
        st.just(CATALOG),
        st.just(OVERLAY),
        st.builds(lambda p, a: MergeRule.of(protect=p, replace=["XXX"], add=a), _PATTERNS, _PATTERNS),
    ),
)
def test_what_both_have_never_vanishes(alma, new, rule):
    def places(made):
        return {"1XX" if each.tag in ("100", "110") else each.tag for each in made.fields} - {"880"}

    both = places(alma) & places(prepared(new))
    assert both <= places(merge(alma, new, rule))


def is_marked(text: str) -> bool:
    """Whether a field is local, or a vendor's 035."""
    return "$9 local" in text or re.match(r"035 (9.|.9) ", text) is not None


@whatever
@given(ALMA, FILE, RULES)
def test_local_fields_and_those_of_vendors_stay_whatever_the_rule(alma, new, rule):
    merged = Counter(without_occurrence(text) for text in lines(merge(alma, new, rule)))
    before = Counter(without_occurrence(text) for text in lines(alma) if is_marked(text))
    assert before <= merged
    if not rule.add:  # and none of the file come, but what goes with a field that does
        assert Counter(
            {text: n for text, n in merged.items() if is_marked(text) and "$6" not in text}
        ) == Counter({text: n for text, n in before.items() if "$6" not in text})


@whatever
@given(
    ALMA, FILE, RULES, st.sampled_from(["", " $9 local", " $9 own"]), st.sampled_from(["245", "100", "110"])
)
def test_what_a_record_has_once_does_not_become_two(alma, new, rule, own, tag):
    alma.add_field(field(f"{tag} __ $a ours{own}"))
    new.add_field(field("245 __ $a theirs"), field("100 __ $a theirs"))
    merged = merge(alma, new, rule)
    for tags in (["245"], ["008"], ["100", "110"]):
        before = len(alma.get_fields(*tags)), len(new.get_fields(*tags))
        assert len(merged.get_fields(*tags)) <= 1 or max(before) > 1


@whatever
@given(ALMA, FILE)
def test_fields_that_are_taken_keep_the_order_of_the_record(alma, new):
    taken = [
        each
        for each in prepared(new).fields
        if each.tag in ("500", "505") and "9" not in each and "6" not in each
    ]
    merged = merge(alma, new, CATALOG)
    assert is_subsequence([line(each) for each in taken], lines(merged))


def links(made: Record) -> list[tuple[str, int, Field]]:
    """The linked fields: the tag of the field or of an 880's counterpart, the occurrence number, the field."""
    found = []
    for each in made.fields:
        link = None if each.is_control_field() else re.fullmatch(r"(\w{3})-(\d\d).*", each.get("6", ""))
        if link is not None and link[2] != "00":
            found.append((link[1] if each.tag == "880" else each.tag, int(link[2]), each))
    return found


def pairs(made: Record) -> list[tuple[str, str]]:
    """Fields with their 880, without occurrence numbers, where one field is linked with one."""
    groups: dict[tuple[str, int], list[Field]] = {}
    for tag, number, each in links(made):
        groups.setdefault((tag, number), []).append(each)
    both = (sorted(group, key=lambda each: each.tag == "880") for group in groups.values() if len(group) == 2)
    return [
        (without_occurrence(line(one)), without_occurrence(line(other)))
        for one, other in both
        if one.tag != "880" and other.tag == "880"
    ]


@whatever
@given(ALMA, FILE, RULES)
def test_linked_fields_stay_together_with_numbers_of_their_own(alma, new, rule):
    merged = merge(alma, new, rule)
    sources = [alma, prepared(new)]
    if not all(pairs_are_single(source) for source in sources):
        return
    numbers = [number for _, number, each in links(merged) if each.tag != "880"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(numbers) == sorted(number for _, number, each in links(merged) if each.tag == "880")
    now = pairs(merged)
    assert len(now) == len(numbers)
    before = [pair for source in sources for pair in pairs(source)]
    assert set(now) <= set(before)
    texts = [without_occurrence(line(each)) for source in sources for each in source.fields]
    there = [without_occurrence(text) for text in lines(merged)]
    for pair in before:
        if all(texts.count(text) == 1 for text in pair):
            assert all(text in there for text in pair) or not any(text in there for text in pair)
            assert (pair in now) is (pair[0] in there)


def pairs_are_single(source: Record) -> bool:
    seen = [
        (each.tag, each.get("6", "")[:6])
        for each in source.fields
        if not each.is_control_field() and "6" in each
    ]
    return len(seen) == len(set(seen))
