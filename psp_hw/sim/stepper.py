"""The dataflow in time by brute force: every engine looked at in every cycle. Slow; it is what ``cycles.py`` is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psp_hw.folding.dataflow import Dataflow
from psp_hw.sim.cycles import NO_DEPTHS
from psp_hw.sim.process import Program, program


@dataclass(slots=True)
class _Station:
    """An engine: where its clock stands and what it is connected to."""

    steps: Program
    actions: dict[int, tuple[bool, bool]]
    inputs: list[str]
    outputs: list[str]
    position: int = 0
    frame: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """What the stepper saw: end of every frame at the output [cycles], most tokens in every channel; or a standstill."""

    finished: tuple[int, ...]
    occupancy: Mapping[str, int]
    deadlock: bool


def _stations(dataflow: Dataflow, depths: Mapping[str, int]) -> dict[str, _Station]:
    stations = {}
    for engine in dataflow.engines:
        steps = program(engine, depths.get(engine.name, 0))
        acts = zip(steps.at.tolist(), steps.reads.tolist(), steps.writes.tolist(), strict=True)
        stations[engine.name] = _Station(
            steps=steps,
            actions={at: (read, write) for at, read, write in acts},
            inputs=[c.name for c in dataflow.inputs(engine.name)],
            outputs=[c.name for c in dataflow.outputs(engine.name)],
        )
    return stations


def step(dataflow: Dataflow, frames: int, *, depths: Mapping[str, int] = NO_DEPTHS) -> Stepped:
    """Run ``frames`` frames cycle by cycle.

    In every cycle each engine looks at the FIFOs as they were when the cycle began. If its action of this position can take
    place whole (all inputs hold a token, all outputs have a free slot) it does, else the engine's clock stands still.
    """
    stations = _stations(dataflow, depths)
    capacity = {c.name: c.depth for c in dataflow.channels}
    held = dict.fromkeys(capacity, 0)
    most = dict.fromkeys(capacity, 0)
    last = stations[dataflow.engines[-1].name]
    finished: list[int] = []
    cycle = 0
    while any(station.frame < frames for station in stations.values()):
        before = dict(held)
        moved = False
        for station in stations.values():
            if station.frame == frames:
                continue
            reads, writes = station.actions.get(station.position, (False, False))
            if reads and any(before[name] == 0 for name in station.inputs):
                continue
            if writes and any(before[name] >= capacity[name] for name in station.outputs):
                continue
            for name in station.inputs if reads else ():
                held[name] -= 1
            for name in station.outputs if writes else ():
                held[name] += 1
                most[name] = max(most[name], before[name] + 1)
            moved = True
            if station is last and station.position == int(station.steps.at[-1]):
                finished.append(cycle + 1)
            station.position += 1
            if station.position == station.steps.length:
                station.position = 0
                station.frame += 1
        if not moved:
            return Stepped(finished=tuple(finished), occupancy=most, deadlock=True)
        cycle += 1
    return Stepped(finished=tuple(finished), occupancy=most, deadlock=False)
