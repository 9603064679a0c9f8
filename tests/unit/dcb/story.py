"""Play a request's story observation by observation, and ask where it stands."""

from typing import Any

from alma_etl.dcb.machine.model import State, StepResult, read_seen
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import Status, Workflow

ROLES = {"S": "SUPPLIER", "B": "BORROWER", "P": "PICKUP"}


def request(word: str | None, **more: Any) -> dict[str, Any]:
    """`?` = the read failed, `gone`, `gone:CANCELED` = gone with evidence, else Alma's request_status."""
    if word is None:
        return {}
    if word == "?":
        return {"request": {"found": None}}
    kind, _, closure = word.partition(":")
    if kind == "gone":
        return {"request": {"found": False, "closure": closure or None}}
    return {"request": {"found": True, "request_status": word, **more}}


def item(word: str | None, **more: Any) -> dict[str, Any]:
    """`?` = the read failed, `gone`, `in place`, else Alma's process_type."""
    if word is None:
        return {}
    if word == "?":
        return {"item": {"found": None}}
    if word == "gone":
        return {"item": {"found": False}}
    if word == "in place":
        return {"item": {"found": True, "base_status": "1", "process_type": "", **more}}
    return {"item": {"found": True, "base_status": "0", "process_type": word, **more}}


def loan(word: str | None, **more: Any) -> dict[str, Any]:
    """`?` = the read failed, `none`, `Active`, `Complete`, or `Active/RECALL`."""
    if word is None:
        return {}
    if word in ("?", "none"):
        return {"loan": {"found": None if word == "?" else False}}
    status, _, process = word.partition("/")
    return {"loan": {"found": True, "loan_status": status, "process_status": process or "NORMAL", **more}}


class Story:
    """Steps get the labels T01, T02, ... unless a time is given."""

    def __init__(self, workflow: Workflow = Workflow.STANDARD) -> None:
        self.state = State(workflow=workflow)
        self.count = 0
        self.last: StepResult | None = None

    def see(
        self,
        role: str,
        req: str | None = None,
        it: str | None = None,
        ln: str | None = None,
        *,
        at: str | None = None,
        expiry: str | None = None,
        due: str | None = None,
        **more: Any,
    ) -> "Story":
        """One side in one step. `more`: `txn`, `patron`, `barcode`, `item_id`, `loan_date`, `last_renew_date`, ..."""
        self.count += 1
        data: dict[str, Any] = {"role": ROLES[role], "at": at or f"T{self.count:02}"}
        request_more = {"expiry_date": expiry} if expiry else {}
        request_more |= {
            key: more.pop(key) for key in ("item_id", "request_date", "task_name") if key in more
        }
        item_more = {key: more.pop(key) for key in ("barcode", "other_requests") if key in more}
        loan_more = {"due_date": due} if due else {}
        loan_more |= {key: more.pop(key) for key in ("loan_date", "last_renew_date") if key in more}
        data |= request(req, **request_more) | item(it, **item_more) | loan(ln, **loan_more) | more
        return self.report(data)

    def ack(self, name: str, *, at: str | None = None, **more: Any) -> "Story":
        data = {"ack": name, **more}
        return self.report(data | {"at": at} if at else data)

    def report(self, *data: dict[str, Any]) -> "Story":
        """One step with several observations: one cycle."""
        self.last = step(self.state, [read_seen(each) for each in data])
        self.state = self.last.state
        return self

    @property
    def status(self) -> Status:
        return self.state.status

    @property
    def path(self) -> list[str]:
        """What the last step came to; `*` marks what was inferred."""
        assert self.last is not None
        return [f"{each.to}{'*' if each.inferred else ''}" for each in self.last.transitions]

    @property
    def actions(self) -> list[list[str]]:
        assert self.last is not None
        return [action.to_json() for action in self.last.actions]

    @property
    def flags(self) -> list[str]:
        """Those raised in the last step."""
        assert self.last is not None
        return list(self.last.flags)

    @property
    def standing(self) -> set[str]:
        return set(self.state.standing)


def placed(workflow: Workflow = Workflow.STANDARD) -> Story:
    """Both holds are placed; the lender's item is on its shelf."""
    story = Story(workflow).see("S", "NOT_STARTED", "in place", barcode="31").ack("BORROWER_PLACED")
    return story.ack("PICKUP_PLACED") if workflow is Workflow.PICKUP_ANYWHERE else story


def placed_at(time: str) -> Story:
    """Placed, with times in place of labels."""
    return Story().see("S", "NOT_STARTED", "in place", at=time).ack("BORROWER_PLACED")


def shipped(workflow: Workflow = Workflow.STANDARD) -> Story:
    return placed(workflow).see("S", "IN_PROCESS", "TRANSIT")


def on_shelf() -> Story:
    return shipped().see("B", "ON_HOLD_SHELF", "HOLDSHELF")


def loaned() -> Story:
    """With the patron, and lent at the lender's too."""
    story = on_shelf().see("B", "gone", "LOAN", "Active", due="2026-02-01")
    return story.ack("SUPPLIER_LOAN_CREATED", at=f"T{story.count:02}a")


def returned() -> Story:
    return loaned().see("B", None, "TRANSIT", "Complete")


def cancelled_while_out() -> Story:
    return on_shelf().see("B", "gone:CANCELED", "HOLDSHELF", "none")
