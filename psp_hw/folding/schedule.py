"""When an engine takes and gives tokens: the steps of its loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.folding.scan import BoolArray

# Schedules that are kept: engines of a network share most of theirs.
KEPT_SCHEDULES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Steps of one frame; equal only to itself. Its arrays are not to be written to.

    Args:
        reads: whether the step takes a token [steps].
        writes: whether the step gives a token [steps].
        cycles: how long the step lasts [steps], in cycles.
    """

    reads: BoolArray
    writes: BoolArray
    cycles: npt.NDArray[np.int64]

    @property
    def iterations(self) -> int:
        """Cycles of a frame without stalls: trip count of the flat loop."""
        return int(self.cycles.sum())


def token_per_cycle(tokens: int) -> Schedule:
    """A token taken and given in every cycle."""
    return blocks_per_token(tokens, 1)


@lru_cache(maxsize=KEPT_SCHEDULES)
def blocks_per_token(tokens: int, blocks: int) -> Schedule:
    """A token taken, worked on for some cycles and given; the same schedule for the same numbers."""
    every = np.ones(tokens, dtype=np.bool_)
    return Schedule(every, every, np.full(tokens, blocks, dtype=np.int64))
