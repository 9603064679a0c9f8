"""The administrative library of the pretend Aleph: its items, and the services that read and change them."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from alma_sandbox.aleph import checks
from alma_sandbox.aleph.fields import ADVANCE_BOOKING, FIELDS, KEY, OWN
from alma_sandbox.aleph.records import Booking, FirstItems, StoredZ30, at_first, blank, key_of, next_sequence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from alma_sandbox.sandbox import Sandbox

NO_ITEM = "no item exist based on given doc number and item sequence"
NO_DOCUMENT = "Input ADM document doesn’t exist. Item cannot be created"
NOT_SAVED = "Failed to update the item "
SHORT_TERM_REQUESTS = " Item has Short-term requests. Item Information can’t be updated"
BIB_LIBRARY = "USM01"


class RefusedByAleph(Exception):
    """A service ends with these texts in ``<error>`` and has changed nothing."""

    def __init__(self, *texts: str) -> None:
        super().__init__("; ".join(texts))
        self.texts = list(texts)


class AlephWorld:
    """Items, documents, bookings, ILL requests and sessions of one sandbox. Items that nothing changed are computed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.changed: dict[str, StoredZ30 | None] = {}  # by key; None: deleted
        self._owners: dict[str, str] = {}  # barcodes of changed items -> key
        self.bookings: dict[str, Booking] = {}  # Z320 and Z321 by key of the item
        self.ill_barcodes: dict[str, str] = {}  # Z411: key of the item -> its barcode
        self.documents: dict[
            str, str
        ] = {}  # ADM documents that create-item made -> bib document; "" = deleted
        self.sessions: dict[str, tuple[str, float]] = {}  # id -> user, end (seconds since 1970)
        self._number = 0  # of sessions

    # Records

    def _at_first(self) -> FirstItems:
        settings = self._sandbox.settings
        return at_first(settings.seed, settings.titles, settings.suffix, settings.aleph_items)

    def all_keys(self) -> Iterator[str]:
        """The keys of all items: those that were there at first, then those that came since."""
        first = self._at_first().by_key
        yield from (key for key in first if self.changed.get(key, first[key]) is not None)
        yield from (key for key, item in self.changed.items() if item is not None and key not in first)

    def item(self, key: str) -> StoredZ30 | None:
        """A copy of an item, or None when there is none (any more)."""
        found = self.changed[key] if key in self.changed else self._at_first().by_key.get(key)
        return None if found is None else found.copy()

    def item_by_barcode(self, barcode: str) -> StoredZ30 | None:
        """The item that has this barcode now."""
        key = self._owners.get(barcode)
        if key is None:
            key = self._at_first().keys.get(barcode)
        item = None if key is None else self.item(key)
        return item if item is not None and item.values["barcode"] == barcode else None

    def keep(self, item: StoredZ30) -> None:
        """Keep a new or changed item."""
        self.changed[item.key] = item
        self._owners[item.values["barcode"]] = item.key

    def drop(self, key: str) -> None:
        """Delete an item with its bookings."""
        self.changed[key] = None
        self.bookings.pop(key, None)
        self.ill_barcodes.pop(key, None)

    def has_document(self, number: str) -> bool:
        """Whether there is an ADM document of this number (nine digits)."""
        if number in self.documents:
            return self.documents[number] != ""
        return 1 <= int(number) <= self._sandbox.settings.titles or any(
            key.startswith(number) for key in self.all_keys()
        )

    # Services

    def moved_by_itself(self, key: str) -> StoredZ30 | None:
        """An item as a later reader finds it: ``aleph_status_moves`` may have changed its process status."""
        item = self.item(key)
        if item is None:
            return None
        moves, now = self._sandbox.settings.aleph_status_moves, item.values["item-process-status"]
        if now in moves and moves[now] != now:
            item.values["item-process-status"] = moves[now]
            item.values["process-status-date"] = self._today()
            self.keep(item)
        return item

    def update(self, sent: Mapping[str, str], user: str, ignored: Collection[str] = ()) -> StoredZ30:
        """update-item: what ``sent`` names is written, all else stays. RefusedByAleph with the messages."""
        key = key_of(sent.get("doc-number", ""), sent.get("item-sequence", ""))
        item = None if key is None else self.item(key)
        if item is None:
            raise RefusedByAleph(NO_ITEM)
        if not self.has_document(item.values["doc-number"]):
            raise RefusedByAleph(NO_DOCUMENT)
        before = dict(item.values)
        writable = {name: text for name, text in sent.items() if name not in (*KEY, *OWN)}
        if "*" not in ignored:
            item.values |= {
                name: text for name, text in writable.items() if name in before and name not in ignored
            }
        self._save(item, before, user, barcode_sent="barcode" in writable)
        return item

    def create(self, sent: Mapping[str, str], document: str, user: str) -> StoredZ30:
        """create-item in an ADM document (nine digits): the next sequence, no loans, dates of today."""
        keys = [key for key in {*self._at_first().by_key, *self.changed} if key.startswith(document)]
        values = blank() | {name: text for name, text in sent.items() if name in FIELDS and name not in OWN}
        values |= {
            "doc-number": document, "item-sequence": next_sequence(keys), "no-loans": "000",
            "open-date": self._today(), "process-status-date": self._today(),
        }  # fmt: skip
        item = StoredZ30(values)
        self._save(item, None, user, barcode_sent=bool(values["barcode"].strip()))
        return item

    def document_of_bib(self, library: str, number: str) -> str | None:
        """The ADM document of a bib document, or the number that it would get; None where there is no such bib."""
        key = key_of(number, "0")
        if (
            library.upper() != BIB_LIBRARY
            or key is None
            or not 1 <= int(number) <= self._sandbox.settings.titles
        ):
            return None
        return key[:9]

    def make_document(self, number: str) -> None:
        """An ADM document for the bib document of the same number."""
        if not self.has_document(number):
            self.documents[number] = number

    def _save(self, item: StoredZ30, before: dict[str, str] | None, user: str, *, barcode_sent: bool) -> None:
        """Correct, check and keep an item with all that hangs on it."""
        item.values = checks.corrected(item.values)
        if (barcode := self._barcode(item, sent=barcode_sent)) is None:
            raise RefusedByAleph(f"Barcode {item.values['barcode']} is not valid")
        item.values["barcode"] = barcode
        said = checks.check_z30(item.values)
        owner = self.item_by_barcode(barcode)
        if owner is not None and owner.key != item.key:
            said.append(f"Barcode {barcode} already exists")
        if said:
            raise RefusedByAleph(*said)
        self._book(item, before)
        now = self._sandbox.clock.now()
        status = item.values["item-process-status"]
        if before is not None and before["item-process-status"] != status:
            item.values["process-status-date"] = self._today()
        item.values |= {
            "update-date": self._today(), "cataloger": user[:10],
            "upd-time-stamp": f"{now:%Y%m%d%H%M%S}{now.microsecond // 100_000}",
        }  # fmt: skip
        if item.ill and item.key in self.ill_barcodes:
            self.ill_barcodes[item.key] = barcode
        self.keep(item)

    def _barcode(self, item: StoredZ30, *, sent: bool) -> str | None:
        """The barcode that an item is saved with; None where the checksum mechanism can make nothing of it."""
        way, barcode = self._sandbox.settings.aleph_barcode_checksum, item.values["barcode"]
        if way == "generate" and not (sent and barcode):
            digits = f"9{item.key}"
            return digits + checks.check_digit([int(digit) for digit in digits])
        if not barcode:
            return item.key
        return checks.with_check_digit(barcode) if way != "off" and sent else barcode

    def _book(self, item: StoredZ30, before: dict[str, str] | None) -> None:
        """Advance booking follows sub-library and status; refused while there are requests (Z320, Z321)."""
        values, booking = item.values, self.bookings.get(item.key)
        place = (values["sub-library"], values["item-status"])
        if before is not None and place == (before["sub-library"], before["item-status"]):
            return
        if booking is not None and booking.requests:
            raise RefusedByAleph(SHORT_TERM_REQUESTS)
        if values["item-status"] in ADVANCE_BOOKING:
            self.bookings[item.key] = Booking(*place)
        elif booking is not None:
            del self.bookings[item.key]

    def _today(self) -> str:
        return f"{self._sandbox.clock.now():%Y%m%d}"

    # Sessions

    def open_session(self, user: str) -> str:
        """A new session of a user."""
        now = self._sandbox.clock.now().timestamp()
        self.sessions = {name: kept for name, kept in self.sessions.items() if kept[1] > now}
        self._number += 1
        session = sha256(f"{self._sandbox.settings.seed} {self._number}".encode()).hexdigest().upper()[:50]
        self.sessions[session] = (user, now + self._sandbox.settings.aleph_session_s)
        return session

    def user_of_session(self, session: str) -> str | None:
        """Whose session this is, or None when it is unknown or over."""
        user, end = self.sessions.get(session, ("", 0.0))
        return user if user and end > self._sandbox.clock.now().timestamp() else None
