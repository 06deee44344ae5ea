"""What could be built: the front of interval against resources, for a network as it is and at other tap counts.

Every point is the cheapest design for its interval, within a comfortable share of the part where there is one and within the part
else; none is beaten in both. Points are a sample: intervals in even steps of their logarithm between the fastest design that fits
and the least one, and the fastest that is comfortable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from psp_hw.cost.parts import Part
from psp_hw.cost.resources import Resource, Resources
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, affordable, cost_of
from psp_hw.dse.densities import at_density, distinct_densities, kept_at
from psp_hw.dse.fastest import fastest_fit
from psp_hw.dse.refusals import nothing_fits
from psp_hw.dse.search import NO_FOLDS, budgets, cheapest_design, fastest_design
from psp_hw.dse.space import Design, Space, fifo_needs, fit, interval_of, search_space, with_least_fifos
from psp_hw.dse.tables import folds_tried
from psp_hw.errors import DoesNotFitError, SpecError
from psp_hw.folding.bindable import ANYTHING, Bindable
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.spec.target import COMFORTABLE_SHARE
from psp_hw.units import Clock

# Intervals that are tried for a front; fewer points remain where two of them have the same cheapest design.
POINTS = 16
DENSITY_POINTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A design on the front.

    Args:
        interval: cycles between two frames.
        resources: what it takes after RTL synthesis.
        cost: the sum of the shares of the part that it takes, by which designs are compared.
        binds: the resource of which it takes the largest share, and that share.
        plan: how to build it; None where only its cost was asked for.
        left: the most that other folds as fast could save of its cost within a comfortable share of the part, or within the part where
            it takes more, FIFOs as deep as every choice needs them; 0 where it is proven that they save nothing; None where nobody asked.
    """

    interval: int
    resources: Resources
    cost: float
    binds: tuple[Resource, float]
    plan: FoldPlan | None
    left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Points by ascending interval; those that are comfortable, and those that are not, by descending cost.

    Args:
        name: ``as it is``, or the share of kernel positions kept.
        knee: index of the point from which both directions get worse soonest.
        tried: which folds are tried where not all are, in words; empty where all are.
    """

    name: str
    points: tuple[Point, ...]
    knee: int
    tried: str = ""


def explore(graph: Graph, part: Part, clock: Clock, *, bindable: Bindable = ANYTHING) -> Front:
    """The front of a network as it is; each point with the plan that builds it.

    Raises:
        DoesNotFitError: not even the least design fits.
    """
    space = search_space(graph, part, clock, NO_FOLDS, bindable)
    found = [
        _point(space, choice, design.total, design.interval, design.plan)
        for choice, design in _designs(space, POINTS)
    ]
    return replace(_front("as it is", found), tried=folds_tried(graph))


def explore_densities(
    graph: Graph, part: Part, clock: Clock, *, bindable: Bindable = ANYTHING
) -> tuple[Front, ...]:
    """The fronts of a network with other shares of its kernel positions; those where nothing fits, or nothing changes, are left out."""
    fronts = []
    for density in distinct_densities(graph):
        thinner = at_density(graph, density)
        space = search_space(thinner, part, clock, NO_FOLDS, bindable)
        try:
            found = [_priced(space, choice) for choice in _choices(space, DENSITY_POINTS)]
        except DoesNotFitError:
            continue
        kept = kept_at(graph, density)
        fronts.append(_front("dense" if kept == 1.0 else f"{kept:.0%} of the taps", found))
    return tuple(fronts)


def point_plan(
    graph: Graph,
    part: Part,
    clock: Clock,
    number: int,
    *,
    bindable: Bindable = ANYTHING,
) -> FoldPlan:
    """The plan of a point of ``explore``, counted from 1.

    Raises:
        SpecError: there is no such point.
        DoesNotFitError: not even the least design fits.
    """
    points = explore(graph, part, clock, bindable=bindable).points
    if not 1 <= number <= len(points):
        raise SpecError(f"there is no point {number}", where="--point", hint=f"there are 1 to {len(points)}")
    plan = points[number - 1].plan
    assert plan is not None
    return plan


def _targets(space: Space, first: int, count: int) -> list[int]:
    """Intervals in even steps of their logarithm from the fastest design on, and the fastest that is comfortable."""
    last = max(first, space.intervals[-1])
    targets = {max(first, round(float(target))) for target in np.geomspace(first, last, count)[1:]}
    easy = fastest_fit(space, budgets(space)[0])
    if easy is not None:
        targets.add(interval_of(space, easy))
    return sorted(targets)


def _designs(space: Space, count: int) -> list[tuple[Choice, Design]]:
    """The fastest design, then the cheapest of each target: within a comfortable share of the part where there is one.

    Raises:
        DoesNotFitError: not even the least design fits.
    """
    fastest = fastest_design(space, space.problem.capacity)
    if fastest is None:
        raise _nothing(space)
    found = [fastest]
    for target in _targets(space, interval_of(space, fastest[0]), count):
        designs = (cheapest_design(space, budget, target) for budget in budgets(space))
        best = next((one for one in designs if one is not None), None)
        if best is not None and best[0].picks != found[-1][0].picks:
            found.append(best)
    return found


def _choices(space: Space, count: int) -> list[Choice]:
    """As ``_designs``, with FIFOs as a quick rule sizes them.

    Raises:
        DoesNotFitError: not even the least design fits.
    """
    fastest = fastest_fit(space, space.problem.capacity)
    if fastest is None:
        raise _nothing(space)
    found = [fastest]
    for target in _targets(space, interval_of(space, fastest), count):
        choices = (fit(space, budget, target) for budget in budgets(space))
        best = next((one for one in choices if one is not None), None)
        if best is not None and best.picks != found[-1].picks:
            found.append(best)
    return found


def _nothing(space: Space) -> DoesNotFitError:
    return DoesNotFitError(
        f"even the least design does not fit {space.part.name}", where="explore", hint=nothing_fits(space)
    )


def _priced(space: Space, choice: Choice) -> Point:
    """A point at the interval of its slowest engine, FIFOs as a quick rule sizes them."""
    total = choice.total + fifo_needs(space, choice, space.problem.capacity)
    return _point(space, choice, total, interval_of(space, choice), None)


def _point(space: Space, choice: Choice, total: CostArray, interval: int, plan: FoldPlan | None) -> Point:
    resources = Resources.from_amounts(total.tolist())
    shares = resources.utilization(space.part.resources)
    binding = max(shares, key=lambda resource: shares[resource])
    return Point(
        interval=interval,
        resources=resources,
        cost=sum(shares.values()),
        binds=(binding, shares[binding]),
        plan=plan,
        left=_left(space, choice, total) if plan is not None else None,
    )


def _left(space: Space, choice: Choice, total: CostArray) -> float:
    """What is left to save of the cost of a choice, at most, by a bound: that of any other as fast within a comfortable share of the
    part, or within the part where the design takes more than that share."""
    easy, whole = budgets(space)
    budget = easy if (total <= easy).all() else whole
    bound = affordable(space.within(budget), interval_of(space, choice)).bound
    return max(0.0, 1.0 - bound / cost_of(space.problem, with_least_fifos(space, choice, budget)))


def _front(name: str, points: Sequence[Point]) -> Front:
    """Points that no other beats in interval and cost; a comfortable one is beaten by comfortable ones alone."""
    kept: list[Point] = []
    least = easy = math.inf
    for point in sorted(points, key=lambda one: (one.interval, one.cost)):
        comfortable = point.binds[1] <= COMFORTABLE_SHARE
        if point.cost < (easy if comfortable else least):
            kept.append(point)
            least = min(least, point.cost)
            easy = point.cost if comfortable else easy
    return Front(name=name, points=tuple(kept), knee=_knee(kept))


def _knee(points: Sequence[Point]) -> int:
    """The point farthest below the line between the two ends, both axes logarithmic and of length one."""
    across = [math.log(point.interval) for point in points]
    up = [math.log(point.cost) for point in points]
    width, height = across[-1] - across[0], up[0] - up[-1]
    if len(points) < 3 or not width or not height:
        return 0
    below = [1.0 - (x - across[0]) / width - (y - up[-1]) / height for x, y in zip(across, up, strict=True)]
    return max(range(len(points)), key=lambda index: below[index])
