"""One engine on its way through a frame: what it does at which position of its own clock, and why it stands still."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.folding.dataflow import Channel
from psp_hw.folding.engine import Engine
from psp_hw.folding.schedule import Schedule

# Cycles between the last position of a frame and the first of the next: the state before the loop and the one after it.
# In published reports of one-loop processes, latency = trips + depth of the pipeline for 145 of 145 (docs/estimate.md),
# which is one state more than the loop alone; the state after it is the ap_done / ap_start handshake (UG1399).
RESTART_CYCLES = 2

CycleArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depths:
    """How deep pipelines and FIFOs are, where a simulation does not take what the dataflow says.

    Args:
        pipelines: of each engine [cycles], by name; 0 where an engine is not named: the token is given in the cycle in which
            the step ends.
        fifos: of channels, in place of their own [tokens], by name.
        unbounded: channels of any depth.
    """

    pipelines: Mapping[str, int] = field(default_factory=dict)
    fifos: Mapping[str, int] = field(default_factory=dict)
    unbounded: frozenset[str] = frozenset()

    def of_fifo(self, channel: Channel) -> int | None:
        """Depth of a channel [tokens]; None where it is unbounded."""
        return None if channel.name in self.unbounded else self.fifos.get(channel.name, channel.depth)

    def of_pipeline(self, engine: Engine) -> int:
        """Depth of an engine's pipeline [cycles]."""
        return self.pipelines.get(engine.name, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """One frame of an engine on its own clock; equal only to itself.

    Args:
        at: position of each action [actions], ascending, in cycles.
        reads: whether the action takes a token from every input [actions].
        writes: whether the action gives a token to every output [actions].
        length: positions from one frame to the next, the restart included [cycles].
    """

    at: CycleArray
    reads: npt.NDArray[np.bool_]
    writes: npt.NDArray[np.bool_]
    length: int


def program(engine: Engine, depth: int) -> Program:
    """The actions of an engine whose pipeline is ``depth`` cycles deep; its arrays are not to be written to.

    A step reads at its first cycle; what it gives appears ``depth`` cycles after its last.
    """
    return _program(engine.schedule(), depth)


# A search simulates the same schedules again and again, and engines of a network share them.
@lru_cache(maxsize=4096)
def _program(schedule: Schedule, depth: int) -> Program:
    ends = np.cumsum(schedule.cycles)
    reading = (ends - schedule.cycles)[schedule.reads]
    writing = (ends - 1 + depth)[schedule.writes]
    both = np.sort(np.concatenate([reading, writing]), kind="stable")  # two ascending runs
    at = both[np.concatenate([[True], both[1:] != both[:-1]])]
    reads = np.zeros(len(at), dtype=np.bool_)
    writes = np.zeros(len(at), dtype=np.bool_)
    reads[np.searchsorted(at, reading)] = True
    writes[np.searchsorted(at, writing)] = True
    return Program(at=at, reads=reads, writes=writes, length=int(ends[-1]) + depth + RESTART_CYCLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why an engine stands still: its channel is empty (it reads) or full (it writes)."""

    engine: str
    channel: str
    full: bool
    other: str

    def __str__(self) -> str:
        state = "full" if self.full else "empty"
        return f"{self.engine} waits for {self.other} ({self.channel} is {state})"


class Fifo:
    """Times at which tokens were written and read, so far."""

    __slots__ = ("depth", "name", "read", "source", "target", "written")

    def __init__(self, channel: Channel, depth: int | None) -> None:
        self.name, self.source, self.target = channel.name, channel.source, channel.target
        self.depth = depth
        self.written: list[int] = []
        self.read: list[int] = []


class Process:
    """An engine on its way through its program."""

    __slots__ = ("first", "gaps", "inputs", "name", "outputs", "reads", "time", "times", "wait", "writes")

    def __init__(self, name: str, steps: Program, inputs: list[Fifo], outputs: list[Fifo]) -> None:
        self.name = name
        self.inputs, self.outputs = inputs, outputs
        self.first = int(steps.at[0])
        gaps = np.diff(steps.at, prepend=steps.at[-1] - steps.length)
        self.gaps: list[int] = gaps.tolist()
        self.reads: list[bool] = steps.reads.tolist()
        self.writes: list[bool] = steps.writes.tolist()
        self.time = int(steps.at[-1]) - steps.length  # so that the first action falls on its own position
        self.times: list[int] = []
        self.wait: Wait | None = None

    def advance(self, actions: int) -> bool:
        """Act until ``actions`` are done or something is missing; whether anything moved."""
        if len(self.inputs) == len(self.outputs) == 1:
            return self._advance_chain(actions, self.inputs[0], self.outputs[0])
        times, gaps, reads, writes = self.times, self.gaps, self.reads, self.writes
        inputs, outputs = self.inputs, self.outputs
        begin = done = len(times)
        base, period, time = done - done % len(gaps), len(gaps), self.time
        self.wait = None
        while done < actions:
            step = done - base
            if step == period:
                base, step = done, 0
            now = time + gaps[step]
            if reads[step]:
                for fifo in inputs:
                    token = len(fifo.read)
                    if token >= len(fifo.written):
                        self.wait = Wait(engine=self.name, channel=fifo.name, full=False, other=fifo.source)
                        break
                    ready = fifo.written[token]
                    if ready >= now:
                        now = ready + 1
                if self.wait is not None:
                    break
            if writes[step]:
                for fifo in outputs:
                    if fifo.depth is not None:
                        slot = len(fifo.written) - fifo.depth
                        if slot >= 0:
                            if slot >= len(fifo.read):
                                self.wait = Wait(
                                    engine=self.name, channel=fifo.name, full=True, other=fifo.target
                                )
                                break
                            freed = fifo.read[slot]
                            if freed >= now:
                                now = freed + 1
                if self.wait is not None:
                    break
                for fifo in outputs:
                    fifo.written.append(now)
            if reads[step]:
                for fifo in inputs:
                    fifo.read.append(now)
            times.append(now)
            time = now
            done += 1
        self.time = time
        return done > begin

    def _advance_chain(self, actions: int, source: Fifo, target: Fifo) -> bool:
        """``advance`` between one input and one output, as most engines are: what neighbours did so far stands still meanwhile."""
        times, gaps, reads, writes = self.times, self.gaps, self.reads, self.writes
        given, read, written, freed = source.written, source.read, target.written, target.read
        tokens, slots, period = len(given), len(freed), len(gaps)
        depth = target.depth if target.depth is not None else sys.maxsize
        taken, slot, time = len(read), len(written) - depth, self.time
        begin = done = len(times)
        step = done % period
        self.wait = None
        while done < actions:
            now = time + gaps[step]
            if reads[step]:
                if taken >= tokens:
                    self.wait = Wait(engine=self.name, channel=source.name, full=False, other=source.source)
                    break
                ready = given[taken]
                if ready >= now:
                    now = ready + 1
            if writes[step]:
                if slot >= 0:
                    if slot >= slots:
                        self.wait = Wait(
                            engine=self.name, channel=target.name, full=True, other=target.target
                        )
                        break
                    if freed[slot] >= now:
                        now = freed[slot] + 1
                written.append(now)
                slot += 1
            if reads[step]:
                read.append(now)
                taken += 1
            times.append(now)
            time = now
            done += 1
            step += 1
            if step == period:
                step = 0
        self.time = time
        return done > begin
