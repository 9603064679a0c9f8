"""Large collections of ids: distinct, in order, and gone with their file when the work is done."""

import tempfile
from pathlib import Path

import pytest

from alma_etl.west.id_index import id_index


def test_ids_are_distinct_counted_and_in_order():
    with id_index() as index:
        index.add(["c", "a", "b", "a"])
        index.add(["b"])
        assert (len(index), list(index.in_order())) == (3, ["a", "b", "c"])
        assert list(index.in_order(2)) == ["a", "b"]
        assert "a" in index
        assert "x" not in index


def test_a_new_one_is_told_from_one_that_is_there():
    with id_index() as index:
        assert [index.add_new(each) for each in ("a", "b", "a")] == [True, True, False]
        assert len(index) == 2


@pytest.mark.heavy
def test_more_ids_than_its_cache_holds():
    with id_index() as index:
        index.add(f"99{number:015d}" for number in range(300_000))
        assert len(index) == 300_000
        assert list(index.in_order(1)) == ["99" + "0" * 15]


def test_the_file_goes_however_the_block_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> None:
        with id_index() as index:
            index.add(["a"])
            assert len(list(Path(tmp_path).iterdir())) == 1
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list(tmp_path.iterdir()) == []
