from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import FixedPoint, Interval

# Widths change at powers of two, where integers drawn evenly seldom lie.
near_powers = st.builds(
    lambda sign, exponent, off: sign * 2**exponent + off,
    st.sampled_from([-1, 1]),
    st.integers(0, 40),
    st.integers(-1, 1),
)
integers = st.integers(-(2**40), 2**40) | near_powers


@given(integers, integers)
def test_holding_is_the_narrowest_format(a, b):
    interval = Interval(min(a, b), max(a, b))
    fmt = FixedPoint.holding(interval, frac=3)

    assert fmt.min <= interval.lo <= interval.hi <= fmt.max
    assert fmt.signed == (interval.lo < 0)
    least = 2 if fmt.signed else 1
    if fmt.width > least:
        narrower = FixedPoint(width=fmt.width - 1, signed=fmt.signed, frac=3)
        assert interval.lo < narrower.min or interval.hi > narrower.max


@given(integers, integers, integers, integers)
def test_sums_and_multiples_of_members_are_members_of_sum_and_multiple(a, b, c, d):
    left, right = Interval(min(a, b), max(a, b)), Interval(min(c, d), max(c, d))

    assert a + c in left + right
    assert a * 7 in left.scaled(7)
    assert a * -7 in left.scaled(-7)
    assert (b << 5) in (left << 5)


@pytest.mark.parametrize("fmt", ["s8.4", "u1.0", "s2.-3", "u64.70"])
def test_a_format_reads_as_it_prints(fmt):
    assert str(FixedPoint.parse(fmt)) == fmt


@pytest.mark.parametrize("text", ["8.4", "s8", "x8.4", "s1.0", "u0.0", "s65.0", "sa.b"])
def test_what_is_no_format_does_not_read(text):
    with pytest.raises(ValueError):  # noqa: PT011  (int() raises it too)
        FixedPoint.parse(text)


def test_an_empty_interval_does_not_exist():
    with pytest.raises(ValueError, match=r"3 \.\. 2 is empty"):
        Interval(3, 2)
