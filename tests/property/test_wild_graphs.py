"""At the edges of what is legal: simulator = plainest execution, and every pass preserves every output, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes
from wild_graphs import wild_graph

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import AvgPool, Conv2d, Requantize
from psp_hw.ir.text import print_graph
from psp_hw.passes import PASSES, optimize
from psp_hw.sim.values import Simulator

SEEDS = range(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_simulator_and_passes_give_what_the_plainest_execution_gives(seed: int) -> None:
    graph = wild_graph(seed)
    codes = random_codes(graph, seed, 2)
    expected = execute(graph, codes)

    for name, values in Simulator(graph, threads=1).trace(codes).items():
        assert np.array_equal(expected[name], values), name
        fmt = graph.types[name].fmt
        assert fmt.min <= values.min() <= values.max() <= fmt.max, name
    for count in range(1, len(PASSES) + 1):
        changed = optimize(graph, stop_after=count)
        assert np.array_equal(expected["result"], Simulator(changed, threads=1).run(codes)), PASSES[count - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_rounds_of_passes_preserve_outputs_and_names(seed: int) -> None:
    graph = wild_graph(seed)
    codes = random_codes(graph, seed, 2)
    before = execute(graph, codes)
    optimized = optimize(graph)
    after = execute(optimized, codes)

    assert np.array_equal(before["result"], after["result"])
    for name in set(before) & set(after):
        if graph.types[name] == optimized.types[name]:
            assert np.array_equal(before[name], after[name]), name
    assert print_graph(optimize(optimized)) == print_graph(optimized)


def test_the_wild_graphs_hold_what_they_are_for() -> None:
    graphs = [wild_graph(seed) for seed in range(120)]

    def has(what: str, found: bool) -> None:
        assert found, what

    def any_conv(test: object) -> bool:
        return any(test(op, graph) for graph in graphs for op in graph.convolutions)  # type: ignore[operator]

    def weight(op: Conv2d, graph: Graph) -> np.ndarray:
        return graph.constants[op.weight]

    has("no weight left", any_conv(lambda op, g: not weight(op, g).any()))
    has("no negative weight", any_conv(lambda op, g: weight(op, g).min() >= 0 and weight(op, g).any()))
    has("one tap in a corner", any_conv(lambda op, g: len(op.taps) == 1 and op.kernel[0] > 2))
    has("a kernel beyond the frame", any_conv(lambda op, g: op.kernel[0] > g.types[op.input].height))
    has("one pixel", any_conv(lambda op, g: g.types[op.input].pixels == 1 and len(op.taps) > 1))
    has("stride of 3 or more", any_conv(lambda op, g: max(op.stride) >= 3))
    has("uneven padding", any_conv(lambda op, g: op.padding.top != op.padding.bottom))
    has("1 bit", any_conv(lambda op, g: g.types[op.input].fmt.width == 1))
    has("32 bits", any_conv(lambda op, g: g.types[op.input].fmt.width >= 32))
    ops = [op for graph in graphs for op in graph.ops]
    has("division", any(isinstance(op, Requantize) and op.requantize.divisor > 1 for op in ops))
    means = [op for op in ops if isinstance(op, AvgPool) and op.requantize is not None]
    twice = [op for op in means if op.kernel[0] * op.kernel[1] % op.requantize.divisor]
    has("a mean that is divided again", bool(twice))
