"""Integer graphs made by hand and at random, for tests of what comes after the lowering."""

from __future__ import annotations

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, AvgPool, Conv2d, Input, MaxPool, Op, Output
from psp_hw.ir.types import Padding, Tap, TensorType

ACT = FixedPoint(width=8, signed=False, frac=4)


class Builder:
    """A graph that grows; every method adds an op and returns its name."""

    def __init__(
        self, height: int, width: int, channels: int, *, seed: int = 0, fmt: FixedPoint = ACT
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.fmt = fmt
        self.ops: list[Op] = [
            Input(name="image", type=TensorType(height=height, width=width, channels=channels, fmt=fmt))
        ]
        self.constants: dict[str, np.ndarray] = {}
        self.channels = {"image": channels}
        self.fracs = {"image": fmt.frac}

    @property
    def last(self) -> str:
        return self.ops[-1].name

    def conv(
        self,
        out_channels: int,
        *,
        source: str | None = None,
        taps: tuple[tuple[int, int], ...] | None = None,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pad: int = 1,
        bits: int = 8,
        weight: np.ndarray | None = None,
        requantize: bool = True,
    ) -> str:
        source = source or self.last
        name = f"conv{sum(isinstance(op, Conv2d) for op in self.ops)}"
        taps = taps if taps is not None else tuple((r, s) for r in range(kernel[0]) for s in range(kernel[1]))
        entering = self.channels[source]
        if weight is None:
            half = 1 << (bits - 1)
            weight = self.rng.integers(-half, half, size=(len(taps), entering, out_channels))
        self.constants[f"{name}_weight"] = np.asarray(weight, dtype=np.int64)
        self.constants[f"{name}_bias"] = self.rng.integers(-100, 100, size=out_channels)
        shift = self.fracs[source] + 6 - self.fmt.frac
        to = Requantizer(shift=shift, lo=0, hi=self.fmt.max, fmt=self.fmt) if requantize else None
        self.ops.append(
            Conv2d(
                name=name,
                input=source,
                weight=f"{name}_weight",
                bias=f"{name}_bias",
                taps=tuple(Tap(r, s) for r, s in taps),
                kernel=kernel,
                stride=stride,
                padding=Padding(top=pad, left=pad, bottom=pad, right=pad),
                weight_frac=6,
                requantize=to,
                dense_in_channels=entering,
                dense_out_channels=out_channels,
            )
        )
        self.channels[name] = out_channels
        self.fracs[name] = self.fmt.frac if requantize else self.fracs[source] + 6
        return name

    def add(self, left: str, right: str) -> str:
        name = f"add{sum(isinstance(op, Add) for op in self.ops)}"
        to = Requantizer(shift=0, lo=0, hi=self.fmt.max, fmt=self.fmt)
        self.ops.append(Add(name=name, inputs=(left, right), requantize=to))
        self.channels[name], self.fracs[name] = self.channels[left], self.fmt.frac
        return name

    def max_pool(self, size: int, source: str | None = None) -> str:
        source = source or self.last
        name = f"pool{len(self.ops)}"
        self.ops.append(MaxPool(name=name, input=source, kernel=(size, size), stride=(size, size)))
        self.channels[name], self.fracs[name] = self.channels[source], self.fracs[source]
        return name

    def mean(self, height: int, width: int, source: str | None = None) -> str:
        source = source or self.last
        name = f"mean{len(self.ops)}"
        self.ops.append(AvgPool(name=name, input=source, kernel=(height, width), stride=(height, width)))
        twos = (height * width & -(height * width)).bit_length() - 1
        assert height * width == 1 << twos, "a mean over other than a power of two pixels needs a divisor"
        self.channels[name], self.fracs[name] = self.channels[source], self.fracs[source] + twos
        return name

    def graph(self, name: str = "sample") -> Graph:
        return Graph(name, (*self.ops, Output(name="result", input=self.last)), self.constants)


def pick_taps(
    rng: np.random.Generator, count: int, kernel: tuple[int, int] = (3, 3)
) -> tuple[tuple[int, int], ...]:
    """So many positions of a kernel, in raster order."""
    places = [(r, s) for r in range(kernel[0]) for s in range(kernel[1])]
    chosen = sorted(rng.choice(len(places), size=count, replace=False).tolist())
    return tuple(places[index] for index in chosen)


def resnet(
    blocks: int,
    *,
    size: int = 32,
    widths: tuple[int, ...] = (16, 32, 64),
    taps: int = 9,
    bits: int = 8,
    seed: int = 0,
) -> Graph:
    """The CIFAR residual network of 6 * blocks + 2 layers with random weights, ``taps`` of 9 positions kept."""
    make = Builder(size, size, 3, seed=seed)
    value = make.conv(widths[0], bits=8)
    for stage, width in enumerate(widths):
        for block in range(blocks):
            shrink = stage > 0 and block == 0
            stride = (2, 2) if shrink else (1, 1)
            kept = [pick_taps(make.rng, taps) for _ in range(2)]
            first = make.conv(width, source=value, stride=stride, taps=kept[0], bits=bits)
            second = make.conv(width, source=first, taps=kept[1], bits=bits)
            skip = (
                make.conv(width, source=value, kernel=(1, 1), stride=stride, pad=0, bits=bits)
                if shrink
                else value
            )
            value = make.add(second, skip)
    side = size >> (len(widths) - 1)
    make.mean(side, side)
    make.conv(10, kernel=(1, 1), pad=0, requantize=False)
    return make.graph(f"resnet{2 * len(widths) * blocks + 2}")


def random_graph(rng: np.random.Generator) -> Graph:
    """A small graph with forks and joins: one to three stages, each a chain or a residual block."""
    height, width = (int(n) for n in rng.integers(2, 6, size=2))
    make = Builder(height, width, int(rng.integers(1, 4)), seed=int(rng.integers(1 << 30)))
    value = make.last
    for _ in range(int(rng.integers(1, 4))):
        channels = int(rng.integers(1, 5))
        what = rng.integers(3)
        kept = pick_taps(rng, int(rng.integers(1, 10)))
        if what == 0:
            value = make.conv(channels, source=value, taps=kept, stride=(1, int(rng.integers(1, 3))))
        elif what == 1:
            inner = make.conv(make.channels[value], source=value, taps=kept)
            value = make.add(inner, value)
        else:
            left = make.conv(channels, source=value, taps=kept)
            right = make.conv(channels, source=value, kernel=(1, 1), pad=0)
            value = make.add(make.conv(channels, source=left, taps=pick_taps(rng, 2)), right)
    return make.graph("random")
