"""What imports remember of the titles they made, on SQLite and PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from alma_etl.bibs.matches import key_of
from alma_etl.bibs.matching import Number
from alma_etl.inventory.loaded_bibs import DueItem, KnownBib, SavedTitle, SqlLoadedBibs
from alma_etl.store.db import StoreUnavailable, store_key

STORES = ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.heavy)]
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture(params=STORES)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory(store):
    found = SqlLoadedBibs(store, "alma")
    yield found
    found.close()


def test_nothing_is_known_at_first(memory):
    assert memory.find(["oclc:1"]) == memory.find([]) == {}
    memory.note([], KnownBib("991", "run", AT))
    memory.forget([], "run")


def test_a_title_is_found_by_each_of_its_numbers_and_a_number_has_all_its_titles(memory):
    one, two = KnownBib("991", "run-1", AT), KnownBib("992", "run-2", AT)
    memory.note((f"oclc:{number}" for number in range(1_200)), KnownBib("991", "run-0", AT))
    memory.note((f"oclc:{number}" for number in range(1_200)), one)
    memory.note(["oclc:3", "isbn:5"], two)
    found = memory.find([f"oclc:{number}" for number in range(-5, 1_100)] + ["isbn:5"])
    assert len(found) == 1_101
    assert (found["oclc:4"], found["oclc:3"], found["isbn:5"]) == ([one], [one, two], [two])


def test_a_title_that_was_made_comes_in_place_of_what_its_sender_was_about_to_send(memory):
    memory.note(["a", "b"], KnownBib("", "run-1", AT))
    memory.note(["b"], KnownBib("", "run-2", AT))
    made = KnownBib("991", "run-1", AT)
    memory.note(["a", "b"], made)
    assert memory.find(["a", "b"]) == {"a": [made], "b": [KnownBib("", "run-2", AT), made]}


def test_of_a_number_that_says_nothing_the_last_titles_are_kept(memory):
    ids = [f"99{number:03}" for number in range(50)]
    for minute, mms_id in enumerate(ids):
        at = AT + timedelta(minutes=minute)
        assert memory.claim(["a", f"b{minute}"], KnownBib("", "run", at), over=ids) == {}
        memory.note(["a", f"b{minute}"], KnownBib(mms_id, "run", at))
    assert [each.mms_id for each in memory.find(["a"])["a"]] == ids[-20:]
    assert [each.mms_id for each in memory.find(["b0"])["b0"]] == ids[:1]


def test_what_was_about_to_be_sent_is_forgotten_by_its_sender_alone(memory):
    memory.note(["a", "b"], KnownBib("", "run-1", AT))
    memory.note(["b"], KnownBib("", "run-2", AT))
    memory.note(["c"], KnownBib("991", "run-1", AT))
    memory.forget(["a", "b", "c"], "run-1")
    assert set(memory.find(["a", "b", "c"])) == {"b", "c"}


def test_a_number_of_any_length_is_kept(memory):
    """An index of PostgreSQL does not take the whole of it."""
    long = f"(Vnd){' '.join(sha256(bytes([each])).hexdigest() for each in range(150))}"
    keys = [key_of(Number("system", "035 $a", value)) for value in (long, f"{long}1", "ü" * 1_000, "(Vnd)5")]
    made = KnownBib("991", "run", AT)
    assert memory.claim(keys, replace(made, mms_id=""), over=()) == {}
    memory.note(keys[:1], made)
    assert memory.find(keys[:1]) == {keys[0]: [made]}
    memory.keep_due({"run record 1": [DueItem("991", store_key(long))]})
    memory.forget(keys[1:], "run")
    assert memory.find(keys).keys() == {keys[0]}
    assert keys[3] == "system:(Vnd)5"


def test_each_alma_has_a_memory_of_its_own(store, memory):
    memory.note(["a"], KnownBib("991", "run", AT))
    other = SqlLoadedBibs(store, "another")
    other.forget(["a"], "run")
    assert other.find(["a"]) == {}
    other.close()
    assert set(memory.find(["a"])) == {"a"}


def test_of_two_that_claim_a_number_one_gets_it(memory):
    def claim(sender, keys, mms_id="", over=()):
        return memory.claim(keys, KnownBib(mms_id, sender, AT + timedelta(minutes=1)), over=over)

    assert claim("run-1", ["a", "b"]) == {}
    assert claim("run-1", ["a", "b"]) == {}  # once more after it was killed
    against = claim("run-2", ["b", "c"])
    assert against.keys() == {"b"}
    assert memory.find(["a", "b", "c"]).keys() == {"a", "b"}
    [sent] = against["b"]
    assert claim("run-2", ["b", "c"], over=[replace(sent, sent_at=AT)]).keys() == {
        "b"
    }  # sent once more since
    assert claim("run-2", ["b", "c"], over=[sent]) == {}  # what came of it is not known
    assert claim("run-3", ["b", "c"], over=[sent]).keys() == {"b", "c"}
    memory.note(["b"], KnownBib("991", "run-2", AT))
    assert {key: [each.mms_id for each in found] for key, found in claim("run-3", ["b", "d"]).items()} == {
        "b": ["991"]
    }
    assert claim("run-3", ["b", "d"], over=["990"]).keys() == {"b"}
    assert claim("run-3", ["b", "d"], over=["990", "991"]) == {}
    assert claim("run-4", ["e"], "995") == claim("run-4", [], "995") == {}
    assert [each.mms_id for each in memory.find(["e"])["e"]] == ["995"]
    assert claim("run-4", ["e"], "996").keys() == {"e"}
    assert claim("run-4", ["e"], "996", ["995"]) == {}
    assert claim("run-5", ["e"], over=["995"]).keys() == {"e"}  # both have it
    assert [each.mms_id for each in memory.find(["e"])["e"]] == ["995", "996"]


def test_of_many_that_claim_numbers_at_once_one_gets_each(memory):
    start = threading.Barrier(6)

    def claim(sender):
        keys = [f"oclc:{each}" for each in (range(sender % 3, 9, 3) if sender < 3 else range(9))]
        start.wait()
        title = "" if sender % 2 else f"99{sender}"
        return bool(memory.claim(keys, KnownBib(title, f"run-{sender}", AT), over=()))

    # some are to create a title, some to give one the number
    with ThreadPoolExecutor(6) as pool:
        refused = list(pool.map(claim, range(6)))
    owners = {each.sender for [each] in memory.find([f"oclc:{each}" for each in range(9)]).values()}
    assert owners == {f"run-{sender}" for sender, was in enumerate(refused) if not was}
    assert len(owners) in (1, 3)


def test_imports_alone_have_saved_a_title_from_one_version_to_another(memory):
    assert memory.saved(["991"]) == {}
    memory.note_saved("991", "run-1 record 3", before="20260101000000.0", after="20260102000000.0")
    memory.note_saved("991", "run-2 record 1", before="20260102000000.0", after="20260103000000.5")
    memory.note_saved(
        "991", "run-9 record 9", before="20260102000000.0", after="20260103000000.5"
    )  # once more
    saved = memory.saved(["991", "992"])["991"]
    assert saved == SavedTitle("run-2 record 1", "20260101000000.0", "20260103000000.5")
    answers = {
        "20251231000000.0": False, "20260101000000.0": True, "20260102000000.0": True, "20260103000000": True,
        "20260103000000.5": False, "20260104000000.0": False, "": False, "x": False,
    }  # fmt: skip
    assert {version: saved.is_later(version) for version in answers} == answers
    memory.note_saved("991", "run-3 record 1", before="20260109000000.0", after="20260110000000.0")
    assert not memory.saved(["991"])["991"].is_later("20260102000000.0")  # somebody else was between
    memory.note_saved("992", "run-3 record 2", before="", after=" odd 005 ")
    assert memory.saved(["992"])["992"] == SavedTitle("run-3 record 2", "-", "odd005")


def test_a_store_without_its_table_is_said_in_a_sentence(tmp_path):
    memory = SqlLoadedBibs(f"sqlite:///{tmp_path}/empty.db", "alma")
    with pytest.raises(StoreUnavailable, match=r"python -m alma_etl\.store upgrade"):
        memory.find(["a"])
    memory.close()


def test_what_is_due_is_kept_until_its_sender_or_somebody_with_the_same_item_has_made_it(memory, store):
    def due(*titles):
        return [each for each in titles if memory.is_due(each)]

    memory.keep_due({"run-1 record 1": [DueItem("991", "A1"), DueItem("992", "A1")], "run-1 record 2": []})
    memory.keep_due({"run-2 record 1": [DueItem("991", "A1"), DueItem("991", "B1"), DueItem("991", "B1")]})
    other = SqlLoadedBibs(store, "another alma")
    other.settle_due([DueItem("992", "A1")], ["992"])
    assert [due("991", "992", "993"), other.is_due("991")] == [["991", "992"], False]
    other.close()
    memory.keep_due({"run-1 record 1": [], "run-1 record 2": []})
    assert due("991", "992") == ["991"]
    memory.settle_due([DueItem("991", "A1"), DueItem("993", "B1")], ["991"])
    assert due("991") == ["991"]
    memory.settle_due([DueItem("991", "B1")], [])
    assert due("991") == []
    memory.settle_due([], [])
    memory.keep_due({})
