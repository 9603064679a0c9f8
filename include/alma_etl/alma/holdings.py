"""Holdings records (`/bibs/{mms_id}/holdings`). The list is JSON, the record XML."""

from __future__ import annotations

from dataclasses import dataclass, field

from lxml import etree

from alma_etl.alma import shapes
from alma_etl.alma.bibs import NO_BIB
from alma_etl.alma.call import XML, Call, path, xml_call
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.remote import xml
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_HOLDING = NO_BIB | {"402208"}


@dataclass(frozen=True)
class HoldingSummary:
    """A row of the holdings list. `library` and `location` are codes; a location code means something only
    within its library. `suppressed` is the record's own flag, not that of its location."""

    holding_id: str
    library: str
    location: str
    call_number: str
    suppressed: bool


@dataclass(frozen=True)
class Holding:
    """`calculated_suppressed` also counts a suppressed location. `record` is the serialised <record> in
    UTF-8, None when Alma sent none; its 001 and 004 need not be the Alma ids when the holding was migrated.
    """

    holding_id: str
    mms_id: str
    suppressed: bool
    calculated_suppressed: bool
    record: bytes | None = field(repr=False)


class Holdings(Resource):
    """The calls about holdings."""

    def list(self, mms_id: str) -> ListAnswer[HoldingSummary]:
        """GET /bibs/{mms_id}/holdings: all holdings, suppressed ones too (not paged). An empty list for a bib
        without holdings; PartlyFound when it names fewer than it counts; Absent when the bib does not exist
        (402203, 402204)."""
        where = path("bibs", mms_id, "holdings")
        return ask_list(lambda: self._whole(where, "holding", _summary, lambda each: each.holding_id), NO_BIB)

    def read(self, mms_id: str, holding_id: str) -> Answer[Holding]:
        """GET /bibs/{mms_id}/holdings/{holding_id}. Absent when the holding (402208) or the bib does not
        exist."""
        return ask(lambda: self._read(mms_id, holding_id), NO_HOLDING)

    def _read(self, mms_id: str, holding_id: str) -> Holding:
        call = Call("GET", path("bibs", mms_id, "holdings", holding_id), accept=XML)
        return self._client.call(call, lambda reply: _one(reply, mms_id))

    def whole(self, mms_id: str, holding_id: str) -> Answer[bytes]:
        """GET .../holdings/{holding_id}: the serialised <holding> as it must be sent back by `update`."""
        call = Call("GET", path("bibs", mms_id, "holdings", holding_id), accept=XML)
        return ask(lambda: self._client.call(call, _whole), NO_HOLDING)

    def create(self, mms_id: str, record: bytes, *, suppressed: bool = False) -> Holding:
        """POST /bibs/{mms_id}/holdings with a serialised MARC <record> that has 852 $b (library) and $c
        (location); Alma writes 001 and 004. Nothing stops it from making a second one:
        `writes.create_holding` looks. Refusals: 402211, 402212, 33007-33009. Raises RemoteError,
        UnreadableXmlError for a bad record."""
        body = etree.Element("holding")
        etree.SubElement(body, "suppress_from_publishing").text = str(suppressed).lower()
        body.append(xml.named(xml.parse(record), "record"))
        call = xml_call("POST", path("bibs", mms_id, "holdings"), xml.serialise(body))
        return self._client.call(call, lambda reply: _one(reply, mms_id))

    def update(self, mms_id: str, holding_id: str, whole: bytes) -> bytes:
        """PUT .../holdings/{holding_id} with a whole <holding>: what `whole` gave, changed. There is no lock
        and no version check: the last writer wins. Returns the whole
        <holding> as it is now. Raises RemoteError."""
        call = xml_call("PUT", path("bibs", mms_id, "holdings", holding_id), whole)
        return self._client.call(call, _whole)

    def delete(self, mms_id: str, holding_id: str) -> Answer[None]:
        """DELETE .../holdings/{holding_id}; its bib stays. Refused while it has items. Absent when there is no
        such holding or bib, see `Resource._delete`."""
        return self._delete(path("bibs", mms_id, "holdings", holding_id), NO_HOLDING, bib="retain")


def _one(reply: Reply, mms_id: str) -> Holding:
    return holding(xml.named(reply.xml(), "holding"), mms_id)


def _whole(reply: Reply) -> bytes:
    return xml.serialise(xml.named(reply.xml(), "holding"))


def _summary(row: shapes.Json) -> HoldingSummary:
    return HoldingSummary(
        holding_id=shapes.required(row, "holding_id"),
        library=shapes.text(row.get("library")),
        location=shapes.text(row.get("location")),
        call_number=shapes.text(row.get("call_number")),
        suppressed=shapes.flag(row.get("suppress_from_publishing")),
    )


def holding(element: etree._Element, mms_id: str) -> Holding:
    """A <holding> element as a Holding of the bib `mms_id`."""
    holding_id = xml.text(element, "holding_id")
    if not holding_id:
        raise ValueError("a holding without holding_id")
    record = xml.child(element, "record")
    return Holding(
        holding_id=holding_id,
        mms_id=mms_id,
        suppressed=xml.flag(element, "suppress_from_publishing"),
        calculated_suppressed=xml.flag(element, "calculated_suppress_from_publishing"),
        record=xml.serialise(record) if record is not None else None,
    )
