"""What a simulation by sweeps keeps of each engine and of each channel (``psp_hw.sim.sweeps``)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.sim.process import CycleArray, Program

_Places = slice | npt.NDArray[np.intp]


def _places(taken: npt.NDArray[np.bool_]) -> _Places:
    """Where something is true: a slice, which is quicker to take, where those places follow each other."""
    places = np.flatnonzero(taken)
    if len(places) and int(places[-1]) - int(places[0]) + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


@lru_cache(maxsize=4096)
def _read_and_written(steps: Program) -> tuple[_Places, _Places, CycleArray, CycleArray]:
    """The actions that take and that give tokens, and the times of tokens and free slots that ask for nothing of each, in the frame at 0.

    Engines share programs; arrays are not to be written to.
    """
    reads, writes = _places(steps.reads), _places(steps.writes)
    return reads, writes, steps.at[reads] - 1, steps.at[writes] - 1


class Link:
    """A channel from the engine of index ``source`` to that of index ``target``; a depth of None is unbounded.

    ``held`` is the most tokens that it held in the first ``counted`` frames.
    """

    __slots__ = ("counted", "depth", "held", "name", "source", "target")

    def __init__(self, name: str, depth: int | None, source: int, target: int) -> None:
        self.name, self.depth, self.source, self.target = name, depth, source, target
        self.held = self.counted = 0


class Track:
    """One engine's times, frame by frame.

    ``read`` and ``written`` hold the times of its tokens [tokens], one array per frame; ``times`` those of every action of the
    last frame [actions], ``before`` of the frame before it, ``past`` of all frames that are done.

    A stall is counted from the positions ``at`` of a frame that begins at 0, whichever frame it is in: ``late`` is the least of
    the last frame, ``late_shift`` what that is more than in the frame before it. ``shift`` is by how many cycles the last frame is guessed to
    follow the one before it, ``shifts`` by how many every action of each frame that is done did, None where they differ.
    """

    __slots__ = (
        "at",
        "before",
        "inputs",
        "late",
        "late_shift",
        "length",
        "name",
        "outputs",
        "pace",
        "past",
        "read",
        "read_early",
        "reads",
        "shift",
        "shifts",
        "times",
        "worked",
        "write_early",
        "writes",
        "written",
    )

    def __init__(self, name: str, steps: Program) -> None:
        self.name, self.length = name, steps.length
        self.at = steps.at
        # The earliest times that tokens and free slots ask for nothing of each.
        self.reads, self.writes, self.read_early, self.write_early = _read_and_written(steps)
        self.inputs: list[Link] = []
        self.outputs: list[Link] = []
        self.late = self.late_shift = 0
        self.shift = 0
        self.shifts: list[int | None] = []
        self.worked = False  # out, within the last frame
        self.pace = 0  # cycles from the first action of a frame to that of the next, at least
        self.times: CycleArray = self.at  # of the first frame, without a stall
        self.before: CycleArray = self.times
        self.read: list[CycleArray] = []
        self.written: list[CycleArray] = []
        self.past: list[CycleArray] = []

    def enter(self) -> None:
        """Begin a frame, with its times guessed: as far behind the last frame as that was behind the one before it.

        A guess that is too early is put right quickly; tokens and slots that are guessed too late hold each other up.
        """
        if not self.read:
            self.read.append(self.at[self.reads])
            self.written.append(self.at[self.writes])
            return
        shift = self.length if len(self.read) < 2 else int(self.times[-1] - self.before[-1])
        paced = int(self.times[0] - self.at[0]) + self.pace
        late = max(int(self.times[-1] - self.at[-1]) + self.length, paced)
        self.late, self.late_shift = late, late - self.late
        self.before, self.times = self.times, self.times + shift
        self.worked = False
        reads, writes = self.reads, self.writes
        # What stands side by side is seen in the times themselves.
        self.read.append(self.times[reads] if isinstance(reads, slice) else self.read[-1] + shift)
        self.written.append(self.times[writes] if isinstance(writes, slice) else self.written[-1] + shift)
        self.shift = shift

    def leave(self) -> None:
        """End a frame."""
        if not self.past:
            self.shifts.append(None)
        elif self.worked:
            shift = int(self.times[-1] - self.before[-1])
            self.shifts.append(None if np.count_nonzero(self.times - shift != self.before) else shift)
        else:
            self.shifts.append(self.shift)
        self.past.append(self.times)
