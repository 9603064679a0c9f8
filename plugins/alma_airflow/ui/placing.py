"""The form `/alma/requests/place`: the book is found and shown first, then a run of `dcb_place_request` is started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.ui.connections import this_minute
from alma_airflow.ui.forms import PostedForm
from alma_airflow.ui.forms import field as field_of
from alma_airflow.ui.guards import CurrentUser, can_start_runs, may_see_runs, may_start_runs
from alma_airflow.ui.rendering import page
from alma_airflow.ui.requests import HERE, PLACE, request_address
from alma_airflow.ui.start_runs import form_id_of, new_form_id, run_id_of, start_run
from alma_airflow.ui.store_reading import dcb_store
from alma_etl.alma.conf import Library
from alma_etl.dcb.conf import Copy, PlaceRequest, made_id, read_place
from alma_etl.dcb.machine.vocabulary import Workflow
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides.copies import CopyPreview, libraries_of, preview
from alma_etl.dcb.sides.ports import Impossible, Unsettled
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteStop

_PATH = f"{HERE}/place"
_ATTEMPTS, _LONGEST = 2, 10.0  # somebody waits for the page
_MINUTES = 10  # for which a list of libraries is remembered
_LEFT_OUT = ("supplier_mms_id", "supplier_holding_id", "supplier_item_pid")
FIELDS = tuple(name for name in PlaceRequest.model_fields if name not in _LEFT_OUT)
"""The fields of the conf that the form has; the book is named by its barcode."""

router = APIRouter()


@dataclass(frozen=True)
class PlaceForm:
    """What the page shows: what was filled in, the systems, and what was found in the Almas.

    ``libraries`` is None where their list is not known, ``problems`` are sentences; ``checked`` is what `_key` said of
    the book that is shown.
    """

    values: Mapping[str, str]
    systems: Mapping[str, SystemSettings]
    form_id: str
    dry_run: bool = False
    copy: CopyPreview | None = None
    libraries: list[Library] | None = None
    problems: list[str] = field(default_factory=list)
    checked: str = ""

    @property
    def lenders(self) -> list[str]:
        """The systems in which a hold can be placed."""
        return [code for code, each in self.systems.items() if each.kind == "alma"]

    @property
    def homes(self) -> list[str]:
        """The systems that have patrons here."""
        return [code for code, each in self.systems.items() if each.kind != "other"]


@router.get(_PATH, dependencies=[Depends(may_see_runs(PLACE))])
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The empty form; no Alma is asked for it."""
    systems, problems = _systems()
    form = PlaceForm({"workflow": Workflow.STANDARD}, systems, new_form_id(), problems=problems)
    return _page(request, user, form)


@router.post(_PATH, dependencies=[Depends(may_start_runs(PLACE))])
def send(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Find the book and the pickup libraries, or send the request whose book was shown."""
    values = {name: field_of(form, name) for name in FIELDS}
    wanted, form_id = field_of(form, "do") == "send", form_id_of(form)
    problems: list[str] = []
    try:
        settings = dcb_hooks.dcb_settings()
        if wanted and field_of(form, "checked") == _key(values):
            return _send(user, form, form_id, values, settings)
    except InputProblem as problem:
        problems.append(str(problem))
    systems, without = _systems()
    shown = _find(PlaceForm(values, systems, form_id, field_of(form, "dry_run") == "yes"))
    if wanted and not problems and shown.copy:
        problems = ["Look at the book first: this is another one, or another place. Then send it."]
    shown.problems[:0] = problems or without
    return _page(request, user, shown, 422 if shown.problems else 200)


def _send(
    user: BaseUser, form: FormData, form_id: str, values: Mapping[str, str], settings: DcbSettings
) -> Response:
    """Start the run, and lead to the page of the request. Raises InputProblem with a sentence for each fault."""
    given = {name: value for name, value in values.items() if value}
    made = made_id("page", form_id)
    place = read_place(given, settings, own_id=made)
    if given.get("pr_id") and dcb_store().get(place.pr_id) is not None:
        raise InputProblem(
            f"pr_id: the request {place.pr_id} is there already; leave it empty for one of its own"
        )
    conf = {**given, "pr_id": place.pr_id, "dry_run": field_of(form, "dry_run") == "yes"}
    run = start_run(user, PLACE, conf, run_id=run_id_of(form_id))
    return RedirectResponse(request_address(place.pr_id, placing=run.run_id), 303)


def _key(values: Mapping[str, str]) -> str:
    """What must not have changed since the book was shown."""
    return " ".join(
        values[name]
        for name in ("supplier_system", "item_barcode", "borrower_system", "pickup_system", "workflow")
    )


def _page(request: Request, user: BaseUser, form: PlaceForm, status: int = 200) -> HTMLResponse:
    may_place = can_start_runs(user, PLACE)
    return page(request, user, "place.html", here=HERE, status=status, form=form, may_place=may_place)


def _systems() -> tuple[Mapping[str, SystemSettings], list[str]]:
    """The systems of the settings, and why there are none."""
    try:
        return dcb_hooks.dcb_settings().systems, []
    except InputProblem as problem:
        return {}, [str(problem)]


# --- what the Almas are asked


def _find(form: PlaceForm) -> PlaceForm:
    """The book by its barcode, and the libraries of the pickup system, as far as they can be found."""
    values, problems, copy, libraries = form.values, [*form.problems], None, None
    lender, barcode = values["supplier_system"], values["item_barcode"]
    home = values["pickup_system"] or values["borrower_system"]
    if not (lender and barcode):
        problems.append("Choose the lender, and give the barcode of the book.")
    else:
        try:
            copy = _preview(this_minute(), lender, barcode)
        except _SAID as problem:
            problems.append(_sentence(lender, problem))
    system = form.systems.get(home)
    if copy and system and system.kind == "alma" and values["workflow"] != Workflow.EXPEDITED:
        try:
            libraries = _libraries(this_minute() // _MINUTES, home)
        except _SAID as problem:
            problems.append(_sentence(home, problem))
    checked = _key(values) if copy else ""
    return PlaceForm(values, form.systems, form.form_id, form.dry_run, copy, libraries, problems, checked)


_SAID = (Impossible, Unsettled, RemoteStop, InputProblem)


def _sentence(code: str, problem: Exception) -> str:
    if isinstance(problem, Impossible | InputProblem):
        return str(problem)
    return f"The Alma of {code} cannot be asked now: {problem}"


@lru_cache(maxsize=64)
def _preview(minute: int, code: str, barcode: str) -> CopyPreview:
    with dcb_hooks.open_dcb(attempts=_ATTEMPTS, longest=_LONGEST) as dcb:
        return preview(dcb.systems, Copy(code, barcode))


@lru_cache(maxsize=64)
def _libraries(span: int, code: str) -> list[Library]:
    with dcb_hooks.open_dcb(attempts=_ATTEMPTS, longest=_LONGEST) as dcb:
        found = libraries_of(dcb.systems, code)
    return sorted((each for each in found if not each.resource_sharing), key=lambda each: each.name)


def forget() -> None:
    """Ask the Almas again next time."""
    _preview.cache_clear()
    _libraries.cache_clear()
