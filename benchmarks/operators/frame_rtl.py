"""The walk over the frame, the window and the delays between its taps, as Verilog."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.operators.stage_rtl import StageWriter, Word
from psp_hw.folding.engine import ConvEngine, WindowPoolEngine
from psp_hw.folding.plan import MemoryKind


@dataclass(kw_only=True)
class FrameWriter(StageWriter):
    """Writes what an engine with a window has before its data path.

    Args:
        engine: with a window.
    """

    engine: ConvEngine | WindowPoolEngine

    # The walk of psp/walk.h.

    def _walk(self) -> None:
        scan, add = self.engine.scan, self.lines.append
        rows = scan.steps // scan.pitch + 2
        add("reg run; wire ce, step, done, writes, reads, first, ends;")
        places = {"in": divmod(scan.first, scan.pitch), "out": divmod(scan.first - scan.lead, scan.pitch)}
        for name, (row, column) in places.items():
            row_bits = max(abs(row), abs(row + rows)).bit_length() + 1
            column_bits = max(1, (scan.pitch - 1).bit_length())
            add(f"reg signed [{row_bits - 1}:0] r_{name}; reg [{column_bits - 1}:0] c_{name};")
            add(f"wire wrap_{name} = c_{name} == {scan.pitch - 1};")
            add(
                f"always @(posedge clk) if (rst | (ce & done)) begin r_{name} <= {row}; c_{name} <= {column}; end "
                f"else if (ce & step) begin c_{name} <= wrap_{name} ? 0 : c_{name} + 1; "
                f"if (wrap_{name}) r_{name} <= r_{name} + 1; end"
            )
        row, column = places["out"]
        phases = self._phase("p_row", scan.stride[0], row, "wrap_out", "1'b0")
        phases += self._phase("p_column", scan.stride[1], column, "1'b1", "wrap_out")
        last_row, last_column = (scan.out_height - 1) * scan.stride[0], (scan.out_width - 1) * scan.stride[1]
        inside = [f"(r_out >= 0) & (r_out <= {last_row}) & (c_out <= {last_column})", *phases]
        add(f"assign writes = {' & '.join(inside)};")
        add(f"assign reads = (r_in >= 0) & (r_in < {scan.source.height}) & (c_in < {scan.source.width});")
        row, column = divmod(scan.last, scan.pitch)
        add(f"assign done = step & (r_in == {row}) & (c_in == {column});")
        add("assign step = run & (~writes | ends);")
        add("wire shift = ce & run & first;")
        self.control["active"] = self._new(1, "run & writes", signed=False)

    def _phase(self, name: str, stride: int, start: int, moves: str, restarts: str) -> list[str]:
        if stride == 1:
            return []
        self.lines.append(f"reg [{(stride - 1).bit_length() - 1}:0] {name};")
        self.lines.append(
            f"always @(posedge clk) if (rst | (ce & done)) {name} <= {start % stride}; else if (ce & step & {moves}) "
            f"{name} <= ({name} == {stride - 1} | {restarts}) ? 0 : {name} + 1;"
        )
        return [f"({name} == 0)"]

    # The delay chain of psp/delay.h and psp/strands.h.

    def _chain(self, newest: Word, held: tuple[int, ...]) -> list[Word]:
        """The registers under the taps, oldest first, and the delays between them.

        HLS reads what leaves a delay at the first cycle of a position and the register behind it at the others, so neither is a part of
        the other: yosys is told to keep the registers, of which it would make words of the shift registers before them.

        Args:
            held: bits that each tap holds.
        """
        engine = self.engine
        newer = self._register(newest, "shift", keep=True)
        window = [newer]
        for words, kind, bits in reversed(list(zip(engine.scan.delays, engine.delays, held, strict=False))):
            value = newer if bits == newer.bits else self._new(bits, newer.name, signed=False)
            value = value if words == 1 else self._delay(value, words - 1, kind)
            newer = self._register(value, "shift", keep=True)
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

    def _covered(self, leaving: set[int]) -> dict[int, Word]:
        """Whether each tap lies inside the frame, of those that may lie outside."""
        scan, found = self.engine.scan, {}
        for at, tap in enumerate(scan.taps):
            if at in leaving:
                dy, dx = tap.r - scan.padding.top, tap.s - scan.padding.left
                inside = (
                    f"(r_out + ({dy}) >= 0) & (r_out + ({dy}) < {scan.source.height}) & "
                    f"($signed({{1'b0, c_out}}) + ({dx}) >= 0) & ($signed({{1'b0, c_out}}) + ({dx}) < {scan.source.width})"
                )
                found[at] = self._register(self._new(1, inside, signed=False), "shift")
        return found

    def _leaving(self) -> set[int]:
        """The taps that lie outside the frame for some output pixel."""
        scan = self.engine.scan
        found = set()
        for at, tap in enumerate(scan.taps):
            top, left = tap.r - scan.padding.top, tap.s - scan.padding.left
            bottom = top + (scan.out_height - 1) * scan.stride[0]
            right = left + (scan.out_width - 1) * scan.stride[1]
            if top < 0 or left < 0 or bottom >= scan.source.height or right >= scan.source.width:
                found.add(at)
        return found
