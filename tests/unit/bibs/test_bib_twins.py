"""Two at one title: records of one file in two chunks, runs at once, and what one import remembers for the next."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations

import pytest

from alma_etl.bibs import title_notes
from alma_etl.bibs.twins import deciding, firsts
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.errors import RemoteMalformed
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.records import lines, record
from tests.unit.bibs.test_bib_imports import F008, brief, new

ONE_A_CHUNK = "profiles:\n  catalog: {}\nchunk_size: 1\n"
TWO_NUMBERS = ("035 __ $a (OCoLC)901", "035 __ $a (OCoLC)902", "245 00 $a Old")


def test_records_are_linked_by_what_they_share_and_by_others():
    names = {1: "a", 2: "b", 3: "ab", 4: "c", 5: "d", 6: "dc", 7: ""}
    found = firsts([{"line": line} for line in (7, 3, 2, 1, 6, 5, 4)], lambda row: names[row["line"]])
    assert {line: first["line"] for line, first in found.items()} == {
        1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 7: 7,
    }  # fmt: skip


def test_what_is_refused_decides_nothing_and_a_record_with_a_title_depends_on_what_shares_its_numbers():
    names = {1: "a", 2: "a", 3: "ab", 4: "b", 5: "c", 6: "dc", 7: "d", 8: "e"}
    rows = [{"line": line} for line in (8, 3, 2, 1, 7, 6, 5, 4)]

    def found(*, refused=(), titled=(), asked=names, named=names):
        decided = deciding(
            rows,
            lambda row: named[row["line"]],
            lambda row: asked[row["line"]],
            decides=lambda row: row["line"] not in refused,
            has_title=lambda row: row["line"] in titled,
            agree=lambda row, other: row["line"] % 2 == other["line"] % 2,
        )
        return [decided[line]["line"] for line in range(1, 9)]

    assert found() == [1, 1, 1, 1, 5, 5, 5, 8]
    assert found(refused=(1, 5)) == [1, 2, 2, 2, 5, 6, 6, 8]
    assert found(titled=(2, 4, 7)) == [1, 1, 1, 4, 5, 5, 7, 8]
    assert found(refused=range(9)) == list(range(1, 9))
    assert found(asked={**names, 3: "b", 6: "d"}) == [1, 1, 3, 3, 5, 6, 6, 8]
    weak = {line: ["isbn:1"] for line in names}
    assert found(asked=weak, named=weak) == [1, 2, 1, 2, 1, 2, 1, 2]


heavy = pytest.mark.heavy


def matched(imports, *records, name="march.mrc"):
    """A run whose chunks are all matched and none is written, and their numbers."""
    run = Run(imports, b"".join(map(to_iso2709, records)), name)
    numbers = range(1, run.read() + 1)
    for number in numbers:
        run.match(number)
    return run, list(numbers)


def save(imports, mms_id, text):
    """Somebody saves the title in the editor."""
    whole = imports.client.bibs.whole(mms_id).value
    imports.client.bibs.update(mms_id, whole.replace(b"Old<", text.encode() + b" Old<"))


def at_once(*chunks):
    """Chunks, each of a run, are written by workers at the same time."""
    start = threading.Barrier(len(chunks))

    def work(run, number):
        start.wait()
        run.write(number)

    workers = [threading.Thread(target=work, args=chunk) for chunk in chunks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


ORDERS = [pytest.param(order, id=f"{order}") for order in permutations((1, 2))]


@heavy
@pytest.mark.parametrize("order", [*ORDERS, "at once", "matched late"])
def test_twins_in_two_chunks_name_the_one_that_was_written(imports, order):
    imports.profiles(ONE_A_CHUNK)
    there = imports.add(*TWO_NUMBERS)
    imports.alma.forget()
    records = [new(901), new(902, title="Another")]
    if order == "matched late":
        run = Run(imports, b"".join(map(to_iso2709, records)))
        for number in range(1, run.read() + 1):
            run.match(number)
            run.write(number)
    else:
        run, numbers = matched(imports, *records)
        assert numbers == [1, 2]
        if order == "at once":
            at_once(*((run, number) for number in numbers))
        else:
            for number in order:
                run.write(number)
    run.finish()
    assert sorted(run.outcomes) == ["duplicate_in_file", "merged"]
    assert imports.writes() == ["PUT"]
    first, other = (run.outcomes.index(word) for word in ("merged", "duplicate_in_file"))
    assert f"record {first + 1} of the file is of the same title" in run.rows[other]["message"]
    assert {row["mms_id"] for row in run.rows} == {there}
    title = ["Made up", "Another"][first]
    assert lines(imports.title(there), "245") == [f"245 00 $a {title}"]


@heavy
def test_in_a_dry_run_a_twin_in_another_chunk_names_the_first_of_the_file(imports):
    imports.profiles(ONE_A_CHUNK)
    imports.add(*TWO_NUMBERS)
    imports.add("035 __ $a (OCoLC)903", "245 00 $a Old")
    file = [new(902), new(903), new(901, title="“Ünï”"), new(801), new(802)]
    run = imports.load(*file, dry_run=True)
    assert run.outcomes == ["would_merge"] * 3 + ["would_create"] * 2
    named = [row["message"] for row in run.rows if "of the file" in row["message"]]
    assert named == [run.rows[2]["message"]]
    assert "record 1 of the file is of the same title" in named[0]
    assert run.rows[2]["title"] == "“Ünï”"


@heavy
def test_a_twin_in_another_chunk_that_adds_nothing_is_unchanged(imports):
    imports.profiles(ONE_A_CHUNK)
    there = imports.add(*TWO_NUMBERS)
    run, numbers = matched(imports, new(902), record(f"001 {there}", F008, "245 00 $a Made up"))
    for number in reversed(numbers):
        run.write(number)
    run.finish()
    assert sorted(run.outcomes) == ["merged", "unchanged"]
    [unchanged] = [row for row in run.rows if row["outcome"] == "unchanged"]
    assert "of the file is of the same title, and all of it" in unchanged["message"]


@heavy
@pytest.mark.parametrize("dry_run", [False, True])
def test_records_that_share_a_number_are_in_one_chunk_and_the_first_of_the_file_decides(imports, dry_run):
    imports.profiles("profiles:\n  isbn: {match: [oclc, '019', system]}\nchunk_size: 1\n")
    file = [
        new(901, "019 __ $a 700"),
        new(700, title="Another"),
        new(801, "035 __ $a (Vnd)5"),
        record(F008, "035 __ $a (Vnd)5", "245 00 $a Vendor's"),
        new(802),
    ]
    run = imports.load(*file, profile="isbn", dry_run=dry_run)
    if dry_run:  # by the vendor's number alone they may be two titles: that is not known before one is there
        assert run.outcomes == [
            "would_create", "duplicate_in_file", "would_create", "would_create", "would_create",
        ]  # fmt: skip
        return
    assert run.outcomes == ["created", "duplicate_in_file", "created", "duplicate_in_file", "created"]
    assert "record 1 of the file is of the same title" in run.rows[1]["message"]
    assert "record 3 of the file is of the same title" in run.rows[3]["message"]
    assert imports.count() == 3
    imports.alma.forget()
    again = imports.load(*file, profile="isbn", name="april.mrc")
    assert again.outcomes == ["unchanged", "duplicate_in_file", "unchanged", "duplicate_in_file", "unchanged"]
    assert imports.writes() == []


@heavy
def test_by_present_numbers_alone_a_former_one_makes_no_twin(imports):
    imports.profiles("profiles:\n  present: {match: [oclc]}\n")
    both, former = new(901, "019 __ $a 700"), new(700, title="Another")
    assert imports.load(former, both, profile="present").outcomes == ["created", "created"]
    imports.alma.reset()
    other = [new(902, "019 __ $a 600"), new(600, title="Another")]
    dry = imports.load(*other, profile="present", name="b.mrc", dry_run=True)
    assert dry.outcomes == ["would_create", "duplicate_in_file"]
    run = imports.load(*other, profile="present", name="b.mrc")
    assert run.outcomes == ["created", "duplicate_in_file"]  # a number of a title counts wherever it stands
    assert "record 1 of the file is of the same title" in run.rows[1]["message"]


@heavy
@pytest.mark.parametrize("sru", [False, True])
def test_a_refused_record_decides_nothing_so_that_the_same_file_again_writes_nothing(imports, sru):
    if sru:
        imports.with_sru()
    old, there, former = (
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old") for number in (901, 902, 903)
    )
    file = [
        brief(901),
        new(901, title="First"),
        new(901, title="Second"),
        new(901, title="First"),
        record("005 20000101000000.0", F008, "035 __ $a (OCoLC)902", "245 00 $a Older"),
        new(902, "019 __ $a 903", title="Of two titles"),
        new(902, title="First"),
        brief(902),
        new(903, title="A title of its own"),
    ]
    ends = [
        "not_added_brief", "merged", "duplicate_in_file", "unchanged", "not_added_old", "multi_match", "merged",
        "duplicate_in_file", "merged",
    ]  # fmt: skip
    dry = imports.load(*file, dry_run=True)
    assert dry.outcomes == [end.replace("merged", "would_merge") for end in ends]
    run = imports.load(*file)
    assert run.outcomes == ends
    assert "record 2 of the file has the same number" in run.rows[2]["message"]
    imports.alma.forget()
    again = imports.load(*file, name="april.mrc")
    assert again.outcomes == [end.replace("merged", "unchanged") for end in ends]
    assert imports.writes() == []
    titles = [lines(imports.title(each), "245") for each in (old, there, former)]
    assert titles == [["245 00 $a First"], ["245 00 $a First"], ["245 00 $a A title of its own"]]


@heavy
def test_a_weak_number_makes_no_twins_of_records_whose_carriers_or_oclc_numbers_disagree(imports):
    imports.with_sru()
    imports.profiles("profiles:\n  catalog: {match: [isbn]}\n")
    online, isbn = F008[:27] + "o" + F008[28:], "020 __ $a 9780306406157"
    file = [
        record(F008, isbn, "245 00 $a Made up"),
        record(online, isbn, "245 00 $a Made up"),
        record(F008, isbn, "245 00 $a Made up"),
        record(online, isbn, "245 00 $a Another"),
        record(F008, isbn, "035 __ $a (OCoLC)1", "245 00 $a Made up"),
        record(F008, "020 __ $a 9781861972712", "035 __ $a (OCoLC)2", "245 00 $a Two"),
        record(F008, "020 __ $a 9781861972712", "035 __ $a (OCoLC)3", "245 00 $a Two"),
    ]
    ends = [
        "created", "created", "unchanged", "duplicate_in_file", "duplicate_in_file", "created", "created",
    ]  # fmt: skip
    dry = imports.load(*file, dry_run=True)
    assert dry.outcomes == [end.replace("created", "would_create") for end in ends]
    run = imports.load(*file)
    assert run.outcomes == ends
    assert "carriers disagree: online, and print in Alma" in run.rows[1]["message"]
    assert "record 2 of the file has the same number" in run.rows[3]["message"]
    assert "OCLC numbers disagree: 3 and 2 in Alma" in run.rows[6]["message"]
    imports.alma.forget()
    again = imports.load(*file, name="april.mrc")
    assert again.outcomes == [end.replace("created", "unchanged") for end in ends]
    assert imports.writes() == []


@heavy
def test_in_a_cleared_run_what_it_made_by_other_settings_decides_still(imports):
    imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    both, older = (record("005 20000101000000.0", F008, *fields) for fields in (
        ("035 __ $a (OCoLC)901 $z (OCoLC)902", "245 00 $a Names both"),
        ("035 __ $a (OCoLC)902", "245 00 $a Older"),
    ))  # fmt: skip
    run = imports.load(brief(901), new(902), both, older)
    assert run.outcomes == ["not_added_brief", "created", "duplicate_in_file", "duplicate_in_file"]
    imports.profiles("profiles:\n  catalog: {on_refused: create}\n")
    run.whole()
    assert run.outcomes == ["created", "created", "duplicate_in_file", "duplicate_in_file"]
    assert "record 2 of the file has the same number" in run.rows[3]["message"]


@heavy
def test_a_dry_run_compares_twins_with_a_title_that_is_to_stay(imports):
    imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.load(new(901), name="before.mrc")
    file = [new(901), brief(901), new(901, title="Another"), new(901)]
    imports.alma.forget()
    ends = ["unchanged", "duplicate_in_file", "duplicate_in_file", "unchanged"]
    assert imports.load(*file, dry_run=True).outcomes == ends
    assert imports.load(*file).outcomes == ends
    assert imports.writes() == []


def not_looked_up(monkeypatch, imports, *numbers):
    """Alma does not answer for these OCLC numbers."""
    bibs = type(imports.client.bibs)
    real = bibs.by_system_number

    def find(self, spelling, **given):
        if spelling in [f"(OCoLC){number}" for number in numbers]:
            return Unknown(RemoteMalformed("GET /bibs", 500, "", "no answer"))
        return real(self, spelling, **given)

    monkeypatch.setattr(bibs, "by_system_number", find)


@heavy
def test_a_record_waits_for_the_end_of_one_of_the_same_title_and_not_for_one_that_shares_a_weak_number(
    imports,
):
    imports.profiles("profiles:\n  catalog: {match: [oclc, '019', system]}\n")
    first, same, other = (
        new(901, "019 __ $a 700", "035 __ $a (Vnd)5"),
        new(700, title="Same"),
        new(902, "035 __ $a (Vnd)5", title="Other"),
    )
    run, _ = matched(imports, first, same, other)
    fault = {"kind": "refuse", "code": "499", "method": "POST", "path": "/bibs(\\?|$)", "first": 1}
    imports.alma.faults(fault)
    run.write()
    imports.alma.heal()
    run.finish()
    assert run.outcomes == ["failed", "failed", "created"]
    assert "line 1 is for the same thing" in run.rows[1]["message"]
    assert imports.writes()[-2:] == ["POST", "POST"]


@heavy
def test_a_record_waits_for_one_of_the_same_title_that_could_not_be_looked_up(imports, monkeypatch):
    imports.profiles("profiles:\n  isbn: {match: [oclc]}\n")
    file = [new(700, title="Same"), new(901, "019 __ $a 700")]
    with monkeypatch.context() as patch:
        not_looked_up(patch, imports, 700)
        run = imports.load(*file, profile="isbn")
    assert run.outcomes == ["failed", "failed"]
    assert "line 1 is for the same thing" in run.rows[1]["message"]
    run.whole()
    assert run.outcomes == ["created", "created"]
    with monkeypatch.context() as patch:
        not_looked_up(patch, imports, 801)  # it does not wait for a later one
        assert imports.load(new(800), new(801, "019 __ $a 800"), profile="isbn", name="b.mrc").outcomes == [
            "created", "failed",
        ]  # fmt: skip


@heavy
def test_what_another_import_sent_without_an_answer_is_looked_for_before_the_title_is_made(
    imports, monkeypatch
):
    """The record was matched before the other import sent that title, and comes to be written some minutes later."""
    late, _ = matched(imports, new(801, title="Late"), name="late.mrc")
    imports.alma.settings(number_lag_s=3600)
    fault = {"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "applied": True, "first": 1}
    imports.alma.faults(fault)
    assert imports.load(new(801)).outcomes == ["unconfirmed"]
    imports.alma.settings(number_lag_s=0)
    monkeypatch.setattr(title_notes, "_UNDER_WAY", timedelta(seconds=-1))
    assert late.write() == {"merged": 1}
    assert imports.count() == 1


@heavy
def test_a_title_with_its_number_that_is_being_sent_is_waited_for(imports, monkeypatch):
    """Records of two files that share a weak number and are no match, at the same time."""
    imports.profiles("profiles:\n  catalog: {match: [oclc, '019', system]}\n")
    (one, _), (two, _) = (
        matched(imports, new(number, "035 __ $a (Vnd)5"), name=f"{number}.mrc") for number in (901, 902)
    )
    sending, go = threading.Event(), threading.Event()
    create = type(imports.client.bibs).create

    def slow(bibs, *given, **options):
        if not go.is_set():
            sending.set()
            go.wait()
        return create(bibs, *given, **options)

    monkeypatch.setattr(type(imports.client.bibs), "create", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.write)
        assert sending.wait(30)

        def pause(client, seconds):
            go.set()
            first.result()

        monkeypatch.setattr(type(imports.client), "pause", pause)
        ended = two.write()
        go.set()
    assert (first.result(), ended) == ({"created": 1}, {"created": 1})


@heavy
@pytest.mark.parametrize("somebody", ["nobody", "before", "between", "after"])
def test_of_two_runs_at_one_title_the_later_is_matched_again_unless_somebody_else_saved_it(imports, somebody):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old", "979 __ $a Old")
    if somebody == "before":
        save(imports, there, "B")
    later, _ = matched(imports, new(901, title="Later"), name="later.mrc")
    if somebody == "between":
        save(imports, there, "C")
    sooner, _ = matched(imports, new(901, title="Sooner"), name="sooner.mrc")
    assert sooner.write() == {"merged": 1}
    if somebody == "after":
        save(imports, there, "D")
    imports.alma.forget()
    expected = "conflict" if somebody in ("between", "after") else "merged"
    assert later.write() == {expected: 1}
    puts = [] if somebody == "after" else ["PUT"]  # Alma refuses the one between
    assert imports.writes() == puts
    shown = {"nobody": "Old", "before": "B Old", "between": "C Old", "after": "D Old"}[somebody]
    title = "Later" if expected == "merged" else "Sooner"
    assert lines(imports.title(there), "245", "979") == [f"245 00 $a {title}", f"979 __ $a {shown}"]


@heavy
def test_two_runs_at_once_make_a_new_title_once_and_merge_into_an_old_one_in_turn(imports):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    imports.alma.forget()
    runs = [
        matched(imports, new(801), new(901, f"500 __ $a By {each}"), name=f"{each}.mrc")[0]
        for each in range(3)
    ]
    at_once(*((run, 1) for run in runs))
    for run in runs:
        run.finish()
    assert sorted(run.outcomes[0] for run in runs) == ["created", "unchanged", "unchanged"]
    assert len({run.rows[0]["mms_id"] for run in runs}) == 1
    assert [run.outcomes[1] for run in runs] == ["merged"] * 3
    assert sorted(imports.writes()) == ["POST", "PUT", "PUT", "PUT"]
    assert len(lines(imports.title(there), "500")) == 1


@heavy
def test_several_runs_at_one_title_all_get_in_one_after_the_other(imports):
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    runs = [matched(imports, new(901, title=f"T{each}"), name=f"{each}.mrc")[0] for each in range(4)]
    for run in runs:
        assert run.write() == {"merged": 1}
    assert lines(imports.title(there), "245") == ["245 00 $a T3"]


@heavy
def test_what_is_refused_after_an_import_is_refused_and_not_written(imports):
    """The later record is briefer than what the sooner one made of the title."""
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old", leader="00000cam a22000003a 4500")
    later, _ = matched(imports, new(901, title="Later", leader="01234cam a22003015a 4500"), name="b.mrc")
    sooner, _ = matched(imports, new(901, title="Sooner"), name="a.mrc")
    sooner.write()
    assert later.write() == {"not_added_brief": 1}
    assert lines(imports.title(there), "245") == ["245 00 $a Sooner"]


@heavy
def test_numbers_that_a_merge_brings_and_takes_are_known_while_the_index_lags(imports):
    there = imports.add("035 __ $a (OCoLC)700", "245 00 $a Old")
    imports.alma.settings(number_lag_s=3600)
    try:
        brought = record(
            f"001 {there}", F008, "019 __ $a 600", "035 __ $a (OCoLC)900 $z (OCoLC)650", "245 00 $a Made up"
        )
        merged = imports.load(brought)
        assert (merged.outcomes, merged.rows[0]["reasons"]) == (["merged"], "NO_005;OCLC_REPLACED")
        assert "the title had (OCoLC)700" in merged.rows[0]["message"]
        made = imports.count()
        for number, outcome in ((900, "merged"), (650, "merged"), (600, "merged"), (700, "merged")):
            run = imports.load(new(number, title=f"By {number}"), name=f"{number}.mrc", dry_run=True)
            assert run.rows[0]["mms_id"] == there
            assert run.outcomes == [f"would_{outcome[:-1]}"]
        assert imports.count() == made
    finally:
        imports.alma.settings(number_lag_s=0)


@heavy
def test_a_title_with_two_numbers_keeps_that_of_the_record_and_the_same_file_again_writes_nothing(imports):
    there = imports.add(*TWO_NUMBERS)
    file = [new(901), new(902, title="Another")]
    run = imports.load(*file)
    assert run.outcomes == ["merged", "duplicate_in_file"]
    assert run.rows[0]["reasons"] == "OCLC_REPLACED"
    assert "the title had (OCoLC)902" in run.rows[0]["message"]
    assert lines(imports.title(there), "035") == ["035 __ $a (OCoLC)901"]
    imports.alma.forget()
    again = imports.load(*file, name="again.mrc")
    assert again.outcomes == ["unchanged", "duplicate_in_file"]
    assert imports.writes() == []
    # Alone it is the title's, too, by what is remembered; a title that has the number itself comes first.
    assert imports.load(new(902, title="Another"), name="b.mrc", dry_run=True).rows[0]["mms_id"] == there
    other = imports.add("035 __ $a (OCoLC)902", "245 00 $a Old")
    found = imports.load(new(902, title="Another"), name="c.mrc", dry_run=True)
    assert (found.outcomes, found.rows[0]["mms_id"]) == (["would_merge"], other)


@heavy
def test_a_title_made_by_an_import_is_found_behind_an_old_entry_of_the_index(imports, monkeypatch):
    other = imports.add("035 __ $a (OCoLC)999", "245 00 $a Other")
    bibs = type(imports.client.bibs)
    entry = Found([imports.client.bibs.read_to_change(other).value])
    monkeypatch.setattr(bibs, "by_system_number", lambda *_, **given: entry)
    before = imports.count()
    assert imports.load(new(901)).outcomes == ["created"]
    assert imports.load(new(901), name="again.mrc").outcomes == ["unchanged"]
    assert imports.count() == before + 1


def test_the_changes_of_a_record_that_was_matched_again_are_those_that_were_made(imports):
    imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    one, _ = matched(imports, new(901, title="One"), name="one.mrc")
    two, _ = matched(imports, new(901, title="Two"), name="two.mrc")
    one.write()
    two.write()
    two.finish()
    assert two.outcomes == ["merged"]
    assert "One" in two.text("changes")
    assert "Old" not in two.text("changes")


def test_a_record_that_was_matched_again_to_a_new_title_has_its_changes_in_the_report(imports):
    one, _ = matched(imports, new(901, title="One"), name="one.mrc")
    two, _ = matched(imports, new(901, title="Two"), name="two.mrc")
    one.write()
    two.write()
    two.finish()
    assert two.outcomes == ["merged"]
    assert "One" in two.text("changes")


def test_a_run_cleared_after_its_title_was_merged_again_is_done(imports):
    """Two attempts: the first matched again and wrote, and died before it noted that."""
    there = imports.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    later, _ = matched(imports, new(901, title="Later"), name="later.mrc")
    matched(imports, new(901, "500 __ $a Note", title="Sooner"), name="sooner.mrc")[0].write()
    later.write()
    imports.alma.forget()
    later.write()
    assert imports.writes() == []
    assert lines(imports.title(there), "245", "500") == ["245 00 $a Later"]


@heavy
@pytest.mark.parametrize("sru", [False, True])
def test_a_title_made_of_a_record_with_another_alma_s_mms_id_is_found_by_it(imports, sru):
    if sru:
        imports.with_sru()
    known = imports.add("245 00 $a Old")
    file = [record(f"001 {each}", F008, "245 00 $a Made up") for each in ("991234567890123", known)]
    run = imports.load(*file)
    assert run.outcomes == ["created", "merged"]
    imports.alma.forget()
    again = imports.load(*file, name="april.mrc")
    assert again.outcomes == ["unchanged", "unchanged"]
    assert [row["mms_id"] for row in again.rows] == [row["mms_id"] for row in run.rows]
    assert imports.writes() == []
    more = imports.load(
        record("001 991234567890123", F008, "245 00 $a Changed"), name="may.mrc", profile="catalog"
    )
    assert (more.outcomes, more.rows[0]["mms_id"]) == (["merged"], run.rows[0]["mms_id"])
