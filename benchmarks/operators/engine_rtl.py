"""A convolution engine as Verilog, from the engine and its weights: the walk, the delay chain, products, sums, requantization.

What an engine is made of follows from psp_hw/folding/engine.py, psp/conv.h and psp/conv_table.h; pipeline registers stand where
psp_hw/cost/pipeline.py puts them. It is written to be counted and simulated (benchmarks/operators/engines.py), not to be used: one shift for
all channels, no divisor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.operators.cases import chosen
from benchmarks.operators.frame_rtl import FrameWriter
from benchmarks.operators.operator_cases import shifted
from benchmarks.operators.stage_rtl import Word, joined, literal, signed
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MemoryKind, MultiplierKind


@dataclass(kw_only=True)
class ConvWriter(FrameWriter):
    """Writes a convolution with the dense schedule; benchmarks/operators/table_rtl.py one with a connection table."""

    engine: ConvEngine

    def verilog(self, name: str) -> str:
        """The module."""
        entering, leaving = self.engine.source.pixel_bits, self.engine.result.pixel_bits
        self._walk()
        self._block()
        window = self._chain(self._entering(), self.engine.held_bits)
        covered = self._covered(self._leaving())
        self._carry()  # the window's registers end the first stage
        self.level = 1
        self._place()
        operands = self._operands(window, covered)
        if self.engine.ways > 1:
            operands = self._stages([operands])[0]
        weights = self._weights()
        if weights is not None:
            operands, *weights = self._stages([operands, *weights])
        products = self._products(operands, weights)
        self._finish(self._accumulate(self._trees(products)))
        return self.module(name, entering, leaving)

    # The place inside an output pixel: Block of psp/conv.h.

    def _block(self) -> None:
        engine = self.engine
        moves, zero, end = "ce & run & writes", [], []
        for name, extent in (
            ("in", engine.in_blocks),
            ("tap", engine.tap_blocks),
            ("out", engine.out_blocks),
        ):
            if extent > 1:
                self.control[f"b_{name}"] = self._count(f"b_{name}", extent, moves)
                moves += f" & (b_{name} == {extent - 1})"
                if name != "out":
                    zero.append(f"(b_{name} == 0)")
                    end.append(f"(b_{name} == {extent - 1})")
        self._words()
        if end:
            self.control["opens"] = self._new(1, " & ".join(zero), signed=False)
            self.control["closes"] = self._new(1, " & ".join(end), signed=False)

    def _words(self) -> None:
        """The number of the cycle inside an output pixel."""
        words = self.engine.cycles_per_output
        if words > 1:
            self.control["word"] = self._count("word", words, "ce & run & writes")
            self.lines.append(f"assign first = word == 0, ends = word == {words - 1};")
            self.control["last"] = self._new(1, "ends", signed=False)
        else:
            self.lines.append("assign first = 1'b1, ends = 1'b1;")

    def _place(self) -> None:
        """What else steers the second stage; nothing in the dense schedule."""

    def _entering(self) -> Word:
        """What the window holds of the token that enters."""
        return self._new(self.engine.source.pixel_bits, "d", signed=False)

    def _operands(self, window: list[Word], covered: dict[int, Word]) -> list[Word]:
        """One operand per lane: selected among the blocks, zero outside the frame."""
        engine, fold, width = self.engine, self.engine.fold, self.engine.source.fmt.width
        at = ", ".join(self.control[name].name for name in ("b_tap", "b_in") if name in self.control)
        lanes = []
        for tap in range(fold.taps):
            taps = range(tap, len(engine.scan.taps), fold.taps)
            inside = [covered[t].name if t in covered else "1'b1" for t in taps]
            ways = [way for way in inside for _ in range(engine.in_blocks)]
            gate = self._choice(ways, 1, at) if covered else None
            for channel in range(fold.simd):
                ways = [
                    f"{window[t].name}[{c * width} +: {width}]"
                    for t in taps
                    for c in range(channel, engine.in_channels, fold.simd)
                ]
                lanes.append(self._gated(self._choice(ways, width, at), gate))
        return lanes

    def _gated(self, value: Word, gate: Word | None) -> Word:
        fmt = self.engine.source.fmt
        text = value.name if gate is None else f"{{{fmt.width}{{{gate.name}}}}} & {value.name}"
        return self._new(fmt.width, text, signed=fmt.signed)

    def _choice(self, ways: list[str], bits: int, at: str) -> Word:
        """A multiplexer; the ways of a tap stand side by side, and each tap's at a power of two."""
        if len(ways) == 1:
            return self._new(bits, ways[0], signed=False)
        blocks, step = self.engine.in_blocks, 1 << (self.engine.in_blocks - 1).bit_length()
        places = range(self.engine.tap_blocks * step - (step - blocks))
        # A place between the taps is never chosen: what stands before it saves a multiplexer.
        words = [ways[(place // step) * blocks + min(place % step, blocks - 1)] for place in places]
        return self._selected(words, bits, f"{{{at}}}")

    def _selected(self, words: list[str], bits: int, at: str) -> Word:
        select = self._new(max(1, (len(words) - 1).bit_length()), at, signed=False)
        lines, value = chosen(words, select.name, bits, f"x{len(self.lines)}")
        self.lines += lines
        return self._new(bits, value, signed=False)

    def _weights(self) -> list[list[Word]] | None:
        """[pe][lanes] from the memory, which is read a cycle before they are multiplied; None where they are constants."""
        engine = self.engine
        if engine.cycles_per_output == 1:
            return None
        bits, lanes = engine.weight_fmt.width, engine.fold.operands
        table = engine.weight_words(self.graph.constants[engine.op.weight])
        rows = [packed(row.tolist(), bits) for row in table]
        block = engine.weights is MemoryKind.BRAM
        word = self._memory(rows, bits * table.shape[1], self.before["word"].name, block=block)
        of = [
            [f"{word.name}[{(p * lanes + m) * bits} +: {bits}]" for m in range(lanes)]
            for p in range(engine.fold.pe)
        ]
        return [[self._new(bits, text, signed=engine.weight_fmt.signed) for text in row] for row in of]

    def _products(self, operands: list[Word], weights: list[list[Word]] | None) -> list[list[Word]]:
        """[pe][lanes], behind the registers of their level; without products that are zero."""
        engine = self.engine
        bits = min(engine.source.fmt.width + engine.weight_fmt.width, engine.acc_fmt.width)
        if weights is None:
            matrix = self.graph.constants[engine.op.weight]  # [T, Ci, Co]
            columns = matrix.reshape(-1, matrix.shape[-1]).T
            return self._stages([self._constants(operands, column.tolist()) for column in columns])
        if engine.multipliers is MultiplierKind.DSP_PAIR:
            return self._pairs(operands, weights, bits)
        found = []
        for row in weights:
            pairs = zip(operands, row, strict=True)
            found.append([self._new(bits, f"{signed(x)} * {signed(w)}") for x, w in pairs])
        return self._stages(found)

    def _constants(self, operands: list[Word], weights: list[int]) -> list[Word]:
        """Products as wide as they can be; one with a power of two is the operand itself, whichever its sign."""
        found = []
        for operand, weight in zip(operands, weights, strict=True):
            if not weight:
                continue
            span = self.engine.source.fmt.range.including(0).scaled(weight)
            negated = weight < 0 and -weight & (-weight - 1) == 0
            if negated:
                weight, span = -weight, self.engine.source.fmt.range.including(0).scaled(-weight)
            below = span.lo < 0
            x = self._new(span.bits + 2, signed(operand))
            product = self._new(span.bits + 2, shifted(weight, x.name))
            found.append(self._new(span.bits, product.name, signed=below, negated=negated))
        return found

    def _pairs(self, operands: list[Word], weights: list[list[Word]], bits: int) -> list[list[Word]]:
        """Two output channels share a multiplier (psp/multiply.h, InDspPairs)."""
        engine, lane = self.engine, self.engine.pair_lane
        packed_bits, rows = lane + engine.weight_fmt.width + 1 + (not engine.weight_fmt.signed), []
        for low, high in zip(weights[::2], weights[1::2], strict=True):
            pairs = zip(low, high, strict=True)
            rows.append([self._new(packed_bits, f"({signed(h)} <<< {lane}) + {signed(w)}") for w, h in pairs])
        operands, *rows = self._stages([operands, *rows])
        wide = packed_bits + engine.operand_bits
        rows = self._stages(
            [
                [self._new(wide, f"{w.name} * {signed(x)}") for x, w in zip(operands, row, strict=True)]
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
        lanes = self.engine.fold.operands
        while lanes > 1:
            lanes = math.ceil(lanes / 2)
            rows = self._stages(
                [[self._sum(row[at : at + 2]) for at in range(0, len(row), 2)] for row in rows]
            )
        return [row[0] if row else self._new(2, "0") for row in rows]

    def _sum(self, words: list[Word]) -> Word:
        """A bit wider than the wider of two; what cannot be below zero needs no sign. A negative is subtracted."""
        if len(words) == 1:
            return words[0]
        below = any(word.signed or word.negated for word in words)
        wider = max(word.bits + (below and (word.negated or not word.signed)) for word in words)
        bits = min(wider + 1, self.engine.acc_fmt.width)
        first, second = sorted(words, key=lambda word: word.negated)
        text = (
            f"{'-' if first.negated else ''}{signed(first)} {'-' if second.negated else '+'} {signed(second)}"
        )
        return self._new(bits, text, signed=below)

    def _accumulate(self, totals: list[Word]) -> list[Word]:
        """The sums of a block of output channels; the bias is what they start with."""
        engine, bits = self.engine, self.engine.acc_fmt.width
        carries = engine.most_words > 1
        if engine.op.bias is None and not carries:
            return [self._new(bits, f"{'-' if one.negated else ''}{signed(one)}") for one in totals]
        starts = self._starts(bits) or ["0"] * len(totals)
        sums = []
        for p, (total, start) in enumerate(zip(totals, starts, strict=True)):
            sign = "-" if total.negated else "+"
            if not carries:
                sums.append(self._new(bits, f"{start} {sign} {signed(total)}"))
                continue
            before = Word(f"acc{p}", bits)
            self.lines.append(f"reg {before.kind}{before.name};")
            value = self._new(
                bits, f"({self.control['opens'].name} ? {start} : {before.name}) {sign} {signed(total)}"
            )
            when = f"ce & {self.control['active'].name}"
            self.lines.append(f"always @(posedge clk) if ({when}) {before.name} <= {value.name};")
            sums.append(value)
        if carries and self.behind[self.level]:
            self.behind[self.level] -= 1  # the sums themselves are a register
            sums = [Word(f"acc{p}", bits) for p in range(len(sums))]
            self._carry()
        return self._stages([sums])[0]

    def _starts(self, bits: int) -> list[str] | None:
        """The biases of the block, from a table that is read in logic."""
        engine = self.engine
        if engine.op.bias is None:
            return None
        table = engine.by_block(self.graph.constants[engine.op.bias])
        if engine.out_blocks == 1:
            return [self._new(bits, literal(int(column[0]), bits)).name for column in table.T]
        at = self.control["b_out"].name
        return [self._rows([literal(int(v), bits) for v in column], bits, at).name for column in table.T]

    def _finish(self, sums: list[Word]) -> None:
        """The block that is finished goes to the others of its pixel, the last one with them to the output."""
        engine = self.engine
        sums = self._requantize(sums, engine.op.requantize)
        width, blocks = engine.result.fmt.width, engine.out_blocks
        token, kept = joined(sums, width), (blocks - 1) * engine.fold.pe * width
        closes = self.control["closes"].name if "closes" in self.control else "1'b1"
        active = self.control["active"].name
        if kept:
            self.lines.append(
                f"reg [{kept - 1}:0] result; wire [{engine.result.pixel_bits - 1}:0] pixel = {{{token}, result}};"
            )
            self.lines.append(
                f"always @(posedge clk) if (ce & {active} & {closes}) result <= pixel[{engine.result.pixel_bits - 1}:{engine.result.pixel_bits - kept}];"
            )
            token = "pixel"
        last = self.control["last"].name if "last" in self.control else "1'b1"
        self._handshake("run & first & reads", f"{active} & {last}", self._left(token))

    def _left(self, token: str) -> str:
        """The pixel as it leaves."""
        return token


def packed(values: list[int], bits: int) -> int:
    """Numbers side by side, the first in the lowest bits."""
    return sum((value & ((1 << bits) - 1)) << (bits * at) for at, value in enumerate(values))
