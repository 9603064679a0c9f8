"""What an Excel sheet shows for a number or a text, where its number format says that exactly.

Source: ECMA-376 part 1, 18.8.31 (numFmts).
"""

import re
from functools import lru_cache

from alma_etl.identifiers import EXACT_DIGITS

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<gap>.)|(?P<fill>\*.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<digit>[0#?])|(?P<text>@)|(?P<next>;)|(?P<plain>[-+():!^&'~{}<>= ])|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_HARMLESS = re.compile(
    r"(black|blue|cyan|green|magenta|red|white|yellow|color ?\d+|\$-[0-9a-f]+)", re.IGNORECASE
)
_Section = list[tuple[str, str]]  # kind and text of each token


def shown_whole(number: int, number_format: str) -> str | None:
    """What the sheet shows for a whole number; None where the format does not say it exactly."""
    digits = str(abs(number))
    if len(digits) > EXACT_DIGITS:
        return None
    if number_format == "General":
        return str(number)
    sections = _sections(_ungrouped(number_format, number))
    if number < 0:
        return None
    section = sections[2] if number == 0 and len(sections) > 2 else sections[0]
    if section == [("text", "@")]:
        return digits
    return _filled(section, "" if number == 0 else digits)


def shown_decimal(number: float, number_format: str) -> str | None:
    """What the sheet shows for a number with decimals, as General or with a fixed number of them."""
    text = repr(number)
    if number_format == "General":
        return text if re.fullmatch(r"-?\d{1,9}\.\d{1,6}", text) and len(text) <= 11 else None
    places = re.fullmatch(r"0\.(0+)", _ungrouped(number_format, number))
    fixed = f"{number:.{len(places[1])}f}" if places else ""
    return fixed if places and float(fixed) == number else None


def _ungrouped(number_format: str, number: float) -> str:
    """The format that shows this number in the same way without separators of thousands, where there is one."""
    return number_format.replace("#,##0", "0") if 0 <= number < 1_000 else number_format


def shown_text(text: str, number_format: str) -> str | None:
    """What the sheet shows for a text: most formats leave it, some put something around it."""
    if "@" not in number_format and number_format.count(";") < 3:
        return text
    sections = _sections(number_format)
    section = (
        sections[3] if len(sections) > 3 else next((each for each in sections if ("text", "@") in each), None)
    )
    if section is None:
        return text
    if ("text", "@") not in section or any(kind not in ("literal", "text") for kind, _ in section):
        return None
    return "".join(text if kind == "text" else part for kind, part in section).strip()


@lru_cache(1_000)
def _sections(number_format: str) -> list[_Section]:
    sections: list[_Section] = [[]]
    for match in _TOKEN.finditer(number_format):
        kind = match.lastgroup or ""
        text = match[kind]
        match kind:
            case "next":
                sections.append([])
            case "quoted" | "escaped" | "plain":
                sections[-1].append(("literal", text))
            case "gap":
                sections[-1].append(("literal", " "))  # as wide as a character, and blank
            case "bracket" if _HARMLESS.fullmatch(text):
                pass
            case "other" if text == ".":
                sections[-1].append(("point", text))
            case "general" | "digit" | "text":
                sections[-1].append((kind, "General" if kind == "general" else text))
            case _:  # thousands, percent, currency, exponent, fraction, condition, date: not what is stored
                sections[-1].append(("unknown", text))
    return sections


def _filled(section: _Section, digits: str) -> str | None:
    """The section with the digits in its places, the last digit in the last place before the decimal point."""
    kinds = [kind for kind, _ in section]
    if "unknown" in kinds or "text" in kinds or kinds.count("point") > 1:
        return None
    if "general" in kinds:
        if "digit" in kinds or kinds.count("general") > 1:
            return None
        return "".join((digits or "0") if kind == "general" else text for kind, text in section).strip()
    point = kinds.index("point") if "point" in kinds else len(section)
    whole, decimals = section[:point], section[point:]
    places = [text for kind, text in whole if kind == "digit"]
    if (
        not places
        or "#" in "".join(places).lstrip("#?")
        or any(text in "#?" for kind, text in decimals if kind == "digit")
    ):
        return None
    if decimals and not any(kind == "digit" for kind, _ in decimals):
        return None
    waiting = digits.rjust(len(places), "\0")
    surplus, waiting = waiting[: len(waiting) - len(places)], waiting[len(waiting) - len(places) :]
    found: list[str] = []
    for kind, text in whole:
        if kind == "digit":
            digit, waiting = waiting[0], waiting[1:]
            found += [surplus, {"0": "0", "#": "", "?": " "}[text] if digit == "\0" else digit]
            surplus = ""
        else:
            found.append(text)
    return "".join([*found, *(text for _, text in decimals)]).strip() or None
