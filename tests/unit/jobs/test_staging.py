"""Rows on their way into chunks: what stays together."""

import pytest

from alma_etl.jobs.staging import staging


def cut(rows, size=1, homes=(), known=0):
    """The lines of each chunk. A row: its group and links."""
    with staging() as stage:
        for group, number in homes:
            stage.stays(group, number)
        for line, (group, *links) in enumerate(rows, 1):
            stage.add(line, {"line": line}, group=group, unique=(), links=links)
        return [[row["line"] for row in chunk] for chunk in stage.chunks(size, known=known)]


@pytest.mark.parametrize(
    ("rows", "chunks"),
    [
        ([("b",), ("a",), ("b",)], [[2], [1, 3]]),
        ([("9", "9", "7"), ("7", "7"), ("8", "8")], [[3], [1, 2]]),
        ([("1", "1"), ("2", "2"), ("3", "3", "1", "2"), ("4", "4"), ("2", "2")], [[1, 2, 3, 5], [4]]),
        ([("1", "x"), ("2", "y"), ("3", "y", "z"), ("4", "z", "x"), ("1",)], [[1, 2, 3, 4, 5]]),
    ],
)
def test_rows_of_a_group_and_of_linked_groups_are_in_one_chunk_by_line(rows, chunks):
    assert cut(rows) == chunks


def test_groups_that_were_in_chunks_stay_there_and_new_ones_join_them():
    rows = [("1", "1"), ("2", "2", "1"), ("3", "3", "2"), ("4", "4"), ("5", "5", "4"), ("6", "6", "5")]
    assert cut(rows, homes=[("1", 1), ("2", 2), ("5", 2)], known=2) in (
        [[1], [2, 3, 4, 5, 6]],
        [[1, 3], [2, 4, 5, 6]],
    )
