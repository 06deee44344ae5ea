"""On random graphs: simulator = plainest execution, and every pass preserves every output, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import execute
from random_graphs import random_codes, random_graph

from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Relu, Requantize
from psp_hw.ir.text import parse_graph, print_graph
from psp_hw.ir.verify import verify
from psp_hw.passes import PASSES, optimize
from psp_hw.sim.values import Simulator

SEEDS = range(200)


@pytest.mark.parametrize("seed", SEEDS)
def test_simulator_equals_the_plainest_execution_of_every_value(seed):
    graph = random_graph(seed)
    codes = random_codes(graph, seed, 3)
    expected = execute(graph, codes)

    actual = Simulator(graph, threads=1).trace(codes)

    for name in expected:
        assert np.array_equal(expected[name], actual[name]), name


@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_lies_in_the_format_that_the_graph_gives_it(seed):
    graph = random_graph(seed)

    for name, values in Simulator(graph, threads=1).trace(random_codes(graph, seed, 5)).items():
        fmt = graph.types[name].fmt
        assert fmt.min <= values.min() <= values.max() <= fmt.max, name


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pass_preserves_every_output(seed):
    graph = random_graph(seed)
    codes = random_codes(graph, seed, 8)
    expected = Simulator(graph, threads=1).run(codes)

    for count in range(1, len(PASSES) + 1):
        assert np.array_equal(expected, Simulator(optimize(graph, stop_after=count), threads=1).run(codes))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_value_that_keeps_name_and_type_keeps_its_content(seed):
    graph = random_graph(seed)
    codes = random_codes(graph, seed, 3)
    before = Simulator(graph, threads=1).trace(codes)
    optimized = optimize(graph)
    after = Simulator(optimized, threads=1).trace(codes)

    for name in set(before) & set(after):
        if graph.types[name] == optimized.types[name]:
            assert np.array_equal(before[name], after[name]), name


@pytest.mark.parametrize("seed", SEEDS)
def test_text_prints_and_parses(seed):
    graph = optimize(random_graph(seed))
    text = print_graph(graph)

    parsed = verify(parse_graph(text, graph.constants))

    assert parsed.ops == graph.ops
    assert print_graph(parsed) == text


@pytest.mark.parametrize("seed", SEEDS)
def test_passes_run_twice_change_nothing_more(seed):
    once = optimize(random_graph(seed))

    assert print_graph(optimize(once)) == print_graph(once)


def test_the_random_graphs_hold_what_the_passes_look_for():
    before = [random_graph(seed) for seed in range(60)]
    after = [optimize(graph) for graph in before]

    def count(graphs: list[Graph], kind: type) -> int:
        return sum(isinstance(op, kind) for graph in graphs for op in graph.ops)

    def size(graphs: list[Graph], axis: int) -> int:
        return sum(
            g.constants[op.weight].shape[axis] for g in graphs for op in g.ops if isinstance(op, Conv2d)
        )

    assert count(before, Relu) > count(after, Relu)
    assert count(before, Requantize) > count(after, Requantize)
    assert all(size(before, axis) > size(after, axis) for axis in (1, 2))
