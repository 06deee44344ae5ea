"""Products in LUTs, in DSPs, or two in a DSP: what is legal, what it takes, what the search makes of it."""

from __future__ import annotations

import pytest
from sample_graphs import Builder, resnet

from psp_hw.backends.plan_file import load_plan, print_plan
from psp_hw.cost.bill import Multiply, MultiplyPair
from psp_hw.cost.devices import Fabric
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.cost.prices import Stage
from psp_hw.cost.pricing import fits_dsp, packed_bits, price
from psp_hw.dse.search import plan
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import Bindable
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan
from psp_hw.spec.target import MaxThroughput
from psp_hw.units import Clock

PART = find_part("xc7z020clg400-1")
CLOCK = Clock(period_ns=10.0)


def one_convolution(channels: int = 8):
    make = Builder(6, 6, channels)
    make.conv(channels)
    return make.graph()


def planned(fold: Fold, kind: MultiplierKind) -> FoldPlan:
    return FoldPlan(nodes={"conv0": NodePlan(fold=fold, multipliers=kind)})


@pytest.mark.parametrize("stage", list(Stage))
def test_a_product_goes_where_it_is_bound(stage):
    for bits in (4, 8, 16):
        in_luts = price(Multiply(bits, bits, MultiplierKind.LUT), Fabric.SERIES7, stage)
        in_dsp = price(Multiply(bits, bits, MultiplierKind.DSP), Fabric.SERIES7, stage)

        assert (0, 1) == (in_luts.dsp, in_dsp.dsp)
        assert in_luts.lut > in_dsp.lut


def test_a_pair_of_eight_bits_fits_the_dsp_of_every_fabric_to_the_bit():
    pair = MultiplyPair(9, 8, 16)

    assert 25 == packed_bits(pair)
    for fabric in Fabric:
        assert fits_dsp(packed_bits(pair), 9, fabric)
        assert 1 == price(pair, fabric).dsp
    assert not fits_dsp(packed_bits(MultiplyPair(9, 9, 17)), 9, Fabric.SERIES7)


def test_bound_products_move_from_luts_to_dsps():
    graph, fold = one_convolution(), Fold(pe=4, simd=2, taps=3)
    found = {kind: estimate(graph, planned(fold, kind), PART, CLOCK).resources for kind in MultiplierKind}

    assert {"tool": 0, "lut": 0, "dsp": 24, "dsp-pair": 12} == {k.value: r.dsp for k, r in found.items()}
    assert found[MultiplierKind.DSP].lut < found[MultiplierKind.DSP_PAIR].lut < found[MultiplierKind.LUT].lut


def test_pairs_need_an_even_number_of_channels_at_once():
    with pytest.raises(SpecError, match="pe=1 output channels at once cannot share DSPs in pairs"):
        build(one_convolution(), planned(Fold(simd=2), MultiplierKind.DSP_PAIR))


def test_constants_are_not_bound():
    with pytest.raises(SpecError, match="its weights are constants"):
        build(one_convolution(), planned(Fold(pe=8, simd=8, taps=9), MultiplierKind.DSP))


def test_the_search_uses_dsps_that_the_tool_would_leave_idle():
    graph = resnet(1, taps=4)

    fast = estimate(graph, plan(graph, PART, CLOCK, MaxThroughput()), PART, CLOCK)
    bindable = Bindable(multipliers=frozenset({MultiplierKind.TOOL}))
    only_tool = plan(graph, PART, CLOCK, MaxThroughput(), bindable=bindable)
    left = estimate(graph, only_tool, PART, CLOCK)

    assert fast.fits
    assert left.fits
    assert fast.resources.dsp > PART.resources.dsp // 2 > left.resources.dsp
    assert fast.interval < left.interval
    assert {MultiplierKind.TOOL} == {node.multipliers for node in only_tool.nodes.values()}


def test_a_plan_keeps_its_multipliers_in_its_file(tmp_path):
    for kind in MultiplierKind:
        (tmp_path / "plan.json").write_text(print_plan(planned(Fold(pe=2), kind)))

        assert kind is load_plan(tmp_path / "plan.json").nodes["conv0"].multipliers
