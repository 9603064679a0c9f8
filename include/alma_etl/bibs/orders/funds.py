"""What an order charges to each of its funds: always the whole of it, to the last cent, one entry a fund."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal


class FundProblem(ValueError):
    """Funds that an order cannot be charged to; the message says why, and what to do."""


@dataclass(frozen=True)
class FundShare:
    """The share of one fund as the record states it: by `percent`, by `amount`, by the number of `copies` that stand
    beside it, or not at all."""

    code: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    copies: int | None = None


@dataclass(frozen=True)
class FundAmount:
    """What is charged to a fund."""

    code: str
    amount: Decimal


def charge(
    total: Decimal, shares: Sequence[FundShare], decimals: int, *, stated: Decimal | None = None
) -> tuple[FundAmount, ...]:
    """Return what each fund is charged with, in the order in which the record names them; together it is ``total``.

    A fund that is named twice is charged once, with the sum. Shares are rounded down, the rest goes to the last one.
    ``stated``: what amounts in the record add up to, where that is not the total; the largest of them takes the
    difference. Raises FundProblem where they do not add up, or no share is stated for several funds.
    """
    if len({share.code for share in shares}) == 1 and not any(_is_stated(share) for share in shares):
        return (FundAmount(shares[0].code, total),)
    amounts: list[Decimal]
    if all(share.amount is not None for share in shares):
        amounts = [share.amount or Decimal(0) for share in shares]
        _refuse_other_sum(sum(amounts), total if stated is None else stated, str)
        amounts[amounts.index(max(amounts))] += total - sum(amounts)
    elif all(share.percent is not None for share in shares):
        percents = [share.percent or Decimal(0) for share in shares]
        _refuse_other_sum(sum(percents), Decimal(100), lambda found: f"{found.normalize():f} percent")
        amounts = _rounded_down(total, percents, decimals)
    elif all(share.copies for share in shares) and not any(_is_stated(share) for share in shares):
        amounts = _rounded_down(total, [Decimal(share.copies or 0) for share in shares], decimals)
    else:
        codes = ", ".join(dict.fromkeys(share.code for share in shares))
        raise FundProblem(
            f"the funds {codes} have no shares: give each a percentage, or each an amount, in the record"
        )
    return _one_entry_each(zip((share.code for share in shares), amounts, strict=True))


def _is_stated(share: FundShare) -> bool:
    return share.percent is not None or share.amount is not None


def _rounded_down(total: Decimal, weights: Sequence[Decimal], decimals: int) -> list[Decimal]:
    whole = sum(weights)
    unit = Decimal(1).scaleb(-decimals)
    amounts = [(total * weight / whole).quantize(unit, ROUND_DOWN) for weight in weights[:-1]]
    return [*amounts, total - sum(amounts)]


def _refuse_other_sum(found: Decimal | int, wanted: Decimal, words: Callable[[Decimal], str]) -> None:
    if found != wanted:
        raise FundProblem(
            f"the shares of its funds are {words(Decimal(found))} together, and {words(wanted)} is charged: correct "
            "them in the record"
        )


def _one_entry_each(charged: Iterable[tuple[str, Decimal]]) -> tuple[FundAmount, ...]:
    sums: dict[str, Decimal] = {}
    for code, amount in charged:
        sums[code] = sums.get(code, Decimal(0)) + amount
    return tuple(FundAmount(code, amount) for code, amount in sums.items())
