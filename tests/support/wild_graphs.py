"""Random graphs at the edges of what is legal: odd strides and padding, kernels larger than the frame, 1 to 32 bits, nothing left.

``random_graphs`` draws what networks look like; this draws what its sizes leave out, and more often what is degenerate.
"""

from __future__ import annotations

import numpy as np
from random_graphs import GraphMaker

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, AvgPool, Concat, Conv2d, Input, MaxPool, Output, Relu, Requantize, Threshold
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify

MOST_CHANNELS = 12
WIDEST = 40  # bits that a value may have before it is brought back


class WildMaker(GraphMaker):
    """Grows a graph; every choice comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ops, self.types, self.constants = [], {}, {}
        height, width = self.one_of(1, 1, 2, 3, 4, 5, 6, 7), self.one_of(1, 1, 2, 3, 4, 5, 6, 7)
        kind = TensorType(
            height=height, width=width, channels=self.one_of(1, 1, 2, 3, 4), fmt=self.fmt(self.pick(-1, 6))
        )
        self.emit(Input(name="image", type=kind))

    def one_of(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def fmt(self, frac: int) -> FixedPoint:
        signed = self.chance(0.5)
        width = self.one_of(1, 2, 2, 3, 4, 5, 6, 7, 8, 8, 8, 12, 16, 16, 24, 32)
        return FixedPoint(width=max(width, 2 if signed else 1), signed=signed, frac=frac)

    def requantizer(self, frac: int, divisor: int = 1) -> Requantizer:
        """Any bounds in the format, on one side of zero or equal too."""
        fmt = self.fmt(frac - self.pick(-6, 16))
        lo, hi = fmt.min, fmt.max
        if self.chance(0.5):
            lo = self.pick(fmt.min, fmt.max)
            hi = self.pick(lo, fmt.max)
        return Requantizer(shift=frac - fmt.frac, divisor=divisor, lo=lo, hi=hi, fmt=fmt)

    def window(self, kind: TensorType, same: bool) -> tuple[tuple[int, int], tuple[int, int], Padding]:
        """Kernel, stride and padding of a convolution; padding beyond the kernel too, where the frame does not stay."""
        kernel = (self.one_of(1, 2, 3, 3, 4, 5, 7), self.one_of(1, 2, 3, 3, 4, 5, 7))
        if same:
            top, left = self.pick(0, kernel[0] - 1), self.pick(0, kernel[1] - 1)
            around = Padding(top=top, left=left, bottom=kernel[0] - 1 - top, right=kernel[1] - 1 - left)
            return kernel, (1, 1), around
        pads = [self.pick(0, kernel[side % 2]) for side in range(4)]
        around = Padding(top=pads[0], left=pads[1], bottom=pads[2], right=pads[3])
        stride = (self.one_of(1, 1, 2, 3, 4), self.one_of(1, 1, 2, 3, 5))
        if kind.height + pads[0] + pads[2] < kernel[0] or kind.width + pads[1] + pads[3] < kernel[1]:
            kernel = (1, 1)
        return kernel, stride, around

    def weights(self, taps: int, inputs: int, outputs: int, limit: int) -> np.ndarray:
        """Weights [T, Ci, Co] as pruned, gone, of one sign, of signs alone, or any."""
        weight = self.rng.integers(-limit, limit + 1, size=(taps, inputs, outputs))
        match self.pick(0, 9):
            case 0 | 1 | 2:
                weight *= self.rng.random((taps, 1, 1)) < 0.7
                weight *= self.rng.random((1, inputs, 1)) < 0.8
                weight *= self.rng.random((1, 1, outputs)) < 0.8
            case 3:
                weight *= 0
            case 4 | 5:
                weight *= self.rng.random(weight.shape) < self.rng.random()
            case 6:
                weight = np.sign(weight)
            case 7:
                weight = -np.abs(weight)
            case 8:
                weight = np.abs(weight)
        return weight

    def conv(self, source: str, channels: int | None = None, *, same: bool = False) -> str:
        kind = self.types[source]
        kernel, stride, padding = self.window(kind, same)
        taps = [Tap(r, s) for r in range(kernel[0]) for s in range(kernel[1])]
        count = self.pick(1, len(taps)) if self.chance(0.7) else self.one_of(1, len(taps))
        kept = sorted(self.rng.choice(len(taps), size=count, replace=False).tolist())
        channels = channels or self.pick(1, 4)
        limit = 2 ** self.one_of(0, 1, 3, 4, 7, 7, 11, 15)
        name, frac = self.name("conv"), self.pick(-2, 9)
        self.constants[f"{name}.weight"] = self.weights(count, kind.channels, channels, limit)
        bias = self.rng.integers(-limit * 20, limit * 20 + 1, size=channels)
        self.constants[f"{name}.bias"] = bias * (self.rng.random(channels) < 0.6)
        align = tuple(self.pick(0, 5) for _ in range(channels)) if self.chance(0.3) else ()
        return self.emit(
            Conv2d(
                name=name,
                input=source,
                weight=f"{name}.weight",
                bias=f"{name}.bias" if self.chance(0.7) else None,
                taps=tuple(taps[t] for t in kept),
                kernel=kernel,
                stride=stride,
                padding=padding,
                weight_frac=frac,
                align=align,
                requantize=self.requantizer(kind.fmt.frac + frac) if self.chance(0.6) else None,
                dense_in_channels=kind.channels,
                dense_out_channels=channels,
            )
        )

    def pool(self, source: str) -> str:
        kind = self.types[source]
        stride = (self.pick(1, 5), self.pick(1, 5))
        if self.chance(0.5):
            kernel = (self.pick(1, 4), self.pick(1, 4))
            pads = [self.pick(0, kernel[side % 2] - 1) for side in range(4)]
            around = Padding(top=pads[0], left=pads[1], bottom=pads[2], right=pads[3])
            if kind.height + pads[0] + pads[2] >= kernel[0] and kind.width + pads[1] + pads[3] >= kernel[1]:
                name = self.name("pool")
                return self.emit(
                    MaxPool(name=name, input=source, kernel=kernel, stride=stride, padding=around)
                )
        kernel = (self.pick(1, kind.height), self.pick(1, kind.width))
        area = kernel[0] * kernel[1]
        twos = (area & -area).bit_length() - 1
        divisor = area >> twos
        if divisor == 1 and self.chance(0.2):
            divisor = self.one_of(3, 7)  # a mean that is divided again
        fused = divisor > 1 or self.chance(0.5)
        to = self.requantizer(kind.fmt.frac + twos, divisor) if fused else None
        return self.emit(
            AvgPool(name=self.name("mean"), input=source, kernel=kernel, stride=stride, requantize=to)
        )

    def threshold(self, value: str) -> str:
        kind = self.types[value]
        name, fmt = self.name("threshold"), FixedPoint(width=9, signed=True, frac=self.pick(-1, 4))
        least, most = max(kind.fmt.min - 3, -(2**40)), min(kind.fmt.max + 3, 2**40)
        levels = self.rng.integers(least, most + 1, size=(kind.channels, self.one_of(1, 2, 3, 7, 15, 31)))
        self.constants[f"{name}.thresholds"] = np.sort(levels, axis=1)
        self.constants[f"{name}.start"] = self.rng.integers(-20, 21, size=kind.channels)
        self.constants[f"{name}.step"] = self.rng.choice([-2, -1, 0, 1, 3], size=kind.channels)
        names = {part: f"{name}.{part}" for part in ("thresholds", "start", "step")}
        return self.emit(Threshold(name=name, input=value, fmt=fmt, **names))

    def settle(self, value: str) -> str:
        for _ in range(2):
            if self.chance(0.35):
                value = self.emit(Relu(name=self.name("relu"), input=value))
        fmt = self.types[value].fmt
        if fmt.width > 20 or self.chance(0.3):
            to = self.requantizer(fmt.frac, self.one_of(1, 1, 1, 3, 5, 9, 49))
            if to.divides(fmt.width + 1):
                value = self.emit(Requantize(name=self.name("requantize"), input=value, requantize=to))
        fmt = self.types[value].fmt
        if fmt.width > 16 and self.chance(0.8):
            narrow = FixedPoint(width=8, signed=True, frac=fmt.frac - (fmt.width - 8))
            to = Requantizer(shift=fmt.width - 8, lo=narrow.min, hi=narrow.max, fmt=narrow)
            value = self.emit(Requantize(name=self.name("requantize"), input=value, requantize=to))
        return value

    def block(self, value: str) -> str:
        match self.pick(0, 9):
            case 7:  # a value with itself
                return self.settle(self.emit(Add(name=self.name("add"), inputs=(value, value))))
            case 8:  # formats that differ, a value twice
                parts = [
                    value if self.chance(0.2) else self.settle(self.conv(value, same=True))
                    for _ in range(self.pick(2, 3))
                ]
                return self.settle(self.emit(Concat(name=self.name("concat"), inputs=tuple(parts))))
            case 9:  # two branches, either of which may be gone
                left = self.settle(self.conv(value, same=True))
                right = self.settle(self.conv(value, self.types[left].channels, same=True))
                return self.settle(self.emit(Add(name=self.name("add"), inputs=(left, right))))
            case _:
                return super().block(value)


def wild_graph(seed: int, *, blocks: int = 5) -> Graph:
    """A random graph of one to ``blocks`` blocks, with a dense layer at its end half of the time."""
    make = WildMaker(seed)
    value = "image"
    for _ in range(make.pick(1, blocks)):
        if make.types[value].channels > MOST_CHANNELS:
            break
        value = make.block(value)
        if make.types[value].fmt.width > WIDEST:
            value = make.settle(value)
    if make.chance(0.5):
        value = make.dense(make.settle(value))
    make.emit(Output(name="result", input=value))
    return verify(Graph(f"wild{seed}", tuple(make.ops), make.constants))
