"""Products with constants and their sums, at the width of what they can be."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.cost.bill import Add, ConstantMultiply
from psp_hw.cost.constants import affine_sums, constant_sums

U8 = FixedPoint(width=8, signed=False, frac=0)
S4 = FixedPoint(width=4, signed=True, frac=0)


def odd_part(value: int) -> tuple[int, int]:
    zeros = (value & -value).bit_length() - 1
    return value >> zeros, zeros


def product_bits(constants: list[int], fmt: FixedPoint) -> int:
    """Of one input with its different constants, by their ranges."""
    odds = [odd_part(value)[0] for value in set(constants) if value]
    wired = fmt.width if any(abs(odd) == 1 for odd in odds) else 0
    return wired + sum(fmt.range.including(0).scaled(odd).bits for odd in odds if abs(odd) != 1)


@pytest.mark.parametrize("fmt", [U8, S4], ids=str)
@pytest.mark.parametrize("seed", range(10))
def test_products_have_the_bits_of_their_ranges(fmt, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-20, 21, size=(int(rng.integers(1, 7)), int(rng.integers(1, 6))))

    found = constant_sums(matrix, fmt, 40)

    assert sum(product_bits(row, fmt) for row in matrix.tolist()) == found.live[0]
    assert sum(len(set(row) - {0}) for row in matrix.tolist()) == sum(item.count for item in found.products)


@pytest.mark.parametrize(
    ("constants", "bits"),
    [
        ([0], 0),
        ([1], 8),
        ([-64], 8),
        ([64, -64, 2], 8),  # the input itself, once
        ([5], 11),
        ([96], 10),  # 3 * 2**5: the zeros below are no registers
        ([5, 5], 11),
        ([5, -5], 11 + 12),
    ],
)
def test_registers_behind_products_hold_what_varies(constants, bits):
    assert bits == constant_sums(np.array([constants]), U8, 40).live[0]


def test_a_sum_is_a_bit_wider_than_its_wider_operand_and_begins_at_their_lowest_bit():
    found = constant_sums(np.array([[5], [3], [96], [0]]), U8, 40)

    # 5 x: 11 bits, 3 x: 10, their sum 12; 96 x: 15, the sum of all 16.
    assert (11 + 10 + 10, 12 + 10, 16) == found.live
    # The five bits below 96 x pass by the second adder.
    assert {Add(12): 1, Add(16 - 5): 1} == {item.operator: item.count for item in found.adders}
    digits = {item.operator.digits for item in found.products if isinstance(item.operator, ConstantMultiply)}
    assert {2} == digits


def test_no_sum_is_wider_than_the_accumulator():
    matrix = np.full((8, 3), 127)

    found = constant_sums(matrix, U8, 16)

    assert (8 * 15, 4 * 3 * 16, 2 * 3 * 16, 3 * 16) == found.live


def test_inputs_that_no_constant_meets_are_not_held():
    assert 2 * 8 == constant_sums(np.array([[3, 0], [0, 0], [0, 5]]), U8, 40).entering


@pytest.mark.parametrize("seed", range(10))
def test_maps_have_the_bits_of_their_ranges(seed):
    rng = np.random.default_rng(seed)
    scale, offset = rng.integers(-40, 41, size=6), rng.integers(-300, 301, size=6)
    products, sums = 0, 0
    for s, o in zip(scale.tolist(), offset.tolist(), strict=True):
        bits = product_bits([s], U8)
        products += bits
        if o == 0:
            sums += bits
            continue
        zeros = min(odd_part(s)[1] if s else 64, odd_part(o)[1])
        whole = U8.range.scaled(s)
        sums += Interval(whole.lo + o, whole.hi + o).bits - zeros

    assert (products, sums) == affine_sums(scale, offset, U8).live
