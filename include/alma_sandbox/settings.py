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

    ``seed``, ``titles``, ``aleph_items``, ``institution`` and ``suffix`` choose the data and are fixed at the start;
    all the rest may be changed at run time by ``POST /sandbox/settings``. ``api_key`` gives full rights;
    ``<api_key>-ro`` reads only; ``<api_key>-bibs`` has rights in the area Bibs and nowhere else.
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
    item_by_pid_alone: bool = Field(
        default=True, description="GET of an item with ALL for its title's MMS id (unknown in Alma)"
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
    import_events: Literal["refused", "listed"] = Field(
        default="refused", description="whether jobs of import profiles answer for their events"
    )
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

    sru: bool = Field(default=False, description="whether the institution has switched SRU on")
    sru_lag_s: float = Field(
        default=0, ge=0, description="seconds for which SRU does not find a bib as a call has saved it"
    )
    number_lag_s: float = Field(
        default=0, ge=0, description="seconds for which other_system_id and check_match do not, either"
    )
    lock_code: str = Field(
        default="40166489",
        pattern=r"^[0-9]{5,8}$",
        description="errorCode for a record that is open in the editor: no document names it",
    )
    lock_says: bool = Field(default=True, description="whether the message says by whom and since when")
    brief_level_rule: Literal["carli", "csu", "sent"] = Field(
        default="carli",
        description="by which table LDR/17 becomes the brief level; sent: what the caller sends",
    )
    cataloging_levels: bool = Field(
        default=True, description="off: cataloger_level and cataloging_level are refused with 4022040"
    )
    cz_update: Literal["refused", "local_fields"] = Field(
        default="refused",
        description="PUT of a bib linked to the community zone: 40166454, or 200 as for the network",
    )
    warnings: list[str] = Field(
        default=[], description="warnings that validate=true finds in every bib besides"
    )
    closed_funds: list[str] = Field(
        default=[], description="codes of funds whose fiscal period staff have closed"
    )
    po_line_lag_s: float = Field(
        default=0,
        ge=0,
        description="seconds for which a created PO line is missing in lists and has no status in its answers",
    )
    po_line_lists: Literal["full", "brief"] = Field(
        default="full",
        description="brief: rows of PO lines without the vendor's and the additional reference (unknown in Alma)",
    )
    po_line_numbers: Literal["taken", "ignored"] = Field(
        default="taken",
        description="what POST makes of a number that is sent with a PO line (unknown in Alma)",
    )
    po_line_barcodes: Literal["made", "none"] = Field(
        default="made",
        description="whether items of a PO line have a barcode of Alma's before they get one (a matter of set-up)",
    )

    aleph_items: int = Field(
        default=600, ge=0, le=1_000_000, description="items that Aleph has at first, one for each Alma item"
    )
    aleph_library: str = Field(default="USM50", pattern=r"^[A-Za-z0-9]{1,5}$", description="its ADM library")
    aleph_access: Literal["open", "refused", "refused_200", "off"] = Field(
        default="open",
        description="refused: this host is not allowed, an HTML page of status 403 (refused_200: of status 200); "
        "off: the X-Server is switched off",
    )
    aleph_users: dict[str, list[str]] = Field(
        default={"WWW-X": ["UPD-ITEM", "READ-ITEM", "CREATE-ITEM"], "READER": ["READ-ITEM"]},
        description="users, whose passwords are their names, and what of WWW-X each may do",
    )
    aleph_session_s: float = Field(default=3600, ge=0, description="how long a session can be used")
    aleph_padding: Literal["padded", "bare"] = Field(
        default="padded", description="numbers in answers: 000000051 and 00010, or 51 and 10"
    )
    aleph_temp_location: Literal["letter", "word"] = Field(
        default="letter", description="z30-temp-location with translate=N: Y and N, or Yes and No"
    )
    aleph_barcode_checksum: Literal["off", "correct", "generate"] = Field(
        default="off",
        description="correct: the last digit of a barcode that is sent is put right; generate: besides, an item whose "
        "XML has no barcode gets a new one",
    )
    aleph_barcode_parameter: Literal["item_barcode", "barcode", "both"] = Field(
        default="item_barcode", description="what read-item calls a barcode"
    )
    aleph_status_moves: dict[str, str] = Field(
        default={}, description="process statuses that have become others by the next read-item"
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_local(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("a sandbox sends webhooks to http://127.0.0.1 only")
        return value

    def fixed(self) -> dict[str, object]:
        """The settings that choose the data and cannot change while the sandbox runs."""
        return self.model_dump(include={"seed", "titles", "aleph_items", "api_key", "institution", "suffix"})

    def place(self) -> Institution:
        """The institution whose Alma this is."""
        return Institution(self.institution, SANDBOX.name, self.suffix)
