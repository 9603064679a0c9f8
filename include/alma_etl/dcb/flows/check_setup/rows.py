"""What a check came to, where it is put right, and the working files of a run."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from alma_etl.jobs.folder import RunFiles
from alma_etl.store.bucket import Bucket

DAG_ID = "dcb_check_setup"
CheckOutcome = Literal["ok", "warning", "missing", "unknown"]
"""``missing``: a placing fails without it. ``warning``: placings work, something else does not, or not as people
expect. ``unknown``: it could not be read, or no API shows it."""

# Where it is put right. Alma's menus begin at the gear (Configuration); the source is Ex Libris' online help.
CONFIG = "config/dcb.yaml in the bucket"
CONNECTION = "Airflow: Admin > Connections"
LIBRARIES = "Alma: Configuration > General > Libraries > Add a Library or Edit Library Information"
DESKS = "Alma: Configuration > Fulfillment > Library Management > Circulation Desks"
LOCATIONS = "Alma: Configuration > Fulfillment > Locations > Physical Locations"
POLICIES = "Alma: Configuration > Fulfillment > Physical Fulfillment > Item Policy"
RULES = (
    "Alma: Configuration > Fulfillment > Physical Fulfillment > Fulfillment Units > Fulfillment Unit Rules"
)
REASONS = "Alma: Configuration > Fulfillment > General > Request Cancellation Reasons"
GROUPS = "Alma: Configuration > User Management > User Details > User Groups"
ROLES = "Alma: Configuration > User Management > Roles and Registration > Role Assignment Rules"
MATERIALS = "Alma: Configuration > Resources, the code table Physical Material Type Descriptions"
KEYS = "Ex Libris Developer Network: Build > API Keys"


class SetupCheck(BaseModel):
    """One check of one system. ``check`` is a fixed word, ``message`` what was found, ``where`` and ``advice`` how to
    put it right ("" when there is nothing to do). No names and no users' ids."""

    model_config = ConfigDict(frozen=True)

    system: str
    check: str
    label: str
    outcome: CheckOutcome
    message: str
    where: str = ""
    advice: str = ""


class SetupResult(BaseModel):
    """What a run found. ``unread``: systems that could not be read (any further), with the reason."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    mode: str
    checks: tuple[SetupCheck, ...]
    unread: dict[str, str] = {}

    def having(self, outcome: CheckOutcome) -> list[SetupCheck]:
        """The checks that came to this, in their order."""
        return [each for each in self.checks if each.outcome == outcome]


class SetupFolder(RunFiles):
    """The keys of one run's files, ``runs/dcb_check_setup/{run_id}/``."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = DAG_ID) -> None:
        super().__init__(bucket, run_id, dag_id)

    def save(self, result: SetupResult) -> None:
        """The checks are made."""
        self.write_model("setup.json", result)

    def find(self) -> SetupResult | None:
        """What they came to, None when they were not made."""
        return self.find_model("setup.json", SetupResult)


class SetupRows:
    """Collects the rows of one system."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.rows: list[SetupCheck] = []

    def add(
        self, check: str, label: str, outcome: CheckOutcome, message: str, where: str = "", advice: str = ""
    ) -> None:
        """One more row."""
        self.rows.append(
            SetupCheck(
                system=self.system,
                check=check,
                label=label,
                outcome=outcome,
                message=message,
                where=where,
                advice=advice,
            )
        )

    def ok(self, check: str, label: str, message: str) -> None:
        """It is as it should be."""
        self.add(check, label, "ok", message)

    def missing(self, check: str, label: str, message: str, where: str, advice: str) -> None:
        """A placing fails without it."""
        self.add(check, label, "missing", message, where, advice)

    def warn(self, check: str, label: str, message: str, where: str, advice: str) -> None:
        """Placings work without it."""
        self.add(check, label, "warning", message, where, advice)

    def unknown(self, check: str, label: str, message: str, where: str = "", advice: str = "") -> None:
        """It could not be read."""
        self.add(check, label, "unknown", message, where, advice)
