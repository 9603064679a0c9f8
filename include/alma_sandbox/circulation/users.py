"""Users: patrons of the formula and those that calls make. A user is kept in the shape of Alma's JSON."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from alma_sandbox.catalogue.conf_data import PATRON_ROLE, WITHOUT_ROLE_RULE, description
from alma_sandbox.http.answers import Payload, code
from alma_sandbox.http.bodies import many, text

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

PATRONS = 50
# The plain and the coded fields in Alma's order; the write-only ones (password, pin) are kept apart.
_FIELDS = (
    "record_type", "primary_id", "first_name", "middle_name", "last_name", "full_name", "user_title", "job_category",
    "job_description", "gender", "user_group", "campus_code", "web_site_url", "cataloger_level",
    "preferred_language", "birth_date", "expiry_date", "purge_date", "account_type", "external_id",
    "force_password_change", "status", "pref_first_name", "pref_middle_name", "pref_last_name", "pref_name_suffix",
    "is_researcher", "researcher",
)  # fmt: skip
_CODES = {
    "record_type": "", "user_title": "", "job_category": "", "gender": "", "user_group": "UserGroups",
    "campus_code": "", "cataloger_level": "", "preferred_language": "", "account_type": "", "status": "",
}  # fmt: skip
LISTS = (
    "user_identifier", "user_role", "user_block", "user_note", "user_statistic", "proxy_for_user", "rs_library",
    "library_notice",
)  # fmt: skip
# Fields that a PUT leaves alone for external users if staff edited them by hand, unless ``override`` names them.
OVERRIDABLE = (
    "user_group", "job_category", "pin_number", "preferred_language", "campus_code", "rs_library", "user_title",
    "pref_first_name", "pref_middle_name", "pref_last_name", "library_notice",
)  # fmt: skip
_ENTRY_CODES = {
    "id_type": "UserIdentifierTypes", "block_type": "UserBlockTypes", "block_description": "UserBlockDescription",
    "role_type": "", "scope": "", "note_type": "", "statistic_category": "", "category_type": "", "country": "",
    "status": "",
}  # fmt: skip
_ENTRY_FLAGS = ("preferred", "preferred_sms", "user_viewable", "popup_note")
_CONTACTS = {"address": "address_type", "email": "email_type", "phone": "phone_type"}


def normalise(body: Payload) -> Payload:
    """A user as Alma keeps it, from a body in either format: swap-all, so what is missing becomes empty."""
    user: Payload = {}
    for name in _FIELDS:
        value = text(body.get(name))
        if name in _CODES:
            user[name] = code(value, description(_CODES[name], value))
        elif name == "full_name":
            user[name] = " ".join(
                part for part in (text(body.get("first_name")), text(body.get("last_name"))) if part
            )
        else:
            user[name] = value == "true" if name == "is_researcher" else value
    contact = body.get("contact_info")
    contact = contact if isinstance(contact, dict) else {}
    user["contact_info"] = {
        name: [_contact(entry, kind) for entry in many(contact.get(name)) if isinstance(entry, dict)]
        for name, kind in _CONTACTS.items()
    }
    for name in LISTS:
        user[name] = [_entry(entry) for entry in many(body.get(name)) if isinstance(entry, dict)]
    return user


def _entry(entry: Payload) -> Payload:
    found: Payload = {}
    for name, value in entry.items():
        if name in _ENTRY_CODES and not (name == "status" and "block_status" in entry):
            found[name] = code(text(value), description(_ENTRY_CODES[name], text(value)))
        elif name in _ENTRY_FLAGS:
            found[name] = text(value) == "true"
        else:
            found[name] = value
    found.setdefault("segment_type", "Internal")
    return found


def _contact(entry: Payload, kind: str) -> Payload:
    found = _entry({name: value for name, value in entry.items() if name != kind})
    found[kind] = [code(text(value), text(value).capitalize()) for value in many(entry.get(kind))]
    return found


class Users:
    """All users of a sandbox. Any unique identifier finds a user, without regard to case."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_id: dict[str, Payload] = {}
        self.passwords: dict[str, str] = {}
        self.modified: dict[str, str] = {}
        self.edited_by_hand: dict[str, set[str]] = {}
        self._ids: dict[str, str] = {}  # any identifier in small letters -> primary id
        for number in range(1, PATRONS + 1):
            user = _patron(number, sandbox.settings.institution)
            self.keep(user)
            self.passwords[str(user["primary_id"])] = f"{user['primary_id']}-password"

    def find(self, identifier: str, kind: str = "all_unique") -> Payload | None:
        """A user by primary id, barcode or any other unique identifier; ``kind`` narrows it to one type."""
        primary_id = self._ids.get(identifier.lower())
        user = self.by_id.get(primary_id) if primary_id is not None else None
        if user is None or kind in ("all_unique", ""):
            return user
        if kind == "PRIMARY_ID":
            return user if str(user["primary_id"]).lower() == identifier.lower() else None
        entries = [entry for entry in user["user_identifier"] if text(entry.get("id_type")) == kind]
        return (
            user if identifier.lower() in {str(entry.get("value", "")).lower() for entry in entries} else None
        )

    def owner(self, identifier: str) -> str | None:
        """Primary id of the user who has this identifier."""
        return self._ids.get(identifier.lower())

    def keep(self, user: Payload) -> None:
        """Keep a new or changed user."""
        self.forget_ids(str(user["primary_id"]))
        self.by_id[str(user["primary_id"])] = user
        self.modified[str(user["primary_id"])] = self._sandbox.clock.date()[:10]
        for identifier in identifiers(user):
            self._ids[identifier.lower()] = str(user["primary_id"])

    def forget_ids(self, primary_id: str) -> None:
        """Free the identifiers of a user who changes or goes."""
        user = self.by_id.get(primary_id)
        for identifier in identifiers(user) if user is not None else ():
            self._ids.pop(identifier.lower(), None)

    def drop(self, primary_id: str) -> None:
        """Delete a user."""
        self.forget_ids(primary_id)
        del self.by_id[primary_id]

    def active_blocks(self, user: Payload) -> list[Payload]:
        """Blocks that are active and have not expired."""
        today = self._sandbox.clock.now().date()
        return [
            block
            for block in user["user_block"]
            if str(block.get("block_status", "ACTIVE")).upper() == "ACTIVE"
            and not _past(str(block.get("expiry_date") or ""), today)
        ]

    def expired(self, user: Payload) -> bool:
        """Whether the user's card has expired."""
        return _past(str(user["expiry_date"]), self._sandbox.clock.now().date())

    def is_patron(self, user: Payload) -> bool:
        """Whether the user has the Patron role; one that bears no role has it when a rule gives it to the group."""
        roles = user["user_role"]
        if not isinstance(roles, list) or not roles:
            return text(user["user_group"]) not in WITHOUT_ROLE_RULE
        return any(
            text(role.get("role_type")) == PATRON_ROLE and text(role.get("status")) == "ACTIVE"
            for role in roles
        )

    def may_request(self, user: Payload) -> bool:
        """Whether the user is an active patron whose card has not expired."""
        return text(user["status"]) == "ACTIVE" and self.is_patron(user) and not self.expired(user)


def _past(value: str, today: date) -> bool:
    try:
        return date.fromisoformat(value[:10]) < today
    except ValueError:
        return False


def identifiers(user: Payload) -> list[str]:
    """Everything that names a user uniquely: the primary id and the identifiers."""
    return [str(user["primary_id"]), *(str(entry.get("value", "")) for entry in user["user_identifier"])]


def _patron(number: int, institution: str) -> Payload:
    """Patrons 1-46 are ordinary; 47 is blocked, 48 has expired, 49 is inactive, 50 has overdue items."""
    primary_id = f"patron{number:03d}"
    blocks: dict[int, tuple[str, str]] = {47: ("USER", "02-GLOBAL"), 50: ("LOAN", "01-OVERDUE")}
    body: dict[str, Any] = {
        "record_type": "PUBLIC",
        "primary_id": primary_id,
        "first_name": "Test",
        "last_name": f"Patron {number}",
        "user_group": ("UGRD", "GRAD", "FACULTY", "STAFF")[number % 4],
        "preferred_language": "en",
        "expiry_date": "2020-12-31Z" if number == 48 else "2099-12-31Z",
        "account_type": "EXTERNAL" if number % 2 else "INTERNAL",
        "external_id": "SIS" if number % 2 else "",
        "status": "INACTIVE" if number == 49 else "ACTIVE",
        "contact_info": {
            "email": [
                {"email_address": f"{primary_id}@example.org", "preferred": True, "email_type": ["personal"]}
            ],
            "address": [
                {
                    "line1": f"{number} Test Street",
                    "city": "Portland",
                    "preferred": True,
                    "address_type": ["home"],
                }
            ],
        },
        "user_identifier": [
            {"id_type": "BARCODE", "value": f"21{number:012d}", "status": "ACTIVE"},
            {"id_type": "INST_ID", "value": f"I{number:06d}", "status": "ACTIVE"},
        ],
        "user_role": [{"status": "ACTIVE", "scope": institution, "role_type": "200"}],
    }
    if number in blocks:
        kind, reason = blocks[number]
        body["user_block"] = [
            {
                "block_type": kind,
                "block_description": reason,
                "block_status": "ACTIVE",
                "block_note": "made for tests",
                "created_by": "sandbox",
                "created_date": "2026-01-01T00:00:00Z",
            }
        ]
    return normalise(body)
