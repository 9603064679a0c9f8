"""Funds (`/acq/funds`), and whether one can be ordered from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from alma_etl.alma import shapes
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, Found, ListAnswer, Unknown, ask_list, rows_of

FOR_ORDERS = "POL"
ALL = "ALL"
_SUMS = frozenset({"LEDGER", "SUMMARY"})
_INACTIVE = "INACTIVE"


@dataclass(frozen=True)
class Fund:
    """A fund; `raw` is Alma's whole object. Its `code` is case-sensitive. `type` is LEDGER, SUMMARY or ALLOCATED, from
    which alone something is bought."""

    code: str
    name: str
    type: str
    status: str
    owner: str
    fiscal_period: str
    raw: Json = field(repr=False)


class FundState(StrEnum):
    """Whether an order can name a fund."""

    OPEN = "open"
    CLOSED = "closed"  # inactive, or of a fiscal period that is not today's
    LEDGER = "ledger"  # a ledger or a summary fund: nothing is allocated to it
    OTHER_CASE = (
        "other_case"  # the code is written in other capitals: Alma would leave the line without a fund
    )
    NOT_THERE = "not_there"


@dataclass(frozen=True)
class FundCheck:
    """What is known of a code: its `state`, and the fund that has it, or (`OTHER_CASE`, `CLOSED` or `LEDGER` in other
    capitals) nearly has it; the right spelling is ``fund.code``, where `alike` does not name several."""

    state: FundState
    fund: Fund | None = None
    alike: tuple[str, ...] = ()


class Funds(Resource):
    """The calls about funds: reading only."""

    def find(self, *, mode: str = FOR_ORDERS, q: str | None = None, library: str | None = None) -> list[Fund]:
        """GET /acq/funds: all pages. `mode` POL lists allocated funds that are active today, ALL also inactive ones,
        those of other fiscal periods and ledgers. `q`, for example ``fund_code~HIST``, finds parts of a value, too:
        compare the codes. Raises RemoteError."""
        return self._every("/acq/funds", "fund", _fund, _key, mode=mode, q=q, library=library)

    def check(self, codes: Iterable[str], *, library: str | None = None) -> dict[str, Answer[FundCheck]]:
        """Which of the funds an order of `library` can name: a request a code that is open, two for another, and the
        whole list of funds once where some code is found nowhere. Unknown for a code that could not be asked for."""
        found = {code: self._exact(code, library) for code in dict.fromkeys(codes)}
        missing = [
            code
            for code, answer in found.items()
            if isinstance(answer, Found) and answer.value.state is FundState.NOT_THERE
        ]
        return found | (self._in_other_case(missing, library) if missing else {})

    def _exact(self, code: str, library: str | None) -> Answer[FundCheck]:
        """The fund whose code is written so."""
        for mode in (FOR_ORDERS, ALL):
            listed = self._listed(mode, library, f"fund_code~{code.replace(' ', '_')}")
            same = [row for row in rows_of(listed) if row.code == code]
            if same:
                return Found(FundCheck(_state(mode, same), same[0]))
            if isinstance(listed, Unknown):
                return listed
        return Found(FundCheck(FundState.NOT_THERE))

    def _in_other_case(self, codes: list[str], library: str | None) -> dict[str, Answer[FundCheck]]:
        """Codes that no search found as they are written, compared with all funds, and without regard to capitals:
        Alma's search need not find them, nor one with signs that it takes for blanks."""
        answers: dict[str, Answer[FundCheck]] = {}
        for mode in (FOR_ORDERS, ALL):
            listed = self._listed(mode, library)
            for code in [each for each in codes if each not in answers]:
                alike = [row for row in rows_of(listed) if row.code.casefold() == code.casefold()]
                same = [row for row in alike if row.code == code]
                if same:
                    answers[code] = Found(FundCheck(_state(mode, same), same[0]))
                elif alike:
                    state = _state(mode, alike)
                    other_case = FundState.OTHER_CASE if state is FundState.OPEN else state
                    spellings = tuple(dict.fromkeys(row.code for row in alike))
                    answers[code] = Found(FundCheck(other_case, alike[0], spellings))
                elif isinstance(listed, Unknown):
                    answers[code] = listed
        return answers

    def _listed(self, mode: str, library: str | None, q: str | None = None) -> ListAnswer[Fund]:
        return ask_list(lambda: self.find(mode=mode, q=q, library=library), frozenset())


def _state(mode: str, same: list[Fund]) -> FundState:
    """What funds of one code are good for: a code is used again in each fiscal period."""
    allocated = [fund for fund in same if fund.type not in _SUMS]
    if not allocated:
        return FundState.LEDGER
    active = mode == FOR_ORDERS and any(fund.status != _INACTIVE for fund in allocated)
    return FundState.OPEN if active else FundState.CLOSED


def _key(fund: Fund) -> str:
    # the fund of another fiscal period has the same code
    return shapes.text(fund.raw.get("id")) or f"{fund.code} {fund.fiscal_period}"


def _fund(row: Json) -> Fund:
    return Fund(
        code=shapes.required(row, "code"),
        name=shapes.text(row.get("name")),
        type=shapes.text(row.get("type")),
        status=shapes.text(row.get("status")),
        owner=shapes.text(row.get("owner")),
        fiscal_period=shapes.desc(row.get("fiscal_period")) or shapes.text(row.get("fiscal_period")),
        raw=row,
    )
