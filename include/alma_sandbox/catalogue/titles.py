"""Bibliographic records computed from the seed and the number of the title, here and in the network zone."""

from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.draft import Dice, TitleDraft
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, data_field
from alma_sandbox.catalogue.records import Bib
from alma_sandbox.catalogue.variants import GOOD, host_of, title_draft

# Words from which titles of serials are made, in several scripts. All titles are invented.
_LATIN_FIRST = (
    "Annals", "Archives", "Bulletin", "Journal", "Proceedings", "Quarterly review", "Studies", "Transactions",
    "Yearbook", "Zeitschrift", "Revue", "Cuadernos",
)  # fmt: skip
_LATIN_SECOND = (
    "alpine botany", "applied hydrology", "coastal engineering", "comparative law", "desert archaeology",
    "folk song", "forest economics", "glacier physics", "inland navigation", "meteorology", "numismatics",
    "orchard science", "paper making", "river history", "soil chemistry", "theatre research", "trade unions",
    "urban geography", "volcanology", "watchmaking",
)  # fmt: skip

# Titles whose characters are more than ASCII: (language code, titles).
_SCRIPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cyrillic": (
        "rus",
        ("Вестник речной гидрологии", "Труды горного ботанического сада", "Журнал лесной экономики"),
    ),
    "cjk": ("chi", ("河流水文學報", "山地植物研究", "古錢幣學季刊 𠮷田版")),
    "japanese": ("jpn", ("河川工学研究年報", "やまの しょくぶつ", "製紙技術ジャーナル")),
    "arabic": ("ara", ("مجلة دراسات الأنهار", "حوليات علم المياه", "نشرة النبات الجبلي")),
    "hebrew": ("heb", ("כתב עת לחקר הנחלים", "רבעון לבוטניקה הררית")),
    # Letters followed by combining marks, as records converted from MARC-8 hold them.
    "combining": (
        "vie",
        ("Ta\u0323p chi\u0301 thu\u0309y va\u0306n", "Rivi\u0301sta d'idrologi\u0301a a\u0308lpina"),
    ),
    "accents": (
        "fre",
        ("Études d'hydrologie appliquée — série générale", "Łódź & Kraków <przegląd> techniczny"),
    ),
}

_PLACES = ("Portland, Or. :", "Tucson, Ariz. :", "Laramie, Wyo. :", "Reno, Nev. :", "Helena, Mont. :")
_PUBLISHERS = (
    "Society of River Studies,", "Mountain Press,", "Western Academy,", "Institute of Paper,", "Basin House,",
)  # fmt: skip

# OCLC numbers run in steps, so that a number can be traced back to its title.
_OCLC_STEP = 17
_SCRIPT_EVERY = 5  # one title in five is not plain English


def oclc_number(seed: int, title: int) -> int:
    """The OCLC number of a title, unique within one catalogue."""
    return 1_000_000 + (seed % 1000) * 1000 + title * _OCLC_STEP


def title_of_oclc_number(seed: int, number: int) -> int | None:
    """The title that has this OCLC number, or None."""
    title, rest = divmod(number - oclc_number(seed, 0), _OCLC_STEP)
    return title if rest == 0 and title >= 0 else None


def issn(number: int, *, right: bool = True) -> str:
    """An ISSN from its first seven digits; ``right=False`` gives a wrong check character."""
    digits = f"{number % 10_000_000:07d}"
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(8, 1, -1), strict=True))
    check = (11 - total % 11) % 11
    if not right:
        check = (check + 5) % 11
    return f"{digits[:4]}-{digits[4:]}{'X' if check == 10 else check}"


def _issn_number(seed: int, title: int) -> int:
    return 1_000_000 + (seed % 89) * 100_000 + title


def title_of_issn(seed: int, text: str) -> int | None:
    """The title that may have this ISSN, or None when no formula made it."""
    digits = text.replace("-", "")
    if len(digits) != 8 or not digits[:7].isascii() or not digits[:7].isdigit():
        return None
    title = int(digits[:7]) - _issn_number(seed, 0)
    return title if title >= 0 else None


def _title_text(seed: int, title: int) -> tuple[str, str]:
    """(language, title) of a serial; the number in it keeps titles apart."""
    dice = Dice(seed, "title", title)
    if title % _SCRIPT_EVERY == 0:
        names = sorted(_SCRIPTS)
        language, titles = _SCRIPTS[names[(title // _SCRIPT_EVERY + seed) % len(names)]]
        return language, f"{dice.pick(titles, 'words')} {title + 1}"
    first, second = dice.pick(_LATIN_FIRST, "first"), dice.pick(_LATIN_SECOND, "second")
    return "eng", f"{first} of {second}. Series {title + 1}"


def _oclc_fields(draft: TitleDraft, number: int) -> list[DataField]:
    forms = {
        "plain": ("a", f"(OCoLC){number}"),
        "padded": ("a", f"(OCoLC){number:09d}"),
        "ocm": ("a", f"(OCoLC)ocm{number:08d}"),
        "ocn": ("a", f"(OCoLC)ocn{number:09d}"),
        "on": ("a", f"(OCoLC)on{number:010d}"),
        "cancelled": ("z", f"(OCoLC){number}"),
    }
    found = [data_field("035", "  ", ("a", f"(ZzSB){draft.number + 1}-west"))]
    if draft.oclc in forms:
        found.append(data_field("035", "  ", forms[draft.oclc]))
    return found


def _issn_fields(draft: TitleDraft, number: int) -> list[DataField]:
    if draft.issn == "missing":
        return []
    if draft.issn == "incorrect_only":
        return [data_field("022", "  ", ("y", issn(number, right=False)))]
    return [data_field("022", "0 ", ("a", issn(number, right=draft.issn == "good")), ("2", "1"))]


def bib(seed: int, title: int, titles: int, suffix: str = ids.SUFFIX) -> Bib:
    """The bib of title number ``title`` in a catalogue of ``titles``, at the institution with this suffix."""
    draft = title_draft(seed, title)
    dice = Dice(seed, "bib", title)
    mms_id = ids.mms_id(title, suffix)
    language, text = _title_text(seed, title)
    first_year = dice.between(1880, 1990, "year")
    place, publisher = dice.pick(_PLACES, "place"), dice.pick(_PUBLISHERS, "publisher")
    host = host_of(seed, title, titles) if draft.bound else None
    host_id = None if host is None else ids.mms_id(host, suffix)
    fields: list[ControlField | DataField] = [
        ControlField("001", mms_id),
        ControlField("005", f"2024{dice.between(1, 12, 'month'):02d}01101112.0"),
        ControlField("008", f"750727d{first_year}2010orumr p       0   a0{language} d"),
        *_issn_fields(draft, _issn_number(seed, title)),
        *_oclc_fields(draft, oclc_number(seed, title)),
        data_field("040", "  ", ("a", "ZzSB"), ("b", "eng"), ("c", "ZzSB")),
        data_field("245", "00", ("a", text + " /"), ("c", publisher.rstrip(",") + ".")),
        data_field("264", " 1", ("a", place), ("b", publisher), ("c", f"{first_year}-2010.")),
        data_field("310", "  ", ("a", "Quarterly")),
        data_field("650", " 0", ("a", "Serial publications"), ("v", "Periodicals.")),
    ]
    if host is not None and host_id is not None:
        fields.append(data_field("773", "1 ", ("t", _title_text(seed, host)[1]), ("w", host_id)))
    return Bib(
        mms_id=mms_id,
        record=Record("01234cas a2200301 a 4500", fields),
        suppressed=draft.suppressed,
        originating_system_id=f"{title + 1}-west",
        host_mms_id=host_id,
        portfolio=draft.variant == GOOD and dice.below(8, "portfolio") == 0,
    )


NETWORK = "01ZZ_NETWORK"  # the code of the network zone
_NETWORK_SUFFIX = "4400"
_NETWORK_SIZE = 1_000_000  # titles of the network; its first ones are those of the institution


def network_id(title: int) -> str:
    """MMS id, in the network zone, of a title."""
    return ids.mms_id(title, _NETWORK_SUFFIX)


def network_record(seed: int, nz_mms_id: str) -> Record | None:
    """A fresh copy of a record of the network zone, or None when the id is none of its ids."""
    title = ids.title_of_mms_id(nz_mms_id, _NETWORK_SUFFIX)
    if title is None or title >= _NETWORK_SIZE:
        return None
    record = bib(seed, title, _NETWORK_SIZE).record
    # A record of the network has its own numbers in 001 and none of the local ones.
    record.fields = [
        entry for entry in record.fields if isinstance(entry, ControlField) or not _is_local(entry.first("a"))
    ]
    return record


def _is_local(number: str) -> bool:
    return number.startswith("(ZzSB)")
