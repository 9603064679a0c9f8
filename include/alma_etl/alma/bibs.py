"""Bibliographic records (`/bibs`). Read as XML, since there MARC is MARC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from lxml import etree

from alma_etl.alma import shapes
from alma_etl.alma.call import XML, Call, params, path, xml_call
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Page, Resource, whole
from alma_etl.counted import counted
from alma_etl.remote import xml
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, ask, ask_list
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteTimeout, RemoteTransient

log = logging.getLogger(__name__)

MAX_BATCH = 100
NO_BIB = frozenset({"402203", "402204"})  # "not valid", "not numeric"
_EXPANSIONS = {"AVA", "AVE", "AVD"}
_INVENTORY = "p_avail,e_avail,d_avail"


@dataclass(frozen=True)
class AvailabilityRow:
    """One AVA field: mms_id ($0), holding_id ($8, None for items in a temporary location), institution ($a),
    library ($b), location ($j), availability ($e: available, unavailable, check_holdings), call_number ($d).
    """

    mms_id: str
    holding_id: str | None
    institution: str
    library: str
    location: str
    availability: str
    call_number: str = ""


@dataclass(frozen=True)
class Bib:
    """`record` is the serialised <record> in UTF-8, without the fields that `expand` adds (AVA, AVE, AVD),
    None when Alma sent none. `availability` has the rows of this very bib; rows of related bibs are left out.
    `brief_level`: 01 to 10, "" where Alma states none. `linked_to`: the zone whose record it is, "CZ" or "NZ", "" for
    one of its own; `linked_id`: the MMS id that this record has there. `warnings`: of a write that Alma made in spite
    of them. `whole`: the serialised <bib> as `Bibs.update` wants it back, where it was asked for. `shows_inventory`:
    whether `expand` gave it a row of its own, of holdings, portfolios or representations (suppressed ones are never
    shown); False where none was asked for.
    """

    mms_id: str
    title: str
    suppressed: bool
    record: bytes | None = field(repr=False)
    availability: tuple[AvailabilityRow, ...]
    brief_level: str = ""
    linked_to: str = ""
    linked_id: str = ""
    warnings: tuple[str, ...] = ()
    whole: bytes | None = field(default=None, repr=False)
    shows_inventory: bool = False

    @property
    def names_all_holdings(self) -> bool:
        """Whether availability can stand for the list of holdings: there are rows, and each names its holding. A
        row without one is of items in a temporary location, whose own holding need not be shown at all.
        Suppressed holdings are never shown."""
        return bool(self.availability) and all(row.holding_id for row in self.availability)

    def is_linked_to(self, nz_mms_id: str) -> bool:
        """Whether it is linked to this very record of the network zone."""
        return (self.linked_to, self.linked_id) == ("NZ", nz_mms_id)


class Bibs(Resource):
    """The calls about bibs."""

    def read_many(
        self,
        mms_ids: Sequence[str],
        *,
        availability: bool,
        to_change: bool = False,
        inventory: bool = False,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> dict[str, Bib]:
        """GET /bibs: up to 100 bibs in one call, by MMS id. Ids that Alma does not know are not in the
        result; one that is missing from it need not be unknown (`read_bibs` asks again).

        `availability` adds the AVA rows (expand=p_avail), which costs Alma by the number of items: when it
        times out, or the answer is malformed, ask for half; `inventory` adds all rows (`shows_inventory`) at the same
        cost. `to_change`: each with its `whole`.
        Raises RemoteRefused (402203 for the whole call when one id is malformed), RemoteTransient, RemoteStop;
        ValueError for more than 100 ids."""
        if len(mms_ids) > MAX_BATCH:
            raise ValueError(f"{counted(len(mms_ids), 'bib')} in one call; Alma takes {MAX_BATCH}")
        if not mms_ids:
            return {}
        call = Call(
            "GET",
            "/bibs",
            params(mms_id=",".join(mms_ids), view="full", expand=_expand(availability, inventory)),
            accept=XML,
        )
        read = _whole_bibs if to_change else _bibs
        bibs = self._client.call(call, read, attempts=attempts, timeout=timeout).rows
        wanted = set(mms_ids)
        return {bib.mms_id: bib for bib in bibs if bib.mms_id in wanted}

    def read(self, mms_id: str, *, availability: bool = False) -> Answer[Bib]:
        """GET /bibs/{mms_id}. Absent when Alma does not know the id (402203) or it is no id (402204)."""
        return ask(lambda: self._read(mms_id, availability), NO_BIB)

    def _read(self, mms_id: str, availability: bool) -> Bib:
        expand = params(view="full", expand="p_avail" if availability else None)
        return self._client.call(Call("GET", path("bibs", mms_id), expand, accept=XML), _one)

    def by_system_number(self, number: str, *, inventory: bool = False) -> ListAnswer[Bib]:
        """GET /bibs?other_system_id=: the bibs with exactly this value in a 035 $a, for example (OCoLC)123, each with
        its `whole`. An empty list when there are none. A record made a moment ago may not be found yet. `inventory`
        as by `read_many`."""
        asked = params(other_system_id=number, view="full", expand=_expand(False, inventory))
        call = Call("GET", "/bibs", asked, accept=XML)
        return ask_list(
            lambda: whole(call.name, lambda: self._client.call(call, _whole_bibs), lambda each: each.mms_id),
            frozenset(),
        )

    def read_to_change(self, mms_id: str, *, inventory: bool = False) -> Answer[Bib]:
        """GET /bibs/{mms_id}: the bib with its `whole`. Absent as by `read`; `inventory` as by `read_many`."""
        asked = params(view="full", expand=_expand(False, inventory))
        call = Call("GET", path("bibs", mms_id), asked, accept=XML)
        return ask(lambda: self._client.call(call, _one_whole), NO_BIB)

    def whole(self, mms_id: str) -> Answer[bytes]:
        """GET /bibs/{mms_id}: the serialised <bib> as it must be sent back by `update`."""
        call = Call("GET", path("bibs", mms_id), params(view="full"), accept=XML)
        return ask(lambda: self._client.call(call, _whole), NO_BIB)

    def create(
        self,
        record: bytes,
        *,
        suppressed: bool,
        suppressed_externally: bool | None = None,
        sync_with_oclc: str | None = None,
        normalization: str | None = None,
        validate: bool | None = None,
        override_warning: bool | None = None,
        check_match: bool | None = None,
    ) -> Bib:
        """POST /bibs with a serialised MARC <record>; Alma writes 001 and 005. `suppressed` is said always,
        since Alma's own default is to suppress. `suppressed_externally`: not shown in the external search;
        `sync_with_oclc`: BIBS, HOLDINGS, or NONE for a record that is not published to OCLC. `check_match` refuses
        with 60307 when Alma finds a match. `writes.create_bib` looks after a lost answer. Raises RemoteError,
        UnreadableXmlError for a bad record."""
        body = etree.Element("bib")
        etree.SubElement(body, "suppress_from_publishing").text = str(suppressed).lower()
        if suppressed_externally is not None:
            etree.SubElement(body, "suppress_from_external_search").text = str(suppressed_externally).lower()
        if sync_with_oclc is not None:
            etree.SubElement(body, "sync_with_oclc").text = sync_with_oclc
        body.append(xml.named(xml.parse(record), "record"))
        call = xml_call(
            "POST",
            "/bibs",
            xml.serialise(body),
            normalization=normalization,
            validate=validate,
            override_warning=override_warning,
            check_match=check_match,
        )
        return self._client.call(call, _one)

    def by_network_id(self, nz_mms_id: str) -> ListAnswer[Bib]:
        """GET /bibs?nz_mms_id=: the bibs linked to this record of the network zone, at most one. An empty list when
        there is none (402203). One linked a moment ago may not be found yet."""
        call = Call("GET", "/bibs", params(nz_mms_id=nz_mms_id, view="full"), accept=XML)

        def bibs() -> list[Bib]:
            return whole(call.name, lambda: self._client.call(call, _whole_bibs), lambda each: each.mms_id)

        answer = ask_list(bibs, NO_BIB)
        return Found([]) if isinstance(answer, Absent) else answer

    def link_from_network(self, nz_mms_id: str) -> Bib:
        """POST /bibs?from_nz_mms_id= with ``<bib/>``: a bib of this institution linked to a record of the network zone.
        33007: the zone has no such record. `bib_writes.link_network_record` looks after a lost answer. Raises
        RemoteError."""
        call = xml_call("POST", "/bibs", b"<bib/>", from_nz_mms_id=nz_mms_id)
        return self._client.call(call, _one)

    def update(
        self,
        mms_id: str,
        whole: bytes,
        *,
        stale_version_check: bool = True,
        override_lock: bool = False,
        normalization: str | None = None,
        validate: bool | None = None,
    ) -> bytes:
        """PUT /bibs/{mms_id} with a whole <bib>: what `whole` gave, changed. Refused with 4022034 when the
        record was changed since (its 005), and when somebody has it open, unless the options say otherwise. Raises
        RemoteError."""
        call = xml_call(
            "PUT",
            path("bibs", mms_id),
            whole,
            stale_version_check=stale_version_check,
            override_lock=override_lock,
            normalization=normalization,
            validate=validate,
        )
        return self._client.call(call, _whole)

    def replace(
        self,
        mms_id: str,
        whole: bytes,
        *,
        normalization: str | None = None,
        validate: bool | None = None,
        override_warning: bool | None = None,
    ) -> Bib:
        """PUT /bibs/{mms_id} as `update` does by default; returns the bib as it is now, with the warnings of Alma."""
        call = xml_call(
            "PUT",
            path("bibs", mms_id),
            whole,
            stale_version_check=True,
            override_lock=False,
            normalization=normalization,
            validate=validate,
            override_warning=override_warning,
        )
        return self._client.call(call, _one_whole)

    def delete(self, mms_id: str, *, override: bool = False) -> Answer[None]:
        """DELETE /bibs/{mms_id}. Refused while it has holdings or items, which `override` deletes with it
        (though not while one is on loan). Absent when there is no such bib, see `Resource._delete`."""
        return self._delete(path("bibs", mms_id), NO_BIB, override=override)


def _one(reply: Reply) -> Bib:
    return bib(xml.named(reply.xml(tolerant=True), "bib"))


def _one_whole(reply: Reply) -> Bib:
    return _with_whole(xml.named(reply.xml(), "bib"))


def _expand(availability: bool, inventory: bool) -> str | None:
    return _INVENTORY if inventory else "p_avail" if availability else None


def _whole(reply: Reply) -> bytes:
    return xml.serialise(xml.named(reply.xml(), "bib"))


def _bibs(reply: Reply) -> Page[Bib]:
    root = xml.named(reply.xml(tolerant=True), "bibs")
    rows = [bib(element) for element in xml.children(root, "bib")]
    name = "total_record_count"
    return Page(rows, shapes.total({name: root.get(name)}, least=len(rows)))


def _whole_bibs(reply: Reply) -> Page[Bib]:
    root = xml.named(reply.xml(), "bibs")
    rows = [_with_whole(element) for element in xml.children(root, "bib")]
    name = "total_record_count"
    return Page(rows, shapes.total({name: root.get(name)}, least=len(rows)))


def _with_whole(element: etree._Element) -> Bib:
    read = bib(element)  # without what `expand` adds, which no update takes back
    return replace(read, whole=xml.serialise(element))


def bib(element: etree._Element) -> Bib:
    """A <bib> element as a Bib."""
    mms_id = xml.text(element, "mms_id")
    if not mms_id:
        raise ValueError("a bib without mms_id")
    record = xml.child(element, "record")
    rows = []
    shows_inventory = False
    if record is not None:
        for added in [each for each in record if each.get("tag") in _EXPANSIONS]:
            shows_inventory |= _owner(added) in ("", mms_id)
            if added.get("tag") == "AVA":
                rows.append(_availability(added))
            record.remove(added)
    zone, linked_id = _link(element, record)
    return Bib(
        mms_id=mms_id,
        title=xml.text(element, "title"),
        suppressed=xml.flag(element, "suppress_from_publishing"),
        record=xml.serialise(record) if record is not None else None,
        availability=tuple(row for row in rows if row.mms_id == mms_id),
        brief_level=xml.text(element, "brief_level"),
        linked_to=zone,
        linked_id=linked_id,
        warnings=tuple(_warnings(element)),
        shows_inventory=shows_inventory,
    )


def _owner(row: etree._Element) -> str:
    """The MMS id of the bib whose row it is, "" where the row names none."""
    return next(((each.text or "").strip() for each in row if each.get("code") == "0"), "")


def _link(element: etree._Element, record: etree._Element | None) -> tuple[str, str]:
    """The zone that a bib is linked to, and the id of the record there: by its own element, else by the 035 that Alma
    adds to linked records, such as (EXLNZ-01ABC_NETWORK)9912."""
    linked = xml.child(element, "linked_record_id")
    if linked is not None and (linked.text or "").strip():
        return (linked.get("type") or "").strip().upper(), (linked.text or "").strip()
    for each in () if record is None else record:
        if each.get("tag") == "035":
            numbers = [(sub.text or "").strip() for sub in each if sub.get("code") == "a"]
            for prefix, zone in (("(EXLCZ)", "CZ"), ("(EXLNZ-", "NZ")):
                for number in numbers:
                    if number.startswith(prefix):
                        return zone, number.rpartition(")")[2]
    return "", ""


def _warnings(element: etree._Element) -> Iterator[str]:
    root = xml.child(element, "warnings")
    for warning in () if root is None else root:
        message = xml.text(warning, "message") or (warning.text or "").strip()
        if message:
            yield message


def _availability(row: etree._Element) -> AvailabilityRow:
    first: dict[str, str] = {}
    for subfield in row:
        first.setdefault(subfield.get("code", ""), (subfield.text or "").strip())
    return AvailabilityRow(
        mms_id=first.get("0", ""),
        holding_id=first.get("8") or None,
        institution=first.get("a", ""),
        library=first.get("b", ""),
        location=first.get("j", ""),
        availability=first.get("e", ""),
        call_number=first.get("d", ""),
    )


def in_batches(mms_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in lists of as many as one call takes."""
    for start in range(0, len(mms_ids), MAX_BATCH):
        yield mms_ids[start : start + MAX_BATCH]


def read_bibs(
    bibs: Bibs,
    mms_ids: Sequence[str],
    *,
    availability: bool = False,
    to_change: bool = False,
    inventory: bool = False,
) -> dict[str, Found[Bib] | Absent | Unknown]:
    """Three answers for each id, from one batch: the cheapest look that Alma offers, made safe. A batch that times
    out or cannot be read is halved, down to the title at fault. An id that the answer leaves out costs a request of
    its own before it counts as absent. ``to_change``: each with its `whole`, with ``inventory`` instead of
    ``availability``."""
    if to_change:
        batch = partial(bibs.read_many, availability=False, to_change=True, inventory=inventory)
        return _read_bibs(batch, partial(bibs.read_to_change, inventory=inventory), mms_ids)
    batch = partial(bibs.read_many, availability=availability)
    return _read_bibs(batch, partial(bibs.read, availability=availability), mms_ids)


def _read_bibs(
    batch: Callable[..., dict[str, Bib]], singly: Callable[[str], Answer[Bib]], mms_ids: Sequence[str]
) -> dict[str, Answer[Bib]]:
    try:
        found = _read_batch(partial(batch, mms_ids), len(mms_ids))
    except (RemoteTransient, RemoteRefused) as error:
        if len(mms_ids) == 1:
            refused = isinstance(error, RemoteRefused) and error.code in NO_BIB
            return {mms_ids[0]: Absent(error) if refused else Unknown(error)}
        half = len(mms_ids) // 2
        log.warning("A batch of %s is halved: %s", counted(len(mms_ids), "title"), error)
        return {
            **_read_bibs(batch, singly, mms_ids[:half]),
            **_read_bibs(batch, singly, mms_ids[half:]),
        }
    # Alma leaves out unknown ids without a word, and has been seen to leave out known ones: each is asked for.
    return {mms_id: Found(found[mms_id]) if mms_id in found else singly(mms_id) for mms_id in mms_ids}


def _read_batch(read: Callable[..., dict[str, Bib]], size: int) -> dict[str, Bib]:
    """One batch. What its size may have caused is not tried again at that size; anything else is, by the
    client's retry policy."""
    if size > 1:
        try:
            return read(attempts=1)
        except (RemoteTimeout, RemoteMalformed):
            raise
        except RemoteTransient as error:
            log.info("%s; again", error)
    return read()
