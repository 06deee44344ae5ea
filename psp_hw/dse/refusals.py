"""Goals that cannot be met: what binds, where, and the nearest rate, part or density that would do.

Nothing here is a rule of thumb: a part or density is named only where a search found a design on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from psp_hw.cost.calibration import real
from psp_hw.cost.kinds import op_kind
from psp_hw.cost.parts import PARTS, Part
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import Shortage, budget_words, lifted, limited, part_words, shortages, whole
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, affordable, closest, least_of
from psp_hw.dse.densities import densities_below
from psp_hw.dse.space import (
    Design,
    Space,
    array,
    fifo_memories,
    fifo_needs,
    finish,
    fit,
    quick_depths,
    settle,
)
from psp_hw.dse.thinner import fits, lower_density
from psp_hw.errors import DoesNotFitError
from psp_hw.spec.target import Fps, Latency
from psp_hw.units import TIME_ROUNDING

# Kinds of engines that are named as those that take most.
NAMED = 3

# Steps in which a budget for FIFOs is looked for, between none and what they take where nothing is scarce.
SHARES = 1 << 3

# Budgets that are tried, from what a design takes at least to what it takes where nothing is scarce.
BUDGETS = 4

# No clock is proposed that FPGAs do not reach [ns].
SHORTEST_NS = 1.5


def too_slow(space: Space, goal: Fps, interval: int) -> DoesNotFitError:
    """No fold is fast enough: an engine takes a pixel per cycle at best, and FIFOs may make it wait."""
    reached = space.clock.per_second(interval)
    period = math.floor(1000.0 * space.clock.period_ns * reached / goal.frames_per_second) / 1000.0
    faster = f", or for a clock period of {period:g} ns" if period >= SHORTEST_NS else ""
    proven = interval <= space.floor
    takes = (
        f"with the folds that are tried a frame takes at least {interval:,} cycles"
        if proven
        else f"the fastest that was found takes {interval:,} cycles"
    )
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second {'cannot be' if proven else 'were not'} reached at "
        f"{space.clock.period_ns:g} ns: {takes}, {reached:,.1f} frames per second",
        where="fps",
        hint=f"ask for at most {math.floor(reached)}{faster}",
    )


def too_late(
    space: Space, goal: Latency, cycles: int = 0, least: int = 0, *, proven: bool = False
) -> DoesNotFitError:
    """No design that fits was found in time.

    Args:
        cycles: latency of the best that was found; 0 where nothing fits.
        least: no choice that fits takes less.
        proven: whether it is proven that none is in time.
    """
    where, clock = _place(space), f"{space.clock.period_ns:g} ns"
    if not cycles:
        hint = _said(space, space.intervals[-1], "")
        return DoesNotFitError(
            f"a latency of {goal.microseconds:g} us cannot be reached on {where} at {clock}",
            where="latency-us",
            hint=hint,
        )
    found = math.ceil(space.clock.seconds(cycles) * 1e7 * (1.0 - TIME_ROUNDING)) / 10
    bound = math.floor(space.clock.seconds(least) * 1e7 * (1.0 + TIME_ROUNDING)) / 10
    what = "cannot be reached" if proven else "was not found"
    return DoesNotFitError(
        f"a latency of {goal.microseconds:g} us {what} on {where} at {clock}: the shortest that was found takes {found:g} us, with the "
        f"folds that are tried none takes less than {bound:g} us",
        where="latency-us",
        hint=f"allow {found:g} us, or use a larger {_what(space)} or a shorter clock period",
    )


def too_large(space: Space, goal: Fps, wanted: int, nearest: tuple[Choice, Design] | None) -> DoesNotFitError:
    """The frame rate needs more than the part has: what binds, and what the part can reach."""
    if nearest is None:
        can, slower = _least(space), ""
    else:
        reached = space.clock.per_second(nearest[1].interval)
        can, slower = f"the {_what(space)} reaches {reached:,.1f}", f"--fps {math.floor(10 * reached) / 10:g}"
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second do not fit {_place(space)}; {can}",
        where="fps",
        hint=_said(space, wanted, slower, at=f" at {goal.frames_per_second:g} frames per second"),
    )


def _what(space: Space) -> str:
    """What limits a design."""
    return "budget" if limited(real(space.part)[0]) else "part"


def _place(space: Space) -> str:
    """The part, and what a budget leaves of it."""
    part, _ = real(space.part)
    limits = limited(part)
    return f"{part.name} within a budget of {budget_words(part, limits)}" if limits else part.name


def _least(space: Space) -> str:
    """By how much the least design does not fit, in words."""
    choice = closest(space.problem, space.intervals[-1])
    worst = _shortages(choice.total + _fifos(space, choice, quick_depths(space, choice)), space)
    amounts = f": {' and '.join(str(shortage) for shortage in worst)}" if worst else ""
    return f"even the least design does not fit{amounts}"


def nothing_fits(space: Space, depths: Mapping[str, int] | None = None) -> str:
    """Where the least design has what binds, and what would do; how much is missing an estimate says.

    Args:
        depths: of its FIFOs [tokens], by channel, where they are known.
    """
    return _said(space, space.intervals[-1], "", depths, amounts=False)


def _said(
    space: Space,
    interval: int,
    slower: str,
    depths: Mapping[str, int] | None = None,
    *,
    amounts: bool = True,
    at: str = "",
) -> str:
    ways = [slower] if slower else []
    choice = closest(space.problem, interval)
    part, _ = real(space.part)
    if depths is None:
        depths = finish(space, choice).depths if limited(part) else quick_depths(space, choice)
    budget = _enough(space, interval, choice, depths)
    other = None if budget else larger_part(space, interval, depths)
    if budget:
        ways.append(f"--budget {budget}")
    if other is not None:
        ways.append(part_words(other, part, "is enough"))
    thinner = densities_below(space.graph)
    density = lower_density(space, interval, thinner)
    if density is not None:
        ways.append(f"a density of {density:.0%} in every layer")
    text = f"{_lacking(space, interval, depths, amounts=amounts, at=at)}; "
    text += f"what helps: {', or '.join(ways)}" if ways else "no part of this fabric is enough"
    if density is None and thinner:
        text += f"; no density down to {thinner[-1]:.0%} is enough"
    return text


def least_design(space: Space) -> Design:
    """Of the slowest designs the one that comes closest to fitting, its FIFOs in memories that take little of what is scarce."""
    choice = closest(space.problem, space.intervals[-1])
    design = finish(space, choice)
    memories = fifo_memories(space, choice, design.depths, _least_budget(space, choice, design.depths))
    if memories is None:
        return design
    total = choice.total + space.fifos.beyond(design.depths, memories)
    return replace(design, plan=replace(design.plan, fifo_memories=memories), total=total)


def _least_budget(space: Space, choice: Choice, depths: Mapping[str, int]) -> CostArray:
    """What is there [5], and of what a choice with its FIFOs takes more, little more than it cannot do without."""
    capacity = space.problem.capacity
    most = choice.total + fifo_needs(space, choice, capacity, depths)
    scarce = most > capacity
    found: CostArray = np.maximum(capacity, most)
    low, high = 0, SHARES
    while low < high:
        middle = (low + high) // 2
        budget = np.where(scarce, choice.total + (most - choice.total) * middle // SHARES, capacity)
        if fifo_memories(space, choice, depths, budget) is None:
            low = middle + 1
        else:
            found, high = budget, middle
    return found


def _fifos(space: Space, choice: Choice, depths: Mapping[str, int]) -> CostArray:
    """What the FIFOs of a choice take beyond the least depth [5], in memories that take little of what is scarce."""
    return fifo_needs(space, choice, _least_budget(space, choice, depths), depths)


def _enough(space: Space, interval: int, choice: Choice, depths: Mapping[str, int]) -> str:
    """A budget with which a search finds a design like a choice, where the part has as much; else empty."""
    part, calibration = real(space.part)
    if not limited(part):
        return ""
    least = choice.total + _fifos(space, choice, depths)
    most = np.maximum(least, choice.total + fifo_needs(space, choice, _room(whole(part), space), depths))
    for step in range(BUDGETS):
        total = least + (most - least) * step // (BUDGETS - 1)
        more = lifted(calibration.apply(Resources.from_amounts(total.tolist())), part)
        if more is None:
            break
        if _is_found(space, _room(more, space), interval):
            return budget_words(more, limited(part))
    return ""


def _is_found(space: Space, capacity: CostArray, interval: int) -> bool:
    """Whether a search finds a design, FIFOs sized, that meets an interval with so much of everything."""
    fresh = replace(
        space,
        problem=replace(space.problem, budget=capacity, capacity=capacity),
        depths={},
        problems={},
    )
    for choice in (affordable(fresh.within(capacity), interval).choice, fit(fresh, capacity, interval)):
        design = None if choice is None else settle(fresh, choice, capacity)
        if design is not None and (design.interval <= interval or interval == space.intervals[-1]):
            return True
    return False


def _room(part: Part, space: Space) -> CostArray:
    """What a part has, in amounts of the price list [5]."""
    _, calibration = real(space.part)
    return array(calibration.shrink(part).resources)


def _lacking(space: Space, interval: int, depths: Mapping[str, int], *, amounts: bool, at: str) -> str:
    """What binds in the design that comes closest, and what takes most of it."""
    choice = closest(space.problem, interval)
    fifos = _fifos(space, choice, depths)
    worst = _shortages(choice.total + fifos, space)
    if not worst:
        # FIFOs as a quick rule sizes them fit by a little; as they are sized in the end they do not.
        return "resources bind together"
    first = worst[0].resource
    missing = f": {' and '.join(str(shortage) for shortage in worst)}" if amounts else ""
    return f"{first.value} binds{at}{missing}; most of it in {_where(space, choice, fifos, first)}"


def _shortages(needed: CostArray, space: Space) -> tuple[Shortage, ...]:
    """What there is too little of, in amounts as the site's tools count them."""
    part, calibration = real(space.part)
    return shortages(calibration.apply(Resources.from_amounts(needed.tolist())), part.resources)


def _where(space: Space, choice: Choice, fifos: CostArray, resource: Resource) -> str:
    """The kinds of engines that take most of a resource, how much (calibrated), and the largest single engine."""
    _, calibration = real(space.part)

    def shown(amount: int) -> str:
        alone = Resources.from_amounts(amount if kind is resource else 0 for kind in Resource)
        return f"{calibration.apply(alone).of(resource):,}"

    at = list(Resource).index(resource)
    picked = zip(space.problem.options, choice.picks, strict=True)
    taken = {options.name: int(options.costs[pick][at]) for options, pick in picked}
    taken |= {name: int(cost[at]) for name, cost in space.others.items()}
    kinds: dict[str, list[int]] = {"FIFO": [int((space.fifos.least + fifos)[at])]}
    for engine in space.flow.engines:
        kinds.setdefault(op_kind(engine), []).append(taken[engine.name])
    largest = sorted(kinds.items(), key=lambda one: (-sum(one[1]), one[0]))[:NAMED]
    named = [
        f"{f'{len(amounts)} ' if len(amounts) > 1 else ''}{kind} ({shown(sum(amounts))})"
        for kind, amounts in largest
        if sum(amounts)
    ]
    top = max(taken, key=lambda name: taken[name])
    single = f"; the largest engine is {top} ({shown(taken[top])})" if taken[top] else ""
    return f"{', '.join(named)}{single}"


def larger_part(space: Space, interval: int, depths: Mapping[str, int]) -> Part | None:
    """The part with the fewest LUTs on which a design meets an interval; of the same family where one does.

    Prices are kept per fabric, so what was found for one part of it holds for all.

    Args:
        depths: of FIFOs [tokens], by channel.
    """
    ways = space.fifos.ways(depths)
    least = least_of(replace(space.problem, beside=ways), interval)
    part, _ = real(space.part)
    own = whole(part)
    others = [p for p in PARTS if p.fabric is part.fabric and not p.resources.fits(own.resources)]
    others.sort(key=lambda one: (one.family is not part.family, one.resources.lut))
    others = [own, *others] if limited(part) else others
    for other in others:
        capacity = _room(other, space)
        if (least <= capacity).all() and fits(space, interval, capacity, ways):
            return other
    return None
