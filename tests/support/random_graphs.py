"""Random graphs over every op, with what passes look for: dead taps, dead channels, ReLUs and requantizations apart."""

from __future__ import annotations

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import result_type
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    Input,
    MaxPool,
    Op,
    Output,
    Relu,
    Requantize,
    Threshold,
    op_inputs,
)
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify


class GraphMaker:
    """Grows a random graph; every choice comes from one seed."""

    def __init__(self, seed: int, *, largest: int = 5) -> None:
        self.rng = np.random.default_rng(seed)
        height, width, channels = (int(v) for v in self.rng.integers(1, largest + 1, size=3))
        fmt = FixedPoint(width=self.pick(2, 8), signed=bool(self.rng.integers(2)), frac=self.pick(-1, 6))
        self.ops: list[Op] = []
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.emit(
            Input(name="image", type=TensorType(height=height, width=width, channels=channels, fmt=fmt))
        )

    def pick(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"

    def emit(self, op: Op) -> str:
        self.types[op.name] = result_type(op, [self.types[n] for n in op_inputs(op)], self.constants)
        self.ops.append(op)
        return op.name

    def requantizer(self, frac: int, divisor: int = 1) -> Requantizer:
        fmt = FixedPoint(
            width=self.pick(2, 8), signed=bool(self.rng.integers(2)), frac=frac - self.pick(-2, 8)
        )
        lo = self.pick(fmt.min, 0)
        return Requantizer(shift=frac - fmt.frac, divisor=divisor, lo=lo, hi=self.pick(0, fmt.max), fmt=fmt)

    def conv(self, source: str, channels: int | None = None, *, same: bool = False) -> str:
        kind = self.types[source]
        kernel = (self.pick(1, 3), self.pick(1, 3)) if not same else (3, 3)
        stride = (1, 1) if same else (self.pick(1, 2), self.pick(1, 2))
        pads = [1] * 4 if same else [self.pick(0, 2) for _ in range(4)]
        padding = Padding(top=pads[0], left=pads[1], bottom=pads[2], right=pads[3])
        if kind.height + pads[0] + pads[2] < kernel[0] or kind.width + pads[1] + pads[3] < kernel[1]:
            kernel = (1, 1)
        taps = [Tap(r, s) for r in range(kernel[0]) for s in range(kernel[1])]
        kept = sorted(self.rng.choice(len(taps), size=self.pick(1, len(taps)), replace=False).tolist())
        channels = channels or self.pick(1, 4)
        limit = 2 ** self.pick(1, 7)
        weight = self.rng.integers(-limit, limit, size=(len(kept), kind.channels, channels))
        weight *= self.rng.random((len(kept), 1, 1)) < 0.7  # dead taps
        weight *= self.rng.random((1, kind.channels, 1)) < 0.8  # channels that nothing reads
        weight *= self.rng.random((1, 1, channels)) < 0.8  # filters that are zero
        name = self.name("conv")
        self.constants[f"{name}.weight"] = weight
        self.constants[f"{name}.bias"] = self.rng.integers(-50, 50, size=channels) * (
            self.rng.random(channels) < 0.6
        )
        align = tuple(self.pick(0, 2) for _ in range(channels)) if self.rng.random() < 0.3 else ()
        weight_frac = self.pick(0, 7)
        fused = self.rng.random() < 0.5
        return self.emit(
            Conv2d(
                name=name,
                input=source,
                weight=f"{name}.weight",
                bias=f"{name}.bias" if self.rng.random() < 0.7 else None,
                taps=tuple(taps[t] for t in kept),
                kernel=kernel,
                stride=stride,
                padding=padding,
                weight_frac=weight_frac,
                align=align,
                requantize=self.requantizer(kind.fmt.frac + weight_frac) if fused else None,
                dense_in_channels=kind.channels,
                dense_out_channels=channels,
            )
        )

    def pool(self, source: str) -> str:
        kind = self.types[source]
        kernel = (self.pick(1, kind.height), self.pick(1, kind.width))
        stride = (self.pick(1, 2), self.pick(1, 2))
        if self.rng.random() < 0.5:
            padding = Padding(top=self.pick(0, kernel[0] - 1), left=self.pick(0, kernel[1] - 1))
            return self.emit(
                MaxPool(name=self.name("pool"), input=source, kernel=kernel, stride=stride, padding=padding)
            )
        area = kernel[0] * kernel[1]
        twos = (area & -area).bit_length() - 1
        fused = area >> twos > 1 or self.rng.random() < 0.5
        to = self.requantizer(kind.fmt.frac + twos, area >> twos) if fused else None
        return self.emit(
            AvgPool(name=self.name("mean"), input=source, kernel=kernel, stride=stride, requantize=to)
        )

    def affine(self, value: str) -> str:
        kind = self.types[value]
        name, frac = self.name("affine"), self.pick(0, 5)
        scale = self.rng.integers(-20, 21, size=kind.channels)
        self.constants[f"{name}.scale"] = scale * (self.rng.random(kind.channels) < 0.8)
        offset = self.rng.integers(-60, 61, size=kind.channels)
        self.constants[f"{name}.offset"] = offset * (self.rng.random(kind.channels) < 0.5)
        to = self.requantizer(kind.fmt.frac + frac) if self.rng.random() < 0.5 else None
        op = Affine(
            name=name,
            input=value,
            scale=f"{name}.scale",
            offset=f"{name}.offset",
            scale_frac=frac,
            requantize=to,
        )
        return self.emit(op)

    def threshold(self, value: str) -> str:
        kind = self.types[value]
        name, fmt = self.name("threshold"), FixedPoint(width=5, signed=True, frac=self.pick(-1, 4))
        levels = self.pick(1, 7)
        near = self.rng.integers(-40, 40, size=(kind.channels, levels))
        self.constants[f"{name}.thresholds"] = np.sort(near, axis=1)
        self.constants[f"{name}.start"] = self.rng.integers(-2, 3, size=kind.channels)
        self.constants[f"{name}.step"] = self.rng.choice([-2, -1, 1], size=kind.channels)
        names = {part: f"{name}.{part}" for part in ("thresholds", "start", "step")}
        return self.emit(Threshold(name=name, input=value, fmt=fmt, **names))

    def settle(self, value: str) -> str:
        """Bring wide values back to a few bits, so that widths stay small."""
        if self.rng.random() < 0.5:
            value = self.emit(Relu(name=self.name("relu"), input=value))
        if self.types[value].fmt.width > 10 or self.rng.random() < 0.3:
            to = self.requantizer(self.types[value].fmt.frac)
            value = self.emit(Requantize(name=self.name("requantize"), input=value, requantize=to))
        return value

    def block(self, value: str) -> str:
        match self.pick(0, 6):
            case 5:
                return self.settle(self.affine(value))
            case 6:
                return self.settle(self.threshold(value))
            case 0 | 1:
                return self.settle(self.conv(value))
            case 2:
                return self.settle(self.pool(value))
            case 3:
                channels = self.types[value].channels
                inner = self.settle(self.conv(value, channels, same=True))
                to = None
                if self.rng.random() < 0.5:
                    to = self.requantizer(max(self.types[value].fmt.frac, self.types[inner].fmt.frac))
                added = Add(name=self.name("add"), inputs=(inner, value), requantize=to)
                return self.settle(self.emit(added))
            case _:
                inner = self.settle(self.conv(value, same=True))
                return self.settle(self.emit(Concat(name=self.name("concat"), inputs=(value, inner))))

    def dense(self, value: str) -> str:
        if self.types[value].pixels > 1:
            value = self.emit(Flatten(name=self.name("flatten"), input=value))
        features, outputs = self.types[value].channels, self.pick(1, 4)
        name = self.name("dense")
        self.constants[f"{name}.weight"] = self.rng.integers(-8, 8, size=(1, features, outputs))
        return self.emit(
            Conv2d(
                name=name,
                input=value,
                weight=f"{name}.weight",
                taps=(Tap(0, 0),),
                kernel=(1, 1),
                weight_frac=3,
                dense_in_channels=features,
                dense_out_channels=outputs,
            )
        )


def random_graph(seed: int, *, largest: int = 5, blocks: int = 4) -> Graph:
    """A random graph of one to ``blocks`` blocks, with a dense layer at its end half of the time."""
    make = GraphMaker(seed, largest=largest)
    value = "image"
    for _ in range(make.pick(1, blocks)):
        value = make.block(value)
    if make.rng.random() < 0.5:
        value = make.dense(make.settle(value))
    make.emit(Output(name="result", input=value))
    return verify(Graph(f"random{seed}", tuple(make.ops), make.constants))


def random_codes(graph: Graph, seed: int, frames: int) -> np.ndarray:
    """Frames over the whole range of the input, its ends often."""
    rng = np.random.default_rng(seed)
    fmt = graph.input.type.fmt
    codes = rng.integers(fmt.min, fmt.max + 1, size=(frames, *graph.input.type.shape))
    ends = rng.random(codes.shape)
    return np.where(ends < 0.1, fmt.min, np.where(ends > 0.9, fmt.max, codes))
