"""What the Verilog of every engine is written with: stages, what steers them, the handshake, requantization.

An engine stalls as a whole while it can neither take a token that it needs nor give one that it has, as the pipelines of HLS do; it reads
its input in its first stage and writes its output in its last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.datapath import levels_of
from psp_hw.cost.devices import Fabric
from psp_hw.cost.operators import dividend_bits
from psp_hw.cost.pipeline import DELAYS, cuts_of
from psp_hw.folding.engine import Engine
from psp_hw.ir.graph import Graph
from psp_hw.units import Clock


def registers_behind(engine: Engine, fabric: Fabric, clock: Clock) -> list[int]:
    """How many registers ``pipeline.cut`` puts behind each level of the data path."""
    levels = levels_of(engine, DELAYS[fabric])
    return list(cuts_of(tuple([level.delay for level in levels]), clock).behind)


@dataclass(frozen=True, slots=True)
class Word:
    """A value in a stage: its name, width [bits] and sign; ``negated`` says that it stands for its negative."""

    name: str
    bits: int
    signed: bool = True
    negated: bool = False

    @property
    def kind(self) -> str:
        return f"{'signed ' if self.signed else ''}[{self.bits - 1}:0] "


@dataclass
class StageWriter:
    """Lines of a module, and what steers the stage that is being written.

    Args:
        graph: where constants are.
        behind: registers behind each level of the data path.
        before: what steers the stage before, whose values are registered into this one.
    """

    graph: Graph
    behind: list[int]
    lines: list[str] = field(default_factory=list)
    control: dict[str, Word] = field(default_factory=dict)
    before: dict[str, Word] = field(default_factory=dict)
    valid: list[str] = field(default_factory=list)
    level: int = 0

    def module(self, name: str, entering: int, leaving: int) -> str:
        """The module: a token in and a token out, each with a handshake."""
        head = (
            f"module {name}(input clk, input rst, input start, input in_valid, output in_ready, "
            f"input [{entering - 1}:0] d, output out_valid, input out_ready, output [{leaving - 1}:0] q);"
        )
        return "\n".join([head, *self.lines, "endmodule\n"])

    def _new(self, bits: int, value: str, *, signed: bool = True, negated: bool = False) -> Word:
        word = Word(f"n{len(self.lines)}", bits, signed, negated)
        self.lines.append(f"wire {word.kind}{word.name} = {value};")
        return word

    def _register(self, value: Word, when: str = "ce", *, keep: bool = False) -> Word:
        word = Word(f"r{len(self.lines)}", value.bits, value.signed, value.negated)
        self.lines.append(
            f"{'(* keep *) ' if keep else ''}reg {word.kind}{word.name}; "
            f"always @(posedge clk) if ({when}) {word.name} <= {value.name};"
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

    def _memory(self, rows: list[int], bits: int, at: str, *, block: bool) -> Word:
        """A table with the register that it is read into."""
        style, word = "block" if block else "logic", Word(f"w{len(self.lines)}", bits, False)
        values = " ".join(f"{word.name}_m[{i}] = {bits}'h{row:x};" for i, row in enumerate(rows))
        self.lines.append(f"""(* rom_style = "{style}", ram_style = "{style}" *) reg [{bits - 1}:0] {word.name}_m [0:{len(rows) - 1}];
initial begin {values} end
reg [{bits - 1}:0] {word.name}; always @(posedge clk) if (ce) {word.name} <= {word.name}_m[{at}];""")
        return word

    def _count(self, name: str, extent: int, moves: str) -> Word:
        word = Word(name, (extent - 1).bit_length(), False)
        self.lines.append(
            f"reg {word.kind}{name}; always @(posedge clk) if (rst) {name} <= 0; "
            f"else if ({moves}) {name} <= {name} == {extent - 1} ? 0 : {name} + 1;"
        )
        return word

    def _carry(self) -> None:
        """A register behind what steers the stages to come."""
        self.before = dict(self.control)
        active = f"v{len(self.valid)}"
        self.lines.append(
            f"reg {active}; always @(posedge clk) if (rst) {active} <= 0; "
            f"else if (ce) {active} <= {self.control['active'].name};"
        )
        self.valid.append(active)
        for name, word in self.before.items():
            self.control[name] = Word(active, 1, False) if name == "active" else self._register(word)

    def _stages(self, buses: list[list[Word]]) -> list[list[Word]]:
        """The registers behind a level: values and what steers."""
        for _ in range(self.behind[self.level]):
            buses = [[self._register(word) for word in bus] for bus in buses]
            self._carry()
        self.level += 1
        return buses

    def _handshake(self, take: str, gives: str, token: str) -> None:
        """What stalls and what restarts: a frame begins when the one before has left."""
        pending = " | ".join(self.valid) or "1'b0"
        self.lines.append(f"""wire take = {take}, gives = {gives}, waits = take & ~in_valid, blocked = gives & ~out_ready;
assign ce = ~(waits | blocked), in_ready = take & ~blocked, out_valid = gives & ~waits, q = {token};
always @(posedge clk) if (rst) run <= 0; else if (ce & done) run <= 0; else if (start & ~run & ~({pending})) run <= 1;""")

    # psp/requantize.h: ShiftRight, ShiftLeft, Divide.

    def _requantize(self, words: list[Word], to: Requantizer | None) -> list[Word]:
        """Divide, shift, round and clip, behind the registers of these levels."""
        if to is None:
            return words
        if to.divisor > 1:
            rounded = self._divided(words, to)
        else:
            rounded = [self._rounded(word, to.shift) for word in words]
        rounded = self._stages([rounded])[0]
        return self._stages([[self._saturated(word, to) for word in rounded]])[0]

    def _rounded(self, word: Word, shift: int) -> Word:
        if shift <= 0:
            return self._new(word.bits - shift, f"{signed(word)} <<< {-shift}") if shift else word
        wide = max(word.bits, shift + 1) + 1
        exact = self._new(wide, signed(word))
        down = self._new(wide, f"{exact.name} >>> {shift}")
        some = f"(|{exact.name}[{shift - 2}:0])" if shift > 1 else "1'b0"
        up = self._new(1, f"{exact.name}[{shift - 1}] & ({some} | {down.name}[0])", signed=False)
        return self._new(wide - shift + 1, f"{down.name} + $signed({{1'b0, {up.name}}})")

    def _divided(self, words: list[Word], to: Requantizer) -> list[Word]:
        """Quotient, remainder and the bits set aside are registered; then the quotient is rounded."""
        quotients, rests, lows = [], [], []
        left, right, by = max(0, -to.shift), max(0, to.shift), to.divisor
        for word in words:
            width = word.bits + (not word.signed)
            whole = self._new(max(width + left, right) + 1, f"{signed(word)} <<< {left}")
            high = self._new(max(width + left - right, 1), f"{whole.name} >>> {right}")
            bits = dividend_bits(to, width)
            scale = bits + by.bit_length()
            offset = ((1 << (high.bits - 1)) + by - 1) // by
            raised = self._new(bits, f"{high.name} + {offset * by}", signed=False)
            reciprocal = self._new(bits + 2, str(-(-(1 << scale) // by)), signed=False)
            product = self._new(2 * bits + 2, f"{raised.name} * {reciprocal.name}", signed=False)
            floor = self._new(bits, f"{product.name} >> {scale}", signed=False)
            rests.append(self._new(by.bit_length(), f"{raised.name} - {floor.name} * {by}", signed=False))
            quotients.append(self._new(bits + 1, f"$signed({{1'b0, {floor.name}}}) - {offset}"))
            lows.append(self._new(right, f"{whole.name}[{right - 1}:0]", signed=False) if right else None)
        kept = [low for low in lows if low is not None]
        quotients, rests, kept = self._stages([quotients, rests, kept])
        found = []
        for at, (quotient, rest) in enumerate(zip(quotients, rests, strict=True)):
            past = "1'b0"  # nothing was set aside: on the lower of the two remainders about half, down
            if right:
                unit, low = 1 << (right - 1), kept[at].name
                past = f"({low} > {unit} | ({low} == {unit} & {quotient.name}[0]))"
            up = f"{rest.name} > {by // 2} | ({rest.name} == {by // 2} & {past})"
            one = self._new(1, up, signed=False)
            found.append(self._new(quotient.bits + 1, f"{quotient.name} + $signed({{1'b0, {one.name}}})"))
        return found

    def _saturated(self, word: Word, to: Requantizer) -> Word:
        bits = max(word.bits + (not word.signed), to.fmt.width + 1)
        low, high = (literal(value, bits) for value in (to.lo, to.hi))
        wide = self._new(bits, signed(word))
        value = f"{wide.name} < {low} ? {low} : {wide.name} > {high} ? {high} : {wide.name}"
        return self._new(to.fmt.width, value, signed=to.fmt.signed)


def joined(words: list[Word], bits: int) -> str:
    """Words side by side, the first in the lowest bits, so many bits of each."""
    return "{" + ", ".join(f"{word.name}[{bits - 1}:0]" for word in reversed(words)) + "}"


def signed(word: Word) -> str:
    """A word as an operand of signed arithmetic."""
    return word.name if word.signed else f"$signed({{1'b0, {word.name}}})"


def literal(value: int, bits: int) -> str:
    """A number of so many bits."""
    return f"{'-' if value < 0 else ''}{bits}'sd{abs(value)}"
