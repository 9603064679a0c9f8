"""The numbers by which a bibliographic record is known again, in one normal form whatever their spelling.

A number that is only like one of OCLC's is none: `(OCoLC)TGPSM11-B2267` holds digits, and they name another book.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pymarc import Field, Record

from alma_etl.identifiers import is_mms_id
from alma_etl.marc.numbers import isbn_13, issn_is_valid, oclc_number

LONGEST_OCLC = 12  # digits without zeros in front; what is longer is the number of something else
_BARE = re.compile(r"(?:ocm|ocn|on)\.?\s*\d+", re.IGNORECASE | re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_PREFIXED = re.compile(r"\(([^()]+)\)\s*(\S.*)")
# An ISBN at the beginning, whatever digits come behind a blank ("2 v.", "1. Aufl."); the first that is right counts.
_ISBN_FIRST = tuple(
    re.compile(form, re.ASCII)
    for form in (
        r"97[89](?:[ -]*\d){10}(?!-?\d)",
        r"\d(?:-*\d){8}-*[\dXx](?!-?\d)",
        r"\d(?:[ -]*\d){8}[ -]*[\dXx](?![ -]*\d)",
    )
)
_ISSN_FIRST = re.compile(r"(\d{4})-?(\d{3}[\dX])(?!\w)", re.ASCII)
# Numbers of a whole set stand in the records of its volumes, too. So a set is called, without accents.
_OF_A_SET = (
    *("set", "sets", "complete work", "complete works", "complete series"),
    *("gesamtwerk", "gesamtw.", "gesamtausgabe", "gesamtausg.", "gesamt-isbn", "ges.-werk", "gesamtpaket"),
    *("obra completa", "obras completas", "obra compl.", "coleccion completa", "o.c.", "o. c."),
    *("oeuvre complete", "oeuvres completes", "edition complete", "collection complete", "serie complete"),
    *("ensemble complet", "l'ensemble", "coffret", "opera completa", "opere complete", "opera compl."),
    *("collana completa", "cofanetto", "colecao completa", "volledig werk", "compleet"),
    *("calosc", "komplet", "kompl.", "dilo", "soubor", "subor", "komplekt"),
    *("hela verket", "hele verket", "hele vaerket", "koko teos"),
)
_SET_WORD = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, _OF_A_SET))})(?!\w)")
_NO_ACCENT = str.maketrans({"œ": "oe", "æ": "ae", "ł": "l", "’": "'"})


@dataclass(frozen=True)
class BibKeys:
    """The keys of one record, each without repetition and in the order of its fields.

    `oclc`: of 035 `$a`, of 001 where 003 is OCoLC and there is none; the first is the record's own number.
    `oclc_former`: of 035 `$z` and 019 `$a`, numbers that were merged into another. `isbn` and `issn` are of `$a`,
    `isbn_cancelled` of `$z`: these never match each other. `system`: numbers of other systems, `(Prefix)number`;
    `system_as_written`: those that stand otherwise in 035, such as `(DLC)   77012345`, since Alma compares whole
    texts. `orders`: references of orders, of records of dropped files whose profile matches by them.
    """

    oclc: tuple[str, ...] = ()
    oclc_former: tuple[str, ...] = ()
    mms_id: str = ""
    isbn: tuple[str, ...] = ()
    isbn_cancelled: tuple[str, ...] = ()
    issn: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    system_as_written: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()

    @property
    def all_oclc(self) -> frozenset[str]:
        """The OCLC numbers of the record, present and former."""
        return frozenset((*self.oclc, *self.oclc_former))


def keys_of(record: Record) -> BibKeys:
    """Read all keys of a record, of a dropped file or of Alma."""
    control = _control(record, "001")
    system_numbers = record.get_fields("035")
    written = [value.strip() for field in system_numbers for value in field.get_subfields("a")]
    own = own_oclc_number(record)
    former = _oclc_of(system_numbers, "z")
    former += [oclc_control_number(value) for value in _values(record, "019", "a")]
    oclc = _distinct([own, *_oclc_of(system_numbers, "a")])
    return BibKeys(
        oclc=oclc,
        oclc_former=tuple(each for each in _distinct(former) if each not in oclc),
        mms_id=control if is_mms_id(control) else "",
        isbn=_distinct(_isbns(record, "a")),
        isbn_cancelled=_distinct(_isbns(record, "z")),
        issn=_distinct(issn_of(value) for value in _values(record, "022", "a")),
        system=_distinct([*map(system_number, written), own_system_number(record)]),
        system_as_written=_distinct(value for value in written if system_number(value) not in (None, value)),
    )


def is_oclc_source(source: str) -> bool:
    """Whether a 003 says that the 001 is OCLC's."""
    return _bare(source).upper() == "OCOLC"


def _bare(source: str) -> str:
    """A 003 without the parentheses that some put it in, as it stands in 035."""
    return re.sub(r"[()]", "", source).strip()


def oclc_035(value: str) -> str | None:
    """The digits of an OCLC number in 035: `(OCoLC)ocm00123`, `(OCoLC)on. 123`, `ocm00123` give `123`. None for all
    else, above all for bare digits and for a prefix that is followed by anything but a number."""
    value = value.strip()
    return _plausible(oclc_number(f"(OCoLC){value}" if _BARE.fullmatch(value) else value))


def oclc_control_number(value: str) -> str | None:
    """The digits of an OCLC number where the field says that it is one (019, 001 with 003 OCoLC): bare ones too."""
    value = value.strip()
    return _plausible(oclc_number(f"(OCoLC){value}")) if _DIGITS.fullmatch(value) else oclc_035(value)


def is_oclc_035(field: Field) -> bool:
    """Whether a field is a 035 of OCLC: its `$a` is an OCLC number, or it has none and its `$z` is; and no vendor has
    marked it as its own by a 9 in an indicator."""
    if field.tag != "035" or "9" in tuple(field.indicators or ()):
        return False
    return any(map(oclc_035, field.get_subfields("a") or field.get_subfields("z")))


def own_oclc_number(record: Record) -> str | None:
    """The record's own OCLC number: the first of 035 `$a` that no vendor has marked, else its 001 where 003 is
    OCoLC."""
    numbers = _oclc_of(filter(is_oclc_035, record.get_fields("035")), "a")
    if not numbers and is_oclc_source(_control(record, "003")):
        return oclc_control_number(_control(record, "001"))
    return next(iter(numbers), None)


def own_system_number(record: Record) -> str | None:
    """The number `(003)001` of a record of another system than OCLC or this Alma; None without a 003: a bare 001
    repeats between the products of one vendor."""
    control, source = _control(record, "001"), _bare(_control(record, "003"))
    if not control or not source or is_oclc_source(source) or is_mms_id(control):
        return None
    return f"({source}){control}"


def system_number(value: str) -> str | None:
    """A number of another system in 035, `(Prefix)number` without blanks around either; None for all else."""
    found = _PREFIXED.fullmatch(value.strip())
    if found is None or oclc_035(value):
        return None
    return f"({found[1].strip()}){found[2].strip()}"


def _plausible(number: str | None) -> str | None:
    return number if number and len(number) <= LONGEST_OCLC else None


def _oclc_of(fields: Iterable[Field], code: str) -> list[str | None]:
    numbers = (oclc_035(value) for field in fields for value in field.get_subfields(code))
    return [number for number in numbers if number]


def _isbns(record: Record, code: str) -> Iterator[str | None]:
    for field in record.get_fields("020"):
        qualifiers = field.get_subfields("q")
        for value in field.get_subfields(code):
            if not any(map(_is_of_a_set, (value, *qualifiers))):
                yield isbn_of(value)


def _is_of_a_set(text: str) -> bool:
    parts = unicodedata.normalize("NFKD", text.casefold().translate(_NO_ACCENT))
    return bool(_SET_WORD.search("".join(sign for sign in parts if not unicodedata.combining(sign))))


def isbn_of(value: str) -> str | None:
    """The 13 digits of the ISBN at the beginning of a text; None where there is none."""
    value = value.strip()
    found = (form.match(value) for form in _ISBN_FIRST)
    return next(filter(None, (isbn_13(each[0]) for each in found if each)), None)


def issn_of(value: str) -> str | None:
    """The ISSN at the beginning of a text, with its hyphen; None where there is none."""
    found = _ISSN_FIRST.match(value.strip().upper())
    return f"{found[1]}-{found[2]}" if found and issn_is_valid(found[0]) else None


def _control(record: Record, tag: str) -> str:
    return next((str(field.data or "").strip() for field in record.get_fields(tag)), "")


def _values(record: Record, tag: str, code: str) -> Iterator[str]:
    for field in record.get_fields(tag):
        yield from field.get_subfields(code)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
