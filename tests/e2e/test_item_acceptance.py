"""The big load: rows over many titles and four libraries, with everything that can be wrong, and more; 5,000 of them at
night."""

import csv
import io
import random
from collections import Counter

import pytest
from lxml import etree

from tests.e2e.death import Death
from tests.e2e.items import PROFILES, ItemSandbox, Loaded

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

PLACES = [("MAIN", "stacks"), ("SCI", "stacks"), ("LAW", "stacks"), ("STOR", "archive")]
COLUMNS = ["mms_id", "barcode", "library", "location", "item_policy", "public_note"]
KEY = "items/incoming/gifts/big list.csv"


class BigFile:
    """Rows with the outcome that each must have.

    Two rows of three go to a place where the title has a holding, if it has any; the others to any place.
    """

    def __init__(self, alma: ItemSandbox, titles: list[str], rows: int) -> None:
        self._dice = random.Random(7)
        self.rows: list[list[str]] = []
        self.expected: list[str] = []
        held = _places(alma, titles)
        for mms_id in titles + [self._dice.choice(titles) for _ in range(rows - len(titles))]:
            known = held.get(mms_id, [])
            place = (
                self._dice.choice(known)
                if known and self._dice.random() < 0.67
                else self._dice.choice(PLACES)
            )
            self.rows.append([mms_id, f"GIFT{len(self.rows):06d}", *place, "01", "Schenkung Müller"])
            self.expected.append("created")
        self._spoil(existing_items(alma, titles, 80), self._dice)

    def _spoil(self, existing: list[tuple[str, str]], dice: random.Random) -> None:
        places = iter(dice.sample(range(1, len(self.rows)), 400))

        def spoil(count: int, outcome: str, change) -> None:
            for _ in range(count):
                place = next(places)
                self.expected[place] = outcome
                change(self.rows[place])

        spoil(40, "invalid_row", lambda row: row.append("one too many"))
        spoil(40, "invalid_row", lambda row: row.__setitem__(1, "  "))
        spoil(40, "invalid_row", lambda row: row.__setitem__(0, "9.91E+17"))
        spoil(20, "invalid_row", lambda row: row.__setitem__(5, "bell \x07"))
        spoil(40, "invalid_code", lambda row: row.__setitem__(2, "NOWHERE"))
        spoil(20, "invalid_code", lambda row: row.__setitem__(3, "attic"))
        spoil(20, "invalid_code", lambda row: row.__setitem__(4, "99"))
        spoil(40, "bib_not_found", lambda row: row.__setitem__(0, "990019999999994401"))
        known = iter(existing)
        spoil(40, "already_exists", lambda row: row.__setitem__(slice(0, 2), list(next(known))))
        spoil(40, "conflict", lambda row: row.__setitem__(1, next(known)[1]))
        spoil(60, "duplicate_in_file", lambda row: row.__setitem__(1, self.rows[0][1]))

    def bytes(self) -> bytes:
        """The file."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=";", lineterminator="\r\n")
        writer.writerows([COLUMNS, *self.rows])
        return stream.getvalue().encode("cp1252")


def existing_items(alma: ItemSandbox, titles: list[str], count: int) -> list[tuple[str, str]]:
    """Title and barcode of items that the sandbox has from the start."""
    found: list[tuple[str, str]] = []
    for mms_id in titles:
        items = alma.get(f"/bibs/{mms_id}/holdings/ALL/items", limit=1).get("item", [])
        found += [(mms_id, item["item_data"]["barcode"]) for item in items]
        if len(found) >= count:
            return found
    raise AssertionError("the sandbox has too few items")


def _places(alma: ItemSandbox, titles: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Where availability shows holdings of each title."""
    found: dict[str, list[tuple[str, str]]] = {}
    for start in range(0, len(titles), 100):
        answer = alma.get(
            "/bibs", mms_id=",".join(titles[start : start + 100]), expand="p_avail", view="full"
        )
        for bib in answer["bib"]:
            record = etree.fromstring(bib["anies"][0].partition("?>")[2])
            rows = [
                {each.get("code"): each.text for each in field}
                for field in record.iterfind("datafield[@tag='AVA']")
            ]
            places = [(row["b"], row["j"]) for row in rows if row.get("8") and row["0"] == bib["mms_id"]]
            found[bib["mms_id"]] = [place for place in places if place[1] != "UNASSIGNED"]
    return found


def check(alma: ItemSandbox, loaded: Loaded, file: BigFile) -> None:
    """Every row exactly one outcome, the expected one; and Alma holds what the report says, once."""
    rows = loaded.rows()
    assert [int(row["line"]) for row in rows] == list(range(2, len(file.rows) + 2))
    wrong = [(row, word) for row, word in zip(rows, file.expected, strict=True) if row["outcome"] != word]
    assert wrong == []
    items, holdings = alma.made()
    created = {row["barcode"]: row for row in rows if row["outcome"] == "created"}
    assert items.keys() == created.keys()
    for barcode, item in items.items():
        row = created[barcode]
        assert (item["mms_id"], item["holding_id"], item["pid"]) == (
            row["mms_id"],
            row["holding_id"],
            row["item_pid"],
        )
    assert max(holdings.values()) == 1
    assert holdings.keys() <= {(row["mms_id"], row["library"], row["location"]) for row in created.values()}
    assert f"{len(holdings):,} holdings were made" in loaded.page()
    rejected = [row for row, word in zip(file.rows, file.expected, strict=True) if word not in LOADED]
    text = (loaded.rejects() or b"").decode("cp1252")
    assert list(csv.reader(io.StringIO(text), delimiter=";")) == [COLUMNS, *rejected]


LOADED = ("created", "already_exists")
FAULTS = [
    {"kind": "drop", "method": "POST", "path": "/items$", "every": 97},
    {"kind": "truncated", "method": "POST", "path": "/items$", "every": 131},
    {"kind": "server_error", "method": "POST", "path": "/items$", "every": 151},
    {"kind": "server_error", "method": "POST", "path": "/items$", "every": 173, "applied": True},
    {"kind": "maintenance", "method": "POST", "path": "/items$", "every": 191},
    {"kind": "per_second", "every": 397},
    {"kind": "drop", "method": "POST", "path": "/holdings$", "every": 61},
    {"kind": "malformed", "method": "POST", "path": "/holdings$", "every": 89},
    {"kind": "server_error", "method": "GET", "every": 149},
    {"kind": "truncated", "method": "GET", "path": "p_avail", "every": 7},
]
# The n-th deed of each task, in its midst: of check_outcome, which does nothing to the world, there is none.
DEATHS = {
    "read_file": 3, "check_codes": 20, "resolve_holdings": 200, "create_items": 200, "report": 3, "file_away": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("titles", "rows"), [(800, 1500), pytest.param(3000, 5000, marks=pytest.mark.nightly)]
)
def test_every_row_has_one_end_and_alma_holds_exactly_that(
    jobs, sandbox, connect_alma, monkeypatch, titles, rows
):
    alma = ItemSandbox(sandbox(titles=titles, per_second=0).url)
    connect_alma(alma.url, requests_per_second=5000, timeout=10)
    file = BigFile(alma, alma.titles(), rows)
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode())
    jobs.bucket.put(KEY, file.bytes())
    alma.faults(*FAULTS)
    death = Death(monkeypatch, DEATHS)

    loaded = Loaded(jobs.bucket, jobs.run("item_creation", {"key": KEY}), "big list")
    check(alma, loaded, file)
    assert loaded.state == "success"
    assert Counter(death.killed) == Counter(DEATHS.keys())
    assert jobs.bucket.info(KEY) is None
    assert len(loaded.keys("items/done/")) == 1
