"""A graph in which every kind of layer ends by a division."""

from __future__ import annotations

import numpy as np
from random_graphs import GraphMaker

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, AvgPool, Conv2d, Input, Output, Requantize
from psp_hw.ir.types import Tap, TensorType
from psp_hw.ir.verify import verify


def divided(divisor: int) -> Graph:
    """A requantizer of every kind of layer, each to a whole format, so that a type could round and saturate as it does."""
    make = GraphMaker(1)
    s8 = FixedPoint(width=8, signed=True, frac=0)
    make.ops, make.types = [], {}
    make.emit(Input(name="image", type=TensorType(height=4, width=4, channels=2, fmt=s8)))

    def by(frac: int) -> Requantizer:
        fmt = FixedPoint(width=8, signed=True, frac=frac)
        return Requantizer(shift=0, divisor=divisor, lo=fmt.min, hi=fmt.max, fmt=fmt)

    make.constants |= {"a": np.array([5, -7]), "b": np.array([3, 90]), "w": np.array([[[3, -8], [7, 5]]])}
    make.emit(Requantize(name="alone", input="image", requantize=by(0)))
    make.emit(Add(name="sum", inputs=("alone", "image"), requantize=by(0)))
    make.emit(Affine(name="map", input="sum", scale="a", offset="b", scale_frac=0, requantize=by(0)))
    make.emit(AvgPool(name="window", input="map", kernel=(2, 2), stride=(2, 2), requantize=by(2)))
    make.emit(AvgPool(name="whole", input="window", kernel=(2, 2), stride=(1, 1), requantize=by(4)))
    dense = Conv2d(
        name="dense",
        input="whole",
        weight="w",
        taps=(Tap(0, 0),),
        kernel=(1, 1),
        weight_frac=0,
        requantize=by(4),
        dense_in_channels=2,
        dense_out_channels=2,
    )
    make.emit(dense)
    make.emit(Output(name="result", input="dense"))
    return verify(Graph("divided", tuple(make.ops), make.constants))
