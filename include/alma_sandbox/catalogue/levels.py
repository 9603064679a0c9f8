"""The brief level of a bib, which the institution's rule computes each time it is saved (01 briefest, 10 full)."""

from alma_sandbox.catalogue.marc import Record
from alma_sandbox.settings import Settings

# Encoding level, LDR/17 -> brief level, in two rules as institutions have them; any other level is 01 or 02.
_RULES: dict[str, dict[str, str]] = {
    "carli": {
        " ": "10", "1": "10", "I": "10", "L": "10", "4": "07", "M": "07", "2": "07", "K": "05", "7": "05", "8": "04",
        "3": "03", "5": "02",
    },
    "csu": {
        " ": "10", "1": "08", "I": "09", "L": "09", "4": "07", "M": "06", "2": "05", "K": "06", "7": "05", "8": "04",
        "3": "03", "5": "02", "u": "02", "z": "02",
    },
}  # fmt: skip


def brief_level(settings: Settings, record: Record) -> str:
    """The brief level that the rule of the settings gives; ``sent`` computes none and answers 01."""
    rule = _RULES.get(settings.brief_level_rule, {})
    return rule.get(record.leader[17:18], "01")
