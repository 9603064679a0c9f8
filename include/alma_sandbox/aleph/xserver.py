"""The X-Server at ``/X``: update-item, read-item and create-item as forms in, XML out.

Beside Alma's gateway: no key and no threshold, but the same log, latencies and faults. A fault's ``path`` is matched
against ``/X?op=…&library=…&doc=…&seq=…&barcode=…``, which the log shows, too; the rest of a form stands nowhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from lxml import etree
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alma_sandbox.aleph.fields import (
    COLLECTIONS,
    DATES,
    FIELDS,
    ITEM_STATUSES,
    MATERIALS,
    NO_DATE,
    PROCESS_STATUSES,
    SUB_LIBRARIES,
)
from alma_sandbox.aleph.records import StoredZ30, key_of
from alma_sandbox.aleph.world import NO_DOCUMENT, NO_ITEM, AlephWorld, RefusedByAleph
from alma_sandbox.gateway.endpoint import struck
from alma_sandbox.gateway.faults import Dropped, FaultRule, spoilt
from alma_sandbox.gateway.log import Entry
from alma_sandbox.http.errors import page
from alma_sandbox.sandbox import Sandbox

PATH = "/X"
MOST_BYTES = 20_000
DEFAULT_USER = "WWW-X"
NOT_ADM = "Input library must be an Administrative library "
NO_XML = "xml must be provided to update Item "
BAD_XML = "Input xml is not valid"
_DONE = {
    "update-item": {
        "ENG": "Item has been updated successfully",
        "GER": "Exemplar wurde aktualisiert",
        "FRE": "Exemplaire mis à jour",
    },
    "create-item": {
        "ENG": "Item has been created successfully",
        "GER": "Exemplar wurde angelegt",
        "FRE": "Exemplaire créé",
    },
}
_TYPE = "text/xml; charset=UTF-8"


@dataclass
class XCall:
    """One call: its operation with hyphens, its form, and who makes it."""

    world: AlephWorld
    sandbox: Sandbox
    method: str
    op: str
    form: Mapping[str, str]
    user: str = ""
    session: str = ""
    ignored: frozenset[str] = frozenset()

    def text(self, name: str) -> str:
        """A parameter without blanks around it, or an empty text."""
        return self.form.get(name, "").strip()


@dataclass
class XReply:
    """What a service answers: the item, and the texts of its ``<error>`` elements."""

    root: str
    item: StoredZ30 | None = None
    errors: list[str] = field(default_factory=list)
    session: str = ""
    applied: bool = False


class _LoginRefused(Exception):
    """The caller is not who he says, or may not do this."""


def routes(sandbox: Sandbox) -> list[Route]:
    """``/X`` with GET and POST."""

    async def answer(request: Request) -> Response:
        trace: Entry = request.state.trace
        form = await _form(request)
        target = _target(request.method, form)
        op = form.get("op", "").replace("_", "-")
        trace.route, trace.query = f"{PATH} {op}", target.partition("?")[2]
        trace.key = form.get("user_name", "") or ("session" if form.get("session_id") else DEFAULT_USER)
        closed = _closed(sandbox, form)
        if closed is not None:
            return closed
        call = XCall(sandbox.aleph, sandbox, request.method, op, form)
        return await struck(
            sandbox, request.method, target, trace, lambda spoiler: _answered(sandbox, call, spoiler, trace)
        )

    return [Route(PATH, answer, methods=["GET", "POST"])]


async def _form(request: Request) -> dict[str, str]:
    """The query and, of a POST, the form; of repeated names the first counts."""
    text = request.scope["query_string"]
    if request.method == "POST":
        text = b"&".join(part for part in (await request.body(), text) if part)
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True, encoding="utf-8"):
        found.setdefault(name.lower(), value)
    return found


def _target(method: str, form: Mapping[str, str]) -> str:
    """What faults and the log see of a call: its operation and its item, and nothing of who makes it."""
    sent = {}
    if method == "POST" and "xml_full_req" in form:
        try:
            sent = parsed(form["xml_full_req"])
        except ValueError:
            sent = {}
    shown = {
        "op": form.get("op", ""),
        "library": form.get("library") or form.get("adm_library", ""),
        "doc": sent.get("doc-number") or form.get("doc_number") or form.get("adm_doc_number", ""),
        "seq": sent.get("item-sequence") or form.get("item_sequence", ""),
        "barcode": sent.get("barcode") or form.get("item_barcode") or form.get("barcode", ""),
    }
    return f"{PATH}?{urlencode({name: value for name, value in shown.items() if value})}"


def _closed(sandbox: Sandbox, form: Mapping[str, str]) -> Response | None:
    """What answers before the X-Server reads the call: another server, or nobody."""
    access = sandbox.settings.aleph_access
    if access == "off":
        return page(404, "404 Not Found", "The requested URL /X was not found on this server.")
    if access in ("refused", "refused_200"):
        status = 403 if access == "refused" else 200
        return page(status, "403 Forbidden", "You don't have permission to access /X on this server.")
    if len(form.get("xml_full_req", "").encode()) > MOST_BYTES:
        return Dropped()
    return None


def _answered(sandbox: Sandbox, call: XCall, spoiler: FaultRule | None, trace: Entry) -> Response:
    """Carry out the call and render its answer, spoilt as the fault says."""
    if spoiler is None:
        return _rendered(call, _carried_out(call, trace))
    call.ignored = spoiler.ignored
    if spoiler.kind == "login":
        return _login(sandbox, call, spoiler.message, trace)
    if not spoiler.strikes_after:
        if spoiler.kind == "aleph_error":
            root = call.op if call.op in _SERVICES else "error"
            return _rendered(call, XReply(root, errors=list(spoiler.messages)))
        return spoilt(sandbox, spoiler, trace, None, json=False)
    reply = _carried_out(call, trace)
    if spoiler.kind == "aleph_error":
        reply.errors = [*spoiler.messages, *reply.errors]
    elif spoiler.kind == "other_key" and reply.item is not None:
        reply.item = reply.item.copy()
        reply.item.values["doc-number"] = f"{int(reply.item.values['doc-number']) + 1:09d}"
    response = _rendered(call, reply)
    if spoiler.kind in ("aleph_error", "other_key", "ignore"):
        return response
    return spoilt(sandbox, spoiler, trace, response, json=False)


def _carried_out(call: XCall, trace: Entry) -> XReply:
    service = _SERVICES.get(call.op)
    if service is None:
        return XReply("error", errors=[f"Service {call.op} does not exist"])
    try:
        _sign_in(call, service[1])
        reply = service[0](call)
    except _LoginRefused as refused:
        trace.code = "login"
        return XReply("login", errors=[str(refused)])
    except RefusedByAleph as refused:
        trace.code = "error"
        reply = XReply(call.op, errors=refused.texts)
    else:
        trace.applied = True
    reply.session = call.session
    return reply


def _sign_in(call: XCall, permission: str) -> None:
    """By session, else by user and password, WWW-X unless the form says otherwise; then the permission WWW-X / …"""
    session = call.text("session_id")
    if session:
        user = call.world.user_of_session(session)
        if user is None:
            raise _LoginRefused("Session has expired, please log in again")
        call.user, call.session = user, session
    else:
        user = call.text("user_name").upper() or DEFAULT_USER
        password = call.text("user_password").upper() or DEFAULT_USER
        if user not in call.sandbox.settings.aleph_users or password != user:
            raise _LoginRefused("Error in verification of user name or password")
        call.user, call.session = user, call.world.open_session(user)
    if permission not in call.sandbox.settings.aleph_users.get(call.user, ()):
        raise _LoginRefused(f"User {call.user} is not authorized for WWW-X / {permission}")


def _login(sandbox: Sandbox, call: XCall, text: str, trace: Entry) -> Response:
    """The refusal of a user or session, and the end of the session that was used."""
    trace.code = "login"
    sandbox.aleph.sessions.pop(call.text("session_id"), None)
    return _rendered(call, XReply("login", errors=[text]))


# Services


def _library(call: XCall, name: str) -> None:
    """The ADM library of a call, in either case. RefusedByAleph for any other."""
    if call.text(name).upper() != call.sandbox.settings.aleph_library.upper():
        raise RefusedByAleph(NOT_ADM)


def _sent(call: XCall) -> dict[str, str]:
    """The fields of ``xml_full_req``, which only a POST can bring."""
    text = call.text("xml_full_req") if call.method == "POST" else ""
    if not text:
        raise RefusedByAleph(NO_XML)
    try:
        return parsed(text)
    except ValueError as error:
        raise RefusedByAleph(BAD_XML) from error


def parsed(text: str) -> dict[str, str]:
    """The fields of a z30 record without ``z30-``: of a root ``<z30>``, or of the one in the root.

    Of an element that stands twice the first counts. ValueError for anything else, and for a document type.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(text.strip().encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError("not well formed") from error
    record = root if root.tag == "z30" else root.find("z30")
    if record is None or root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("no z30 record")
    found: dict[str, str] = {}
    for element in record:
        if isinstance(element.tag, str) and element.tag.startswith("z30-"):
            found.setdefault(element.tag.removeprefix("z30-"), (element.text or "").strip())
    return found


def _update_item(call: XCall) -> XReply:
    _library(call, "library")
    sent = _sent(call)
    return XReply(call.op, call.world.update(sent, call.user, call.ignored), [_done(call)])


def _create_item(call: XCall) -> XReply:
    _library(call, "adm_library" if call.text("adm_library") else "library")
    sent, world = _sent(call), call.world
    number = call.text("adm_doc_number")
    if number:
        key = key_of(number, "0")
        document = None if key is None or not world.has_document(key[:9]) else key[:9]
    else:
        document = world.document_of_bib(call.text("bib_library"), call.text("bib_doc_number"))
    if document is None:
        raise RefusedByAleph(NO_DOCUMENT)
    item = world.create(sent, document, call.user)
    if not number:
        world.make_document(document)
    return XReply(call.op, item, [_done(call)])


def _done(call: XCall) -> str:
    """The success text in the language of ``con_lng``; a language without a table shows its code."""
    language, texts = call.text("con_lng").upper() or "ENG", _DONE[call.op]
    return texts.get(language, f"{language} 0001 OK")


def _read_item(call: XCall) -> XReply:
    _library(call, "library")
    world = call.world
    names = {"both": ("item_barcode", "barcode")}.get(
        call.sandbox.settings.aleph_barcode_parameter, (call.sandbox.settings.aleph_barcode_parameter,)
    )
    barcode = next((call.text(name) for name in names if call.text(name)), "")
    by_barcode = world.item_by_barcode(barcode) if barcode else None
    key = key_of(call.text("doc_number"), call.text("item_sequence"))
    if call.text("doc_number"):
        item = None if key is None else world.moved_by_itself(key)
        if item is None:
            raise RefusedByAleph(NO_ITEM)
        other = barcode and (by_barcode is None or by_barcode.key != item.key)
        text = "Only the item of the given doc number and item sequence has been retrieved"
        return XReply(call.op, item, [text] if other else [])
    if by_barcode is None:
        raise RefusedByAleph("no item exist based on given barcode")
    return XReply(call.op, world.moved_by_itself(by_barcode.key))


_SERVICES: dict[str, tuple[Callable[[XCall], XReply], str]] = {
    "update-item": (_update_item, "UPD-ITEM"),
    "read-item": (_read_item, "READ-ITEM"),
    "create-item": (_create_item, "CREATE-ITEM"),
}


# Answers


def _rendered(call: XCall, reply: XReply) -> Response:
    settings = call.sandbox.settings
    translate = call.text("translate").upper() != "N"
    lines = ['<?xml version = "1.0" encoding = "UTF-8"?>', f"<{escape(reply.root)}>"]
    if reply.item is not None:
        values = reply.item.values
        shown = _translated(values) if translate else dict(values)
        if settings.aleph_padding == "bare":
            shown["doc-number"] = str(int(values["doc-number"]))
            shown["item-sequence"] = str(int(values["item-sequence"]))
        else:
            shown["item-sequence"] = f"{int(values['item-sequence']):05d}"
        if translate or settings.aleph_temp_location == "word":
            shown["temp-location"] = {"Y": "Yes", "N": "No"}[values["temp-location"]]
        lines.append("<z30>")
        lines += [f"<z30-{name}>{escape(shown[name])}</z30-{name}>" for name in FIELDS]
        lines.append("</z30>")
    lines += [f"<error>{escape(text)}</error>" for text in reply.errors]
    if reply.session:
        lines.append(f"<session-id>{reply.session}</session-id>")
    lines.append(f"</{escape(reply.root)}>")
    return Response("\n".join(lines) + "\n", headers={"content-type": _TYPE})


def _translated(values: Mapping[str, str]) -> dict[str, str]:
    """Names for codes and dd/mm/yyyy; as Aleph does it the status shows the process status where there is one."""
    shown = dict(values)
    shown["sub-library"] = SUB_LIBRARIES.get(values["sub-library"], values["sub-library"])
    of_place = COLLECTIONS.get(values["sub-library"], {})
    shown["collection"] = of_place.get(values["collection"], values["collection"])
    shown["material"] = MATERIALS.get(values["material"], values["material"])
    status = ITEM_STATUSES.get(values["item-status"], values["item-status"])
    shown["item-status"] = PROCESS_STATUSES.get(values["item-process-status"], status)
    for name in DATES:
        if values[name] not in ("", NO_DATE):
            shown[name] = f"{values[name][6:]}/{values[name][4:6]}/{values[name][:4]}"
    if values["hour-last-return"]:
        shown["hour-last-return"] = f"{values['hour-last-return'][:2]}:{values['hour-last-return'][2:]}"
    return shown
