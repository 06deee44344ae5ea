"""Connection tables: which input each multiplier takes in which cycle, found from the zeros of the weights alone.

A convolution sums ``N = T * Ci`` columns (c, r, s) per output channel. Output channels are computed in blocks of ``pe``; a block
needs the columns in which any of its channels has a weight. A *word* is what is multiplied in one cycle: up to ``lanes`` columns
of one block, with ``pe`` weights each. So an output pixel takes

    sum over blocks of max(1, ceil(needed / lanes))

cycles, whichever structure the zeros belong to. Nothing says which weights a method meant to prune.

Every lane has a constant list of the columns that it can take, its *candidates*, and a word selects one of them by a small
number. Where all blocks need the same columns, or nearly so (column and channel pruning), lane m takes every ``lanes``-th of
them and the number is the place of the word in its block. Elsewhere columns are dealt to lanes so that every block meets them
evenly; a block that would load a lane with too many takes some in another lane, whose list grows by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.arith.requantize import IntArray
from psp_hw.folding.grouping import grouped
from psp_hw.folding.lanes import RESTS, Deal, Hand, PlaceArray, deal

BoolArray = npt.NDArray[np.bool_]

# Tables kept for the next question about the same weights: those of a whole network, as a search asks for them again.
KEPT_TABLES = 128
KEPT_BLOCKS = 1024


# Blocks share one list of columns unless this share of it is unneeded on average: single weights that quantization made zero are not
# worth a memory of selections.
LEAST_DIFFERENCE = 1 / 8


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which weights of a convolution are not zero.

    Args:
        taps, in_channels, out_channels: T, Ci, Co.
        bits: one bit per weight [Co, T * Ci], packed.
    """

    taps: int
    in_channels: int
    out_channels: int
    bits: bytes

    @staticmethod
    def of(weight: IntArray) -> Pattern:
        """The pattern of weights [T, Ci, Co]."""
        taps, in_channels, out_channels = weight.shape
        alive = (weight != 0).reshape(taps * in_channels, out_channels).T
        return Pattern(taps, in_channels, out_channels, np.packbits(alive).tobytes())

    @property
    def columns(self) -> int:
        """N = T * Ci."""
        return self.taps * self.in_channels

    def alive(self) -> BoolArray:
        """Whether output channel k has a weight in column t * Ci + c [Co, N]."""
        packed = np.frombuffer(self.bits, dtype=np.uint8)
        flat = np.unpackbits(packed, count=self.out_channels * self.columns)
        return flat.astype(np.bool_).reshape(self.out_channels, self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Output channels in blocks of ``pe``.

    Args:
        order: output channels in the order in which they are computed [Co].
        needed: columns that each block takes [blocks, N].
    """

    order: PlaceArray
    needed: BoolArray

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Columns that each block takes [blocks]."""
        return np.asarray(self.needed.sum(axis=1), dtype=np.int64)

    @property
    def most(self) -> int:
        """Columns of the block that needs most; at least 1."""
        return max(1, int(self.counts.max()))

    def lengths(self, lanes: int) -> npt.NDArray[np.int64]:
        """Words of each block [blocks]."""
        return np.maximum(1, -(-self.counts // lanes))


@dataclass(frozen=True, eq=False)
class ConnectionTable:
    """What each lane takes in each word.

    Args:
        pattern: the weights that are not zero.
        blocks: output channels block by block.
        kinds: which kind of block each is [blocks].
        deal: which lane takes each column, by kind.
    """

    pattern: Pattern
    blocks: Blocks
    kinds: tuple[int, ...]
    deal: Deal

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Words of each block."""
        return tuple(self.blocks.lengths(self.lanes).tolist())

    @property
    def words(self) -> int:
        """Words in all: cycles per output pixel."""
        return sum(self.lengths)

    @property
    def lanes(self) -> int:
        """Operands per word."""
        return len(self.deal.lists)

    @property
    def ways(self) -> int:
        """Candidates of the lane that has most."""
        return self.deal.ways

    @property
    def in_turn(self) -> bool:
        """All blocks need the same columns and every lane takes its list from first to last, or there is nothing to select."""
        return len(self.deal.needed) == 1 or self.ways == 1

    @property
    def select_bits(self) -> int:
        """Width of a selection that is kept in a memory; 0 where nothing is kept [bits]."""
        return 0 if self.in_turn else (self.ways - 1).bit_length()

    @property
    def equal(self) -> bool:
        """All blocks have one number of words."""
        return len(set(self.lengths)) == 1

    @property
    def order(self) -> PlaceArray:
        """Output channels in the order in which they are computed [Co]."""
        return self.blocks.order

    @property
    def ordered(self) -> bool:
        """Output channels are computed in the order in which they leave."""
        return bool((np.diff(self.order) > 0).all())

    @cached_property
    def _hands(self) -> list[Hand]:
        return self.deal.hands()

    @property
    def columns(self) -> PlaceArray:
        """Column ``t * Ci + c`` that a lane takes, RESTS where it takes none [words, lanes]."""
        return np.concatenate([self._hands[kind][0] for kind in self.kinds])

    @property
    def select(self) -> PlaceArray:
        """Place of the column in the list of its lane; 0 where a lane rests [words, lanes]."""
        return np.concatenate([self._hands[kind][1] for kind in self.kinds])

    @property
    def candidates(self) -> PlaceArray:
        """Columns that each lane can take [lanes, ways]; a shorter list repeats its last."""
        return self.deal.candidates

    @property
    def kept(self) -> tuple[int, ...]:
        """Input channels that some output needs, those first that the oldest taps need; channel 0 where none is needed."""
        first = self._first_taps
        found = [c for c in np.argsort(first, kind="stable").tolist() if first[c] < self.pattern.taps]
        return tuple(found) or (0,)

    @property
    def held(self) -> tuple[int, ...]:
        """How many of the kept channels each tap's register holds: those that it or an older tap needs; at least 1 [T]."""
        first = self._first_taps
        return tuple(max(1, int((first <= tap).sum())) for tap in range(self.pattern.taps))

    @cached_property
    def _first_taps(self) -> npt.NDArray[np.int64]:
        """The oldest tap that needs each channel, T where none does [Ci]."""
        used = self.deal.needed.any(axis=0).reshape(self.pattern.taps, self.pattern.in_channels)
        return np.where(used.any(axis=0), used.argmax(axis=0), self.pattern.taps)

    @property
    def registers(self) -> PlaceArray:
        """The window's register behind every candidate: tap * len(kept) + place among the kept channels [lanes, ways]."""
        kept = self.kept
        place = np.zeros(self.pattern.in_channels, dtype=np.int32)
        place[list(kept)] = np.arange(len(kept), dtype=np.int32)
        tap, channel = np.divmod(self.candidates, self.pattern.in_channels)
        return np.asarray(tap * len(kept) + place[channel], dtype=np.int32)

    @property
    def ends(self) -> PlaceArray:
        """1 in the last word of a block, else 0 [words]."""
        found = np.zeros(self.words, dtype=np.int32)
        found[np.cumsum(self.lengths) - 1] = 1
        return found

    def weight_words(self, weight: IntArray) -> IntArray:
        """Weights [T, Ci, Co] in the order in which they are read: output channel slowest in a word [words, pe * lanes]."""
        columns = self.columns
        rows = np.repeat(self.order.reshape(len(self.lengths), -1), self.lengths, axis=0)
        flat = weight.reshape(-1, weight.shape[-1])
        taken = flat[np.maximum(columns, 0)[:, None, :], rows[:, :, None]]
        return np.where((columns != RESTS)[:, None, :], taken, 0).reshape(self.words, -1)


@lru_cache(maxsize=KEPT_BLOCKS)
def blocks_of(pattern: Pattern, pe: int) -> Blocks:
    """Output channels in blocks of ``pe``, those together that need the same columns as far as found.

    Where the blocks need almost the same, all take the columns that any of them needs.
    """
    alive = pattern.alive()
    order = grouped(alive, pe)
    needed = np.asarray(alive[order].reshape(-1, pe, pattern.columns).any(axis=1))
    union = np.asarray(needed.any(axis=0))
    if needed.sum() > (1 - LEAST_DIFFERENCE) * len(needed) * union.sum():
        order, needed = np.arange(len(alive)), np.repeat(union[None, :], len(needed), axis=0)
    return Blocks(order.astype(np.int32), needed)


@lru_cache(maxsize=KEPT_TABLES)
def connect(pattern: Pattern, pe: int, lanes: int) -> ConnectionTable:
    """The connection table of a pattern for blocks of ``pe`` output channels and ``lanes`` operands per cycle.

    Args:
        pe: divides Co.
        lanes: at least 1.

    Returns:
        A table in which every weight that is not zero has exactly one place.
    """
    blocks = blocks_of(pattern, pe)
    needed, kinds = _kinds(blocks)
    return ConnectionTable(pattern, blocks, kinds, deal(needed, pattern.in_channels, lanes))


@lru_cache(maxsize=KEPT_BLOCKS)
def _kinds(blocks: Blocks) -> tuple[BoolArray, tuple[int, ...]]:
    """What different blocks need [kinds, N], and which of those each block needs [blocks]."""
    needed = blocks.needed
    rows = [row.tobytes() for row in np.packbits(needed, axis=1)]
    first = {row: len(rows) - 1 - at for at, row in enumerate(reversed(rows))}
    places = {row: place for place, row in enumerate(sorted(first))}
    return needed[[first[row] for row in places]], tuple(places[row] for row in rows)
