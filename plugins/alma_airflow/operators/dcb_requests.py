"""The tasks of `dcb_place_request` and `dcb_cancel_request`: each calls one step of `alma_etl.dcb.flows.place`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from airflow.sdk import Context, Param
from pydantic import BaseModel

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.store import store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.conf import CancelRequest, PlaceRequest, read_cancel, read_place, schema_of
from alma_etl.dcb.flows import cancel
from alma_etl.dcb.flows.cancel import Cancelling
from alma_etl.dcb.flows.place import steps
from alma_etl.dcb.flows.place.progress import Placing, RequestContext, keeping, results_of
from alma_etl.dcb.flows.place.track import track
from alma_etl.store.locks import open_locks

_LOCK_SECONDS = 60.0  # seconds to wait for another task of the same request before this one is tried again

_TITLES = {
    "pr_id": "Request",
    "workflow": "Workflow",
    "supplier": "Supplier",
    "borrower": "Borrower",
    "pickup": "Pickup",
    "bib": "Title",
    "item": "Item",
    "note": "Note",
    "reason": "Reason",
}
_DRY_RUN = Param(
    False,
    type="boolean",
    title="Dry run",
    description="Read, check and report what would be done; write nothing.",
)


def params_of(model: type[BaseModel]) -> dict[str, Param]:
    """The form of a conf: one Param for each of its fields, and `dry_run`."""
    schema = schema_of(model)
    parts = schema.get("$defs", {})
    params = {
        name: _param(name, _inlined(field, parts), name in schema.get("required", ()))
        for name, field in schema["properties"].items()
    }
    return {**params, "dry_run": _DRY_RUN}


def _inlined(field: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema by itself: references filled in, and "something or null" as the form knows it."""
    if "$ref" in field:
        part = parts[field["$ref"].rpartition("/")[2]]
        properties = {name: _inlined(each, parts) for name, each in part["properties"].items()}
        return {**part, "properties": properties}
    options = field.get("anyOf", ())
    rest = {name: value for name, value in field.items() if name != "anyOf"}
    for option in options:
        if option.get("type") != "null":
            rest |= option
            rest["type"] = [option["type"], "null"]
    return rest


def _param(name: str, schema: dict[str, Any], required: bool) -> Param:
    default, examples = schema.pop("default", None), schema.pop("examples", ())
    schema |= {"title": _TITLES[name], **_explained(schema, examples)}
    return Param(**schema) if required else Param(default, **schema)


def _explained(schema: Mapping[str, Any], examples: Sequence[Any]) -> dict[str, str]:
    """A field's description; of an object also what it consists of, and one to copy into the form's editor."""
    text = str(schema.get("description", ""))
    if "properties" not in schema:
        return {"description": text}
    required = schema.get("required", ())
    fields = [
        (name, f"{each.get('description', '')}{'' if name in required else ' (optional)'}")
        for name, each in schema["properties"].items()
    ]
    rows = "\n".join(f"- `{name}`: {what}" for name, what in fields)
    blocks = "".join(f"\n\n```json\n{json.dumps(each, indent=2)}\n```" for each in examples)
    return {
        "description": f"{text} As JSON: {'; '.join(f'{name}: {what}' for name, what in fields)}.",
        "description_md": f"{text} For example (replace it by yours):{blocks}\n\n{rows}",
    }


PLACE_PARAMS = params_of(PlaceRequest)
CANCEL_PARAMS = params_of(CancelRequest)


@contextmanager
def _request_context() -> Iterator[RequestContext]:
    with dcb_hooks.open_dcb() as dcb, open_locks(store_url(), timeout=_LOCK_SECONDS) as locks:
        yield RequestContext(dcb.settings, dcb.store, dcb.systems, dcb.bucket, locks, lambda: dcb_hooks.now())


def _conf(context: Context) -> tuple[dict[str, Any], bool]:
    """The conf of the run, and whether it is a dry run."""
    params = dict(context["params"])
    dry_run = params.pop("dry_run", False)
    return {name: value for name, value in params.items() if value is not None}, bool(dry_run)


class RequestOperator(EtlOperator):
    """A task that is about one request. What errors say may name its patron, so that the ledger keeps none of it."""

    quotes_errors = False

    def subject(self, context: Context) -> str:
        """The request, where the form names it."""
        return str(context["params"].get("pr_id") or "")


class PlacingOperator(RequestOperator):
    """A step of a placing; returns what it made, by ids alone."""

    ledger_job = "dcb_place_request"
    step: ClassVar[Callable[[Placing], str]]

    @contextmanager
    def placing(self, context: Context) -> Iterator[Placing]:
        """The placing that the run is about."""
        conf, dry_run = _conf(context)
        with _request_context() as request:
            place = read_place(conf, request.settings)
            self.ledger.note(subject=place.pr_id, institution=dcb_hooks.gateways(request.settings))
            yield Placing(request, place, context["dag_run"].run_id, dry_run=dry_run)

    def work(self, context: Context) -> str:
        with self.placing(context) as placing, keeping(placing.files):
            return type(self).step(placing)


class CheckPatron(PlacingOperator):
    """Step 1: everything that only has to be read; returns "checked", or the status of a request that is tracked."""

    step = staticmethod(steps.check_patron)


class EnsureVirtualPatron(PlacingOperator):
    """Step 2: the virtual patron at the lender's; returns found, extended or created."""

    step = staticmethod(steps.ensure_virtual_patron)


class PlaceSupplierRequest(PlacingOperator):
    """Step 3: the lender's hold; returns its id."""

    step = staticmethod(steps.place_supplier_request)


class CreateVirtualItem(PlacingOperator):
    """Step 4: the virtual item of the patron's side; returns its pid."""

    step = staticmethod(steps.create_virtual_item)


class PlaceBorrowerRequest(PlacingOperator):
    """Step 5: the patron's hold; returns its id."""

    step = staticmethod(steps.place_borrower_request)


class TrackRequest(PlacingOperator):
    """Step 6: hands the request over to `dcb_status_sync`; returns its status. Is to run always."""

    ends_run = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        with self.placing(context) as placing, self.ledger.keeping(lambda: results_of(placing)):
            return track(placing, unsuccessful_tasks(context))

    def headline(self, result: str) -> str:
        """What became of the request."""
        if self.ledger.about.dry_run:
            return "Dry run: the request can be placed. Nothing was written."
        return f"The request is placed and tracked: it is {result}."


class CancellingOperator(RequestOperator):
    """A step of a cancellation."""

    ledger_job = "dcb_cancel_request"

    @contextmanager
    def cancelling(self, context: Context) -> Iterator[Cancelling]:
        """The cancellation that the run is about."""
        conf, dry_run = _conf(context)
        asked = read_cancel(conf)
        with _request_context() as request:
            self.ledger.note(institution=dcb_hooks.gateways(request.settings))
            yield Cancelling(request, asked, context["dag_run"].run_id, dry_run=dry_run)


class CancelHolds(CancellingOperator):
    """Step 1: cancels the patron's holds and reports that to the machine; returns the request's status."""

    def work(self, context: Context) -> str:
        with self.cancelling(context) as run, keeping(run.files):
            return cancel.cancel(run)


class VerifyCancelled(CancellingOperator):
    """Step 2: reads again whether they are gone; returns the request's status."""

    def work(self, context: Context) -> str:
        with self.cancelling(context) as run, keeping(run.files):
            return cancel.verify(run)


class ReportCancellation(CancellingOperator):
    """Step 3: the page; fails when the request was not cancelled. Is to run always."""

    ends_run = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        with self.cancelling(context) as run, self.ledger.keeping(lambda: cancel.results_of(run)):
            return cancel.report(run, unsuccessful_tasks(context))
