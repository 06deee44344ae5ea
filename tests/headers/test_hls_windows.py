"""Window engines over many geometries: kernels, strides, paddings, taps, folds and delay memories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hls_batch import run_batch, write_design
from oracle import execute

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, NodePlan, divisors
from psp_hw.folding.ports import LEAST_RING_DEPTH
from psp_hw.folding.scan import Scan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import AvgPool, Conv2d, Input, MaxPool, Op, Output
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify

pytestmark = pytest.mark.slow  # g++ compiles many geometries

RINGS = (MemoryKind.LUTRAM, MemoryKind.BRAM, MemoryKind.URAM)


def geometry(rng: np.random.Generator) -> tuple[int, int, tuple[int, int], tuple[int, int], Padding]:
    """(height, width, kernel, stride, padding); the frame may be smaller than the kernel, the padding as large."""
    while True:
        height, width = (int(n) for n in rng.integers(1, 14, size=2))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        top, left, bottom, right = (int(n) for n in rng.integers(0, 5, size=4))
        if height + top + bottom >= kernel[0] and width + left + right >= kernel[1]:
            return height, width, kernel, stride, Padding(top=top, left=left, bottom=bottom, right=right)


def window_graph(seed: int, kind: str) -> Graph:
    rng = np.random.default_rng(seed)
    height, width, kernel, stride, padding = geometry(rng)
    channels = int(rng.integers(1, 5))
    fmt = FixedPoint(width=int(rng.integers(2, 9)), signed=bool(rng.integers(2)), frac=2)
    image = Input(name="image", type=TensorType(height=height, width=width, channels=channels, fmt=fmt))
    constants: dict[str, np.ndarray] = {}
    op: Op
    if kind == "conv":
        taps = [Tap(r, s) for r in range(kernel[0]) for s in range(kernel[1])]
        kept = sorted(rng.choice(len(taps), size=int(rng.integers(1, len(taps) + 1)), replace=False).tolist())
        outputs = int(rng.integers(1, 7))
        constants["weight"] = rng.integers(-8, 8, size=(len(kept), channels, outputs))
        constants["bias"] = rng.integers(-30, 30, size=outputs)
        op = Conv2d(
            name="conv",
            input="image",
            weight="weight",
            bias="bias",
            taps=tuple(taps[t] for t in kept),
            kernel=kernel,
            stride=stride,
            padding=padding,
            weight_frac=3,
            align=tuple(int(n) for n in rng.integers(1, 4, size=outputs)) if seed % 3 == 0 else (),
            requantize=Requantizer(shift=3, lo=-20, hi=99, fmt=FixedPoint(width=8, signed=True, frac=2)),
            dense_in_channels=channels,
            dense_out_channels=outputs,
        )
    elif kind == "max":
        kernel = (min(kernel[0], height), min(kernel[1], width))
        small = Padding(
            top=min(padding.top, kernel[0] - 1),
            left=min(padding.left, kernel[1] - 1),
            bottom=min(padding.bottom, kernel[0] - 1),
            right=min(padding.right, kernel[1] - 1),
        )
        op = MaxPool(name="pool", input="image", kernel=kernel, stride=stride, padding=small)
    else:
        kernel = (min(kernel[0], height), min(kernel[1], width))
        area = kernel[0] * kernel[1]
        twos = (area & -area).bit_length() - 1
        frac = int(rng.integers(0, 5))
        result = FixedPoint(width=10, signed=True, frac=frac)
        to = Requantizer(shift=2 + twos - frac, divisor=area >> twos, lo=-500, hi=300, fmt=result)
        op = AvgPool(name="mean", input="image", kernel=kernel, stride=stride, requantize=to)
    return verify(Graph(f"{kind}{seed}", (image, op, Output(name="result", input=op.name)), constants))


def window_plan(graph: Graph, seed: int) -> FoldPlan:
    rng = np.random.default_rng(seed)
    nodes = {}
    for op in graph.convolutions:
        taps, inputs, outputs = graph.constants[op.weight].shape
        result = graph.types[op.name]
        scan = Scan(
            source=graph.types[op.input],
            out_height=result.height,
            out_width=result.width,
            taps=op.taps,
            stride=op.stride,
            padding=op.padding,
        )
        fold = Fold(
            pe=int(rng.choice(divisors(outputs))),
            simd=int(rng.choice(divisors(inputs))),
            taps=int(rng.choice(divisors(taps))),
        )
        delays = tuple(
            RINGS[rng.integers(3)] if distance > LEAST_RING_DEPTH else MemoryKind.REGISTERS
            for distance in scan.delays
        )
        nodes[op.name] = NodePlan(fold=fold, weights=MemoryKind.LUTRAM, delays=delays)
    return FoldPlan(nodes=nodes)


def check(folder: Path, seeds: dict[str, range], *flags: str) -> None:
    folders = []
    for kind, seed in ((kind, seed) for kind, some in seeds.items() for seed in some):
        graph = window_graph(seed, kind)
        source = graph.input.type
        codes = np.random.default_rng(seed).integers(
            source.fmt.min, source.fmt.max + 1, size=(3, *source.shape)
        )
        outputs = execute(graph, codes)[graph.output.name]
        write_design(folder / graph.name, graph, window_plan(graph, seed), codes, outputs)
        folders.append(folder / graph.name)

    said = run_batch(folders, folder / "build", "-O0", *flags)

    assert len(folders) == said.count("frames compared: 3, mismatches: 0\n")


def test_windows_of_many_geometries_are_exact(tmp_path: Path) -> None:
    check(tmp_path, {"conv": range(8), "max": range(3), "mean": range(3)})


def test_windows_of_more_geometries_are_exact_in_words_of_synthesis(tmp_path: Path) -> None:
    seeds = {"conv": range(100, 150), "max": range(100, 115), "mean": range(100, 115)}
    check(tmp_path, seeds, "-DPSP_EXACT_WIDTHS")
