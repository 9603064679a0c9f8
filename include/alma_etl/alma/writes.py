"""Every POST and PUT the jobs make, safe to lose (see `safe_write`): for each POST the rule how to see whether it
took effect, for each PUT how the change is recognised.

| write | looked for after a lost answer | does Alma refuse a second one? |
|---|---|---|
| item | its barcode, on the same holding | yes |
| holding | a holding of the bib with that library and location that was not there before | no |
| bib | the marker in its 035 $a | no |
| user | the primary id | yes |
| request | the marker in the comment of the user's active requests | yes, unless allow_same_request |
| loan | the item in the user's loans | yes |
| renewal | another due date or renewal | no |
| scan-in | another state of the item | no |
| set | its name | no |
| members | the number of members | yes |
| job run | an instance that was not there before | no |

All return a `Written` and raise RemoteStop only while nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from lxml import etree

from alma_etl.alma import shapes
from alma_etl.alma.bibs import Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import Holding
from alma_etl.alma.items import Item, item
from alma_etl.alma.jobs import JobInstance
from alma_etl.alma.loans import Loan
from alma_etl.alma.sets import MAX_MEMBERS, AlmaSet
from alma_etl.alma.shapes import Json
from alma_etl.alma.user_requests import UserRequest
from alma_etl.alma.users import User
from alma_etl.counted import counted
from alma_etl.remote import xml
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, ask_list, first_of, rows_of
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteServerError
from alma_etl.remote.safe_write import WriteOutcome, Written, update, write

T = TypeVar("T")
ItemChanges = Mapping[str, Mapping[str, Any]]

BARCODE_ELSEWHERE = "BARCODE_ELSEWHERE"
STALE = frozenset({"4022034"})  # somebody else saved the record since it was read
_FAILED = frozenset({"401652"})  # "general error": of no use to anybody, like a 5xx


def _only(call: str, answer: ListAnswer[T], wanted: Callable[[T], bool] = lambda row: True) -> Answer[T]:
    """The one row that is wanted; with several, nobody can say which is ours. Absent only when the list is
    whole and names none."""
    rows = [row for row in rows_of(answer) if wanted(row)]
    if len(rows) > 1:
        return Unknown(
            RemoteMalformed(call, None, "", f"{len(rows)} candidates, which is not decided by guessing")
        )
    return first_of(answer, wanted)


def create_item(client: AlmaClient, mms_id: str, holding_id: str, body: Json) -> Written[Item]:
    """POST an item (see `Items.create`). REFUSED with BARCODE_ELSEWHERE when, after a lost answer, the
    barcode turns out to be on another holding."""
    barcode = shapes.text(body["item_data"].get("barcode"))

    def look() -> Answer[Item]:
        answer = client.items.by_barcode(barcode)
        if isinstance(answer, Found) and (answer.value.mms_id, answer.value.holding_id) != (
            mms_id,
            holding_id,
        ):
            there = f"bib {answer.value.mms_id}, holding {answer.value.holding_id}"
            raise RemoteRefused(
                "GET /items", None, BARCODE_ELSEWHERE, f"barcode {barcode} is an item of {there}"
            )
        return answer

    return write(
        lambda: client.items.create(mms_id, holding_id, body), look, pause=client.pause, guarded=True
    )


def create_holding(
    client: AlmaClient,
    mms_id: str,
    record: bytes,
    *,
    known: Collection[str],
    suppressed: bool = False,
    before: Callable[[], None] = lambda: None,
) -> Written[Holding]:
    """POST a holding. `known`: the ids of the bib's holdings before, by which a new one is known from an old
    one. `before` is called right before each POST; what it raises ends this and is passed on."""
    library, location = _place(record)

    def look() -> Answer[Holding]:
        only = _only(
            f"GET /bibs/{mms_id}/holdings",
            client.holdings.list(mms_id),
            lambda row: row.holding_id not in known and (row.library, row.location) == (library, location),
        )
        return client.holdings.read(mms_id, only.value.holding_id) if isinstance(only, Found) else only

    def attempt() -> Holding:
        before()
        return client.holdings.create(mms_id, record, suppressed=suppressed)

    return write(
        attempt,
        look,
        pause=client.pause,
        guarded=False,
    )


def _place(record: bytes) -> tuple[str, str]:
    """852 $b and $c of a holdings record."""
    for field in xml.parse(record):
        if field.get("tag") == "852":
            subfields = {each.get("code"): (each.text or "").strip() for each in reversed(field)}
            if subfields.get("b") and subfields.get("c"):
                return subfields["b"], subfields["c"]
    raise ValueError("a holdings record needs an 852 with $b (library) and $c (location)")


def create_bib(
    client: AlmaClient, record: bytes, *, marker: str, suppressed: bool, **options: Any
) -> Written[Bib]:
    """POST a bib. `marker` is a value that no other record has and that stands in a 035 $a of `record`, for
    example (ETL)20261103-0001. `options`: those of `Bibs.create`."""
    markers = [
        subfield.text
        for field in xml.parse(record)
        if field.get("tag") == "035"
        for subfield in field
        if subfield.get("code") == "a"
    ]
    if marker not in markers:
        raise ValueError(f"{marker} must stand in a 035 $a of the record, by which it can be found again")

    def look() -> Answer[Bib]:
        return _only("GET /bibs", client.bibs.by_system_number(marker))

    return write(
        lambda: client.bibs.create(record, suppressed=suppressed, **options),
        look,
        pause=client.pause,
        guarded=False,
    )


def create_user(client: AlmaClient, body: Json) -> Written[User]:
    """POST a user."""
    return write(
        lambda: client.users.create(body),
        lambda: client.users.read(shapes.text(body.get("primary_id"))),
        pause=client.pause,
        guarded=True,
    )


def create_request(
    client: AlmaClient,
    user_id: str,
    body: Json,
    *,
    marker: str,
    mms_id: str | None = None,
    item_pid: str | None = None,
    allow_same_request: bool | None = None,
    look_first: bool = True,
) -> Written[UserRequest]:
    """POST a request with `marker` at the end of its comment; a request of this user that has it already is
    adopted."""
    comment = shapes.text(body.get("comment"))
    marked = body if marker in comment else {**body, "comment": f"{comment} {marker}".strip()}

    def look() -> Answer[UserRequest]:
        return first_of(client.requests.of_user(user_id), lambda each: marker in each.comment)

    return write(
        lambda: client.requests.create(
            user_id, marked, mms_id=mms_id, item_pid=item_pid, allow_same_request=allow_same_request
        ),
        look,
        pause=client.pause,
        guarded=not allow_same_request,
        look_first=look_first,
    )


def create_loan(
    client: AlmaClient,
    user_id: str,
    *,
    item_pid: str,
    library: str,
    circ_desk: str,
    request_id: str | None = None,
    return_circ_desk: str | None = None,
    look_first: bool = True,
) -> Written[Loan]:
    """POST a loan; an active loan of this item by this user is adopted."""

    def look() -> Answer[Loan]:
        return first_of(client.loans.of_user(user_id), lambda each: each.item_pid == item_pid)

    return write(
        lambda: client.loans.create(
            user_id,
            item_pid=item_pid,
            library=library,
            circ_desk=circ_desk,
            request_id=request_id,
            return_circ_desk=return_circ_desk,
        ),
        look,
        pause=client.pause,
        guarded=True,
        look_first=look_first,
    )


def renew_loan(client: AlmaClient, before: Loan) -> Written[Loan]:
    """Renew `before`, which was read a moment ago."""

    def look() -> Answer[Loan]:
        answer = client.loans.read(before.user_id, before.loan_id)
        if isinstance(answer, Found) and _term(answer.value) == _term(before):
            return Absent()
        return answer

    return write(
        lambda: client.loans.renew(before.user_id, before.loan_id), look, pause=client.pause, guarded=False
    )


def _term(each: Loan) -> tuple[str, str, str]:
    return each.due_date, each.process_status, shapes.text(each.raw.get("last_renew_date"))


def scan_in(client: AlmaClient, before: Item, *, library: str, **options: Any) -> Written[Item]:
    """Scan in the item `before`, which was read a moment ago. `options`: those of `Items.scan_in`, with
    either circ_desk or department. A scan that leaves the item as it was is repeated after a lost answer,
    which does no harm; one that changed it is seen by its state."""

    def look() -> Answer[Item]:
        answer = client.items.read(before.mms_id, before.holding_id, before.pid)
        if isinstance(answer, Found) and _state(answer.value) == _state(before):
            return Absent()
        return answer

    return write(
        lambda: client.items.scan_in(
            before.mms_id,
            before.holding_id,
            before.pid,
            library=library,
            **options,
        ),
        look,
        pause=client.pause,
        guarded=False,
    )


def _state(each: Item) -> tuple[str | bool, ...]:
    data = each.raw["item_data"]
    work_order = shapes.text(data.get("work_order_type")) + shapes.text(data.get("work_order_at"))
    return each.base_status, each.process_type, each.requested, each.in_temp_location, work_order


def create_set(client: AlmaClient, name: str, content: str, *, description: str = "") -> Written[AlmaSet]:
    """POST an itemised set. `name` must be one that no other set has."""
    return write(
        lambda: client.sets.create(name, content, description=description),
        lambda: _found_set(client, name),
        pause=client.pause,
        guarded=False,
        look_first=True,
    )


def _found_set(client: AlmaClient, name: str) -> Answer[AlmaSet]:
    answer = ask_list(lambda: client.sets.find(name), frozenset())
    return _only("GET /conf/sets", answer, lambda each: each.name == name)


def add_members(
    client: AlmaClient,
    set_id: str,
    ids: Sequence[str],
    *,
    id_type: str | None = None,
    fail_on_invalid_id: bool = True,
) -> Written[AlmaSet]:
    """Add any number of members, 1000 a call. The set must have no other writer, since its size shows whether
    a lost call took effect. Stops at the first call that is not done; the size of `value` says how far it
    came."""
    answer = client.sets.read(set_id)
    if not isinstance(answer, Found):
        return Written(
            WriteOutcome.NOT_FOUND if isinstance(answer, Absent) else WriteOutcome.FAILED, error=answer.error
        )
    result = Written(WriteOutcome.UNCHANGED, answer.value)
    for start in range(0, len(ids), MAX_MEMBERS):
        part = ids[start : start + MAX_MEMBERS]
        size = result.value.number_of_members if result.value else 0
        result = write(
            partial(
                client.sets.add_members, set_id, part, id_type=id_type, fail_on_invalid_id=fail_on_invalid_id
            ),
            partial(_grown, client, set_id, size, len(part)),
            pause=client.pause,
            guarded=True,
        )
        if not result.done:
            break
    return result


def _grown(client: AlmaClient, set_id: str, before: int, added: int) -> Answer[AlmaSet]:
    answer = client.sets.read(set_id)
    if not isinstance(answer, Found) or answer.value.number_of_members == before + added:
        return answer
    if answer.value.number_of_members == before:
        return Absent()
    what = f"the set has {counted(answer.value.number_of_members, 'member')}, neither {before} nor {before + added}"
    return Unknown(RemoteMalformed(f"GET /conf/sets/{set_id}", 200, "", what))


def run_job(client: AlmaClient, job_id: str, parameters: Mapping[str, str]) -> Written[str]:
    """Start a job; `value` is the id of its instance. One call before it notes today's instances, so that a
    new one can be known; a `job_name` among the parameters distinguishes it from what others start
    meanwhile. A refusal after a lost answer may be because of the first start's run: UNCONFIRMED."""
    before = _instances(client, job_id)
    if not isinstance(before, Found):
        return Written(
            WriteOutcome.NOT_FOUND if isinstance(before, Absent) else WriteOutcome.FAILED, error=before.error
        )
    name = parameters.get("job_name")

    known = {each.id for each in before.value}

    def look() -> Answer[str]:
        only = _only(
            f"GET /conf/jobs/{job_id}/instances",
            _instances(client, job_id),
            lambda each: each.id not in known and name in (None, each.name),
        )
        return Found(only.value.id) if isinstance(only, Found) else only

    sent = 0

    def start() -> str:
        nonlocal sent
        sent += 1
        return client.jobs.run(job_id, parameters)

    written = write(start, look, pause=client.pause, guarded=False)
    if sent > 1 and written.outcome is WriteOutcome.REFUSED:
        return replace(written, outcome=WriteOutcome.UNCONFIRMED)
    return written


def _instances(client: AlmaClient, job_id: str) -> ListAnswer[JobInstance]:
    today = client.today()
    return client.jobs.instances(job_id, today - timedelta(days=1), today + timedelta(days=1))


def update_item(
    client: AlmaClient,
    mms_id: str,
    holding_id: str,
    pid: str,
    changes: ItemChanges | Callable[[Json], ItemChanges],
    *,
    least: Collection[str] = (),
    base: Item | None = None,
    foreign: Callable[[Json], bool] = lambda base: False,
    before: Callable[[], None] = lambda: None,
) -> Written[Item]:
    """Change an item: `changes` as {"item_data": {...}, "holding_data": {...}} with the fields to change
    alone, or made of the item as just read; what is not named stays, "" empties. The barcode goes back as it came,
    unless it is changed. Another library or location moves the item to another holding. REFUSED with NOT_AS_SENT when
    Alma did not take a change over, or changed the barcode; `value` is what is there then.

    `least`: fields of item_data to send alone when Alma fails at the whole item, as it does for some
    combinations of fields (5xx, 401652). What is not among them is emptied then: for items of ours alone.
    `base`: the item, when it was read a moment ago, which saves a reading. `foreign`: whether an item has something of
    somebody else's that the change would overwrite: CONFLICT. `before` is called right before each PUT; what it raises
    ends this and is passed on."""
    at_hand = [base] if base is not None else []

    def read() -> Answer[Json]:
        return Found(at_hand.pop().raw) if at_hand else _raw(client.items.read(mms_id, holding_id, pid))

    def put(wanted: Json) -> Json:
        holding_id = item(wanted).holding_id
        before()
        try:
            return client.items.update(mms_id, holding_id, pid, wanted).raw
        except (RemoteServerError, RemoteRefused) as error:
            if not least or (isinstance(error, RemoteRefused) and error.code not in _FAILED):
                raise
        kept = {name: value for name, value in wanted["item_data"].items() if name in least}
        return client.items.update(mms_id, holding_id, pid, {"item_data": kept}).raw

    result = update(
        read,
        lambda base: merged_sections(base, changes(base) if callable(changes) else changes),
        put,
        pause=client.pause,
        intact=lambda wanted, after: item(after).barcode == item(wanted).barcode,
        foreign=foreign,
    )
    return Written(result.outcome, item(result.value) if result.value is not None else None, result.error)


def update_user(
    client: AlmaClient,
    user_id: str,
    changes: Mapping[str, Any] | Callable[[Json], Mapping[str, Any]],
    *,
    override: Sequence[str] = (),
) -> Written[Json]:
    """Change a user: `changes` holds the top-level fields to change, each whole, or makes them of the user as just
    read. `override`: see `Users.update`."""
    return update(
        lambda: _raw(client.users.read(user_id)),
        lambda base: merged(base, changes(base) if callable(changes) else changes),
        lambda wanted: client.users.update(user_id, wanted, override=override).raw,
        pause=client.pause,
    )


def _raw(answer: Answer[Item] | Answer[User]) -> Answer[Json]:
    return Found(answer.value.raw) if isinstance(answer, Found) else answer


def update_bib(
    client: AlmaClient,
    mms_id: str,
    change: Callable[[etree._Element], None],
    *,
    override_lock: bool = False,
) -> Written[bytes]:
    """Change the MARC <record> of a bib in place; done again on a new reading when somebody else saved in
    between (`STALE`). `change` must do nothing to a record that has it already. `value` is the whole <bib>.
    """
    return update(
        lambda: client.bibs.whole(mms_id),
        in_record(change),
        lambda whole: client.bibs.update(mms_id, whole, override_lock=override_lock),
        pause=client.pause,
        stale=STALE,
    )


def update_holding(
    client: AlmaClient, mms_id: str, holding_id: str, change: Callable[[etree._Element], None]
) -> Written[bytes]:
    """Change the MARC <record> of a holding in place, like `update_bib`; Alma has no lock for holdings.
    `value` is the whole <holding>."""
    return update(
        lambda: client.holdings.whole(mms_id, holding_id),
        in_record(change),
        lambda whole: client.holdings.update(mms_id, holding_id, whole),
        pause=client.pause,
    )


def covers(actual: Any, wanted: Any) -> bool:
    """Whether `actual` says all that `wanted` says. Alma adds descriptions and defaults, and writes one value
    in several ways: {"value": "x", "desc": ...} covers "x", true covers "true", {} and a missing key cover
    ""."""
    if isinstance(wanted, list):
        rows = actual if isinstance(actual, list) else []
        return len(rows) == len(wanted) and all(any(covers(row, each) for row in rows) for each in wanted)
    if isinstance(wanted, Mapping) and "value" not in wanted and wanted:
        return isinstance(actual, Mapping) and all(covers(actual.get(key), wanted[key]) for key in wanted)
    if isinstance(actual, list):
        return False
    return shapes.text(actual) == shapes.text(wanted)


def merged(base: Json, changes: Mapping[str, Any]) -> Json:
    """`base` with the keys of `changes` set; what `base` covers already stays as it is."""
    return base | {key: value for key, value in changes.items() if not covers(base.get(key), value)}


def merged_sections(base: Json, changes: Mapping[str, Mapping[str, Any]]) -> Json:
    """Like `merged`, inside sections such as item_data and holding_data."""
    return base | {name: merged(base.get(name) or {}, section) for name, section in changes.items()}


def in_record(change: Callable[[etree._Element], None]) -> Callable[[bytes], bytes]:
    """A change of the MARC <record> in a whole <bib> or <holding>. `change` works on the <record> in place."""

    def changed(whole: bytes) -> bytes:
        root = xml.parse(whole)
        record = xml.child(root, "record")
        if record is None:
            raise ValueError("there is no <record> to change")
        change(record)
        return xml.serialise(root)

    return changed
