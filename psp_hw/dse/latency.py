"""A lone frame in time: engines slowed down together, or those on their own that a frame does not wait for; and what is proven of its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, Problem, affordable, chosen
from psp_hw.dse.options import Options
from psp_hw.dse.space import Space, alone, fit, interval_of
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.plan import FoldPlan, NodePlan, extents
from psp_hw.folding.schedule import Schedule
from psp_hw.sim.cycles import Running
from psp_hw.sim.process import RESTART_CYCLES, Depths

# Intervals whose cheapest options engines may take by themselves, as multiples of the interval of all.
SLOWER = (1.25, 2.0, math.inf)

# The shallowest pipeline of an engine [cycles].
SHALLOWEST = 1


def together(space: Space, fastest: Choice, wanted: int, budget: CostArray) -> Choice:
    """The choice of the longest interval that is in time and fits with its FIFOs, as far as found.

    Bisection asks good choices whose FIFOs are as deep as every choice needs them; from where that ends, steps of growing length
    lead back to one that fits.
    """
    reached = interval_of(space, fastest)
    slower = [interval for interval in space.intervals if interval > reached]
    problem = space.within(budget)
    low, high = 0, len(slower)
    while low < high:
        middle = (low + high) // 2
        choice = affordable(problem, slower[middle], thorough=False).choice
        if choice is not None and alone(space, choice) <= wanted:
            low = middle + 1
        else:
            high = middle
    step = 1
    while low > 0:
        choice = fit(space, budget, slower[low - 1])
        if choice is not None and alone(space, choice) <= wanted:
            return choice
        low, step = low - step, 2 * step
    return fastest


def one_by_one(space: Space, found: Choice, wanted: int, budget: CostArray) -> Choice:
    """A choice, some of its engines slower and cheaper."""
    interval = interval_of(space, found)
    for factor in SLOWER:
        target = min(int(min(interval * factor, space.intervals[-1])), space.intervals[-1])
        other = affordable(space.within(budget), target, thorough=False).choice
        if other is not None:
            found = _mixed(space, found, other, wanted)
    return found


def _mixed(space: Space, found: Choice, other: Choice, wanted: int) -> Choice:
    """As many options of another choice as leave a frame in time, those first that save most for each cycle that they take longer."""
    prices = space.problem.prices
    gains: list[tuple[float, int]] = []
    for place, options in enumerate(space.problem.options):
        mine, its = found.picks[place], other.picks[place]
        saved = float((options.costs[mine] - options.costs[its]) @ prices)
        longer = int(options.intervals[its] - options.intervals[mine])
        if saved > 0.0:
            gains.append((-math.inf if longer <= 0 else -saved / longer, place))
    order = [place for _, place in sorted(gains)]
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if alone(space, _with(space, found, other, order[:middle])) <= wanted:
            low = middle
        else:
            high = middle - 1
    return _with(space, found, other, order[:low])


def _with(space: Space, found: Choice, other: Choice, places: Sequence[int]) -> Choice:
    some = set(places)
    picks = [
        its if place in some else mine
        for place, (mine, its) in enumerate(zip(found.picks, other.picks, strict=True))
    ]
    return chosen(replace(space.problem, beside=()), tuple(picks))


def least_cost(space: Space, wanted: int, budget: CostArray) -> float:
    """No choice within a budget whose lone frame takes so many cycles at most costs less, FIFOs as deep as every choice needs them."""
    return affordable(_limited(space, latest(space, wanted), budget), space.intervals[-1]).bound


def least_latency(space: Space, budget: CostArray, reached: int) -> int:
    """Cycles below which it is proven that no choice within a budget has a lone frame done; ``reached`` at most."""
    at_zero = latest(space, 0)
    low, high = 0, reached
    while low < high:
        middle = (low + high) // 2
        problem = _limited(space, {name: most + middle for name, most in at_zero.items()}, budget)
        empty = any(not len(options.intervals) for options in problem.options)
        if empty or affordable(problem, space.intervals[-1], thorough=False).ruled_out:
            low = middle + 1
        else:
            high = middle
    return high


def _limited(space: Space, most: Mapping[str, int], budget: CostArray) -> Problem:
    """The problem within a budget where some engines have a longest interval."""
    problem = space.within(budget)
    options = tuple(_within(one, most.get(one.name, space.intervals[-1])) for one in problem.options)
    return Problem(options, problem.fixed, budget, problem.capacity, problem.beside)


def _within(options: Options, interval: int) -> Options:
    count = options.within(interval)
    return Options(options.name, options.plans, options.intervals[:count], options.costs[:count])


def latest(space: Space, wanted: int) -> dict[str, int]:
    """The longest interval that each engine may have where a lone frame takes so many cycles at most, by name.

    Before its first step lies what the engines before it take at least: a pixel per cycle, pipelines of a cycle, FIFOs of any
    depth. After its last token lie the steps that those behind it have left when they have taken that. Engines whose last
    token no output waits for are not named.
    """
    nodes = {op.name: NodePlan(fold=extents(op, space.graph)) for op in space.graph.convolutions}
    flow = build(space.graph, FoldPlan(nodes=nodes))
    every = frozenset(channel.name for channel in flow.channels)
    run = Running(flow, Depths(pipelines={e.name: SHALLOWEST for e in flow.engines}, unbounded=every))
    run.advance(1)
    heads = run.begun()
    return {name: wanted + RESTART_CYCLES - heads[name] - tail for name, tail in _tails(flow).items()}


def _tails(flow: Dataflow) -> dict[str, int]:
    """Cycles from the end of an engine's frame to that of the design, at least, by name; of engines that it waits for."""
    schedules = {engine.name: engine.schedule() for engine in flow.engines}
    tails = {flow.engines[-1].name: 0}
    for engine in reversed(flow.engines[:-1]):
        if not bool(schedules[engine.name].writes[-1]):
            continue  # its frame ends after its last token
        behind = []
        for channel in flow.outputs(engine.name):
            left = _left(schedules[channel.target])
            if channel.target in tails and left is not None:
                behind.append(1 + left + SHALLOWEST + tails[channel.target])
        if behind:
            tails[engine.name] = max(behind)
    return tails


def _left(schedule: Schedule) -> int | None:
    """Steps of an engine after that which takes its last token; None where it has given its last by then."""
    last = int(np.flatnonzero(schedule.reads)[-1])
    return len(schedule.reads) - 1 - last if bool(schedule.writes[-1]) else None
