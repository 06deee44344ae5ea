"""Compiling and running a design; what is said when that fails."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hls_batch import write_design
from oracle import execute
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.errors import RunError, ToolError
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.types import TensorType
from psp_hw.tools.gxx import Simulation, Widths, compile_design, read_interface, unpack_tokens

pytestmark = pytest.mark.slow  # g++ compiles designs


def residual_graph() -> Graph:
    make = Builder(5, 4, 2)
    first = make.conv(3, taps=((0, 1), (1, 1)))
    make.add(make.conv(3, source=first), first)
    return make.graph("residual")


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = residual_graph()
    codes = np.zeros((1, 5, 4, 2), dtype=np.int64)
    plan = FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions})
    folder = tmp_path_factory.mktemp("gxx") / "design"
    write_design(folder, graph, plan, codes, execute(graph, codes)["result"])
    return folder


@pytest.fixture(scope="module")
def traced(design: Path) -> Iterator[Simulation]:
    with compile_design(design, traced=True) as simulation:
        yield simulation


def some_codes(frames: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, size=(frames, 5, 4, 2))


def test_frames_keep_their_order_however_they_are_shared_out(traced: Simulation) -> None:
    codes = some_codes(7)
    done: list[int] = []

    actual = traced.run(codes, jobs=3, on_chunk=done.append)

    assert np.array_equal(execute(residual_graph(), codes)["result"], actual)
    assert 7 == sum(done)
    assert len(done) > 1


def test_a_trace_names_the_value_of_every_stream(traced: Simulation) -> None:
    codes = some_codes(3)
    expected = execute(residual_graph(), codes)

    actual = traced.trace(codes)

    assert {"image", "conv0", "conv1"} < set(actual)
    for name, values in actual.items():
        assert np.array_equal(expected[name], values), name


def test_no_frames_give_no_results(traced: Simulation) -> None:
    assert (0, 5, 4, 3) == traced.run(some_codes(0)).shape


def test_codes_that_are_no_frames_are_refused(traced: Simulation) -> None:
    with pytest.raises(ValueError, match=r"codes of shape \(2, 4, 5, 2\) are no frames of 5x4x2:u8.4"):
        traced.run(some_codes(2).reshape(2, 4, 5, 2))
    with pytest.raises(ValueError, match=r"leave the range of u8.4"):
        traced.run(np.full((1, 5, 4, 2), 256))


def test_the_compiled_program_goes_when_it_is_closed(design: Path) -> None:
    before = sorted(design.rglob("*"))

    with compile_design(design) as simulation:
        binary = simulation.binary
        assert binary.exists()

    assert not binary.exists()
    assert before == sorted(design.rglob("*"))


def test_words_of_synthesis_compute_the_same_and_can_be_traced(design: Path) -> None:
    codes = some_codes(2)
    expected = execute(residual_graph(), codes)

    with compile_design(design, traced=True, widths=Widths.SYNTHESIS) as simulation:
        assert np.array_equal(expected["result"], simulation.run(codes))
        assert np.array_equal(expected["conv1"], simulation.trace(codes)["conv1"])


def narrowed(design: Path, copy: Path, old: str, new: str) -> Path:
    """A copy of a design in which one line of conv1 is another."""
    shutil.copytree(design, copy)
    header = copy / "src" / "layers" / "conv1.h"
    text = header.read_text()
    assert 1 == len(re.findall(old, text))
    header.write_text(re.sub(old, new, text))
    return copy


def test_a_constant_that_synthesis_would_cut_off_is_said_in_the_words_of_synthesis(
    design: Path, tmp_path: Path
) -> None:
    """A table of three bits that holds weights of eight: C words do not care."""
    copy = narrowed(
        design, tmp_path / "copy", r"Constant<8, true>(?=::type k\w*Weights)", "Constant<3, true>"
    )
    codes = some_codes(1)

    with compile_design(copy) as simulation:
        assert np.array_equal(execute(residual_graph(), codes)["result"], simulation.run(codes))
    with (
        compile_design(copy, widths=Widths.SYNTHESIS) as simulation,
        pytest.raises(ToolError, match=r"failed: the constant -?\d+ does not fit ap_int<3>"),
    ):
        simulation.run(codes)


def test_a_factor_that_lacks_its_sign_bit_is_found_in_the_words_of_synthesis(
    design: Path, tmp_path: Path
) -> None:
    """Products in LUTs of operands one bit too narrow: C words have room for what a word of synthesis cuts off."""
    copy = narrowed(design, tmp_path / "copy", r"psp::ByTool Multiplier", "psp::InLuts<8, 8> Multiplier")
    codes = some_codes(4)
    expected = execute(residual_graph(), codes)["result"]

    with compile_design(copy) as simulation:
        assert np.array_equal(expected, simulation.run(codes))
    with compile_design(copy, widths=Widths.SYNTHESIS) as simulation:
        assert not np.array_equal(expected, simulation.run(codes))


def test_a_missing_compiler_is_said(design: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ToolError, match=r"g\+\+ is not on PATH"):
        compile_design(design)


def test_the_first_error_of_the_compiler_is_said(design: Path, tmp_path: Path) -> None:
    broken = tmp_path / "design"
    shutil.copytree(design, broken)
    (broken / "src" / "layers" / "conv1.h").write_text("this is no C++\n")

    with pytest.raises(ToolError, match=r"g\+\+ failed: src/layers/conv1.h:1:1: error: "):
        compile_design(broken)


def test_a_compiler_of_another_name_is_called_with_the_flags_of_the_makefile(
    design: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/mock_tools/mock-g++ writes down its command line and fails."""
    mock = Path(__file__).resolve().parents[2] / "mock_tools" / "mock-g++"
    monkeypatch.setenv("CXX", str(mock))
    monkeypatch.setenv("MOCK_LOG", str(tmp_path / "log"))

    with pytest.raises(ToolError, match=r"g\+\+ failed: mock-g\+\+: error: no such compiler"):
        compile_design(design)

    flags = "-std=c++14 -O1 -Isrc -Iinclude -isystem include/gxx -isystem include/ap_types -c"
    logged = (tmp_path / "log").read_text().splitlines()
    assert all(line.startswith(flags) for line in logged)
    assert {"src/residual.cpp", "tb/testbench.cpp"} == {line.split()[9] for line in logged}


def test_a_folder_that_is_no_design_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"design.json: is missing"):
        read_interface(tmp_path)
    (tmp_path / "design.json").write_text('{"kind": "psp-hw design"}')
    with pytest.raises(RunError, match="is no manifest of a design"):
        read_interface(tmp_path)


def test_tokens_of_a_trace_are_read_bit_by_bit() -> None:
    kind = TensorType(height=1, width=2, channels=3, fmt=FixedPoint(width=5, signed=True, frac=0))
    pixels = [[-16, 15, -1], [0, 7, -8]]
    words = [sum((code & 31) << (5 * c) for c, code in enumerate(pixel)) for pixel in pixels]

    data = b"".join(word.to_bytes(2, "little") for word in words)

    assert [[pixels]] == unpack_tokens(data, kind).tolist()
