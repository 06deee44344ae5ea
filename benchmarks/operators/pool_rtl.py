"""Pooling as Verilog: a maximum or a mean over windows, or the mean over the whole frame (psp/pool.h)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.operators.frame_rtl import FrameWriter
from benchmarks.operators.stage_rtl import StageWriter, Word, joined, literal
from psp_hw.cost.operators import pool_sum
from psp_hw.folding.engine import GlobalPoolEngine, WindowPoolEngine, requantizer_of
from psp_hw.ir.ops import MaxPool


@dataclass(kw_only=True)
class PoolWriter(FrameWriter):
    """Writes pooling over windows, all channels at once."""

    engine: WindowPoolEngine

    def verilog(self, name: str) -> str:
        """The module."""
        engine, source = self.engine, self.engine.source
        self._walk()
        self.lines.append("assign first = 1'b1, ends = 1'b1;")
        newest = self._new(source.pixel_bits, "d", signed=False)
        window = self._chain(newest, (source.pixel_bits,) * len(engine.scan.taps))
        covered = self._covered(self._leaving())
        self._carry()  # the window's registers end the first stage
        rows = [
            [self._inside(window[t], covered.get(t), channel) for t in range(len(window))]
            for channel in range(source.channels)
        ]
        rows = self._stages(rows)
        while len(rows[0]) > 1:
            rows = self._stages([self._halved(row) for row in rows])
        results = self._requantize([row[0] for row in rows], requantizer_of(engine))
        token = joined(results, engine.result.fmt.width)
        self._handshake("run & reads", self.control["active"].name, token)
        return self.module(name, source.pixel_bits, engine.result.pixel_bits)

    def _inside(self, pixel: Word, covered: Word | None, channel: int) -> Word:
        """A value of the window; where its tap lies outside the frame, the least there is."""
        fmt = self.engine.source.fmt
        value = self._new(fmt.width, f"{pixel.name}[{channel * fmt.width} +: {fmt.width}]", signed=fmt.signed)
        if covered is None:
            return value
        least = literal(fmt.min, fmt.width) if fmt.signed else f"{fmt.width}'d0"
        return self._new(fmt.width, f"{covered.name} ? {value.name} : {least}", signed=fmt.signed)

    def _halved(self, row: list[Word]) -> list[Word]:
        return [self._joined(row[at : at + 2]) for at in range(0, len(row), 2)]

    def _joined(self, words: list[Word]) -> Word:
        if len(words) == 1:
            return words[0]
        (a, b), signs = words, words[0].signed
        if isinstance(self.engine.op, MaxPool):
            return self._new(a.bits, f"{a.name} > {b.name} ? {a.name} : {b.name}", signed=signs)
        bits = min(max(a.bits, b.bits) + 1, pool_sum(self.engine).width)
        return self._new(bits, f"{a.name} + {b.name}", signed=signs)


@dataclass(kw_only=True)
class GlobalPoolWriter(StageWriter):
    """Writes the mean over the whole frame: a sum per channel, which is carried on."""

    engine: GlobalPoolEngine

    def verilog(self, name: str) -> str:
        """The module."""
        engine, source = self.engine, self.engine.source
        self.lines.append("reg run; wire ce;")
        count = self._count("pixel", source.pixels, "ce & run")
        self.lines.append(f"wire done = run & (pixel == {source.pixels - 1});")
        self.control["active"] = Word("run", 1, False)
        self.control["opens"] = self._new(1, f"{count.name} == 0", signed=False)
        self.control["last"] = self._new(1, "done", signed=False)
        fmt, bits = source.fmt, engine.acc_fmt.width
        values = [
            self._new(fmt.width, f"d[{c * fmt.width} +: {fmt.width}]", signed=fmt.signed)
            for c in range(source.channels)
        ]
        values = self._stages([values])[0]
        when, sums = f"ce & {self.control['active'].name}", []
        for value in values:
            acc = Word(f"acc{len(sums)}", bits, engine.acc_fmt.signed)
            self.lines.append(f"reg {acc.kind}{acc.name};")
            before = self._new(bits, f"{self.control['opens'].name} ? 0 : {acc.name}", signed=acc.signed)
            total = self._new(bits, f"{before.name} + {value.name}", signed=acc.signed)
            self.lines.append(f"always @(posedge clk) if ({when}) {acc.name} <= {total.name};")
            sums.append(total)
        if self.behind[self.level]:
            self.behind[self.level] -= 1  # the sums themselves are a register
            sums = [Word(f"acc{c}", bits, engine.acc_fmt.signed) for c in range(len(sums))]
            self._carry()
        sums = self._requantize(self._stages([sums])[0], engine.op.requantize)
        gives = f"{self.control['active'].name} & {self.control['last'].name}"
        self._handshake("run", gives, joined(sums, engine.result.fmt.width))
        return self.module(name, source.pixel_bits, engine.result.pixel_bits)
