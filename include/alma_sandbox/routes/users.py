"""Users: search, read, create, swap-all update, delete, sign in (section 9)."""

import re
from urllib.parse import unquote

from alma_sandbox.catalogue.conf_data import CODE_TABLES, PATRON_ROLE
from alma_sandbox.circulation.users import OVERRIDABLE, identifiers, normalise
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import lookups

_EXPAND = ("loans", "requests", "fees")
_MANDATORY = ("primary_id", "last_name", "account_type", "record_type")
_RECORD_TYPES = ("PUBLIC", "STAFF", "CONTACT", "ORGANIZATION")


def shape(call: Call, user: Payload, expand: frozenset[str] = frozenset()) -> Payload:
    """A whole user; with ``expand`` the counts of loans and requests."""
    primary_id = str(user["primary_id"])
    counts = _counts(call, primary_id)
    linked = {
        name: {"value": counts[name], "link": call.link(f"/users/{primary_id}/{name}")}
        if name in expand
        else None
        for name in _EXPAND
    }
    return {**user, **linked, "link": call.link(f"/users/{primary_id}")}


def _counts(call: Call, primary_id: str) -> dict[str, int]:
    loans = [loan for loan in call.sandbox.loans.of_user(primary_id) if loan.status == "ACTIVE"]
    requests = [found for found in call.sandbox.requests.of_user(primary_id) if found.active]
    return {"loans": len(loans), "requests": len(requests), "fees": 0}


def _brief(call: Call, user: Payload) -> Payload:
    names = ("primary_id", "first_name", "last_name", "gender", "status")
    return {**{name: user[name] for name in names}, "link": call.link(f"/users/{user['primary_id']}")}


def read_list(call: Call) -> Answer:
    """``GET /users``: ``q`` or ``modify_date_from``; brief rows unless ``expand=full``."""
    users = call.sandbox.users
    query, since = call.query.get("q", ""), call.query.get("modify_date_from", "")
    if query and since:
        raise Refusal("401666", "Parameter q cannot be combined with modify_date_from.")
    found = list(users.by_id.values())
    if query:
        name, separator, words = query.partition("~")
        if not separator:
            raise Refusal("40166411", f"Parameter value is invalid: q={query}.")
        found = [user for user in found if words.replace("_", " ").lower() in _searched(user, name)]
    if since:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", since):
            raise Refusal("40166411", f"Parameter value is invalid: modify_date_from={since}.")
        found = [user for user in found if users.modified[str(user["primary_id"])] >= since]
    offset, limit = call.page()
    full = call.query.get("expand") == "full"
    rows = [shape(call, user) if full else _brief(call, user) for user in found[offset : offset + limit]]
    return Answer("users", listing("user", rows, len(found)))


def _searched(user: Payload, name: str) -> str:
    """The text that a search looks through."""
    if name == "identifiers":
        return " ".join(identifiers(user)).lower()
    if name == "email":
        return " ".join(
            str(entry.get("email_address", "")) for entry in user["contact_info"]["email"]
        ).lower()
    if name == "ALL":
        parts = [
            *identifiers(user),
            str(user["first_name"]),
            str(user["last_name"]),
            _searched(user, "email"),
        ]
        return " ".join(parts).lower()
    if name not in user:
        raise Refusal("40166411", f"Parameter value is invalid: q={name}.")
    return bodies.text(user[name]).lower()


def read_one(call: Call) -> Answer:
    """``GET /users/{user_id}``: any unique identifier; 401861 when there is no such user."""
    expand = frozenset(call.query.get("expand", "").split(","))
    return Answer("user", shape(call, lookups.user(call, "401861"), expand))


def create(call: Call) -> Answer:
    """``POST /users``: 401676 for a body that cannot be read, or for none."""
    try:
        body = bodies.read(call)
    except Refusal as error:
        raise Refusal("401676", "No valid XML was given.") from error
    if not body:
        raise Refusal("401676", "No valid XML was given.")
    user = normalise(body)
    _check(call, user, None)
    if not user["user_role"] and call.sandbox.users.is_patron(
        user
    ):  # by the role-assignment rule of the group
        role = {"status": "ACTIVE", "scope": call.catalogue.institution.code, "role_type": PATRON_ROLE}
        user["user_role"] = normalise({"user_role": [role]})["user_role"]
    call.sandbox.users.keep(user)
    _keep_password(call, user, body)
    return Answer("user", shape(call, user))


def _check(call: Call, user: Payload, primary_id: str | None) -> None:
    for name in _MANDATORY:
        if not bodies.text(user[name]):
            raise Refusal("401664", f"Mandatory field is missing: {name}")
    _check_codes(user)
    external = bodies.text(user["account_type"]) == "EXTERNAL"
    if external and not user["external_id"]:
        raise Refusal("401854", "External Id must be given for external user.")
    if not external and user["external_id"]:
        raise Refusal("401853", "External Id must be empty for internal user.")
    for block in user["user_block"]:
        if not bodies.text(block.get("block_description")):
            raise Refusal("401664", "Mandatory field is missing: block_description")
    named = [name.lower() for name in identifiers(user)]
    repeated = len(named) != len(set(named))
    for name in named:
        owner = call.sandbox.users.owner(name)
        if repeated or (owner is not None and owner != primary_id):
            raise Refusal("401851", f"User with identifier {name} already exists.")


def _check_codes(user: Payload) -> None:
    group, account = bodies.text(user["user_group"]), bodies.text(user["account_type"])
    if group and group not in CODE_TABLES["UserGroups"]:
        raise Refusal("401852", "Given user group is not legal.")
    if account not in ("INTERNAL", "EXTERNAL"):
        raise Refusal("401857", "The given user account type is illegal (must be INTERNAL/EXTERNAL).")
    if (record := bodies.text(user["record_type"])) not in _RECORD_TYPES:
        raise Refusal("401864", f"Given record type ({record}) is invalid.")
    for entry in user["user_identifier"]:
        if (kind := bodies.text(entry.get("id_type"))) not in CODE_TABLES["UserIdentifierTypes"]:
            raise Refusal("401864", f"Given identifier type ({kind}) is invalid.")


def _keep_password(call: Call, user: Payload, body: Payload) -> None:
    password = bodies.text(body.get("password"))
    if password:
        call.sandbox.users.passwords[str(user["primary_id"])] = password


def update(call: Call) -> Answer:
    """``PUT /users/{user_id}``: swap-all, except roles when the body has none, and fields of external users that
    staff edited by hand, unless ``override`` names them."""
    stored = lookups.user(call, "401861")
    primary_id = str(stored["primary_id"])
    body = bodies.read(call)
    user = normalise({"primary_id": primary_id, **body})
    if not user["user_role"]:
        user["user_role"] = stored["user_role"]
    if bodies.text(user["account_type"]) == "EXTERNAL":
        overridden = set(call.query.get("override", "").split(","))
        edited = call.sandbox.users.edited_by_hand.get(primary_id, set())
        for name in (set(OVERRIDABLE) & edited) - overridden:
            user[name] = stored[name]
    _check(call, user, primary_id)
    users = call.sandbox.users
    if str(user["primary_id"]) != primary_id:
        users.drop(primary_id)
    users.keep(user)
    _keep_password(call, user, body)
    return Answer("user", shape(call, user))


def delete(call: Call) -> Plain:
    """``DELETE /users/{user_id}``: refused while the user has loans."""
    primary_id = str(lookups.user(call, "401861")["primary_id"])
    if _counts(call, primary_id)["loans"]:
        raise Refusal("401850", f"Failed to delete user {primary_id}: the user has active loans.")
    for request in call.sandbox.requests.of_user(primary_id):
        if request.active:
            call.sandbox.requests.close(request, "CannotBeFulfilled")
    call.sandbox.users.drop(primary_id)
    return Plain()


def operate(call: Call) -> Answer | Plain:
    """``POST /users/{user_id}?op=auth`` (204, or 401866) and ``op=refresh``."""
    operation = call.query.get("op", "")
    user = lookups.user(call, "401861")
    if operation == "refresh":
        return Answer("user", shape(call, user))
    if operation != "auth":
        raise Refusal("40166410", f"Parameter value is invalid: op={operation}.")
    password = unquote(call.headers.get("exl-user-pw", "")) or call.query.get("password", "")
    known = call.sandbox.users.passwords.get(str(user["primary_id"]))
    if not password or password != known:
        raise Refusal("401866", "User authentication failed.")
    return Plain()


ROUTES = [
    route("/users", get=read_list, post=create),
    route("/users/{user_id}", get=read_one, put=update, delete=delete, post=operate),
]
