"""Designs for the latency of a lone frame: time is one more resource that engines take of a budget.

A frame takes about what its slowest engine takes, and a share of what each other engine takes: the part of its work that is left when its
last input has come, or that those behind it wait for. The sum of these shares is a resource like any other, so the relaxation that
chooses folds within a part (``psp_hw.dse.relax``) finds the choice of least time within the part, and the cheapest within so
much time. How long a frame really takes says a simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from psp_hw.dse.arrays import CostArray
from psp_hw.dse.choose import Choice, Problem, affordable, chosen
from psp_hw.dse.latency import one_by_one, together
from psp_hw.dse.relax import Choosing, Relaxing
from psp_hw.dse.repair import into_budget
from psp_hw.dse.space import (
    SMALL,
    TRIES,
    Design,
    Space,
    alone,
    fifo_needs,
    folded,
    interval_of,
    quick_depths,
    settle,
)
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import Engine
from psp_hw.sim.cycles import simulate

# Share of an engine's interval that counts at least: pipelines are longer where engines are slower.
LEAST_SHARE = 0.003

# What the cost of a choice counts where time is made short, so that nothing is taken in vain.
COST_SHARE = 1e-3

# Longest intervals that are tried for the least latency, as multiples of the shortest that fits.
LONGER = (1.0, 1.01, 1.03, 1.06, 1.1, 1.2, 1.4, 1.7)
FEW_LONGER = (1.0, 1.05, 1.4)  # in large graphs

# Longest intervals that are tried for the least cost, in even steps of their logarithm; fewer in large graphs. Choices of each.
INTERVALS = 8
FEW_INTERVALS = 4
STEPS = 4

# Times that less time is asked for because FIFOs made a frame late.
ROUNDS = 3

# Ratio of the other interval with which an engine's share is measured.
OTHER = (0.5, 1.5)

# Designs whose FIFOs are sized before a set of choices is given up.
SETTLED = 6

Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A design whose FIFOs are sized, and the latency of its lone frame with them [cycles]."""

    choice: Choice
    design: Design
    latency: int


def timed(space: Space, choice: Choice, budget: CostArray) -> Timed | None:
    """A choice with its FIFOs sized and a frame let through them; None where they do not fit."""
    design = settle(space, choice, budget)
    if design is None:
        return None
    flow = build(space.graph, design.plan)
    latency = simulate(flow, depths=folded(space, choice).depths, max_frames=1).latency
    return Timed(choice, design, latency)


def quickest(space: Space, budget: CostArray, fastest: Timed) -> Timed:
    """The design of least latency that is found within a budget.

    Args:
        fastest: the design of the shortest interval.
    """
    best, shortest = fastest, interval_of(space, fastest.choice)
    if len(space.flow.channels) > SMALL:
        first = next(_looked_at(space, fastest.choice))
        return _soonest(space, budget, best, shortest, first, FEW_LONGER)
    for shares in _looked_at(space, fastest.choice):
        best = _soonest(space, budget, best, shortest, shares, LONGER)
    return _soonest(space, budget, best, shortest, _measured(space, best.choice), LONGER)


def _soonest(
    space: Space, budget: CostArray, best: Timed, shortest: int, shares: Shares, factors: Sequence[float]
) -> Timed:
    """The design of least latency among one for each longest interval, and one that is known."""
    choices = {best.choice.picks: best.choice}
    for factor in factors:
        choice = _fitting(space, budget, int(shortest * factor), shares)
        if choice is not None:
            choices[choice.picks] = choice
    takes = {picks: alone(space, choice) for picks, choice in choices.items()}
    for picks in sorted(choices, key=lambda picks: takes[picks])[:SETTLED]:
        if takes[picks] >= best.latency:
            break
        found = timed(space, choices[picks], budget)
        if found is not None and found.latency < best.latency:
            best = found
    return best


def _fitting(space: Space, budget: CostArray, interval: int, shares: Shares) -> Choice | None:
    """The choice of least time within an interval and a budget that its FIFOs fit, as far as a few tries find one."""
    problem = space.within(budget)
    for _ in range(TRIES):
        choice = _shortest(space, problem, interval, shares)
        if choice is None or _fits(space, choice, budget):
            return choice
        problem = space.within(budget, quick_depths(space, choice))
    return None


def _fits(space: Space, choice: Choice, budget: CostArray) -> bool:
    return bool((choice.total + fifo_needs(space, choice, budget) <= budget).all())


def in_time(space: Space, wanted: int, budget: CostArray, known: Timed) -> Timed:
    """A cheap design whose lone frame takes so many cycles at most, its FIFOs sized.

    Tried are one interval for all engines, as long as will do, and for several intervals the cheapest choices within so much time. FIFOs
    may make a frame later than it was where none is full: then less time is asked for. At last engines that save most for what they are
    slower take longer, one by one.

    Args:
        known: a design that is in time.
    """
    aims, best = wanted, known
    for _ in range(ROUNDS):
        choices = [
            together(space, known.choice, aims, budget),
            *_in_several_intervals(space, known, aims, budget),
        ]
        best, late = _cheapest_of(space, wanted, budget, best, choices)
        aims -= late
        if not late:
            break
    slower = [one_by_one(space, best.choice, aim, budget) for aim in dict.fromkeys((wanted, aims))]
    return _cheapest_of(space, wanted, budget, best, slower)[0]


def _in_several_intervals(space: Space, known: Timed, wanted: int, budget: CostArray) -> list[Choice]:
    """For intervals in even steps of their logarithm, the cheapest choices in time by several shares."""
    small = len(space.flow.channels) <= SMALL
    shortest = interval_of(space, known.choice)
    longest = max(shortest, min(wanted, space.intervals[-1]))
    ways = list(_looked_at(space, known.choice))
    ways = [*ways, _measured(space, known.choice)] if small else ways[:1]
    count = INTERVALS if small else FEW_INTERVALS
    choices = {}
    for interval in dict.fromkeys(np.geomspace(shortest, longest, count).astype(int).tolist()):
        for shares in ways:
            choice = _cheap(space, wanted, budget, interval, shares)
            if choice is not None:
                choices[choice.picks] = choice
    return list(choices.values())


def _cheapest_of(
    space: Space, wanted: int, budget: CostArray, best: Timed, choices: Sequence[Choice]
) -> tuple[Timed, int]:
    """The cheapest in time of some choices and a design that is; and by how much the last cheaper one was late [cycles], 0 where none was.

    Choices that cost more before their FIFOs are sized are not looked at.
    """
    prices = space.problem.prices
    costs = {one.picks: float((one.total + fifo_needs(space, one, budget)) @ prices) for one in choices}
    least, late = float(best.design.total @ prices), 0
    ordered = sorted({one.picks: one for one in choices}.values(), key=lambda one: costs[one.picks])
    for choice in ordered[:SETTLED]:
        if costs[choice.picks] >= least:
            break
        found = timed(space, choice, budget)
        if found is None or found.design.total @ prices >= least:
            continue
        if found.latency <= wanted:
            best, least = found, float(found.design.total @ prices)
        else:
            late = max(late, found.latency - wanted)
    return best, late


def _cheap(space: Space, wanted: int, budget: CostArray, interval: int, shares: Shares) -> Choice | None:
    """The cheapest choice within an interval that is found in time and fits with its FIFOs."""
    problem = space.within(budget)
    for _ in range(TRIES):
        choice = _cheapest(space, problem, wanted, interval, shares)
        if choice is None or _fits(space, choice, budget):
            return choice
        problem = space.within(budget, quick_depths(space, choice))
    return None


def _cheapest(space: Space, problem: Problem, wanted: int, interval: int, shares: Shares) -> Choice | None:
    """The cheapest choice in time: between that of least cost, which takes too long, and that of least time, by false position."""
    long = affordable(problem, interval, thorough=False).choice
    if long is None:
        return None
    if alone(space, long) <= wanted:
        return long
    found = _shortest(space, problem, interval, shares)
    if found is None or alone(space, found) > wanted:
        return None
    low, high = (
        (_time(problem, found, shares), alone(space, found)),
        (_time(problem, long, shares), alone(space, long)),
    )
    for _ in range(STEPS):
        if high[0] <= low[0] + 1 or high[1] <= low[1]:
            break
        share = (wanted - low[1]) / (high[1] - low[1])
        middle = low[0] + max(1, min(int(share * (high[0] - low[0])), high[0] - low[0] - 1))
        choice = _within_time(problem, interval, shares, middle)
        if choice is None:
            break
        took = alone(space, choice)
        if took <= wanted:
            found, low = choice, (middle, took)
        else:
            high = (middle, took)
    return found


def _time(problem: Problem, choice: Choice, shares: Shares) -> int:
    """The time that a choice takes by some shares [cycles]."""
    picked = zip(problem.options, choice.picks, strict=True)
    return sum(round(_share(shares, one.name) * int(one.intervals[pick])) for one, pick in picked)


def _share(shares: Shares, name: str) -> float:
    return shares.get(name, 0.0) + LEAST_SHARE


def _lists(problem: Problem, interval: int, shares: Shares) -> list[CostArray]:
    """What the options within an interval take, and the time of each [options, 6]; then what is chosen beside them."""
    lists = []
    for options in problem.options:
        count = options.within(interval)
        time = np.rint(_share(shares, options.name) * options.intervals[:count]).astype(np.int64)
        lists.append(np.concatenate([options.costs[:count], time[:, None]], axis=1))
    return [*lists, *(np.pad(ways, ((0, 0), (0, 1))) for ways in problem.beside)]


def _shortest(space: Space, problem: Problem, interval: int, shares: Shares) -> Choice | None:
    """The choice of least time within an interval and the budget."""
    lists = _lists(problem, interval, shares)
    if not all(len(one) for one in lists):
        return None
    most = max(1, sum(int(one[:, -1].max()) for one in lists))
    prices = np.append(COST_SHARE * space.problem.prices, 1.0 / interval)
    return _chosen(
        problem, Choosing(lists, np.append(problem.fixed, 0), np.append(problem.budget, most), prices)
    )


def _within_time(problem: Problem, interval: int, shares: Shares, time: int) -> Choice | None:
    """The choice of least cost within an interval, the budget and so much time."""
    lists = _lists(problem, interval, shares)
    prices = np.append(problem.prices, 0.0)
    return _chosen(
        problem, Choosing(lists, np.append(problem.fixed, 0), np.append(problem.budget, time), prices)
    )


def _chosen(problem: Problem, choosing: Choosing) -> Choice | None:
    """A good choice within a budget; None where none is found."""
    relaxed = Relaxing(choosing).run()
    if math.isinf(relaxed.bound):
        return None
    walk = into_budget(choosing, relaxed)
    if walk is None:
        return None
    walk.cheaper()
    return chosen(problem, walk.picks)


def _looked_at(space: Space, choice: Choice) -> Iterator[Shares]:
    """Shares as the schedules say: what is left after the last input, and that or what those behind wait for, whichever is more."""
    flow = folded(space, choice).flow
    left = {engine.name: _left(engine) for engine in flow.engines}
    first = {engine.name: _awaited(engine) for engine in flow.engines}
    yield left
    yield {
        name: max([share, *(first[channel.target] for channel in flow.outputs(name))])
        for name, share in left.items()
    }


def _left(engine: Engine) -> float:
    """The share of an engine's cycles from its last input on."""
    schedule = engine.schedule()
    last = int(np.flatnonzero(schedule.reads)[-1])
    return float(schedule.cycles[last:].sum() / schedule.iterations)


def _awaited(engine: Engine) -> float:
    """The share of its input that an engine has before its first output."""
    schedule = engine.schedule()
    first = int(np.flatnonzero(schedule.writes)[0])
    return float(schedule.reads[: first + 1].sum() / schedule.reads.sum())


def _measured(space: Space, choice: Choice) -> Shares:
    """Shares as simulations say: how much later the frame is for every cycle that an engine is slower."""
    bare = replace(space.problem, beside=())
    took = alone(space, choice)
    shares = {}
    for place, options in enumerate(space.problem.options):
        own = int(options.intervals[choice.picks[place]])
        found = [0.0]
        for ratio in OTHER:
            other = min(options.within(int(own * ratio)), len(options.intervals) - 1)
            longer = int(options.intervals[other]) - own
            if longer:
                picks = (*choice.picks[:place], other, *choice.picks[place + 1 :])
                found.append((alone(space, chosen(bare, picks)) - took) / longer)
        shares[options.name] = max(found)
    return shares
