"""Goals that cannot be met: what binds, where, and the nearest rate, part or density that would do.

Nothing here is a rule of thumb: a part or density is named only where a search found a design on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from psp_hw.cost.kinds import op_kind
from psp_hw.cost.parts import PARTS, Part
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import Shortage, shortages
from psp_hw.dse.branches import least_depths
from psp_hw.dse.choose import Choice, closest, possible
from psp_hw.dse.densities import at_density, densities_below
from psp_hw.dse.fifos import COMMON_DEPTHS
from psp_hw.dse.options import CostArray
from psp_hw.dse.space import Design, Space, array, fifo_needs, quick_depths, search_space
from psp_hw.errors import DoesNotFitError
from psp_hw.spec.target import Fps, Latency

# Kinds of engines that are named as those that take most.
NAMED = 3

# No clock is proposed that FPGAs do not reach [ns].
SHORTEST_NS = 1.5


def too_slow(space: Space, goal: Fps, interval: int) -> DoesNotFitError:
    """No fold is fast enough: an engine takes a pixel per cycle at best."""
    reached = space.clock.per_second(interval)
    period = math.floor(1000.0 * space.clock.period_ns * reached / goal.frames_per_second) / 1000.0
    faster = f", or for a clock period of {period:g} ns" if period >= SHORTEST_NS else ""
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second cannot be reached at {space.clock.period_ns:g} ns: a frame takes at least "
        f"{interval} cycles, {reached:.1f} frames per second",
        where="fps",
        hint=f"ask for at most {math.floor(reached)}{faster}",
    )


def too_late(space: Space, goal: Latency, found: Choice | None, cycles: int) -> DoesNotFitError:
    """No design that fits is done in time; what the fastest takes."""
    if found is None:
        hint = _said(space, space.intervals[-1], "")
    else:
        least = math.ceil(space.clock.seconds(cycles) * 1e7) / 10
        hint = f"the fastest that fits takes {least:g} us: allow as much, or use a larger part or a shorter clock period"
    return DoesNotFitError(
        f"a latency of {goal.microseconds:g} us cannot be reached on {space.part.name} at {space.clock.period_ns:g} ns",
        where="latency-us",
        hint=hint,
    )


def too_large(space: Space, goal: Fps, wanted: int, nearest: tuple[Choice, Design] | None) -> DoesNotFitError:
    """The frame rate needs more than the part has: what binds, and what the part can reach."""
    can, slower = "even the least design does not fit", ""
    if nearest is not None:
        reached = space.clock.per_second(nearest[1].interval)
        can, slower = f"the part reaches {reached:.1f}", f"--fps {math.floor(10 * reached) / 10:g}"
    return DoesNotFitError(
        f"{goal.frames_per_second:g} frames per second do not fit {space.part.name}; {can}",
        where="fps",
        hint=_said(space, wanted, slower),
    )


def nothing_fits(space: Space) -> str:
    """Where the least design has what binds, and what would do; how much is missing an estimate says."""
    return _said(space, space.intervals[-1], "", amounts=False)


def _said(space: Space, interval: int, slower: str, *, amounts: bool = True) -> str:
    ways = [slower] if slower else []
    part = larger_part(space, interval)
    if part is not None:
        ways.append(f"a larger part ({part.device} is enough)")
    thinner = densities_below(space.graph)
    density = lower_density(space, interval, thinner)
    if density is not None:
        ways.append(f"a density of {density:.0%} in every layer")
    text = f"{_lacking(space, interval, amounts=amounts)}; "
    text += f"what helps: {', or '.join(ways)}" if ways else "no part of this fabric is enough"
    if density is None and thinner:
        text += f"; no density down to {thinner[-1]:.0%} is enough"
    return text


def _lacking(space: Space, interval: int, *, amounts: bool) -> str:
    """What binds in the design that comes closest, and what takes most of it."""
    choice = closest(space.problem, interval)
    needed = choice.total + fifo_needs(space, choice, space.problem.budget)
    worst = _shortages(needed, space.part)
    if (
        not worst
    ):  # FIFOs as a quick rule sizes them fit by a little, as they are sized in the end they do not
        return "resources bind together"
    first = worst[0].resource
    missing = f": {' and '.join(str(shortage) for shortage in worst)}" if amounts else ""
    return f"{first.value} binds{missing}; most of it in {_where(space, choice, first)}"


def _shortages(needed: CostArray, part: Part) -> tuple[Shortage, ...]:
    dsp, lut, ff, bram18, uram = (int(amount) for amount in needed)
    return shortages(Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram), part.resources)


def _where(space: Space, choice: Choice, resource: Resource) -> str:
    """The kinds of engines that take most of a resource, how much, and the largest single engine."""
    at = list(Resource).index(resource)
    picked = zip(space.problem.options, choice.picks, strict=True)
    taken = {options.name: int(options.costs[pick][at]) for options, pick in picked}
    taken |= {name: int(cost[at]) for name, cost in space.others.items()}
    kinds: dict[str, list[int]] = {"FIFO": [_fifos(space, choice, at)]}
    for engine in space.flow.engines:
        kinds.setdefault(op_kind(engine), []).append(taken[engine.name])
    largest = sorted(kinds.items(), key=lambda one: (-sum(one[1]), one[0]))[:NAMED]
    named = [
        f"{f'{len(amounts)} ' if len(amounts) > 1 else ''}{kind} ({sum(amounts):,})"
        for kind, amounts in largest
        if sum(amounts)
    ]
    top = max(taken, key=lambda name: taken[name])
    single = f"; the largest engine is {top} ({taken[top]:,})" if taken[top] else ""
    return f"{', '.join(named)}{single}"


def _fifos(space: Space, choice: Choice, at: int) -> int:
    """What all FIFOs take of a resource."""
    return int((space.fifos.least + fifo_needs(space, choice, space.problem.budget))[at])


def larger_part(space: Space, interval: int) -> Part | None:
    """The part with the fewest LUTs on which a design meets an interval; of the same family where one does.

    Prices are kept per fabric, so what was found for one part of it holds for all.
    """
    depths = quick_depths(space, closest(space.problem, interval))
    others = [p for p in PARTS if p.fabric is space.part.fabric and p.device != space.part.device]
    others.sort(key=lambda part: (part.family is not space.part.family, part.resources.lut))
    return next((part for part in others if _fits(space, interval, array(part.resources), depths)), None)


def lower_density(space: Space, interval: int, densities: Sequence[float]) -> float | None:
    """The first of some shares of kernel positions, descending, with which a design fits; None where none does."""
    spaces: dict[float, Space] = {}
    low, high = 0, len(densities)  # none before ``low`` is enough, ``high`` is where there is one
    middle = high - 1  # the last first: mostly it is not enough either
    while low < high:
        if _is_enough(_thinner(space, densities[middle], spaces), space, interval):
            high = middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    for density in densities[high:]:
        if _is_enough(_thinner(space, density, spaces), space, interval, simulated=True):
            return density
    return None


def _thinner(space: Space, density: float, spaces: dict[float, Space]) -> Space:
    """The space of the network with a share of its kernel positions."""
    if density not in spaces:
        spaces[density] = search_space(
            at_density(space.graph, density),
            space.part,
            space.clock,
            {},
            space.multipliers,
            maps=space.maps,
            like=space,
        )
    return spaces[density]


def _is_enough(thinner: Space, space: Space, interval: int, *, simulated: bool = False) -> bool:
    """Whether a design of a thinner network fits.

    Args:
        simulated: with FIFOs as a choice needs them; else as deep as every choice needs them.
    """
    within = min(interval, thinner.intervals[-1])
    if within < thinner.floor:
        return False
    if simulated:
        depths = quick_depths(thinner, closest(thinner.problem, within))
    else:
        least = least_depths(thinner.regions)
        depths = {
            channel.name: max(COMMON_DEPTHS[0], least.get(channel.name, 0))
            for channel in thinner.flow.channels
        }
    return _fits(thinner, within, space.problem.capacity, depths)


def _fits(space: Space, interval: int, capacity: CostArray, depths: Mapping[str, int]) -> bool:
    """Whether a design meets an interval with so much of everything, FIFOs of some depths included."""
    beside = space.fifos.ways(depths)
    return possible(replace(space.problem, budget=capacity, capacity=capacity, beside=beside), interval)
