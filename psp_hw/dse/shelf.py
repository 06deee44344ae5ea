"""The options of all engines one below the other: those that matter for an interval are found in one step.

Of the options that meet an interval only those matter that no other which meets it beats in every resource; they are a few per
engine. An option matters from its own interval on, until the interval of the first that beats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from psp_hw.dse.arrays import CostArray, FloatArray, Indices
from psp_hw.dse.options import Options
from psp_hw.dse.pareto import matters_until


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The options that matter for an interval.

    Args:
        costs: resources, engine after engine [n, 5].
        own: which of its engine's options each is [n].
        starts: where those of each engine begin [engines].
        whole: whether every engine has one.
    """

    costs: CostArray
    own: Indices
    starts: Indices
    whole: bool

    @property
    def lists(self) -> list[CostArray]:
        """Resources by engine [options, 5]."""
        return [self.costs[start:end] for start, end in self._bounds]

    @property
    def least(self) -> CostArray:
        """The least of every resource for itself, of all engines together [5]."""
        if not len(self.starts):
            return np.zeros(self.costs.shape[1], dtype=np.int64)
        return np.asarray(np.minimum.reduceat(self.costs, self.starts).sum(axis=0), dtype=np.int64)

    def cheapest(self, prices: FloatArray) -> list[int]:
        """The option of each engine that costs least, the first of equals.

        Args:
            prices: cost of one of each resource [5].
        """
        scores = self.costs @ prices
        return [int(scores[start:end].argmin()) for start, end in self._bounds]

    @property
    def _bounds(self) -> list[tuple[int, int]]:
        """Where the options of each engine begin and end; none where no engine has any to choose."""
        return list(pairwise([*self.starts.tolist(), len(self.costs)]))

    def picks(self, chosen: Sequence[int]) -> tuple[int, ...]:
        """Options as their engines count them, of some as they are counted here, one per engine; further ones stay as they are."""
        count = len(self.starts)
        at = self.starts + np.array(chosen[:count], dtype=np.intp)
        return (*self.own[at].tolist(), *chosen[count:])


class Shelf:
    """The options of some engines."""

    def __init__(self, options: Sequence[Options]) -> None:
        counts = [len(one.intervals) for one in options]
        self._options = tuple(options)
        self._row = np.repeat(np.arange(len(counts)), counts)
        self._own = np.concatenate([np.arange(0), *(np.arange(count) for count in counts)])
        none = np.zeros(0, dtype=np.int64)
        self._from = np.concatenate([none, *(one.intervals for one in options)])
        self._until = np.concatenate([none, *(_until(one) for one in options)])
        self._costs = np.concatenate([np.zeros((0, 5), dtype=np.int64), *(one.costs for one in options)])

    def holds(self, options: Sequence[Options]) -> bool:
        """Whether these are its options."""
        return len(options) == len(self._options) and all(
            one is other for one, other in zip(options, self._options, strict=True)
        )

    def at(self, interval: int) -> Shown:
        """The options that matter for an interval."""
        some = np.flatnonzero((self._from <= interval) & (self._until > interval))
        counts = np.bincount(self._row[some], minlength=len(self._options))
        starts = np.cumsum(counts) - counts
        return Shown(self._costs[some], self._own[some], starts, bool((counts > 0).all()))


def _until(options: Options) -> CostArray:
    return options.until if options.until is not None else matters_until(options.intervals, options.costs)
