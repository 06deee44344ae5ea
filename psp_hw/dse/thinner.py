"""The network with fewer kernel positions: the first share of them with which a design fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from psp_hw.dse.arrays import CostArray
from psp_hw.dse.branches import least_depths
from psp_hw.dse.choose import Problem, closest, possible, ruled_out
from psp_hw.dse.densities import at_density, taps_at, with_kernels
from psp_hw.dse.fifos import COMMON_DEPTHS
from psp_hw.dse.options import Options
from psp_hw.dse.pareto import NEVER
from psp_hw.dse.space import Space, quick_depths, search_space
from psp_hw.ir.ops import Conv2d

# Taps that a convolution costs as much as beside its own.
TAPS_BESIDE = 2


def lower_density(space: Space, interval: int, densities: Sequence[float]) -> float | None:
    """The first of some shares of kernel positions, descending, with which a design fits; None where none does."""
    some = [density for density in densities if not _surely_too_dense(space, interval, density)]
    if not some:
        return None
    spaces: dict[float, Space] = {}
    low, high = 0, len(some)  # none before ``low`` is enough, ``high`` is where there is one
    at = _likely(space, interval, some)
    while low < high:
        if _is_enough(_thinner(space, interval, some[at], spaces), space, interval):
            high, at = at, at - 1
        else:
            low = at = at + 1
    for density in some[high:]:
        if _is_enough(_thinner(space, interval, density, spaces), space, interval, simulated=True):
            return density
    return None


def _as_if(space: Space, interval: int, share: Callable[[Conv2d], float]) -> Problem:
    """What is chosen in a part as if convolutions with a kernel took a share of what they take; FIFOs of the common depth."""
    kernels = {op.name: op for op in with_kernels(space.graph)}
    shown = space.problem.shelf.at(interval)
    options = []
    for one, costs in zip(space.problem.options, shown.lists, strict=True):
        op = kernels.get(one.name)
        taken = costs if op is None else np.floor(costs * share(op)).astype(np.int64)
        ever = np.full(len(taken), NEVER)  # those that others beat do no harm
        options.append(Options(one.name, one.plans, np.full(len(taken), interval), taken, ever))
    ways = space.fifos.ways({channel.name: COMMON_DEPTHS[0] for channel in space.flow.channels})
    capacity = space.problem.capacity
    return Problem(tuple(options), space.problem.fixed, capacity, capacity, ways)


def _surely_too_dense(space: Space, interval: int, density: float) -> bool:
    """Whether a part is too small even if convolutions with a kernel took as much less as they have fewer taps.

    They hardly ever do: some of what they take is there whatever the taps, and larger multiplexers take less per input.
    """
    if any(op.requantize is None for op in with_kernels(space.graph)):
        return False  # then what follows may change too
    return ruled_out(_as_if(space, interval, lambda op: taps_at(op, density) / len(op.taps)), interval)


def _likely_share(density: float, op: Conv2d) -> float:
    return (taps_at(op, density) + TAPS_BESIDE) / (len(op.taps) + TAPS_BESIDE)


def _likely(space: Space, interval: int, densities: Sequence[float]) -> int:
    """Where the density is that may well be the first to fit: convolutions take in proportion to their taps and a few more."""
    for at, density in enumerate(densities[:-1]):
        if possible(_as_if(space, interval, partial(_likely_share, density)), interval):
            return at
    return len(densities) - 1


def _thinner(space: Space, interval: int, density: float, spaces: dict[float, Space]) -> Space:
    """The space of the network with a share of its kernel positions, for one interval."""
    if density not in spaces:
        spaces[density] = search_space(
            at_density(space.graph, density),
            space.part,
            space.clock,
            {},
            space.bindable,
            like=space,
            interval=interval,
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
    return fits(thinner, within, space.problem.capacity, thinner.fifos.ways(depths))


def fits(space: Space, interval: int, capacity: CostArray, ways: tuple[CostArray, ...]) -> bool:
    """Whether a design meets an interval with so much of everything, FIFOs in one of some ways included."""
    return possible(replace(space.problem, budget=capacity, capacity=capacity, beside=ways), interval)
