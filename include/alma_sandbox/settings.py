"""Every setting of the sandbox, and which of them may change while it runs."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from alma_sandbox.catalogue.conf_data import SANDBOX, Institution


class RouteLatency(BaseModel):
    """Extra milliseconds for calls whose path and query match a regular expression."""

    model_config = ConfigDict(extra="forbid")

    path: str
    ms: float = Field(ge=0, le=600_000)


class Settings(BaseModel):
    """How this sandbox behaves.

    ``seed``, ``titles``, ``institution`` and ``suffix`` choose the catalogue and are fixed at the start; all
    the rest may be changed at run time by ``POST /sandbox/settings``. ``api_key`` gives full rights; ``<api_key>-ro``
    reads only; ``<api_key>-bibs`` has rights in the area Bibs and nowhere else.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    seed: int = 7
    titles: int = Field(default=400, ge=0, le=50_000_000)
    api_key: str = "sandbox"
    institution: str = Field(default=SANDBOX.code, pattern=r"^[0-9A-Z_]{2,30}$", description="its code")
    suffix: str = Field(default=SANDBOX.suffix, pattern=r"^[0-9]{4}$", description="the end of all its ids")

    latency_ms: float = Field(default=0, ge=0, le=600_000)
    latencies: list[RouteLatency] = []
    per_second: int = Field(default=25, ge=0, description="calls in any sliding second; 0 = no threshold")
    daily: int = Field(default=500_000, ge=0, description="calls a day (GMT of the sandbox's clock)")
    log_size: int = Field(default=100_000, ge=0, description="log entries kept; counters are never cut")

    suppressed_in_availability: bool = Field(
        default=False, description="AVA rows also for suppressed holdings and locations (unknown in Alma)"
    )
    set_paging: Literal["stable", "shifting"] = Field(
        default="stable", description="shifting: each page after the first repeats a member and drops one"
    )
    vanished_members: int = Field(
        default=0, ge=0, le=10_000, description="ids in the set of all titles whose bib is gone"
    )
    nulls: Literal["omitted", "written"] = Field(
        default="omitted", description="written: JSON nulls as Alma wrote them until 2023"
    )
    index_lag_s: float = Field(
        default=0, ge=0, description="seconds for which a created or returned item cannot be requested yet"
    )
    list_lag_s: float = Field(
        default=0,
        ge=0,
        description="seconds for which a created holding is missing in lists and availability",
    )
    job_step_s: float = Field(
        default=2, ge=0, description="seconds of the sandbox's clock between two statuses of a job"
    )
    job_outcome: str = Field(default="COMPLETED_SUCCESS", description="the status in which jobs end")
    closed_requests: Literal["history", "listed", "gone"] = Field(
        default="history",
        description="history: closed requests answer by id and in status=history; listed: in status=history alone; "
        "gone: neither, as where requests are anonymised",
    )
    request_not_found: Literal["401694", "401652"] = Field(
        default="401694", description="what GET of a request by an id answers that is not there (any more)"
    )
    ended_loans: Literal["history", "gone"] = Field(
        default="history", description="gone: ended loans are anonymised, GET by id answers 401652"
    )
    personal_delivery: bool = Field(
        default=False, description="holds may go to the address of a patron, else 60308"
    )
    hold_shelf_days: int = Field(default=10, ge=0, description="a book on the hold shelf is kept so long")
    loan_limit: int = Field(default=50, ge=0, description="active loans that a patron may have")
    webhook_url: str | None = Field(default=None, description="listener for webhooks, on this machine only")
    webhook_copies: int = Field(default=1, ge=1, le=10, description="how often each event is delivered")
    webhook_secret: str = Field(default="sandbox", description="signs webhooks; not a secret of anybody")

    @field_validator("webhook_url")
    @classmethod
    def _is_local(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("a sandbox sends webhooks to http://127.0.0.1 only")
        return value

    def fixed(self) -> dict[str, object]:
        """The settings that choose the data and cannot change while the sandbox runs."""
        return self.model_dump(include={"seed", "titles", "api_key", "institution", "suffix"})

    def place(self) -> Institution:
        """The institution whose Alma this is."""
        return Institution(self.institution, SANDBOX.name, self.suffix)
