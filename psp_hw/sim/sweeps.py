"""The dataflow in time, an engine's whole frame at once: the same recurrences as ``cycles.py``, solved by repeated sweeps.

An engine's time is its own clock plus the stalls so far, and stalls only grow. With what its neighbours did taken as given,
the times of a whole frame are therefore one running maximum:

    t[j] = at[j] + max over i <= j of (limit[i] - at[i]),

``at`` the position on the engine's own clock and ``limit`` the earliest time that tokens and free slots allow. An engine is worked
out anew whenever a neighbour's times have changed. An action depends on earlier ones only (else the design stands still),
so whatever times one starts from, this ends, and with the one solution that the recurrences have: where nothing changes any
more, every one of them holds. Sweeps go forward and backward in turn, and a frame starts from a guess after the one before it; a
few sweeps do. An engine whose guess holds already, because it and all that it waits for are guessed to follow their last frame by
the same time, is not worked out at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from psp_hw.folding.dataflow import Dataflow
from psp_hw.sim.process import CycleArray, Depths, program
from psp_hw.sim.regime import DeepFifo, lag_of
from psp_hw.sim.tracks import Link, Track

# Times that an engine is worked out per frame, on the average, before token by token is the faster way; a standstill never settles.
MOST_UPDATES = 48


class Sweeps:
    """The engines of a design, advanced frame by frame.

    Args:
        dataflow: engines and channels.
        depths: of pipelines and FIFOs.
        pace: cycles from one frame to the next at the input, at least.
    """

    def __init__(self, dataflow: Dataflow, depths: Depths, *, pace: int = 0) -> None:
        self._tracks = [Track(e.name, program(e, depths.of_pipeline(e))) for e in dataflow.engines]
        self._tracks[0].pace = pace
        index = {track.name: place for place, track in enumerate(self._tracks)}
        self._links: list[Link] = []
        for channel in dataflow.channels:
            link = Link(channel.name, depths.of_fifo(channel), index[channel.source], index[channel.target])
            self._links.append(link)
            self._tracks[link.target].inputs.append(link)
            self._tracks[link.source].outputs.append(link)
        self._finished: list[int] = []
        self._depths_changed = False  # since the last frame

    @property
    def frames(self) -> int:
        """Frames that are done."""
        return len(self._finished)

    def run_frame(self) -> bool:
        """One more frame; False where it does not settle, and then the object is of no more use."""
        for track in self._tracks:
            track.enter()
        order = range(len(self._tracks))
        stale = [self._depths_changed or not self._holds(track) for track in self._tracks]
        self._depths_changed = False
        left = MOST_UPDATES * len(order)
        forward = True
        while any(stale):
            for place in order if forward else reversed(order):
                if not stale[place]:
                    continue
                stale[place] = False
                self._update(self._tracks[place], stale)
                left -= 1
            if left <= 0:
                return False
            forward = not forward
        for track in self._tracks:
            track.leave()
        self._finished.append(int(self._tracks[-1].times[-1]) + 1)
        return True

    def _holds(self, track: Track) -> bool:
        """Whether the times that are guessed for an engine's frame are right as long as those of its neighbours are.

        They are where all that its last frame waited for comes later by the same time as they do.
        """
        shift = track.shift
        if not track.past or track.late_shift != shift:
            return False
        return all(self._tracks[link.source].shift == shift for link in track.inputs) and all(
            link.depth is None or _frees(self._tracks[link.target], link.depth, shift)
            for link in track.outputs
        )

    def _update(self, track: Track, stale: list[bool]) -> None:
        """Work one engine out anew; whom that concerns becomes stale.

        What asks for more than before, and no more than a neighbour grants already, leaves the neighbour as it is.
        """
        stalls = self._stalls(track)
        np.maximum.accumulate(stalls, out=stalls)
        stalls += track.at
        track.times, track.worked = stalls, True
        if track.inputs:
            read, guess = stalls[track.reads], track.read[-1]
            if np.count_nonzero(read != guess):
                track.read[-1] = read
                later = not np.count_nonzero(read < guess)
                for link in track.inputs:
                    # A FIFO that holds a whole frame is freed by frames that no longer change.
                    if link.depth is None or link.depth >= len(read) or stale[link.source]:
                        continue
                    written = self._tracks[link.source].written[-1]
                    stale[link.source] = not later or bool(
                        np.count_nonzero(written[link.depth :] <= read[: len(read) - link.depth])
                    )
        if track.outputs:
            written, guess = stalls[track.writes], track.written[-1]
            if np.count_nonzero(written != guess):
                track.written[-1] = written
                later = not np.count_nonzero(written < guess)
                for link in track.outputs:
                    if not stale[link.target]:
                        read = self._tracks[link.target].read[-1]
                        stale[link.target] = not later or bool(np.count_nonzero(read <= written))

    def _stalls(self, track: Track) -> CycleArray:
        """Least stall that each action of the frame asks for [actions], in cycles; the first no less than the last frame's."""
        stalls: CycleArray
        arrived = _latest([self._tracks[link.source].written[-1] for link in track.inputs])
        if arrived is not None and len(arrived) == len(track.at):
            stalls = arrived - track.read_early
        else:
            stalls = np.empty(len(track.at), dtype=np.int64)
            stalls.fill(track.late)
            if arrived is not None:
                stalls[track.reads] = arrived - track.read_early
        for link in track.outputs:
            if link.depth is not None:
                _wait_for_slots(stalls, track, self._tracks[link.target].read, link.depth)
        stalls[0] = max(stalls[0], track.late)
        return stalls

    @property
    def finished(self) -> tuple[int, ...]:
        """End of every frame at the output [frames]."""
        return tuple(self._finished)

    @property
    def lag(self) -> int:
        """How many frames back the times of a frame depend on."""
        bounded = ((link.depth, len(self._tracks[link.target].read[-1])) for link in self._links)
        return max((lag_of(depth, tokens) for depth, tokens in bounded if depth is not None), default=1)

    def later(self, frame: int, before: int, cycles: int) -> bool:
        """Whether every action of a frame comes so many cycles later than in an earlier one."""
        return all(np.array_equal(one.past[frame], one.past[before] + cycles) for one in self._tracks)

    def deep_fifos(self) -> list[DeepFifo]:
        """The bounded FIFOs that hold more than a frame."""
        found = []
        for link in self._links:
            written, read = self._tracks[link.source].written, self._tracks[link.target].read
            if link.depth is not None and link.depth > len(read[-1]):
                found.append(DeepFifo(link.depth, np.concatenate(written), np.concatenate(read)))
        return found

    def stalls(self) -> dict[str, int]:
        """Cycles that each engine stood still within the last frame."""
        lost = {}
        for track in self._tracks:
            lost[track.name] = int((track.times[-1] - track.times[0]) - (track.at[-1] - track.at[0]))
        return lost

    def begun(self) -> dict[str, int]:
        """Cycles by which the first action of each engine came later than its position; after the first frame."""
        assert self.frames == 1, "times of earlier frames are not kept"
        return {track.name: int(track.times[0] - track.at[0]) for track in self._tracks}

    def occupancies(self, names: Collection[str] | None = None) -> dict[str, int]:
        """Most tokens that each channel held so far, or each of some."""
        some = [link for link in self._links if names is None or link.name in names]
        for link in some:
            written, read = self._tracks[link.source].written, self._tracks[link.target].read
            for frame in range(link.counted, self.frames):  # frames that are done do not change
                if holds_more(written[frame], read[: frame + 1], link.held):
                    before = frame * len(written[frame])
                    link.held = occupancy(written[frame], np.concatenate(read), before)
            link.counted = self.frames
        return {link.name: link.held for link in some}

    def written(self) -> dict[str, CycleArray]:
        """When the tokens of all frames were written to each channel [tokens]."""
        return {link.name: np.concatenate(self._tracks[link.source].written) for link in self._links}

    def bounds(self) -> dict[str, int | None]:
        """Depth of each channel as simulated; None where it is unbounded."""
        return {link.name: link.depth for link in self._links}

    def bound(self, depths: Mapping[str, int]) -> None:
        """Depths of channels from now on [tokens], of each at least what it held so far."""
        for link in self._links:
            link.depth = depths[link.name]
        self._depths_changed = True


def occupancy(written: CycleArray, read: CycleArray, before: int = 0) -> int:
    """Most tokens in a channel whose tokens were written and read at these times [tokens], ascending.

    Args:
        before: tokens that were written before those.
    """
    gone = np.searchsorted(read, written, side="left")  # slots free when each token is written
    return int((np.arange(before + 1, before + len(written) + 1) - gone).max(initial=0))


def holds_more(written: CycleArray, read: Sequence[CycleArray], held: int) -> bool:
    """Whether a channel held more than some tokens when those of a frame were written: an earlier one by as many was still there.

    Args:
        written: when the tokens of the last frame were written [tokens].
        read: when tokens were read, frame by frame [tokens].
        held: as many as that.
    """
    tokens = len(written)
    whole, part = divmod(held, tokens)
    frame = len(read) - 1 - whole
    if frame < 0:
        return False
    if np.count_nonzero(read[frame][: tokens - part] >= written[part:]):
        return True
    return bool(part and frame and np.count_nonzero(read[frame - 1][tokens - part :] >= written[:part]))


def _frees(reader: Track, depth: int, shift: int) -> bool:
    """Whether slots of a FIFO are free so much later in a frame, as far as it is guessed, than in the one before (``_wait_for_slots``)."""
    whole, part = divmod(depth, len(reader.read[-1]))
    frame = len(reader.read) - 1 - whole
    if frame < 0:
        return True
    some = [*reader.shifts, reader.shift][max(frame - bool(part), 0) : frame + 1]
    return all(one == shift for one in some)


def _wait_for_slots(stalls: CycleArray, track: Track, read: Sequence[CycleArray], depth: int) -> None:
    """Raise the stalls of a track's writes to what a FIFO asks for: its slot of a token is free once ``depth`` later ones were read.

    Args:
        stalls: of every action of the last frame [actions].
        read: when the reader took the tokens, one array per frame [tokens].
    """
    tokens = len(read[-1])
    whole, part = divmod(depth, tokens)
    frame = len(read) - 1 - whole
    if frame < 0:
        return
    freed, some = read[frame][: tokens - part], slice(part, None)
    if part and frame:
        freed, some = np.concatenate((read[frame - 1][tokens - part :], freed)), slice(None)
    asked = freed - track.write_early[some]
    if isinstance(track.writes, slice):
        written = stalls[track.writes][some]
        np.maximum(written, asked, out=written)
    else:
        at = track.writes[some]
        stalls[at] = np.maximum(stalls[at], asked)


def _latest(times: Sequence[CycleArray]) -> CycleArray | None:
    """The latest of several times of each token [tokens]; None of none."""
    if not times:
        return None
    latest = times[0]
    for other in times[1:]:
        latest = np.maximum(latest, other)
    return latest
