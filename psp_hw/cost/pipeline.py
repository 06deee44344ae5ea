"""The pipeline of an engine: where registers cut its data path at a clock. Gives its depth and its flip-flops.

A data path is a chain of levels, each with a combinational delay and the number of bits that leave it. Levels are put into a
stage while their delays fit the clock; a register of all live bits stands between stages, and a level that is longer than
a stage is cut as often as needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from psp_hw.cost.devices import Fabric
from psp_hw.units import Clock

# What HLS keeps back of the clock period: the default of Vivado HLS (UG902); Vitis HLS keeps 27 % (UG1399).
CLOCK_UNCERTAINTY = 0.125

# A state of its own for the entry of the loop body: with it, depth = iteration latency - 1 of published one-loop processes
# (docs/estimate.md has the table).
ENTRY_STAGES = 1

# Chains of delays whose cuts are kept: a network has some hundred.
KEPT_CHAINS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Combinational delays that HLS schedules with [ns]; they decide where registers stand, never how many operators there are.

    Typical values of the middle speed grade (-1 for 7 series, -2 for the others), not fitted; tests/unit/cost hold the
    depths that follow from them against the iteration latencies of published loops.
    """

    stream_read: float
    stream_write: float
    memory: float
    select: float
    compare: float
    add: float
    add_per_bit: float
    lut_product: float
    dsp_product: float


DELAYS: dict[Fabric, Delays] = {
    Fabric.SERIES7: Delays(
        stream_read=3.6,
        stream_write=3.6,
        memory=3.25,
        select=0.98,
        compare=2.1,
        add=1.6,
        add_per_bit=0.03,
        lut_product=4.17,
        dsp_product=6.38,
    ),
    Fabric.ULTRASCALE: Delays(
        stream_read=2.1,
        stream_write=2.1,
        memory=2.0,
        select=0.6,
        compare=1.2,
        add=0.9,
        add_per_bit=0.015,
        lut_product=2.6,
        dsp_product=3.8,
    ),
    Fabric.ULTRASCALE_PLUS: Delays(
        stream_read=1.8,
        stream_write=1.8,
        memory=1.24,
        select=0.45,
        compare=0.85,
        add=0.7,
        add_per_bit=0.01,
        lut_product=1.65,
        dsp_product=2.5,
    ),
}


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a data path: its delay [ns], and the bits that are alive behind it.

    ``absorbed`` says that RTL synthesis needs no flip-flops for a register behind it: it stands before or behind a product in a DSP, which
    has registers for its operands, behind its multiplier and behind its adder (UG479, UG579), or it holds what another register holds.
    """

    delay: float
    bits: int
    absorbed: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the cuts come to.

    Args:
        depth: cycles from the end of a step to its token in the FIFO.
        registers: flip-flops between the stages [bits].
        widest: of them, those between the two stages that have the most [bits].
        absorbed: of them, those that RTL synthesis finds elsewhere [bits].
    """

    depth: int
    registers: int
    widest: int
    absorbed: int = 0


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where registers stand in a chain of levels.

    Args:
        depth: cycles from the end of a step to its token in the FIFO.
        behind: how many registers stand behind each level.
    """

    depth: int
    behind: tuple[int, ...]


@lru_cache(maxsize=KEPT_CHAINS)
def cuts_of(delays: tuple[float, ...], clock: Clock) -> Cuts:
    """Pack levels of these delays [ns] into stages; many engines have the same chain."""
    budget = clock.period_ns * (1.0 - CLOCK_UNCERTAINTY)
    stages, used = 1, 0.0
    behind = [0] * len(delays)
    for at, delay in enumerate(delays):
        if used and used + delay > budget:
            stages, used = stages + 1, 0.0
            behind[at - 1] += 1
        cuts = max(0, math.ceil(delay / budget) - 1)
        stages += cuts
        behind[at] += cuts
        used += delay - cuts * budget
    return Cuts(stages - 1 + ENTRY_STAGES, tuple(behind))


def cut(levels: Iterable[Level], clock: Clock) -> Pipeline:
    """Pack levels into stages."""
    chain = tuple(levels)
    found = cuts_of(tuple([level.delay for level in chain]), clock)
    between = [(level, count) for level, count in zip(chain, found.behind, strict=True) if count]
    return Pipeline(
        depth=found.depth,
        registers=sum(count * level.bits for level, count in between),
        widest=max((level.bits for level, _ in between), default=0),
        absorbed=sum(count * level.bits for level, count in between if level.absorbed),
    )
