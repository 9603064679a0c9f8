"""The list of brief titles that wait for their full record, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from alma_etl.inventory.loaded_orders import KnownOrder, OrderReference, SqlLoadedOrders
from alma_etl.inventory.waiting_titles import BriefTitle, SqlWaitingTitles, all_waiting
from alma_etl.store.db import StoreUnavailable
from alma_etl.views.waiting import waiting_titles

STORES = ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.heavy)]
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def brief(mms_id: str, title: str = "A title", run_id: str = "run-1") -> BriefTitle:
    return BriefTitle(mms_id, title, "(OCoLC)900", AT, run_id)


@pytest.fixture(params=STORES)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def titles(store):
    found = SqlWaitingTitles(store, "alma")
    yield found
    found.close()


def listed(titles):
    with titles.transaction() as connection:
        return {row.mms_id: row for row in connection.execute(all_waiting())}


def test_a_title_is_on_the_list_once_as_it_was_noted_first(titles):
    titles.note([brief("991"), brief("992")])
    titles.note([brief("992", "Another title", "run-2"), brief("993")])
    titles.note([])
    assert titles.waiting(["991", "992", "993", "994"]) == {"991", "992", "993"}
    row = listed(titles)["992"]
    assert (row.title, row.key, row.since, row.run_id) == ("A title", "(OCoLC)900", AT, "run-1")


def test_what_was_taken_off_is_not_put_on_again_by_a_cleared_run(titles):
    titles.note([brief("991"), brief("992")])
    assert titles.settle(["991", "999"], "merged", "run-2") == ["991"]
    assert titles.settle(["991"], "removed", "librarian") == []
    titles.note([brief("991"), brief("992")])
    assert titles.waiting(["991", "992"]) == {"992"} == listed(titles).keys()


def test_the_first_time_of_receiving_stays(titles):
    titles.note([brief("991"), brief("992")])
    titles.received(["991", "999"], AT)
    titles.received(["991"], AT + timedelta(days=1))
    assert {mms_id: row.received_at for mms_id, row in listed(titles).items()} == {"991": AT, "992": None}


def test_many_titles_at_once(titles):
    many = [brief(f"99{number}") for number in range(700)]
    titles.note(many)
    everyone = {each.mms_id for each in many}
    assert titles.waiting(everyone) == everyone
    assert titles.settle(everyone, "overlaid", "run-2") == sorted(everyone)
    assert listed(titles) == {}


def test_a_title_has_the_orders_that_were_placed_for_it(store, titles):
    titles.note([brief("991"), brief("992"), brief("993")])
    orders = SqlLoadedOrders(store, "alma")
    orders.note(OrderReference("GOBI", "a"), KnownOrder("POL-1", "991", "run-1 record 1", AT))
    orders.note(OrderReference("GOBI", "b"), KnownOrder("POL-2", "991", "run-1 record 1", AT))
    orders.note(OrderReference("GOBI", "b again"), KnownOrder("POL-2", "991", "run-1 record 1", AT))
    orders.reserve(OrderReference("YBP", "c"), KnownOrder("", "992", "run-1 record 2", AT))
    orders.close()
    other = SqlLoadedOrders(store, "another")
    other.note(OrderReference("GOBI", "d"), KnownOrder("POL-3", "993", "run-9 record 1", AT))
    other.close()
    found = {
        mms_id: [sorted(text.split(", ")) for text in (row.vendor, row.reference, row.po_line)]
        for mms_id, row in listed(titles).items()
    }
    assert found == {
        "991": [["GOBI"], ["a", "b", "b again"], ["POL-1", "POL-2"]],
        "992": [["YBP"], ["c"], [""]],
        "993": [[""], [""], [""]],
    }


def test_each_alma_has_a_list_of_its_own(store, titles):
    titles.note([brief("991")])
    other = SqlWaitingTitles(store, "another")
    assert other.settle(["991"], "merged", "run-2") == []
    other.received(["991"], AT)
    assert other.waiting(["991"]) == set()
    other.close()
    assert titles.waiting(["991"]) == {"991"}
    assert listed(titles)["991"].received_at is None


def test_a_store_without_its_table_is_said_in_a_sentence(tmp_path):
    titles = SqlWaitingTitles(f"sqlite:///{tmp_path}/empty.db", "alma")
    with pytest.raises(StoreUnavailable, match=r"python -m alma_etl\.store upgrade"):
        titles.waiting(["991"])
    titles.close()


def test_the_page_filters_and_pages_in_the_database(store, titles):
    titles.note(
        BriefTitle(f"99{n:02}", f"Title {n}", "", AT - timedelta(days=n), "run-1") for n in range(1, 61)
    )
    orders = SqlLoadedOrders(store, "alma")
    orders.note(OrderReference("GOBI", "r-7"), KnownOrder("POL-7", "9907", "run-1 record 7", AT))
    orders.close()
    listing = waiting_titles(AT)
    with titles.transaction() as connection:
        first = listing.page(connection, {"older": "30"})
        assert [row.mms_id for row in first.rows] == [f"99{n}" for n in range(60, 30, -1)]
        for words in ("POL-7", "R-7"):
            found = listing.page(connection, {"search": words, "received": "no"})
            assert [row.mms_id for row in found.rows] == ["9907"]
        after = parse_qs(listing.page(connection, {}).next.removeprefix("?"))["after"][0]
        assert len(listing.page(connection, {"after": after}).rows) == 10
        assert len(list(listing.every_row(connection, {}))) == 60
