"""One check for every list: what it names is there, and of what it counts beside that nothing is known."""

import pickle

import pytest

from alma_etl.alma import writes
from alma_etl.alma.bibs import read_bibs
from alma_etl.alma.resource import Page, every, whole
from alma_etl.counted import counted
from alma_etl.remote.answers import Absent, Found, PartlyFound, Unknown, ask_list, first_of
from alma_etl.remote.errors import RemoteShortList
from alma_etl.remote.safe_write import WriteOutcome
from tests.unit.alma.samples import LOAN, REQUEST, instance, item_object
from tests.unit.alma.scripted import BASE, Say, as_json, as_xml, refusal


def holding(number):
    return {"holding_id": f"22{number}", "library": {"value": "MAIN"}, "location": {"value": "stacks"}}


def item(number):
    return item_object(f"23{number}")


def request(number):
    return {**REQUEST, "request_id": str(number), "comment": f"mark-{number}"}


def loan(number):
    return {**LOAN, "loan_id": str(number), "item_id": f"23{number}"}


def raising(question):
    return lambda client: ask_list(lambda: question(client), frozenset())


# every call of the client that reads a list: where its rows stand, one row, the call
LISTS = {
    "holdings": ("holding", holding, lambda c: c.holdings.list("991")),
    "items": ("item", item, lambda c: c.items.list("991")),
    "requests of a user": ("user_request", request, lambda c: c.requests.of_user("u1")),
    "requests of an item": ("user_request", request, lambda c: c.requests.of_item("991", "221", "231")),
    "loans of a user": ("item_loan", loan, lambda c: c.loans.of_user("u1")),
    "loans of an item": ("item_loan", loan, lambda c: c.loans.of_item("991", "221", "231")),
    "job instances": (
        "job_instance",
        lambda n: {**instance("RUNNING"), "id": str(n)},
        lambda c: c.jobs.instances("M48", c.today(), c.today()),
    ),
    "items of a PO line": (
        "item",
        lambda n: {"barcode": f"B{n}", "link": f"/{n}"},
        lambda c: c.po_lines.items("9"),
    ),
    "PO lines": ("po_line", lambda n: {"number": str(n)}, raising(lambda c: c.po_lines.find())),
    "lines of a title": (
        "po_line",
        lambda n: {"number": str(n), "resource_metadata": {"mms_id": {"value": "991"}}},
        lambda c: c.po_lines.of_title("991"),
    ),
    "lines of a vendor": ("po_line", lambda n: {"number": str(n)}, lambda c: c.po_lines.of_vendor("V")),
    "funds": ("fund", lambda n: {"code": "F", "id": str(n)}, raising(lambda c: c.funds.find())),
    "jobs": ("job", lambda n: {"id": f"M{n}", "name": "a"}, raising(lambda c: c.jobs.find())),
    "sets": ("set", lambda n: {"id": str(n), "name": "s"}, raising(lambda c: c.sets.find("s"))),
    "libraries": ("library", lambda n: {"code": f"L{n}"}, raising(lambda c: c.conf.libraries())),
    "locations": ("location", lambda n: {"code": f"l{n}"}, raising(lambda c: c.conf.locations("MAIN"))),
    "code table": ("row", lambda n: {"code": f"r{n}"}, raising(lambda c: c.conf.code_table("ItemPolicy"))),
}
CONFIGURATION = {"libraries", "locations", "code table"}
each_list = pytest.mark.parametrize("name", LISTS)


def listed(name, *numbers, total):
    rows, row, _ = LISTS[name]
    count = {} if total is None else {"total_record_count": total}
    return as_json({rows: [row(number) for number in numbers], **count})


def asked(client, name):
    return LISTS[name][2](client)


@each_list
@pytest.mark.parametrize(
    ("numbers", "total"), [((), 0), ((1,), 1), ((1, 2), 2), ((1, 2), "2"), ((1, 2), 1), ((1, 2), 0)]
)
def test_a_list_that_names_all_it_counts_is_whole(name, numbers, total, alma, client):
    alma.says(listed(name, *numbers, total=total), listed(name, total=total))
    answer = asked(client, name)
    assert isinstance(answer, Found)
    assert len(answer.value) == len(numbers)


@each_list
@pytest.mark.parametrize(
    ("numbers", "total"), [((), 1), ((1,), 2), ((1, 1), 2), ((1, 2), 3), ((1, 2, 1), 3), ((1,), 400)]
)
def test_a_list_that_names_fewer_than_it_counts_is_found_in_part(name, numbers, total, alma, client):
    rows = listed(name, *numbers, total=total)
    nothing_more = listed(name, total=total)
    alma.says(*[page for _ in range(3) for page in ((rows, nothing_more) if numbers else (rows,))])
    if name in CONFIGURATION | {"holdings", "requests of an item", "items of a PO line"}:
        alma.says(rows)
    answer = asked(client, name)
    assert isinstance(answer, PartlyFound)
    assert isinstance(answer, Unknown)  # whoever does not look closer takes nothing for absent
    assert (len(answer.rows), answer.counted) == (len(set(numbers)), total)
    assert f"the list counts {counted(total, 'row')} but gives {len(set(numbers))}" in str(answer.error)
    assert "?" not in answer.error.call


@pytest.mark.parametrize("name", sorted(set(LISTS) - CONFIGURATION))
@pytest.mark.parametrize("total", [None, -1, "many", {"a": 1}])
def test_a_list_without_a_count_proves_nothing(name, total, alma, client):
    alma.says(listed(name, 1, total=total))
    answer = asked(client, name)
    assert isinstance(answer, Unknown)
    assert not isinstance(answer, PartlyFound)


@pytest.mark.parametrize("name", sorted(CONFIGURATION))
def test_a_list_of_the_configuration_may_lack_its_count(name, alma, client):
    alma.says(listed(name, 1, 2, total=None))
    assert len(asked(client, name).value) == 2


def test_bibs_by_a_system_number_are_counted_too(alma, client):
    found = '<bibs total_record_count="%d"><bib><mms_id>991</mms_id></bib></bibs>'
    alma.says(as_xml(found % 1))
    assert [bib.mms_id for bib in client.bibs.by_system_number("(OCoLC)1").value] == ["991"]
    alma.says(as_xml(found % 2))
    assert [bib.mms_id for bib in client.bibs.by_system_number("(OCoLC)1").rows] == ["991"]
    alma.says(as_xml('<bibs total_record_count="1"/>'))
    assert client.bibs.by_system_number("(OCoLC)1").rows == []


# pages


def reading(*readings):
    """`get` of a list whose readings give these pages, each (rows, total)."""
    pages = iter([page for one in readings for page in one])

    def get(offset):
        rows, total = next(pages)
        return Page(list(rows), total)

    return get


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([[("ab", 4), ("cd", 4)]], "abcd"),
        ([[("ab", 4), ("bc", 4)], [("ab", 4), ("cd", 4)]], "abcd"),  # shifted, at rest the second time
        ([[("ab", 3), ("", 2)], [("ab", 2)]], "ab"),  # one went while it was read
        ([[("ab", 2), ("", 2)]], "ab"),
        ([[("ab", 1), ("c", 1), ("", 1)]], "abc"),  # counts too few: read to its end
        ([[("ab", 0), ("ab", 0)]], "ab"),  # the same page again and again is no end either
        ([[("ab", 3), ("c", 4), ("d", 4)]], "abcd"),  # one came
    ],
)
def test_pages_that_shift(readings, expected):
    assert "".join(every("GET /x", reading(*readings), str)) == expected


@pytest.mark.parametrize(
    ("readings", "named"),
    [
        ([[("ab", 4), ("bc", 4)]] * 3, "abc"),
        ([[("ab", 4), ("bc", 4)], [("ab", 4), ("ad", 4)], [("ab", 4), ("", 4)]], "abcd"),
        ([[("", 1)]] * 3, ""),
        ([[("ab", 3), ("", 0)]] * 3, "ab"),  # the page behind the end counts nothing
    ],
)
def test_pages_that_never_fit_name_what_was_met(readings, named):
    with pytest.raises(RemoteShortList) as caught:
        every("GET /x", reading(*readings), str)
    assert "".join(caught.value.named) == named
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.named, copy.counted, str(copy)) == (
        caught.value.named,
        caught.value.counted,
        str(caught.value),
    )


def test_a_list_that_is_not_paged_is_read_again_too():
    pages = iter([Page(["a"], 2), Page(["a", "b"], 2)])
    assert whole("GET /x", lambda: next(pages), str) == ["a", "b"]


# what is concluded


def test_the_first_row_of_a_list():
    short = ask_list(lambda: whole("GET /x", lambda: Page(["a"], 2), str), frozenset())
    assert first_of(short, "a".__eq__) == Found("a")
    assert first_of(short, "b".__eq__) is short
    assert first_of(Found(["a"]), "b".__eq__) == Absent()


LOST = Say(b"", 500)
HOLDING = (
    b'<record><datafield tag="852"><subfield code="b">MAIN</subfield>'
    b'<subfield code="c">stacks</subfield></datafield></record>'
)


def posts(alma):
    return sum(call.method == "POST" for call in alma.asked)


def test_a_holding_is_not_sent_again_when_the_list_does_not_name_all(alma, client):
    alma.says(LOST, listed("holdings", 1, total=2))
    written = writes.create_holding(client, "991", HOLDING, known=["221"])
    assert (written.outcome, posts(alma)) == (WriteOutcome.UNCONFIRMED, 1)


def test_a_request_is_not_placed_on_a_list_that_hides_one(alma, client):
    alma.says(listed("requests of a user", 1, total=2), listed("requests of a user", total=2))
    written = writes.create_request(client, "u1", {}, marker="mark-7", item_pid="231")
    assert (written.outcome, posts(alma)) == (WriteOutcome.FAILED, 0)


def test_but_one_that_is_named_is_adopted(alma, client):
    alma.says(
        *[listed("requests of a user", *rows, total=2) for _ in range(3) for rows in ((1,), ())],
    )
    written = writes.create_request(client, "u1", {}, marker="mark-1", item_pid="231")
    assert (written.outcome, written.value.request_id, posts(alma)) == (WriteOutcome.ADOPTED, "1", 0)
    alma.says(*[listed("loans of a user", *rows, total=2) for _ in range(3) for rows in ((1,), ())])
    written = writes.create_loan(client, "u1", item_pid="231", library="MAIN", circ_desk="D")
    assert (written.outcome, posts(alma)) == (WriteOutcome.ADOPTED, 0)


def test_a_job_is_not_started_when_its_instances_are_not_all_named(alma, client):
    alma.says(*[listed("job instances", *rows, total=2) for _ in range(3) for rows in ((1,), ())])
    assert (writes.run_job(client, "M48", {}).outcome, posts(alma)) == (WriteOutcome.FAILED, 0)


def test_a_job_that_is_named_is_found_in_a_list_that_is_not_whole(alma, client):
    alma.says(*[listed("jobs", *rows, total=2) for _ in range(3) for rows in ((1,), ())])
    assert [job.id for job in client.jobs.find(name="a")] == ["M1"]
    alma.says(*[listed("jobs", *rows, total=2) for _ in range(3) for rows in ((1,), ())])
    with pytest.raises(RemoteShortList):
        client.jobs.find(name="b")


# a batch of bibs


def bibs(*mms_ids):
    rows = "".join(f"<bib><mms_id>{each}</mms_id><title>{each}</title></bib>" for each in mms_ids)
    return as_xml(f'<bibs total_record_count="{len(mms_ids)}">{rows}</bibs>')


def test_a_bib_that_a_batch_leaves_out_is_asked_for_singly_before_it_counts_as_absent(alma, client):
    alma.says(
        bibs("993", "991"),
        as_xml("<bib><mms_id>992</mms_id></bib>"),
        refusal("402203"),
        refusal("401652"),
    )
    answers = read_bibs(client.bibs, ["991", "992", "993", "994", "995"], availability=True)
    kinds = {mms_id: type(answer).__name__ for mms_id, answer in answers.items()}
    assert kinds == {"991": "Found", "992": "Found", "993": "Found", "994": "Absent", "995": "Unknown"}
    assert [call.target.removeprefix(BASE).partition("?")[0] for call in alma.asked] == [
        "/bibs",
        "/bibs/992",
        "/bibs/994",
        "/bibs/995",
    ]
    assert all("expand=p_avail" in call.target for call in alma.asked)


@pytest.mark.parametrize(
    "odd",
    [
        "\x1b$1",
        "\x00",
        "\x0b",
        "&#x1B;",
        "&#27;",
        "&#0;",
        "&#xFFFE;",
        "\ufffe",
        "&#xD800;",
        "&#99999999999;",
        "&#x110000;",
    ],
)
def test_a_character_that_xml_cannot_hold_does_not_keep_a_bib_away(odd, alma, client):
    record = (
        f'<record><datafield tag="500"><subfield code="a">{odd}x&#233;&amp;</subfield></datafield>'
        '<datafield tag="035"><subfield code="a">(OCoLC)1</subfield></datafield></record>'
    )
    alma.says(
        as_xml(f'<bibs total_record_count="1"><bib><mms_id>991</mms_id>{record}</bib></bibs>'),
        as_xml(f"<bib><mms_id>991</mms_id>{record}</bib>"),
    )
    (bib,) = client.bibs.read_many(["991"], availability=True).values()
    assert b"(OCoLC)1" in bib.record
    assert "x\u00e9&amp;</subfield>".encode() in bib.record
    # what is sent back is not touched
    assert isinstance(client.bibs.whole("991"), Unknown)


def test_xml_that_is_broken_otherwise_stays_broken(alma, client):
    alma.says(as_xml("<bib><mms_id>991</mms_id>\x1b<record></bib>"))
    assert isinstance(client.bibs.read("991"), Unknown)
