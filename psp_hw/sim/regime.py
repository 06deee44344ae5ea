"""When a simulation has settled: a pattern that all later frames are proven to follow.

The times of a frame follow from those of some frames before it and from nothing else: from the last one (engines take frames one
after the other), and through a FIFO of ``depth`` tokens, ``tokens`` of them per frame, from up to ``ceil(depth / tokens)`` frames ago
(``lag``). The recurrences do not care when the clock was started. So where as many frames in a row as the largest lag come equally later than
those ``frames`` before them, the next one does too, and all after it. Such systems always end in a pattern, but not always in one
of a single frame (Baccelli, Cohen, Olsder, Quadrat, *Synchronization and Linearity*, 1992, theorem 3.112): a skip FIFO that holds three
frames beside a branch that takes five lets three frames in, then makes the fourth wait.

A FIFO of many frames that is never full asks for nothing. Where it is shown that it never will be, two frames tell as much as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from psp_hw.sim.process import CycleArray


@dataclass(frozen=True, slots=True)
class Regime:
    """Every action of a frame comes ``cycles`` later than the same action ``frames`` frames before it, for ever."""

    frames: int
    cycles: int

    @property
    def mean(self) -> Fraction:
        """Cycles between frames, on the average over the pattern."""
        return Fraction(self.cycles, self.frames)

    @property
    def interval(self) -> int:
        """The same, rounded up."""
        return math.ceil(self.mean)


@dataclass(frozen=True, slots=True)
class DeepFifo:
    """A FIFO that holds more than a frame.

    Args:
        depth: its depth [tokens].
        written, read: when the tokens of all frames were [tokens].
    """

    depth: int
    written: CycleArray
    read: CycleArray


class History(Protocol):
    """Frames that were simulated."""

    @property
    def frames(self) -> int:
        """How many."""

    @property
    def finished(self) -> Sequence[int]:
        """End of each at the output [frames]."""

    @property
    def lag(self) -> int:
        """How many frames back the times of a frame depend on."""

    def later(self, frame: int, before: int, cycles: int) -> bool:
        """Whether every action of a frame comes so many cycles later than in an earlier one."""

    def deep_fifos(self) -> Sequence[DeepFifo]:
        """The bounded FIFOs that hold more than a frame."""


def lag_of(depth: int, tokens: int) -> int:
    """Frames back on which the writes to a FIFO depend."""
    return max(1, -(-depth // tokens))


def regime_of(history: History) -> Regime | None:
    """The pattern that all later frames follow; None where none is proven yet."""
    last, finished, lag = history.frames - 1, history.finished, history.lag
    if last < 1:
        return None
    cycles = finished[last] - finished[last - 1]
    if history.later(last, last - 1, cycles):
        settled = lag == 1 or all(_never_full(f, history.frames, cycles) for f in history.deep_fifos())
        return Regime(1, cycles) if settled or _repeats(history, 1) else None
    for frames in range(2, last + 2 - lag):
        if _repeats(history, frames):
            return Regime(frames, finished[last] - finished[last - frames])
    return None


def _repeats(history: History, frames: int) -> bool:
    """Whether as many frames as the next one depends on come equally later than those so many frames before them."""
    last, finished, lag = history.frames - 1, history.finished, history.lag
    if last + 1 < frames + lag:
        return False
    cycles = finished[last] - finished[last - frames]
    some = range(last, last - lag, -1)
    return all(finished[one] - finished[one - frames] == cycles for one in some) and all(
        history.later(one, one - frames, cycles) for one in some
    )


def _never_full(fifo: DeepFifo, frames: int, cycles: int) -> bool:
    """Whether no write will wait for a slot freed two or more frames ago, if all frames come ``cycles`` after each other from now on.

    In the last frame none did, so that its times follow from those of the frame before it alone; those of the frames to come then
    follow from it, as long as they ask for no slot earlier than it is free.
    """
    tokens = len(fifo.written) // frames
    lag = lag_of(fifo.depth, tokens)
    late = np.arange(min(tokens, fifo.depth - tokens))  # tokens whose slots were freed two or more frames ago
    written = fifo.written[-tokens:][late]
    read = np.concatenate([fifo.read, *(fifo.read[-tokens:] + cycles * (n + 1) for n in range(lag))])
    for ahead in range(lag + 1):
        slots = (frames - 1 + ahead) * tokens + late - fifo.depth
        there = slots >= 0
        freed, asked = read[slots[there]] + 1, written[there] + ahead * cycles
        if (freed >= asked).any() if ahead == 0 else (freed > asked).any():
            return False
    return True
