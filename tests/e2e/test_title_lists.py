"""Lists of titles to order, dropped as tables, end to end by `dag.test()` against the sandbox."""

from collections import Counter

import pytest

from alma_etl.inventory.waiting_titles import all_waiting
from tests.e2e.ledger_view import ledger  # noqa: F401 - a fixture
from tests.e2e.test_bib_import import alma, load  # noqa: F401 - fixtures
from tests.unit.bibs.test_title_lists import HEADER, ONE, PROFILES, TWO

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
BAD = "A title,9780306406158,Eva,Verlag,2024,R-3,27.95,1,MAIN/stacks,HIST"


def list_of(*rows: str) -> bytes:
    return "\r\n".join((HEADER, *rows, "")).encode("utf-8-sig")


def lines_of(alma, mms_id):  # noqa: F811
    return alma.get(f"/acq/po-lines?q=mms_id~{mms_id}").get("po_line", [])


def test_a_list_becomes_brief_titles_with_one_order_each_however_often_it_comes(alma, load, jobs, ledger):  # noqa: F811
    jobs.bucket.put("config/bib_profiles.yaml", PROFILES.encode())
    first = load("list.csv", list_of(ONE, BAD, TWO), "to_order")
    assert (first.state, first.outcomes()) == ("success", ["created", "invalid_record", "created"])
    assert first.rejects() == list_of(BAD)
    assert "is no ISBN" in first.page()
    made = [row["mms_id"] for row in first.rows() if row["mms_id"]]
    assert alma.new_titles() == set(made)
    for mms_id in made:
        title = alma.get(f"/bibs/{mms_id}")
        assert (title["suppress_from_publishing"], title["sync_with_oclc"]) == ("true", "NONE")
        assert len(lines_of(alma, mms_id)) == 1
    with ledger.reading() as connection:
        waiting = {row.mms_id: row for row in connection.execute(all_waiting())}
    assert waiting.keys() == set(made)
    assert {row.po_line for row in waiting.values()} == {
        lines_of(alma, mms_id)[0]["number"] for mms_id in made
    }

    alma.forget()
    for name, rows in (("list.csv", (ONE, TWO)), ("other.csv", (TWO, ONE))):
        again = load(name, list_of(*rows), "to_order")
        assert again.counts() == Counter(conflict=2)
        assert alma.writes() == []
    assert all(len(lines_of(alma, mms_id)) == 1 for mms_id in made)
