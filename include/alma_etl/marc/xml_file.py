"""Files of MARCXML as people drop them: each record by itself, in flat memory.

A file is cut at the tags of its records, as a file of ISO 2709 is at its terminators, so that broken XML costs the
record that it stands in and no other, and rejects are written byte for byte. Each record is parsed by itself, inside
the file's own outermost tags, whose namespaces it may need; no DTD, no entities, no network (`remote.xml`).
"""

import codecs
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lxml import etree

from alma_etl.errors import InputProblem
from alma_etl.marc.iso2709 import Readable
from alma_etl.marc.source_record import (
    ENCODING,
    RecordBuilder,
    Remark,
    SourceRecord,
    UnusableRecord,
    key_of,
    title_of,
)
from alma_etl.remote.xml import UnreadableXmlError, decode, local, parse_text

_BLOCK = 1 << 18
_LONGEST = 10_000_000  # bytes of one record, or of what stands between two
_PROLOG = 1 << 20  # bytes in which the outermost tag must begin
_PREFIX = rb"(?:[A-Za-z_][\w.\-]*:)?"
_REST_OF_TAG = rb"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*>"""
_OPENER = re.compile(rb"<(?:!--|!\[CDATA\[|\?|(/?)" + _PREFIX + rb"(record|collection)(?=[\s/>]))")
_ENDS = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
_TAG = re.compile(rb"</?" + _PREFIX + rb"(?:record|collection)(?=[\s/>])" + _REST_OF_TAG)
_LONGEST_COMMENT = 1 << 20  # bytes; a longer one is taken for text
_LONGEST_OPENER = 300  # bytes; a longer prefix is no prefix
_BEFORE_ROOT = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_ROOT = re.compile(rb"<(" + _PREFIX + rb")([A-Za-z_][\w.\-]*)(?=[\s/>])" + _REST_OF_TAG)
_WEB_PAGE = re.compile(rb"<(?:!DOCTYPE\s+)?html\b", re.IGNORECASE)
_DECLARED = re.compile(rb"""\s*<\?xml\b[^>]{0,100}\bencoding\s*=\s*["']([A-Za-z0-9._\-]{1,40})["']""")
_BOM8 = b"\xef\xbb\xbf"
_FIELD_001 = re.compile(r"""\btag\s*=\s*["']001["'][^<>]*>([^<]{1,200})<""")
_LINE_END = re.compile(r"[\r\n]+")
_CONTROL_TAG = re.compile(r"00[1-9]")
_DATA_TAG = re.compile(r"(?!00)[0-9A-Za-z]{3}")


@dataclass(frozen=True)
class _Head:
    """What stands above the records: everything up to their outermost tag's end; that tag and its end, "" where the
    outermost element is the record itself."""

    above: bytes
    root: bytes
    root_end: bytes
    declared: str


@dataclass(frozen=True)
class _Piece:
    number: int
    offset: int
    data: bytes
    is_record: bool


class MarcXmlFile:
    """A file of MARCXML, as `Records` of a job. ``encoding``: a codec for text that is not what it claims to be.

    Raises InputProblem when opened, one sentence, for XML that is none of MARC, or that has a DTD.
    """

    form = "MARCXML"
    extension = ".xml"

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._path = path
        self._encoding = encoding
        self._wide = _utf16_of(path)
        with self._opened() as stream:
            self._head = _read_head(stream)

    def rows(self) -> Iterator[SourceRecord]:
        """Yield every record, also those that cannot be used. Can be asked for again."""
        for piece in self._pieces():
            yield self._row(piece)

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the records with these numbers as they came, inside the outermost tags of the file."""

        def write(data: bytes) -> None:
            stream.write(data.decode("utf-8").encode(self._wide) if self._wide else data)

        write(self._head.above)
        for piece in self._pieces():
            if piece.number in lines:
                write(piece.data)
                write(b"\n")
        write(self._head.root_end)

    def _pieces(self) -> Iterator[_Piece]:
        with self._opened() as stream:
            yield from _Framer(stream, len(self._head.above)).pieces()

    @contextmanager
    def _opened(self) -> Iterator[Readable]:
        with self._path.open("rb") as stream:
            yield _AsUtf8(stream, self._wide) if self._wide else stream

    def _row(self, piece: _Piece) -> SourceRecord:
        offset = None if self._wide else piece.offset
        try:
            if not piece.is_record:
                shown = piece.data[:60].decode("utf-8", "replace").strip()
                raise UnusableRecord(f"what stands here belongs to no record: {shown!r}")
            record_element, remarks = self._parsed(piece.data)
            builder = RecordBuilder()
            record = builder.record(_add_fields(builder, record_element))
        except (UnusableRecord, UnreadableXmlError) as problem:
            place = f"The record at byte {offset:,}" if offset is not None else f"Record {piece.number:,}"
            key = _FIELD_001.search(piece.data[:100_000].decode("utf-8", "replace"))
            return SourceRecord(
                piece.number,
                problem=f"{place} cannot be used: {problem}",
                key=key[1].strip() if key else "",
                offset=offset,
            )
        remarks += builder.remarks
        key_text, title = key_of(record), title_of(record)
        return SourceRecord(piece.number, record, "", tuple(remarks), key_text, title, offset)

    def _parsed(self, data: bytes) -> tuple[etree._Element, list[Remark]]:
        head = self._head
        text, remarks = self._text(data)
        try:
            whole = parse_text(f"{_lenient(head.root)}{text}{_lenient(head.root_end)}")
        except UnreadableXmlError as error:
            raise UnusableRecord(f"{error}; correct it there, or ask for the file again") from None
        if not head.root:
            return whole, remarks
        if len(whole) != 1:
            raise UnusableRecord("it is not one element")
        return whole[0], remarks

    def _text(self, data: bytes) -> tuple[str, list[Remark]]:
        """A record's source as text: UTF-8 where it is that, else what the file, then the profile, says."""
        try:
            return decode(data, self._head.declared), []
        except UnreadableXmlError as error:
            for name in (self._head.declared, self._encoding):
                try:
                    text = data.decode(name) if name else ""
                except (LookupError, ValueError):
                    continue
                if text:
                    remarks = [Remark(f"its text is not UTF-8: read as {name}", ENCODING)]
                    return text, remarks if name == self._encoding else []
            raise UnusableRecord(
                f"{error}; export it as UTF-8, or name its encoding in the profile (encoding: cp1252)"
            ) from None


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _add_fields(builder: RecordBuilder, record: etree._Element) -> str:
    """Add the fields of an element; return its leader."""
    leaders = []
    for element in record:
        name, tag = local(element), (element.get("tag") or "").strip()
        if name == "leader":
            leaders.append(_text_of(element).strip("\t"))
        elif name == "controlfield" and _CONTROL_TAG.fullmatch(tag):
            builder.add_control(tag, _text_of(element))
        elif name == "controlfield" and _DATA_TAG.fullmatch(tag):
            builder.leave_out(tag, _text_of(element))
        elif name == "datafield" and _DATA_TAG.fullmatch(tag):
            signs = [element.get(name) or " " for name in ("ind1", "ind2")]
            if max(map(len, signs)) > 1:
                raise UnusableRecord(f"the field {tag} has the indicators {signs}: each is one character")
            builder.add_data(
                tag, "".join(signs), [_part(tag, each) for each in element if local(each) == "subfield"]
            )
        elif name in ("controlfield", "datafield"):
            raise UnusableRecord(f"a {name} has the tag {tag!r}, which is none of that kind")
        else:
            builder.remarks.append(Remark(f"an element <{name}> was left out"))
    if len(leaders) != 1:
        raise UnusableRecord("it has no leader" if not leaders else "it has several leaders")
    return leaders[0]


def _part(tag: str, subfield: etree._Element) -> str:
    code = subfield.get("code") or ""
    if len(code) != 1:
        raise UnusableRecord(
            f"the field {tag} has the subfield code {code!r}: one letter or digit belongs there"
        )
    return code + _text_of(subfield)


def _text_of(element: etree._Element) -> str:
    """The text; where an editor has broken it into lines, and indented them, as one line."""
    text = "".join(str(part) for part in element.itertext())
    return " ".join(filter(None, map(str.strip, _LINE_END.split(text)))) if _LINE_END.search(text) else text


def _read_head(stream: Readable) -> _Head:
    data = b""
    while block := stream.read(_BLOCK):
        data += block
        root = _ROOT.match(data, _after_prolog(data))
        if root or len(data) > _PROLOG:
            break
    at = _after_prolog(data)
    if _WEB_PAGE.match(data, at):
        raise InputProblem("The file is a web page, not MARCXML: it may say why it could not be downloaded")
    if data[at : at + 9].upper() == b"<!DOCTYPE":
        raise InputProblem(
            "The file brings a DTD (<!DOCTYPE …>), which is not read, since it may do harm: "
            "remove that declaration and drop the file again"
        )
    root = _ROOT.match(data, at)
    name = root[2].decode() if root else ""
    if root is None or name not in ("collection", "record"):
        outermost = f", its outermost element is <{name}>" if name else ""
        raise InputProblem(
            f"The file is XML, but not MARCXML{outermost}: a MARC <collection> or one MARC <record> is expected"
        )
    found = _DECLARED.match(data.removeprefix(_BOM8))
    declared = found[1].decode() if found else ""
    if name == "record":
        return _Head(data[:at], b"", b"", declared)
    end = b"" if root[0].endswith(b"/>") else b"</" + root[1] + root[2] + b">"
    return _Head(data[: root.end()], root[0], end, declared)


def _after_prolog(data: bytes) -> int:
    before = _BEFORE_ROOT.match(data)
    return before.end() if before else 0


class _Framer:
    """Cuts a stream at the tags of its records, holding no more of it than one of them."""

    def __init__(self, stream: Readable, start: int) -> None:
        self._stream = stream
        self._buffer = b""
        while len(self._buffer) < start and (block := stream.read(_BLOCK)):
            self._buffer += block
        self._offset = 0  # of the buffer's first byte in the file
        self._at = start  # how far the buffer was looked at
        self._keep = start  # where the piece begins that is not yet complete
        self._number = 0

    def pieces(self) -> Iterator[_Piece]:
        """Yield the records, and what stands between them and is not blank, in order."""
        in_record = False
        while (token := self._next_token()) is not None:
            begin, end, name, closes = token
            if name == b"record" and closes:
                if in_record:
                    yield from self._cut(end, is_record=True)
                    in_record = False
            elif name:
                yield from self._cut(begin, is_record=in_record)  # a record that is still open never ends
                in_record = name == b"record" and not self._buffer[begin:end].endswith(b"/>")
                if name == b"collection":
                    self._keep = end
                elif not in_record:
                    yield from self._cut(end, is_record=True)
            elif not in_record and self._buffer[begin : begin + 9] != b"<![CDATA[":
                yield from self._cut(begin, is_record=False)
                self._keep = end
            self._at = end
            if self._at - self._keep > _LONGEST:
                yield from self._cut(self._at, is_record=False)
                in_record = False
        yield from self._cut(len(self._buffer), is_record=in_record)

    def _cut(self, end: int, *, is_record: bool) -> Iterator[_Piece]:
        data = self._buffer[self._keep : end]
        if data.strip():
            self._number += 1
            yield _Piece(self._number, self._offset + self._keep, data, is_record)
        self._keep = end

    def _next_token(self) -> tuple[int, int, bytes, bool] | None:
        """The next tag of a record or collection, or comment, instruction or CDATA section: where it begins and ends,
        its name ("" for the latter), whether it is an end tag. None at the end of the file. Where a piece grows too
        long, an empty one."""
        while True:
            opener = _OPENER.search(self._buffer, self._at)
            if opener is not None:
                end = self._end_of(opener)
                if end is not None:
                    return opener.start(), end, opener[2] or b"", bool(opener[1])
                if self._never_ends(opener) or not self._read():
                    self._at = opener.end()  # text like other text
                continue
            cut = self._buffer.rfind(b"<", max(self._at, len(self._buffer) - _LONGEST_OPENER))
            self._at = cut if cut >= 0 else len(self._buffer)  # an opener may have been read in part
            if self._at - self._keep > _LONGEST:
                return self._at, self._at, b"", False
            if not self._read():
                return None

    def _never_ends(self, opener: re.Match[bytes]) -> bool:
        if opener[2]:
            return self._buffer.find(b"<", opener.end()) >= 0  # no attribute holds one
        return len(self._buffer) - opener.start() > _LONGEST_COMMENT

    def _end_of(self, opener: re.Match[bytes]) -> int | None:
        closing = _ENDS.get(opener[0])
        if closing is None:
            tag = _TAG.match(self._buffer, opener.start())
            return tag.end() if tag else None
        found = self._buffer.find(closing, opener.end())
        return found + len(closing) if found >= 0 else None

    def _read(self) -> bool:
        """Read on, dropping what was given out; False at the end of the file."""
        block = self._stream.read(_BLOCK)
        if not block:
            return False
        self._buffer = self._buffer[self._keep :] + block
        self._offset += self._keep
        self._at -= self._keep
        self._keep = 0
        return True


def _utf16_of(path: Path) -> str:
    """The kind of UTF-16 that a file is in, "" when it is in none."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head[:2] in (codecs.BOM_UTF16_LE, b"<\0"):
        return "utf-16-le"
    return "utf-16-be" if head[:2] in (codecs.BOM_UTF16_BE, b"\0<") else ""


class _AsUtf8:
    """A stream of UTF-16 as UTF-8."""

    def __init__(self, stream: Readable, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int = -1, /) -> bytes:
        while True:
            block = self._stream.read(size)
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                raise InputProblem(
                    "The file is not UTF-16 throughout, as it begins: save it as UTF-8"
                ) from None
            if text or not block:
                return text.encode("utf-8")
