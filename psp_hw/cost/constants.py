"""Products with constants and the trees that sum them, each value at the width of its exact range.

A constant fixes what a product can be: of an 8-bit input and 5 it has 11 bits, of 96 = 3 * 2**5 it has 10 and five zeros below, which
nobody computes and no register holds. A power of two is the input itself, whichever its sign, and equal constants of one input are one
product. A sum begins at the lowest bit that any of its operands has; what only one of them has passes by the adder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.cost.bill import Add, ConstantMultiply, Item

# Matrices that are kept: those of a network whose layers fit whole.
KEPT_MATRICES = 256

# Numbers up to this are counted one by one.
FEW_NUMBERS = 4096

# Zeros below a number that is zero: more than any width.
ALL_ZEROS = 64


@dataclass(frozen=True, slots=True)
class ConstantSums:
    """What a matrix of constants comes to.

    Args:
        products, adders: what is computed.
        entering: bits of the inputs that some constant meets.
        live: bits behind the products, and behind each level of the trees.
    """

    products: tuple[Item, ...]
    adders: tuple[Item, ...]
    entering: int
    live: tuple[int, ...]


def constant_sums(matrix: IntArray, fmt: FixedPoint, most: int) -> ConstantSums:
    """Products of inputs with constants, and the trees that sum them, output by output.

    Args:
        matrix: constants of each input for each output [inputs, outputs], at most 31 bits wide.
        fmt: of every input, at most 31 bits wide.
        most: no sum is wider [bits].
    """
    return _constant_sums(matrix.astype(np.int64, copy=False).tobytes(), matrix.shape[0], fmt, most)


@lru_cache(maxsize=KEPT_MATRICES)
def _constant_sums(values: bytes, inputs: int, fmt: FixedPoint, most: int) -> ConstantSums:
    matrix = np.frombuffer(values, dtype=np.int64).reshape(inputs, -1)
    products, bits = _products(matrix, fmt)
    adders, live = _trees(matrix, fmt, most)
    return ConstantSums(
        products=products,
        adders=adders,
        entering=fmt.width * int(matrix.any(axis=1).sum()),
        live=(bits, *live),
    )


def _products(matrix: IntArray, fmt: FixedPoint) -> tuple[tuple[Item, ...], int]:
    """The different products of each input, and the bits of all: a power of two is the input itself."""
    ordered = np.sort(matrix, axis=1)
    first = np.diff(ordered, axis=1, prepend=ordered[:, :1] - 1) != 0
    values = ordered[first & (ordered != 0)]
    powers = _powers_of_two(matrix)
    wired = int((powers.any(axis=1)).sum()) * fmt.width
    rich = values[~_powers_of_two(values)]
    bits = wired + int(_widths(*_ranges(rich >> _zeros_below(rich), fmt)).sum())
    return _priced(np.abs(values), fmt), bits


def _priced(magnitudes: IntArray, fmt: FixedPoint) -> tuple[Item, ...]:
    """Products of an input with each."""
    values, counts = _counted(magnitudes)
    found = zip(values.tolist(), signed_digits(values).tolist(), counts.tolist(), strict=True)
    return tuple(Item(ConstantMultiply(fmt.width, value.bit_length(), n), count) for value, n, count in found)


def _counted(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The different numbers, ascending, and how often each is there; where they are small in one go."""
    if numbers.max(initial=0) > FEW_NUMBERS:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers)
    values = np.flatnonzero(counts)
    return values, counts[values]


def _adders(widths: IntArray) -> tuple[Item, ...]:
    """Adders of these widths."""
    values, counts = _counted(widths)
    return tuple(Item(Add(bits), n) for bits, n in zip(values.tolist(), counts.tolist(), strict=True))


def _trees(matrix: IntArray, fmt: FixedPoint, most: int) -> tuple[tuple[Item, ...], list[int]]:
    """Adders by width, and the bits behind each level. Constants that are zero leave no place in a tree.

    A sum is one bit wider than its wider operand, as the tools have it; what cannot be below zero needs no sign.
    """
    order = np.argsort(matrix == 0, axis=0, kind="stable")
    leaves = np.take_along_axis(matrix, order, axis=0)
    low, high = _ranges(leaves, fmt)
    bits, signed, zeros = _widths(low, high), low < 0, _zeros_below(leaves)
    adders: list[IntArray] = []
    live = []
    while len(bits) > 1:
        if len(bits) % 2:
            bits, signed = (np.concatenate([one, np.zeros_like(one[:1])]) for one in (bits, signed))
            zeros = np.concatenate([zeros, np.full_like(zeros[:1], ALL_ZEROS)])
        (left, right), (left_signed, right_signed) = (bits[::2], bits[1::2]), (signed[::2], signed[1::2])
        both = np.maximum(zeros[::2], zeros[1::2])
        summed = both < ALL_ZEROS
        signed, zeros = left_signed | right_signed, np.minimum(zeros[::2], zeros[1::2])
        wider = np.maximum(left + (signed & ~left_signed), right + (signed & ~right_signed)) + 1
        bits = np.where(summed, np.minimum(wider, most), np.maximum(left, right))
        adders.append(np.maximum(bits - both, 1)[summed])
        live.append(int(np.maximum(bits - zeros, 0).sum()))
    return _adders(np.concatenate(adders) if adders else np.zeros(0, dtype=np.int64)), live


def affine_sums(scale: IntArray, offset: IntArray, fmt: FixedPoint) -> ConstantSums:
    """Products of every channel with its constant, and of these with their offsets.

    Args:
        scale, offset: constants [channels].
        fmt: of every input.
    """
    zeros, below = _zeros_below(scale), _zeros_below(offset)
    odd = _widths(*_ranges(scale >> np.minimum(zeros, ALL_ZEROS - 1), fmt))
    products = np.where(_powers_of_two(scale), fmt.width, odd)
    low, high = _ranges(scale, fmt)
    wide = _widths(low + offset, high + offset)
    added = (offset != 0) & (scale != 0)
    sums = np.where(added, np.maximum(wide - np.minimum(zeros, below), 0), products)
    some = scale[scale != 0]
    return ConstantSums(
        products=_priced(np.abs(some), fmt),
        adders=_adders(np.maximum(wide - np.maximum(zeros, below), 1)[added]),
        entering=fmt.width * len(some),
        live=(int(products.sum()), int(sums.sum())),
    )


def _ranges(constants: IntArray, fmt: FixedPoint) -> tuple[IntArray, IntArray]:
    """Least and greatest product of each constant with an input."""
    ends = constants * fmt.min, constants * fmt.max
    return np.minimum(*ends), np.maximum(*ends)


def _widths(low: IntArray, high: IntArray) -> IntArray:
    """Bits of the narrowest numbers that hold each range; none where there is only zero."""
    below = bit_lengths(np.maximum(-low - 1, 0))
    return np.maximum(below, bit_lengths(np.maximum(high, 0))) + (low < 0)


def bit_lengths(values: IntArray) -> IntArray:
    """Bits of numbers from zero on, exact below 2**53."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def _zeros_below(values: IntArray) -> IntArray:
    """Zeros below the lowest bit that is set."""
    lowest = values & -values
    return np.where(values == 0, ALL_ZEROS, bit_lengths(lowest) - 1)


def _powers_of_two(values: IntArray) -> npt.NDArray[np.bool_]:
    magnitude = np.abs(values)
    return np.asarray((magnitude != 0) & ((magnitude & (magnitude - 1)) == 0))


def signed_digits(magnitude: IntArray) -> IntArray:
    """Nonzero digits of the canonical signed digit form of each number (no two are adjacent, hence fewest).

    Source: the digits are where x and 3 x differ in binary (Prodinger, "On binary representations of integers with
    digits -1, 0, 1", Integers 0, 2000).
    """
    differing = (magnitude ^ (3 * magnitude)).astype(np.uint64)
    count = np.zeros(magnitude.shape, dtype=np.int64)
    while differing.any():
        count += (differing & np.uint64(1)).astype(np.int64)
        differing >>= np.uint64(1)
    return count
