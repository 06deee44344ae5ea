"""Accuracy against what it costs: one panel per cost, the front of each as a line. matplotlib is loaded when a figure is drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psp_hw.report.scatter import COLOURS, DPI

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANEL_INCHES = (4.4, 4.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A network.

    Args:
        name: how it is marked where it is on a front.
        group: what it is drawn as; those of one group look alike.
        height: accuracy [%].
    """

    name: str
    group: str
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Accuracy over one cost.

    Args:
        title: the cost, with its unit.
        across: of each dot, above 0; None where it has none (a network that does not fit).
        front: indices of the dots that no other beats in both, by ascending cost.
    """

    title: str
    across: tuple[float | None, ...]
    front: tuple[int, ...]


def panels(dots: Sequence[Dot], found: Sequence[Panel], *, title: str, y: str) -> bytes:
    """Panels side by side, upper left is better; costs on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(found), height), layout="constrained")
    FigureCanvasAgg(figure)
    groups = list(dict.fromkeys(dot.group for dot in dots))
    for index, panel in enumerate(found):
        axes = figure.add_subplot(1, len(found), index + 1)
        places = {i: (x, dot.height) for i, (x, dot) in enumerate(zip(panel.across, dots, strict=True)) if x}
        steps = [places[i] for i in panel.front]
        axes.step(*_columns(steps), where="post", color="#888888", linewidth=1.2)
        for number, group in enumerate(groups):
            own = [place for i, place in places.items() if dots[i].group == group]
            axes.scatter(
                *_columns(own),
                s=22,
                color=COLOURS[number % len(COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)],
                label=group,
                zorder=3,
            )
        for i in panel.front:
            axes.annotate(dots[i].name, places[i], textcoords="offset points", xytext=(4, -10))
        axes.set(xlabel=panel.title, ylabel=y if index == 0 else "", xscale="log" if places else "linear")
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        if index == 0 and len(groups) > 1:
            axes.legend(fontsize="small", frameon=False)
    figure.suptitle(title)
    buffer = io.BytesIO()
    without: Mapping[str, None] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=DPI, metadata=dict(without))
    return buffer.getvalue()


def _columns(places: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in places], [y for _, y in places]
