"""Writing items in Aleph so that a lost answer does no harm: look, then decide, as `remote.safe_write` does it.

What somebody else wrote since an item was first read is never overwritten. Of the fields of an update these are
compared with what is there: all but those that Aleph writes itself (`z30.OWN`); the process status, which moves by
itself, only right after the update; a barcode may come out with another check digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alma_etl.aleph.client import NOT_FOUND, REFUSED, AlephClient, AlephUnclear, Saved
from alma_etl.aleph.z30 import OWN, AlephItem, ItemKey, comparable, differing, has, is_corrected
from alma_etl.remote import safe_write
from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteMalformed, RemoteRefused
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome, Written

Values = Mapping[str, str]

PROCESS = "item-process-status"
PERMANENT = ("sub-library", "collection", "item-status")
RESTORED = (
    "the item is in a temporary location: its permanent values wait in the administrative record and overwrite "
    "these when the item is restored"
)


@dataclass(frozen=True)
class ItemUpdate:
    """What became of an update. `before`, `after`: the item as read, None where it was not; `untaken`: fields of the
    update that it does not have after; `texts`: what Aleph said; `warnings`: sentences for people.

    `conflict`: somebody else changed fields of the update since they were first read; nothing was written then.
    """

    outcome: WriteOutcome
    before: Values | None = None
    after: Values | None = None
    error: RemoteError | None = None
    untaken: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    conflict: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the item is now as wanted."""
        return self.outcome in safe_write.DONE


def compared(values: Values) -> dict[str, str]:
    """The fields of an update of which one can see whether they were taken."""
    return {name: text for name, text in values.items() if name not in OWN}


def foreign(now: Values, first: Values, values: Values) -> tuple[str, ...]:
    """The fields of an update that somebody else changed: neither as first read nor as we send them."""
    found = []
    for name, text in compared(values).items():
        if name not in first or name == PROCESS:
            continue
        there = comparable(name, now.get(name, ""))
        ours = there == comparable(name, text) or (name == "barcode" and is_corrected(text, there))
        if not ours and there != comparable(name, first[name]):
            found.append(name)
    return tuple(found)


def is_done(now: Values, values: Values) -> bool:
    """Whether an item shows, some time after it, that an update was taken."""
    other = differing(now, compared(values))
    if "barcode" in other and is_corrected(values["barcode"], now.get("barcode", "")):
        other.remove("barcode")
    return other in ([], [PROCESS]) and (not other or len(compared(values)) > 1)


def warnings_before(item: AlephItem, values: Values) -> list[str]:
    """What people have to know of an update of this item, whatever its answer is."""
    return [RESTORED] if item.in_temporary_location and any(name in values for name in PERMANENT) else []


def update_item(
    client: AlephClient,
    key: ItemKey,
    values: Values,
    *,
    read_first: bool = True,
    first: Values | None = None,
    before_writing: Callable[[AlephItem | None], None] = lambda before: None,
) -> ItemUpdate:
    """Write these fields of an item, "" clears; all others stay. Costs two calls, one where nothing is to be changed.

    ``read_first``: off, it costs one call, and nobody knows what was there before. ``first``: what an earlier attempt
    read, which may have written since. ``before_writing`` is called with what was read, right before it is written;
    what it raises ends the work. Raises RemoteStop.
    """
    return _Update(client, key, values, read_first, first, before_writing).run()


@dataclass
class _Update:
    client: AlephClient
    key: ItemKey
    values: Values
    read_first: bool
    first: Values | None
    before_writing: Callable[[AlephItem | None], None]
    before: AlephItem | None = None
    after: AlephItem | None = None
    texts: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    _reads: int = 0
    _answered: bool = False

    def run(self) -> ItemUpdate:
        wanted = {name: comparable(name, text) for name, text in compared(self.values).items()}
        if not wanted:
            self.warnings.append("Aleph writes these fields itself")
            return self._ended(Written(WriteOutcome.UNCHANGED))
        return self._ended(
            safe_write.update(
                self._read,
                lambda base: {**base, **wanted},
                self._put,
                foreign=lambda base: self._foreign(base) != (),
                pause=self.client.pause,
            )
        )

    def _foreign(self, now: Values) -> tuple[str, ...]:
        return () if self.first is None else foreign(now, self.first, self.values)

    def _read(self) -> Answer[dict[str, str]]:
        self._reads += 1
        if self._reads == 1 and not self.read_first:
            return Found({})
        answer = self.client.read_item(self.key)
        if not isinstance(answer, Found):
            return answer
        item = self.after = answer.value
        if self._reads == 1:
            self.before = item
        else:
            self.first = self.first if self.first is not None else self._fields(self.before)
        if self._answered:  # right after the update: nothing has moved by itself
            return Found(self._shown(item))
        may_be_ours = self._reads > 1 or self._may_be_ours
        return Found(
            self._view(self.values if may_be_ours and is_done(item.fields, self.values) else item.fields)
        )

    def _view(self, fields: Values) -> dict[str, str]:
        return {name: comparable(name, fields.get(name, "")) for name in compared(self.values)}

    def _put(self, _: dict[str, str]) -> dict[str, str]:
        self.before_writing(self.before)
        try:
            saved = self.client.update_item(self.key, self.values)
        except AlephUnclear as unclear:
            self.texts = (unclear.message,)
            if unclear.code != REFUSED:
                raise
            saved = self._decided(unclear)
        self.texts = saved.texts
        self.warnings += saved.warnings
        item = saved.item
        if item is None or not has(item.fields, self._without_barcode()):
            # with its words for people instead of codes, or not as it was sent: a read is in codes
            match self.client.read_item(self.key):
                case Found(value):
                    item = value
                case _:
                    words = f"what is there now could not be read ({'; '.join(saved.texts)})"
                    raise RemoteMalformed("POST /X update-item", 200, "", words, "", True)
        self.after, self._answered = item, True
        return self._shown(item)

    def _decided(self, unclear: AlephUnclear) -> Saved:
        """A refusal beside a success: the item decides. Raises RemoteRefused when it has not what was sent."""
        match self.client.read_item(self.key):
            case Found(item) if has(item.fields, compared(self.values)):
                return Saved(item, (unclear.message,), (unclear.message,))
            case Unknown():
                raise unclear
            case _:
                raise RemoteRefused(unclear.call, 200, REFUSED, unclear.message)

    def _without_barcode(self) -> dict[str, str]:
        return {name: text for name, text in compared(self.values).items() if name != "barcode"}

    def _shown(self, item: AlephItem) -> dict[str, str]:
        """What an item shows right after the update. A checksum may have changed a barcode that was sent, and made one
        where none was: both are said."""
        shown = self._view(item.fields)
        old = self.before.barcode if self.before else ""
        sent = self.values.get("barcode", "")
        if "barcode" not in shown:
            if self.before is not None and item.barcode != old:
                self.warnings.append(f"Aleph made the barcode {item.barcode!r} of {old!r}, none was sent")
        elif item.barcode != sent.strip() and item.barcode and item.barcode != old:
            self.warnings.append(f"the barcode {sent!r} was sent, and Aleph made {item.barcode!r} of it")
            shown["barcode"] = comparable("barcode", sent)
        return shown

    def _ended(self, written: Written[dict[str, str]]) -> ItemUpdate:
        error, outcome = written.error, written.outcome
        if error is not None and error.code == NOT_FOUND:
            outcome = WriteOutcome.NOT_FOUND
        written_some = outcome in (WriteOutcome.UPDATED, WriteOutcome.ADOPTED)
        refused_part = error is not None and error.code == NOT_AS_SENT
        place = self.before or self.after
        if (written_some or refused_part) and place is not None:
            self.warnings += warnings_before(place, self.values)
        if outcome is WriteOutcome.UNCHANGED and self._may_be_ours:
            outcome = WriteOutcome.ADOPTED
        untaken: tuple[str, ...] = ()
        if refused_part and self.after is not None:
            untaken = tuple(
                name for name in differing(self.after.fields, compared(self.values))
                if name != "barcode" or not is_corrected(self.values[name], self.after.barcode)
            )  # fmt: skip
        return ItemUpdate(
            outcome,
            self.first if self.first is not None else self._fields(self.before),
            self._fields(self.after),
            error,
            untaken,
            self.texts,
            tuple(dict.fromkeys(self.warnings)),
            self._foreign(self._fields(self.after) or {}) if outcome is WriteOutcome.CONFLICT else (),
        )

    @property
    def _may_be_ours(self) -> bool:
        """Whether an earlier attempt may have written what is there now."""
        return self.first is not None and differing(self.first, compared(self.values)) != []

    @staticmethod
    def _fields(item: AlephItem | None) -> Values | None:
        return None if item is None else item.fields


def create_item(
    client: AlephClient,
    values: Values,
    *,
    adm_doc_number: str = "",
    bib_library: str = "",
    bib_doc_number: str = "",
) -> Written[AlephItem]:
    """Make an item, unless one of its barcode is there: that one is adopted. Raises RemoteStop.

    Without a barcode nobody can look for it: a lost answer is `unconfirmed` then, and it is never sent again.
    """
    barcode = values.get("barcode", "").strip()

    def attempt() -> AlephItem:
        saved = client.create_item(
            values, adm_doc_number=adm_doc_number, bib_library=bib_library, bib_doc_number=bib_doc_number
        )
        if saved.item is None:
            words = "Aleph made the item and did not show it"
            raise AlephUnclear("POST /X create-item", 200, "", words, "", True)
        return saved.item

    def look() -> Answer[AlephItem]:
        if barcode:
            return client.read_item_by_barcode(barcode)
        words = "the item has no barcode by which it could be looked for"
        return Unknown(RemoteMalformed("POST /X create-item", None, "", words))

    return safe_write.write(attempt, look, pause=client.pause, guarded=False, look_first=bool(barcode))
