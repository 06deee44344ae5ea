"""Which trials of a sweep no other beats, and the sweep as a table, a picture and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from psp_hw.report.fronts import Dot, Panel, panels
from psp_hw.spec.space import AxisName, Value


class Cost(Enum):
    """What accuracy is weighed against."""

    MACS = "macs"
    PARAMS = "params"
    CYCLES = "cycles"


UNITS = {
    Cost.MACS: "multiplications per image",
    Cost.PARAMS: "parameters",
    Cost.CYCLES: "cycles per image (estimated)",
}
_TITLES = {Cost.MACS: "MACs", Cost.PARAMS: "Parameters", Cost.CYCLES: "Cycles"}
BEST = "all together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trial that is done.

    Args:
        number: of the trial.
        values: of the axes.
        accuracy: of the quantized network on the test split, 0 .. 1.
        costs: of each kind; infinite cycles where it does not fit the part.
        run: name of its run folder.
    """

    number: int
    values: Mapping[str, Value]
    accuracy: float
    costs: Mapping[Cost, float]
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fronts:
    """The trials that no other beats.

    Args:
        trained: every trial that is done, by number.
        costs: what was weighed.
        of: indices into `trained`, by ascending cost: of the front of accuracy against each cost alone.
        best: the same of the front of accuracy against all costs together, by descending accuracy.
    """

    trained: tuple[Trained, ...]
    costs: tuple[Cost, ...]
    of: Mapping[Cost, tuple[int, ...]]
    best: tuple[int, ...]

    def names(self, index: int) -> list[str]:
        """The fronts that a trial is on."""
        return [cost.value for cost in self.costs if index in self.of[cost]]


def fronts(trained: Sequence[Trained], costs: Sequence[Cost]) -> Fronts:
    """Find the fronts. Of trials that are equal on one, that of the least other costs stands for all; then the first."""
    found = {}
    ordered = sorted(range(len(trained)), key=lambda i: [trained[i].costs[cost] for cost in costs])
    for cost in costs:
        finite = [i for i in ordered if math.isfinite(trained[i].costs[cost])]
        front = _undominated([(-trained[i].accuracy, trained[i].costs[cost]) for i in finite])
        found[cost] = tuple(sorted((finite[i] for i in front), key=lambda i: trained[i].costs[cost]))
    best = _undominated([(-one.accuracy, *(one.costs[cost] for cost in costs)) for one in trained])
    best.sort(key=lambda i: (-trained[i].accuracy, trained[i].number))
    return Fronts(trained=tuple(trained), costs=tuple(costs), of=found, best=tuple(best))


def _undominated(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Points that no other is at least as small as in everything, and smaller in something."""
    return [
        index
        for index, point in enumerate(points)
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and (other != point or place < index)
            for place, other in enumerate(points)
            if place != index
        )
    ]


def head(axes: Sequence[str], costs: Sequence[Cost]) -> tuple[str, ...]:
    """The titles of the table: words first, then numbers."""
    words = ("Run", *(axis.capitalize() for axis in axes), "On the front of")
    return (*words, "Accuracy", *(_TITLES[cost] for cost in costs))


def row(found: Fronts, index: int, axes: Sequence[str]) -> tuple[str, ...]:
    """A trial in words and numbers, as `head` names them."""
    one = found.trained[index]
    return (
        one.run,
        *(_shown(one.values[axis]) for axis in axes),
        ", ".join(found.names(index)) or "-",
        f"{one.accuracy:.2%}",
        *(_amount(one.costs[cost]) for cost in found.costs),
    )


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "does not fit"


def table(found: Fronts, indices: Sequence[int], axes: Sequence[str]) -> list[str]:
    """Lines of a Markdown table."""
    titles = head(axes, found.costs)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return lines + ["| " + " | ".join(row(found, index, axes)) + " |" for index in indices]


def picture(found: Fronts, *, title: str) -> bytes:
    """Accuracy against each cost, as PNG."""
    dots = [
        Dot(name=one.run.lstrip("0") or "0", group=_group(one.values), height=100.0 * one.accuracy)
        for one in found.trained
    ]
    drawn = [
        Panel(
            title=UNITS[cost],
            across=tuple(
                one.costs[cost] if 0 < one.costs[cost] < math.inf else None for one in found.trained
            ),
            front=found.of[cost],
        )
        for cost in found.costs
    ]
    return panels(dots, drawn, title=title, y="accuracy, quantized [%]")


def _group(values: Mapping[str, Value]) -> str:
    """What a trial is drawn as: its structure and its bits, where those are varied."""
    words = [str(values[name.value]) for name in (AxisName.STRUCTURE, AxisName.BITS) if name.value in values]
    return " at ".join(words) or "trials"
