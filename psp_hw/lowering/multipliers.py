"""Integer multipliers that do as real maps do, all channels of a layer at once (docs/qonnx.md).

A layer of a DenseNet has a thousand channels of 255 steps each. So steps are found in float64 wherever that proves which integer
is meant, and exactly elsewhere; bounds of offsets are found in int64 where that holds them, else in integers of any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from psp_hw.arith.fixed_point import Interval
from psp_hw.arith.requantize import IntArray
from psp_hw.lowering.exact import RoundedMap

# Relative error that a sum of two products of float64 stays below by far: four roundings of 2**-53.
FLOAT_ERROR = 2.0**-50

# Bounds of offsets are computed in int64 while none can pass this.
MOST_INT64 = 1 << 62

# Steps of a channel that are found one by one; of more, all are found together.
MOST_SINGLE_STEPS = 32

# Channels that are tried first: a multiplier that is too short mostly fails at one of the first.
FIRST_TRIED = 4


def levels_of(maps: Sequence[RoundedMap]) -> IntArray:
    """The level that each step reaches, or leaves where the map falls [C, hi - lo]: all maps have the bounds of the first."""
    lo, hi = maps[0].lo, maps[0].hi
    rising = np.arange(lo + 1, hi + 1, dtype=np.int64)
    falls = np.array([m.falls for m in maps])
    return np.where(falls[:, None], rising[::-1], rising)


def all_steps(maps: Sequence[RoundedMap], entering: Sequence[Interval]) -> IntArray:
    """``RoundedMap.steps`` of every channel.

    Args:
        maps: one per channel, of equal bounds.
        entering: the integers that occur, by channel, of magnitude below 2**62.

    Returns:
        [C, hi - lo].
    """
    lines = [_line(m) for m in maps]
    slope, start = (np.array([line[i] for line in lines])[:, None] for i in range(2))
    lo, hi = _ends(entering)
    levels = levels_of(maps)
    largest = np.maximum(np.abs(lo), np.abs(hi)) + 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        places = slope * levels + start
        error = FLOAT_ERROR * (np.abs(start) + np.abs(slope) * np.abs(levels) + largest)
        rest = places - np.floor(places)
        below, above = places < lo - 1.0 - error, places > hi + 1.0 + error
        # What has a fraction in float64 is below 2**53.
        inside = ~below & ~above & (rest > error) & (rest < 1.0 - error)
    near = np.floor(np.where(inside, places, 0.0)).astype(np.int64) + 1
    found = np.where(below, lo, np.where(above, hi + 1, np.clip(near, lo, hi + 1)))
    certain = below | above | inside
    for channel in np.flatnonzero(~certain.all(axis=1)).tolist():
        m, doubted = maps[channel], np.flatnonzero(~certain[channel])
        if len(doubted) > MOST_SINGLE_STEPS:
            found[channel] = m.steps(entering[channel])
            continue
        for place in doubted.tolist():
            level = int(levels[channel, place])
            found[channel, place] = replace(m, lo=level - 1, hi=level).steps(entering[channel])[0]
    return np.asarray(found, dtype=np.int64)


def _ends(entering: Sequence[Interval]) -> tuple[IntArray, IntArray]:
    """The least and the largest integer that occurs [C, 1]."""
    ends = np.array([(e.lo, e.hi) for e in entering], dtype=np.int64)
    return ends[:, :1], ends[:, 1:]


def _line(m: RoundedMap) -> tuple[float, float]:
    """Slope and start of the places where a map passes the half before a level; not a number where float64 has none."""
    if m.scale == 0:
        return math.nan, math.nan
    try:
        return float(1 / m.scale), float(-(m.offset + Fraction(1, 2)) / m.scale)
    except OverflowError:
        return math.nan, math.nan


def integer_maps(
    maps: Sequence[RoundedMap], steps: IntArray, entering: Sequence[Interval], shift: int
) -> tuple[list[int], list[int]] | None:
    """Integers that do as the maps do, on every integer that enters.

    Each step bounds the offset: ``scale * m + offset`` has reached the half before the level at the step, not one integer
    before it. A tie goes to the even level.

    Args:
        maps: one per channel, of equal bounds.
        steps: ``all_steps(maps, entering)`` [C, hi - lo].
        shift: right shift of the rounding [bits], at least 1.

    Returns:
        per channel ``(scale, offset)`` with ``clip(round_half_even((scale * m + offset) / 2**shift))`` equal to the map; the
        offset closest to the real one. None where for some channel no offset suits the two scales next to the real one.
    """
    scales = [0] * len(maps)
    offsets = [m(0) << shift if m.scale == 0 else 0 for m in maps]
    sloped = [channel for channel, m in enumerate(maps) if m.scale != 0]
    at, count = 0, FIRST_TRIED
    while at < len(sloped):
        some = sloped[at : at + count]
        found = _suiting([maps[c] for c in some], steps[some], [entering[c] for c in some], shift)
        if found is None:
            return None
        for channel, (scale, offset) in zip(some, found, strict=True):
            scales[channel], offsets[channel] = scale, offset
        at, count = at + count, 4 * count
    return scales, offsets


def _suiting(
    maps: Sequence[RoundedMap], steps: IntArray, entering: Sequence[Interval], shift: int
) -> list[tuple[int, int]] | None:
    """Scale and offset of maps that are not constant; None where some map has none."""
    nearest = [_candidates(m, shift) for m in maps]
    found: dict[int, tuple[int, int]] = {}
    for rank in range(2):
        left = [index for index in range(len(maps)) if index not in found]
        if not left:
            break
        some, scales = [maps[i] for i in left], [nearest[i][rank] for i in left]
        bounds = _offset_bounds(some, scales, steps[left], [entering[i] for i in left], shift)
        for index, scale, (low, high) in zip(left, scales, bounds, strict=True):
            if low <= high:
                found[index] = scale, min(max(_rounded(maps[index].offset, shift), low), high)
    return [found[index] for index in range(len(maps))] if len(found) == len(maps) else None


def _offset_bounds(
    maps: Sequence[RoundedMap],
    scales: Sequence[int],
    steps: IntArray,
    entering: Sequence[Interval],
    shift: int,
) -> list[tuple[int, int]]:
    """The least and the largest offset with which each scale steps where its map does; there is none where they are crossed."""
    first = maps[0]
    beyond = (first.hi - first.lo + abs(first.hi) + 1) << shift
    largest = [abs(s) * (e.magnitude + 1) + beyond for s, e in zip(scales, entering, strict=True)]
    kind = np.dtype(np.int64 if max(largest) < MOST_INT64 else object)
    levels = levels_of(maps)
    odd = (levels % 2).astype(kind)
    halves = (2 * levels - 1).astype(kind) * (1 << (shift - 1))
    falls = np.array([m.falls for m in maps])[:, None]
    lo, hi = _ends(entering)
    most = np.array(largest, dtype=kind)[:, None]
    slopes = np.array(scales, dtype=kind)[:, None]
    reached, missed = steps - falls, steps - ~falls
    least = np.where((lo <= reached) & (reached <= hi), halves - slopes * reached + odd, -most)
    top = np.where((lo <= missed) & (missed <= hi), halves - slopes * missed - (1 - odd), most)
    lows, highs = (
        np.concatenate([least, -most], axis=1).max(axis=1),
        np.concatenate([top, most], axis=1).min(axis=1),
    )
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _candidates(m: RoundedMap, shift: int) -> tuple[int, int]:
    """The two integers next to a scale, the nearer one first."""
    below, rest = divmod(m.scale.numerator << shift, m.scale.denominator)
    return (below, below + 1) if 2 * rest <= m.scale.denominator else (below + 1, below)


def _rounded(value: Fraction, shift: int) -> int:
    """``round(value * 2**shift)``."""
    whole, rest = divmod(value.numerator << shift, value.denominator)
    twice = 2 * rest - value.denominator
    return whole + (twice > 0 or (twice == 0 and whole % 2 == 1))
