"""Files of `update-item` records: one `<update-item>`, many under `<update-items>`, or bare `<z30>`.

A record has `<z30>` with fields of Aleph, or `<item>` with columns of Alma, as the undo files of item updates have it.
What is wrong with one record is its problem; a file that is not well-formed, declares a document type or holds
something else is refused as a whole. Expat reads it in blocks: it knows where each record begins and ends in the
file's bytes.
"""

import codecs
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.parsers import expat

from alma_etl.aleph.z30 import FIELDS, KEY, MAX_BYTES, PREFIX
from alma_etl.errors import InputProblem

MANY = "update-items"
ONE = "update-item"
Z30 = "z30"
ITEM = "item"
_BLOCK = 65_536
_DEPTH = 8  # of elements; no record has more than 4
_AROUND = len(f'<?xml version="1.0" encoding="UTF-8"?><{ONE}><{Z30}></{Z30}></{ONE}>')


@dataclass
class UpdateRecord:
    """One record: its ordinal, its fields as they stand (z30 without `z30-`, or Alma's columns), the first problem."""

    line: int
    kind: str = ""  # `z30` or `item`
    fields: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    def fault(self, problem: str) -> None:
        """Note what is wrong, unless something is already."""
        self.problem = self.problem or problem


class UpdateXml:
    """A file of such records, as `alma_etl.jobs.file_job.Records`. Raises InputProblem for one that is refused as a
    whole."""

    form = "XML"
    extension = ".xml"

    def __init__(self, path: Path, item_fields: Collection[str]) -> None:
        self._path = path
        self._item_fields = item_fields
        if not sum(
            1 for _ in self._scanned()
        ):  # to the end, so that a fault there comes before the first row
            raise InputProblem(f"The XML has no <{ONE}> in it: there is nothing to load")

    def rows(self) -> Iterator[UpdateRecord]:
        """Yield the records in their order."""
        for record, _ in self._scanned():
            yield record

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the records with these ordinals byte for byte, between the begin and the end of the file."""
        scan = _Scan(self._item_fields)
        with self._path.open("rb") as file:
            if not scan.is_many(file):
                file.seek(0)
                stream.write(file.read())
                return
        scan = _Scan(self._item_fields)
        with self._path.open("rb") as file, self._path.open("rb") as source:
            begun = False
            for record, span in scan.read(file):
                if not begun:
                    _copy(source, (0, scan.body), stream)
                    begun = True
                if record.line in lines:
                    stream.write(scan.line_end(source))
                    _copy(source, span, stream)
            stream.write(scan.line_end(source))
            _copy(source, (scan.end, self._path.stat().st_size), stream)

    def _scanned(self) -> Iterator[tuple[UpdateRecord, tuple[int, int]]]:
        with self._path.open("rb") as file:
            yield from _Scan(self._item_fields).read(file)


def looks_like_xml(path: Path) -> bool:
    """Whether the first character of a file is that of XML."""
    with path.open("rb") as file:
        head = file.read(400)
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        head = head.removeprefix(mark)
    return head.replace(b"\0", b"").lstrip().startswith(b"<")


def _copy(source: IO[bytes], span: tuple[int, int], stream: IO[bytes]) -> None:
    source.seek(span[0])
    left = span[1] - span[0]
    while left > 0 and (block := source.read(min(left, _BLOCK))):
        stream.write(block)
        left -= len(block)


class _Scan:
    """One pass over a file. ``body``: where the content of `<update-items>` begins; ``end``: where its end tag does."""

    def __init__(self, item_fields: Collection[str]) -> None:
        self._item_fields = item_fields
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = False
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._finish
        self._parser.CharacterDataHandler = self._text
        self._parser.DefaultHandler = self._other
        self._path: list[str] = []
        self._finished: list[tuple[UpdateRecord, tuple[int, int]]] = []
        self._count = 0
        self._record: UpdateRecord | None = None
        self._from = 0
        self._record_depth = 0
        self._size = 0
        self._parts: list[str] = []
        self._await_end: list[tuple[UpdateRecord, int]] = []
        self._await_body = False
        self.many = False
        self.body = 0
        self.end = 0

    def read(self, file: IO[bytes]) -> Iterator[tuple[UpdateRecord, tuple[int, int]]]:
        """Yield the records, each with where it begins and ends. Raises InputProblem."""
        while True:
            block = file.read(_BLOCK)
            self._parse(block, last=not block)
            yield from self._finished
            self._finished.clear()
            if not block:
                return

    def is_many(self, file: IO[bytes]) -> bool:
        """Whether the root is `<update-items>`."""
        while not self._path and not self._count and (block := file.read(_BLOCK)):
            self._parse(block, last=False)
        return self.many

    def line_end(self, source: IO[bytes]) -> bytes:
        """A line break in the encoding of the file."""
        source.seek(0)
        head = source.read(4)
        if head.startswith(codecs.BOM_UTF16_LE) or head[1:2] == b"\0":
            return b"\n\0"
        return b"\0\n" if head.startswith(codecs.BOM_UTF16_BE) or head[:1] == b"\0" else b"\n"

    def _parse(self, block: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(block, last)
        except expat.ExpatError as error:
            words = expat.ErrorString(error.code) or "it cannot be read"
            raise InputProblem(
                f"The XML is not well-formed: {words}, line {error.lineno}: nothing of the file was written. "
                "Correct it, or save it as UTF-8, and drop it again"
            ) from error
        except (LookupError, ValueError, UnicodeError) as error:  # of an encoding that Python does not have
            raise InputProblem(
                f"The XML is in an encoding that cannot be read ({error}): save it as UTF-8"
            ) from error
        if last:
            self._settle(self._parser.CurrentByteIndex)

    def _other(self, data: str) -> None:
        self._settle(self._parser.CurrentByteIndex)

    def _settle(self, at: int) -> None:
        """What ended with the last event ends where the next one begins."""
        if self._await_body:
            self.body, self._await_body = at, False
        for record, begun in self._await_end:
            self._finished.append((record, (begun, at)))
        self._await_end.clear()

    def _doctype(self, name: str, *_: object) -> None:
        raise InputProblem(
            f"The XML declares a document type ({name[:50]}), which is not read: take out <!DOCTYPE ...>"
        )

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._settle(self._parser.CurrentByteIndex)
        if len(self._path) >= _DEPTH:
            raise InputProblem(f"The XML is no {ONE}: its elements stand more than {_DEPTH} deep")
        if not self._path:
            if name not in (MANY, ONE, Z30):
                raise InputProblem(
                    f"The XML is no {ONE}: it begins with <{name[:50]}>. Taken are <{ONE}>, many of them under "
                    f"<{MANY}>, and <{Z30}>"
                )
            self.many = self._await_body = name == MANY
            if not self.many:
                self._begin(name)
        elif self._record is None:
            self._begin(name)
        else:
            self._inside(self._record, name, len(self._path) - self._record_depth)
        self._path.append(name)

    def _begin(self, name: str) -> None:
        self._count += 1
        self._from = self._parser.CurrentByteIndex
        self._record = UpdateRecord(self._count)
        self._record_depth = len(self._path) + 1
        self._size = _AROUND
        if name == Z30:
            self._record.kind = Z30
        elif name != ONE:
            self._record.fault(f"<{name[:50]}> stands where <{ONE}> is expected")

    def _inside(self, record: UpdateRecord, name: str, depth: int) -> None:
        """An element within a record; ``depth`` 0 is a child of the record's own element."""
        bare = self._path[self._record_depth - 1] == Z30
        if not bare and depth == 0:
            if name not in (Z30, ITEM):
                record.fault(f"unknown element <{name[:50]}>")
            elif record.kind:
                record.fault(f"<{name}> stands beside another <{record.kind}>: one record holds one item")
            else:
                record.kind = name
        elif depth == (0 if bare else 1):
            self._field(record, name)
        else:
            record.fault(f"<{name[:50]}> stands within <{self._path[-1][:50]}>")
        self._parts.clear()

    def _field(self, record: UpdateRecord, name: str) -> None:
        self._size += 2 * len(name.encode()) + len("<></>")
        plain = name
        if record.kind == Z30:
            plain = name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""
            known = plain in FIELDS
        else:
            known = name in self._item_fields
        if not known:
            record.fault(f"unknown element <{name[:50]}>")
        elif plain in record.fields:
            key = record.kind == Z30 and plain in KEY
            record.fault(
                f"<{name}> stands twice"
                + (
                    ": the key of an item cannot be changed"
                    if key
                    else ", so that it is not known what is meant"
                )
            )
        elif not record.problem:
            record.fields[plain] = ""
        self._check_size(record)

    def _check_size(self, record: UpdateRecord) -> None:
        if self._size > MAX_BYTES:
            record.fault(f"the record has more than the {MAX_BYTES:,} bytes that Aleph takes of one")
            self._parts.clear()

    def _text(self, text: str) -> None:
        self._settle(self._parser.CurrentByteIndex)
        record = self._record
        if record is None:
            if text.strip():
                raise InputProblem(f"The XML has text outside of its records ({text.strip()[:50]!r})")
            return
        if len(self._path) - self._record_depth == (1 if self._path[self._record_depth - 1] == Z30 else 2):
            self._size += len(_escaped(text).encode())
            self._check_size(record)
            if self._size <= MAX_BYTES:
                self._parts.append(text)
        elif text.strip():
            record.fault(f"text outside of an element ({text.strip()[:50]!r})")

    def _finish(self, name: str) -> None:
        self._settle(self._parser.CurrentByteIndex)
        self._path.pop()
        record = self._record
        if record is None:
            if not self._path:
                self.end = self._parser.CurrentByteIndex
            return
        plain = name.removeprefix(PREFIX) if record.kind == Z30 else name
        if record.fields.get(plain) == "" and self._parts:
            record.fields[plain] = "".join(self._parts).strip()
        self._parts.clear()
        if len(self._path) < self._record_depth:
            if not record.kind:
                record.fault(f"<{ONE}> without <{Z30}>")
            self._await_end.append((record, self._from))
            self._record = None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
