"""The same network, dense and shape-pruned, through stock hls4ml and through ours: what the hardware is, how fast the C++ is.

The network is resnet8 for CIFAR-10 with random 8-bit weights: neither the hardware nor the speed depends on training. The
pruned one keeps the same few positions of every 3x3 kernel, the first convolution and the shortcuts excepted. Stock hls4ml
gets exactly the same integers and types, as its own Conv2D with zeros where positions are gone.

Computed from the generated project: multipliers, weight bits, line buffer bits, cycles. Measured, in processor time: seconds
of hls4ml's ``compile()``, images per second of its ``predict()``, outputs that differ from the integer network; and the same
of the design that ``emit --target vivado`` writes under the same folds, which g++ compiles without hls4ml.

    python benchmarks/hls4ml_compare.py                      everything, some minutes; writes reports/hls4ml/
    python benchmarks/hls4ml_compare.py --no-measure         only what is computed
    python benchmarks/hls4ml_compare.py --keep-table         measure the times again, leave the table as it was written
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import json
import os
import platform
import re
import resource
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls import emit
from psp_hw.backends.hls4ml.model import layer_specs
from psp_hw.backends.hls4ml.plugin import register
from psp_hw.backends.hls4ml.specs import INPUT_NAME, LayerSpec, layer_list, precision_config
from psp_hw.backends.hls4ml.types import exact_type, settled_type
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import accumulator, result_type
from psp_hw.ir.ops import Add, AvgPool, Conv2d, Input, Op, Output
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType
from psp_hw.passes import optimize
from psp_hw.sim.values import Simulator
from psp_hw.tools.gxx import compile_design
from psp_hw.units import Clock

ROOT = Path(__file__).resolve().parent.parent
KEPT = (Tap(0, 1), Tap(1, 0), Tap(1, 1), Tap(1, 2))  # 4 of 9 taps, in two of three rows
ALL = tuple(Tap(r, s) for r in range(3) for s in range(3))
WIDTHS = (16, 32, 64)
PART, CLOCK_NS = "xczu7ev-ffvc1156-2-e", 5
STANDALONE = "psp-hw, C++ alone"


class Way(Enum):
    """Through what: a strategy of stock hls4ml, or our layer."""

    LATENCY = "stock latency"
    RESOURCE = "stock resource"
    UNROLLED = "stock resource_unrolled"
    OURS = "psp-hw"

    @property
    def strategy(self) -> str:
        """The word of hls4ml."""
        words = {Way.LATENCY: "latency", Way.RESOURCE: "resource", Way.UNROLLED: "resource_unrolled"}
        return words.get(self, "latency")


class Pace(Enum):
    """What is held fixed between the dense and the pruned network."""

    SAME_II = "same II"
    SAME_MULTIPLIERS = "same multipliers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; measured fields are None where nothing was run."""

    pace: str
    network: str
    way: str
    multipliers: int
    weight_bits: int
    line_buffer_bits: int
    cycles_per_pixel: int
    cycles_per_frame: int
    compile_seconds: float | None = None
    images_per_second: float | None = None
    mismatches: int | None = None
    gave_up_after_seconds: float | None = None


# ---- the network


class Net:
    """Builds a graph op by op."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.constants: dict[str, np.ndarray] = {}
        self.types: dict[str, TensorType] = {}

    def put(self, op: Op, *inputs: str) -> str:
        """Append an op."""
        self.ops.append(op)
        self.types[op.name] = result_type(op, [self.types[name] for name in inputs], self.constants)
        return op.name

    def conv(
        self,
        name: str,
        source: str,
        out: int,
        *,
        k: int,
        stride: int,
        alive: tuple[Tap, ...],
        fmt: FixedPoint,
    ) -> str:
        """A convolution of random 8-bit weights, dead positions zero, requantized to ``fmt``'s width."""
        taps = tuple(Tap(r, s) for r in range(k) for s in range(k))
        kind = self.types[source]
        weight = self.rng.integers(-127, 128, size=(len(taps), kind.channels, out))
        if k == 3:
            weight[[t not in alive for t in taps]] = 0
        self.constants[f"{name}.weight"] = weight
        self.constants[f"{name}.bias"] = self.rng.integers(-500, 500, size=out)
        pad = NO_PADDING if k == 1 else Padding(top=1, left=1, bottom=1, right=1)
        op = Conv2d(
            name=name,
            input=source,
            weight=f"{name}.weight",
            bias=f"{name}.bias",
            taps=taps,
            kernel=(k, k),
            stride=(stride, stride),
            padding=pad,
            weight_frac=7,
            dense_in_channels=kind.channels,
            dense_out_channels=out,
        )
        shift = max(1, accumulator(op, kind, self.constants).bits - fmt.width - 3)
        to = FixedPoint(width=fmt.width, signed=fmt.signed, frac=kind.fmt.frac + 7 - shift)
        return self.put(_with_requantizer(op, shift, to), source)


def _with_requantizer(op: Conv2d, shift: int, to: FixedPoint) -> Conv2d:
    return replace(op, requantize=Requantizer(shift=shift, lo=to.min, hi=to.max, fmt=to))


def resnet8(alive: tuple[Tap, ...]) -> Graph:
    """resnet8 on 32x32x3: three residual blocks of 16, 32 and 64 channels."""
    net = Net(seed=8)
    u8, s8 = FixedPoint(width=8, signed=False, frac=0), FixedPoint(width=8, signed=True, frac=0)
    source = FixedPoint(width=8, signed=True, frac=6)
    x = net.put(
        Input(name="frame", type=TensorType(height=32, width=32, channels=3, fmt=source)),
    )
    x = net.conv("conv0", x, 16, k=3, stride=1, alive=ALL, fmt=u8)
    for stage, width in enumerate(WIDTHS, start=1):
        stride = 1 if stage == 1 else 2
        y = net.conv(f"stage{stage}_conv1", x, width, k=3, stride=stride, alive=alive, fmt=u8)
        y = net.conv(f"stage{stage}_conv2", y, width, k=3, stride=1, alive=alive, fmt=s8)
        if stage > 1:
            x = net.conv(f"stage{stage}_shortcut", x, width, k=1, stride=stride, alive=ALL, fmt=s8)
        frac = max(net.types[x].fmt.frac, net.types[y].fmt.frac)
        to = FixedPoint(width=8, signed=False, frac=frac - 1)
        x = net.put(
            Add(
                name=f"stage{stage}_add",
                inputs=(y, x),
                requantize=Requantizer(shift=1, lo=0, hi=255, fmt=to),
            ),
            y,
            x,
        )
    to = FixedPoint(width=8, signed=False, frac=net.types[x].fmt.frac + 1)
    pool = Requantizer(shift=5, lo=0, hi=255, fmt=to)
    x = net.put(AvgPool(name="pool", input=x, kernel=(8, 8), stride=(8, 8), requantize=pool), x)
    x = net.conv("fc", x, 10, k=1, stride=1, alive=ALL, fmt=FixedPoint(width=16, signed=True, frac=0))
    net.put(Output(name="logits", input=x), x)
    return optimize(Graph("resnet8", tuple(net.ops), net.constants))


# ---- the folds, and what stock hls4ml calls them


def fold_of(op: Conv2d, graph: Graph, pace: Pace) -> Fold:
    """The fold of a convolution, dense or pruned, at a pace."""
    taps, inputs, outputs = graph.constants[op.weight].shape
    if op.name == "conv0":
        return Fold(pe=16, simd=3, taps=1) if pace is Pace.SAME_II else Fold(pe=16, simd=1, taps=1)
    if op.kernel == (1, 1):
        return Fold(pe=max(1, outputs // 16), simd=inputs, taps=1)
    return Fold(pe=outputs // 16, simd=inputs, taps=taps if pace is Pace.SAME_II else 1)


def reuse_of(op: Conv2d, graph: Graph, pace: Pace) -> int:
    """The reuse factor at which stock hls4ml has the multipliers that ours has for the dense network."""
    _, inputs, outputs = graph.constants[op.weight].shape
    dense = op.kernel[0] * op.kernel[1] * inputs * outputs
    taps = 9 if op.kernel == (3, 3) and pace is Pace.SAME_II and op.name != "conv0" else 1
    fold = fold_of(op, graph, pace)
    return dense // (fold.pe * fold.simd * taps)


def stock_specs(graph: Graph, flow: Dataflow, pace: Pace) -> tuple[LayerSpec, ...]:
    """The layers with stock Conv2D in place of ours, exact types."""
    engines = {engine.name: engine for engine in flow.engines if isinstance(engine, ConvEngine)}
    return tuple(
        _stock_conv(spec, engines[spec.name], graph, pace) if spec.kind == "PspConv2D" else spec
        for spec in layer_specs(graph, flow)
    )


def _stock_conv(spec: LayerSpec, engine: ConvEngine, graph: Graph, pace: Pace) -> LayerSpec:
    op, source, result = engine.op, engine.source, engine.result
    rows, columns = op.kernel
    kernel = np.zeros((rows, columns, source.channels, result.channels))
    for tap, weight in zip(op.taps, graph.constants[op.weight], strict=True):
        kernel[tap.r, tap.s] = weight
    frac = source.fmt.frac + op.weight_frac
    wide = FixedPoint(width=engine.acc_fmt.width + 1, signed=True, frac=frac)
    assert op.requantize is not None
    assert op.bias is not None
    settled = settled_type(op.requantize)
    assert settled is not None
    # As many rows and columns of padding as the windows use: hls4ml pads "same" on the far side first.
    return LayerSpec(
        name=spec.name,
        kind="Conv2D",
        inputs=spec.inputs,
        entries={
            "data_format": "channels_last",
            "in_height": source.height,
            "in_width": source.width,
            "n_chan": source.channels,
            "out_height": result.height,
            "out_width": result.width,
            "n_filt": result.channels,
            "filt_height": rows,
            "filt_width": columns,
            "stride_height": op.stride[0],
            "stride_width": op.stride[1],
            "pad_top": op.padding.top,
            "pad_bottom": op.padding.bottom,
            "pad_left": op.padding.left,
            "pad_right": op.padding.right,
            "weight_data": np.ldexp(kernel, -op.weight_frac),
            "bias_data": np.ldexp(graph.constants[op.bias].astype(float), -frac),
        },
        precision={
            "weight": spec.precision["weight"],
            "bias": spec.precision["bias"],
            "accum": exact_type(wide),
            "result": settled,
        },
        reuse_factor=reuse_of(op, graph, pace),
    )


# ---- what the hardware is


def stock_row(graph: Graph, flow: Dataflow, pace: Pace, way: Way, network: str, model, project: Path) -> Row:  # type: ignore[no-untyped-def]
    """A row of stock hls4ml: reuse factors as hls4ml settled them, multipliers of generated code as the project says."""
    multipliers = weights = buffers = slowest = 0
    for engine in (e for e in flow.engines if isinstance(e, ConvEngine)):
        op, source, result = engine.op, engine.source, engine.result
        rows, columns = op.kernel
        inputs, rf = rows * columns * source.channels, int(model.graph[op.name].get_attr("reuse_factor"))
        total = inputs * result.channels
        zeros = total - int(np.count_nonzero(graph.constants[op.weight]))
        # nnet::dense_config: multiplier_limit of the latency strategy; block_factor of the resource strategy.
        multipliers += -(-total // rf) - (zeros // rf if way is Way.LATENCY else 0)
        weights += total * weight_bits(engine)
        padded = (source.height + 2 * op.padding.top) * (source.width + 2 * op.padding.left)
        if (rows, columns) != (1, 1):
            line = source.width + 2 * op.padding.left
            buffers += ((rows - 1) * line + rows * columns) * source.pixel_bits
        slowest = max(slowest, padded * rf)
    if way is Way.UNROLLED:
        multipliers = _limits(project)
    rf = max(int(model.graph[op.name].get_attr("reuse_factor")) for op in graph.convolutions)
    return Row(
        pace=pace.value,
        network=network,
        way=way.value,
        multipliers=multipliers,
        weight_bits=weights,
        line_buffer_bits=buffers,
        cycles_per_pixel=rf,
        cycles_per_frame=slowest,
    )


def our_row(graph: Graph, flow: Dataflow, pace: Pace, network: str, model) -> Row:  # type: ignore[no-untyped-def]
    """A row of ours; the classifier is hls4ml's own dense layer."""
    engines = [e for e in flow.engines if isinstance(e, ConvEngine)]
    return Row(
        pace=pace.value,
        network=network,
        way=Way.OURS.value,
        multipliers=sum(_multipliers(e, graph, model) for e in engines),
        weight_bits=sum(graph.constants[e.op.weight].size * weight_bits(e) for e in engines),
        line_buffer_bits=sum(
            (sum(e.scan.delays) + 1) * e.source.pixel_bits for e in engines if e.op.kernel != (1, 1)
        ),
        cycles_per_pixel=max(e.cycles_per_output for e in engines),
        cycles_per_frame=max(e.schedule().iterations for e in engines),
    )


def _multipliers(engine: ConvEngine, graph: Graph, model) -> int:  # type: ignore[no-untyped-def]
    node = model.graph[engine.name]
    if node.class_name != "Dense":
        return engine.fold.multipliers
    return -(-graph.constants[engine.op.weight].size // int(node.get_attr("reuse_factor")))


def weight_bits(engine: ConvEngine) -> int:
    """Width of a weight."""
    return engine.weight_fmt.width


def _limits(project: Path) -> int:
    """Sum of the multipliers that the generated code of resource_unrolled allows, layer by layer."""
    code = (project / "firmware" / "nnet_utils" / "nnet_code_gen.h").read_text()
    return sum(int(n) for n in re.findall(r"operation instances=mul limit=(\d+)", code))


# ---- what is measured


def written(specs: tuple[LayerSpec, ...], graph: Graph, way: Way, folder: Path):  # type: ignore[no-untyped-def]
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


def measured(row: Row, model, graph: Graph, images: int, limit_s: float) -> Row:  # type: ignore[no-untyped-def]
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


def compiled(model, limit_s: float) -> float | None:  # type: ignore[no-untyped-def]
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


def rows(images: int, limit_s: float, progress) -> list[Row]:  # type: ignore[no-untyped-def]
    """Every row; nothing is measured where no image is asked for."""
    found = []
    for pace in Pace:
        for network, alive in (("dense", ALL), ("4 of 9 taps", KEPT)):
            graph = resnet8(alive)
            folds = {op.name: NodePlan(fold=fold_of(op, graph, pace)) for op in graph.convolutions}
            flow = build(graph, FoldPlan(nodes=folds))
            for way in Way:
                with tempfile.TemporaryDirectory() as folder:
                    ours = way is Way.OURS
                    specs = layer_specs(graph, flow) if ours else stock_specs(graph, flow, pace)
                    model = written(specs, graph, way, Path(folder))
                    row = (
                        our_row(graph, flow, pace, network, model)
                        if ours
                        else stock_row(graph, flow, pace, way, network, model, Path(folder))
                    )
                    if images and (pace is Pace.SAME_II or ours):
                        row = measured(row, model, graph, images, limit_s)
                progress(row)
                found.append(row)
    return found


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


def totals(images: int, progress) -> list[Total]:  # type: ignore[no-untyped-def]
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
        folds = {op.name: NodePlan(fold=fold_of(op, graph, Pace.SAME_II)) for op in graph.convolutions}
        plan = FoldPlan(nodes=folds)
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


def report(found: list[Row], speed: list[Total], images: int, *, kept: bool) -> str:
    """The table as Markdown; kept where it is of an earlier run than the comparison of times."""
    lines = [
        "# Shape pruning through hls4ml",
        "",
        f"{(__doc__ or '').split(chr(10) * 2)[1]}",
        "",
        "Computed from the generated project: multipliers, weight bits, line buffer bits, cycles. Measured, in processor time of",
        f"one core: g++ as hls4ml's `compile()` calls it, images per second of its `predict()` over {images} frames; and frames",
        "that differ from the integer network. No vendor tool was run: what synthesis makes of a constant zero is not seen here.",
        "",
    ]
    for pace in Pace:
        lines += [
            f"## {pace.value[:1].upper()}{pace.value[1:]}",
            "",
            *_table([row for row in found if row.pace == pace.value]),
            "",
        ]
    if speed:
        ours = next(total for total in speed if total.way == Way.OURS.value)
        alone = {total.network: total for total in speed if total.way == STANDALONE}
        stocks = [total for total in speed if total.way not in (Way.OURS.value, STANDALONE)]
        stock = min(stocks, key=lambda total: total.seconds)
        fastest = max(stocks, key=lambda total: total.images_per_second).images_per_second
        lines += [
            f"## Compile, then simulate {ours.images} frames",
            "",
            "All ways in one run, one after the other, at the same II, in processor time of one core"
            + (" (a later run than that of the tables above)." if kept else "."),
            "",
            "| | compile [s] | simulate [s] | both [s] | images/s |",
            "|---|--:|--:|--:|--:|",
            *(
                f"| {t.way}, {t.network} | {t.compile_seconds:.1f} | {t.run_seconds:.1f} | {t.seconds:.1f} "
                f"| {t.images_per_second:.1f} |"
                for t in speed
            ),
            "",
            f"Compiling and simulating, ours inside hls4ml takes {ours.seconds / stock.seconds:.2f} of the time of the faster "
            "stock strategy.",
            f"The C++ alone simulates {alone['dense'].images_per_second / fastest:.1f} times the images/s of stock hls4ml with "
            f"the dense network, {alone['4 of 9 taps'].images_per_second / fastest:.1f} times with 4 of 9 taps.",
            "",
        ]
    return "\n".join(lines)


def _table(found: list[Row]) -> list[str]:
    head = (
        "network | through | multipliers | weights [bits] | line buffers [bits] | cycles per pixel | cycles per frame | "
        "compile [s] | images/s | differ"
    )
    lines = [f"| {head} |", "|---|---|" + "--:|" * 8]
    for row in found:
        seconds = "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}"
        if row.gave_up_after_seconds is not None:
            seconds = f"> {row.gave_up_after_seconds:.0f}"
        speed = "" if row.images_per_second is None else f"{row.images_per_second:.1f}"
        differ = "" if row.mismatches is None else str(row.mismatches)
        lines.append(
            f"| {row.network} | {row.way} | {row.multipliers:,} | {row.weight_bits:,} | {row.line_buffer_bits:,} | "
            f"{row.cycles_per_pixel} | {row.cycles_per_frame:,} | {seconds} | {speed} | {differ} |"
        )
    return lines


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20, help="frames per C simulation of the table")
    parser.add_argument("--ratio-images", type=int, default=200, help="frames of the comparison of times")
    parser.add_argument("--limit-s", type=float, default=300.0, help="give a compilation up after so long")
    parser.add_argument("--no-measure", action="store_true", help="compile and run nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "hls4ml")
    parser.add_argument(
        "--keep-table", action="store_true", help="only compare times; the table stays as result.json has it"
    )
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="hls4ml")
    register()
    images = 0 if asked.no_measure else asked.images

    def show(item: Row | Total) -> None:
        print(item, flush=True)

    if asked.keep_table:
        kept = json.loads((asked.out / "result.json").read_text())
        images, found = kept["images"], [Row(**row) for row in kept["rows"]]
    else:
        found = rows(images, asked.limit_s, show)
    speed = [] if asked.no_measure else totals(asked.ratio_images, show)
    asked.out.mkdir(parents=True, exist_ok=True)
    document = {
        "images": images,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "rows": [asdict(row) for row in found],
        "totals": [asdict(total) for total in speed],
    }
    (asked.out / "result.json").write_text(json.dumps(document, indent=2) + "\n")
    (asked.out / "report.md").write_text(report(found, speed, images, kept=asked.keep_table))


if __name__ == "__main__":
    main()
