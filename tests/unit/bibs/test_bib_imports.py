"""Files of records through all steps against the sandbox: every outcome, again, killed, and with lost answers."""

import contextlib
import itertools
from datetime import timedelta

import pytest
import requests
from lxml import html

from alma_etl.bibs import report, title_notes
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.remote.answers import Found
from tests.e2e.death import WorkerKilled
from tests.unit.bibs.conftest import JOB, Run
from tests.unit.bibs.records import LEADER, lines, record

pytestmark = pytest.mark.heavy
F008 = "008 200101s2020    xx            000 0 eng d"


def new(number: int, *fields: str, leader: str = LEADER, title: str = "Made up"):
    return record(
        "001 x",
        "005 20400101000000.0",
        F008,
        f"035 __ $a (OCoLC){number}",
        f"245 00 $a {title}",
        *fields,
        leader=leader,
    )


def brief(number: int, **given: str):
    return new(number, leader=LEADER[:17] + "3" + LEADER[18:], **given)


def test_a_file_with_every_end_and_again(imports):
    full, former, present = (
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old", "979 __ $a ours")
        for number in (901, 902, 903)
    )
    old = imports.add("035 __ $a (OCoLC)ocm00000904", "245 00 $a Old")
    imports.add("035 __ $a (OCoLC)905", "245 00 $a Old")
    imports.alma.forget()
    file = [
        new(801),
        new(901, "650 _0 $a New"),
        new(903, "019 __ $a 902"),
        brief(904),
        record("005 20000101000000.0", F008, "035 __ $a (OCoLC)905", "245 00 $a Older"),
        record(F008, "245 00 $a No number"),
        record(F008, "035 __ $a (OCoLC)802"),
        new(803, leader=LEADER[:5] + "d" + LEADER[6:]),
        new(801),
        new(801, title="Another"),
    ]
    run = imports.load(*file)
    ends = [
        "created", "merged", "multi_match", "not_added_brief", "not_added_old", "no_key", "invalid_record",
        "delete_requested", "unchanged", "duplicate_in_file",
    ]  # fmt: skip
    assert run.outcomes == ends
    assert run.problem == ""
    assert run.filed.startswith("bibs/done/march.")
    [created] = [row["mms_id"] for row in run.rows if row["outcome"] == "created"]
    assert lines(imports.title(created), "035", "245") == ["035 __ $a (OCoLC)801", "245 00 $a Made up"]
    assert lines(imports.title(full), "245", "650", "979") == [
        "245 00 $a Made up",
        "650 _0 $a New",
        "979 __ $a ours",
    ]
    assert [lines(imports.title(each), "245") for each in (former, present, old)] == [["245 00 $a Old"]] * 3
    assert sorted(imports.writes()) == ["POST", "PUT"]
    assert run.rows[2]["message"] == f"{former} by 035 $z or 019 902; {present} by 035 $a 903"
    assert "record 1 of the file has the same number" in run.rows[9]["message"]
    assert "+ 650 _0 $a New" in run.text("changes")
    assert b"Another" in imports.bucket.get(run.keys["rejects"])

    imports.alma.forget()
    again = imports.load(*file, name="april.mrc")
    assert again.outcomes == ["unchanged", "unchanged", *ends[2:8], "unchanged", "duplicate_in_file"]
    assert imports.writes() == []


def test_a_dry_run_writes_nothing_and_shows_what_would_change(imports):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.alma.forget()
    run = imports.load(new(901), new(801), new(801), new(801, title="Another"), dry_run=True)
    assert run.outcomes == ["would_merge", "would_create", "unchanged", "duplicate_in_file"]
    assert imports.writes() == []
    assert f"record 1, (OCoLC)901, {there}: would_merge\n- " in run.text("changes")
    assert "- 245 00 $a Old\n+ 245 00 $a Made up" in run.text("changes")
    assert imports.load(new(901), new(801), name="april.mrc").outcomes == ["merged", "created"]


def test_the_page_of_a_dry_run_shows_the_changes_side_by_side_as_text_and_bounded(imports, monkeypatch):
    monkeypatch.setattr(report, "_RECORDS", 2)
    monkeypatch.setattr(report, "_FIELDS", 3)
    monkeypatch.setattr(report, "_CHARACTERS", 40)
    for number in (901, 902, 903):
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old <b>&", "300 __ $a 1 p.")
    subjects = [f"650 _0 $a Subject {number}" for number in range(9)]
    hostile = new(901, title="<script>alert(1)</script>")
    run = imports.load(hostile, new(902, *subjects), new(903, title="L" * 90 + "end"), dry_run=True)
    assert run.outcomes == ["would_merge"] * 3
    page = run.text("html")
    tables = [table.xpath(".//tr[td]") for table in html.fromstring(page).xpath("//table[@class='diff']")]
    assert len(tables) == 2
    text, whole = run.text("changes"), [[cell.text or "" for cell in row] for row in tables[0]]
    assert ["245 00 $a Old <b>&", "245 00 $a <script>alert(1)</script>"] in whole
    assert "<script" not in page
    assert all(len(cell) <= 41 for row in whole for cell in row)
    assert [len(rows) for rows in tables] == [2, 3]
    assert "more fields of it, see the file" in page
    assert (
        f"the first 2 of 3 records with changes; the file has all of them: <code>{run.keys['changes']}"
        in page
    )
    assert text.count(": would_merge\n") == 3
    assert all(f"+ {each}" in text for each in subjects)
    assert "end\n" in text
    plain = imports.load(new(801), name="b.mrc")
    assert '<table class="diff">' not in plain.text("html")


def test_by_profile_titles_are_overlaid_left_or_only_looked_for(imports):
    imports.profiles(
        "profiles:\n  over: {on_match: overlay}\n  look: {on_match: skip, on_no_match: skip}\n  isbn: {match: [isbn]}\n"
        "  search: {search_first: true}\n"
    )
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old", "590 __ $a ours $9 local", "979 __ $a ours")
    looked = imports.load(new(901), new(801), profile="look")
    assert looked.outcomes == ["unchanged", "no_key"]
    assert imports.load(new(901), profile="search").outcomes == ["merged"]
    imports.alma.add_holding(there, "MAIN", "stacks")
    assert imports.load(new(901, title="Newer"), profile="search").outcomes == ["already_owned"]
    assert imports.load(new(901, title="Newer"), profile="over").outcomes == ["overlaid"]
    assert lines(imports.title(there), "245", "590", "979") == ["245 00 $a Newer", "590 __ $a ours $9 local"]
    stopped = imports.load(new(901, "020 __ $a 9780306406157"), profile="isbn")
    assert stopped.outcomes == ["failed"]
    assert "matches by isbn" in stopped.problem


def test_a_locked_title_is_left_alone_and_another_version_is_not_written_over(imports):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    locks(imports, lock=[there])
    run = imports.load(new(901))
    assert run.outcomes == ["not_added_locked"]
    assert "locked by" in run.rows[0]["message"]
    imports.profiles("profiles:\n  beside: {on_refused: create}\n")
    beside = imports.load(new(901), profile="beside", name="b.mrc")
    assert beside.outcomes == ["created"]
    assert beside.rows[0]["reasons"] == "NOT_ADDED_LOCKED"
    locks(imports, unlock=[there])
    late = Run(imports, to_iso2709(new(902)), "c.mrc")
    mine = imports.add("035 __ $a (OCoLC)902", "245 00 $a Old")
    late.read()
    late.match()
    save(imports, mine)
    late.write()
    late.finish()
    assert late.outcomes == ["conflict"]
    assert lines(imports.title(mine), "245") == ["245 00 $a Saved by hand"]
    late.whole()  # cleared
    assert late.outcomes == ["merged"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_of_records_with_different_numbers_for_one_title_the_first_decides(imports, dry_run):
    there = imports.add("035 __ $a (OCoLC)901", "035 __ $a (OCoLC)902", "245 00 $a Old")
    imports.alma.forget()
    same = record(f"001 {there}", F008, "245 00 $a Made up")
    file = [new(901), new(902, title="Another"), same, new(902, title="A third")]
    run = imports.load(*file, dry_run=dry_run)
    first = "would_merge" if dry_run else "merged"
    assert run.outcomes == [first, "duplicate_in_file", "unchanged", "duplicate_in_file"]
    assert "record 1 of the file is of the same title" in run.rows[1]["message"]
    assert imports.writes() == ([] if dry_run else ["PUT"])
    assert lines(imports.title(there), "245") == [f"245 00 $a {'Old' if dry_run else 'Made up'}"]


def test_records_with_locked_titles_alone_are_tried_again_and_looked_up_once_more(imports):
    held, saved, open_still = (
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old") for number in (901, 902, 903)
    )
    twice = [imports.add("035 __ $a (OCoLC)904", "245 00 $a Old") for _ in range(2)]
    locks(imports, lock=[held, saved, open_still])
    imports.alma.forget()
    run = Run(imports, b"".join(map(to_iso2709, [*map(new, (901, 902, 903)), new(904), new(801)])))
    run.read()
    run.match()
    assert run.write() == {"not_added_locked": 3, "multi_match": 1, "created": 1}
    assert wait(run) == timedelta(minutes=10)
    assert wait(run, 55) == timedelta(minutes=5)
    assert wait(run, 60) is None

    locks(imports, unlock=[held, saved])
    save(imports, saved)
    imports.alma.delete(f"/bibs/{twice[1]}")  # would be merged now, and is no locked one
    imports.alma.forget()
    assert JOB.chunk_step("load_locked", run.context(), 1) == {
        "merged": 2,
        "not_added_locked": 1,
        "multi_match": 1,
        "created": 1,
    }
    assert imports.writes() == ["PUT"] * 3
    run.finish()
    assert run.outcomes == ["merged", "merged", "not_added_locked", "multi_match", "created"]
    assert "locked by" in run.rows[2]["message"]
    assert lines(imports.title(saved), "245") == ["245 00 $a Made up"]
    locks(imports, unlock=[open_still])
    JOB.chunk_step("load_locked", run.context(), 1)
    assert wait(run) is None


@pytest.mark.parametrize(
    ("asked", "minutes"), [({}, 7), ({"lock_wait_minutes": 3}, 3), ({"dry_run": True}, 0)]
)
def test_how_long_a_locked_title_is_waited_for(imports, asked, minutes):
    imports.profiles("profiles:\n  wait: {lock_wait_minutes: 7}\n")
    locks(imports, lock=[imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")])
    run = imports.load(new(901), profile="wait", **asked)
    assert wait(run) == (timedelta(minutes=minutes) if minutes else None)


@pytest.mark.parametrize("minutes", [61, -1, True, "5", 1.5])
def test_minutes_that_are_none_are_refused_before_anything_is_read(imports, minutes):
    run = imports.load(new(801), lock_wait_minutes=minutes)
    assert "give whole minutes from 0 to 60" in run.problem


def test_zero_minutes_report_a_locked_title_at_once(imports):
    locks(imports, lock=[imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")])
    run = imports.load(new(901), lock_wait_minutes=0)
    assert run.outcomes == ["not_added_locked"]
    assert wait(run) is None


def wait(run, minutes=0):
    """How long the run's first chunk is to wait, so many minutes after it was written."""
    return JOB.wait_for_locks(run.context(), 1, timedelta(minutes=minutes))


def locks(imports, **change):
    requests.post(f"{imports.alma.url}/sandbox/locks", json=change, timeout=30).raise_for_status()


def save(imports, mms_id):
    """Somebody saves the title in the editor."""
    whole = imports.client.bibs.whole(mms_id).value
    imports.client.bibs.update(mms_id, whole.replace(b">Old<", b">Saved by hand<"))


def test_what_a_person_did_about_a_refusal_counts_when_the_run_is_cleared(imports):
    one, other = (imports.add("035 __ $a (OCoLC)901", f"245 00 $a {name}") for name in ("One", "Other"))
    run = imports.load(new(901))
    assert run.outcomes == ["multi_match"]
    imports.alma.delete(f"/bibs/{other}")
    run.whole()
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["merged"], one)
    imports.alma.forget()
    run.whole()
    assert run.outcomes == ["merged"]
    assert imports.writes() == []


def test_what_alma_does_not_take_is_said_in_its_words(imports):
    imports.profiles("profiles:\n  strict: {override_warning: false}\n")
    without_008 = record("035 __ $a (OCoLC)801", "245 00 $a T")
    refused = imports.load(without_008, profile="strict")
    assert refused.outcomes == ["invalid_record"]
    assert "008" in refused.rows[0]["message"]
    warned = imports.load(without_008, name="b.mrc")
    assert warned.outcomes == ["created"]
    assert "Alma's warnings: " in warned.rows[0]["message"]


@pytest.mark.parametrize("kind", ["server_error", "malformed"])
def test_a_lost_answer_makes_no_second_title(imports, kind):
    imports.alma.faults({"kind": kind, "method": "POST", "path": "/bibs(\\?|$)", "applied": True, "first": 1})
    run = imports.load(new(801))
    assert run.outcomes == ["created"]
    assert "a look confirmed it" in run.rows[0]["message"]
    assert imports.count() == 1
    assert imports.load(new(801), name="b.mrc").outcomes == ["unchanged"]


def test_a_lost_call_is_unconfirmed_and_a_later_drop_makes_the_title(imports, monkeypatch):
    imports.alma.faults({"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "first": 1})
    run = imports.load(new(801))
    assert run.outcomes == ["unconfirmed"]
    assert run.problem
    assert imports.writes() == ["POST"]
    soon = imports.load(new(801), name="soon.mrc")
    assert soon.outcomes == ["unconfirmed"]
    assert "drop the record again in a few minutes" in soon.rows[0]["message"]
    monkeypatch.setattr(title_notes, "_UNDER_WAY", timedelta(seconds=-1))
    assert imports.load(new(801), name="later.mrc").outcomes == ["created"]
    assert imports.count() == 1


def test_a_title_that_a_lost_call_made_is_created_when_the_run_is_cleared_with_other_settings(imports):
    imports.alma.settings(number_lag_s=3600)
    fault = {"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "applied": True, "first": 1}
    imports.alma.faults(fault)
    run = imports.load(new(801))
    assert run.outcomes == ["unconfirmed"]
    imports.alma.settings(number_lag_s=0)
    imports.profiles("profiles:\n  catalog: {check_005: false}\n")
    run.whole()
    assert run.outcomes == ["created"]
    assert imports.count() == 1
    imports.alma.forget()
    assert imports.load(new(801), name="again.mrc").outcomes == ["unchanged"]
    assert imports.writes() == []


def test_a_lost_change_is_made_once(imports):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.alma.forget()
    imports.alma.faults(
        {"kind": "server_error", "method": "PUT", "path": "/bibs/", "applied": True, "first": 1}
    )
    assert imports.load(new(901)).outcomes == ["merged"]
    assert imports.writes() == ["PUT"]
    assert lines(imports.title(there), "245") == ["245 00 $a Made up"]


def test_what_the_answer_lacks_is_named(imports, monkeypatch):
    imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    replace = type(imports.client.bibs).replace

    def drops_subjects(bibs, mms_id, whole, **options):
        return replace(bibs, mms_id, whole.replace(b'tag="650"', b'tag="653"'), **options)

    monkeypatch.setattr(type(imports.client.bibs), "replace", drops_subjects)
    run = imports.load(new(901, "650 _0 $a New"))
    assert run.outcomes == ["not_applied"]
    assert "lacks what was sent in 650, 653" in run.rows[0]["message"]


def test_two_numbers_of_one_new_title_make_it_once(imports):
    imports.profiles("profiles:\n  catalog: {}\nchunk_size: 1\n")
    run = imports.load(new(901, "019 __ $a 700"), new(700), new(902))
    assert run.outcomes == ["created", "duplicate_in_file", "created"]
    assert "record 1 of the file is of the same title" in run.rows[1]["message"]
    assert imports.count() == 2


@pytest.mark.parametrize("applied", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_worker_killed_at_any_write_makes_nothing_twice(imports, applied, monkeypatch):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    for dies_at in range(1, 5):
        imports.alma.forget()
        file = to_iso2709(new(800 + dies_at)) + to_iso2709(new(901, title=f"T{dies_at}"))
        run = Run(imports, file, f"{dies_at}.mrc")
        run.read()
        run.match()
        with monkeypatch.context() as patch:
            dying(patch, imports, dies_at, applied)
            with contextlib.suppress(WorkerKilled):
                run.write()
        imports.client = imports.new_client()
        run.write()
        run.finish()
        made = imports.client.bibs.by_system_number(f"(OCoLC){800 + dies_at}").value
        if not made:  # it died between the note that the title is sent and the call: nobody knows
            assert not applied
            assert run.outcomes == ["unconfirmed", "merged"]
            continue
        assert run.outcomes == ["created", "merged"], run.rows
        assert [each.mms_id for each in made] == [run.rows[0]["mms_id"]]
        assert lines(imports.title(there), "245") == [f"245 00 $a T{dies_at}"]


def dying(patch, imports, dies_at, applied):
    """The worker dies at its nth write to Alma or to the bucket, before or after it took effect."""
    done = itertools.count(1)

    def deadly(owner, name):
        real = getattr(owner, name)

        def call(*given, **options):
            dies = next(done) == dies_at
            if dies and not applied:
                raise WorkerKilled
            result = real(*given, **options)
            if dies:
                raise WorkerKilled
            return result

        patch.setattr(owner, name, call)

    deadly(imports.client.bibs, "create")
    deadly(imports.client.bibs, "link_from_network")
    deadly(imports.client.bibs, "replace")
    deadly(imports.bucket, "put")


def test_an_older_spelling_is_found_behind_a_title_that_does_not_have_the_number(imports, monkeypatch):
    """The index is broader than a field, or lags: by the first spelling it names another title."""
    other = imports.add("035 __ $a (OCoLC)999", "245 00 $a Other")
    there = imports.add("035 __ $a (OCoLC)ocm00000901", "245 00 $a Old")
    bibs = type(imports.client.bibs)
    real, entry = bibs.by_system_number, imports.client.bibs.read_to_change(other).value

    def find(self, spelling, **given):
        return Found([entry]) if spelling == "(OCoLC)901" else real(self, spelling, **given)

    monkeypatch.setattr(bibs, "by_system_number", find)
    run = imports.load(new(901))
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["merged"], there)


def test_of_two_spellings_in_two_titles_the_first_is_asked_for_alone(imports):
    """As the contract has it; by SRU they are `multi_match`."""
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.add("035 __ $a (OCoLC)ocm00000901", "245 00 $a Older")
    run = imports.load(new(901))
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["merged"], there)


def test_what_a_record_costs(imports):
    numbers = range(901, 911)
    for number in numbers:
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old")

    def cost(*records, name):
        imports.alma.forget()
        run = imports.load(*records, name=name)
        return run.counts, sum("/bibs" in call["path"] for call in imports.alma.calls())

    known, unknown = [new(number) for number in numbers], [new(number - 100) for number in numbers]
    assert cost(*known, name="a.mrc") == ({"merged": 10}, 20)
    assert cost(*unknown, name="b.mrc") == ({"created": 10}, 30)
    assert cost(*known, *unknown, name="c.mrc") == ({"unchanged": 20}, 20)


def test_a_change_that_alma_never_answers_is_failed_and_not_called_a_refusal(imports):
    imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.alma.faults({"kind": "server_error", "method": "PUT", "path": "/bibs/"})
    run = imports.load(new(901))
    assert run.outcomes == ["failed"]
    assert "it was not written: PUT" in run.rows[0]["message"]


@pytest.mark.parametrize("by_sru", [False, True])
def test_a_number_of_another_system_is_asked_for_as_it_is_written_too(imports, by_sru):
    if by_sru:
        imports.with_sru()
    imports.profiles("profiles:\n  lccn: {match: [system]}\n")
    spaced = imports.add("035 __ $a (DLC)   77012345", "245 00 $a Old")
    plain = imports.add("035 __ $a (DLC)77012346", "245 00 $a Old")
    file = [
        record(F008, "035 __ $a (DLC)   77012345", "245 00 $a As Alma has it"),
        record(F008, "035 __ $a (DLC)   77012346", "245 00 $a With blanks"),
    ]
    run = imports.load(*file, profile="lccn")
    ends = [("merged", spaced), ("merged", plain)]
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == ends, run.rows
    assert imports.count() == 2
