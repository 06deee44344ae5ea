"""The project folder: whole, the same bytes every time, readable by plain hls4ml."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hls_batch import random_plan
from random_graphs import random_codes, random_graph
from sample_graphs import Builder

from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.base import Vectors
from psp_hw.backends.hls4ml import Backend, IoType, emit
from psp_hw.errors import RunError, SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add
from psp_hw.ir.store import load
from psp_hw.ir.text import print_graph
from psp_hw.passes import optimize
from psp_hw.sim.values import Simulator
from psp_hw.tools import hls4ml as tool
from psp_hw.units import Clock

pytestmark = pytest.mark.slow  # hls4ml writes many projects

SEED = 24  # convolutions and a sum: a fork, a join


def made(seed: int = SEED) -> tuple[Graph, FoldPlan, Vectors]:
    graph = optimize(random_graph(seed))
    codes = random_codes(graph, seed, 3)
    plan = random_plan(graph, np.random.default_rng(seed))
    return graph, plan, Vectors(inputs=codes, outputs=Simulator(graph).run(codes))


def write(out: Path, seed: int = SEED, **options: object) -> tuple[Path, ...]:
    graph, plan, vectors = made(seed)
    return emit(
        graph,
        plan,
        part="xc7z020clg400-1",
        clock=Clock(period_ns=5.0),
        vectors=vectors,
        out=out,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hls4ml") / "design"
    write(out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_network_gives_the_same_bytes_wherever_it_is_written(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "again")

    assert contents(project) == contents(tmp_path / "elsewhere" / "again")


@pytest.mark.parametrize("stamp", ["abcdef12", "12345678", "1234e567"])
def test_a_stamp_that_reads_as_a_number_changes_nothing(
    stamp: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # YAML puts such stamps of hls4ml in quotes.
    from hls4ml.model.optimizer.passes import stamp as stamps

    monkeypatch.setattr(stamps.uuid, "uuid4", lambda: f"0000-{stamp}")
    write(tmp_path / "d")

    assert contents(project) == contents(tmp_path / "d")


def test_no_file_names_the_place_where_it_was_written(project: Path) -> None:
    places = [str(project).encode(), b"/tmp/", str(Path.home()).encode()]
    found = [name for name, content in contents(project).items() for place in places if place in content]

    assert found == []


def test_the_manifest_lists_every_file_with_its_checksum(project: Path) -> None:
    manifest = json.loads((project / "design.json").read_text())
    files = contents(project)
    del files["design.json"]

    assert manifest["kind"] == "psp-hw design"
    assert manifest["target"] == "hls4ml"
    assert manifest["files"] == {n: hashlib.sha256(files[n]).hexdigest() for n in sorted(files)}


def test_the_graph_in_the_folder_is_the_graph_that_was_emitted(project: Path) -> None:
    assert print_graph(made()[0]) == print_graph(load(project))


def test_build_lib_sh_can_be_executed(project: Path) -> None:
    assert (project / "build_lib.sh").stat().st_mode & 0o111


def test_streams_are_as_deep_as_the_plan_says(tmp_path: Path) -> None:
    graph, plan, vectors = made()
    names = [channel.name for channel in build(graph, plan).channels]
    depths = {name: 3 + n for n, name in enumerate(names)}
    deep = FoldPlan(nodes=plan.nodes, fifo_depths=depths)
    out = tmp_path / "deep"
    emit(graph, deep, part="p", clock=Clock(period_ns=5.0), vectors=vectors, out=out)
    (top,) = (out / "firmware").glob("*.cpp")
    found = sorted(int(n) for n in re.findall(r"STREAM variable=\w+ depth=(\d+)", top.read_text()))

    flow = build(graph, deep)
    ports = {graph.input.name, graph.output.name}
    inner = [c for c in flow.channels if c.source not in ports and c.target not in ports]
    between_sum_and_saturation = DEFAULT_FIFO_DEPTH
    assert found == sorted([between_sum_and_saturation, *(c.depth for c in inner)])


def test_with_arrays_every_reader_of_a_value_has_a_copy_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "d", io_type=IoType.PARALLEL)
    (top,) = (tmp_path / "d" / "firmware").glob("*.cpp")
    calls = re.findall(r"nnet::(\w+)<[^;]*?>\(([^;]*)\);", top.read_text().split("insert layers")[1])
    arrays = [name for _, names in calls for name in re.findall(r"layer\d+_\w+|input_1", names)]

    assert "psp_fork" in [function for function, _ in calls]
    assert {arrays.count(name) for name in arrays if name not in ("input_1", arrays[-1])} == {
        2
    }  # written, read


def test_part_clock_and_back_end_reach_the_scripts(tmp_path: Path) -> None:
    write(tmp_path / "d", backend=Backend.VIVADO, io_type=IoType.PARALLEL)
    script = (tmp_path / "d" / "project.tcl").read_text()

    assert 'set part "xc7z020clg400-1"' in script
    assert "set clock_period 5.0" in script
    assert 'set backend "vivado"' in script
    assert "IOType: io_parallel" in (tmp_path / "d" / "hls4ml_config.yml").read_text()


def emit_zeros(graph: Graph, plan: FoldPlan, out: Path, **options: object) -> None:
    """The project of a graph, a frame of zeros as its vectors."""
    kind = graph.input.type
    codes = np.zeros((1, kind.height, kind.width, kind.channels), dtype=np.int64)
    emit(
        graph,
        plan,
        part="xc7z020clg400-1",
        clock=Clock(period_ns=5.0),
        vectors=Vectors(inputs=codes, outputs=Simulator(graph).run(codes)),
        out=out,
        **options,  # type: ignore[arg-type]
    )


def wide(out: Path, channels: int, **options: object) -> None:
    """The project of one pixel of so many channels and one kernel position."""
    make = Builder(1, 1, channels)
    make.conv(1, taps=((0, 0),), kernel=(1, 1), pad=0)
    emit_zeros(make.graph("wide"), FoldPlan(nodes={"conv0": NodePlan(fold=Fold())}), out, **options)


def test_a_pixel_wider_than_a_stream_of_vitis_hls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"a pixel of 4104 bits \(513 channels of 8 bits\) is wider than the 4096"
    ):
        wide(tmp_path / "design", 513)
    assert not (tmp_path / "design").exists()

    wide(tmp_path / "most", 512)
    wide(tmp_path / "arrays", 513, io_type=IoType.PARALLEL)
    wide(tmp_path / "packed", 513, backend=Backend.VIVADO)


def test_a_stream_inside_an_engine_that_is_too_wide_is_refused(tmp_path: Path) -> None:
    """Two summands of 480 channels of 8 bits fit; the exact sum, which hls4ml hands to a layer of ours, does not."""
    make = Builder(1, 1, 1)
    first = make.conv(480, taps=((0, 0),), kernel=(1, 1), pad=0)
    make.add(make.conv(480, source="image", taps=((0, 0),), kernel=(1, 1), pad=0), first)
    added = make.ops[-1]
    assert isinstance(added, Add)
    make.ops[-1] = replace(added, requantize=Requantizer(shift=0, lo=0, hi=100, fmt=make.fmt))
    graph = make.graph("wide")
    plan = FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions})

    with pytest.raises(SpecError) as caught:
        emit_zeros(graph, plan, tmp_path / "design")

    assert "(480 channels of 9 bits): wider than the 4096 bits of a stream" in caught.value.what
    assert "use --io-type io_parallel" in (caught.value.hint or "")
    assert not (tmp_path / "design").exists()
    emit_zeros(graph, plan, tmp_path / "arrays", io_type=IoType.PARALLEL)


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="is no design of psp-hw"):
        write(tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_design_of_ours_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "d", seed=SEED)
    write(tmp_path / "d", seed=14)
    write(tmp_path / "fresh", seed=14)

    assert contents(tmp_path / "fresh") == contents(tmp_path / "d")


def test_the_saved_model_loads_with_all_its_layers(project: Path, tmp_path: Path) -> None:
    code = (
        "import hls4ml, psp_hw, sys\n"
        "model = hls4ml.converters.load_saved_model(sys.argv[1], output_dir=sys.argv[2])\n"
        "print(*[layer.class_name for layer in model.get_layers()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project / "model.fml"), str(tmp_path)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Input", "Clone", "PspConv2D", "Merge", "PspPointwise", "PspConv2D"]


def test_a_project_is_opened_where_it_lies_from_any_directory(project: Path, tmp_path: Path) -> None:
    code = (
        "import hls4ml, psp_hw, sys\n"
        "model = hls4ml.converters.link_existing_project(sys.argv[1])\n"
        "print(model.config.get_output_dir())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(project.resolve())


def test_importing_psp_hw_and_its_back_end_imports_no_hls4ml() -> None:
    code = "import psp_hw, psp_hw.backends.hls4ml, sys; print('hls4ml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_folder_for_another_tool_is_not_run_by_hls4ml(tmp_path: Path) -> None:
    (tmp_path / "design.json").write_text(json.dumps({"target": "vitis"}))
    with pytest.raises(RunError, match="is written for vitis, not for hls4ml"):
        tool.compile_and_run(tmp_path, np.zeros((1, 1, 1, 1), dtype=np.int64))


def test_a_damaged_project_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "design.json").write_bytes((project / "design.json").read_bytes())
    with pytest.raises(RunError, match="firmware is missing"):
        tool.compile_and_run(tmp_path, np.zeros((1, *made()[0].input.type.shape), dtype=np.int64))
