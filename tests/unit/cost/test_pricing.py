"""What operators, memories and whole engines take."""

from __future__ import annotations

import itertools
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.cost.bill import (
    AbsorbedRegister,
    Add,
    Compare,
    Delay,
    Fifo,
    Item,
    Multiply,
    Mux,
    Rom,
    Saturate,
    bill,
)
from psp_hw.cost.constants import signed_digits
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.memories import blocks18, roms
from psp_hw.cost.prices import Stage, prices_of
from psp_hw.cost.pricing import price, price_bill
from psp_hw.folding.dataflow import build
from psp_hw.folding.memory import ultra_blocks
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.units import Clock

SERIES7 = Fabric.SERIES7
CLOCK = Clock(period_ns=10.0)


@pytest.mark.parametrize(
    ("words", "bits", "blocks"),
    [
        (512, 36, 1),
        (513, 36, 2),
        (1024, 18, 1),
        (2048, 9, 1),
        (16384, 1, 1),
        (30, 23034, 640),
        (16, 1018, 29),
        (20000, 9, 10),
    ],
)
def test_block_ram_is_counted_in_the_best_shape_of_a_ramb18(words, bits, blocks):
    assert blocks == blocks18(words, bits)


def test_ultraram_has_one_shape():
    assert [1, 2, 2] == [ultra_blocks(4096, 72), ultra_blocks(4097, 72), ultra_blocks(10, 73)]


@pytest.mark.parametrize(
    ("left", "right", "dsp"),
    [
        (8, 8, 0),
        (10, 10, 0),
        (11, 4, 0),
        (16, 4, 0),
        (11, 5, 1),
        (16, 16, 1),
        (18, 25, 1),
        (20, 20, 2),
        (32, 32, 4),
    ],
)
def test_products_go_to_dsps_where_published_reports_put_them(left, right, dsp):
    for stage in Stage:
        assert dsp == price(Multiply(left, right), SERIES7, stage).dsp
        assert dsp == price(Multiply(right, left), SERIES7, stage).dsp


@pytest.mark.parametrize(("bits", "lut"), [(4, 13), (5, 17), (6, 26), (7, 33), (8, 41), (9, 51), (10, 63)])
def test_lut_multipliers_cost_in_c_synthesis_what_reports_say(bits, lut):
    assert lut == pytest.approx(price(Multiply(bits, bits), SERIES7, Stage.C_SYNTHESIS).lut, abs=2.5)


def test_a_shallow_fifo_costs_in_c_synthesis_what_reports_say():
    assert [16, 28, 30] == [price(Fifo(2, bits), SERIES7, Stage.C_SYNTHESIS).lut for bits in (4, 16, 18)]


def test_every_price_has_unit_tools_samples_and_error():
    for fabric in Fabric:
        for constant in prices_of(fabric).constants:
            assert constant.unit
            assert re.search(r"(Vivado|Vitis) HLS 20\d\d", constant.tools)
            assert constant.samples >= 8
            assert constant.error >= 0.0


def test_all_fabrics_have_the_same_prices_by_name():
    entries = json.loads(files("psp_hw.cost").joinpath("prices.json").read_text())
    names = {fabric: {e["name"] for e in entries if e["fabric"] == fabric.value} for fabric in Fabric}

    assert len({frozenset(of) for of in names.values()}) == 1


@pytest.mark.parametrize("value", [0, 1, 2, 3, 5, 7, 11, 23, 85, 127, 128, 255, 1000])
def test_signed_digits_are_the_fewest(value):
    """The fewest powers of two that add or subtract to a value, by breadth-first search."""
    reached, steps = {0}, 0
    while value not in reached:
        reached = {a + sign * (1 << shift) for a in reached for shift in range(11) for sign in (1, -1)}
        steps += 1

    assert steps == signed_digits(np.array([value]))[0]


def test_bills_count_equal_operators_together():
    found = bill([Add(8), Item(Add(8), 3), None, Mux(4, 8), Item(Mux(2, 1), 0)])

    assert (Item(Add(8), 4), Item(Mux(4, 8))) == found


@pytest.mark.parametrize("kind", list(MemoryKind))
def test_a_delay_of_one_word_is_a_register_wherever_it_shall_be_kept(kind):
    found = price(Delay(1, 24, kind), SERIES7)

    assert (0, 0, 24, 0, 0) == found.amounts


def test_weight_memories_take_what_their_kind_says():
    assert price(Rom(512, 36, MemoryKind.BRAM), SERIES7).amounts == (0, 0, 0, 1, 0)
    assert price(Rom(64, 32, MemoryKind.LUTRAM), SERIES7).lut == pytest.approx(32, abs=2)
    assert price(Rom(4096, 72, MemoryKind.URAM), Fabric.ULTRASCALE_PLUS).uram == 1
    assert price(Rom(1, 999, MemoryKind.REGISTERS), SERIES7).amounts == (0, 0, 0, 0, 0)


def engine_of(weight: np.ndarray, fold: Fold):
    make = Builder(6, 6, weight.shape[1])
    make.conv(weight.shape[2], taps=((0, 1), (1, 1)), weight=weight)
    graph = make.graph()
    plan = FoldPlan(nodes={"conv0": NodePlan(fold=fold, weights=MemoryKind.LUTRAM)})
    return build(graph, plan).engines[1], graph


def lut_of(weight: np.ndarray, fold: Fold, stage: Stage = Stage.RTL_SYNTHESIS) -> int:
    engine, graph = engine_of(weight, fold)
    return price_bill(engine_bill(engine, graph, SERIES7, CLOCK).items, SERIES7, stage).lut


def test_constant_weights_cost_by_their_values():
    whole = Fold(pe=4, simd=3, taps=2)
    zero, power, rich = (np.full((2, 3, 4), value) for value in (0, 64, 91))
    zero[0, 0, :] = 64

    for stage in Stage:
        assert lut_of(zero, whole, stage) < lut_of(power, whole, stage) < lut_of(rich, whole, stage)


def test_weights_in_memory_cost_the_same_whatever_their_values():
    some = np.full((2, 3, 4), 91)
    other = some + np.array([1, -1]).reshape(2, 1, 1)  # the accumulator's range is the same
    assert lut_of(some, Fold(pe=2)) == lut_of(other, Fold(pe=2))


def test_more_products_at_once_cost_more_multipliers():
    weight = np.full((2, 3, 4), 91)
    counts = []
    for fold in (Fold(), Fold(pe=2), Fold(pe=2, simd=3)):
        engine, graph = engine_of(weight, fold)
        items = engine_bill(engine, graph, SERIES7, CLOCK).items
        counts.append(sum(item.count for item in items if isinstance(item.operator, Multiply)))

    assert [1, 2, 6] == counts


@pytest.mark.parametrize(
    ("ways", "lut"), [(1, 0), (2, 4), (4, 8), (9, 24), (16, 32), (17, 44), (64, 136), (65, 152)]
)
def test_a_multiplexer_takes_the_luts_of_its_slices_and_one_more_level_beyond_sixteen_ways(ways, lut):
    assert lut == price(Mux(ways, 8), SERIES7).lut


@pytest.mark.parametrize(
    ("words", "bits", "lut"),
    [
        (2, 64, 1),
        (4, 4, 2),
        (4, 64, 4),
        (16, 16, 8),
        (32, 16, 8),
        (33, 16, 16),
        (64, 16, 16),
        (72, 16, 32),
        (512, 16, 136),
    ],
)
def test_a_table_in_logic_takes_a_function_of_its_address_per_bit(words, bits, lut):
    """No more functions than so few words have; 64 words in a LUT6, two tables of 32 in one."""
    assert lut == price(Rom(words, bits, MemoryKind.LUTRAM), SERIES7).lut


@pytest.mark.parametrize(
    ("words", "lut", "ff"), [(2, 0, 16), (3, 0, 24), (4, 4, 8), (17, 4, 8), (33, 8, 8), (34, 16, 8)]
)
def test_a_delay_is_made_of_flip_flops_until_a_shift_register_is_worth_it(words, lut, ff):
    found = price(Delay(words, 8, MemoryKind.REGISTERS), SERIES7)

    assert (lut, ff) == (found.lut, found.ff)


def test_a_comparison_with_a_constant_takes_no_more_than_one_of_two_variables():
    for bits in range(1, 40):
        assert price(Compare(bits, constant=True), SERIES7).lut <= price(Compare(bits), SERIES7).lut


def test_rtl_synthesis_saturates_by_the_bits_above_the_result():
    by_operators = price(Saturate(20, 8, 2), SERIES7, Stage.C_SYNTHESIS).lut
    left = price(Saturate(20, 8, 2), SERIES7).lut

    assert (2 * 3 + 4, 2 * 3 + 4) == (left, price(Saturate(21, 8, 2), SERIES7).lut)
    assert left < by_operators


def absorbed(multipliers: MultiplierKind) -> tuple[int, int]:
    """Bits of registers that RTL synthesis finds elsewhere, and those that stay, of one engine."""
    make = Builder(6, 6, 3)
    make.conv(4, taps=((0, 1), (1, 1)), weight=np.full((2, 3, 4), 91))
    node = NodePlan(fold=Fold(pe=2), weights=MemoryKind.LUTRAM, multipliers=multipliers)
    graph = make.graph()
    engine = build(graph, FoldPlan(nodes={"conv0": node})).engines[1]
    items = engine_bill(engine, graph, SERIES7, CLOCK).items
    inside = tuple(item for item in items if isinstance(item.operator, AbsorbedRegister))
    assert 0 == price_bill(inside, SERIES7).ff
    return price_bill(inside, SERIES7, Stage.C_SYNTHESIS).ff, price_bill(items, SERIES7).ff


def test_registers_around_products_in_dsps_are_those_of_the_dsps():
    """At this clock a register stands behind two products, and one before them that holds the input they share."""
    (in_luts, left), (in_dsps, fewer) = (absorbed(kind) for kind in (MultiplierKind.LUT, MultiplierKind.DSP))
    entering, weight = 8, 7

    assert in_luts + 2 * (entering + weight) + entering == in_dsps
    assert fewer < left


def test_equal_weights_of_one_input_are_one_product():
    whole = Fold(pe=4, simd=3, taps=2)
    equal = np.full((2, 3, 4), 91)
    different = equal + np.array([0, 2, 16, 18])  # 91, 93, 107, 109: five signed digits and more or less

    found = {}
    for name, weight in (("equal", equal), ("different", different)):
        engine, graph = engine_of(weight, whole)
        items = engine_bill(engine, graph, SERIES7, CLOCK).items
        found[name] = sum(item.count for item in items if type(item.operator).__name__ == "ConstantMultiply")

    assert {"equal": 2 * 3, "different": 2 * 3 * 4} == found


@pytest.mark.parametrize(("left", "right", "lut"), [(2, 2, 2), (3, 2, 3), (3, 3, 6), (4, 2, 6), (8, 8, 78)])
def test_a_product_of_few_bits_is_a_function_of_them_per_bit(left, right, lut):
    assert lut == price(Multiply(left, right, MultiplierKind.LUT), SERIES7).lut


@pytest.mark.parametrize("kind", [MemoryKind.LUTRAM, MemoryKind.BRAM])
def test_roms_priced_together_equal_roms_priced_one_by_one(kind):
    words = (
        2,
        3,
        5,
        6,
        7,
        16,
        31,
        32,
        33,
        63,
        64,
        65,
        128,
        255,
        256,
        257,
        512,
        513,
        1023,
        1024,
        1025,
        4096,
        16384,
        20000,
    )
    bits = (1, 2, 7, 8, 17, 18, 19, 35, 36, 37, 72, 73, 500, 4095, 4096)
    sizes = np.array(list(itertools.product(words, bits)), dtype=np.int64)

    found = roms(sizes[:, 0], sizes[:, 1], kind)

    expected = [price(Rom(count, width, kind), Fabric.SERIES7).amounts for count, width in sizes.tolist()]
    assert found.tolist() == [list(amounts) for amounts in expected]
