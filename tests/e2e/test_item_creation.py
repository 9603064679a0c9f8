"""`item_creation` end to end, by `dag.test()` against the sandbox."""

import json
import random
from datetime import timedelta

import pytest

from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.item_files import (
    INVISIBLE,
    SHEET,
    WRAPPED,
    Case,
    agrees,
    check,
    file_of,
    fits,
    sheet_of,
)
from tests.e2e.items import PROFILES, ItemSandbox, Loaded

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

KEY = "items/incoming/gifts/march.txt"


@pytest.fixture
def alma(sandbox, connect_alma, jobs):
    """A sandbox that is not in the way, the connection to it, and profiles."""
    found = ItemSandbox(sandbox(titles=40, per_second=0).url)
    connect_alma(found.url, requests_per_second=1000)
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode())
    return found


@pytest.fixture
def load(jobs):
    """Drops a file and runs the DAG on it."""
    moments = iter(LOGICAL_DATE + timedelta(minutes=minute) for minute in range(100))

    def run(body, key=KEY, **conf):
        if body is not None:
            jobs.bucket.put(key, body.encode() if isinstance(body, str) else body)
        stem = key.rpartition("/")[2].rpartition(".")[0]
        return Loaded(jobs.bucket, jobs.run("item_creation", {"key": key, **conf}, at=next(moments)), stem)

    return run


def lines(titles, prefix="B"):
    return "".join(f"{mms_id}|{prefix}{number}\r\n" for number, mms_id in enumerate(titles))


def test_a_notepad_file_becomes_items_reports_and_rows_to_mend(jobs, alma, load):
    titles = alma.titles()
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode() + b"chunk_size: 10\n")
    body = lines(titles[:25]) + f"{titles[25]}|\r\n{titles[26]}\r\n"
    loaded = load(body)
    assert loaded.state == "success"
    assert loaded.counts() == {"created": 25, "invalid_row": 2}
    assert alma.made()[0].keys() == {f"B{number}" for number in range(25)}
    states = loaded.task_states()
    assert set(states.values()) == {"success"}
    assert [index for task, index in sorted(states) if task == "create_items"] == [0, 1, 2]
    names = {task.rendered_map_index for task in loaded.run.get_task_instances() if task.map_index >= 0}
    assert f"chunk 0001: {titles[0]}-{titles[9]}" in names
    stem = f"march.{loaded.run.run_id}"
    assert loaded.keys("items/") == [
        f"items/done/{stem}.txt",
        f"items/rejects/{stem}.rejected.txt",
        *(f"items/reports/{stem}.{kind}" for kind in ("csv", "html", "missing-call-numbers.txt", "xlsx")),
    ]
    assert loaded.rejects().decode() == f"{titles[25]}|\r\n{titles[26]}\r\n"
    page = jobs.bucket.get(f"runs/item_creation/{loaded.run.run_id}/report.html")
    assert page == loaded.report(".html")


@pytest.mark.parametrize("form", ["lines", "csv", "tsv", "xlsx"])
def test_a_file_of_every_form_is_cleaned_or_refused_row_by_row_and_alma_holds_what_the_report_says(
    alma, load, form
):
    title = alma.titles()[0]
    cases = [case for case in INVISIBLE + WRAPPED if fits(form, case)]
    body = file_of(form, ("mms_id", "barcode"), [(title, case.typed) for case in cases])
    loaded = load(body, f"items/incoming/gifts/march.{'xlsx' if form == 'xlsx' else 'txt'}")
    assert loaded.state == "success"
    check(loaded, alma, cases, first_line=1 if form == "lines" else 2)
    agrees(loaded, alma, len(cases))
    assert "2 invisible characters removed" in loaded.page()


def test_what_a_sheet_shows_is_what_alma_gets(alma, load):
    loaded = load(sheet_of(alma.titles()[0]), "items/incoming/gifts/march.xlsx")
    check(
        loaded, alma, [Case(str(value), barcode, words) for value, _, barcode, words in SHEET], first_line=2
    )


@pytest.mark.parametrize("form", ["tsv"])
def test_any_text_in_any_cell_has_an_outcome_and_alma_holds_what_the_report_says(alma, load, form):
    chance = random.Random(7)
    title = alma.titles()[0]
    letters = "0123456789" * 3 + "Aé٣\u200b\u202d\u00a0 \"'=+-@#.,;E/\uff11"
    texts = ["".join(chance.choices(letters, k=chance.randint(1, 7))) for _ in range(120)]
    rows = [(title, texts[n], texts[-n - 1]) for n in range(60)]
    loaded = load(
        file_of(form, ("mms_id", "barcode", "public_note"), rows), f"items/incoming/gifts/any.{form}"
    )
    assert {"created", "invalid_row"} <= loaded.counts().keys()
    agrees(loaded, alma, len(rows))


def test_a_second_run_of_the_same_file_writes_nothing(alma, load):
    body = lines(alma.titles()[:12])
    load(body)
    alma.forget()
    again = load(body)
    assert (again.state, again.counts()) == ("success", {"already_exists": 12})
    assert alma.writes() == []
    # five for the codes, two for the titles, one for each row
    assert len(alma.calls()) <= 7 + 12


def test_a_dry_run_writes_nothing_and_is_green(alma, load):
    loaded = load(lines(alma.titles()[:5]), dry_run=True)
    assert (loaded.state, loaded.counts()) == ("success", {"would_create": 5})
    assert alma.writes() == []


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("990019999999994401|A\n990019999999984401|B\n", {"bib_not_found": 2}),
        ("990019999999994401|\n22|B\n", {"invalid_row": 2}),
    ],
    ids=["by Alma", "before Alma is asked"],
)
def test_a_file_whose_rows_are_all_rejected_is_red_and_goes_to_failed(alma, load, body, counts):
    loaded = load(body)
    assert loaded.state == "failed"
    assert loaded.counts() == counts
    assert loaded.rejects().decode() == body
    assert [key.partition("/march")[0] for key in loaded.keys("items/failed/")] == ["items/failed"]
    tries = {task.task_id: task.try_number for task in loaded.run.get_task_instances()}
    assert tries["check_outcome"] == 1


def test_what_is_no_list_is_red_at_once_and_alma_is_not_asked(alma, load):
    alma.forget()
    loaded = load("%PDF-1.7 ...")
    assert loaded.state == "failed"
    states = loaded.task_states()
    assert states["read_file", -1] == "failed"
    assert (states["report", -1], states["file_away", -1]) == ("success", "success")
    assert "PDF document" in loaded.page()
    assert alma.calls() == []


def test_a_file_that_was_replaced_is_left_to_the_run_of_the_new_version(jobs, alma, load):
    loaded = load(lines(alma.titles()[:2]), version="0@2026-01-01T00:00:00+00:00")
    assert loaded.state == "success"
    states = loaded.task_states()
    assert {states[task, -1] for task in ("read_file", "report", "file_away", "check_outcome")} == {"skipped"}
    assert jobs.bucket.info(KEY) is not None


def test_a_task_that_fails_for_good_leaves_a_whole_report(alma, load, monkeypatch):
    from alma_etl.items.job import ItemCreation

    def stumble(self, context, number):
        raise RuntimeError("the worker's disk is full")

    monkeypatch.setattr(ItemCreation, "load", stumble)
    loaded = load(lines(alma.titles()[:3]))
    assert (loaded.state, loaded.counts()) == ("failed", {"failed": 3})
    assert loaded.rejects() == lines(alma.titles()[:3]).encode()


@pytest.mark.parametrize(("key", "words"), [("wrong", "key"), ("sandbox-ro", "key")])
def test_a_key_that_may_not_do_it_is_named(alma, load, connect_alma, key, words):
    connect_alma(alma.url, key=key, requests_per_second=1000)
    loaded = load(lines([alma.add_title()]))
    assert loaded.state == "failed"
    assert words in loaded.page()
    assert alma.state()["counts"]["items"] == 0


def test_the_key_is_in_nothing_that_a_run_leaves_behind(jobs, sandbox, connect_alma, load, capfd, caplog):
    key = "not-a-real-key-but-long-enough"
    alma = ItemSandbox(sandbox(titles=20, per_second=0, api_key=key).url)
    connect_alma(alma.url, key=key, requests_per_second=1000)
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode())
    alma.faults(
        {"kind": "drop", "method": "POST", "path": "/items$", "every": 3},
        {"kind": "server_error", "every": 5},
        {"kind": "refuse", "method": "POST", "path": "/holdings$", "every": 4, "status": 400},
    )
    titles = [f"9900100000000{number:01d}4401" for number in range(9)]
    load(lines(titles))
    connect_alma(alma.url, key=f"{key}-wrong", requests_per_second=1000)
    load(lines(titles, "C"))
    shown = capfd.readouterr()
    assert key not in shown.out + shown.err + caplog.text
    assert all(key not in json.dumps(call | {"key": ""}) for call in alma.calls())
    for item in jobs.bucket.list(""):
        assert key not in item.key
        assert key.encode() not in jobs.bucket.get(item.key)


def test_no_holding_is_made_on_a_list_that_is_not_whole_and_none_beside_a_hidden_one(alma, load):
    """One holding that availability does not name, and lists that count more than they name."""
    hidden, counted, plain = (alma.add_title(("050", "QA76", str(number))) for number in range(3))
    at_place = alma.add_holding(hidden, "MAIN", "stacks")
    away = {
        "holding_data": {
            "in_temp_location": True,
            "temp_library": {"value": "SCI"},
            "temp_location": {"value": "stacks"},
        },
        "item_data": {"barcode": "AWAY", "physical_material_type": {"value": "BOOK"}},
    }
    path = f"/bibs/{hidden}/holdings/{at_place}/items"
    alma.post(path, json.dumps(away), "application/json").raise_for_status()
    alma.faults({"method": "GET", "kind": "miscount", "path": f"{counted}/holdings$"})
    loaded = load(f"{hidden}|H1\n{counted}|C1\n{plain}|P1\n")
    assert loaded.ends() == [(1, "created"), (2, "failed"), (3, "created")]
    assert "the list counts 1 row but gives 0" in loaded.message(2)
    assert loaded.state == "failed"
    items, holdings = alma.made()
    assert items["H1"]["holding_id"] == at_place
    assert set(holdings) == {(hidden, "MAIN", "stacks"), (plain, "MAIN", "stacks")}
    alma.heal()
    again = load(f"{counted}|C1\n")
    assert again.counts() == {"created": 1}
