"""What a run is told: the file, the form laid over it, and a sentence for everything that cannot be meant."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alma_etl.errors import InputProblem
from alma_etl.jobs.folder import Chunk
from alma_etl.remote.errors import RemoteServerError, RemoteUnauthorized
from alma_etl.west.converting import RESULT as CONVERTED
from alma_etl.west.extract import extract_mms_ids
from alma_etl.west.report import check_outcome
from alma_etl.west.run import InputCounts
from alma_etl.west.settings import SETTINGS, ListMode, settings_of_run
from tests.unit.west.builders import mms, settings
from tests.unit.west.fake_alma import FakeAlma, pages_of, refused

SET = "59000000000004401"
OWN = f"set_id: '{SET}'\noclc_symbol: ZZMAIN\n"


def of_run(bucket, text: str | None = OWN, **params):
    if text is not None:
        bucket.put(SETTINGS.key, text.encode())
    return settings_of_run(bucket, params, sandbox=text is None)


def problem(bucket, text: str | None = OWN, **params) -> str:
    with pytest.raises(InputProblem) as raised:
        of_run(bucket, text, **params)
    return str(raised.value)


def test_the_shipped_file_is_complete(bucket):
    found = of_run(bucket, None)
    assert (found.set_id, found.oclc_symbol, found.programme, found.list_mode) == (
        SET,
        "ZZMAIN",
        "WEST",
        "batch",
    )
    assert (found.failure_threshold, found.max_drop, found.chunk_size, found.timezone) == (
        0.01,
        0.05,
        500,
        "UTC",
    )
    assert found.exclude_locations == ("microform", "UNASSIGNED")
    assert (found.dry_run, found.include_suppressed, found.limit, found.marc_key) == (
        False,
        False,
        None,
        None,
    )


def test_the_sandboxs_set_symbol_and_locations_are_not_used_on_another_alma(bucket):
    found = settings_of_run(bucket, {"set_id": "777", "oclc_symbol": "ZZOWN"})
    assert (found.set_id, found.oclc_symbol, found.exclude_locations) == ("777", "ZZOWN", ())
    shipped = settings_of_run(bucket, {}, sandbox=True)
    own = ("set_id", "oclc_symbol", "exclude_locations")
    assert found.model_dump(exclude=own) == shipped.model_dump(
        exclude=own
    )  # general defaults hold everywhere


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, ["neither of set_id and marc_key", "No OCLC symbol"]),
        ({"set_id": "777"}, ["No OCLC symbol: set oclc_symbol or symbol_by_library"]),
        ({"oclc_symbol": "ZZOWN"}, ["neither of set_id and marc_key"]),
    ],
)
def test_what_another_alma_lacks_is_named_with_the_file_and_an_example(bucket, params, told):
    with pytest.raises(InputProblem) as raised:
        settings_of_run(bucket, params)
    for words in [*told, SETTINGS.key, "include/alma_etl/west/west.yaml", "environment"]:
        assert words in str(raised.value)


@pytest.mark.parametrize("text", ["", "# all to come\n", "max_drop: 0.1\n", "oclc_symbol: ZZOWN\n"])
def test_a_file_that_leaves_out_the_set_does_not_get_the_sandboxs(bucket, text):
    bucket.put(SETTINGS.key, text.encode())
    for sandbox in (True, False):
        with pytest.raises(InputProblem, match="neither of set_id and marc_key"):
            settings_of_run(bucket, {}, sandbox=sandbox)


def test_the_example_is_where_the_sentence_says():
    assert (Path(__file__).resolve().parents[3] / SETTINGS.example).is_file()


def test_the_buckets_file_replaces_the_shipped_one_as_a_whole(bucket):
    found = of_run(bucket, "set_id: '123'\noclc_symbol: ZZLAW\n")
    assert (found.set_id, found.oclc_symbol, found.exclude_locations) == ("123", "ZZLAW", ())


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_what_the_form_leaves_empty_comes_from_the_file(bucket, nothing):
    names = (
        "set_id",
        "marc_key",
        "oclc_symbol",
        "programme",
        "list_mode",
        "chunk_size",
        "limit",
        "dry_run",
        "max_drop",
    )
    assert of_run(bucket, None, **dict.fromkeys(names, nothing)) == of_run(bucket, None)


def test_what_the_form_says_counts(bucket):
    found = of_run(
        bucket,
        set_id=" 777 ",
        oclc_symbol="ZZSCI",
        symbol_by_library={"LAW": "ZZLAW"},
        programme="EAST",
        list_mode="exact",
        exclude_locations=["a", "LAW/b"],
        chunk_size=10,
        limit=3,
        failure_threshold=0,
        max_drop=1,
        dry_run=True,
    )
    assert (found.set_id, found.default_symbol, found.programme) == ("777", "ZZSCI", "EAST")
    assert (found.failure_threshold, found.max_drop, found.limit, found.dry_run) == (0, 1, 3, True)
    assert found.symbols == ("ZZLAW", "ZZSCI")


def test_a_form_can_say_no_and_none_where_the_file_says_yes_and_some(bucket):
    text = OWN + "dry_run: true\ninclude_suppressed: true\nexclude_locations: [a]\n"
    found = of_run(bucket, text, dry_run=False, include_suppressed=False, exclude_locations=[])
    assert (found.dry_run, found.include_suppressed, found.exclude_locations) == (False, False, ())


def test_the_form_gives_lines(bucket):
    symbols = of_run(bucket, symbol_by_library="LAW ZZLAW\n\n SCI: ZZSCI\nMAIN=ZZMAIN\n").symbol_by_library
    assert symbols == {"LAW": "ZZLAW", "SCI": "ZZSCI", "MAIN": "ZZMAIN"}
    assert of_run(bucket, exclude_locations=["a", "LAW/b", ""]).exclude_locations == ("a", "LAW/b")


@pytest.mark.parametrize("line", ["LAW", "LAW ZZLAW ZZSCI", '{"LAW": "ZZLAW"}', "= ZZLAW"])
def test_a_line_that_names_no_library_with_its_symbol(bucket, line):
    told = problem(bucket, symbol_by_library=f"SCI ZZSCI\n{line}")
    assert told.startswith(f"symbol_by_library: {line!r} cannot be read: write one library a line")


# --- exactly one input


def test_the_forms_input_replaces_the_files_whichever_it_is(bucket):
    assert of_run(bucket, marc_key="west/exports/a.mrc").set_id is None
    other = "marc_key: west/exports/a.mrc\noclc_symbol: ZZMAIN\n"
    found = of_run(bucket, other, set_id="777")
    assert (found.set_id, found.marc_key) == ("777", None)


@pytest.mark.parametrize(
    ("text", "params", "told"),
    [
        ("oclc_symbol: ZZMAIN\n", {}, "neither of set_id and marc_key"),
        ("oclc_symbol: ZZMAIN\nset_id: null\n", {"set_id": ""}, "neither of set_id and marc_key"),
        (OWN + "marc_key: a.mrc\n", {}, "both of set_id and marc_key"),
        (OWN, {"set_id": "1", "marc_key": "a.mrc"}, "both of set_id and marc_key"),
        ("set_id: abc\noclc_symbol: ZZMAIN\n", {}, "set_id must be the number of an Alma set, not 'abc'"),
        (OWN, {"set_id": "../x"}, "not '../x'"),
        (f"set_id: '{SET}'\n", {}, "No OCLC symbol: set oclc_symbol or symbol_by_library"),
    ],
)
def test_what_is_missing_or_too_much(bucket, text, params, told):
    assert told in problem(bucket, text, **params)


# --- faults of the file name its line


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("max_drop: 5", "config/west.yaml, line 3: max_drop: must be at most 1.0, not 5"),
        ("# x\n\nfailure_threshold: many", "config/west.yaml, line 5: failure_threshold: "),
        ("colour: red", "config/west.yaml, line 3: colour: is not known here"),
        ("list_mode: fast", "config/west.yaml, line 3: list_mode: "),
        (
            "symbol_by_library:\n  LAW: ZZLAW\n  SCI: zz-sci",
            "config/west.yaml, line 5: symbol_by_library.SCI: ",
        ),
        ("exclude_locations: [a, b]\nchunk_size: 0", "config/west.yaml, line 4: chunk_size: "),
        (
            "exclude_locations:\n- a\n- 12",
            "line 5: exclude_locations.1: must be text, put it in quotes",
        ),
        ("marc_org_code: no", "line 3: marc_org_code: must be text, put it in quotes"),
        (
            "timezone: Mars",
            "config/west.yaml, line 3: timezone: there is no time zone 'Mars'; write it like",
        ),
        ("timezone: ../../etc/passwd", "there is no time zone"),
        ("limit: [1", "config/west.yaml, line 4: not readable as YAML"),
        ("a: b: c", "config/west.yaml, line 3: not readable as YAML"),
        ("\tset_id: 1", "config/west.yaml, line 3: not readable as YAML"),
    ],
)
def test_a_fault_of_the_file(bucket, lines, told):
    assert told in problem(bucket, OWN + lines + "\n")


def test_several_faults_are_told_at_once(bucket):
    found = problem(bucket, OWN + "max_drop: 5\ncolour: red\n")
    assert "line 3: max_drop" in found
    assert "line 4: colour" in found


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "12"])
def test_a_file_that_holds_no_settings(bucket, text):
    assert "config/west.yaml, line 1: expected settings of the form `name: value`" in problem(bucket, text)


def test_a_file_that_is_no_utf8(bucket):
    bucket.put(SETTINGS.key, "programme: Résumé".encode("latin-1"))
    assert "config/west.yaml, line 1: not UTF-8 text" in problem(bucket, None)


def test_an_editors_byte_order_mark_does_no_harm(bucket):
    bucket.put(SETTINGS.key, b"\xef\xbb\xbf" + OWN.encode())
    assert settings_of_run(bucket, {}).set_id == SET


def test_numbers_without_quotes_are_ids_all_the_same(bucket):
    assert of_run(bucket, f"set_id: {SET}\noclc_symbol: ZZMAIN\n").set_id == SET


def test_python_objects_in_the_file_are_not_made(bucket):
    assert "not readable as YAML" in problem(bucket, OWN + "programme: !!python/object/apply:os.getcwd []\n")


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"oclc_symbol": "zzmain"}, "oclc_symbol: must be 2 to 10 capital letters and digits, not 'zzmain'"),
        ({"oclc_symbol": "../UP"}, "oclc_symbol"),
        ({"oclc_symbol": "ZZ\n"}, "oclc_symbol"),
        ({"symbol_by_library": {"LAW": "x"}}, "symbol_by_library.LAW"),
        ({"max_drop": -0.1}, "max_drop"),
        ({"limit": 0}, "limit"),
        ({"chunk_size": 100_000}, "chunk_size"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_fault_of_the_form_names_the_field(bucket, params, told):
    found = problem(bucket, **params)
    assert found.startswith("The run's form holds values that cannot be used: ")
    assert told in found


# --- what follows from the settings


def test_wanting_suppressed_holdings_implies_the_exact_mode():
    assert settings(include_suppressed=True).effective_list_mode is ListMode.EXACT
    assert settings(include_suppressed=True, list_mode="batch").effective_list_mode is ListMode.EXACT
    assert settings().effective_list_mode is ListMode.BATCH


def test_symbols_of_libraries():
    both = settings(symbol_by_library={"LAW": "ZZLAW", "SCI": "ZZMAIN"})
    assert (both.symbols, both.default_symbol) == (("ZZLAW", "ZZMAIN"), "ZZMAIN")
    assert (both.symbol_of("LAW"), both.symbol_of("MAIN"), both.symbol_of("")) == (
        "ZZLAW",
        "ZZMAIN",
        "ZZMAIN",
    )
    none = settings(oclc_symbol=None, symbol_by_library={"SCI": "ZZSCI", "LAW": "ZZLAW"})
    assert (none.symbols, none.default_symbol) == (("ZZLAW", "ZZSCI"), "ZZSCI")
    assert none.symbol_of("MAIN") is None


# --- the first step


MOMENT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def ids(count: int) -> list[str]:
    return [mms(number) for number in range(count)]


def extract(folder, alma: FakeAlma, moment: datetime = MOMENT, **params) -> list[Chunk]:
    folder.bucket.put(SETTINGS.key, OWN.encode())
    return extract_mms_ids(alma, folder, params, moment=moment)


def test_titles_are_cut_into_chunks_in_the_order_of_their_ids(folder, alma):
    alma.members = pages_of(list(reversed(ids(25))))
    chunks = extract(folder, alma, chunk_size=10)
    assert [chunk.number for chunk in chunks] == [1, 2, 3]
    assert chunks[0].label == f"chunk 0001: {mms(0)}-{mms(9)}"
    assert [folder.mms_ids(number) for number in (1, 2, 3)] == [ids(25)[:10], ids(25)[10:20], ids(25)[20:]]
    plan = folder.plan()
    assert (plan.chunks, plan.titles, plan.source, plan.run_id) == (3, 25, f"set {SET}", folder.run_id)
    assert plan.counts == InputCounts(total=25, titles=25)


@pytest.mark.parametrize(
    ("titles", "size", "chunks", "largest"),
    [(1_000, 1, 1_000, 1), (1_001, 1, 501, 2), (2_500, 2, 834, 3), (2_500, 500, 5, 500), (1, 500, 1, 1)],
)
def test_chunks_grow_so_that_there_are_at_most_a_thousand(
    folder, alma, titles, size, chunks, largest, monkeypatch
):
    written = {}
    monkeypatch.setattr(
        type(folder), "write_mms_ids", lambda self, number, found: written.__setitem__(number, found)
    )
    alma.members = pages_of(ids(titles))
    found = extract(folder, alma, chunk_size=size)
    assert len(found) == folder.plan().chunks == chunks
    assert max(map(len, written.values())) == largest
    assert sum(map(len, written.values())) == titles


def test_the_plan_knows_a_limit_of_the_file_from_one_of_the_form(folder, alma):
    alma.members = pages_of(ids(3))
    extract(folder, alma, limit=2)
    assert not folder.plan().limit_of_file
    folder.bucket.put(SETTINGS.key, (OWN + "limit: 2\n").encode())
    extract_mms_ids(alma, folder, {"limit": None}, moment=MOMENT)
    assert folder.plan().limit_of_file


def test_a_limit_takes_the_first_titles(folder, alma):
    alma.members = pages_of(list(reversed(ids(30))))
    assert len(extract(folder, alma, limit=7)) == 1
    assert folder.mms_ids(1) == ids(7)
    assert (folder.plan().titles, folder.plan().counts.titles) == (7, 30)
    extract(folder, alma, limit=100)
    assert folder.plan().titles == 30


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("UTC", datetime(2026, 11, 20, 23, 59, tzinfo=UTC), "2026-11-20"),
        ("America/Los_Angeles", datetime(2026, 11, 20, 7, 59, tzinfo=UTC), "2026-11-19"),
        ("America/Los_Angeles", datetime(2026, 11, 20, 8, 0, tzinfo=UTC), "2026-11-20"),
        ("America/Los_Angeles", datetime(2026, 7, 1, 7, 0, tzinfo=UTC), "2026-07-01"),
        ("Pacific/Auckland", datetime(2026, 11, 20, 12, 0, tzinfo=UTC), "2026-11-21"),
    ],
)
def test_the_day_is_that_of_the_configured_time_zone(folder, alma, zone, moment, day):
    alma.members = pages_of(ids(1))
    folder.bucket.put(SETTINGS.key, f"{OWN}timezone: {zone}\n".encode())
    extract_mms_ids(alma, folder, {}, moment=moment)
    assert folder.plan().day.isoformat() == day


def test_bad_input_is_kept_for_the_report_until_a_run_gets_on(folder, alma):
    with pytest.raises(InputProblem):
        extract(folder, alma)
    assert folder.problem() is not None
    assert "is empty" in folder.problem()
    alma.members = pages_of(ids(1))
    extract(folder, alma)
    assert folder.problem() is None


@pytest.mark.parametrize(
    "error",
    [
        RemoteUnauthorized("GET /conf/sets/1", 400, "UNAUTHORIZED", "the key is unknown", "E01-1"),
        RemoteServerError("GET /conf/sets/1", 500, "", "broken", "E01-1"),
        refused("401861"),
    ],
)
def test_what_alma_said_is_kept_for_the_report_too(folder, alma, error):
    alma.trouble["set", SET] = error
    with pytest.raises(type(error)):
        extract(folder, alma)
    assert folder.problem() == str(error)
    with pytest.raises(Exception, match="Nothing was delivered") as raised:
        check_outcome(folder, {"extract_mms_ids": "failed"})
    assert str(error) in str(raised.value)


def test_a_cleared_run_does_not_pass_old_chunks_for_new_ones(folder, alma):
    alma.members = pages_of(ids(4))
    extract(folder, alma, chunk_size=2)
    folder.bucket.put(folder.chunk_key(2, CONVERTED), b"of other titles")
    alma.members = pages_of(ids(5)[1:])
    extract(folder, alma, chunk_size=2)
    assert folder.bucket.info(folder.chunk_key(2, CONVERTED)) is None
