"""A requantization goes into the op before it, unless that op's own value is read elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.ops import Add, Requantize
from psp_hw.passes import optimize

U8 = FixedPoint(width=8, signed=False, frac=4)


@pytest.mark.parametrize("read_twice", [False, True])
def test_an_engine_is_not_made_twice(read_twice):
    make = Builder(3, 3, 2)
    wide = make.conv(2, requantize=False)
    to = Requantizer(shift=make.fracs[wide] - 4, lo=0, hi=U8.max, fmt=U8)
    make.ops.append(Requantize(name="narrow", input=wide, requantize=to))
    make.channels["narrow"], make.fracs["narrow"] = 2, 4
    if read_twice:
        make.ops.append(Add(name="sum", inputs=("narrow", wide)))
    before = make.graph()
    after = optimize(before)
    codes = random_codes(before, 1, 4)

    assert ["conv0" if read_twice else "narrow"] == [op.name for op in after.convolutions]
    assert read_twice == any(isinstance(op, Requantize) for op in after.ops)
    assert np.array_equal(execute(before, codes)["result"], execute(after, codes)["result"])
