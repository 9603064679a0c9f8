"""The lines of a text file in the encodings that people's programs write, with nothing of it lost.

Each line comes as text and as the bytes that it was, so that rejected lines can be handed back as they came.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alma_etl.errors import InputProblem
from alma_etl.tabular.kinds import Kind

MAX_LINE = 1_000_000  # characters
_MARKS = {
    Kind.TEXT: codecs.BOM_UTF8,
    Kind.UTF16_LE: codecs.BOM_UTF16_LE,
    Kind.UTF16_BE: codecs.BOM_UTF16_BE,
}


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, its text without the end, and the bytes that it was.

    A byte that fits no encoding stands in `text` as U+FFFD, the replacement character.
    """

    number: int
    text: str
    raw: bytes


class TextFile:
    """A text file of a known kind. Lines end by LF, CR LF or CR, even mixed; `mark` is its byte order mark.

    What is not UTF-16 is read line by line as UTF-8, and a line that is none as Windows-1252: a file in either
    encoding is read right, and so is one that was pasted together from both.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self._path = path
        # Latin-1 stands for "bytes, one a character": so Python finds the ends of lines of all three kinds.
        self._encoding = "latin-1" if kind is Kind.TEXT else kind.value
        with path.open("rb") as stream:
            mark = _MARKS[kind]
            self.mark = mark if stream.read(len(mark)) == mark else b""

    def lines(self) -> Iterator[Line]:
        """The lines, streamed. Raises InputProblem for a line that is too long to be one."""
        mark = self.mark.decode(self._encoding)
        with self._path.open(encoding=self._encoding, errors="replace", newline="") as stream:
            number = 0
            while piece := stream.readline(MAX_LINE + 1):
                number += 1
                if len(piece) > MAX_LINE:
                    raise InputProblem(
                        f"Line {number} is longer than {MAX_LINE:,} characters: this is no list of one record a line"
                    )
                yield self._line(number, piece.removeprefix(mark) if number == 1 else piece)

    def count(self) -> int:
        """The number of lines, counted by the ends of lines alone: what `lines` gives is checked against it."""
        decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        ends, last = 0, ""
        with self._path.open("rb") as stream:
            while True:
                block = stream.read(1 << 20)
                text = decoder.decode(block, final=not block)
                pairs = text.count("\r\n") + (last == "\r" and text.startswith("\n"))
                ends += text.count("\n") + text.count("\r") - pairs
                last = text[-1:] or last
                if not block:
                    return ends + (last not in ("", "\r", "\n"))

    def encoded(self, text: str, like: bytes) -> bytes:
        """A text as a line of this file, in the encoding and with the end of the line `like`, from whose bytes the same
        text is read."""
        if self._encoding != "latin-1":
            old = like.decode(self._encoding, "replace")
            return (text + old[len(old.rstrip("\r\n")) :]).encode(self._encoding, "replace")
        end = like[len(like.rstrip(b"\r\n")) :]
        return (_in_the_encoding_of(like, text) or text.encode("utf-8", "replace")) + end

    def _line(self, number: int, piece: str) -> Line:
        raw = piece.encode(self._encoding, "replace")
        text = piece if self._encoding != "latin-1" else _decoded(raw)
        return Line(number, text.rstrip("\r\n"), raw)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _in_the_encoding_of(like: bytes, text: str) -> bytes | None:
    """The text in Windows-1252 if these bytes are that, and are read as it again; else None."""
    try:
        like.decode("utf-8")
    except UnicodeDecodeError:
        raw = text.encode("cp1252", "replace")
        return raw if _decoded(raw) == text else None
    return None
