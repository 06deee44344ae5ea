"""Engines that take and give a pixel at a time as Verilog: sums, requantization, affine maps, thresholds (psp/pointwise.h)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.operators.cases import chosen
from benchmarks.operators.engine_rtl import packed
from benchmarks.operators.operator_cases import shifted
from benchmarks.operators.stage_rtl import StageWriter, Word, joined, literal, signed
from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.folding.engine import AddEngine, PointwiseEngine, requantizer_of
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import MemoryKind


@dataclass(kw_only=True)
class PixelWriter(StageWriter):
    """What these engines have in common: the count of pixels and of the blocks of a pixel."""

    def _pixels(self, pixels: int, blocks: int = 1) -> None:
        self.lines.append("reg run; wire ce;")
        self.control["active"] = Word("run", 1, False)
        moves, done = "ce & run", "run"
        if blocks > 1:
            self.control["block"] = self._count("block", blocks, moves)
            moves, done = f"{moves} & (block == {blocks - 1})", f"run & (block == {blocks - 1})"
            self.control["last"] = self._new(1, f"block == {blocks - 1}", signed=False)
        if pixels > 1:
            self._count("pixel", pixels, moves)
            done += f" & (pixel == {pixels - 1})"
        self.lines.append(f"wire done = {done};")

    def _split(self, text: str, fmt: FixedPoint, channels: int, at: int = 0) -> list[Word]:
        parts = [f"{text}[{at + c * fmt.width} +: {fmt.width}]" for c in range(channels)]
        return [self._new(fmt.width, part, signed=fmt.signed) for part in parts]

    def _pixel(self, name: str, results: list[Word], entering: int, fmt: FixedPoint) -> str:
        """A pixel per cycle leaves."""
        results = self._stages([results])[0]  # what is written to the FIFO
        self._handshake("run", self.control["active"].name, joined(results, fmt.width))
        return self.module(name, entering, len(results) * fmt.width)


@dataclass(kw_only=True)
class AddWriter(PixelWriter):
    """Writes the sum of two streams; their tokens come side by side."""

    engine: AddEngine

    def verilog(self, name: str) -> str:
        """The module."""
        engine, (left, right) = self.engine, self.engine.sources
        self._pixels(engine.result.pixels)
        one = self._split("d", left.fmt, left.channels)
        other = self._split("d", right.fmt, right.channels, left.pixel_bits)
        one, other = self._stages([one, other])
        fmt, shifts = engine.sum_fmt, engine.shifts
        sums = []
        for a, b in zip(one, other, strict=True):
            wide = [
                self._new(fmt.width + 1, f"{signed(word)} <<< {shift}")
                for word, shift in zip((a, b), shifts, strict=True)
            ]
            sums.append(self._new(fmt.width, f"{wide[0].name} + {wide[1].name}", signed=fmt.signed))
        results = self._requantize(self._stages([sums])[0], engine.op.requantize)
        return self._pixel(name, results, left.pixel_bits + right.pixel_bits, engine.result.fmt)


@dataclass(kw_only=True)
class PointwiseWriter(PixelWriter):
    """Writes a ReLU or a requantization that no other engine took in."""

    engine: PointwiseEngine

    def verilog(self, name: str) -> str:
        """The module."""
        engine, source = self.engine, self.engine.source
        to = requantizer_of(engine)
        self._pixels(source.pixels)
        values = self._stages([self._split("d", source.fmt, source.channels)])[0]
        if to is None:
            width = engine.result.fmt.width
            values = [self._new(width, f"{v.name} < 0 ? 0 : {v.name}", signed=False) for v in values]
        results = self._requantize(self._stages([values])[0], to)
        return self._pixel(name, results, source.pixel_bits, engine.result.fmt)


@dataclass(kw_only=True)
class MapWriter(PixelWriter):
    """Writes a map with constants for every channel, all of them at once or in blocks."""

    engine: MapEngine

    def verilog(self, name: str) -> str:
        """The module."""
        engine = self.engine
        self._pixels(engine.result.pixels, engine.blocks)
        values = self._values()
        if isinstance(engine, AffineEngine):
            results = self._requantize(self._affine(engine, values), engine.op.requantize)
        else:
            results = self._thresholds(engine, values)
        if engine.blocks == 1:
            return self._pixel(name, results, engine.source.pixel_bits, engine.result.fmt)
        results = self._stages([results])[0]
        total, block = engine.result.pixel_bits, engine.fold.pe * engine.result.fmt.width
        active, last = self.control["active"].name, self.control["last"].name
        token = joined(results, engine.result.fmt.width)
        self.lines.append(f"""reg [{total - block - 1}:0] result; wire [{total - 1}:0] leaving = {{{token}, result}};
always @(posedge clk) if (ce & {active}) result <= leaving[{total - 1}:{block}];""")
        self._handshake("run & (block == 0)", f"{active} & {last}", "leaving")
        return self.module(name, engine.source.pixel_bits, total)

    def _values(self) -> list[Word]:
        """The channels that are worked on: all, or those of a block of the pixel that is held."""
        engine, fmt = self.engine, self.engine.source.fmt
        if engine.blocks == 1:
            return self._stages([self._split("d", fmt, engine.result.channels)])[0]
        bits, pe = engine.source.pixel_bits, engine.fold.pe
        self.lines.append(
            f"reg [{bits - 1}:0] held; always @(posedge clk) if (ce & run & (block == 0)) held <= d;"
        )
        self._carry()  # the pixel that is held ends the first stage
        self.level = 1
        block, values = self.control["block"].name, []
        for p in range(pe):
            ways = [f"held[{(b * pe + p) * fmt.width} +: {fmt.width}]" for b in range(engine.blocks)]
            lines, value = chosen(ways, block, fmt.width, f"x{len(self.lines)}")
            self.lines += lines
            values.append(self._new(fmt.width, value, signed=fmt.signed))
        return self._stages([values])[0]

    def _row(self, rows: list[list[int]], fmt: FixedPoint) -> list[Word]:
        """The constants of a block, read a cycle before they are needed, with the register that they are read into."""
        bits = fmt.width
        block = self.engine.weights is MemoryKind.BRAM
        words = [packed(row, bits) for row in rows]
        word = self._memory(words, bits * len(rows[0]), self.before["block"].name, block=block)
        return [
            self._new(bits, f"{word.name}[{at * bits} +: {bits}]", signed=fmt.signed)
            for at in range(len(rows[0]))
        ]

    def _affine(self, engine: AffineEngine, values: list[Word]) -> list[Word]:
        scale, offset = (self.graph.constants[key] for key in (engine.op.scale, engine.op.offset))
        if engine.blocks == 1:
            return self._affine_constants(engine, values, scale.tolist(), offset.tolist())
        bits, pe = engine.acc_fmt.width, engine.fold.pe
        factors = self._row(scale.reshape(-1, pe).tolist(), engine.scale_fmt)
        values, factors = self._stages([values, factors])
        products = [
            self._new(bits, f"{signed(x)} * {signed(w)}") for x, w in zip(values, factors, strict=True)
        ]
        products = self._stages([products])[0]
        offsets = self._row(offset.reshape(-1, pe).tolist(), engine.offset_fmt)
        sums = [
            self._new(bits, f"{p.name} + {signed(o)}", signed=engine.acc_fmt.signed)
            for p, o in zip(products, offsets, strict=True)
        ]
        return self._stages([sums])[0]

    def _affine_constants(
        self, engine: AffineEngine, values: list[Word], scale: list[int], offset: list[int]
    ) -> list[Word]:
        products = []
        for value, factor in zip(values, scale, strict=True):
            span = engine.source.fmt.range.including(0).scaled(factor)
            x = self._new(span.bits + 2, signed(value))
            whole = self._new(span.bits + 2, shifted(factor, x.name))
            products.append(self._new(span.bits, whole.name, signed=span.lo < 0))
        products = self._stages([products])[0]
        sums = []
        for product, factor, more in zip(products, scale, offset, strict=True):
            span = engine.source.fmt.range.including(0).scaled(factor)
            low, high = span.lo + more, span.hi + more
            bits = FixedPoint.holding(type(span)(low, high), frac=0)
            wide = self._new(bits.width + 2, f"{signed(product)} + {literal(more, bits.width + 2)}")
            sums.append(self._new(bits.width, wide.name, signed=bits.signed))
        return self._stages([sums])[0]

    def _thresholds(self, engine: ThresholdEngine, values: list[Word]) -> list[Word]:
        """Comparisons are counted; start and step make a result of the count."""
        constants, levels, pe = self.graph.constants, engine.levels, engine.fold.pe
        thresholds = constants[engine.op.thresholds]
        bits = max(engine.source.fmt.width + 1, engine.level_fmt.width + 1)
        if engine.blocks == 1:
            rows = [[literal(int(v), bits) for v in row] for row in thresholds]
        else:
            of = thresholds.reshape(engine.blocks, -1).tolist()
            found = self._row(of, engine.level_fmt)
            values, found = self._stages([values, found])
            rows = [[signed(word) for word in found[p * levels : (p + 1) * levels]] for p in range(pe)]
        reached = []
        for value, row in zip(values, rows, strict=True):
            wide = self._new(bits, signed(value))
            reached += [self._new(1, f"{level} <= {wide.name}", signed=False) for level in row]
        reached = self._stages([reached])[0]
        counts = [self._counted(reached[p * levels : (p + 1) * levels]) for p in range(pe)]
        results = self._results(engine, counts)
        return self._stages([results])[0]

    def _counted(self, bits: list[Word]) -> Word:
        width = len(bits).bit_length()
        return self._new(width, " + ".join(word.name for word in bits), signed=False)

    def _results(self, engine: ThresholdEngine, counts: list[Word]) -> list[Word]:
        start, step = (self.graph.constants[key] for key in (engine.op.start, engine.op.step))
        fmt, pe = engine.result.fmt, engine.fold.pe
        bits = fmt.width + math.ceil(math.log2(engine.levels + 1)) + 2
        if engine.blocks == 1:
            starts = [literal(int(v), bits) for v in start]
            steps = [literal(int(v), bits) for v in step]
        else:
            starts = [signed(w) for w in self._row(start.reshape(-1, pe).tolist(), engine.start_fmt)]
            steps = [signed(w) for w in self._row(step.reshape(-1, pe).tolist(), engine.step_fmt)]
        return [
            self._new(fmt.width, f"{a} + {b} * $signed({{1'b0, {n.name}}})", signed=fmt.signed)
            for a, b, n in zip(starts, steps, counts, strict=True)
        ]
