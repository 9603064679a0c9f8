"""Numbers of lines, a bit each."""

from hypothesis import given
from hypothesis import strategies as st

from alma_etl.jobs.lines import Lines


@given(st.lists(st.integers(0, 300)))
def test_they_are_a_set(numbers):
    lines = Lines()
    for number in numbers:
        lines.add(number)
    assert list(lines) == sorted(set(numbers))
    assert len(lines) == len(set(numbers))
    assert bool(lines) == bool(numbers)
    assert [number for number in range(-2, 400) if number in lines] == list(lines)
    assert "1" not in lines
