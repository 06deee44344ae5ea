"""The dataflow in time: when every token moves, with bounded FIFOs and back-pressure (docs/estimate.md).

An engine is a program of *actions* at fixed positions of its own clock: take one token from every input, give one token
to every output, or both. Its clock stands still while an action cannot take place (a pipeline that stalls as a whole), so
the time of an action is

    t[j] = max(t[j - 1] + gap[j], written[k] + 1, read[k - depth] + 1)

over its inputs (token k must have been written a cycle earlier) and its outputs (the slot of token k must have been freed a
cycle earlier). These recurrences have one solution, whatever the order in which engines are advanced; it is computed token
by token, not cycle by cycle. ``sweeps.py`` solves them a whole frame of an engine at once, and nearly always at once is enough;
what does not settle there (a standstill never does) is computed here, token by token. ``stepper.py`` is the same semantics by
brute force.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import Dataflow
from psp_hw.sim.process import CycleArray, Depths, Fifo, Process, Wait, program
from psp_hw.sim.regime import DeepFifo, Regime, lag_of, regime_of
from psp_hw.sim.sweeps import Sweeps, occupancy

NO_DEPTHS: Mapping[str, int] = {}

# Frames after which the search for a steady state ends, and how many more for each further frame that FIFOs hold: a pattern may
# be as long as they hold frames, and is proven by as many more.
MAX_FRAMES = 12
PATTERNS = 4

# An interval this little above that of the slowest engine is not looked at more closely.
SLACK = 0.005


class DeadlockError(SpecError):
    """The FIFOs of a design are too small for it to go on: a cycle of engines that wait for each other.

    Args:
        waits: the cycle, each engine waiting for the next, the last for the first.
    """

    def __init__(self, waits: tuple[Wait, ...]) -> None:
        self.waits = waits
        full = [wait.channel for wait in waits if wait.full]
        hint = f"deepen {' or '.join(full)}" if full else None
        super().__init__(
            f"the design stops for ever: {'; '.join(map(str, waits))}", where="fifo_depths", hint=hint
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelUse:
    """What a FIFO held.

    Args:
        name: the channel.
        depth: its depth [tokens]; None for unbounded.
        occupancy: most tokens that it ever held; a FIFO of this depth never stops its writer earlier.
    """

    name: str
    depth: int | None
    occupancy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What a simulation of the dataflow found.

    Args:
        latency: from the first cycle to the end of the last cycle in which frame 0 leaves [cycles].
        interval: between frames in the steady state, on the average and rounded up [cycles]; where no steady state was reached,
            over the later half of the frames.
        proven: whether it is proven that frames to come take no longer than the interval, on the average.
        regime: the pattern that all later frames are proven to follow; None where it was not reached.
        frames: frames simulated.
        finished: end of every frame at the output [frames], in cycles.
        channels: use of every channel, in the order of the dataflow.
        stalls: cycles that each engine stood still during the last frame, by engine.
    """

    latency: int
    interval: int
    proven: bool
    regime: Regime | None
    frames: int
    finished: tuple[int, ...]
    channels: tuple[ChannelUse, ...]
    stalls: Mapping[str, int]

    @property
    def mean(self) -> Fraction:
        """The interval, not rounded [cycles]."""
        return Fraction(self.interval) if self.regime is None else self.regime.mean


class Clockwork:
    """The processes of a design, advanced frame by frame.

    Args:
        dataflow: engines and channels.
        depths: of pipelines and FIFOs.
    """

    def __init__(self, dataflow: Dataflow, depths: Depths) -> None:
        self._fifos = [Fifo(channel, depths.of_fifo(channel)) for channel in dataflow.channels]
        inputs: dict[str, list[Fifo]] = {engine.name: [] for engine in dataflow.engines}
        outputs: dict[str, list[Fifo]] = {engine.name: [] for engine in dataflow.engines}
        for fifo in self._fifos:
            inputs[fifo.target].append(fifo)
            outputs[fifo.source].append(fifo)
        self._processes = {
            engine.name: Process(
                engine.name,
                program(engine, depths.of_pipeline(engine)),
                inputs[engine.name],
                outputs[engine.name],
            )
            for engine in dataflow.engines
        }
        self._last = dataflow.engines[-1].name
        self.frames = 0

    def run_frame(self) -> bool:
        """Bring every engine to the end of one more frame; always True, as it always comes to an end.

        Raises:
            DeadlockError: the engines wait for each other.
        """
        self.frames += 1
        waiting = deque(self._processes.values())
        queued = set(self._processes)
        while waiting:
            process = waiting.popleft()
            queued.discard(process.name)
            if not process.advance(self.frames * len(process.gaps)):
                continue
            for neighbour in (*(f.target for f in process.outputs), *(f.source for f in process.inputs)):
                if neighbour not in queued:
                    queued.add(neighbour)
                    waiting.append(self._processes[neighbour])
        stuck = {name: p.wait for name, p in self._processes.items() if p.wait is not None}
        if stuck:
            raise DeadlockError(_cycle(stuck))
        return True

    @property
    def finished(self) -> tuple[int, ...]:
        """End of every frame at the output [frames]."""
        last = self._processes[self._last]
        return tuple(last.times[len(last.gaps) * (frame + 1) - 1] + 1 for frame in range(self.frames))

    @property
    def lag(self) -> int:
        """How many frames back the times of a frame depend on."""
        bounded = ((fifo.depth, len(fifo.read) // self.frames) for fifo in self._fifos)
        return max((lag_of(depth, tokens) for depth, tokens in bounded if depth is not None), default=1)

    def later(self, frame: int, before: int, cycles: int) -> bool:
        """Whether every action of a frame comes so many cycles later than in an earlier one."""
        for process in self._processes.values():
            times, count = process.times, len(process.gaps)
            this, that = (times[count * one : count * (one + 1)] for one in (frame, before))
            if any(now - then != cycles for now, then in zip(this, that, strict=True)):
                return False
        return True

    def deep_fifos(self) -> list[DeepFifo]:
        """The bounded FIFOs that hold more than a frame."""
        return [
            DeepFifo(fifo.depth, np.asarray(fifo.written), np.asarray(fifo.read))
            for fifo in self._fifos
            if fifo.depth is not None and fifo.depth > len(fifo.read) // self.frames
        ]

    def stalls(self) -> dict[str, int]:
        """Cycles that each engine stood still within the last frame."""
        lost = {}
        for name, process in self._processes.items():
            count = len(process.gaps)
            busy = sum(process.gaps[1:])
            lost[name] = process.times[-1] - process.times[-count] - busy
        return lost

    def begun(self) -> dict[str, int]:
        """Cycles by which the first action of each engine came later than its position."""
        return {name: process.times[0] - process.first for name, process in self._processes.items()}

    def occupancies(self, names: Collection[str] | None = None) -> dict[str, int]:
        """Most tokens that each channel held so far, or each of some."""
        some = [fifo for fifo in self._fifos if names is None or fifo.name in names]
        arrays = {f.name: (np.asarray(f.written), np.asarray(f.read)) for f in some}
        return {name: occupancy(written, read) for name, (written, read) in arrays.items()}

    def written(self) -> dict[str, CycleArray]:
        """When the tokens of all frames were written to each channel [tokens]."""
        return {fifo.name: np.asarray(fifo.written, dtype=np.int64) for fifo in self._fifos}

    def bounds(self) -> dict[str, int | None]:
        """Depth of each channel as simulated; None where it is unbounded."""
        return {fifo.name: fifo.depth for fifo in self._fifos}

    def bound(self, depths: Mapping[str, int]) -> None:
        """Depths of channels from now on [tokens], of each at least what it held so far."""
        for fifo in self._fifos:
            fifo.depth = depths[fifo.name]


def _cycle(stuck: Mapping[str, Wait | None]) -> tuple[Wait, ...]:
    """Follow who waits for whom until it closes."""
    path: list[str] = []
    name = next(iter(stuck))
    while name not in path:
        path.append(name)
        wait = stuck.get(name)
        assert wait is not None, f"{name} stands still and waits for nobody"
        name = wait.other
    waits = [stuck[name] for name in path[path.index(name) :]]
    return tuple(wait for wait in waits if wait is not None)


def simulate(
    dataflow: Dataflow,
    *,
    depths: Mapping[str, int] = NO_DEPTHS,
    unbounded: frozenset[str] = frozenset(),
    fifo_depths: Mapping[str, int] = NO_DEPTHS,
    max_frames: int | None = None,
) -> Timeline:
    """Let frames follow each other through a design until all tokens move in one pattern.

    Args:
        dataflow: engines and channels.
        depths: pipeline depth of each engine [cycles], by name; 0 where an engine is not named.
        unbounded: channels to be taken as unbounded.
        fifo_depths: depths that replace those of the channels [tokens], by name.
        max_frames: frames after which the search for the steady state ends; of a single one the interval is its latency. By
            default ``MAX_FRAMES``, and more where FIFOs hold many frames.

    Raises:
        DeadlockError: engines wait for each other for ever.
    """
    wanted = Depths(pipelines=depths, fifos=fifo_depths, unbounded=unbounded)
    return Running(dataflow, wanted).until(max_frames)


class Running:
    """A simulation that can go on where it stopped.

    Args:
        dataflow: engines and channels.
        depths: of pipelines and FIFOs.
    """

    def __init__(self, dataflow: Dataflow, depths: Depths) -> None:
        self._flow, self._depths = dataflow, depths
        self._engines: Sweeps | Clockwork = Sweeps(dataflow, depths)
        self._regime: Regime | None = None

    def until(self, frames: int | None = None) -> Timeline:
        """Let frames in until all tokens move in one pattern, or there were so many.

        Raises:
            DeadlockError: engines wait for each other for ever.
        """
        if frames is not None:
            self.advance(frames)
            return self._timeline(self._regime is not None)
        self.advance(MAX_FRAMES)
        if self._regime is None and self._sustains(self._slowest):
            return self._timeline(True, self._slowest)
        if self._regime is None and self.interval > self._slowest * (1.0 + SLACK):
            self.advance(MAX_FRAMES + PATTERNS * (self._engines.lag - 1))
        return self._timeline(self._regime is not None or self._sustains(self.interval))

    @property
    def _slowest(self) -> int:
        """Cycles per frame of the slowest engine if it never waits; no interval is shorter."""
        return max(program(engine, self._depths.of_pipeline(engine)).length for engine in self._flow.engines)

    def _sustains(self, interval: int) -> bool:
        """Whether frames can follow each other at an interval for ever.

        Engines in front of the slowest one run ahead of it until FIFOs are full, some tokens per frame, and that may take hundreds of
        frames. Frames that come no faster than they leave fill nothing. Once those settle, they are times that satisfy all
        recurrences, and as those of the design itself are the earliest that do, its frames are never later.
        """
        paced = Sweeps(self._flow, self._depths_now(), pace=interval)
        while paced.frames < MAX_FRAMES and paced.run_frame():
            found = regime_of(paced)
            if found is not None:
                return found.cycles == found.frames * interval
        return False

    def advance(self, frames: int) -> None:
        """``until``, without a look at what was found."""
        while self._engines.frames < frames and self._regime is None:
            if not self._engines.run_frame():
                self._engines = self._token_by_token()
            self._regime = regime_of(self._engines)

    @property
    def frames(self) -> int:
        """Frames so far."""
        return self._engines.frames

    @property
    def settled(self) -> bool:
        """Whether all later frames are known."""
        return self._regime is not None

    @property
    def interval(self) -> int:
        """Cycles between frames, as of ``Timeline``; of a single one its latency."""
        return _interval(self._engines, self._regime)

    def bound(self, depths: Mapping[str, int]) -> None:
        """Depths of the channels from now on [tokens]; of each at least what it held so far, so that nothing was different before."""
        assert all(held <= depths[name] for name, held in self.held().items()), "a FIFO held more than it can"
        self._engines.bound(depths)
        self._regime = regime_of(self._engines)

    def held(self, names: Collection[str] | None = None) -> Mapping[str, int]:
        """Most tokens that each channel held so far, or each of some, by name."""
        return self._engines.occupancies(names)

    def written(self) -> Mapping[str, CycleArray]:
        """When the tokens of all frames were written to each channel [tokens], by name."""
        return self._engines.written()

    def begun(self) -> Mapping[str, int]:
        """Cycles by which the first frame began later than the simulation, by engine; to be asked after that frame."""
        return self._engines.begun()

    def _timeline(self, proven: bool, interval: int | None = None) -> Timeline:
        """What the frames so far say, and an interval where another than theirs is proven [cycles]."""
        engines, finished = self._engines, self._engines.finished
        depths = engines.bounds()
        return Timeline(
            latency=finished[0],
            interval=self.interval if interval is None else interval,
            proven=proven,
            regime=self._regime,
            frames=engines.frames,
            finished=finished,
            channels=tuple(
                ChannelUse(name=name, depth=depths[name], occupancy=held)
                for name, held in engines.occupancies().items()
            ),
            stalls=engines.stalls(),
        )

    def _depths_now(self) -> Depths:
        """Depths as they are since ``bound``."""
        bounds = self._engines.bounds()
        return Depths(
            pipelines=self._depths.pipelines,
            fifos={name: depth for name, depth in bounds.items() if depth is not None},
            unbounded=frozenset(name for name, depth in bounds.items() if depth is None),
        )

    def _token_by_token(self) -> Clockwork:
        """The same frames, the one that did not settle included, each as often as it takes."""
        slow = Clockwork(self._flow, self._depths_now())
        for _ in range(self._engines.frames + 1):
            slow.run_frame()
        return slow


def _interval(engines: Sweeps | Clockwork, regime: Regime | None) -> int:
    """Of the pattern; where none is known, over the later half of the frames; of a single frame its latency."""
    if regime is not None:
        return regime.interval
    finished = engines.finished
    last, half = len(finished) - 1, len(finished) // 2
    return Regime(half, finished[last] - finished[last - half]).interval if half else finished[0]
