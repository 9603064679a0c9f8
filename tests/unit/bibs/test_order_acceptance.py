"""Files of orders with every outcome: the report is what Alma has, and nothing is bought twice, whatever is dropped,
cleared or purged afterwards."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from pymarc import Record

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.orders.placing import LISTED_AFTER, OrderWriter
from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.jobs.ledger_purge import Purge, Retention
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.remote.limiter import LocalLimiter
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import Imports, Run
from tests.unit.bibs.test_bib_imports import new
from tests.unit.bibs.test_order_imports import PROFILES, gobi, lines, load, orders, posts

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
VENDORS = {"gobi": ("GOBI", "GOBI-1"), "pals": ("GOBI", "GOBI-1"), "sierra": ("UKBOOKS", "UK-1")}
FIRST = 800_000
OF_BEFORE = 100_000  # from here on the numbers of titles that have a reference already
KINDS = (
    "created", "owned", "price", "twin", "ordered_before", "in_title", "in_vendor", "lost", "unseen", "not_arrived",
    "fund", "created", "place", "owned", "created",
)  # fmt: skip
OUTCOMES = {
    "created": "created",
    "owned": "merged",
    "price": "invalid_order",
    "fund": "invalid_order",
    "place": "invalid_order",
    "twin": "duplicate_in_file",  # the reference of the first record of its round
    "ordered_before": "conflict",  # by an import
    "in_title": "conflict",  # by hand, for the title
    "in_vendor": "conflict",  # by hand, for another title
    "lost": "created",  # the answer was lost, and a look shows the PO line
    "unseen": "unconfirmed",  # the answer was lost, and Alma cannot be asked
    "not_arrived": "unconfirmed",  # the answer was lost, and there is no PO line
}
SENT = ("created", "owned", "lost", "unseen", "not_arrived")


@dataclass
class File:
    """A file of orders in one layout, and the Alma that it is for. ``owned``: the titles that are there, by number."""

    imports: Imports
    layout: str
    count: int
    owned: dict[int, str] = field(default_factory=dict)

    @property
    def numbers(self) -> range:
        return range(FIRST, FIRST + self.count)

    def kind(self, number: int) -> str:
        return KINDS[(number - FIRST) % len(KINDS)]

    def of_kind(self, *kinds: str) -> list[int]:
        return [number for number in self.numbers if self.kind(number) in kinds]

    def reference(self, number: int) -> str:
        first = number - (number - FIRST) % len(KINDS)
        return f"{self.layout}-{first if self.kind(number) == 'twin' else number}"

    def record(self, number: int, reference: str) -> Record:
        kind = self.kind(number) if number < FIRST + OF_BEFORE else "created"
        price = "1,234" if kind == "price" else "10.00"
        fund, place = "NOPE" if kind == "fund" else "BOOKS", "nowhere" if kind == "place" else "stacks"
        if self.layout == "gobi":
            return gobi(number, reference, price=price, fund=fund, place=f"MAIN/{place}", quantity=2)
        if self.layout == "pals":
            items = [f"949 __ $bP{number}{copy}$c01$dMAIN$e{place}" for copy in "ab"]
            return new(number, *items, f"980 __ $b{price}", f"981 __ $a{fund}", f"982 __ $a{reference}")
        return new(number, f"960 __ $o2$s{price}$t{place}$u{fund}$zgbp", f"935 __ $a{reference}")

    def records(self) -> list[Record]:
        return [self.record(number, self.reference(number)) for number in self.numbers]

    def title(self, number: int) -> str:
        return self.imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old")

    def prepare(self) -> None:
        """What Alma and the store have before."""
        self.owned = {number: self.title(number) for number in self.of_kind("owned", "in_title", "unseen")}
        for number in self.of_kind("in_title", "in_vendor"):
            mms_id = self.owned.get(number) or self.title(number + OF_BEFORE)
            self.order_by_hand(mms_id, self.reference(number).upper())
        before = [self.record(n + OF_BEFORE, self.reference(n)) for n in self.of_kind("ordered_before")]
        if before:
            run = load(self.imports, *before, name="before.mrc", profile=self.layout)
            assert set(run.outcomes) == {"created"}

    def order_by_hand(self, mms_id: str, reference: str) -> None:
        vendor, account = VENDORS[self.layout]
        self.imports.client.po_lines.create(
            {
                "owner": {"value": "MAIN"},
                "type": {"value": "PRINTED_BOOK_OT"},
                "vendor": {"value": vendor},
                "vendor_account": account,
                "price": {"sum": "5.00", "currency": {"value": "USD"}},
                "fund_distribution": [
                    {"fund_code": {"value": "HIST"}, "amount": {"sum": "5.00", "currency": {"value": "USD"}}}
                ],
                "additional_order_reference": reference,
                "resource_metadata": {"mms_id": {"value": mms_id}},
                "location": [
                    {"quantity": 1, "library": {"value": "MAIN"}, "shelving_location": "stacks", "copy": [{}]}
                ],
            }
        )

    def lose_answers(self) -> None:
        """Of the orders, in their order, some get no answer; where Alma cannot be asked for the PO lines of a title."""
        sent = self.of_kind(*SENT)
        unseen = "|".join(self.owned[number] for number in self.of_kind("unseen"))

        def turns(*kinds: str) -> list[int]:
            return [turn for turn, number in enumerate(sent, 1) if self.kind(number) in kinds]

        post = {"method": "POST", "path": "/acq/po-lines"}
        self.imports.alma.faults(
            {**post, "kind": "drop", "nth": turns("lost", "unseen")},
            {**post, "kind": "server_error", "nth": turns("not_arrived")},
            {"method": "GET", "kind": "server_error", "path": f"/acq/po-lines.*({unseen})"},
        )


SWEPT = PROFILES.replace("vendor: GOBI\n", "vendor: GOBI\n      search_vendor_lines: true\n")


@pytest.fixture
def imports(imports: Imports) -> Imports:
    """Imports that send one call after the other, so that it is known which one a fault hits."""
    imports.client.close()
    imports.client = AlmaClient(
        imports.alma.url, "sandbox", limiter=LocalLimiter(100_000), attempts=2, backoff=0.001,
        sleep=lambda _: None, max_in_flight=1,
    )  # fmt: skip
    imports.profiles(SWEPT)
    return imports


class Stock:
    """What Alma has at a moment."""

    def __init__(self, imports: Imports) -> None:
        self.lines = {reference: (line.number, line.mms_id) for reference, line in lines(imports).items()}
        self.bibs = imports.count()
        self.items, self.holdings = imports.alma.made()
        self.encumbered = float(imports.alma.state()["funds"]["BOOKS"]["encumbered"])


def run_with_lost_answers(file: File) -> Run:
    run = Run(file.imports, b"".join(map(to_iso2709, file.records())), "orders.mrc", file.layout)
    chunks = range(1, run.read() + 1)
    for chunk in chunks:
        run.match(chunk)
        run.write(chunk)
    file.lose_answers()
    for chunk in chunks:
        run.inventory(chunk)
    run.finish()
    file.imports.alma.heal()
    return run


def check_rows(file: File, run: Run) -> None:
    """Every record has the outcome that it is to have, and says why."""
    ends = {FIRST + int(row["record"]) - 1: row for row in run.rows}
    assert {n: row["outcome"] for n, row in ends.items()} == {n: OUTCOMES[file.kind(n)] for n in file.numbers}
    not_loaded = [
        number for number in file.numbers if OUTCOMES[file.kind(number)] not in ("created", "merged")
    ]
    assert file.imports.bucket.get(run.keys["rejects"]) == b"".join(
        to_iso2709(file.record(number, file.reference(number))) for number in not_loaded
    )
    for kinds, words in (
        (["lost"], "a look confirmed it"),
        (["ordered_before"], "ordered before"),
        (["in_title", "in_vendor"], "stands in PO line"),
    ):
        assert all(words in ends[number]["message"] for number in file.of_kind(*kinds)), kinds


def check_stock(file: File, run: Run, before: Stock, now: Stock) -> None:
    """What the report says of Alma is there, and of the rest what nobody could know."""
    made = {reference: line for reference, line in now.lines.items() if reference not in before.lines}
    rows = [row for row in orders(run) if row["outcome"] == "ordered"]
    said = {row["reference"]: (row["po_line"], row["mms_id"]) for row in rows}
    unseen = {file.reference(number) for number in file.of_kind("unseen")}
    assert said == {reference: line for reference, line in made.items() if reference not in unseen}
    assert made.keys() - said.keys() == unseen
    assert {row["total"] for row in rows} == {"20.00"}
    assert not any(line.in_review for line in lines(file.imports).values())
    assert now.bibs - before.bibs == len(file.of_kind("created", "lost", "not_arrived"))
    assert len(now.items) - len(before.items) == 2 * len(made)
    assert {place[0]: count for place, count in (now.holdings - before.holdings).items()} == {
        mms_id: 1 for _, mms_id in made.values()
    }
    cost = 25.0 if file.layout == "sierra" else 20.0  # pounds
    assert now.encumbered - before.encumbered == cost * len(made)


def purge_all(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the daily purge drops in the course of years: runs of the ledger, working files."""
    later = datetime.now(UTC) + timedelta(days=2_000)
    monkeypatch.setattr(imports.bucket, "server_time", lambda: later)
    purge = Purge(imports.store, now=lambda: later)
    assert purge.purge(Retention(), imports.bucket).folders > 0
    purge.close()
    assert list(imports.bucket.list("runs/")) == []


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("layout", list(VENDORS))
def test_the_report_is_what_alma_has_and_nothing_is_ordered_twice(
    imports: Imports, monkeypatch: pytest.MonkeyPatch, layout: str, count: int
) -> None:
    file = File(imports, layout, count)
    file.prepare()
    before = Stock(imports)
    run = run_with_lost_answers(file)
    check_rows(file, run)
    now = Stock(imports)
    check_stock(file, run, before, now)

    # Cleared, dropped in another order, dropped after years in which all else was forgotten.
    imports.alma.forget()
    run.whole()
    ordered = {row["reference"]: row["po_line"] for row in orders(run) if row["outcome"] == "ordered"}
    assert ordered == {ref: number for ref, (number, _) in now.lines.items() if ref not in before.lines}
    assert load(imports, *reversed(file.records()), name="b.mrc", profile=layout).counts["conflict"] >= len(
        ordered
    )
    purge_all(imports, monkeypatch)
    assert load(imports, *file.records(), name="c.mrc", profile=layout).counts["conflict"] >= len(ordered)
    imports.profiles(PROFILES)  # by which nothing but what is remembered says that they stand at other titles
    arrived = [number for number in file.of_kind(*SENT) if file.kind(number) != "not_arrived"]
    elsewhere = [file.record(number + OF_BEFORE, file.reference(number)) for number in arrived]
    assert set(load(imports, *elsewhere, name="d.mrc", profile=layout).outcomes) == {"conflict"}
    assert posts(imports) == []
    assert Stock(imports).lines == now.lines

    # What never arrived is ordered once Alma's lists must show what was sent.
    imports.profiles(SWEPT)
    monkeypatch.setattr(
        OrderWriter, "_now", lambda _: datetime.now(UTC) + LISTED_AFTER + timedelta(minutes=1)
    )
    for name in ("e.mrc", "f.mrc"):
        load(imports, *file.records(), name=name, profile=layout)
    not_arrived = {file.reference(number) for number in file.of_kind("not_arrived")}
    assert Stock(imports).lines.keys() - now.lines.keys() == not_arrived
    assert len(posts(imports)) == len(not_arrived)


@pytest.mark.parametrize(
    ("layout", "every"),
    [("gobi", 4), *(pytest.param(layout, 1, marks=pytest.mark.nightly) for layout in VENDORS)],
)
def test_killed_at_any_action_of_placing_no_second_po_line_is_made(
    imports: Imports, monkeypatch: pytest.MonkeyPatch, layout: str, every: int
) -> None:
    """A new title and an owned one, each with an order; a third one has a fault."""
    reaper = Reaper(monkeypatch, *((SqlLoadedOrders, name) for name in ("reserve", "note", "forget")))
    kinds: set[str] = set()
    for kill_at in range(1, 100, every):
        begin_anew(imports, reaper)
        file = File(imports, layout, 3)
        file.prepare()
        imports.alma.forget()
        run = Run(imports, b"".join(map(to_iso2709, file.records())), f"{kill_at}.mrc", layout)
        run.read()
        run.match()
        run.write()
        reaper.fresh_process(kill_at)
        try:
            run.inventory()
        except WorkerKilled:
            reaper.fresh_process()
            run.inventory()
        else:
            break
        run.finish()
        *ends, fault = run.outcomes
        kinds |= set(ends)
        assert fault == "invalid_order"
        assert len(posts(imports)) == sum(end in ("created", "merged") for end in ends), (kill_at, run.rows)
        with monkeypatch.context() as later:
            later.setattr(
                OrderWriter, "_now", lambda _: datetime.now(UTC) + LISTED_AFTER + timedelta(minutes=1)
            )
            load(imports, *file.records(), name=f"{kill_at}-again.mrc", profile=layout)
        assert len(posts(imports)) == len(Stock(imports).lines) == 2, kill_at
    else:
        raise AssertionError("the step never came to its end")
    assert kill_at > 10
    assert kinds >= {"created", "merged"}


def begin_anew(imports: Imports, reaper: Reaper) -> None:
    """An Alma and a store as they were at first."""
    reaper.fresh_process()
    imports.alma.reset()
    memory = SqlLoadedOrders(imports.store, "")
    with memory.transaction() as connection:
        for table in ("loaded_orders", "loaded_bibs"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    memory.close()
