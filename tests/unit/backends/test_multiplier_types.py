"""The operands of a bound product are signed words: also those of layers without a negative weight."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.backends.hls.multipliers import multiplier_type
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.maps import AffineEngine
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine, Input, Output
from psp_hw.ir.types import TensorType

WEIGHTS = [(-8, 7), (0, 15), (-1, 0), (0, 1), (0, 0), (0, 8), (-9, 3)]
INPUTS = [FixedPoint(width=4, signed=True, frac=0), FixedPoint(width=4, signed=False, frac=0)]


def holds(width: int, values: list[int]) -> bool:
    signed = FixedPoint(width=width, signed=True, frac=0)
    return signed.min <= min(values) and max(values) <= signed.max


@pytest.mark.parametrize("kind", [MultiplierKind.LUT, MultiplierKind.DSP, MultiplierKind.DSP_PAIR])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("entering", INPUTS, ids=str)
def test_every_operand_and_product_of_a_convolution_fits_its_signed_word(kind, weights, entering):
    make = Builder(1, 1, 2, fmt=entering)  # two words of weights: products with variables
    make.conv(2, taps=((1, 1),), weight=np.array([[weights, weights]]))
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=Fold(pe=2), multipliers=kind)})
    (engine,) = (e for e in build(make.graph(), plan).engines if isinstance(e, ConvEngine))
    x_bits, w_bits, *lane = [int(word) for word in re.findall(r"\d+", multiplier_type(engine))]
    ends = [entering.min, entering.max]

    assert holds(x_bits, ends)
    assert holds(w_bits, list(weights))
    assert all(holds(bits, [x * w for x, w in product(ends, weights)]) for bits in lane)


@pytest.mark.parametrize("scales", WEIGHTS)
def test_every_scale_of_an_affine_map_fits_its_signed_word(scales):
    kind = TensorType(height=1, width=1, channels=2, fmt=INPUTS[0])
    op = Affine(name="map", input="image", scale="a", offset="b", scale_frac=0)
    constants = {"a": np.array(scales), "b": np.array([0, 3])}
    graph = Graph("g", (Input(name="image", type=kind), op, Output(name="result", input="map")), constants)
    plan = FoldPlan(nodes={"map": NodePlan(fold=Fold(pe=1), multipliers=MultiplierKind.DSP)})
    (engine,) = (e for e in build(graph, plan).engines if isinstance(e, AffineEngine))
    _, w_bits = (int(word) for word in re.findall(r"\d+", multiplier_type(engine)))

    assert holds(w_bits, list(scales))
    assert w_bits == 2 or not holds(w_bits - 1, list(scales))  # and no bit is spent
