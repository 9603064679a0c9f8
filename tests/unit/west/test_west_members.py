"""The members of a set: repeated ones, missing ones, pages that shift, sets that are none."""

import pytest

from alma_etl.alma.sets import AlmaSet
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteServerError
from alma_etl.west.id_index import id_index
from alma_etl.west.members import is_mms_id, read_set
from alma_etl.west.run import InputCounts
from tests.unit.west.builders import mms
from tests.unit.west.fake_alma import FakeAlma, pages_of, refused

SET = "59000000000004401"


def read(alma: FakeAlma) -> tuple[list[str], InputCounts]:
    with id_index() as index:
        counts = read_set(alma, SET, index)
        return list(index.in_order()), counts


def ids(count: int) -> list[str]:
    return [mms(number) for number in range(count)]


@pytest.mark.parametrize("size", [1, 99, 100, 101, 250, 400])
def test_every_member_once_and_one_request_a_hundred(alma, size):
    alma.members = pages_of(ids(size))
    found, counts = read(alma)
    assert found == ids(size)
    assert counts == InputCounts(total=size, titles=size)
    assert (alma.count("set"), alma.count("members")) == (1, -(-size // 100))


def test_the_order_of_the_set_makes_no_difference(alma):
    alma.members = pages_of(list(reversed(ids(250))))
    assert read(alma)[0] == ids(250)


def test_members_that_are_in_the_set_twice_are_repeated_not_missing(alma):
    alma.members = pages_of([*ids(150), mms(3), mms(3), mms(149)])
    found, counts = read(alma)
    assert found == ids(150)
    assert counts == InputCounts(total=153, titles=150, repeated=3)


def shifting(members: list[str]):
    """Each page but the first begins with the last member of the page before, and its own first is never seen."""

    def page(offset: int, limit: int) -> tuple[list[str], int]:
        if offset == 0:
            return members[:limit], len(members)
        return [members[offset - 1], *members[offset + 1 : offset + limit]], len(members)

    return page


@pytest.mark.parametrize("size", [150, 400, 1000])
def test_members_that_shifting_pages_skip_are_found_by_reading_again(alma, size):
    alma.members = shifting(ids(size))
    found, counts = read(alma)
    assert found == ids(size)
    assert counts == InputCounts(total=size, titles=size)
    assert alma.count("members") <= 2 * (size // 100 + 1)


def test_fewer_members_than_alma_says_are_missing(alma):
    alma.members = pages_of(ids(395), total=400)
    found, counts = read(alma)
    assert found == ids(395)
    assert counts == InputCounts(total=400, titles=395, missing=5)


def test_repeated_and_missing_ones_together_add_up(alma):
    alma.members = pages_of([*ids(390), *ids(4)], total=400)
    _, counts = read(alma)
    assert counts == InputCounts(total=400, titles=390, repeated=4, missing=6)
    assert counts.total == counts.titles + counts.repeated + counts.missing


def test_a_set_that_never_settles_counts_what_it_did_not_show_as_missing(alma):
    shown = 250

    def page(offset: int, limit: int) -> tuple[list[str], int]:
        nonlocal shown
        shown += (
            10 if offset == 0 else 0
        )  # each reading shows ten more, and others again in place of the rest
        known = [*ids(shown), *ids(300 - shown)]
        return known[offset : offset + limit], 300

    alma.members = page
    found, counts = read(alma)
    assert found == ids(280)
    assert counts == InputCounts(total=300, titles=280, missing=20)


def test_a_set_that_grows_while_it_is_read(alma):
    sizes = iter([150, 260])

    def page(offset: int, limit: int) -> tuple[list[str], int]:
        size = next(sizes, 260)
        return ids(size)[offset : offset + limit], size

    alma.members = page
    found, counts = read(alma)
    assert found == ids(260)
    assert counts == InputCounts(total=260, titles=260)


def problem(alma: FakeAlma) -> str:
    with pytest.raises(InputProblem) as raised:
        read(alma)
    return str(raised.value)


def test_an_empty_set(alma):
    assert f"The set {SET} is empty" in problem(alma)
    assert alma.count("members") == 1


def test_an_unknown_set(alma):
    alma.trouble["set", SET] = refused("60107")
    assert f"Alma does not know the set {SET}: check set_id" in problem(alma)


def test_a_set_that_cannot_be_read_is_not_an_unknown_set(alma):
    alma.trouble["set", SET] = RemoteServerError("GET /conf/sets", 500, "", "broken")
    with pytest.raises(RemoteServerError):
        read(alma)
    alma.trouble["set", SET] = refused("401861")
    with pytest.raises(Exception, match="401861"):
        read(alma)


@pytest.mark.parametrize("content", ["ITEM", "USER", "HOLDING", "PORTFOLIO"])
def test_a_set_of_something_else(alma, content):
    alma.found_set = AlmaSet(SET, "Volumes", content, "ITEMIZED", "ACTIVE", 3)
    alma.members = pages_of(ids(3))
    assert f"The set {SET} (Volumes) holds {content}, not titles" in problem(alma)
    assert alma.count("members") == 0


@pytest.mark.parametrize("content", ["BIB_MMS", "IEP", ""])
def test_sets_of_titles(alma, content):
    alma.found_set = AlmaSet(SET, "Archive", content, "ITEMIZED", "ACTIVE", 3)
    alma.members = pages_of(ids(3))
    assert read(alma)[0] == ids(3)


@pytest.mark.parametrize("stranger", ["23000000000004401", "jsmith", "", "99abc", "99١٢٣٤٥٦٧٨"])
def test_members_that_are_no_mms_ids(alma, stranger):
    alma.members = pages_of([*ids(120), stranger])
    assert repr(stranger) in problem(alma)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (mms(1), True),
        ("99" + "1" * 8, True),
        ("99" + "1" * 17, True),
        ("99" + "1" * 7, False),
        ("99" + "1" * 18, False),
        ("9" + "1" * 12, False),
        ("99 1234567890", False),
    ],
)
def test_the_shape_of_an_mms_id(text, is_one):
    assert is_mms_id(text) is is_one


def test_a_page_that_cannot_be_read_ends_the_step(alma):
    alma.members = pages_of(ids(350))
    alma.trouble["members", "200"] = RemoteServerError("GET /conf/sets", 500, "", "broken")
    with pytest.raises(RemoteServerError):
        read(alma)


@pytest.mark.parametrize("counted", [0, 1, 50, 120, 249])
def test_a_set_that_counts_fewer_than_it_names_is_read_to_its_end(alma, counted):
    alma.members = pages_of(ids(250), total=counted)
    found, counts = read(alma)
    assert found == ids(250)
    assert (counts.total, counts.titles, counts.missing) == (250, 250, 0)


@pytest.mark.parametrize("counted", [251, 300, 1000])
def test_a_set_that_counts_more_than_it_names_misses_the_rest(alma, counted):
    alma.members = pages_of(ids(250), total=counted)
    found, counts = read(alma)
    assert found == ids(250)
    assert (counts.total, counts.titles, counts.missing) == (counted, 250, counted - 250)
