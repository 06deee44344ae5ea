"""The rational arithmetic of the lowering against the plainest definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import Interval
from psp_hw.lowering.exact import RoundedMap, log2, places, root, sticky

TINY = Fraction(1, 10**9)
# Ties are where rounding is decided: quarters meet them often, fractions drawn evenly hardly ever.
quarters = st.builds(Fraction, st.integers(-16, 16), st.sampled_from([1, 2, 4]))
ratios = st.fractions(min_value=-4, max_value=4, max_denominator=64) | quarters


def rounded(value: Fraction, nudge: int) -> int:
    """``round`` with ties broken by a very small number where a nudge says so."""
    return round(value + nudge * TINY)  # Python rounds half to even


@given(scale=ratios, offset=ratios, nudge=st.sampled_from([-1, 0, 1]), m=st.integers(-100, 100))
def test_a_rounded_map_rounds_as_python_does(scale, offset, nudge, m):
    expected = min(max(rounded(scale * m + offset, nudge), -8), 7)

    assert expected == RoundedMap(scale=scale, offset=offset, lo=-8, hi=7, nudge=nudge)(m)


@given(
    scale=ratios,
    offset=ratios,
    nudge=st.sampled_from([-1, 0, 1]),
    ends=st.tuples(*[st.integers(-40, 40)] * 2),
)
def test_steps_say_every_result_of_every_integer_that_enters(scale, offset, nudge, ends):
    mapping = RoundedMap(scale=scale, offset=offset, lo=-3, hi=4, nudge=nudge)
    entering = Interval(min(ends), max(ends))

    steps = mapping.steps(entering)

    assert steps == sorted(steps)
    assert len(steps) == 7
    for m in range(entering.lo, entering.hi + 1):
        passed = sum(step <= m for step in steps)
        assert mapping(m) == (4 - passed if mapping.falls else -3 + passed)


@pytest.mark.parametrize("nudge", [-1, 0, 1])
@pytest.mark.parametrize("offset", [Fraction(0), Fraction(1, 2), Fraction(1, 4), Fraction(-3, 2)])
@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(-1, 2), Fraction(1), Fraction(-1), Fraction(3, 4)]
)
def test_steps_on_ties_are_those_of_the_rounding(scale, offset, nudge):
    mapping = RoundedMap(scale=scale, offset=offset, lo=-3, hi=4, nudge=nudge)
    steps = mapping.steps(Interval(-20, 20))

    for m in range(-20, 21):
        passed = sum(step <= m for step in steps)
        assert mapping(m) == min(max(rounded(scale * m + offset, nudge), -3), 4)
        assert mapping(m) == (4 - passed if mapping.falls else -3 + passed)


@given(
    offset=st.fractions(min_value=-20, max_value=20, max_denominator=1000) | quarters,
    nudge=st.sampled_from([-1, 0, 1]),
    shift=st.integers(-3, 6),
    m=st.integers(-500, 500),
)
def test_a_sticky_offset_rounds_as_the_real_one(offset, nudge, shift, m):
    whole, extra = sticky(offset, nudge, shift)

    expected = rounded((m + offset) / Fraction(2) ** shift, nudge)

    assert 0 <= extra <= max(0, 1 - shift) + 1
    assert expected == round(Fraction(m * 2**extra + whole) / Fraction(2) ** (shift + extra))


def test_an_offset_on_the_grid_costs_no_bit():
    assert sticky(Fraction(5), 0, 3) == (5, 0)
    assert sticky(Fraction(5, 2), 0, 3) == (5, 1)
    assert sticky(Fraction(5, 2), 0, 0) == (5, 1)


@pytest.mark.parametrize(
    ("value", "exponent", "bits"),
    [(Fraction(8), 3, 0), (Fraction(1, 4), -2, 2), (Fraction(3, 4), None, 2), (Fraction(1, 3), None, None)],
)
def test_powers_of_two_and_bits_after_the_point(value, exponent, bits):
    assert log2(value) == exponent
    assert places(value) == bits


@pytest.mark.parametrize("value", [Fraction(0), Fraction(-4)])
def test_no_power_of_two(value):
    assert log2(value) is None


@given(value=st.fractions(min_value=0, max_value=100, max_denominator=10**6))
def test_a_root_is_exact_or_close_from_below(value):
    found = root(value)

    assert found * found <= value
    assert value - found * found <= value / 2**150
    if (
        math.isqrt(value.numerator) ** 2 == value.numerator
        and math.isqrt(value.denominator) ** 2 == value.denominator
    ):
        assert found * found == value
