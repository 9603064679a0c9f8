"""Writing the bibs that an import brings: made once although Alma's index lags, changed only as they were read.

| write | looked for after a lost answer | does Alma refuse a second one? |
|---|---|---|
| a new bib | by its numbers, for a minute; not found proves nothing | no |
| a bib linked to the network zone | by the id of the zone's record, likewise | no |
| a changed bib, its flags | what it has now | yes, by its 005 |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict, TypeVar

from lxml import etree

from alma_etl.alma.bibs import Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.writes import STALE
from alma_etl.remote import xml
from alma_etl.remote.answers import Answer, Found, Unknown, first_of
from alma_etl.remote.errors import RemoteError, RemoteRefused
from alma_etl.remote.safe_write import WriteOutcome, Written, update, write

T = TypeVar("T")

INDEX_LAG = (0.0, 5.0, 10.0, 15.0, 30.0)
"""Seconds before each look for a new bib: a minute in all, after which nobody knows whether it is there."""

# What the documentation of PUT /bibs lists; 401652 is the general error.
_DOCUMENTED = frozenset(
    (
        "40166454", "402203", "402204", "60105", "4022030", "4022031", "4022032", "4022033", "4022034", "4022040",
        "4022041", "10111", "10112", "10113", "10114",
    )
)  # fmt: skip
# What a flag says that a <bib> does not have, by the schema of the API.
_ABSENT = {"suppress_from_external_search": "false"}
_LOCK = re.compile(r"\block(?:s|ed)?\b", re.IGNORECASE)


class BibParameters(TypedDict):
    """The parameters of a call that writes a bib; None for those that are left out."""

    normalization: str | None
    validate: bool | None
    override_warning: bool | None


@dataclass(frozen=True)
class BibOptions:
    """How bibs are written: the id of a normalisation process, whether Alma validates, and saves despite warnings."""

    normalization: str | None = None
    validate: bool = False
    override_warning: bool = True

    @property
    def asks(self) -> BibParameters:
        """The parameters of a call; `override_warning` counts only with `validate` (else Alma answers 401873)."""
        checked = self.validate or None
        return {
            "normalization": self.normalization,
            "validate": checked,
            "override_warning": self.override_warning if checked else None,
        }


def is_locked(error: RemoteError) -> bool:
    """Whether a change was refused since somebody has the title open in the metadata editor.

    Alma documents no code for it: it is the general error, or a code that the documentation does not list, with a text
    that speaks of a lock. Only where `override_lock` is false, as it is here.
    """
    return error.code not in _DOCUMENTED and _LOCK.search(error.message) is not None


def is_stale(error: RemoteError) -> bool:
    """Whether a change was refused since somebody saved the title after it was read."""
    return error.code in STALE


def import_bib(
    client: AlmaClient,
    record: bytes,
    *,
    find: Callable[[], Answer[Bib]],
    suppressed: bool,
    suppressed_externally: bool | None = None,
    sync_with_oclc: str | None = None,
    options: BibOptions,
    before: Callable[[], None] = lambda: None,
) -> Written[Bib]:
    """POST a bib, once. ``find`` looks for it after a lost answer; where it is not found within `INDEX_LAG` the end is
    UNCONFIRMED, and it is not sent again: the next import looks first. ``before`` is called right before the POST; what
    it raises ends this and is passed on."""

    def attempt() -> Bib:
        before()
        return client.bibs.create(
            record,
            suppressed=suppressed,
            suppressed_externally=suppressed_externally,
            sync_with_oclc=sync_with_oclc,
            **options.asks,
        )

    return once(client, attempt, find)


def once(client: AlmaClient, attempt: Callable[[], T], find: Callable[[], Answer[T]]) -> Written[T]:
    """A POST that is never sent a second time: after a lost answer ``find`` looks for a minute, since what Alma has
    made is listed late; not seen by then it is UNCONFIRMED."""
    return write(
        attempt, find, pause=client.pause, guarded=False, attempts=1, pauses=INDEX_LAG, absence_counts=False
    )


def find_linked(client: AlmaClient, nz_mms_id: str) -> Answer[Bib]:
    """Return the title of the institution that is linked to a record of the network zone. One linked a moment ago may
    not be found yet, and one that Alma's index still names may be unlinked, or linked to another record."""
    return first_of(client.bibs.by_network_id(nz_mms_id), lambda bib: bib.is_linked_to(nz_mms_id))


def link_network_record(
    client: AlmaClient, nz_mms_id: str, *, before: Callable[[], None] = lambda: None
) -> Written[Bib]:
    """Link a record of the network zone into the institution: ADOPTED when one is linked to it already, with the
    refusal as `error` where only that showed it. ``before`` is called right before the POST; what it raises ends this
    and is passed on."""

    def find() -> Answer[Bib]:
        return find_linked(client, nz_mms_id)

    def attempt() -> Bib:
        before()
        return client.bibs.link_from_network(nz_mms_id)

    there = find()
    if isinstance(there, Found):
        return Written(WriteOutcome.ADOPTED, there.value)
    if isinstance(there, Unknown):
        return Written(WriteOutcome.FAILED, error=there.error)
    written = once(client, attempt, find)
    if written.outcome is WriteOutcome.REFUSED:  # perhaps since somebody linked it after the look
        there = find()
        if isinstance(there, Found):
            return Written(WriteOutcome.ADOPTED, there.value, written.error)
    return written


@dataclass(frozen=True)
class BibFlags:
    """What is kept beside a bib's MARC and set by a PUT; None leaves it as it is. `sync_with_oclc`: BIBS, HOLDINGS or
    NONE."""

    suppressed: bool | None = None
    suppressed_externally: bool | None = None
    sync_with_oclc: str | None = None

    @property
    def elements(self) -> dict[str, str]:
        """The elements of <bib> to set, with their texts."""
        texts = {
            "suppress_from_publishing": _said(self.suppressed),
            "suppress_from_external_search": _said(self.suppressed_externally),
            "sync_with_oclc": self.sync_with_oclc,
        }
        return {name: text for name, text in texts.items() if text is not None}

    def missing(self, whole: bytes | None) -> list[str]:
        """The elements that a serialised <bib> does not have so."""
        if not self.elements:
            return []
        root = xml.parse(whole or b"<bib/>")
        has = {name: xml.text(root, name) or _ABSENT.get(name, "") for name in self.elements}
        return [name for name, text in self.elements.items() if has[name] != text]

    def put_into(self, root: etree._Element) -> None:
        """Set the flags of a <bib>."""
        for name, text in self.elements.items():
            element = xml.child(root, name)
            if element is None:
                element = etree.Element(name)
                root.insert(0, element)
            element.text = text


def _said(flag: bool | None) -> str | None:
    return None if flag is None else str(flag).lower()


def change_bib(
    client: AlmaClient,
    title: Bib,
    record: bytes,
    *,
    as_wanted: Callable[[Bib], bool],
    options: BibOptions,
    flags: BibFlags = BibFlags(),
) -> Written[Bib]:
    """PUT a bib as it was read (`title`, with its `whole`), with ``record`` as its record, and with ``flags``.

    ``as_wanted``: whether a bib has what the change brings; that is asked of the answer, and of a new reading after a
    lost one. REFUSED with a code that `is_stale` when somebody saved it since, with NOT_AS_SENT when Alma answered
    with something else. The 005 of ``record`` is the one that was read.
    """
    if title.whole is None:
        raise ValueError("a bib is changed as a whole: read it by `by_system_number` or `read_to_change`")
    first = title
    waiting = [title]

    def read() -> Answer[Bib]:
        return Found(waiting.pop()) if waiting else client.bibs.read_to_change(title.mms_id)

    def changed(base: Bib) -> Bib:
        return base if as_wanted(base) else replace(base, whole=_changed(base.whole or b"", record, flags))

    def put(wanted: Bib) -> Bib:
        if wanted.record != first.record:
            words = "somebody saved it since it was read, and it does not have the change"
            raise RemoteRefused(f"PUT /bibs/{title.mms_id}", None, next(iter(STALE)), words)
        return client.bibs.replace(title.mms_id, wanted.whole or b"", **options.asks)

    return update(read, changed, put, pause=client.pause)


def _changed(whole: bytes, record: bytes, flags: BibFlags) -> bytes:
    """The <bib> with another <record> and these flags, all else as it was."""
    root = xml.parse(whole)
    flags.put_into(root)
    old = xml.child(root, "record")
    new = xml.named(xml.parse(record), "record")
    if old is None:
        root.append(new)
    else:
        root.replace(old, new)
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=False))
