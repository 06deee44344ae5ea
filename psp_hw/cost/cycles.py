"""Cycles in closed form: what an engine takes by itself, and the design when nothing waits (docs/estimate.md)."""

from __future__ import annotations

from dataclasses import dataclass

from psp_hw.folding.engine import Engine
from psp_hw.sim.process import RESTART_CYCLES


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCycles:
    """Cycles of one engine per frame.

    Args:
        iterations: trips of its flat loop.
        depth: pipeline depth.
    """

    iterations: int
    depth: int

    @property
    def interval(self) -> int:
        """From frame to frame when nothing makes it wait; exact for an engine whose neighbours are faster."""
        return self.iterations + self.depth + RESTART_CYCLES


def engine_cycles(engine: Engine, depth: int) -> EngineCycles:
    """Cycles of an engine with a pipeline of ``depth`` cycles."""
    return EngineCycles(iterations=engine.schedule().iterations, depth=depth)


def least_interval(engines: list[EngineCycles]) -> int:
    """The interval of the whole design when its FIFOs are deep enough: that of the slowest engine."""
    return max(engine.interval for engine in engines)
