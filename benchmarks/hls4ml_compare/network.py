"""resnet8 for CIFAR-10 with random 8-bit weights, dense or with few positions of every kernel alive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import accumulator, result_type
from psp_hw.ir.ops import Add, AvgPool, Conv2d, Input, Op, Output
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType
from psp_hw.passes import optimize

KEPT = (Tap(0, 1), Tap(1, 0), Tap(1, 1), Tap(1, 2))  # 4 of 9 taps, in two of three rows
ALL = tuple(Tap(r, s) for r in range(3) for s in range(3))
NETWORKS = (("dense", ALL), ("4 of 9 taps", KEPT))
WIDTHS = (16, 32, 64)


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
