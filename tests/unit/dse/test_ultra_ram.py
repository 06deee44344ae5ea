"""UltraRAM: what it costs, when it is chosen for FIFOs and delays, and where it never is."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from sample_graphs import Builder, resnet

from psp_hw.backends.base import Target, check_bindable
from psp_hw.backends.hls.storage import fifo_pragmas
from psp_hw.backends.plan_file import load_plan, print_plan
from psp_hw.cost.bill import Fifo
from psp_hw.cost.devices import Fabric
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.cost.pricing import Stage, price
from psp_hw.cost.resources import Resources
from psp_hw.dse.choose import cheapest
from psp_hw.dse.fifo_costs import FifoCosts
from psp_hw.dse.search import search
from psp_hw.dse.space import finish, search_space
from psp_hw.errors import SpecError
from psp_hw.folding.bindable import ANYTHING, Bindable
from psp_hw.folding.dataflow import build
from psp_hw.folding.memory import delay_may_be_ultra, fifo_may_be_ultra
from psp_hw.folding.plan import FoldPlan, MemoryKind
from psp_hw.folding.ports import check_ports
from psp_hw.spec.target import MinArea
from psp_hw.units import Clock

PART = find_part("xczu7ev")  # 96 UltraRAM
CLOCK = Clock(period_ns=10.0)
NEW = Fabric.ULTRASCALE_PLUS
ULTRA = MemoryKind.URAM


def skip_graph():
    """A convolution over rows of 60 pixels of 72 bits, its input beside it: the FIFO there holds a row and more."""
    make = Builder(4, 60, 9)
    make.conv(9)
    make.add("image", "conv0")
    return make.graph()


def wide_graph():
    """A convolution whose rows are 130 pixels of 640 bits: each of the two that it holds has more than a quarter of an UltraRAM."""
    make = Builder(3, 130, 80)
    make.conv(2)
    return make.graph()


def small_part(lut: int, *, bram18: int = 1, uram: int = 2):
    return dataclasses.replace(
        PART, resources=Resources(dsp=20, lut=lut, ff=8 * lut, bram18=bram18, uram=uram)
    )


@pytest.mark.parametrize(
    ("depth", "bits", "blocks"),
    [(2, 1, 1), (4096, 72, 1), (4097, 72, 2), (4096, 73, 2), (8192, 144, 4), (8193, 145, 9)],
)
def test_a_fifo_takes_whole_blocks_of_4096_x_72_and_the_control_of_one_in_block_ram(depth, bits, blocks):
    for stage in Stage:
        ultra, block = (price(Fifo(depth, bits, kind), NEW, stage) for kind in (ULTRA, MemoryKind.BRAM))

        assert (blocks, 0) == (ultra.uram, ultra.bram18)
        assert (0, block.lut, block.ff, block.dsp) == (block.uram, ultra.lut, ultra.ff, ultra.dsp)


def test_ultraram_is_tried_where_each_block_holds_something():
    assert fifo_may_be_ultra(48, 72)
    assert not fifo_may_be_ultra(47, 72)
    assert not fifo_may_be_ultra(48, 73)  # the second block would hold 48 bits
    assert fifo_may_be_ultra(48, 9000)
    assert delay_may_be_ultra(1024, 72)
    assert not delay_may_be_ultra(1023, 72)
    assert not delay_may_be_ultra(30, 9000)  # wide, but 126 blocks of 30 rows


@pytest.mark.parametrize("seed", range(60))
def test_memories_of_fifos_are_the_cheapest_of_all_that_fit(seed):
    """Against every assignment of three memories to five FIFOs, two of them equal."""
    rng = np.random.default_rng(seed)
    graph = resnet(1, size=8, widths=(4,), taps=2)
    flow = build(graph, _plain(graph))
    costs = FifoCosts(flow, NEW, ultra=True)
    names = [channel.name for channel in flow.channels][:5]
    bits = {channel.name: channel.type.pixel_bits for channel in flow.channels}
    depths = dict(zip(names, [300, 300, *(int(d) for d in rng.integers(100, 3000, size=3))], strict=True))
    ways = {
        name: [
            (kind, costs.beyond({name: depth}, {name: kind}))
            for kind in (MemoryKind.REGISTERS, MemoryKind.BRAM, ULTRA)
            if kind is not ULTRA or fifo_may_be_ultra(depth, bits[name])
        ]
        for name, depth in depths.items()
    }
    beside = np.zeros(5, dtype=np.int64)
    budget = np.array([0, rng.integers(100, 2500), 9000, rng.integers(0, 6), rng.integers(0, 4)])
    prices = np.array([0.0, 1 / 1000, 1e-6, 1 / 10, 1 / 4])
    totals = [sum(taken for _, taken in picks) for picks in itertools.product(*ways.values())]
    least = min((float(total @ prices) for total in totals if (total <= budget).all()), default=math.inf)

    found = costs.memories(depths, beside, budget, prices)

    if found is None:
        assert math.isinf(least)
        return
    taken = costs.beyond(depths, found)
    assert (taken <= budget).all()
    if found:  # else sizes decide, cheap or not
        assert least == pytest.approx(float(taken @ prices))


def _plain(graph):
    space = search_space(graph, PART, CLOCK, {}, bindable=ANYTHING.on_part(ultra_ram=False))
    return finish(space, cheapest(space.problem, space.intervals[-1])).plan


def test_more_equal_fifos_than_are_taken_together_may_be_anywhere():
    """Of 20 equal FIFOs any number can be in each memory, though eight at most are one group."""
    flow = build(*_twenty())
    costs = FifoCosts(flow, NEW, ultra=True)
    names = [channel.name for channel in flow.channels if channel.type.pixel_bits == 32][:20]
    depths = dict.fromkeys(names, 600)
    shift, block, ultra = (
        costs.beyond({names[0]: 600}, {names[0]: kind})
        for kind in (MemoryKind.REGISTERS, MemoryKind.BRAM, ULTRA)
    )
    assert len(names) == 20
    for blocks, ultras in [(0, 20), (9, 9), (20, 0), (3, 1)]:
        budget = blocks * block + ultras * ultra + (20 - blocks - ultras) * shift
        budget[2] = 1 << 30

        found = costs.memories(depths, np.zeros(5, dtype=np.int64), budget, np.full(5, 1e-3))

        assert found is not None
        assert (costs.beyond(depths, found) <= budget).all()


def _twenty():
    make = Builder(6, 6, 4)
    for _ in range(20):
        make.conv(4)
    graph = make.graph()
    return graph, _plain(graph)


def all_combinations(problem):
    """Least cost of all options and ways to keep FIFOs within the budget; infinite where there is none."""
    lists = [*(options.costs for options in problem.options), *problem.beside]
    totals = problem.fixed[None, :]
    for rows in lists:
        totals = (totals[:, None, :] + rows[None, :, :]).reshape(-1, 5)
    fitting = totals[(totals <= problem.budget).all(axis=1)]
    return float((fitting @ problem.prices).min()) if len(fitting) else math.inf


@pytest.mark.slow
def test_fifos_go_to_ultraram_where_nothing_else_fits_and_the_claim_is_that_of_all_combinations():
    graph = skip_graph()
    chosen = 0
    for lut in (1300, 1350, 1400, 1500, 1700):
        part = small_part(lut)
        expected = all_combinations(search_space(graph, part, CLOCK, {}).problem)

        found = search(graph, part, CLOCK, MinArea())

        if math.isinf(expected):
            assert found.optimality is None
            continue
        made = estimate(graph, found.plan, part, CLOCK)
        if found.optimality is None:  # least depths would fit, those of simulation do not
            assert not made.fits
            continue
        assert made.fits
        assert expected == pytest.approx(found.optimality.bound)
        without = search(graph, part, CLOCK, MinArea(), bindable=Bindable(ultra_fifos=False))
        if ULTRA in found.plan.fifo_memories.values():
            assert made.resources.uram
            check_ports(build(graph, found.plan))
        else:
            assert without.optimality is not None
        assert ULTRA not in without.plan.fifo_memories.values()
        chosen += ULTRA in found.plan.fifo_memories.values() and without.optimality is None
    assert chosen


@pytest.mark.slow
def test_a_part_without_ultraram_or_a_tool_that_cannot_bind_it_gets_none():
    graph = skip_graph()
    for lut in (1350, 1500):
        plans = [
            search(graph, small_part(lut, uram=0), CLOCK, MinArea(), bindable=ANYTHING).plan,
            *(
                search(graph, small_part(lut), CLOCK, MinArea(), bindable=target.bindable).plan
                for target in (Target.VIVADO, Target.HLS4ML)
            ),
        ]
        assert not any(ULTRA in plan.fifo_memories.values() for plan in plans)


def ultra_delays(space) -> int:
    """Options with a delay in UltraRAM."""
    return sum(ULTRA in plan.delays for options in space.problem.options for plan in options.plans)


def test_large_delays_may_be_in_ultraram_where_it_can_be_had():
    graph = wide_graph()

    assert ultra_delays(search_space(graph, PART, CLOCK, {}))
    assert not ultra_delays(search_space(graph, PART, CLOCK, {}, bindable=Bindable(ultra_delays=False)))
    assert not ultra_delays(search_space(graph, find_part("xc7k325t"), CLOCK, {}))
    assert not ultra_delays(search_space(resnet(1), PART, CLOCK, {}))  # rows of 32 pixels


def test_a_delay_goes_to_ultraram_where_nothing_else_fits():
    graph = wide_graph()
    chosen = 0
    for lut in (4000, 6000, 8000):
        part = small_part(lut, bram18=12, uram=20)
        found, without = (
            search(graph, part, CLOCK, MinArea(), bindable=bindable)
            for bindable in (ANYTHING, Bindable(ultra_delays=False))
        )

        in_ultra = any(ULTRA in node.delays for node in found.plan.nodes.values())
        if found.optimality is not None:
            made = estimate(graph, found.plan, part, CLOCK)
            assert made.fits
            assert in_ultra is (made.resources.uram > 0)
            chosen += in_ultra and without.optimality is None
    assert chosen


def test_a_design_with_fifos_in_ultraram_is_estimated_as_it_was_searched_and_read_again(tmp_path):
    graph = skip_graph()
    space = search_space(graph, PART, CLOCK, {})
    choice = cheapest(space.problem, space.intervals[-1])
    by_size = finish(space, choice)
    budget = by_size.total.copy()
    budget[1:] += -100, 500, 0, 1  # as much as one UltraRAM saves and takes; no block RAM

    design = finish(space, choice, budget)
    (tmp_path / "plan.json").write_text(print_plan(design.plan))
    again = load_plan(tmp_path / "plan.json")

    assert {ULTRA} == set(design.plan.fifo_memories.values())
    assert design.plan == again
    made = estimate(graph, again, PART, CLOCK)
    assert tuple(int(amount) for amount in design.total) == made.resources.amounts
    assert ["uram"] == [fifo.memory.value for fifo in made.fifos if fifo.resources.uram]


def test_vitis_hls_is_told_and_the_others_are_refused():
    name = "image_fork_to_add0"
    plan = FoldPlan(nodes={}, fifo_memories={name: ULTRA})

    assert "#pragma HLS BIND_STORAGE variable=s type=FIFO impl=URAM" in fifo_pragmas(
        "s", 64, ULTRA, Target.VITIS
    )
    check_bindable(plan, Target.VITIS)
    with pytest.raises(
        SpecError, match=rf"Vivado HLS 2019\.2 cannot keep a FIFO in UltraRAM; .* for {name} "
    ):
        check_bindable(plan, Target.VIVADO)
    with pytest.raises(SpecError, match=r"hls4ml 1\.3 cannot keep a FIFO in UltraRAM"):
        check_bindable(plan, Target.HLS4ML)
