"""Points on logarithmic axes, as PNG. matplotlib is loaded when the first figure is drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue, orange, green, red, purple, brown of the Okabe-Ito palette: told apart by colour-blind readers and in print.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
DPI = 110

# Nothing on a logarithmic axis is less.
LEAST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one kind: what it is called, and (x, y) of each."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point with a word beside it, and a ring around it where it is singled out."""

    x: float
    y: float
    word: str
    ring: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TopAxis:
    """A second scale for x, above: what it is called, and what divided by x gives it."""

    label: str
    over_x: float


def scatter(series: Sequence[Series], *, title: str, x: str, y: str) -> bytes:
    """Predicted over true values on logarithmic axes, with the diagonal and a factor of 1.5 around it."""
    figure, axes = _figure()
    values = [value for one in series for point in one.points for value in point if value > 0]
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    for factor, style in ((1.0, "-"), (1.5, ":"), (1 / 1.5, ":")):
        axes.plot([low, high], [low * factor, high * factor], style, color="#888888", linewidth=1)
    for index, one in enumerate(series):
        across, up = _columns(one)
        axes.scatter(across, up, s=16, alpha=0.7, color=COLOURS[index % len(COLOURS)], label=one.name)
    axes.set(xscale="log", yscale="log")
    return _finish(figure, axes, title, x, y)


def curves(
    series: Sequence[Series], marks: Sequence[Mark], *, title: str, x: str, y: str, top: TopAxis
) -> bytes:
    """Steps between points, lower left is better, on logarithmic axes with plain numbers; some points marked."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = _figure()
    for index, one in enumerate(series):
        across, up = _columns(one)
        colour = COLOURS[index % len(COLOURS)]
        axes.step(across, up, where="post", color=colour, linewidth=1.2)
        axes.scatter(across, up, s=14, color=colour, label=one.name)
    for mark in marks:
        if mark.ring:
            axes.scatter([mark.x], [mark.y], s=90, facecolors="none", edgecolors="#000000")
        size = "medium" if mark.ring else "x-small"
        axes.annotate(mark.word, (mark.x, mark.y), textcoords="offset points", xytext=(6, 5), fontsize=size)
    axes.set(xscale="log", yscale="log")

    def over(values: npt.ArrayLike) -> npt.ArrayLike:
        # An axis that has no limits yet asks for those of zero.
        return np.asarray(top.over_x / np.maximum(np.asarray(values, dtype=np.float64), LEAST))

    second = axes.secondary_xaxis("top", functions=(over, over))
    second.set_xlabel(top.label)
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axis, steps in (
        (axes.xaxis, (1.0, 3.0)),
        (axes.yaxis, (1.0, 2.0, 3.0, 5.0, 7.0)),
        (second.xaxis, (1.0, 3.0)),
    ):
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    return _finish(figure, axes, title, x, y)


def _columns(series: Series) -> tuple[list[float], list[float]]:
    return [across for across, _ in series.points], [up for _, up in series.points]


def _figure() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(figure: Figure, axes: Axes, title: str, x: str, y: str) -> bytes:
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, parse_math=False)  # a name may hold dollars
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.legend(fontsize="small", frameon=False)
    buffer = io.BytesIO()
    without: Mapping[str, None] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=DPI, metadata=dict(without))
    return buffer.getvalue()
