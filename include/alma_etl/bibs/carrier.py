"""Whether two records that share an ISBN or ISSN can be of one publication: kind of content, carrier, OCLC numbers.

Records of an e-book carry the number of the print and the other way round: such a number alone proves little.
"""

from pymarc import Record

from alma_etl.bibs.keys import BibKeys

_CONTENT = {
    "a": "text", "t": "text", "c": "notated music", "d": "notated music", "e": "maps", "f": "maps",
    "g": "video", "i": "sound (spoken)", "j": "music (sound)", "k": "pictures", "m": "computer files",
    "o": "kits", "p": "mixed materials", "r": "objects",
}  # fmt: skip
# MARC 21 008/23 (maps, visual materials: 008/29), form of item; r is a reproduction that is read with the eye.
_FORMS = {
    "a": "microform", "b": "microform", "c": "microform", "d": "large print", "f": "braille",
    "o": "online", "q": "electronic on a carrier", "s": "electronic", " ": "print", "r": "print",
}  # fmt: skip
_FORM_AT_29 = frozenset("efgkor")
_PRINT = frozenset(("print", "large print", "braille"))
_ELECTRONIC = frozenset(("online", "electronic", "electronic on a carrier"))


def disagreements(incoming: Record, existing: Record, keys: BibKeys, other: BibKeys) -> list[str]:
    """Return why a match by a weak key (ISBN, ISSN, another system's number) is none, in words; empty when nothing
    stands against it. What a record does not say is no disagreement."""
    found = []
    if keys.oclc and other.oclc and not keys.all_oclc & other.all_oclc:
        found.append(f"OCLC numbers disagree: {', '.join(keys.oclc)} and {', '.join(other.oclc)} in Alma")
    one, another = content_of(incoming), content_of(existing)
    if one and another and one != another:
        found.append(f"content disagrees: {one}, and {another} in Alma")
    carriers, theirs = carriers_of(incoming), carriers_of(existing)
    if carriers and theirs and not carriers & theirs:
        found.append(f"carriers disagree: {_words(carriers)}, and {_words(theirs)} in Alma")
    return found


def content_of(record: Record) -> str:
    """Return the kind of content that leader/06 names, "" where it names none."""
    return _CONTENT.get(str(record.leader)[6:7], "")


def carriers_of(record: Record) -> frozenset[str]:
    """Return what a record says of its carrier, by the first that says anything: RDA carrier (338 `$b`), 007, form of
    item in 008. `electronic`, which the older code s means, counts as each electronic carrier."""
    carriers = _of_338(record) or _of_007(record) or _of_008(record)
    return carriers | _ELECTRONIC if "electronic" in carriers else carriers


def _of_338(record: Record) -> frozenset[str]:
    codes = [value.strip() for field in record.get_fields("338") for value in field.get_subfields("b")]
    named = {_carrier_of_338(code) for code in codes}
    return (
        frozenset(named - {""}) if "print" not in named else _refined_print(record) | (named - {"", "print"})
    )


def _refined_print(record: Record) -> frozenset[str]:
    """A volume (nc) is large print or braille where 008 says so."""
    return (_of_008(record) & _PRINT) or frozenset({"print"})


def _carrier_of_338(code: str) -> str:
    if code == "cr":
        return "online"
    groups = {
        "c": "electronic on a carrier",
        "h": "microform",
        "n": "print",
        "s": "audio",
        "v": "video",
        "m": "film",
    }
    return groups.get(code[:1], "") if len(code) == 2 else ""


def _of_007(record: Record) -> frozenset[str]:
    found = set()
    for field in record.get_fields("007"):
        data = (field.data or "").ljust(2)
        if data[0] == "c":
            found.add("online" if data[1] == "r" else "electronic on a carrier")
        elif data[0] in "hsvm":
            found.add({"h": "microform", "s": "audio", "v": "video", "m": "film"}[data[0]])
    return frozenset(found)


def _of_008(record: Record) -> frozenset[str]:
    data = next((field.data or "" for field in record.get_fields("008")), "")
    kind = str(record.leader)[6:7]
    if len(data) != 40 or kind not in _CONTENT:
        return frozenset()
    form = _FORMS.get(data[29 if kind in _FORM_AT_29 else 23], "")
    if form == "print" and kind in "gijmor":  # a blank says nothing of what is no text, music or map
        form = ""
    return frozenset({form} if form else ())


def _words(carriers: frozenset[str]) -> str:
    return "electronic" if carriers >= _ELECTRONIC else " and ".join(sorted(carriers))
