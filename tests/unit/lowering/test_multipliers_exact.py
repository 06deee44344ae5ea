"""Integer multipliers of a whole layer against the plainest definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import Interval
from psp_hw.lowering.exact import RoundedMap
from psp_hw.lowering.multipliers import all_steps, integer_maps

ratios = st.fractions(min_value=-4, max_value=4, max_denominator=64)
# From what float64 resolves to what it cannot hold.
anything = st.one_of(
    ratios,
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.builds(Fraction, st.integers(-(2**70), 2**70), st.integers(1, 2**70)),
)
huge = st.sampled_from([Fraction(2) ** 1100, -(Fraction(2) ** -1100), Fraction(0)])
nudges = st.sampled_from([-1, 0, 1])
ends = st.one_of(st.integers(-40, 40), st.integers(-(2**61), 2**61))


@given(
    channels=st.lists(st.tuples(anything | huge, anything, ends, ends), min_size=1, max_size=5), nudge=nudges
)
def test_steps_of_all_channels_are_those_of_each(channels, nudge):
    maps = [RoundedMap(scale=s, offset=o, lo=-3, hi=4, nudge=nudge) for s, o, _, _ in channels]
    entering = [Interval(min(a, b), max(a, b)) for _, _, a, b in channels]

    found = all_steps(maps, entering)

    assert [m.steps(e) for m, e in zip(maps, entering, strict=True)] == found.tolist()


def test_a_step_beyond_integers_that_float64_has_not_is_clipped_exactly():
    entering = Interval(-(2**60) - 1, 2**60 + 1)
    rising, falling = (
        RoundedMap(scale=s, offset=Fraction(0), lo=-3, hi=4)
        for s in (Fraction(1, 2**66), Fraction(-1, 2**66))
    )

    found = all_steps([rising, falling], [entering] * 2)

    assert [m.steps(entering) for m in (rising, falling)] == found.tolist()
    assert {entering.lo, entering.hi + 1} == set(found.reshape(-1).tolist())


@given(
    at=st.integers(-(2**40), 2**40),
    level=st.integers(-3, 4),
    apart=st.integers(-2, 2),
    scale=ratios.filter(bool),
)
def test_a_step_next_to_an_integer_is_found_exactly(at, level, apart, scale):
    """The place of a step is an integer, or off it by less than float64 tells."""
    offset = level - Fraction(1, 2) - scale * (at + apart * Fraction(1, 2**90))
    mapping = RoundedMap(scale=scale, offset=offset, lo=-3, hi=4)
    entering = Interval(-(2**41), 2**41)

    assert [mapping.steps(entering)] == all_steps([mapping], [entering]).tolist()


@given(
    channels=st.lists(st.tuples(ratios, ratios), min_size=1, max_size=12),
    nudge=nudges,
    shift=st.integers(1, 12),
)
def test_integer_maps_do_as_the_real_ones(channels, nudge, shift):
    maps = [RoundedMap(scale=scale, offset=offset, lo=-3, hi=4, nudge=nudge) for scale, offset in channels]
    entering = [Interval(-40, 30)] * len(maps)

    found = integer_maps(maps, all_steps(maps, entering), entering, shift)

    codes = range(-40, 31)
    halves = [2 * (m.scale * code + m.offset) for m in maps for code in codes]
    ties = nudge == 0 and any(half.denominator == 1 and half.numerator % 2 for half in halves)
    if shift == 12 and not ties:  # half to even: ties that alternate may leave no straight line through them
        assert found is not None  # 71 integers and fractions of at most 64 parts leave room
    if found is not None:
        for m, scale, offset in zip(maps, *found, strict=True):
            for code in codes:
                assert m(code) == min(max(round(Fraction(scale * code + offset, 1 << shift)), -3), 4)


@given(scale=ratios.filter(bool), offset=ratios, nudge=nudges, shift=st.integers(1, 6))
def test_none_is_found_only_where_no_offset_suits_either_scale(scale, offset, nudge, shift):
    mapping = RoundedMap(scale=scale, offset=offset, lo=-2, hi=1, nudge=nudge)
    entering = Interval(-6, 5)

    found = integer_maps([mapping], all_steps([mapping], [entering]), [entering], shift)

    below = int(np.floor(scale * 2**shift))
    codes = np.arange(-6, 6)
    wanted = [mapping(m) for m in codes.tolist()]
    offsets = np.arange(-(28 << shift), (28 << shift) + 1)[:, None]
    suited = False
    for near in (below, below + 1):
        floors, rest = np.divmod(near * codes + offsets, 1 << shift)
        up = (2 * rest > 1 << shift) | ((2 * rest == 1 << shift) & (floors % 2 == 1))
        suited |= bool((np.clip(floors + up, -2, 1) == wanted).all(axis=1).any())

    assert suited == (found is not None)


@given(offset=ratios, nudge=nudges)
def test_integers_beyond_64_bits_are_taken(offset, nudge):
    """At a shift of 60 bits a bound of the offset has more bits than int64."""
    mapping = RoundedMap(scale=Fraction(7, 3), offset=offset, lo=-3, hi=4, nudge=nudge)
    entering = Interval(-40, 30)

    found = integer_maps([mapping], all_steps([mapping], [entering]), [entering], 60)

    assert found is not None
    for m in range(-40, 31):
        assert mapping(m) == min(max(round(Fraction(found[0][0] * m + found[1][0], 1 << 60)), -3), 4)
