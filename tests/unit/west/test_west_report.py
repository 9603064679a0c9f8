"""The page for the librarian and the last word, however far the run got."""

import html
import re

import pytest

from alma_etl.errors import NotAcceptable
from alma_etl.west.assembly import assemble_delivery
from alma_etl.west.delivery import DryRun, deliver
from alma_etl.west.explained import WARNINGS
from alma_etl.west.outcomes import Outcome
from alma_etl.west.report import check_outcome, write_report
from alma_etl.west.run import BadInputRecord, InputCounts
from tests.unit.west.builders import hol, mms, plan
from tests.unit.west.chunks import delivered, row, write_run
from tests.unit.west.test_west_delivery import NOW, STEM

pytestmark = pytest.mark.heavy


def page(folder, **states) -> str:
    return folder.bucket.get(write_report(folder, states)).decode()


def words(text: str) -> str:
    """What a person reads of a page."""
    body = text[text.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def verdict(folder, **states) -> str:
    """The last word: the sentence of an acceptable run, else that of the refusal."""
    try:
        return check_outcome(folder, states)
    except NotAcceptable as refusal:
        return f"NOT ACCEPTABLE: {refusal}"


def finished(folder, *chunks, deliver_it: bool = True, **settings):
    write_run(folder, *chunks, **settings)
    assemble_delivery(folder)
    if deliver_it:
        deliver(folder, now=NOW)
    return folder


@pytest.mark.quick
def test_a_good_run(folder):
    rows = [
        *delivered(1, 2),
        row(3, None, "no_holding"),
        row(4, 4, "bad_marc", "583c", "5832"),
        row(5, 5, "bad_marc", "583c"),
    ]
    finished(folder, rows)
    key = write_report(folder, {})
    assert key == folder.key("report.html")
    assert folder.bucket.client.head_object(Bucket=folder.bucket.name, Key=key)["ContentType"].startswith(
        "text/html"
    )
    text = words(page(folder))
    assert "WEST holdings, 2026-11-20" in text
    assert "2 records delivered." in text
    assert "5 titles, 4 holdings" in text
    assert f"{STEM}.mrc 2 26 the first one" in text
    assert (
        f"bad_marc 583c 583 $c, the begin of the commitment, is missing or not a date written YYYYMMDD 2 {hol(4)}"
        in text
    )
    assert f"west/deliveries/{STEM}.manifest.json" in text
    assert "List mode batch" in text
    assert folder.prefix not in text
    assert "Nothing has left yet" not in text
    assert verdict(folder) == "2 records delivered."


def test_every_outcome_is_shown_with_its_count_and_meaning(folder):
    finished(
        folder,
        [row(number, number, outcome.value) for number, outcome in enumerate(Outcome)],
        failure_threshold=1,
    )
    text = words(page(folder))
    for outcome in Outcome:
        assert re.search(rf"\b{outcome.value} 1 \w", text), outcome


def test_a_warning_is_never_given_as_a_reason_why_a_holding_stayed_out(folder):
    finished(
        folder,
        [
            row(1, 1, "delivered", "583CASE"),
            row(2, 2, "bad_marc", "STMT", "583CASE", "022"),
            row(3, 3, "no_commitment", "583", "ISSNCHK"),
        ],
    )
    stayed, warned = (
        words(page(folder)).split("Why holdings stayed out")[1].split("Warnings, which keep nothing out")
    )
    assert re.findall(r"(?:bad_marc|no_commitment) (\w+)", stayed) == ["STMT", "583"]
    assert sorted(re.findall(r"(delivered|bad_marc|no_commitment) (583CASE|022|ISSNCHK)", warned)) == [
        ("bad_marc", "022"),
        ("bad_marc", "583CASE"),
        ("delivered", "583CASE"),
        ("no_commitment", "ISSNCHK"),
    ]


@pytest.mark.quick
def test_the_warnings_are_those_of_the_contract():
    of_contract = {"001SHAPE", "022", "5832", "5835", "583CASE", "583IND", "ISSNCHK", "NOBIB"}
    of_untidy_records = {"583RENEW", "BIBFIELD"}
    assert of_contract | of_untidy_records == WARNINGS


def test_nothing_of_the_data_is_taken_for_html(folder):
    evil = '<script>alert("x")</script>&amp;'
    finished(folder, [*delivered(1), row(2, 2, "failed", evil)], failure_threshold=1)
    text = page(folder)
    assert "<script" not in text
    assert html.escape(evil, quote=False)[:20] in text.replace("&#34;", '"')
    folder.write_plan(
        folder.plan().model_copy(
            update={"source": evil, "bad_records": (BadInputRecord(number=1, offset=0, reason=evil),)}
        )
    )
    assert "<script" not in page(folder, **{evil: evil})


def test_failures_of_one_kind_are_one_line(folder):
    broken = [
        row(
            n,
            n,
            "failed",
            f"GET /bibs/{mms(n)}/holdings/{hol(n)}: it broke; wait [HTTP 500, tracking id E01-{n}-X]",
        )
        for n in range(60)
    ]
    finished(folder, [*broken, *delivered(100)], failure_threshold=1)
    text = words(page(folder))
    assert f"failed GET /bibs/…/holdings/…: it broke, wait [HTTP 500, …] 60 {hol(0)}" in text.replace(
        " wait [", " wait ["
    )
    assert text.count("it broke") == 1


def test_reasons_beyond_forty_are_left_to_the_table(folder):
    rows = [row(n, n, "excluded_location", f"MAIN/place{n:03d}") for n in range(60)]
    finished(folder, [*rows, row(99, 99, "excluded_location", "MAIN/place059"), *delivered(100)])
    text = words(page(folder))
    assert text.count("MAIN/place") == 40
    assert f"MAIN/place059 2 {hol(59)}" in text


def test_the_input_is_accounted_for(folder):
    counts = InputCounts(total=12, titles=10, repeated=1, missing=1)
    finished(folder, delivered(*range(3)), counts=counts, failure_threshold=1)
    folder.write_plan(folder.plan().model_copy(update={"titles": 3}))
    text = words(page(folder))
    assert "12 in the set 59000000000004401; 10 distinct titles, 1 repeated, 1 missing, 0 unreadable." in text
    assert "Worked on: only the first 3 titles (limit)." in text


def test_bad_records_of_an_export_are_listed_and_told_in_the_last_word(folder):
    finished(
        folder, delivered(1), counts=InputCounts(total=3, titles=1, bad_records=2), failure_threshold=0.9
    )
    bad = (BadInputRecord(number=7, offset=1234, reason="it has no 001"),)
    folder.write_plan(folder.plan().model_copy(update={"bad_records": bad}))
    assert "7 1234 it has no 001" in words(page(folder))
    assert verdict(folder) == "1 record delivered. 2 records of the export could not be used."


def test_the_exact_mode_says_so(folder):
    finished(folder, delivered(1), include_suppressed=True)
    assert "List mode exact: every title was asked for its list of holdings" in words(page(folder))


def test_a_dry_run(folder):
    finished(folder, delivered(1, 2), deliver_it=False, dry_run=True)
    text = page(folder)
    assert 'class="verdict dry-run"' in text
    assert "Dry run: 2 records would be delivered." in text
    assert "west/deliveries/" not in text
    assert f"{folder.prefix}delivery/{STEM}.outcomes.csv" in text
    assert "Nothing has left yet" in text
    assert verdict(folder) == "Dry run: 2 records would be delivered."


def test_a_run_with_a_limit_says_what_it_would_be_and_is_not_weighed_against_the_last_delivery(folder):
    finished(folder, delivered(*range(100)))
    with pytest.raises(DryRun):
        finished(folder, delivered(1), limit=1)
    told = (
        "Trial of the first 1 title (limit): 1 record would be delivered. "
        "A run with a limit delivers nothing and is not compared with the last delivery."
    )
    assert verdict(folder) == told
    text = words(page(folder))
    assert told in text
    assert f"{STEM}.mrc 1 13 not compared: only the first titles of the input" in text
    assert 'class="verdict dry-run"' in page(folder)
    assert "west/deliveries/" not in text


def test_a_limit_in_the_settings_file_is_told_loudly(folder):
    finished(folder, delivered(1), deliver_it=False, limit=5)
    folder.write_plan(folder.plan().model_copy(update={"limit_of_file": True}))
    assert "limit is set in config/west.yaml. While it is there no run delivers" in verdict(folder)
    assert "limit is set in config/west.yaml" in words(page(folder))


def test_a_trial_of_which_nothing_could_be_delivered_is_red(folder):
    finished(folder, [row(1, 1, "bad_marc", "STMT")], deliver_it=False, limit=1)
    assert "None of the first 1 title has a holding that could be delivered" in verdict(folder)


@pytest.mark.quick
def test_a_shut_gate(folder):
    finished(folder, [row(1, 1, "failed", "x"), *delivered(2)], deliver_it=False)
    text = page(folder)
    assert 'class="verdict bad"' in text
    assert "Nothing was delivered. 1 of 2 holdings or titles failed" in words(text)
    assert "failed 1" in words(text)  # and yet it is told what became of each
    assert verdict(folder).startswith(
        "NOT ACCEPTABLE: Nothing was delivered. 1 of 2 holdings or titles failed"
    )


def test_bad_input(folder):
    with pytest.raises(NotAcceptable), folder.keeping_problem():
        raise NotAcceptable("The set 5 is empty, so there is nothing to deliver")
    text = words(page(folder, extract_mms_ids="failed", assemble_delivery="skipped"))
    assert text.startswith("WEST holdings, not begun")
    assert "Nothing was delivered. The set 5 is empty, so there is nothing to deliver" in text
    assert verdict(folder).endswith(
        "Nothing was delivered. The set 5 is empty, so there is nothing to deliver"
    )


def test_a_run_that_did_not_get_anywhere_names_the_tasks(folder):
    states = {"extract_mms_ids": "failed", "list_holdings": "upstream_failed"}
    text = words(page(folder, **states))
    assert "did not get to its assembly (extract_mms_ids failed, list_holdings upstream_failed)" in text
    assert verdict(folder, **states).startswith("NOT ACCEPTABLE: Nothing was delivered")


def test_a_run_that_was_planned_but_not_assembled(folder):
    folder.write_plan(plan(4))
    text = words(page(folder, assemble_delivery="failed"))
    assert "WEST holdings, 2026-11-20" in text
    assert "(assemble_delivery failed)" in text
    assert "4 in the set 59000000000004401" in text


def test_files_that_were_assembled_but_not_delivered(folder):
    finished(folder, delivered(1), deliver_it=False)
    assert "their delivery did not end well: see the log of deliver" in verdict(folder, deliver="failed")
    assert "their delivery did not end well" in words(page(folder, deliver="failed"))


@pytest.mark.parametrize(("dry_run", "word"), [(False, "Delivered"), (True, "Assembled")])
def test_a_chunk_that_did_not_finish_keeps_the_run_red_even_below_the_threshold(folder, dry_run, word):
    write_run(folder, delivered(*range(100)), delivered(100), dry_run=dry_run)
    folder.bucket.delete([folder.chunk_key(2, "converted.jsonl")])
    assert assemble_delivery(folder).shut == ()
    if not dry_run:
        deliver(folder, now=NOW)
    states = {"fetch_holdings[1]": "failed"}
    assert verdict(folder, **states) == (
        f"NOT ACCEPTABLE: {word}, but chunk 0002 did not finish: clear its failed tasks and those after them."
    )
    assert "chunk 0002 did not finish" in words(page(folder, **states))


def test_any_other_task_that_failed_keeps_the_run_red(folder):
    finished(folder, delivered(1))
    assert (
        verdict(folder, report="failed")
        == "NOT ACCEPTABLE: Delivered, but not every task did its work: report failed."
    )


def test_the_comparison_with_the_last_delivery(folder):
    finished(folder, delivered(*range(100)))
    finished(folder, delivered(*range(2, 110)))
    text = words(page(folder))
    assert f"{STEM}: 100 records, 2 of them missing now" in text


def test_two_symbols(folder):
    rows = [*delivered(1), row(2, 2, symbol="ZZLAW")]
    finished(folder, rows, symbol_by_library={"LAW": "ZZLAW", "SCI": "ZZSCI"})
    text = words(page(folder))
    assert "ZZLAW.alma.archived.20261120.mrc 1" in text
    assert f"{STEM}.mrc 1" in text
    assert "ZZSCI" not in text


def test_a_large_number_is_readable(folder):
    finished(folder, delivered(*range(1_234)))
    assert "1,234 records delivered." in words(page(folder))


def test_programme_names_that_are_not_listed_are_counted(folder):
    rows = delivered(1, 2, 3)
    for number, (made, _) in enumerate(rows):
        made["unlisted"] = ["West <Virginia>"] if number else ["WEST Platinum", "West <Virginia>"]
    finished(folder, rows)
    text = words(page(folder))
    assert "West <Virginia> 3 WEST Platinum 1" in text
    assert "programme_names in config/west.yaml" in text


def test_ever_more_programme_names_do_not_make_the_page_ever_longer(folder):
    rows = delivered(*range(1, 200))
    for made, _ in rows:
        made["unlisted"] = [f"WEST {made['holding_id']} {'x' * 5000}"]
    finished(folder, rows)
    text = words(page(folder))
    assert "(others) 149" in text
    assert len(text) < 60_000
