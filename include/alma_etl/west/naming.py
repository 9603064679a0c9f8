"""The names of delivered objects: ``SYMBOL.alma.archived.YYYYMMDD`` and its three endings.

Source: AGUA's instructions, ``<OCLC symbol>.<ILS code>.<record type>.<submission date>.<extension>``.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime

FOLDER = "west/deliveries/"
_MARC = re.compile(r"^(?P<symbol>[A-Z0-9]+)\.alma\.archived\.(?P<day>\d{8})\.mrc$")


@dataclass(frozen=True)
class DeliveryName:
    """The name of one delivery: whose, and of which day."""

    symbol: str
    day: date

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return f"{self.symbol}.alma.archived.{self.day:%Y%m%d}"

    @property
    def marc(self) -> str:
        """The name of the MARC21 file."""
        return f"{self.stem}.mrc"

    @property
    def manifest(self) -> str:
        """The name of the manifest."""
        return f"{self.stem}.manifest.json"

    @property
    def outcomes(self) -> str:
        """The name of the table of outcomes."""
        return f"{self.stem}.outcomes.csv"

    @classmethod
    def of_marc(cls, key: str) -> "DeliveryName | None":
        """The delivery whose MARC21 file has this key, or None when the key is none of ours."""
        name = key.rpartition("/")[2]
        match = _MARC.match(name)
        if not match:
            return None
        try:
            day = datetime.strptime(match["day"], "%Y%m%d").date()
        except ValueError:
            return None
        return cls(match["symbol"], day)
