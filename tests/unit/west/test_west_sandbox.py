"""The whole procedure against the sandbox: every kind of title and holding that the rules tell apart."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.limiter import LocalLimiter
from alma_sandbox import FaultRule, Running, Settings, serve
from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.variants import GOOD, VARIANTS, variant_of
from tests.unit.west.builders import read_marc
from tests.unit.west.pipeline import Ran, run

pytestmark = pytest.mark.heavy
TITLES, SEED = 200, 7
MARC_ORG = (
    "set_id: '59000000000004401'\noclc_symbol: ZZMAIN\nmarc_org_code: ZzSB\nexclude_locations: [microform]\n"
)

# What becomes of the first holding of each variant, in the exact mode, with every reason.
EXPECTED = {
    GOOD: "delivered",
    "two_holdings": "delivered",
    "three_holdings": "delivered",
    "no_holding": "no_holding",
    "bound_with": "no_holding",
    "suppressed_bib": "delivered",
    "oclc_missing": "bad_marc OCN",
    "oclc_only_cancelled": "bad_marc OCN",
    "issn_missing": "delivered 022",
    "issn_wrong_digit": "delivered ISSNCHK",
    "issn_only_incorrect": "delivered 022",
    "no_583": "no_commitment 583",
    "empty_583": "no_commitment 583RETAIN",
    "other_action": "no_commitment 583RETAIN",
    "only_reviewed": "no_commitment 583RETAIN",
    "reviewed_and_committed": "delivered",
    "expired": "no_commitment 583EXPIRED",
    "expired_and_renewed": "delivered",
    "other_programme": "no_commitment 583f",
    "no_583f": "bad_marc 583f",
    "several_583f": "delivered",
    "capital_583a": "delivered 583CASE",
    "bad_583c": "bad_marc 583c",
    "no_583c": "bad_marc 583c",
    "bad_583d_text": "bad_marc 583d",
    "bad_583d_impossible": "bad_marc 583d",
    "no_583d": "bad_marc 583d",
    "583_dates_reversed": "bad_marc 583ORDER",
    "no_5832": "delivered 5832",
    "no_5835": "delivered 5835",
    "odd_583_indicator": "delivered 583IND",
    "leader_of_bib": "bad_marc LDR06",
    "leader_not_unicode": "delivered",
    "short_008": "bad_marc 008LEN",
    "long_008": "bad_marc 008LEN",
    "no_008": "bad_marc 008LEN",
    "migrated": "delivered",
    "no_852": "bad_marc 852",
    "no_852b": "bad_marc 852b",
    "microform": "excluded_location MAIN/microform",
    "suppressed_holding": "suppressed",
    "suppressed_location": "suppressed",
    "no_items": "delivered",
    "all_items_temporary": "delivered",
    "some_items_temporary": "delivered",
    "no_statement": "bad_marc STMT",
    "paired_statement": "delivered",
    "paired_and_text": "delivered",
    "unpaired_statement": "delivered",
    "supplements": "delivered",
    "field_too_long": "bad_marc FIELDLONG",
    "record_too_long": "bad_marc TOOLONG",
}


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with serve(Settings(seed=SEED, titles=TITLES, per_second=0)) as running:
        yield running


@pytest.fixture
def clients(sandbox: Running) -> Iterator[Callable[..., AlmaClient]]:
    made: list[AlmaClient] = []

    def make(**settings: object) -> AlmaClient:
        made.append(
            AlmaClient(sandbox.url, "sandbox", limiter=LocalLimiter(10_000), max_in_flight=8, **settings)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def told(row: dict[str, str]) -> str:
    return " ".join([row["outcome"], *row["reasons"].split(";")]).strip()


def of_titles(ran: Ran) -> dict[str, list[dict[str, str]]]:
    return {mms_id: list(rows) for mms_id, rows in itertools.groupby(ran.rows(), lambda row: row["mms_id"])}


def test_every_variant_of_the_sandbox_is_expected_here():
    assert set(EXPECTED) == {GOOD, *VARIANTS}


def test_exact_mode_tells_the_truth_about_every_holding(sandbox, clients, bucket):
    bucket.put("config/west.yaml", MARC_ORG.encode())
    ran = run(clients(), bucket, list_mode="exact", chunk_size=60)
    found = of_titles(ran)
    assert list(found) == [ids.mms_id(title) for title in range(TITLES)]
    wrong = {}
    for title in range(TITLES):
        variant, rows = variant_of(SEED, title), found[ids.mms_id(title)]
        if told(rows[0]) != EXPECTED[variant]:
            wrong[variant] = told(rows[0])
        others = [told(row).split()[0] for row in rows[1:]]
        assert others == ["delivered"] * ({"two_holdings": 1, "three_holdings": 2}.get(variant, 0)), variant
    assert wrong == {}
    assert ran.assembly.shut == ()
    check_file(ran)


def check_file(ran: Ran) -> None:
    """The file holds exactly the delivered rows, in their order, each enriched as contracted."""
    rows = [row for row in ran.rows() if row["outcome"] == "delivered"]
    records = read_marc(ran.file(".mrc"))
    assert [(made["001"].data, made["004"].data) for made in records] == [
        (row["holding_id"], row["mms_id"]) for row in rows
    ]
    for made in records:
        assert tuple(made["852"].subfields[0]) == ("a", "ZZMAIN")
        assert any("(OCoLC)" in value for each in made.get_fields("035") for value in each.get_subfields("a"))
        assert str(made.leader)[9] == "a"
    holdings = [row["holding_id"] for row in ran.rows() if row["holding_id"]]
    assert len(holdings) == len(set(holdings)) == ran.assembly.holdings
    assert sum(ran.assembly.counts.values()) == len(ran.rows())


def test_batch_mode_gives_the_same_and_asks_far_less(sandbox, clients, bucket):
    """A hidden holding is the only one of its title in this catalogue, so that its title falls back to the list."""
    bucket.put("config/west.yaml", MARC_ORG.encode())
    exact = run(clients(), bucket, "exact", list_mode="exact")
    sandbox.sandbox.log.clear()
    batch = run(clients(), bucket, "batch")
    assert batch.rows() == exact.rows()
    assert batch.file(".mrc") == exact.file(".mrc")
    log = sandbox.sandbox.log
    fetched, listed = (len(list(log.select(path=path))) for path in (r"/holdings/\d+$", "/holdings$"))
    own_flag = sum(variant_of(SEED, title) == "suppressed_holding" for title in range(TITLES))
    assert (
        fetched == batch.assembly.holdings - own_flag
    )  # the list tells the holding's own flag, not its location's
    assert listed == batch.assembly.fell_back
    assert log.total <= 1.05 * fetched + TITLES / 100 + TITLES / 100 + batch.assembly.fell_back


def test_two_runs_give_the_same_bytes(clients, bucket):
    first, second = (
        run(clients(), bucket, "first", chunk_size=37),
        run(clients(), bucket, "second", chunk_size=101),
    )
    for ending in (".mrc", ".outcomes.csv"):
        assert first.file(ending) == second.file(ending)


def test_suppressed_holdings_are_delivered_when_asked_for(clients, bucket):
    ran = run(clients(), bucket, include_suppressed=True)
    assert ran.assembly.counts["suppressed"] == 0
    delivered = {row["mms_id"] for row in ran.rows() if row["outcome"] == "delivered"}
    suppressed = {
        ids.mms_id(title) for title in range(TITLES) if variant_of(SEED, title).startswith("suppressed")
    }
    assert suppressed <= delivered


def test_members_that_shift_repeat_and_vanish(sandbox, clients, bucket):
    sandbox.sandbox.change_settings({"set_paging": "shifting", "vanished_members": 3})
    ran = run(clients(), bucket, failure_threshold=0)
    assert (ran.assembly.titles, ran.assembly.counts["not_found"]) == (TITLES + 3, 3)
    assert ran.folder.plan().counts.missing == 0
    assert ran.assembly.shut == ()


FAULTS = [
    {"kind": "server_error", "path": "holdings/", "every": 7},
    {"kind": "maintenance", "path": "holdings/", "every": 11},
    {"kind": "truncated", "path": "/bibs", "every": 13},
    {"kind": "drop", "path": "/bibs", "every": 17},
    {"kind": "per_second", "every": 19},
]


def test_faults_that_pass_change_nothing(sandbox, clients, bucket):
    undisturbed = run(clients(), bucket, "undisturbed", limit=60)
    for fault in FAULTS:
        sandbox.sandbox.faults.add(FaultRule.model_validate(fault))
    # The rules count the calls of all threads together and spoil two in five of them: with the usual five attempts
    # a holding is now and then hit by all of them, and rightly fails. Here every fault is to pass.
    disturbed = run(clients(backoff=0.01, attempts=50), bucket, "disturbed", limit=60)
    assert {rule["hit"] > 0 for rule in sandbox.sandbox.faults.as_json()} == {True}
    assert disturbed.file(".mrc") == undisturbed.file(".mrc")
    assert disturbed.rows() == undisturbed.rows()


def test_a_holding_whose_answer_is_never_readable_is_one_failure(sandbox, clients, bucket):
    victim = ids.holding_id(next(t for t in range(TITLES) if variant_of(SEED, t) == GOOD), 0)
    sandbox.sandbox.faults.add(FaultRule(kind="malformed", path=victim))
    ran = run(clients(backoff=0.01), bucket, limit=150)
    (row,) = [row for row in ran.rows() if row["outcome"] == "failed"]
    assert row["holding_id"] == victim
    assert f"/holdings/{victim}" in row["reasons"]
    assert ran.assembly.shut == ()
    check_file(ran)


@pytest.mark.parametrize(("threshold", "shut"), [(0.01, True), (0.05, False)])
def test_a_list_that_hides_a_holding_fails_its_title_and_is_weighed(
    sandbox, clients, bucket, threshold, shut
):
    title = next(n for n in range(TITLES) if variant_of(SEED, n) == "two_holdings")
    hidden = ids.holding_id(title, 1)
    for rule in (
        FaultRule(kind="short", path=f"{ids.mms_id(title)}/holdings$", text=hidden),
        *(
            FaultRule(kind="miscount", path=f"{ids.mms_id(n)}/holdings$")
            for n in range(TITLES)
            if n % 40 == 0 and n != title
        ),
    ):
        sandbox.sandbox.faults.add(rule)
    ran = run(clients(), bucket, set_id="59000000000004401", list_mode="exact", failure_threshold=threshold)
    rows = [row for row in ran.rows() if row["mms_id"] == ids.mms_id(title)]
    assert [(row["holding_id"], row["outcome"]) for row in rows] == [
        (ids.holding_id(title, 0), "delivered"),
        ("", "failed"),
    ]
    assert "counts 2 rows but gives 1" in rows[1]["reasons"]
    assert sum(ran.assembly.counts.values()) == len(ran.rows())
    assert bool(ran.assembly.shut) is shut
