"""Assembly: every row and record exactly once, one file a symbol, and the gates before a delivery."""

import csv
import hashlib
import io
from datetime import date

import pytest

from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.assembly import assemble_delivery, assembled_key, last_delivery, read_assembly
from alma_etl.west.naming import FOLDER, DeliveryName
from alma_etl.west.outcomes import COLUMNS
from alma_etl.west.run import InputCounts, RunFolder
from tests.unit.west.builders import DAY, hol, mms, plan
from tests.unit.west.chunks import delivered, row, write_chunk, write_run

pytestmark = pytest.mark.heavy

STEM = "ZZMAIN.alma.archived.20261120"


def table(folder: RunFolder, symbol: str = "ZZMAIN") -> list[dict[str, str]]:
    data = folder.bucket.get(assembled_key(folder, f"{symbol}.alma.archived.20261120.outcomes.csv"))
    return list(csv.DictReader(io.StringIO(data.decode())))


def marc(folder: RunFolder, symbol: str = "ZZMAIN") -> bytes:
    return folder.bucket.get(assembled_key(folder, f"{symbol}.alma.archived.20261120.mrc"))


def deliver_before(
    folder: RunFolder, holdings: list[int], day: str = "20261119", symbol: str = "ZZMAIN"
) -> None:
    """An earlier delivery of these holdings."""
    lines = [",".join(COLUMNS), *(f"{mms(each)},{hol(each)},delivered,,T" for each in holdings)]
    stem = f"{FOLDER}{symbol}.alma.archived.{day}"
    folder.bucket.put(
        f"{stem}.outcomes.csv", "\n".join([*lines, f"{mms(0)},,no_holding,,T"]).encode() + b"\n"
    )
    folder.bucket.put(f"{stem}.mrc", b"x")


def shut(folder: RunFolder) -> str:
    return " / ".join(assemble_delivery(folder).shut)


@pytest.mark.quick
def test_rows_and_records_of_all_chunks_in_their_order(folder):
    one, two = (
        delivered(1, 2),
        [row(3, None, "no_holding"), row(4, 4, "bad_marc", "583c", "5832"), *delivered(5)],
    )
    write_run(folder, one, two)
    assembly = assemble_delivery(folder)
    assert marc(folder) == b"<record of 1><record of 2><record of 5>"
    assert [
        (each["mms_id"], each["holding_id"], each["outcome"], each["reasons"]) for each in table(folder)
    ] == [
        (mms(1), hol(1), "delivered", ""),
        (mms(2), hol(2), "delivered", ""),
        (mms(3), "", "no_holding", ""),
        (mms(4), hol(4), "bad_marc", "583c;5832"),
        (mms(5), hol(5), "delivered", ""),
    ]
    assert list(table(folder)[0]) == list(COLUMNS)
    assert (assembly.titles, assembly.holdings, assembly.shut) == (5, 4, ())
    (result,) = assembly.symbols
    assert (result.symbol, result.stem, result.records, result.titles, result.holdings) == (
        "ZZMAIN",
        STEM,
        3,
        5,
        4,
    )
    assert (result.bytes, result.sha256) == (len(marc(folder)), hashlib.sha256(marc(folder)).hexdigest())
    assert result.counts == assembly.counts
    assert {word: count for word, count in assembly.counts.items() if count} == {
        "delivered": 3,
        "no_holding": 1,
        "bad_marc": 1,
    }
    assert read_assembly(folder) == assembly


def test_a_holding_under_two_titles_is_delivered_once(folder):
    write_run(folder, [*delivered(1), row(2, 1)], [row(3, 1, "delivered", "5832")])
    assembly = assemble_delivery(folder)
    assert marc(folder) == b"<record of 1>"
    assert [(each["outcome"], each["reasons"]) for each in table(folder)] == [
        ("delivered", ""),
        ("bad_marc", "DUP001"),
        ("bad_marc", "DUP001;5832"),
    ]
    assert (assembly.counts["delivered"], assembly.counts["bad_marc"], assembly.holdings) == (1, 2, 3)
    assert assembly.shut == ()


def test_a_duplicate_of_a_holding_that_stayed_out_is_not_a_duplicate(folder):
    write_run(folder, [row(1, 1, "no_commitment", "583"), row(2, 1)])
    assert assemble_delivery(folder).counts["delivered"] == 1


def test_one_file_a_symbol_each_with_its_own_rows(folder):
    rows = [
        row(1, 1),
        row(1, 2, symbol="ZZLAW"),
        row(2, None, "no_holding"),
        row(3, 3, "no_commitment", "583", symbol="ZZLAW"),
    ]
    write_run(folder, rows, symbol_by_library={"LAW": "ZZLAW"})
    assembly = assemble_delivery(folder)
    assert [(each.symbol, each.records, each.titles, each.holdings) for each in assembly.symbols] == [
        ("ZZLAW", 1, 2, 2),
        ("ZZMAIN", 1, 2, 1),
    ]
    assert (assembly.titles, assembly.holdings) == (3, 3)
    assert (marc(folder), marc(folder, "ZZLAW")) == (b"<record of 1>", b"<record of 2>")
    assert [each["mms_id"] for each in table(folder, "ZZLAW")] == [mms(1), mms(3)]
    assert assembly.shut == ()


def test_the_same_holding_in_two_symbols_files_is_no_duplicate(folder):
    write_run(folder, [row(1, 1), row(2, 1, symbol="ZZLAW")], symbol_by_library={"LAW": "ZZLAW"})
    assert assemble_delivery(folder).counts["delivered"] == 2


@pytest.mark.quick
def test_a_chunk_that_did_not_finish_fails_with_all_its_titles_and_why(folder):
    write_run(folder, delivered(1, 2, 3), delivered(4), failure_threshold=1)
    folder.write_mms_ids(2, [mms(4), mms(5)])
    folder.bucket.delete([folder.chunk_key(2, "converted.jsonl")])
    folder.bucket.put(folder.chunk_key(2, "problem.txt"), b"no calls are left for today; run again tomorrow")
    folder.write_plan(plan(5, 2, failure_threshold=1))
    assembly = assemble_delivery(folder)
    assert assembly.unfinished_chunks == (2,)
    assert (assembly.counts["failed"], assembly.counts["delivered"], assembly.titles) == (2, 3, 5)
    reason = "chunk 0002 did not finish: no calls are left for today, run again tomorrow"
    assert [(each["mms_id"], each["reasons"]) for each in table(folder) if each["outcome"] == "failed"] == [
        (mms(4), reason),
        (mms(5), reason),
    ]
    assert assembly.shut == ()
    assert marc(folder) == b"<record of 1><record of 2><record of 3>"


def test_the_gate_tells_why_a_chunk_did_not_finish(folder):
    write_run(folder, delivered(1), delivered(2))
    folder.bucket.delete([folder.chunk_key(2, "converted.jsonl")])
    assert "1 of 2 holdings or titles failed (1 chunk did not finish), more than" in shut(folder)
    folder.bucket.put(folder.chunk_key(2, "problem.txt"), b"the key is unknown")
    assert "(1 chunk did not finish: the key is unknown)" in shut(folder)


def test_fallbacks_are_counted(folder):
    write_run(folder, delivered(1, 2, 3), delivered(4))
    write_chunk(folder, 1, delivered(1, 2, 3), fell_back=[1, 3])
    assert assemble_delivery(folder).fell_back == 2


def test_without_a_plan_there_is_nothing_to_assemble(folder):
    with pytest.raises(NoSuchObject):
        assemble_delivery(folder)


def test_titles_that_look_like_formulas_do_no_harm_in_a_spreadsheet(folder):
    write_run(
        folder,
        [row(1, 1, name='=HYPERLINK("http://x")'), row(2, 2, name="@SUM(1)"), row(3, 3, name='a;b,c\n"d"')],
    )
    assemble_delivery(folder)
    assert [each["title"] for each in table(folder)] == ['\'=HYPERLINK("http://x")', "'@SUM(1)", 'a;b,c\n"d"']


def test_twice_the_same_chunks_give_the_same_bytes(folder):
    write_run(folder, delivered(1, 2), delivered(3))
    assemble_delivery(folder)
    before = marc(folder), table(folder)
    assemble_delivery(folder)
    assert (marc(folder), table(folder)) == before


# --- gates


@pytest.mark.parametrize(
    ("failed", "of", "threshold", "is_shut"),
    [
        (1, 100, 0.01, False),
        (2, 100, 0.01, True),
        (0, 10, 0, False),
        (1, 10, 0, True),
        (29, 100, 0.29, False),
        (30, 100, 0.29, True),
        (9, 10, 0.9, False),
    ],
)
def test_the_share_of_failures_may_be_exactly_the_threshold(folder, failed, of, threshold, is_shut):
    rows = [row(number, number, "failed", "broken") for number in range(failed)]
    write_run(folder, [*rows, *delivered(*range(failed, of))], failure_threshold=threshold)
    found = shut(folder)
    assert (f"{failed} of {of} holdings or titles failed" in found) is is_shut
    assert bool(found) is is_shut


def test_members_that_never_came_weigh_as_failures(folder):
    counts = InputCounts(total=100, titles=98, missing=2)
    write_run(folder, delivered(*range(98)), counts=counts)
    assert "2 of 100 holdings or titles failed, more than the failure_threshold of 1.00%" in shut(folder)
    write_run(folder, delivered(*range(98)), counts=counts, failure_threshold=0.02)
    assert shut(folder) == ""


@pytest.mark.parametrize(
    ("bad", "missing", "failed", "threshold", "is_shut"),
    [
        (9, 0, 0, 0.01, True),
        (1, 0, 0, 0.01, False),
        (2, 0, 0, 0.01, True),
        (1, 0, 1, 0.01, True),
        (1, 1, 0, 0.01, True),
        (0, 0, 0, 0.01, False),
        (9, 0, 0, 0.5, False),
        (200, 0, 0, 0.5, True),
    ],
)
def test_records_of_the_export_that_could_not_be_read_weigh_as_failures(
    folder, bad, missing, failed, threshold, is_shut
):
    counts = InputCounts(total=99 + bad + missing, titles=99, bad_records=bad, missing=missing)
    rows = [row(number, number, "failed", "broken") for number in range(failed)]
    write_run(folder, [*rows, *delivered(*range(failed, 99))], counts=counts, failure_threshold=threshold)
    found = shut(folder)
    assert bool(found) is is_shut
    if is_shut:
        assert (
            f"{bad + missing + failed} of {99 + bad + missing} holdings or titles failed, {bad} of them"
            in found
        )


@pytest.mark.quick
def test_nothing_to_deliver_shuts_the_gate(folder):
    write_run(folder, [row(1, 1, "no_commitment", "583"), row(2, None, "no_holding")])
    assert "No holding could be delivered: an empty file would withdraw every commitment" in shut(folder)


def test_all_failed_shuts_the_gate(folder):
    write_run(folder, [row(1, 1, "failed", "x")], failure_threshold=1)
    assert "No holding could be delivered" in shut(folder)


def test_titles_that_got_lost_shut_the_gate(folder):
    write_run(folder, delivered(1, 2, 3))
    folder.write_plan(plan(4, 1))
    assert "the run has 4 titles, the outcomes have 3" in shut(folder)


def test_a_symbol_with_holdings_but_no_record_shuts_the_gate(folder):
    rows = [*delivered(1), row(2, 2, "no_commitment", "583", symbol="ZZLAW")]
    write_run(folder, rows, symbol_by_library={"LAW": "ZZLAW"})
    assert "ZZLAW would be delivered empty, although it has 1 holding" in shut(folder)


def test_a_symbol_of_which_nothing_was_found_does_not(folder):
    write_run(folder, delivered(1), symbol_by_library={"LAW": "ZZLAW"})
    assert shut(folder) == ""


# --- against the last delivery


def test_the_first_delivery_is_compared_with_nothing(folder):
    write_run(folder, delivered(1))
    (result,) = assemble_delivery(folder).symbols
    assert (result.last_stem, result.last_records, result.dropped) == (None, 0, 0)


@pytest.mark.parametrize(
    ("gone", "max_drop", "is_shut"),
    [
        (5, 0.05, False),
        (6, 0.05, True),
        (0, 0, False),
        (1, 0, True),
        (29, 0.29, False),
        (30, 0.29, True),
        (99, 1, False),
    ],
)
def test_the_drop_may_be_exactly_max_drop(folder, gone, max_drop, is_shut):
    deliver_before(folder, list(range(100)))
    write_run(folder, delivered(*range(gone, 100)), max_drop=max_drop)
    assembly = assemble_delivery(folder)
    (result,) = assembly.symbols
    assert (result.last_stem, result.last_records, result.dropped) == (
        "ZZMAIN.alma.archived.20261119",
        100,
        gone,
    )
    assert bool(assembly.shut) is is_shut
    if is_shut:
        assert (
            f"{gone} of the 100 records of the last delivery ZZMAIN.alma.archived.20261119 "
            in assembly.shut[0]
        )


def test_new_records_do_not_make_up_for_dropped_ones(folder):
    deliver_before(folder, list(range(100)))
    write_run(folder, delivered(*range(50, 500)))
    assert "50 of the 100 records" in shut(folder)


def test_a_holding_that_is_still_there_but_no_longer_delivered_is_a_drop(folder):
    deliver_before(folder, [1, 2])
    write_run(folder, [*delivered(1), row(2, 2, "no_commitment", "583EXPIRED")])
    assert "1 of the 2 records" in shut(folder)


def test_a_configured_symbol_that_vanished_is_noticed(folder):
    deliver_before(folder, [7, 8], symbol="ZZLAW")
    write_run(folder, delivered(1), symbol_by_library={"LAW": "ZZLAW"})
    assert "2 of the 2 records of the last delivery ZZLAW.alma.archived.20261119 are missing" in shut(folder)


def test_symbols_are_compared_each_with_its_own(folder):
    deliver_before(folder, [1, 2])
    deliver_before(folder, [3], symbol="ZZLAW")
    write_run(folder, [*delivered(1, 2), *delivered(3, symbol="ZZLAW")], symbol_by_library={"LAW": "ZZLAW"})
    assembly = assemble_delivery(folder)
    assert [(each.symbol, each.last_records, each.dropped) for each in assembly.symbols] == [
        ("ZZLAW", 1, 0),
        ("ZZMAIN", 2, 0),
    ]


def test_a_second_run_of_the_day_is_measured_by_the_first_and_an_earlier_day_by_an_earlier(folder):
    for day in ("20261101", "20261119", "20261120", "20261121"):
        deliver_before(folder, [1], day)
    found = [last_delivery(folder.bucket, "ZZMAIN", date(2026, 11, day)) for day in (20, 19, 18, 1)]
    assert [each and f"{each.day:%m%d}" for each in found] == ["1120", "1119", "1101", "1101"]
    assert last_delivery(folder.bucket, "ZZMAIN", date(2026, 10, 31)) is None


def test_only_a_marc_file_makes_a_delivery(folder):
    deliver_before(folder, [1])
    for name in (
        "ZZMAIN.alma.archived.20261120.manifest.json",
        "ZZMAIN.alma.archived.20261399.mrc",
        "ZZMAINX.alma.archived.20261120.mrc",
        "ZZMAIN.alma.archived.20261120.mrc.part",
        "ZZMAIN.alma.bib.20261120.mrc",
        "ZZMAIN.alma.archived.old/ZZLAW.alma.archived.20261120.mrc",
    ):
        folder.bucket.put(FOLDER + name, b"x")
    assert last_delivery(folder.bucket, "ZZMAIN", DAY) == DeliveryName("ZZMAIN", date(2026, 11, 19))


def test_a_last_delivery_without_its_outcomes_is_named_but_not_compared(folder):
    deliver_before(folder, [1, 2])
    folder.bucket.delete([f"{FOLDER}ZZMAIN.alma.archived.20261119.outcomes.csv"])
    write_run(folder, delivered(9))
    (result,) = assemble_delivery(folder).symbols
    assert (result.last_stem, result.last_records, result.dropped) == ("ZZMAIN.alma.archived.20261119", 0, 0)


# --- names


def test_names():
    name = DeliveryName("ZZMAIN", DAY)
    assert (name.marc, name.manifest, name.outcomes) == (
        f"{STEM}.mrc",
        f"{STEM}.manifest.json",
        f"{STEM}.outcomes.csv",
    )
    assert DeliveryName.of_marc(FOLDER + name.marc) == name


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x.mrc",
        f"{STEM}.mrc.part",
        f"{STEM}.outcomes.csv",
        "zzmain.alma.archived.20261120.mrc",
        "Z-Z.alma.archived.20261120.mrc",
        "ZZMAIN.alma.archived.20261301.mrc",
    ],
)
def test_other_names(key):
    assert DeliveryName.of_marc(key) is None
