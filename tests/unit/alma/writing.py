"""Every write that the jobs make, as the fault matrix drives it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from alma_etl.alma import writes
from alma_etl.alma.acq_writes import receive_item
from alma_etl.alma.client import AlmaClient
from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteTransient
from alma_etl.remote.safe_write import WriteOutcome, Written
from tests.unit.alma.ordering import AT, ordered_item

ITEMS = "59000000000024401"
PATRON = "patron001"
HOLD = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
NEW_USER = {
    "primary_id": "made-for-a-test",
    "first_name": "Invented",
    "last_name": "Person",
    "record_type": {"value": "PUBLIC"},
    "account_type": {"value": "INTERNAL"},
    "status": {"value": "ACTIVE"},
    "user_group": {"value": "UGRD"},
}


def field(tag: str, **subfields: str) -> str:
    inner = "".join(f'<subfield code="{code}">{value}</subfield>' for code, value in subfields.items())
    return f'<datafield ind1=" " ind2=" " tag="{tag}">{inner}</datafield>'


HOLDING_RECORD = (
    "<record><leader>00000nx  a2200000zn 4500</leader>"
    f'<controlfield tag="008">0101010u    8   4001uueng0000000</controlfield>{field("852", b="STOR", c="{}")}</record>'
)
BIB_RECORD = (
    "<record><leader>00000nam a2200000 a 4500</leader>"
    '<controlfield tag="008">010101s2001    xx            000 0 eng d</controlfield>'
    f"{field('035', a='(ETL){}')}{field('245', a='Made for a test')}</record>"
)


@dataclass
class Scene:
    """What a write works on: an item that is in place, with its title and holding, and a place for new
    holdings."""

    mms_id: str
    holding_id: str
    pid: str
    location: str
    barcode: str = ""
    more: Any = None


def scene(client: AlmaClient) -> Scene:
    """An item of the sandbox that anybody may borrow."""
    page = client.sets.members_page(ITEMS, 0)
    place = client.conf.locations("STOR")[0].code
    for link in page.links:
        parts = link.split("/")
        mms_id, holding_id, pid = parts[-5], parts[-3], parts[-1]
        found = client.items.read(mms_id, holding_id, pid)
        if isinstance(found, Found) and found.value.item_policy == "01" and not found.value.process_type:
            return Scene(mms_id, holding_id, pid, place, found.value.barcode)
    raise AssertionError("the sandbox has no item to lend")


@dataclass(frozen=True)
class Write:
    """`prepare` makes what must be there, `act` is the write; `method` and `path` (a regular expression with
    the fields of the scene) are the call that the faults strike. `done` is its outcome without a fault."""

    act: Callable[[AlmaClient, Scene], Written[Any]]
    method: str
    path: str
    prepare: Callable[[AlmaClient, Scene], Any] = lambda client, at: None
    done: WriteOutcome = WriteOutcome.CREATED


def item_body(barcode: str) -> dict[str, Any]:
    return {"item_data": {"barcode": barcode, "physical_material_type": {"value": "BOOK"}}}


def lend(client: AlmaClient, at: Scene) -> Any:
    return client.loans.create(PATRON, item_pid=at.pid, library="MAIN", circ_desk="DEFAULT_CIRC_DESK")


def lend_and_read(client: AlmaClient, at: Scene) -> Any:
    lend(client, at)
    return client.items.read(at.mms_id, at.holding_id, at.pid).value


def hold(client: AlmaClient, at: Scene) -> Any:
    return client.requests.create(PATRON, HOLD, item_pid=at.pid)


def known_holdings(client: AlmaClient, at: Scene) -> list[str]:
    return [row.holding_id for row in client.holdings.list(at.mms_id).value]


def add_note(record: etree._Element) -> None:
    if not any(each.get("tag") == "500" for each in record):
        record.append(etree.fromstring(field("500", a="Noted by a test")))


def cancelled(client: AlmaClient, at: Scene) -> Written[Any]:
    """A cancellation, which the client itself repeats, in the words of the other writes."""
    answer = client.requests.cancel(PATRON, at.more.request_id, reason="CannotBeFulfilled")
    return deleted(answer)


def deleted(answer: Answer[None]) -> Written[Any]:
    if isinstance(answer, Unknown):
        return _not_done(answer.error)
    return Written(WriteOutcome.CREATED if isinstance(answer, Found) else WriteOutcome.ADOPTED)


def empty_holding(client: AlmaClient, at: Scene) -> Any:
    return client.holdings.create(at.mms_id, HOLDING_RECORD.format(at.location).encode()).holding_id


def empty_bib(client: AlmaClient, at: Scene) -> Any:
    return client.bibs.create(BIB_RECORD.format("2").encode(), suppressed=True).mms_id


def due_date_changed(client: AlmaClient, at: Scene) -> Written[Any]:
    """Likewise for the due date of a loan."""
    try:
        return Written(
            WriteOutcome.CREATED,
            client.loans.change_due_date(PATRON, at.more.loan_id, "2031-01-01T18:00:00Z"),
        )
    except (RemoteRefused, RemoteTransient) as error:
        return _not_done(error)


def _not_done(error: RemoteError) -> Written[Any]:
    if isinstance(error, RemoteRefused):
        return Written(WriteOutcome.REFUSED, error=error)
    return Written(WriteOutcome.UNCONFIRMED if error.effect_unknown else WriteOutcome.FAILED, error=error)


WRITES: dict[str, Write] = {
    "create item": Write(
        lambda c, at: writes.create_item(c, at.mms_id, at.holding_id, item_body("TEST1")),
        "POST",
        "/bibs/{0.mms_id}/holdings/{0.holding_id}/items$",
    ),
    "create holding": Write(
        lambda c, at: writes.create_holding(
            c, at.mms_id, HOLDING_RECORD.format(at.location).encode(), known=at.more
        ),
        "POST",
        "/bibs/{0.mms_id}/holdings$",
        known_holdings,
    ),
    "create bib": Write(
        lambda c, at: writes.create_bib(c, BIB_RECORD.format("1").encode(), marker="(ETL)1", suppressed=True),
        "POST",
        "/bibs$",
    ),
    "create user": Write(lambda c, at: writes.create_user(c, NEW_USER), "POST", "/users$"),
    "create request": Write(
        lambda c, at: writes.create_request(c, PATRON, HOLD, marker="[TEST:1]", item_pid=at.pid),
        "POST",
        f"/users/{PATRON}/requests",
    ),
    "create loan": Write(
        lambda c, at: writes.create_loan(
            c, PATRON, item_pid=at.pid, library="MAIN", circ_desk="DEFAULT_CIRC_DESK"
        ),
        "POST",
        f"/users/{PATRON}/loans",
    ),
    "renew loan": Write(
        lambda c, at: writes.renew_loan(c, at.more), "POST", f"/users/{PATRON}/loans/.*op=renew", lend
    ),
    "scan in": Write(
        lambda c, at: writes.scan_in(c, at.more, library="MAIN", circ_desk="DEFAULT_CIRC_DESK"),
        "POST",
        "/items/{0.pid}.op=scan",
        lend_and_read,
    ),
    "create set": Write(
        lambda c, at: writes.create_set(c, "Made for a test", "BIB_MMS"), "POST", "/conf/sets$"
    ),
    "add members": Write(
        lambda c, at: writes.add_members(c, at.more, [at.mms_id]),
        "POST",
        "/conf/sets/.*op=add_members",
        lambda c, at: c.sets.create("Made for a test", "BIB_MMS").id,
    ),
    "run job": Write(
        lambda c, at: writes.run_job(c, "M48", {"job_name": "Made for a test", "set_id": ITEMS}),
        "POST",
        "/conf/jobs/M48",
    ),
    "receive item": Write(
        lambda c, at: receive_item(c, *at.more, **AT),
        "POST",
        "/acq/po-lines/.*op=receive",
        lambda c, at: ordered_item(c, at.mms_id),
    ),
    "update item": Write(
        lambda c, at: writes.update_item(
            c, at.mms_id, at.holding_id, at.pid, {"item_data": {"public_note": "Noted by a test"}}
        ),
        "PUT",
        "/items/{0.pid}",
        done=WriteOutcome.UPDATED,
    ),
    "move item": Write(
        lambda c, at: writes.update_item(
            c,
            at.mms_id,
            at.holding_id,
            at.pid,
            {"item_data": {"library": {"value": "STOR"}, "location": {"value": at.location}}},
        ),
        "PUT",
        "/items/{0.pid}",
        done=WriteOutcome.UPDATED,
    ),
    "update user": Write(
        lambda c, at: writes.update_user(c, PATRON, {"expiry_date": "2031-01-01Z"}),
        "PUT",
        f"/users/{PATRON}",
        done=WriteOutcome.UPDATED,
    ),
    "update bib": Write(
        lambda c, at: writes.update_bib(c, at.mms_id, add_note),
        "PUT",
        "/bibs/{0.mms_id}",
        done=WriteOutcome.UPDATED,
    ),
    "update holding": Write(
        lambda c, at: writes.update_holding(c, at.mms_id, at.holding_id, add_note),
        "PUT",
        "/holdings/{0.holding_id}",
        done=WriteOutcome.UPDATED,
    ),
    "cancel request": Write(cancelled, "DELETE", f"/users/{PATRON}/requests/", hold),
    "withdraw item": Write(
        lambda c, at: deleted(c.items.withdraw(at.mms_id, at.holding_id, at.pid)), "DELETE", "/items/{0.pid}"
    ),
    "delete holding": Write(
        lambda c, at: deleted(c.holdings.delete(at.mms_id, at.more)),
        "DELETE",
        "/bibs/{0.mms_id}/holdings/{0.more}",
        empty_holding,
    ),
    "delete bib": Write(lambda c, at: deleted(c.bibs.delete(at.more)), "DELETE", "/bibs/{0.more}", empty_bib),
    "change due date": Write(due_date_changed, "PUT", f"/users/{PATRON}/loans/", lend),
}
