"""A convolution from a connection table as Verilog (psp/conv_table.h)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.operators.engine_rtl import ConvWriter, packed
from benchmarks.operators.stage_rtl import Word
from psp_hw.folding.connections import ConnectionTable
from psp_hw.folding.plan import MemoryKind


@dataclass(kw_only=True)
class TableWriter(ConvWriter):
    """Only channels that are needed are held, every lane selects among its candidates, and blocks differ in length."""

    @property
    def _table(self) -> ConnectionTable:
        table = self.engine.table
        assert table is not None
        return table

    def _entering(self) -> Word:
        width = self.engine.source.fmt.width
        kept = [f"d[{channel * width} +: {width}]" for channel in reversed(self._table.kept)]
        return self._new(width * len(kept), f"{{{', '.join(kept)}}}", signed=False)

    def _block(self) -> None:
        self._words()

    def _place(self) -> None:
        """Tables are read while the window shifts: behind it stand the selections, and which word ends its block."""
        table, active = self._table, self.control["active"].name
        if table.select_bits and self.engine.cycles_per_output > 1:
            bits = table.select_bits
            rows = [packed(row, bits) for row in table.select.tolist()]
            block = self.engine.weights is MemoryKind.BRAM
            word = self._memory(rows, bits * table.lanes, self.before["word"].name, block=block)
            self.control["select"] = word
            self.behind[self.level] = max(0, self.behind[self.level] - 1)  # the register of the memory
            self._stages([])
        most = self.engine.most_words
        moves = f"ce & {active}"
        closes = "1'b1"
        if not table.equal:
            closes = self._memory(table.ends.tolist(), 1, self.before["word"].name, block=False).name
        elif most > 1:
            closes = f"(step_n == {most - 1})"
        if most > 1:
            step = Word("step_n", (most - 1).bit_length(), False)
            self.lines.append(f"reg {step.kind}{step.name};")
            self.lines.append(
                f"always @(posedge clk) if (rst) step_n <= 0; else if ({moves}) step_n <= {closes} ? 0 : step_n + 1;"
            )
            self.control["step"] = step
            self.control["opens"] = self._new(1, "step_n == 0", signed=False)
            self.control["closes"] = self._new(1, closes, signed=False)
        if self.engine.out_blocks > 1:
            self.control["b_out"] = self._count("b_out", self.engine.out_blocks, f"{moves} & {closes}")

    def _operands(self, window: list[Word], covered: dict[int, Word]) -> list[Word]:
        """Every lane selects a value, and beside it whether that lies inside the frame."""
        table, width = self._table, self.engine.source.fmt.width
        held, lanes = len(table.kept), []
        for lane, registers in enumerate(table.registers.tolist()):
            ways, inside = [], []
            for register in registers:
                tap, channel = divmod(register, held)
                ways.append(f"{window[tap].name}[{channel * width} +: {width}]")
                inside.append(covered[tap].name if tap in covered else "1'b1")
            at = self._at(lane)
            gate = self._pick(inside, 1, at) if covered else None
            lanes.append(self._gated(self._pick(ways, width, at), gate))
        return lanes

    def _at(self, lane: int) -> str:
        """What selects the candidate of a lane."""
        bits = self._table.select_bits
        if "select" in self.control:
            return f"{self.control['select'].name}[{lane * bits} +: {bits}]"
        return self.control["step"].name if "step" in self.control else "1'b0"

    def _pick(self, ways: list[str], bits: int, at: str) -> Word:
        return self._selected(ways, bits, at) if len(ways) > 1 else self._new(bits, ways[0], signed=False)

    def _left(self, token: str) -> str:
        """Channels are computed block by block; where each leaves is wiring."""
        order, width = self._table.order.tolist(), self.engine.result.fmt.width
        if self._table.ordered:
            return token
        if token != "pixel":
            self.lines.append(f"wire [{self.engine.result.pixel_bits - 1}:0] pixel = {token};")
        places = [order.index(channel) for channel in range(len(order))]
        return "{" + ", ".join(f"pixel[{place * width} +: {width}]" for place in reversed(places)) + "}"
