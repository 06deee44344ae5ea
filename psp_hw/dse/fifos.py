"""FIFO depths from the dataflow in time: branches that wait for each other, and bursts that a neighbour cannot take at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from psp_hw.cost.engines import pipeline_depth
from psp_hw.cost.parts import Part
from psp_hw.dse.branches import Region, regions
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ForkEngine
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import DeadlockError, Running, Timeline, simulate
from psp_hw.sim.process import CycleArray, Depths
from psp_hw.units import Clock

# Depths tried for the FIFOs that no join makes deep: what two and one shift register per LUT hold. A FIFO that never holds
# as much is made shallower afterwards.
COMMON_DEPTHS = (16, 32)

# An interval this little above the best possible is not worth deeper FIFOs, nor is a gain that is smaller.
SLACK = 0.005
GAIN = 0.01

# Frames per simulation while depths are compared: FIFOs of the depths above have mostly filled by then.
FRAMES = 4
QUICK_FRAMES = 2
BOUNDED_FRAMES = 8

# Frames after which FIFOs that still fill are left as deep as they are.
MOST_FRAMES = 256

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
        free_interval: the interval while nothing bounded early channels [cycles]; 0 where nobody looked.
    """

    depths: Mapping[str, int]
    timeline: Timeline
    common: int = 0
    free_interval: int = 0


class Sizing:
    """FIFO depths of a design, quickly at first and then for good: every simulation goes on where it stopped.

    Args:
        flow: engines and channels; the depths of its channels are not looked at.
        depths: pipeline depth of each engine [cycles].
        found: the regions of a design of the same engines, whatever their folds, where they are known.
    """

    def __init__(
        self, flow: Dataflow, depths: Mapping[str, int], found: Sequence[Region] | None = None
    ) -> None:
        self._flow, self._depths = flow, depths
        self._regions = regions(flow) if found is None else found
        self._free: dict[int, Running] = {}
        self._deeper: dict[int, Running] = {}
        self._plans: dict[int, FifoPlan] = {}

    @cached_property
    def early(self) -> frozenset[str]:
        """The inputs of joins whose tokens wait for another branch: all but the latest input of every join.

        Mostly the order of tokens says which (``psp_hw.dse.branches``). Else one frame is let through the branches, with FIFOs
        of any depth in front of joins: the late input is the one that leads the others least. What FIFOs hold would not tell:
        before a join that has to wait itself, every input piles up.
        """
        early: set[str] = set()
        for region in self._regions:
            late = region.late or self._latest(region)
            early.update(channel.name for channel in region.inputs if channel.name != late)
        return frozenset(early)

    def _latest(self, region: Region) -> str:
        """The input of a join that leads the others least when one frame comes as fast as the branches take it."""
        names = {region.fork, region.join, *(engine.name for engine in region.between)}
        channels = [c for c in self._flow.channels if c.source in names and c.target in names]
        part = Dataflow(
            engines=tuple(engine for engine in self._flow.engines if engine.name in names),
            channels=tuple(channel for channel in channels if channel.target != region.fork),
        )
        joins = {other.join for other in self._regions}
        depths = Depths(
            pipelines=self._depths,
            fifos={channel.name: DEFAULT_FIFO_DEPTH for channel in part.channels},
            unbounded=frozenset(channel.name for channel in part.channels if channel.target in joins),
        )
        run = Running(part, depths)
        run.advance(1)
        written = {c.name: run.written()[c.name] for c in region.inputs}
        complete = np.max(list(written.values()), axis=0)
        leads = {channel: _lead(written[channel.name], complete) for channel in region.inputs}
        return min(region.inputs, key=lambda channel: (leads[channel], channel.port)).name

    def quick(self) -> Mapping[str, int]:
        """Depths close to those of ``plan``, from two frames: enough to know what FIFOs will take."""
        common = COMMON_DEPTHS[0]
        if not self._regions:
            return {channel.name: common for channel in self._flow.channels}
        return self._early_depths(common, QUICK_FRAMES)

    def plan(self, *, interval: int | None = None, commons: Sequence[int] = COMMON_DEPTHS) -> FifoPlan:
        """Depths with which no FIFO makes the design slower.

        The early inputs of joins become as deep as they ever were when nothing bounds them, the others being as they are, and as
        they would be if HLS made the pipelines of the late branches deeper (``deepest``); all
        others take the least of ``COMMON_DEPTHS`` after which no other gains a percent, or that comes within half a percent of
        ``interval`` where that is given; less where they never hold as much.

        Args:
            interval: an interval that is good enough [cycles].
            commons: common depths that are tried [tokens], ascending.

        Raises:
            DeadlockError: engines wait for each other whatever the depth of the skip FIFOs.
        """
        best: int | None = None
        common = commons[0]
        for depth in commons:
            reached = self._interval(depth)
            if best is None or reached < best * (1.0 - GAIN):
                best, common = reached, depth
            if interval is not None and best <= interval * (1.0 + SLACK):
                break
        if common not in self._plans:
            self._plans[common] = self._bounded(common)
        return self._plans[common]

    def _interval(self, common: int) -> int:
        if common in self._plans:
            return self._plans[common].free_interval
        return self._freely(common, FRAMES).interval

    def _running(self, common: int, depths: Mapping[str, int]) -> Running:
        """Early channels of any depth, all others at a common one."""
        every = {channel.name: common for channel in self._flow.channels}
        return Running(self._flow, Depths(pipelines=depths, fifos=every, unbounded=self.early))

    def _freely(self, common: int, frames: int) -> Running:
        if common not in self._free:
            self._free[common] = self._running(common, self._depths)
        run = self._free[common]
        run.advance(frames)
        while self._fills(run) and run.frames < MOST_FRAMES:
            run.advance(run.frames + 1)
        return run

    def _fills(self, run: Running) -> bool:
        """Whether an early channel may hold still more: it held all frames but the last, so that none had left when that one came."""
        if run.settled:
            return False
        tokens = {channel.name: channel.type.pixels for channel in self._flow.channels}
        held = run.held(self.early)
        return any(most >= (run.frames - 1) * tokens[name] for name, most in held.items())

    def _early_depths(self, common: int, frames: int) -> dict[str, int]:
        """Early channels as deep as they were, were late branches deeper too; all others at a common depth."""
        held = self._freely(common, frames).held(self.early)
        safe = self._if_deeper(common, frames) if held else {}
        return {
            channel.name: max(DEFAULT_FIFO_DEPTH, held[channel.name], safe[channel.name])
            if channel.name in held
            else common
            for channel in self._flow.channels
        }

    def _if_deeper(self, common: int, frames: int) -> Mapping[str, int]:
        """Tokens that early channels hold where late branches are as deep as they may be and early ones as shallow."""
        if common not in self._deeper:
            shallow = self._early_path()
            depths = {
                name: SHALLOWEST if name in shallow else deepest(depth)
                for name, depth in self._depths.items()
            }
            self._deeper[common] = self._running(common, depths)
        run = self._deeper[common]
        run.advance(frames)
        while self._fills(run) and run.frames < MOST_FRAMES:
            run.advance(run.frames + 1)
        return run.held(self.early)

    def _early_path(self) -> frozenset[str]:
        """The engines between a fork and an early input of a join."""
        source = {channel.name: channel.source for channel in self._flow.channels}
        forks = {engine.name for engine in self._flow.engines if isinstance(engine, ForkEngine)}
        found: set[str] = set()
        waiting = [source[name] for name in self.early]
        while waiting:
            name = waiting.pop()
            if name not in forks and name not in found:
                found.add(name)
                waiting += [channel.source for channel in self._flow.inputs(name)]
        return frozenset(found)

    def _bounded(self, common: int) -> FifoPlan:
        """Every channel as deep as it is used when the early ones are bounded too."""
        run = self._freely(common, FRAMES)
        free = run.interval
        chosen = self._early_depths(common, FRAMES)
        run.bound(chosen)
        timeline = run.until(BOUNDED_FRAMES)
        if timeline.regime is not None:  # no FIFO will ever hold more than it held so far
            chosen = {
                use.name: chosen[use.name]
                if use.name in self.early
                else max(DEFAULT_FIFO_DEPTH, use.occupancy)
                for use in timeline.channels
            }
        return FifoPlan(depths=chosen, timeline=timeline, common=common, free_interval=free)


def _lead(written: CycleArray, complete: CycleArray) -> int:
    """Most tokens that one input has when the token that comes next is there at every input."""
    there = np.searchsorted(written, complete, side="right")
    return int((there - np.arange(len(complete))).max())


def least_fifos(graph: Graph, plan: FoldPlan, part: Part, clock: Clock) -> FoldPlan:
    """A plan with every FIFO as shallow as its interval and latency allow, for pipelines as deep as they are estimated.

    Nothing is left for a pipeline that HLS makes deeper, which may slow the design or stop it for ever (``deepest``).

    Raises:
        DeadlockError: the design stands still as it is.
    """
    flow = build(graph, plan)
    depths = {engine.name: pipeline_depth(engine, part.fabric, clock) for engine in flow.engines}
    found = tighten(flow, depths)
    deep = {name: depth for name, depth in found.items() if depth != DEFAULT_FIFO_DEPTH}
    memories = {name: kind for name, kind in plan.fifo_memories.items() if name in deep}
    return replace(plan, fifo_depths=deep, fifo_memories=memories)


def tighten(flow: Dataflow, depths: Mapping[str, int]) -> Mapping[str, int]:
    """Depths of a design's FIFOs [tokens], each as shallow as it can be without a later frame or a longer interval.

    The deepest comes first, and every one is found by bisection beside those before it: none can be made shallower by itself.

    Args:
        flow: engines and channels, as deep as they are now.
        depths: pipeline depth of each engine [cycles].
    """
    goal = simulate(flow, depths=depths)
    chosen = {channel.name: channel.depth for channel in flow.channels}
    for name in sorted(chosen, key=lambda channel: -chosen[channel]):
        low, high = min(DEFAULT_FIFO_DEPTH, chosen[name]), chosen[name]
        while low < high:
            middle = (low + high) // 2
            if _as_fast(flow, depths, {**chosen, name: middle}, goal):
                high = middle
            else:
                low = middle + 1
        chosen[name] = high
    return chosen


def _as_fast(flow: Dataflow, depths: Mapping[str, int], channels: Mapping[str, int], goal: Timeline) -> bool:
    try:
        found = simulate(flow, depths=depths, fifo_depths=channels)
    except DeadlockError:
        return False
    return found.mean <= goal.mean and found.proven >= goal.proven and found.latency <= goal.latency
