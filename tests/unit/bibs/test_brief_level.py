"""Levels by table and conditions, 005 as time, and what makes a weak match none."""

import pytest
from pydantic import ValidationError

from alma_etl.bibs.brief_level import BriefLevelRule
from alma_etl.bibs.carrier import carriers_of, disagreements
from alma_etl.bibs.keys import keys_of
from alma_etl.bibs.versions import changed_at, is_older
from tests.unit.bibs.records import LEADER, record


def with_level(code: str, *lines: str):
    return record(*lines, leader=LEADER[:17] + code + LEADER[18:])


@pytest.mark.parametrize(
    ("code", "carli", "csu"),
    [
        (" ", 10, 10), ("1", 10, 8), ("I", 10, 9), ("L", 10, 9), ("4", 7, 7), ("M", 7, 6), ("2", 7, 5), ("K", 5, 6),
        ("7", 5, 5), ("8", 4, 4), ("3", 3, 3), ("5", 2, 2), ("u", 1, 2), ("z", 1, 2), ("J", 1, 1), ("?", 1, 2),
    ],
)  # fmt: skip
def test_the_two_published_tables(code, carli, csu):
    assert BriefLevelRule().level_of(with_level(code)).value == carli
    assert BriefLevelRule(table="csu").level_of(with_level(code)).value == csu


def test_the_first_condition_that_fits_decides():
    rule = BriefLevelRule.model_validate(
        {
            "table": {"blank": "09", 3: 4, "other": 1},
            "conditions": [{"exists": "998$a", "level": "10"}, {"absent": "300", "level": "02"}],
        }
    )
    assert str(rule.level_of(record("998 __ $a 20260101"))) == "10 (998$a is there)"
    assert str(rule.level_of(record("998 __ $b 20260101"))) == "02 (300 is not there)"
    assert str(rule.level_of(with_level("3", "300 __ $a 1 v."))) == "04 (leader/17 3)"
    assert str(rule.level_of(with_level(" ", "300 __ $a 1 v."))) == "09 (leader/17 blank)"
    assert str(rule.level_of(with_level("u", "300 __ $a 1 v."))) == "01 (leader/17 u)"


@pytest.mark.parametrize("blank", [" ", "blank", "#", ""])
def test_a_blank_is_written_in_several_ways(blank):
    rule = BriefLevelRule.model_validate({"table": {blank: 10, "other": 1}})
    assert str(rule.level_of(with_level(" "))) == "10 (leader/17 blank)"


@pytest.mark.parametrize("stated", ["10", "07", "7", " 07 "])
def test_alma_s_own_level_comes_first(stated):
    level = BriefLevelRule().level_in_alma(stated, with_level("3"))
    assert (level.value, level.source) == (int(stated), "Alma's")


@pytest.mark.parametrize("stated", ["", "0", "11", "full"])
def test_without_a_level_alma_s_is_computed_by_the_same_table(stated):
    assert str(BriefLevelRule().level_in_alma(stated, with_level("3"))) == "03 (leader/17 3)"


@pytest.mark.parametrize(
    "settings",
    [
        {"table": "loc"},
        {"table": {"blank": 10}},
        {"table": {"other": 11}},
        {"table": {"other": 1, "ab": 1}},
        {"conditions": [{"level": 1}]},
        {"conditions": [{"level": 1, "exists": "245", "absent": "300"}]},
        {"conditions": [{"level": 1, "exists": "24"}]},
        {"conditions": [{"level": 1, "exists": "LDR"}]},
        {"conditions": [{"level": "1st", "exists": "245"}]},
        {"conditions": [{"level": 1, "exists": 16}]},  # 020 without quotes
    ],
)
def test_a_rule_that_means_nothing_is_refused(settings):
    with pytest.raises(ValidationError):
        BriefLevelRule.model_validate(settings)


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("20240501101112.0", "2024-05-01T10:11:12"),
        ("20240501101112", "2024-05-01T10:11:12"),
        ("20240501101112.9 ", "2024-05-01T10:11:12"),
        ("20240501", None),
        ("20241301101112.0", None),
        ("20240501101112.x", None),
        ("2024050110111٢.0", None),
        ("", None),
    ],
)
def test_005_is_a_time_to_the_second(value, iso):
    found = changed_at(record(f"005 {value}"))
    assert (found and found.isoformat()) == iso


def test_older_is_by_the_second_and_never_by_a_malformed_005():
    at = [record(f"005 2024050110111{second}") for second in ("1.9", "2.0", "2.5")]
    assert is_older(at[0], at[1]) == (True, "")
    assert is_older(at[2], at[1]) == is_older(at[1], at[2]) == (False, "")
    older, remark = is_older(record("005 20240501"), at[0])
    assert not older
    assert "no 005 with a time" in remark
    assert is_older(at[0], record())[0] is False


PRINT = ("008 " + "2" * 23 + " " + "2" * 16, "338 __ $a volume $b nc")
ONLINE = ("008 " + "2" * 23 + "o" + "2" * 16, "007 cr mn", "338 __ $a online resource $b cr")
OLD_ONLINE = ("008 " + "2" * 23 + "s" + "2" * 16,)
MICROFORM = ("007 he amb", "008 " + "2" * 23 + "b" + "2" * 16)


@pytest.mark.parametrize(
    ("one", "other"), [(PRINT, ONLINE), (PRINT, OLD_ONLINE), (PRINT, MICROFORM), (ONLINE, MICROFORM)]
)
def test_carriers_that_differ_are_named(one, other):
    one, other = record(*one), record(*other)
    for pair in ((one, other), (other, one)):
        [reason] = disagreements(*pair, keys_of(pair[0]), keys_of(pair[1]))
        assert reason.startswith("carriers disagree: ")


@pytest.mark.parametrize(
    ("one", "other"), [(PRINT, ()), (ONLINE, OLD_ONLINE), (PRINT, PRINT), ((), MICROFORM)]
)
def test_what_a_record_does_not_say_is_no_disagreement(one, other):
    one, other = record(*one), record(*other)
    assert disagreements(one, other, keys_of(one), keys_of(other)) == []


def test_large_print_is_not_print_though_both_are_volumes():
    large = record("008 " + "2" * 23 + "d" + "2" * 16, "338 __ $b nc")
    assert carriers_of(large) == {"large print"}
    assert disagreements(large, record(*PRINT), keys_of(large), keys_of(large))


def test_maps_and_pictures_have_their_form_elsewhere():
    data = "2" * 29 + "o" + "2" * 10
    assert carriers_of(record(f"008 {data}", leader=LEADER[:6] + "e" + LEADER[7:])) == {"online"}


def test_oclc_numbers_agree_also_by_a_former_one():
    mine, theirs = record("035 __ $a (OCoLC)900 $z (OCoLC)700"), record("035 __ $a (OCoLC)700")
    assert disagreements(mine, theirs, keys_of(mine), keys_of(theirs)) == []
    other = record("035 __ $a (OCoLC)345")
    [reason] = disagreements(mine, other, keys_of(mine), keys_of(other))
    assert reason == "OCLC numbers disagree: 900 and 345 in Alma"


def test_a_score_is_no_recording():
    score, sound = (record(leader=LEADER[:6] + kind + LEADER[7:]) for kind in "cj")
    assert disagreements(score, sound, keys_of(score), keys_of(sound))
