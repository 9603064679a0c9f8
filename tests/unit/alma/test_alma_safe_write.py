"""The one mechanism of safe writes, against a small world that loses answers before or after the effect."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteRefused, RemoteServerError, RemoteTimeout, RemoteUnreachable
from alma_etl.remote.safe_write import NOT_AS_SENT, SETTLE, WriteOutcome, update, write

LOST = RemoteTimeout("POST /x", None, "", "lost", "", True)
NEVER_SENT = RemoteTimeout("POST /x", None, "", "no connection")
REFUSED = RemoteRefused("POST /x", 400, "401164", "no")
STOP = AlmaDailyThreshold("POST /x", 429, "DAILY_THRESHOLD", "no more today")
UNKNOWN = Unknown(RemoteServerError("GET /x", 500, "", "failed"))


class World:
    """Things that were made, and what happens to each call in turn: ok, before (lost without effect), after
    (lost with effect), late (lost, the effect comes with the second look), refuse, unsent, stop. `unique`: a
    second one is refused."""

    def __init__(self, *faults, unique=True, looks=()):
        self.faults = iter(faults)
        self.looks = iter(looks)
        self.unique = unique
        self.made = 0
        self.calls = 0
        self.looked = 0
        self.coming = -1

    def attempt(self):
        self.calls += 1
        fault = next(self.faults, "ok")
        errors = {"before": LOST, "refuse": REFUSED, "unsent": NEVER_SENT, "stop": STOP}
        if fault in errors:
            raise errors[fault]
        if fault == "late":
            self.coming = 2
            raise LOST
        if self.unique and self.made:
            raise REFUSED
        self.made += 1
        if fault == "after":
            raise LOST
        return f"thing {self.made}"

    def look(self):
        self.looked += 1
        self.coming -= 1
        if self.coming == 0 and not (self.unique and self.made):
            self.made += 1
        answer = next(self.looks, None)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        return Found("found") if self.made else Absent()


def go(world, pauses=None, **settings):
    pause = (pauses if pauses is not None else []).append
    return write(world.attempt, world.look, pause=pause, guarded=world.unique, **settings)


def test_a_write_that_is_answered_is_not_looked_for():
    world = World()
    assert go(world).outcome is WriteOutcome.CREATED
    assert (world.made, world.looked) == (1, 0)


@pytest.mark.parametrize("unique", [True, False])
def test_a_lost_answer_with_effect_is_adopted(unique):
    world = World("after", unique=unique)
    written = go(world)
    assert (written.outcome, written.value) == (WriteOutcome.ADOPTED, "found")
    assert (world.made, world.calls) == (1, 1)


@pytest.mark.parametrize("unique", [True, False])
def test_a_lost_answer_without_effect_is_repeated(unique):
    world = World("before", unique=unique)
    assert go(world).outcome is WriteOutcome.CREATED
    assert (world.made, world.calls) == (1, 2)


def test_an_effect_that_comes_late_is_waited_for_where_alma_would_make_a_second_one():
    world, pauses = World("late", unique=False), []
    assert go(world, pauses).outcome is WriteOutcome.ADOPTED
    assert (world.made, world.calls) == (1, 1)
    assert pauses == [SETTLE[1]]


def test_an_effect_that_comes_late_is_found_behind_the_refusal_of_the_repeat():
    world = World("late", "refuse")
    assert go(world).outcome is WriteOutcome.ADOPTED
    assert world.made == 1


def test_a_refusal_is_the_outcome_and_is_not_repeated():
    world = World("refuse")
    written = go(world)
    assert (written.outcome, written.error, written.done) == (WriteOutcome.REFUSED, REFUSED, False)
    assert (world.calls, world.looked) == (1, 0)


def test_a_refused_repeat_of_something_that_is_not_there_is_refused():
    assert go(World("before", "refuse")).outcome is WriteOutcome.REFUSED


def test_a_look_that_cannot_tell_leaves_it_unconfirmed():
    world = World("after", looks=[UNKNOWN])
    written = go(world)
    assert (written.outcome, written.error) == (WriteOutcome.UNCONFIRMED, LOST)
    assert world.calls == 1


def test_a_look_that_may_not_be_made_leaves_it_unconfirmed_and_does_not_end_the_run_itself():
    assert go(World("after", looks=[STOP])).outcome is WriteOutcome.UNCONFIRMED


def test_a_look_that_finds_the_wish_impossible_refuses():
    impossible = RemoteRefused("GET /items", None, "BARCODE_ELSEWHERE", "elsewhere")
    written = go(World("before", looks=[impossible]))
    assert (written.outcome, written.error) == (WriteOutcome.REFUSED, impossible)


def test_a_call_that_was_never_sent_is_failed_not_unconfirmed():
    world = World("unsent")
    assert go(world).outcome is WriteOutcome.FAILED
    assert (world.made, world.looked) == (0, 0)


def test_a_stop_before_anything_was_sent_is_raised():
    with pytest.raises(AlmaDailyThreshold):
        go(World("stop"))
    with pytest.raises(AlmaDailyThreshold):
        go(World("before", "stop"))  # the look has shown that nothing was made


def test_an_effect_that_comes_after_the_last_attempt_is_waited_for():
    world, pauses = World("before", "before", "late"), []
    assert go(world, pauses).outcome is WriteOutcome.ADOPTED
    assert pauses == [SETTLE[1]]


def test_it_gives_up_after_its_attempts():
    world = World(*["before"] * 9)
    assert go(world, attempts=3).outcome is WriteOutcome.FAILED
    assert world.calls == 3


def test_what_a_former_run_made_is_adopted_when_asked_to_look_first():
    world = World()
    world.made = 1
    assert go(world, look_first=True).outcome is WriteOutcome.ADOPTED
    assert world.calls == 0
    world = World(looks=[UNKNOWN])
    assert (
        go(world, look_first=True).outcome is WriteOutcome.FAILED
    )  # not knowing is no ground for making one
    assert world.calls == 0


@given(
    st.lists(st.sampled_from(["ok", "before", "after", "late", "refuse", "unsent"]), max_size=6),
    st.lists(st.sampled_from([None, UNKNOWN, STOP]), max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_whatever_happens_nothing_is_made_twice_and_the_outcome_is_true(faults, looks, unique, look_first):
    world = World(*faults, unique=unique, looks=looks)
    try:
        outcome = go(world, look_first=look_first).outcome
    except AlmaDailyThreshold:
        outcome = None
    assert world.made <= 1
    assert world.calls <= 3
    if outcome in (WriteOutcome.CREATED, WriteOutcome.ADOPTED):
        assert world.made == 1
    if outcome is None or outcome is WriteOutcome.FAILED:
        assert world.made == 0
    if outcome is WriteOutcome.REFUSED and world.coming <= 0:
        assert world.made == 0


# PUT


class Record:
    """A record under change: `faults` as above, and: other (another writer saves first: refused as stale),
    lost update (another writer empties the change before the next reading), ignored (Alma answers but drops
    the change)."""

    def __init__(self, *faults, reads=()):
        self.faults = iter(faults)
        self.reads = iter(reads)
        self.now = {"note": "", "by_others": 0}
        self.puts = 0
        self.paused = []
        self.late = None

    def read(self):
        if self.paused and self.late is not None:
            self.now, self.late = self.late, None
        answer = next(self.reads, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or Found(dict(self.now))

    def put(self, wanted):
        self.puts += 1
        fault = next(self.faults, "ok")
        if fault == "other":
            self.now["by_others"] += 1
            raise RemoteRefused("PUT /x", 400, "4022034", "newer version")
        if fault == "late":
            self.late = dict(wanted)
            raise LOST
        if fault in ("before", "refuse", "unsent", "stop"):
            raise {"before": LOST, "refuse": REFUSED, "unsent": NEVER_SENT, "stop": STOP}[fault]
        if fault != "ignored":
            self.now = dict(wanted)
        if fault == "after":
            raise LOST
        return dict(self.now)


def change(base):
    return base | {"note": "new"}


def put(record, **settings):
    stale = frozenset({"4022034"})
    return update(record.read, change, record.put, pause=record.paused.append, stale=stale, **settings)


@pytest.mark.parametrize(
    ("faults", "outcome", "puts", "note"),
    [
        ((), WriteOutcome.UPDATED, 1, "new"),
        (("before",), WriteOutcome.UPDATED, 2, "new"),
        (("after",), WriteOutcome.ADOPTED, 1, "new"),
        (("other",), WriteOutcome.UPDATED, 2, "new"),
        (("refuse",), WriteOutcome.REFUSED, 1, ""),
        (("unsent",), WriteOutcome.FAILED, 1, ""),
        (("ignored",), WriteOutcome.REFUSED, 1, ""),
        (("before",) * 3, WriteOutcome.FAILED, 3, ""),
        (("other",) * 3, WriteOutcome.REFUSED, 3, ""),
        (("before", "before", "late"), WriteOutcome.ADOPTED, 3, "new"),
        (("before", "before", "after"), WriteOutcome.ADOPTED, 3, "new"),
        (("before", "other", "ok"), WriteOutcome.UPDATED, 3, "new"),
    ],
)
def test_updates(faults, outcome, puts, note):
    record = Record(*faults)
    written = put(record)
    assert (written.outcome, record.puts, record.now["note"]) == (outcome, puts, note)
    assert record.now["by_others"] == faults.count("other")  # nobody's work was overwritten


def test_what_is_as_wanted_is_not_sent():
    record = Record()
    record.now["note"] = "new"
    assert put(record).outcome is WriteOutcome.UNCHANGED
    assert record.puts == 0


def test_what_alma_did_not_take_over_is_told():
    assert put(Record("ignored")).error.code == NOT_AS_SENT


@pytest.mark.parametrize("faults", [(), ("after",)])
def test_what_must_stay_is_checked_in_the_answer_and_in_a_new_reading(faults):
    written = put(Record(*faults), intact=lambda wanted, after: False)
    assert (written.outcome, written.error.code) == (WriteOutcome.REFUSED, NOT_AS_SENT)


@pytest.mark.parametrize(
    ("reads", "outcome"),
    [
        ([Absent(REFUSED)], WriteOutcome.NOT_FOUND),
        ([UNKNOWN], WriteOutcome.FAILED),
        ([None, UNKNOWN], WriteOutcome.UNCONFIRMED),
        ([None, Absent()], WriteOutcome.UNCONFIRMED),
        ([None, STOP], WriteOutcome.UNCONFIRMED),
    ],
)
def test_readings_that_fail(reads, outcome):
    assert put(Record("after", reads=reads)).outcome is outcome


def test_a_stop_ends_the_run_while_nothing_was_written():
    with pytest.raises(AlmaDailyThreshold):
        put(Record("stop"))
    with pytest.raises(RemoteUnreachable):
        put(Record("other", reads=[None, RemoteUnreachable("GET /x", None, "", "gone")]))


@given(
    st.lists(st.sampled_from(["ok", "before", "after", "other", "refuse", "unsent", "ignored"]), max_size=5)
)
def test_whatever_happens_to_an_update_the_outcome_is_true(faults):
    record = Record(*faults)
    outcome = put(record).outcome
    others = len(list(itertools.takewhile(lambda fault: fault in ("before", "other"), faults[:3])))
    assert record.now["by_others"] == faults[:others].count("other")
    assert (record.now["note"] == "new") == (outcome in (WriteOutcome.UPDATED, WriteOutcome.ADOPTED))
