"""Small charts: how large each bar is, for a template that draws SVG. No script, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 150
_LEFT, _BOTTOM, _TOP = 60, 26, 12
_LABELS = 8  # below the bars, at most


@dataclass(frozen=True)
class Piece:
    """A part of a bar: `series` is the number of its series, `title` what it says."""

    series: int
    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class StackedBars:
    """A chart of stacked bars, in units of its `viewBox`; `table` has the same numbers, a row a bar."""

    title: str
    summary: str
    series: Sequence[str]
    pieces: Sequence[Piece]
    below: Sequence[Tick]
    beside: Sequence[Tick]
    table: Sequence[tuple[str, Sequence[int]]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    base: int = HEIGHT - _BOTTOM


def stacked_bars(title: str, series: Sequence[str], bars: Mapping[str, Sequence[int]]) -> StackedBars:
    """A chart of bars by their labels, in order; a bar has a number for each of the series, none below 0."""
    most = max((sum(values) for values in bars.values()), default=0)
    top = _round_up(most)
    step = (WIDTH - _LEFT) / max(len(bars), 1)
    every = -(-len(bars) // _LABELS)
    scale = (HEIGHT - _BOTTOM - _TOP) / top
    pieces, below = [], []
    for number, (label, values) in enumerate(bars.items()):
        x, y = _LEFT + number * step, float(HEIGHT - _BOTTOM)
        for which, value in enumerate(values):
            if value:
                y -= value * scale
                place = (x + step * 0.1, y, step * 0.8, value * scale)
                text = f"{label}, {series[which]}: {value:,}"
                pieces.append(Piece(which, text, *(round(each, 2) for each in place)))
        if number % every == 0:
            below.append(Tick(round(x + step / 2, 2), label))
    totals = [sum(values[which] for values in bars.values()) for which in range(len(series))]
    said = ", ".join(f"{total:,} {name}" for total, name in zip(totals, series, strict=True) if total)
    return StackedBars(
        title=title,
        summary=f"{title}: {said or 'nothing'}.",
        series=series,
        pieces=pieces,
        below=below,
        beside=[Tick(round(HEIGHT - _BOTTOM - value * scale, 2), _short(value)) for value in (0, top)],
        table=[(label, list(values)) for label, values in bars.items()],
    )


def _short(number: int) -> str:
    """A number of the axis in at most five characters: 9,900, 12k, 1.2M."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    return f"{number // 1_000}k" if number >= 10_000 else f"{number:,}"


def _round_up(most: int) -> int:
    """The next number of one or two digits with zeros behind, at least 1: the top of an axis."""
    zeros = int("1".ljust(len(str(most)) - 1, "0"))
    return max(-(-most // zeros) * zeros, 1)
