"""FIFO depths from the dataflow in time: branches that wait for each other, and bursts that a neighbour cannot take at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from psp_hw.folding.dataflow import Dataflow
from psp_hw.folding.engine import AddEngine, ConcatEngine, ForkEngine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH
from psp_hw.sim.cycles import DeadlockError, Timeline, arrivals, simulate
from psp_hw.sim.process import CycleArray

# Depths tried for the FIFOs that no join makes deep: what two and one shift register per LUT hold. A FIFO that never holds
# as much is made shallower afterwards.
COMMON_DEPTHS = (16, 32)

# An interval this little above the best possible is not worth deeper FIFOs, nor is a gain that is smaller.
SLACK = 0.005
GAIN = 0.01

# Frames per simulation while depths are compared: FIFOs of the depths above have mostly filled by then.
FRAMES = 4
BOUNDED_FRAMES = 8


# The shallowest pipeline of a process: it reads in one cycle and writes in the next.
SHALLOWEST = 1


def deepest(depth: int) -> int:
    """The deepest pipeline that HLS may make of one that was estimated ``depth`` cycles deep.

    A pipeline stalls as a whole, so a branch that is deeper than was thought keeps more tokens to itself, and a skip FIFO sized
    without them would stop the hardware for ever. FIFOs are sized for branches of twice the depth and four cycles more.
    """
    return 2 * depth + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoPlan:
    """Depths by channel [tokens], and the dataflow in time with them.

    Args:
        common: what channels that no join makes deep began with [tokens]; 0 where each was found by itself.
    """

    depths: Mapping[str, int]
    timeline: Timeline
    common: int = 0


def early_channels(flow: Dataflow, depths: Mapping[str, int]) -> frozenset[str]:
    """The inputs of joins whose tokens wait for another branch: all but the latest input of every join.

    Found by letting one frame through FIFOs of any depth in front of joins: the late input is the one that leads the others
    least. What FIFOs hold would not tell: before a join that has to wait itself, every input piles up.
    """
    joins = [engine.name for engine in flow.engines if isinstance(engine, (AddEngine, ConcatEngine))]
    inputs = [channel.name for name in joins for channel in flow.inputs(name)]
    written = arrivals(flow, depths=depths, unbounded=frozenset(inputs))
    early: set[str] = set()
    for name in joins:
        channels = flow.inputs(name)
        complete = np.max([written[channel.name] for channel in channels], axis=0)
        leads = {channel: _lead(written[channel.name], complete) for channel in channels}
        ordered = sorted(channels, key=lambda channel: (leads[channel], channel.port))
        early.update(channel.name for channel in ordered[1:])
    return frozenset(early)


def _lead(written: CycleArray, complete: CycleArray) -> int:
    """Most tokens that one input has when the token that comes next is there at every input."""
    there = np.searchsorted(written, complete, side="right")
    return int((there - np.arange(len(complete))).max())


def quick_depths(flow: Dataflow, depths: Mapping[str, int], early: frozenset[str]) -> Mapping[str, int]:
    """Depths close to those of ``size_fifos``, from two frames: enough to know what FIFOs will take.

    Args:
        early: ``early_channels(flow, depths)``.
    """
    common = COMMON_DEPTHS[0]
    if not early:
        return {channel.name: common for channel in flow.channels}
    free = _with_common(flow, depths, early, common, frames=2)
    safe = _if_deeper(flow, depths, early, common, frames=2)
    return {
        use.name: max(DEFAULT_FIFO_DEPTH, use.occupancy, safe[use.name]) if use.name in early else common
        for use in free.channels
    }


def size_fifos(
    flow: Dataflow,
    depths: Mapping[str, int],
    *,
    interval: int | None = None,
    commons: Sequence[int] = COMMON_DEPTHS,
    early: frozenset[str] | None = None,
) -> FifoPlan:
    """Depths with which no FIFO makes the design slower.

    The early inputs of joins become as deep as they ever were when nothing bounds them, the others being as they are, and as
    they would be if HLS made the pipelines of the late branches deeper (``deepest``); all
    others take the least of ``COMMON_DEPTHS`` after which no other gains a percent, or that comes within half a percent of
    ``interval`` where that is given; less where they never hold as much.

    Args:
        flow: engines and channels; the depths of its channels are not looked at.
        depths: pipeline depth of each engine [cycles].
        interval: an interval that is good enough [cycles].
        commons: common depths that are tried [tokens], ascending.
        early: ``early_channels(flow, depths)`` where it is known.

    Raises:
        DeadlockError: engines wait for each other whatever the depth of the skip FIFOs.
    """
    early = early_channels(flow, depths) if early is None else early
    best: Timeline | None = None
    common = commons[0]
    for depth in commons:
        timeline = _with_common(flow, depths, early, depth)
        if best is None or timeline.interval < best.interval * (1.0 - GAIN):
            best, common = timeline, depth
        if interval is not None and best.interval <= interval * (1.0 + SLACK):
            break
    assert best is not None
    return _bounded(flow, depths, early, common, best)


def _with_common(
    flow: Dataflow, depths: Mapping[str, int], early: frozenset[str], depth: int, *, frames: int = FRAMES
) -> Timeline:
    channels = {channel.name: depth for channel in flow.channels}
    return simulate(flow, depths=depths, unbounded=early, fifo_depths=channels, max_frames=frames)


def _early_path(flow: Dataflow, early: frozenset[str]) -> frozenset[str]:
    """The engines between a fork and an early input of a join."""
    source = {channel.name: channel.source for channel in flow.channels}
    forks = {engine.name for engine in flow.engines if isinstance(engine, ForkEngine)}
    found: set[str] = set()
    waiting = [source[name] for name in early]
    while waiting:
        name = waiting.pop()
        if name not in forks and name not in found:
            found.add(name)
            waiting += [channel.source for channel in flow.inputs(name)]
    return frozenset(found)


def _if_deeper(
    flow: Dataflow, depths: Mapping[str, int], early: frozenset[str], common: int, *, frames: int = FRAMES
) -> Mapping[str, int]:
    """Tokens that early channels hold where late branches are as deep as they may be and early ones as shallow."""
    shallow = _early_path(flow, early)
    deeper = {name: SHALLOWEST if name in shallow else deepest(depth) for name, depth in depths.items()}
    timeline = _with_common(flow, deeper, early, common, frames=frames)
    return {use.name: use.occupancy for use in timeline.channels if use.name in early}


def _bounded(
    flow: Dataflow, depths: Mapping[str, int], early: frozenset[str], common: int, free: Timeline
) -> FifoPlan:
    """Every channel as deep as it is used when the early ones are bounded too."""
    safe = _if_deeper(flow, depths, early, common) if early else {}
    chosen = {
        use.name: max(DEFAULT_FIFO_DEPTH, use.occupancy, safe[use.name]) if use.name in early else common
        for use in free.channels
    }
    timeline = simulate(flow, depths=depths, fifo_depths=chosen, max_frames=BOUNDED_FRAMES)
    if timeline.steady:  # no FIFO will ever hold more than it held so far
        chosen = {
            use.name: chosen[use.name] if use.name in early else max(DEFAULT_FIFO_DEPTH, use.occupancy)
            for use in timeline.channels
        }
    return FifoPlan(depths=chosen, timeline=timeline, common=common)


def tighten(flow: Dataflow, depths: Mapping[str, int], plan: FifoPlan) -> FifoPlan:
    """Every FIFO made as shallow as possible, one after the other, without a later frame or a longer interval.

    Takes some ten simulations per FIFO; meant for small designs whose pipeline depths are known (from a report), since nothing is
    left for deeper ones.
    """
    goal = plan.timeline
    chosen = dict(plan.depths)
    for name in sorted(chosen, key=lambda channel: -chosen[channel]):
        low, high = DEFAULT_FIFO_DEPTH, chosen[name]
        while low < high:
            middle = (low + high) // 2
            if _as_fast(flow, depths, {**chosen, name: middle}, goal):
                high = middle
            else:
                low = middle + 1
        chosen[name] = high
    return FifoPlan(depths=chosen, timeline=simulate(flow, depths=depths, fifo_depths=chosen))


def _as_fast(flow: Dataflow, depths: Mapping[str, int], channels: Mapping[str, int], goal: Timeline) -> bool:
    try:
        found = simulate(flow, depths=depths, fifo_depths=channels)
    except DeadlockError:
        return False
    return found.interval <= goal.interval and found.latency <= goal.latency
