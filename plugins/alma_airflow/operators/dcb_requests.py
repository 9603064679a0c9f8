"""The tasks of `dcb_place_request` and `dcb_cancel_request`: each calls one step of `alma_etl.dcb.flows.place`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from airflow.sdk import Context, Param
from pydantic import BaseModel

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.store import store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.conf import CancelRequest, PlaceRequest, made_id, read_cancel, read_place, schema_of
from alma_etl.dcb.flows import cancel
from alma_etl.dcb.flows.cancel import Cancelling
from alma_etl.dcb.flows.place import steps
from alma_etl.dcb.flows.place.progress import Placing, RequestContext, keeping, results_of
from alma_etl.dcb.flows.place.track import track
from alma_etl.store.locks import open_locks

_LOCK_SECONDS = 60.0  # seconds to wait for another task of the same request before this one is tried again

_TITLES = {
    "pr_id": "Request",
    "supplier_system": "Lender",
    "item_barcode": "Barcode of the book",
    "supplier_mms_id": "MMS id at the lender",
    "supplier_holding_id": "Holding id at the lender",
    "supplier_item_pid": "Item id at the lender",
    "borrower_system": "Borrower",
    "user_id": "Patron",
    "pickup_system": "Pickup system",
    "pickup_library": "Pickup library",
    "pickup_desk": "Pickup desk",
    "title": "Title",
    "author": "Author",
    "isbn": "ISBN",
    "material_type": "Material type",
    "note": "Note",
    "workflow": "Workflow",
    "suppliers": "More copies",
    "reason": "Reason",
}
_SECTIONS = {
    "Instead of the barcode": ("supplier_mms_id", "supplier_holding_id", "supplier_item_pid"),
    "Where it is fetched, if not at the borrower's": ("workflow", "pickup_system", "pickup_desk"),
    "If not as the lender has it": ("title", "author", "isbn", "material_type"),
}
_SECTION_OF = {name: section for section, names in _SECTIONS.items() for name in names}
_SHOWN: dict[str, dict[str, Any]] = {
    # One type after null decides how the form shows a field: text of several lines for people, a list for programs.
    "suppliers": {
        "type": ["null", "string", "array"],
        "format": "multiline",
        "examples": ["LENDER 31000000000000"],
    },
    "workflow": {
        "values_display": {
            "RET-STD": "RET-STD: at a library of the borrower's",
            "RET-PUA": "RET-PUA: at a library of a third system",
            "RET-EXP": "RET-EXP: the patron stands at the lender's desk with the book",
            "RET-LOCAL": "RET-LOCAL: a book of the patron's own system",
        }
    },
}
_DRY_RUN = Param(
    False,
    type="boolean",
    title="Dry run",
    description="Read, check and report what would be done; write nothing.",
)


def params_of(model: type[BaseModel]) -> dict[str, Param]:
    """The form of a conf: one Param for each of its fields, and `dry_run`.

    A field may be left empty in the form even where it is needed: the first task says then what may be chosen, which
    the form cannot know.
    """
    params = {name: _param(name, dict(field)) for name, field in schema_of(model)["properties"].items()}
    return {**params, "dry_run": _DRY_RUN}


def _param(name: str, field: dict[str, Any]) -> Param:
    options = [option for option in field.pop("anyOf", ()) if option.get("type") != "null"]
    schema = {**field, **(options[0] if options else {}), "title": _TITLES[name]}
    schema.pop("minLength", None)
    if "pattern" in schema:
        schema["pattern"] = f"^$|{schema['pattern']}"
    if "enum" not in schema:
        schema["type"] = ["null", schema["type"]]
    if name in _SECTION_OF:
        schema["section"] = _SECTION_OF[name]
    return Param(schema.pop("default", None) or None, **schema | _SHOWN.get(name, {}))


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


def _own_id(context: Context) -> str:
    """The id of the request of a run that was given none: the same for all its tasks, however often they are tried."""
    run = context["dag_run"]
    return made_id(run.dag_id, run.run_id, run.run_after)


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
            place = read_place(conf, request.settings, own_id=_own_id(context))
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
