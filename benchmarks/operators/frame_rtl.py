"""What every stage of an engine's Verilog is written with, and the walk over the frame (benchmarks/operators/engine_rtl.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

from psp_hw.folding.engine import ConvEngine
from psp_hw.ir.graph import Graph

CARRIED = ("opens", "closes", "last", "b_out", "b_tap", "b_in")


@dataclass(frozen=True, slots=True)
class Word:
    """A value in a stage: its name, width [bits] and sign."""

    name: str
    bits: int
    signed: bool = True

    @property
    def kind(self) -> str:
        return f"{'signed ' if self.signed else ''}[{self.bits - 1}:0] "


@dataclass
class FrameWriter:
    """Lines of a module, what steers the stage that is being written, and the walk.

    Args:
        engine: with the dense schedule.
        graph: where its constants are.
        behind: registers behind each level of its data path.
    """

    engine: ConvEngine
    graph: Graph
    behind: list[int]
    lines: list[str] = field(default_factory=list)
    control: dict[str, Word] = field(default_factory=dict)
    valid: list[str] = field(default_factory=list)
    level: int = 0

    def _new(self, bits: int, value: str, *, signed: bool = True) -> Word:
        word = Word(f"n{len(self.lines)}", bits, signed)
        self.lines.append(f"wire {word.kind}{word.name} = {value};")
        return word

    def _register(self, value: Word, when: str = "ce") -> Word:
        word = Word(f"r{len(self.lines)}", value.bits, value.signed)
        self.lines.append(
            f"reg {word.kind}{word.name}; always @(posedge clk) if ({when}) {word.name} <= {value.name};"
        )
        return word

    def _rows(self, words: list[str], bits: int, at: str, *, signed: bool = True) -> Word:
        """A table that is read in logic."""
        word = Word(f"t{len(self.lines)}", bits, signed)
        cases = " ".join(f"{i}: {word.name} = {value};" for i, value in enumerate(words))
        self.lines.append(
            f"reg {word.kind}{word.name}; always @* begin {word.name} = {bits}'bx; case ({at}) {cases} endcase end"
        )
        return word

    # The walk of psp/walk.h and the place inside an output pixel, Block of psp/conv.h.

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

    def _phase(self, name: str, stride: int, start: int, moves: str, restarts: str) -> list[str]:
        if stride == 1:
            return []
        self.lines.append(f"reg [{(stride - 1).bit_length() - 1}:0] {name};")
        self.lines.append(
            f"always @(posedge clk) if (rst | (ce & done)) {name} <= {start % stride}; else if (ce & step & {moves}) "
            f"{name} <= ({name} == {stride - 1} | {restarts}) ? 0 : {name} + 1;"
        )
        return [f"({name} == 0)"]

    def _block(self) -> None:
        engine, add = self.engine, self.lines.append
        moves, zero, end = "ce & run & writes", [], []
        for name, extent in (
            ("in", engine.in_blocks),
            ("tap", engine.tap_blocks),
            ("out", engine.out_blocks),
        ):
            if extent > 1:
                self._count(f"b_{name}", extent, moves)
                self.control[f"b_{name}"] = Word(f"b_{name}", (extent - 1).bit_length(), False)
                moves += f" & (b_{name} == {extent - 1})"
                if name != "out":
                    zero.append(f"(b_{name} == 0)")
                    end.append(f"(b_{name} == {extent - 1})")
        if engine.cycles_per_output > 1:
            self._count("word", engine.cycles_per_output, "ce & run & writes")
            add(f"assign first = word == 0, ends = word == {engine.cycles_per_output - 1};")
        else:
            add("assign first = 1'b1, ends = 1'b1;")
        add("assign step = run & (~writes | ends);")
        self.control["active"] = self._new(1, "run & writes", signed=False)
        if end:
            self.control["opens"] = self._new(1, " & ".join(zero), signed=False)
            self.control["closes"] = self._new(1, " & ".join(end), signed=False)
        if engine.cycles_per_output > 1:
            self.control["last"] = self._new(1, "ends", signed=False)

    def _count(self, name: str, extent: int, moves: str) -> None:
        bits = (extent - 1).bit_length()
        self.lines.append(
            f"reg [{bits - 1}:0] {name}; always @(posedge clk) if (rst) {name} <= 0; "
            f"else if ({moves}) {name} <= {name} == {extent - 1} ? 0 : {name} + 1;"
        )

    def _carry(self) -> None:
        """A register behind what steers the stages to come."""
        active = f"v{len(self.valid)}"
        self.lines.append(
            f"reg {active}; always @(posedge clk) if (rst) {active} <= 0; "
            f"else if (ce) {active} <= {self.control['active'].name};"
        )
        self.valid.append(active)
        self.control["active"] = Word(active, 1, False)
        for name in CARRIED:
            if name in self.control:
                self.control[name] = self._register(self.control[name])

    def _stages(self, buses: list[list[Word]]) -> list[list[Word]]:
        """The registers behind a level: values and what steers."""
        for _ in range(self.behind[self.level]):
            buses = [[self._register(word) for word in bus] for bus in buses]
            self._carry()
        self.level += 1
        return buses
