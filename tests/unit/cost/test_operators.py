"""What requantizers divide and round, and what multipliers take, as the templates write it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import Compare, Divide, Item, Multiply, MultiplyPair, Mux
from psp_hw.cost.engines import product_of
from psp_hw.cost.operators import dividend_bits, requantizers, rounded_bits
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan

U8 = FixedPoint(width=8, signed=False, frac=0)


def to(shift: int, divisor: int = 1) -> Requantizer:
    return Requantizer(shift=shift, lo=0, hi=255, fmt=U8, divisor=divisor)


def operators(parts) -> dict:
    found = [part if isinstance(part, Item) else Item(part) for part in parts]
    return {item.operator: item.count for item in found}


@pytest.mark.parametrize("divisor", [3, 9, 25, 49])
@pytest.mark.parametrize("shift", [-2, 0, 1, 5, 20])
@pytest.mark.parametrize("width", [8, 13, 18])
def test_what_is_divided_is_wide_enough_for_every_number_and_no_wider_than_twice(width, shift, divisor):
    """The numbers of Divide in psp/requantize.h, which raises what is left above the shift by a multiple of the divisor."""
    kept = max(width - shift, 1)
    least, most = -(1 << (kept - 1)), (1 << (kept - 1)) - 1
    raised = -(least // divisor) * divisor
    bits = dividend_bits(to(shift, divisor), width)

    assert least + raised >= 0
    assert most + raised < 1 << bits
    assert 1 << bits <= 4 * max(most + raised + 1, divisor)


def test_bits_that_are_set_aside_are_not_divided():
    acc = FixedPoint(width=16, signed=True, frac=0)

    found = operators(requantizers(to(6, 9), acc, (), 4))

    assert 4 == found[Divide(16 - 6 + 1)]
    assert {6, 4} == {operator.bits for operator in found if isinstance(operator, Compare)}


def test_accumulators_of_different_scales_are_rounded_when_aligned():
    acc = FixedPoint(width=14, signed=True, frac=0)

    found = operators(requantizers(to(6), acc, (6, 4, 6, 5), 2))

    assert 2 == found[Mux(3, 14 + 2)]


@pytest.mark.parametrize(("shift", "bits"), [(6, 14 - 6 + 1), (13, 2 + 1), (0, 14), (-3, 14)])
def test_a_rounded_number_has_lost_the_bits_below(shift, bits):
    assert bits == rounded_bits(to(shift), 14)


def engine_of(weight: int, kind: MultiplierKind):
    make = Builder(6, 6, 3)
    make.conv(4, taps=((0, 1), (1, 1)), weight=np.full((2, 3, 4), weight))
    node = NodePlan(fold=Fold(pe=2), multipliers=kind)
    return build(make.graph(), FoldPlan(nodes={"conv0": node})).engines[1]


def test_a_dsp_takes_operands_with_their_signs_and_luts_those_bits_that_vary():
    """Inputs of 8 bits without a sign; weights of 7 bits, with none and with one."""
    expected = {
        (91, MultiplierKind.TOOL): (Multiply(8, 7), 1),
        (91, MultiplierKind.LUT): (Multiply(8, 7, MultiplierKind.LUT), 1),
        (91, MultiplierKind.DSP): (Multiply(9, 8, MultiplierKind.DSP), 1),
        (91, MultiplierKind.DSP_PAIR): (MultiplyPair(9, 8, 16), 2),
        (-60, MultiplierKind.DSP): (Multiply(9, 7, MultiplierKind.DSP), 1),
        (-60, MultiplierKind.DSP_PAIR): (MultiplyPair(9, 7, 15), 2),
    }

    for (weight, kind), product in expected.items():
        assert product == product_of(engine_of(weight, kind)), (weight, kind)


def test_the_multiplier_is_that_of_the_weights_format():
    engine = engine_of(91, MultiplierKind.DSP_PAIR)
    signed = replace(engine, weight_fmt=replace(engine.weight_fmt, width=8, signed=True))

    assert product_of(engine)[0].apart == product_of(signed)[0].apart
