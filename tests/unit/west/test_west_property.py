"""Whatever Alma holds: every holding has exactly one row, counts add up, the file holds exactly what is delivered."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma_etl.remote.errors import RemoteServerError, RemoteStop, RemoteTimeout
from tests.unit.west.builders import (
    LEADER,
    available,
    bib,
    field,
    hol,
    holding,
    holding_fields,
    mms,
    note,
    read_marc,
)
from tests.unit.west.fake_alma import FakeAlma, pages_of
from tests.unit.west.pipeline import run

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]  # many deliveries, each with a bucket
CONFIG = b"""
set_id: '59000000000004401'
oclc_symbol: ZZMAIN
failure_threshold: 1
max_drop: 1
exclude_locations: [micro]
"""

FIELDS = st.builds(
    holding_fields,
    f008=st.sampled_from(["1803152u    8   1001uueng0180315"] * 8 + ["short", None]),
    library=st.sampled_from(["MAIN", "MAIN", "LAW", "LAW", "", None]),
    location=st.sampled_from(["stacks", "stacks", "stacks", "micro"]),
    notes=st.lists(
        st.builds(
            note,
            action=st.sampled_from(["committed to retain"] * 4 + ["Committed to retain", "digitized", None]),
            begin=st.sampled_from(["20180315"] * 4 + ["soon", None]),
            end=st.sampled_from(["20351231"] * 4 + ["20261119", "20261120", "never", None]),
            programmes=st.sampled_from([["WEST"], ["WEST"], ["WEST", "WEST Bronze"], ["EAST"], []]),
            source=st.sampled_from(["pda", None]),
        ),
        max_size=3,
    ),
    statements=st.sampled_from(
        [[field("866", ("a", "v.1 日本 e\u0301"))]] * 5
        + [[], [field("863", ("8", "1.1"))], [field("866", ("a", "x" * 9_995))]]
    ),
)


@dataclass
class Made:
    """What is made of one holding: its record, its flags, and how often reading it fails."""

    fields: list
    suppressed: bool
    leader: str
    trouble: str
    listed: bool


HOLDING = st.builds(
    Made,
    fields=FIELDS,
    suppressed=st.sampled_from([False, False, False, True]),
    leader=st.sampled_from([LEADER] * 6 + ["     cas a22     1a 4500", ""]),
    trouble=st.sampled_from([""] * 8 + ["broken", "gone", "unreadable"]),
    listed=st.booleans(),
)
TITLE = st.fixed_dictionaries(
    {
        "holdings": st.lists(HOLDING, max_size=3),
        "trouble": st.sampled_from([""] * 8 + ["timeout", "gone", "no record"]),
    }
)


def fill(alma: FakeAlma, titles: list[dict]) -> None:
    number = 0
    for title, made in enumerate(titles):
        held, rows = [], []
        for each in made["holdings"]:
            number += 1
            one = holding(number, title, each.fields, leader=each.leader, suppressed=each.suppressed)
            if each.trouble == "unreadable":
                one = holding(number, title, record=b"<record><leader>")
            held.append(one)
            rows.append(available(title, hol(number) if each.listed else None))
            if each.trouble == "broken":
                alma.trouble["read", hol(number)] = RemoteServerError("GET /x", 500, "", "broken; wait")
        alma.held[mms(title)] = held
        alma.bibs_known[mms(title)] = bib(
            title, rows, title="=Title; with, everything\n" if title % 2 else ""
        )
        for one, each in zip(list(held), made["holdings"], strict=True):
            if each.trouble == "gone" and each.listed and all(other.listed for other in made["holdings"]):
                held.remove(one)  # named by availability, but no longer there
        if made["trouble"] == "timeout":
            alma.trouble["bibs", mms(title)] = RemoteTimeout("GET /bibs", None, "", "no answer in time")
        elif made["trouble"] == "gone":
            del alma.bibs_known[mms(title)], alma.held[mms(title)]
        elif made["trouble"] == "no record":
            found = alma.bibs_known[mms(title)]
            alma.bibs_known[mms(title)] = type(found)(
                found.mms_id, found.title, False, None, found.availability
            )


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(TITLE, min_size=1, max_size=8),
    st.integers(1, 4),
    st.sampled_from(["batch", "exact"]),
    st.randoms(use_true_random=False),
)
def test_whatever_alma_holds_the_delivery_accounts_for_it(bucket, titles, chunk_size, mode, random):
    bucket.delete(each.key for each in bucket.list(""))
    bucket.put("config/west.yaml", CONFIG)
    alma = FakeAlma()
    fill(alma, titles)
    ids = [mms(title) for title in range(len(titles))]
    random.shuffle(ids)
    alma.members = pages_of(ids)
    ran = run(alma, bucket, chunk_size=chunk_size, list_mode=mode)
    rows, assembly = ran.rows(), ran.assembly

    # every title, and every holding that Alma told of, exactly once
    assert Counter((row["mms_id"], row["holding_id"]) for row in rows).most_common(1)[0][1] == 1
    assert [row["mms_id"] for row in rows] == sorted(row["mms_id"] for row in rows)
    assert {row["mms_id"] for row in rows} == set(ids)
    for title, made in enumerate(titles):
        mine = [row for row in rows if row["mms_id"] == mms(title)]
        if made["trouble"] in ("timeout", "gone"):
            assert [row["holding_id"] for row in mine] == [""]
        elif mode == "exact" or all(each.listed for each in made["holdings"]):
            expected = {one.holding_id for one in alma.held[mms(title)]}
            assert expected <= {row["holding_id"] for row in mine}
            assert mine[0]["outcome"] == "no_holding" or all(row["holding_id"] for row in mine)

    # counts add up
    assert assembly.counts == {**dict.fromkeys(assembly.counts, 0), **Counter(row["outcome"] for row in rows)}
    assert (assembly.titles, assembly.holdings) == (len(titles), sum(bool(row["holding_id"]) for row in rows))
    assert [gate for gate in assembly.shut if "add up" in gate] == []

    # the file
    delivered = [(row["holding_id"], row["mms_id"]) for row in rows if row["outcome"] == "delivered"]
    records = read_marc(ran.file(".mrc"))
    assert [(made["001"].data, made["004"].data) for made in records] == delivered
    assert assembly.symbols[0].records == len(records)
    assert bool(records) == (not any("No holding could be delivered" in gate for gate in assembly.shut))

    # what stayed out says why, and what is delivered has no reason that keeps it out
    for row in rows:
        assert row["reasons"] or row["outcome"] in ("delivered", "no_holding", "suppressed", "not_found"), row


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(TITLE, min_size=1, max_size=6), st.randoms(use_true_random=False), st.integers(1, 30))
def test_order_chunks_and_interruptions_leave_no_trace_in_the_bytes(bucket, titles, random, stop_after):
    bucket.delete(each.key for each in bucket.list(""))
    bucket.put("config/west.yaml", CONFIG)
    alma = FakeAlma()
    fill(alma, titles)
    ids = [mms(title) for title in range(len(titles))]
    alma.members = pages_of(ids)
    first = run(alma, bucket, "first")
    again = FakeAlma(threads=1)
    fill(again, titles)
    shuffled = ids[:]
    random.shuffle(shuffled)
    again.members = pages_of([*shuffled, shuffled[0]])
    again.answers_left = stop_after
    try:
        second = run(again, bucket, "second", chunk_size=2)
    except RemoteStop:
        again.answers_left = None
        second = run(again, bucket, "second", chunk_size=2)
    for ending in (".mrc", ".outcomes.csv"):
        assert second.file(ending) == first.file(ending)
