"""What the job of an import profile finds on its server and does with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alma_sandbox.administration.po_lines import PoLine
from alma_sandbox.catalogue.marc import Record, data_field
from alma_sandbox.catalogue.records import Bib

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox


@dataclass
class Load:
    """What waits for the next run of a profile's job, and what that run made of it.

    `titles` become bibs, each with a PO line where `orders`; `merged` are MMS ids that records are merged into. Records
    that match (`single_matches`, `multi_matches`: lists of MMS ids, one a record) wait for staff, `discarded` ones are
    lost. `imported` (MMS id and title, in the order of the files) and `po_lines` are filled by the run. `outcome` is
    the status in which it ends; "" is that of the sandbox's settings.
    """

    files: int = 1
    titles: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    single_matches: list[list[str]] = field(default_factory=list)
    multi_matches: list[list[str]] = field(default_factory=list)
    discarded: int = 0
    headings: int = 0
    orders: bool = False
    events: list[str] = field(default_factory=list)
    outcome: str = ""
    imported: list[list[str]] = field(default_factory=list)
    po_lines: list[str] = field(default_factory=list)

    def matches(self, population: str) -> list[tuple[str, list[str]]]:
        """The records of a population, each with the MMS ids that it matches."""
        found = {"SINGLE_MATCHES": self.single_matches, "MULTI_MATCHES": self.multi_matches}[population]
        return [(f"{population}-{number}", matched) for number, matched in enumerate(found, 1)]

    def counters(self) -> list[tuple[str, str, int]]:
        """Code, name and value of each count of the report. No document names the codes."""
        matched = len(self.single_matches) + len(self.multi_matches)
        return [
            ("c.jobs.bibImport.files", "Number of files", self.files),
            (
                "c.jobs.bibImport.records",
                "Total records in file",
                len(self.imported) + matched + self.discarded,
            ),
            ("c.jobs.bibImport.imported", "Total records imported", len(self.imported)),
            ("c.jobs.bibImport.singleMatch", "Records with a single match", len(self.single_matches)),
            ("c.jobs.bibImport.multiMatch", "Records with multiple matches", len(self.multi_matches)),
            ("c.jobs.bibImport.notImported", "Records not imported", self.discarded),
            ("c.jobs.bibImport.poLines", "PO lines created", len(self.po_lines)),
            ("c.jobs.bibImport.headings", "Headings calculated", self.headings),
        ]

    def carry_out(self, sandbox: Sandbox) -> None:
        """Make the bibs and PO lines; merged bibs are saved as they are."""
        for title in self.titles:
            mms_id = _new_bib(sandbox, title)
            self.imported.append([mms_id, title])
            if self.orders:
                self.po_lines.append(_new_line(sandbox, mms_id, title))
        self.imported += [[mms_id, ""] for mms_id in self.merged]


def _new_bib(sandbox: Sandbox, title: str) -> str:
    bib = Bib(
        mms_id=sandbox.catalogue.counter.take("99"),
        record=Record("     nam a22     u  4500", [data_field("245", "00", ("a", title))]),
        created_by="import",
        created_date=sandbox.clock.date(),
        originating_system="IMPORT",
    )
    bib.record.set_control("001", bib.mms_id)
    bib.record.set_control("005", sandbox.clock.marc())
    sandbox.catalogue.keep_bib(bib)
    return bib.mms_id


def _new_line(sandbox: Sandbox, mms_id: str, title: str) -> str:
    body = {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "vendor": {"value": "VENDOR1"},
        "vendor_account": "VENDOR1",
        "resource_metadata": {"title": title},
    }
    number = sandbox.po_lines.new_number()
    sandbox.po_lines.by_number[number] = PoLine(number, "ACTIVE", body, mms_id, sandbox.clock.date())
    return number
