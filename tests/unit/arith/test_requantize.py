from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import MAX_SHIFT, Requantizer, requantize
from psp_hw.sim.arithmetic import Arithmetic, requantize_in_place


@st.composite
def requantizers(draw):
    fmt = FixedPoint(width=draw(st.integers(2, 32)), signed=draw(st.booleans()), frac=0)
    lo = draw(st.integers(fmt.min, fmt.max))
    hi = draw(st.integers(lo, fmt.max))
    divisor = draw(st.sampled_from([1, 1, 3, 7, 9, 49, 255]))
    shift = draw(st.integers(-4, 40) | st.integers(-MAX_SHIFT, MAX_SHIFT))
    return Requantizer(shift=shift, lo=lo, hi=hi, fmt=fmt, divisor=divisor)


def near_ties(to: Requantizer):
    """Accumulators around the places where rounding is decided."""
    step = to.divisor << max(to.shift, 0)
    most = max(1, min(300, 2**62 // step))
    return st.builds(
        lambda k, half, off: k * step + half * (step // 2) + off,
        st.integers(-most, most - 1),
        st.integers(0, 1),
        st.integers(-1, 1),
    )


@given(st.data(), requantizers())
def test_requantize_equals_exact_rational_arithmetic(data, to):
    limit = 2**62 - 1
    acc = data.draw(near_ties(to).filter(lambda m: abs(m) <= limit) | st.integers(-limit, limit))
    exact = round(Fraction(acc) / (to.divisor * Fraction(2) ** to.shift))  # Python rounds half to even
    expected = min(max(exact, to.lo), to.hi)

    assert expected == to.exactly(acc)
    assert expected == requantize(np.array([acc]), to)[0]


@pytest.mark.parametrize("arithmetic", list(Arithmetic))
@given(st.data(), requantizers())
def test_every_arithmetic_gives_the_same_integers_up_to_its_limit(arithmetic, data, to):
    assume(to.fmt.range.magnitude <= arithmetic.limit)  # so the simulator chooses
    limit = min(arithmetic.limit, 2**62 - 1)
    acc = data.draw(st.integers(-limit, limit) | near_ties(to).filter(lambda m: abs(m) <= limit))

    actual = requantize_in_place(np.array([acc]).astype(arithmetic.dtype), to)[0]

    assert int(actual) == to.exactly(acc)


@given(requantizers(), st.integers(-(2**30), 2**30), st.integers(-(2**30), 2**30))
def test_the_image_of_an_interval_holds_the_image_of_its_members(to, a, b):
    lo, hi = min(a, b), max(a, b)
    assert to.exactly(lo) <= to.exactly((lo + hi) // 2) <= to.exactly(hi)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shift": 63}, "63 bits is outside"),
        ({"divisor": 6}, "not odd and positive"),
        ({"lo": -200}, "does not lie within"),
        ({"lo": 5, "hi": 4}, "does not lie within"),
    ],
)
def test_a_requantizer_that_makes_no_sense_does_not_exist(wrong, message):
    fmt = FixedPoint(width=8, signed=True, frac=0)
    with pytest.raises(ValueError, match=message):
        Requantizer(**({"shift": 0, "lo": -128, "hi": 127, "fmt": fmt} | wrong))
