"""A convolution engine as Verilog, from the engine alone: the walk, the delay chain, products, sums, requantization.

What an engine is made of follows from psp_hw/folding/engine.py and psp/conv.h; pipeline registers stand where
psp_hw/cost/pipeline.py puts them. The whole engine stalls at once, as pipelines of HLS do. It is written to be counted and
simulated (benchmarks/operators/engines.py), not to be used: the dense schedule, one shift for all channels, no divisor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.operators.cases import chosen
from benchmarks.operators.frame_rtl import FrameWriter, Word
from benchmarks.operators.operator_cases import shifted
from psp_hw.cost.datapath import levels_of
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pipeline import CLOCK_UNCERTAINTY, DELAYS
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MemoryKind, MultiplierKind
from psp_hw.units import Clock


def registers_behind(engine: ConvEngine, fabric: Fabric, clock: Clock) -> list[int]:
    """How many registers ``pipeline.cut`` puts behind each level of the data path."""
    budget = clock.period_ns * (1.0 - CLOCK_UNCERTAINTY)
    used, behind = 0.0, []
    for level in levels_of(engine, DELAYS[fabric]):
        if used and used + level.delay > budget:
            behind[-1] += 1
            used = 0.0
        cuts = max(0, math.ceil(level.delay / budget) - 1)
        behind.append(cuts)
        used += level.delay - cuts * budget
    return behind


@dataclass
class ConvWriter(FrameWriter):
    """Writes the window and the data path of a convolution."""

    def verilog(self, name: str) -> str:
        """The module: a token per pixel in and out, each with a handshake."""
        entering, leaving = self.engine.source.pixel_bits, self.engine.result.pixel_bits
        self._walk()
        self._block()
        window = self._window()
        self._carry()  # the window's registers end the first stage
        self.level = 1
        operands, weights = self._operands(window), self._weights()
        for _ in range((self.engine.ways > 1) + (weights is not None)):
            operands, *weights_now = self._stages([operands, *(weights or [])])
            weights = weights_now or None
        products = self._products(operands, weights)
        self._finish(self._accumulate(self._trees(products)))
        head = (
            f"module {name}(input clk, input rst, input start, input in_valid, output in_ready, "
            f"input [{entering - 1}:0] d, output out_valid, input out_ready, output [{leaving - 1}:0] q);"
        )
        return "\n".join([head, *self.lines, "endmodule\n"])

    def _window(self) -> list[Word]:
        """The registers under the taps, oldest first, and the delays between them."""
        engine, bits = self.engine, self.engine.source.pixel_bits
        self.lines.append("wire shift = ce & run & first;")
        newer = self._register(self._new(bits, "d", signed=False), "shift")
        window = [newer]
        for words, kind in reversed(list(zip(engine.scan.delays, engine.delays, strict=False))):
            value = newer if words == 1 else self._delay(newer, words - 1, kind)
            newer = self._register(value, "shift")
            window.append(newer)
        return window[::-1]

    def _delay(self, value: Word, rows: int, kind: MemoryKind) -> Word:
        name, index = f"m{len(self.lines)}", value.bits - 1
        out = Word(f"{name}_row", value.bits, False)
        if kind is MemoryKind.REGISTERS:
            self.lines.append(f"""reg [{index}:0] {name} [0:{rows - 1}]; integer {name}_i; wire {out.kind}{out.name} = {name}[{rows - 1}];
always @(posedge clk) if (shift) begin
  {name}[0] <= {value.name};
  for ({name}_i = 1; {name}_i < {rows}; {name}_i = {name}_i + 1) {name}[{name}_i] <= {name}[{name}_i - 1];
end""")
            return out
        style, bits = "block" if kind is MemoryKind.BRAM else "distributed", (rows - 1).bit_length()
        self.lines.append(f"""(* ram_style = "{style}" *) reg [{index}:0] {name} [0:{rows - 1}];
reg [{bits - 1}:0] {name}_r, {name}_w; reg {out.kind}{out.name};
always @(posedge clk) if (rst) {name}_r <= 1; else if (shift) {name}_r <= {name}_r == {rows - 1} ? 0 : {name}_r + 1;
always @(posedge clk) if (rst) {name}_w <= 0; else if (shift) {name}_w <= {name}_r;
always @(posedge clk) if (shift) {name}[{name}_w] <= {value.name};
always @(posedge clk) if (shift) {out.name} <= {name}[{name}_r];""")
        return out

    def _operands(self, window: list[Word]) -> list[Word]:
        """One operand per lane: selected among the blocks, zero outside the frame."""
        engine, scan, fold = self.engine, self.engine.scan, self.engine.fold
        width, signed = engine.source.fmt.width, engine.source.fmt.signed
        covered = []
        for tap in scan.taps:
            dy, dx = tap.r - scan.padding.top, tap.s - scan.padding.left
            inside = (
                f"(r_out + ({dy}) >= 0) & (r_out + ({dy}) < {scan.source.height}) & "
                f"($signed({{1'b0, c_out}}) + ({dx}) >= 0) & ($signed({{1'b0, c_out}}) + ({dx}) < {scan.source.width})"
            )
            covered.append(self._register(self._new(1, inside, signed=False), "shift"))
        lanes = []
        for tap in range(fold.taps):
            for channel in range(fold.simd):
                ways = [
                    f"{{{width}{{{covered[t].name}}}}} & {window[t].name}[{c * width} +: {width}]"
                    for t in range(tap, len(scan.taps), fold.taps)
                    for c in range(channel, engine.in_channels, fold.simd)
                ]
                at = ", ".join(self.control[name].name for name in ("b_tap", "b_in") if name in self.control)
                lanes.append(
                    self._choice(ways, width, at, signed=signed)
                    if len(ways) > 1
                    else self._new(width, ways[0], signed=signed)
                )
        return lanes

    def _choice(self, ways: list[str], bits: int, at: str, *, signed: bool) -> Word:
        """A multiplexer; the ways of a tap stand side by side, and each tap's at a power of two."""
        blocks, step = self.engine.in_blocks, 1 << (self.engine.in_blocks - 1).bit_length()
        places = range(self.engine.tap_blocks * step - (step - blocks))
        # A place between the taps is never chosen: what stands before it saves a multiplexer.
        words = [ways[(place // step) * blocks + min(place % step, blocks - 1)] for place in places]
        select = self._new(max(1, (len(words) - 1).bit_length()), f"{{{at}}}", signed=False)
        lines, value = chosen(words, select.name, bits, f"x{len(self.lines)}")
        self.lines += lines
        return self._new(bits, value, signed=signed)

    def _weights(self) -> list[list[Word]] | None:
        """[pe][lanes] from the memory, which is read beside the window; None where they are constants."""
        engine = self.engine
        if engine.cycles_per_output == 1:
            return None
        bits, lanes, words = engine.weight_fmt.width, engine.fold.operands, engine.cycles_per_output
        table = engine.weight_words(self.graph.constants[engine.op.weight])
        total = bits * table.shape[1]
        rows = [
            sum((int(value) & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(row))
            for row in table
        ]
        style = "block" if engine.weights is MemoryKind.BRAM else "logic"
        values = " ".join(f"rom[{i}] = {total}'h{row:x};" for i, row in enumerate(rows))
        self.lines.append(f"""(* rom_style = "{style}", ram_style = "{style}" *) reg [{total - 1}:0] rom [0:{words - 1}];
initial begin {values} end
reg [{total - 1}:0] weights; always @(posedge clk) if (ce) weights <= rom[word];""")
        signed = engine.weight_fmt.signed
        return [
            [
                self._new(bits, f"weights[{(p * lanes + m) * bits} +: {bits}]", signed=signed)
                for m in range(lanes)
            ]
            for p in range(engine.fold.pe)
        ]

    def _products(self, operands: list[Word], weights: list[list[Word]] | None) -> list[list[Word]]:
        """[pe][lanes], behind the registers of their level; without products that are zero."""
        engine = self.engine
        bits = min(engine.source.fmt.width + engine.weight_fmt.width, engine.acc_fmt.width)
        if weights is None:
            matrix = self.graph.constants[engine.op.weight]  # [T, Ci, Co]
            columns = matrix.reshape(-1, matrix.shape[-1]).T
            return self._stages([self._constants(operands, column.tolist(), bits) for column in columns])
        if engine.multipliers is MultiplierKind.DSP_PAIR:
            return self._pairs(operands, weights, bits)
        found = []
        for row in weights:
            pairs = zip(operands, row, strict=True)
            found.append([self._new(bits, f"{_signed(x)} * {_signed(w)}") for x, w in pairs])
        return self._stages(found)

    def _constants(self, operands: list[Word], weights: list[int], bits: int) -> list[Word]:
        found = []
        for operand, weight in zip(operands, weights, strict=True):
            if weight:
                x = self._new(bits, _signed(operand))
                found.append(self._new(bits, shifted(weight, x.name)))
        return found

    def _pairs(self, operands: list[Word], weights: list[list[Word]], bits: int) -> list[list[Word]]:
        """Two output channels share a multiplier (psp/multiply.h, InDspPairs)."""
        engine, lane = self.engine, self.engine.pair_lane
        packed, rows = lane + engine.weight_fmt.width + 1, []
        for low, high in zip(weights[::2], weights[1::2], strict=True):
            pairs = zip(low, high, strict=True)
            rows.append([self._new(packed, f"({_signed(h)} <<< {lane}) + {_signed(w)}") for w, h in pairs])
        operands, *rows = self._stages([operands, *rows])
        wide = packed + engine.operand_bits
        rows = self._stages(
            [
                [self._new(wide, f"{w.name} * {_signed(x)}") for x, w in zip(operands, row, strict=True)]
                for row in rows
            ]
        )
        found = []
        for row in rows:
            found.append([self._new(lane, f"{p.name}[{lane - 1}:0]") for p in row])
            found.append(
                [self._new(lane, f"{p.name}[{wide - 1}:{lane}] + {p.name}[{lane - 1}]") for p in row]
            )
        return [[self._new(bits, word.name) for word in row] for row in self._stages(found)]

    def _trees(self, rows: list[list[Word]]) -> list[Word]:
        """Adders level by level, every output channel by itself; [pe]."""
        most, lanes = self.engine.acc_fmt.width, self.engine.fold.operands
        while lanes > 1:
            lanes = math.ceil(lanes / 2)
            following = []
            for row in rows:
                sums = []
                for at in range(0, len(row), 2):
                    bits = min(max(word.bits for word in row[at : at + 2]) + 1, most)
                    value = " + ".join(word.name for word in row[at : at + 2])
                    sums.append(self._new(bits, value) if at + 1 < len(row) else row[at])
                following.append(sums)
            rows = self._stages(following)
        return [row[0] if row else self._new(2, "0") for row in rows]

    def _accumulate(self, totals: list[Word]) -> list[Word]:
        """The sums of a block of output channels; the bias is what they start with."""
        engine, bits = self.engine, self.engine.acc_fmt.width
        carries = engine.most_words > 1
        if engine.op.bias is None and not carries:
            return totals
        biases = None
        if engine.op.bias is not None:
            table = engine.by_block(self.graph.constants[engine.op.bias])
            biases = [
                self._rows([_literal(int(v), bits) for v in column], bits, self.control["b_out"].name)
                if engine.out_blocks > 1
                else self._new(bits, _literal(int(column[0]), bits))
                for column in table.T
            ]
        sums = []
        for p, total in enumerate(totals):
            start = biases[p].name if biases else "0"
            if not carries:
                sums.append(self._new(bits, f"{start} + {total.name}"))
                continue
            before = Word(f"acc{p}", bits)
            self.lines.append(f"reg {before.kind}{before.name};")
            value = self._new(
                bits, f"({self.control['opens'].name} ? {start} : {before.name}) + {total.name}"
            )
            when = f"ce & {self.control['active'].name}"
            self.lines.append(f"always @(posedge clk) if ({when}) {before.name} <= {value.name};")
            sums.append(value)
        if carries and self.behind[self.level]:
            self.behind[self.level] -= 1  # the sums themselves are a register
            sums = [Word(f"acc{p}", bits) for p in range(len(sums))]
            self._carry()
        return self._stages([sums])[0]

    def _finish(self, sums: list[Word]) -> None:
        """Shift, round, saturate; the output pixel; what stalls and what restarts."""
        engine, to = self.engine, self.engine.op.requantize
        if to is not None:
            rounded = self._stages([[self._round(word, to.shift) for word in sums]])[0]
            sums = self._stages([[self._saturate(word) for word in rounded]])[0]
        width, total = engine.result.fmt.width, engine.result.pixel_bits
        block = "{" + ", ".join(f"{word.name}[{width - 1}:0]" for word in reversed(sums)) + "}"
        active, closes, last = (
            self.control[name].name if name in self.control else "1'b1"
            for name in ("active", "closes", "last")
        )
        moved = (
            f"{{{block}, result[{total - 1}:{engine.fold.pe * width}]}}" if engine.out_blocks > 1 else block
        )
        pending = " | ".join(self.valid)
        self.lines.append(f"""reg [{total - 1}:0] result; reg full;
always @(posedge clk) if (ce & {active} & {closes}) result <= {moved};
always @(posedge clk) if (rst) full <= 0; else if (ce) full <= {active} & {last}; else if (out_ready) full <= 0;
assign out_valid = full, q = result;
wire take = run & first & reads, blocked = full & ~out_ready;
assign ce = ~(blocked | (take & ~in_valid));
assign in_ready = take & ~blocked;
always @(posedge clk) if (rst) run <= 0; else if (ce & done) run <= 0; else if (start & ~run & ~({pending})) run <= 1;""")

    def _round(self, word: Word, shift: int) -> Word:
        if shift <= 0:
            return self._new(word.bits - shift, f"{word.name} <<< {-shift}") if shift else word
        wide = max(word.bits, shift + 1) + 1
        exact = self._new(wide, word.name)
        down = self._new(wide, f"{exact.name} >>> {shift}")
        some = f"(|{exact.name}[{shift - 2}:0])" if shift > 1 else "1'b0"
        up = self._new(1, f"{exact.name}[{shift - 1}] & ({some} | {down.name}[0])", signed=False)
        return self._new(wide - shift + 1, f"{down.name} + $signed({{1'b0, {up.name}}})")

    def _saturate(self, word: Word) -> Word:
        to = self.engine.op.requantize
        assert to is not None
        low, high = (_literal(value, max(word.bits, to.fmt.width + 1)) for value in (to.lo, to.hi))
        wide = self._new(max(word.bits, to.fmt.width + 1), word.name)
        value = f"{wide.name} < {low} ? {low} : {wide.name} > {high} ? {high} : {wide.name}"
        return self._new(to.fmt.width, value)


def _signed(word: Word) -> str:
    return word.name if word.signed else f"$signed({{1'b0, {word.name}}})"


def _literal(value: int, bits: int) -> str:
    return f"{'-' if value < 0 else ''}{bits}'sd{abs(value)}"
