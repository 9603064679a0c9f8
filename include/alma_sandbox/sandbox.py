"""One pretend Alma: settings, clock, catalogue, log, faults and thresholds."""

from datetime import datetime
from typing import Any

from alma_sandbox.administration.events import Events
from alma_sandbox.administration.jobs import Jobs
from alma_sandbox.administration.po_lines import PoLine, PoLines
from alma_sandbox.administration.sets import Sets
from alma_sandbox.aleph.world import AlephWorld
from alma_sandbox.catalogue.marc import Record
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.catalogue.store import Catalogue
from alma_sandbox.circulation.loans import Loans
from alma_sandbox.circulation.requests import Requests
from alma_sandbox.circulation.users import Users
from alma_sandbox.gateway.admission import Daily, SlidingSecond
from alma_sandbox.gateway.faults import Faults
from alma_sandbox.gateway.log import Log
from alma_sandbox.http.errors import Tracking
from alma_sandbox.settings import Settings
from alma_sandbox.state.clock import Clock


class Sandbox:
    """Everything that one running sandbox knows. Nothing is shared between two of them, but that an institution links
    records of its ``network`` zone, another sandbox, as they are there. Without one the zone's records are those of the
    formulas."""

    def __init__(self, settings: Settings, network: "Sandbox | None" = None) -> None:
        self.network = network
        self.settings = settings.model_copy(deep=True)
        self._initial = settings.model_copy(deep=True)
        self.log = Log(settings.log_size)
        self.events = Events(self)
        self.reset()

    def reset(self) -> None:
        """Back to the beginning: data, settings, clock, log, faults, thresholds."""
        self.settings = self._initial.model_copy(deep=True)
        self.clock = Clock()
        self.tracking = Tracking()
        self.second = SlidingSecond()
        self.daily = Daily()
        self.faults = Faults()
        self.log.resize(self.settings.log_size)
        self.log.clear()
        self.catalogue = Catalogue(self.settings.seed, self.settings.titles, self.settings.place())
        self.sets = Sets(self)
        self.users = Users(self)
        self.requests = Requests(self)
        self.loans = Loans(self)
        self.jobs = Jobs(self)
        self.po_lines = PoLines(self)
        self.aleph = AlephWorld(self)
        self.events.clear()
        self.locks: set[str] = set()  # bibs that somebody has open in the editor
        self.editors: dict[
            str, list[str]
        ] = {}  # of these: by whom, since when, until when (empty: until unlocked)
        self.in_house_uses: dict[str, int] = {}  # item pid -> uses that scan-in registered
        self.letters: list[dict[str, str]] = []  # what patrons were mailed

    def number(self, kind: str) -> str:
        """The next running number of a kind, with eleven digits."""
        return f"{10_000_000_001 + self.catalogue.counter.number(kind)}"

    def change_settings(self, values: dict[str, Any]) -> None:
        """Change settings while running. ValueError for a setting that is unknown or fixed at the start."""
        fixed = self.settings.fixed()
        wrong = [name for name, value in values.items() if name in fixed and fixed[name] != value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: fixed when the sandbox starts; start another one")
        self.settings = Settings.model_validate({**self.settings.model_dump(), **values})
        self.log.resize(self.settings.log_size)

    def is_listed(self, holding: Holding) -> bool:
        """Whether lists and availability name this holding yet."""
        return self._is_older(holding.made_at, self.settings.list_lag_s)

    def lists_po_line(self, line: PoLine) -> bool:
        """Whether lists name this PO line yet; its own answers have a status from then on."""
        return self._is_older(line.made_at, self.settings.po_line_lag_s)

    def _is_older(self, made_at: str, seconds: float) -> bool:
        if not made_at or not seconds:
            return True
        age = self.clock.now() - datetime.fromisoformat(made_at)
        return age.total_seconds() >= seconds

    def sru_sees(self, bib: Bib) -> Record | None:
        """A bib as SRU's index has it."""
        return bib.in_index(self.clock.now(), self.settings.sru_lag_s)

    def numbers_see(self, bib: Bib) -> Record | None:
        """A bib as look-ups by number and matching see it."""
        return bib.in_index(self.clock.now(), self.settings.number_lag_s)

    def note_saving(self, bib: Bib, before: Record | None) -> None:
        """Keep what an index still has of a bib that is saved now, where one lags; ``before`` is None for a new bib."""
        lag = max(self.settings.sru_lag_s, self.settings.number_lag_s)
        if not lag:
            bib.saved_at, bib.before = "", None
            return
        if before is None or not bib.saved_at or bib.in_index(self.clock.now(), lag) is bib.record:
            bib.before = before
        bib.saved_at = self.clock.time()

    def lock_of(self, mms_id: str) -> list[str] | None:
        """By whom, since when and until when a bib is open in the editor; None when it is not (any more)."""
        if mms_id not in self.locks:
            return None
        found = self.editors.get(mms_id, ["", "", ""])
        if found[2] and datetime.fromisoformat(found[2]) <= self.clock.now():
            return None
        return found

    def calls_left(self) -> int:
        """Calls that today's allowance still has."""
        self.daily.turn(self.clock.now().date())
        return max(0, self.settings.daily - self.daily.used)

    def tracking_id(self) -> str:
        """A new tracking id."""
        return self.tracking.next(f"{self.clock.now():%d%m%H%M%S}")
