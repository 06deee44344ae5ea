"""The range of an affine map against every product written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.infer import affine_range
from psp_hw.ir.ops import Affine
from psp_hw.ir.types import TensorType

numbers = st.one_of(st.integers(-50, 50), st.integers(-(2**63), 2**63 - 1))


@given(
    channels=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4),
    width=st.integers(2, 40),
    signed=st.booleans(),
)
def test_the_range_holds_every_product_and_sum_and_no_more(channels, width, signed):
    fmt = FixedPoint(width=width, signed=signed, frac=0)
    out = FixedPoint(width=8, signed=True, frac=0)
    to = Requantizer(shift=0, lo=out.min, hi=out.max, fmt=out)
    op = Affine(name="a", input="x", scale="s", offset="o", scale_frac=0, requantize=to)
    source = TensorType(height=1, width=1, channels=len(channels), fmt=fmt)
    scales, offsets = zip(*channels, strict=True)

    found = affine_range(op, source, {"s": np.array(scales), "o": np.array(offsets)})

    products = [(scale * m, offset) for scale, offset in channels for m in (fmt.min, fmt.max)]
    assert min(p + min(o, 0) for p, o in products) == found.lo
    assert max(p + max(o, 0) for p, o in products) == found.hi
