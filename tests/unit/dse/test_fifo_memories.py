"""Where FIFOs are kept: by their size, or where the part has something left."""

from __future__ import annotations

import dataclasses

import pytest
from sample_graphs import resnet

from psp_hw.backends.base import Target
from psp_hw.backends.hls.storage import fifo_pragmas
from psp_hw.backends.plan_file import load_plan, print_plan
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.dse.choose import cheapest
from psp_hw.dse.search import plan
from psp_hw.dse.space import fifo_memories, finish, search_space
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.memory import memory_for_fifo
from psp_hw.folding.plan import MemoryKind
from psp_hw.folding.ports import check_ports
from psp_hw.spec.target import MinArea
from psp_hw.units import Clock

PART = find_part("xc7k325t")
CLOCK = Clock(period_ns=10.0)


def least():
    """A network with residual branches, and the space and the choice of its least design."""
    graph = resnet(2, taps=4)
    space = search_space(graph, PART, CLOCK, {})
    return graph, space, cheapest(space.problem, space.intervals[-1])


def test_memories_are_those_of_the_sizes_where_these_fit():
    _, space, choice = least()

    assert {} == dict(finish(space, choice).plan.fifo_memories)


@pytest.mark.parametrize("short", ["lut", "bram18"])
def test_a_shortage_of_one_memory_is_made_up_for_by_the_other(short):
    _, space, choice = least()
    by_size = finish(space, choice)
    depths = {c.name: by_size.plan.fifo_depths.get(c.name, 2) for c in space.flow.channels}
    # Some of them in block RAM.
    deep = {name: 600 if "fork" in name else depth for name, depth in depths.items()}
    place = {"lut": 1, "bram18": 3}[short]
    needed = fifo_memories(space, choice, deep, space.problem.capacity)
    assert needed == {}
    taken = choice.total.copy()
    for limit in range(10_000):
        budget = space.problem.capacity.copy()
        budget[place] = taken[place] + limit * (200 if short == "lut" else 4)
        found = fifo_memories(space, choice, deep, budget)
        if found is not None:
            break

    assert found  # something differs from what sizes say
    want = {"lut": MemoryKind.BRAM, "bram18": MemoryKind.REGISTERS}[short]
    assert {want} == set(found.values())
    kinds = {c.name: c.type.pixel_bits for c in space.flow.channels}
    assert all(memory_for_fifo(deep[name], kinds[name]) is not kind for name, kind in found.items())


def test_a_design_fits_where_its_fifos_move_to_block_ram():
    graph, space, choice = least()
    by_size = finish(space, choice)
    lut = int(by_size.total[1]) - 400
    part = dataclasses.replace(PART, resources=dataclasses.replace(PART.resources, lut=lut))

    found = plan(graph, part, CLOCK, MinArea())

    made = estimate(graph, found, part, CLOCK)
    assert made.fits
    assert MemoryKind.BRAM in found.fifo_memories.values() or made.resources.lut <= lut
    check_ports(build(graph, found))


def test_memories_of_fifos_are_written_down_and_bound(tmp_path):
    graph, space, choice = least()
    made = finish(space, choice).plan
    name = space.flow.channels[3].name
    chosen = dataclasses.replace(made, fifo_memories={name: MemoryKind.BRAM})

    (tmp_path / "plan.json").write_text(print_plan(chosen))
    channel = next(c for c in build(graph, chosen).channels if c.name == name)

    assert chosen == load_plan(tmp_path / "plan.json")
    assert MemoryKind.BRAM is channel.kept
    assert "impl=BRAM" in fifo_pragmas("fifo", channel.depth, channel.kept, Target.VITIS)[1]
    assert "core=FIFO_BRAM" in fifo_pragmas("fifo", channel.depth, channel.kept, Target.VIVADO)[1]
    before, after = (estimate(graph, one, PART, CLOCK).resources for one in (made, chosen))
    assert after.bram18 > before.bram18


def test_a_fifo_in_distributed_ram_is_refused():
    graph, space, choice = least()
    name = space.flow.channels[3].name
    made = dataclasses.replace(finish(space, choice).plan, fifo_memories={name: MemoryKind.LUTRAM})

    with pytest.raises(SpecError, match="a FIFO is not kept in lutram: use registers, bram, uram"):
        check_ports(build(graph, made))
