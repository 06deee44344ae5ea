"""Compiling a project with g++ and simulating frames, in processor time."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hls4ml_compare.hardware import our_row
from benchmarks.hls4ml_compare.network import ALL, KEPT, resnet8
from benchmarks.hls4ml_compare.ways import Pace, Row, Way, plan_of, stock_specs
from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls import emit
from psp_hw.backends.hls4ml.model import layer_specs
from psp_hw.backends.hls4ml.specs import INPUT_NAME, LayerSpec, layer_list, precision_config
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.types import Tap
from psp_hw.sim.values import Simulator
from psp_hw.tools.gxx import compile_design
from psp_hw.units import Clock

PART, CLOCK_NS = "xczu7ev-ffvc1156-2-e", 5
STANDALONE = "psp-hw, C++ alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Compiling and running one project."""

    network: str
    way: str
    images: int
    compile_seconds: float
    run_seconds: float

    @property
    def seconds(self) -> float:
        """Both."""
        return self.compile_seconds + self.run_seconds

    @property
    def images_per_second(self) -> float:
        """Of the simulation, on one core."""
        return self.images / self.run_seconds


def written(specs: tuple[LayerSpec, ...], graph: Graph, way: Way, folder: Path) -> Any:
    """The hls4ml model of the layers, written."""
    from hls4ml.model import ModelGraph
    from hls4ml.utils.config import create_config

    config = create_config(
        output_dir=str(folder),
        project_name="compared",
        backend="Vitis",
        part=PART,
        clock_period=CLOCK_NS,
        io_type="io_stream",
    )
    config["HLSConfig"] = precision_config(specs)
    if way is not Way.OURS:
        for spec in specs:
            if spec.kind in ("Conv2D", "Dense"):
                config["HLSConfig"]["LayerName"][spec.name]["Strategy"] = way.strategy
    with quiet():
        model = ModelGraph.from_layer_list(
            config, layer_list(specs), inputs=[INPUT_NAME], outputs=[specs[-1].name]
        )
        model.write()
    return model


def frames(graph: Graph, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Random frames [N, H, W, C], the same for every way, and what the integer network makes of them [N, classes]."""
    source = graph.input.type
    rng = np.random.default_rng(3)
    codes = rng.integers(source.fmt.min, source.fmt.max + 1, size=(images, *source.shape))
    return codes, Simulator(graph).run(codes).reshape(images, -1)


def measured(row: Row, model: Any, graph: Graph, images: int, limit_s: float) -> Row:
    """The row with what compiling and running the project took; without them where compiling takes longer than the limit."""
    source = graph.input.type.fmt
    codes, expected = frames(graph, images)
    seconds_of_compiling = compiled(model, limit_s)
    if seconds_of_compiling is None:
        return replace(row, gave_up_after_seconds=limit_s)
    start = time.process_time()
    found = np.asarray(model.predict(np.ldexp(codes.astype(float), -source.frac))).reshape(images, -1)
    seconds = time.process_time() - start
    actual = np.ldexp(found, graph.types[graph.output.name].fmt.frac)
    return replace(
        row,
        compile_seconds=round(seconds_of_compiling, 1),
        images_per_second=round(images / seconds, 2),
        mismatches=int((actual != expected).any(axis=1).sum()),
    )


def compiled(model: Any, limit_s: float) -> float | None:
    """What ``ModelGraph.compile()`` does after writing: seconds of processor time, or None when given up."""
    before = seconds_of_children()
    folder = Path(model.config.get_output_dir())
    build = subprocess.Popen(
        ["./build_lib.sh"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        if build.wait(timeout=limit_s) != 0:
            raise SystemExit(f"{folder} does not compile")
    except subprocess.TimeoutExpired:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        return None
    stamp = model.config.get_config_value("Stamp")
    library = folder / "firmware" / f"{model.config.get_project_name()}-{stamp}.so"
    model._top_function_lib = ctypes.cdll.LoadLibrary(str(library))
    return seconds_of_children() - before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """hls4ml prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def totals(images: int, progress: Callable[[Total], None]) -> list[Total]:
    """Stock hls4ml, ours inside hls4ml, and the C++ alone, at the same II, measured one after the other."""
    found = []
    ways: tuple[tuple[str, tuple[Tap, ...], Way | None], ...] = (
        ("dense", ALL, Way.LATENCY),
        ("dense", ALL, Way.RESOURCE),
        ("4 of 9 taps", KEPT, Way.OURS),
        ("dense", ALL, None),
        ("4 of 9 taps", KEPT, None),
    )
    for network, alive, way in ways:
        graph = resnet8(alive)
        plan = plan_of(graph, Pace.SAME_II)
        if way is None:
            total = standalone(graph, plan, network, images)
        else:
            total = through_hls4ml(graph, build(graph, plan), way, network, images)
        progress(total)
        found.append(total)
    return found


def through_hls4ml(graph: Graph, flow: Dataflow, way: Way, network: str, images: int) -> Total:
    """A project, compiled and run by hls4ml."""
    specs = layer_specs(graph, flow) if way is Way.OURS else stock_specs(graph, flow, Pace.SAME_II)
    with tempfile.TemporaryDirectory() as folder:
        model = written(specs, graph, way, Path(folder))
        empty = our_row(graph, flow, Pace.SAME_II, network, model)
        row = measured(empty, model, graph, images, limit_s=3600)
    assert row.compile_seconds is not None
    assert row.images_per_second is not None
    assert row.mismatches == 0, f"{way.value}: {row.mismatches} frames differ"
    return Total(
        network=network,
        way=way.value,
        images=images,
        compile_seconds=row.compile_seconds,
        run_seconds=round(images / row.images_per_second, 3),
    )


def standalone(graph: Graph, plan: FoldPlan, network: str, images: int) -> Total:
    """The design for Vivado HLS under the same folds, compiled by g++ as ``simulate --against csim`` does, on one core."""
    codes, expected = frames(graph, images)
    with tempfile.TemporaryDirectory() as folder:
        design = Path(folder) / "design"
        vectors = Vectors(inputs=codes[:1], outputs=Simulator(graph).run(codes[:1]))
        clock = Clock(period_ns=CLOCK_NS)
        emit(graph, plan, part=PART, clock=clock, target=Target.VIVADO, vectors=vectors, out=design)
        start = seconds_of_children()
        with compile_design(design) as program:
            compiled_at = seconds_of_children()
            found = program.run(codes, jobs=1).reshape(images, -1)
            end = seconds_of_children()
    assert np.array_equal(expected, found), "the C++ differs from the integer network"
    return Total(
        network=network,
        way=STANDALONE,
        images=images,
        compile_seconds=round(compiled_at - start, 1),
        run_seconds=round(end - compiled_at, 3),
    )


def seconds_of_children() -> float:
    """Processor time of the programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
