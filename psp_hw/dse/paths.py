"""What depends on the fold of a convolution, its multipliers and where its weights are, option by option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray, Indices
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind


@dataclass(frozen=True, slots=True)
class Datapath:
    """What depends on the fold, the multipliers and where the weights are: words per window, depth [cycles], resources [5]."""

    fold: Fold
    multipliers: MultiplierKind
    memory: MemoryKind
    words: int
    depth: int
    cost: tuple[int, ...]


class Datapaths(Sequence[Datapath]):
    """Data paths in one array; each an object only when it is asked for.

    Args:
        rows: words, depth, resources [n, 7].
        way: fold, multipliers and memory of a row.
    """

    def __init__(
        self, rows: CostArray, way: Callable[[int], tuple[Fold, MultiplierKind, MemoryKind]]
    ) -> None:
        self.rows, self._way = rows, way

    @staticmethod
    def of(paths: Sequence[Datapath]) -> Datapaths:
        """Of objects that are there."""
        rows = np.array([(path.words, path.depth, *path.cost) for path in paths], dtype=np.int64)
        return Datapaths(
            rows.reshape(len(paths), 2 + len(Resource)),
            lambda at: (paths[at].fold, paths[at].multipliers, paths[at].memory),
        )

    def and_then(self, others: Datapaths) -> Datapaths:
        """These, and others after them."""
        count = len(self)
        return Datapaths(
            np.concatenate([self.rows, others.rows]),
            lambda at: self.way(at) if at < count else others.way(at - count),
        )

    def only(self, places: Indices) -> Datapaths:
        """Some of these."""
        return Datapaths(self.rows[places], lambda at: self.way(int(places[at])))

    def way(self, at: int) -> tuple[Fold, MultiplierKind, MemoryKind]:
        """Fold, multipliers and memory of one."""
        return self._way(at)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Datapath: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Datapath]: ...

    def __getitem__(self, at: int | slice) -> Datapath | Sequence[Datapath]:
        if isinstance(at, slice):
            return [self[index] for index in range(len(self))[at]]
        words, depth, *cost = self.rows[at].tolist()
        return Datapath(*self.way(range(len(self))[at]), words, depth, tuple(cost))
