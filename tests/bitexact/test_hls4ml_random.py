"""Random networks over every op, compiled by hls4ml itself, against the plainest execution: every output integer equal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from divided_graph import divided
from hls_batch import random_plan
from patterns import pruned, table_plan
from random_graphs import random_codes, random_graph

from psp_hw.backends.base import Vectors
from psp_hw.backends.hls4ml import Backend, IoType, emit
from psp_hw.backends.hls4ml.model import layer_specs
from psp_hw.errors import ToolError
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.passes import optimize
from psp_hw.sim.values import Simulator
from psp_hw.tools import hls4ml as tool
from psp_hw.units import Clock

pytestmark = pytest.mark.slow

FRAMES = 20
# Together they hold every op, all four pairs of back end and joining, each of our layers joined both ways, saturation that no
# ap_fixed has, odd divisors, scales per channel, padded and overlapping pooling.
CASES = [
    (1, IoType.PARALLEL, Backend.VITIS),
    (3, IoType.PARALLEL, Backend.VIVADO),
    (4, IoType.STREAM, Backend.VITIS),
    (6, IoType.STREAM, Backend.VIVADO),
    (13, IoType.STREAM, Backend.VITIS),
    (36, IoType.STREAM, Backend.VITIS),
    (17, IoType.STREAM, Backend.VITIS),
    (25, IoType.PARALLEL, Backend.VITIS),
]


def test_the_cases_hold_each_of_our_layers_joined_both_ways() -> None:
    found = set()
    for seed, io_type, _ in CASES:
        graph = optimize(random_graph(seed))
        flow = build(graph, random_plan(graph, np.random.default_rng(seed)))
        found |= {(io_type, spec.kind) for spec in layer_specs(graph, flow) if spec.kind.startswith("Psp")}

    engines = {"PspConv2D", "PspWindowPool2D", "PspGlobalPool2D", "PspPointwise", "PspThreshold"}
    assert found == {(io_type, kind) for io_type in IoType for kind in engines}


def write(out: Path, seed: int, io_type: IoType, backend: Backend) -> tuple[Graph, np.ndarray, np.ndarray]:
    graph = optimize(random_graph(seed))
    codes = random_codes(graph, seed, FRAMES)
    expected = Simulator(graph).run(codes)
    plan: FoldPlan = random_plan(graph, np.random.default_rng(seed))
    emit(
        graph,
        plan,
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10.0),
        vectors=Vectors(inputs=codes[:3], outputs=expected[:3]),
        out=out,
        io_type=io_type,
        backend=backend,
    )
    script = out / "build_lib.sh"
    script.write_text(script.read_text().replace("-O3", "-O0 -w"))  # compiles in a third of the time
    return graph, codes, expected.reshape(FRAMES, -1)


@pytest.mark.parametrize(("seed", "io_type", "backend"), CASES)
def test_hls4ml_computes_every_output_of_a_random_network(
    tmp_path: Path, seed: int, io_type: IoType, backend: Backend
) -> None:
    _, codes, expected = write(tmp_path / "design", seed, io_type, backend)

    assert np.array_equal(expected, tool.compile_and_run(tmp_path / "design", codes))


@pytest.mark.parametrize(("seed", "io_type"), [(6, IoType.STREAM), (1, IoType.PARALLEL)])
def test_the_words_of_synthesis_and_the_oldest_standard_give_the_same_outputs(
    tmp_path: Path, seed: int, io_type: IoType
) -> None:
    _, codes, expected = write(tmp_path / "design", seed, io_type, Backend.VIVADO)
    script = tmp_path / "design" / "build_lib.sh"
    text = script.read_text().replace("-O0", "-O0 -DPSP_EXACT_WIDTHS")
    script.write_text(text.replace("-std=c++23", "-std=c++11"))  # Vivado HLS compiles as C++11

    assert np.array_equal(expected, tool.compile_and_run(tmp_path / "design", codes))


# Together they hold every form of a connection table: read in turn and selected, blocks equal and not, channels reordered or not.
TABLES = [
    (6, "strided", IoType.STREAM, Backend.VIVADO),
    (13, "strided", IoType.STREAM, Backend.VITIS),
    (3, "kernel", IoType.PARALLEL, Backend.VITIS),
    (2, "weight", IoType.PARALLEL, Backend.VIVADO),
]


@pytest.mark.parametrize(("seed", "structure", "io_type", "backend"), TABLES)
def test_hls4ml_computes_every_output_from_connection_tables(
    tmp_path: Path, seed: int, structure: str, io_type: IoType, backend: Backend
) -> None:
    rng = np.random.default_rng(seed)
    graph = pruned(optimize(random_graph(seed)), rng, structure)
    codes = random_codes(graph, seed, FRAMES)
    expected = Simulator(graph).run(codes)
    emit(
        graph,
        table_plan(graph, rng),
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10.0),
        vectors=Vectors(inputs=codes[:3], outputs=expected[:3]),
        out=tmp_path / "design",
        io_type=io_type,
        backend=backend,
    )
    script = tmp_path / "design" / "build_lib.sh"
    text = script.read_text()
    if backend is Backend.VIVADO:  # the words of synthesis and the oldest standard
        text = text.replace("-O3", "-O3 -DPSP_EXACT_WIDTHS").replace("-std=c++23", "-std=c++11")
    script.write_text(text.replace("-O3", "-O0 -w"))

    assert np.array_equal(expected.reshape(FRAMES, -1), tool.compile_and_run(tmp_path / "design", codes))


def test_hls4ml_divides_behind_every_kind_of_layer(tmp_path: Path) -> None:
    graph = divided(3)
    codes = random_codes(graph, 0, FRAMES)
    expected = Simulator(graph).run(codes)
    emit(
        graph,
        random_plan(graph, np.random.default_rng(0)),
        part="xc7z020clg400-1",
        clock=Clock(period_ns=10.0),
        vectors=Vectors(inputs=codes[:3], outputs=expected[:3]),
        out=tmp_path / "design",
    )
    script = tmp_path / "design" / "build_lib.sh"
    script.write_text(script.read_text().replace("-O3", "-O0 -w"))

    assert np.array_equal(expected.reshape(FRAMES, -1), tool.compile_and_run(tmp_path / "design", codes))


def test_the_tables_have_every_form() -> None:
    found = set()
    for seed, structure, _, _ in TABLES:
        rng = np.random.default_rng(seed)
        graph = pruned(optimize(random_graph(seed)), rng, structure)
        for engine in build(graph, table_plan(graph, rng)).engines:
            table = engine.table if isinstance(engine, ConvEngine) else None
            if table is not None:
                found |= {("in turn", table.in_turn), ("equal", table.equal), ("ordered", table.ordered)}

    assert found == {(what, value) for what in ("in turn", "equal", "ordered") for value in (True, False)}


def test_a_changed_weight_changes_the_outputs_that_hls4ml_computes(tmp_path: Path) -> None:
    _, codes, expected = write(tmp_path / "design", 24, IoType.STREAM, Backend.VITIS)
    for weights in (tmp_path / "design" / "firmware" / "weights").glob("w*.txt"):
        weights.write_text(re.sub(r"[1-9]", "0", weights.read_text()))

    assert not np.array_equal(expected, tool.compile_and_run(tmp_path / "design", codes))


def test_every_traced_layer_equals_the_value_of_the_graph(tmp_path: Path) -> None:
    graph, codes, _ = write(tmp_path / "design", 24, IoType.STREAM, Backend.VITIS)
    expected = Simulator(graph).trace(codes[:2])
    found = tool.trace(tmp_path / "design", codes[:2])

    assert set(found) == {op.name for op in graph.ops[1:-1]}
    for name, value in found.items():
        assert np.array_equal(expected[name].reshape(2, -1), value), name


def test_a_project_that_does_not_compile_is_said_to_be_so(tmp_path: Path) -> None:
    _, codes, _ = write(tmp_path / "design", 24, IoType.STREAM, Backend.VITIS)
    (top,) = (tmp_path / "design" / "firmware").glob("*.cpp")
    top.write_text("#error broken\n")
    with pytest.raises(ToolError, match="hls4ml does not compile it"):
        tool.compile_and_run(tmp_path / "design", codes)


def test_the_tests_of_a_design_pass_and_find_a_changed_vector(tmp_path: Path) -> None:
    write(tmp_path / "design", 14, IoType.STREAM, Backend.VITIS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-k", "not generated", "."]
    done = subprocess.run(command, cwd=tmp_path / "design", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

    vectors = tmp_path / "design" / "vectors" / "outputs.txt"
    lines = vectors.read_text().splitlines()
    lines[-2] = " ".join(str(int(word) + 1) for word in lines[-2].split())
    vectors.write_text("\n".join(lines) + "\n")
    done = subprocess.run(command, cwd=tmp_path / "design", capture_output=True, text=True)
    assert done.returncode == 1
    assert "frames that differ: [2]" in done.stdout
