"""The operators of the bill as the smallest Verilog modules (benchmarks/operators.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mapping import Module

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import (
    Add,
    Bill,
    Compare,
    ConstantMultiply,
    Delay,
    Divide,
    Fifo,
    Gate,
    Item,
    Multiply,
    MultiplyPair,
    Mux,
    Operator,
    Register,
    Rom,
    Select,
    StreamPort,
    bill,
)
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import signed_digits
from psp_hw.cost.operators import counter, requantizers, times, tree
from psp_hw.cost.pricing import price_bill
from psp_hw.cost.resources import Resources
from psp_hw.folding.plan import MemoryKind, MultiplierKind

LUT, DSP = MultiplierKind.LUT, MultiplierKind.DSP
SRL, LUTRAM, BRAM = MemoryKind.REGISTERS, MemoryKind.LUTRAM, MemoryKind.BRAM
FABRICS = {"xc7": Fabric.SERIES7, "xcup": Fabric.ULTRASCALE_PLUS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An operator, or a few that belong together, and the Verilog of it.

    Args:
        group: what medians are taken over.
        text: what is particular about this one.
        bill: what is priced.
        module: what is mapped.
    """

    group: str
    text: str
    bill: Bill
    module: Module

    @property
    def price(self) -> Resources:
        """What we say is left after RTL synthesis."""
        return price_bill(self.bill, FABRICS[self.module.family])


@dataclass
class Cases:
    """Cases in order, with names of their own."""

    found: list[Case] = field(default_factory=list)

    def add(
        self,
        group: str,
        text: str,
        items: Operator | list[Item | Operator],
        ports: str,
        body: str,
        *,
        dsp: bool = False,
    ) -> None:
        name = f"m{len(self.found)}"
        verilog = f"module {name}({ports});\n{body}\nendmodule\n"
        parts = items if isinstance(items, list) else [items]
        module = Module(name=name, verilog=verilog, dsp=dsp)
        self.found.append(Case(group=group, text=text, bill=bill(parts), module=module))


def all_cases() -> list[Case]:
    """Operators by the widths and sizes that engines have."""
    cases = Cases()
    for part in (products, constants, sums, choices, storage, fifos, outputs):
        part(cases)
    return cases.found


def products(cases: Cases) -> None:
    """Products of two variables, in LUTs and in DSPs; two products in a DSP."""
    widths = (
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 5),
        (6, 6),
        (8, 2),
        (8, 3),
        (8, 4),
        (8, 8),
        (9, 8),
        (10, 10),
        (16, 8),
    )
    for left, right in widths:
        ports, body = _product(left, right)
        cases.add("product in LUTs", f"{left} x {right}", Multiply(left, right, LUT), ports, body)
    for left, right in ((8, 8), (16, 16), (18, 25), (18, 27), (24, 24), (32, 18)):
        ports, body = _product(left, right)
        cases.add("product in DSPs", f"{left} x {right}", Multiply(left, right, DSP), ports, body, dsp=True)
    for shared, apart in ((4, 4), (8, 8), (9, 8)):
        lane = shared + apart
        ports, body = _pair(shared, apart, lane)
        what = f"{shared} bits with two of {apart}"
        cases.add("two products in a DSP", what, MultiplyPair(shared, apart, lane), ports, body, dsp=True)


def _product(left: int, right: int) -> tuple[str, str]:
    ports = f"input signed [{left - 1}:0] a, input signed [{right - 1}:0] b, output signed [{left + right - 1}:0] y"
    return ports, "assign y = a * b;"


def _pair(shared: int, apart: int, lane: int) -> tuple[str, str]:
    packed, all_bits = lane + apart + 1, lane + apart + 1 + shared
    ports = (
        f"input signed [{shared - 1}:0] x, input signed [{apart - 1}:0] v, input signed [{apart - 1}:0] w, "
        f"output signed [{lane - 1}:0] low, output signed [{lane - 1}:0] high"
    )
    body = f"""wire signed [{packed - 1}:0] both = (v <<< {lane}) + w;
wire signed [{all_bits - 1}:0] p = both * x;
assign low = p[{lane - 1}:0];
assign high = p[{all_bits - 1}:{lane}] + p[{lane - 1}];"""
    return ports, body


def constants(cases: Cases) -> None:
    """Products with constants, as shifts and sums of their canonical signed digits, the form that is priced."""
    for bits in (4, 8):
        for value in (0, 1, 64, 3, 5, 96, 65, 11, 37, 91, 85, 75, -7, -91):
            magnitude = abs(value)
            digits = int(signed_digits(np.array([magnitude]))[0])
            operator = ConstantMultiply(bits, magnitude.bit_length(), digits)
            ports = f"input signed [{bits - 1}:0] x, output signed [{bits + magnitude.bit_length()}:0] y"
            group = f"product with a constant of {min(digits, 3)}{'+' if digits > 2 else ''} digits"
            cases.add(group, f"{bits} bits x {value}", operator, ports, f"assign y = {shifted(value)};")


def shifted(value: int, x: str = "x") -> str:
    """x * value as a sum of shifted x, one for each canonical signed digit."""
    terms, place, rest = [], 0, value
    while rest:
        if rest & 1:
            digit = 2 - (rest & 3)
            rest -= digit
            terms.append((digit, place))
        rest >>= 1
        place += 1
    terms.sort(key=lambda term: -term[0])  # what is added first: no lone negation
    text = "".join(f" {'+' if digit > 0 else '-'} ({x} <<< {place})" for digit, place in terms)
    return text.removeprefix(" + ") or "0"


def sums(cases: Cases) -> None:
    """Adders and trees of them."""
    for bits in (4, 8, 16, 32):
        ports = (
            f"input signed [{bits - 2}:0] a, input signed [{bits - 2}:0] b, output signed [{bits - 1}:0] y"
        )
        cases.add("adder", f"{bits} bits", Add(bits), ports, "assign y = a + b;")
        cases.add("subtractor", f"{bits} bits", Add(bits), ports, "assign y = a - b;")
    for inputs, bits in ((3, 16), (4, 8), (8, 16), (9, 16), (16, 16), (27, 12)):
        most = bits + (inputs - 1).bit_length()
        ports = f"input [{inputs * bits - 1}:0] d, output signed [{most - 1}:0] y"
        items: list[Item | Operator] = list(times(tree(inputs, bits, most), 1))
        cases.add("adder tree", f"{inputs} of {bits} bits", items, ports, _tree(inputs, bits))
    for extent in (9, 32, 100, 1000):
        bits = (extent - 1).bit_length()
        ports = f"input clk, input ce, output reg [{bits - 1}:0] n, output last"
        body = f"assign last = n == {extent - 1};\nalways @(posedge clk) if (ce) n <= last ? 0 : n + 1;"
        cases.add("counter", f"0 .. {extent - 1}", list(counter(extent)), ports, body)


def _tree(inputs: int, bits: int) -> str:
    lines = [f"wire signed [{bits - 1}:0] s0_{i} = d[{i * bits} +: {bits}];" for i in range(inputs)]
    level, names = 0, [f"s0_{i}" for i in range(inputs)]
    while len(names) > 1:
        level, bits = level + 1, bits + 1
        following = []
        for pair in range(0, len(names), 2):
            name = f"s{level}_{pair // 2}"
            lines.append(f"wire signed [{bits - 1}:0] {name} = {' + '.join(names[pair : pair + 2])};")
            following.append(name)
        names = following
    return "\n".join([*lines, f"assign y = {names[0]};"])


def choices(cases: Cases) -> None:
    """Comparisons, multiplexers, gates."""
    for bits in (4, 8, 12, 16, 24):
        ports = f"input signed [{bits - 1}:0] a, input signed [{bits - 1}:0] b, output y"
        cases.add("comparison of two variables", f"{bits} bits", Compare(bits), ports, "assign y = a < b;")
        ports, limit = f"input signed [{bits - 1}:0] a, output y", (1 << (bits - 1)) * 5 // 7
        cases.add(
            "comparison with a constant", f"{bits} bits", Compare(bits), ports, f"assign y = a < {limit};"
        )
    for bits in (1, 8, 16, 32):
        wide = f"[{bits - 1}:0]"
        ports = f"input s, input {wide} a, input {wide} b, output {wide} y"
        cases.add("2:1 multiplexer", f"{bits} bits", Select(bits), ports, "assign y = s ? a : b;")
        ports = f"input s, input {wide} a, output {wide} y"
        cases.add("gate", f"{bits} bits", Gate(bits), ports, f"assign y = a & {{{bits}{{s}}}};")
    for ways, bits in (
        (2, 8),
        (3, 8),
        (4, 8),
        (6, 8),
        (8, 8),
        (9, 8),
        (16, 8),
        (16, 32),
        (24, 8),
        (36, 8),
        (64, 8),
    ):
        select = (ways - 1).bit_length()
        ports = f"input [{select - 1}:0] s, input [{ways * bits - 1}:0] d, output [{bits - 1}:0] y"
        words = "\n".join(f"    {i}: w = d[{i * bits} +: {bits}];" for i in range(ways))
        body = f"reg [{bits - 1}:0] w;\nassign y = w;\nalways @* begin\n  w = {bits}'bx;\n  case (s)\n{words}\n  endcase\nend"
        cases.add("multiplexer", f"{ways} ways, {bits} bits", Mux(ways, bits), ports, body)


def storage(cases: Cases) -> None:
    """Registers, delays and ROMs."""
    ports = "input clk, input ce, input [31:0] d, output reg [31:0] q"
    cases.add("register", "32 bits", Register(32), ports, "always @(posedge clk) if (ce) q <= d;")
    for words, bits in (
        (2, 8),
        (3, 8),
        (8, 8),
        (17, 8),
        (18, 8),
        (33, 8),
        (34, 8),
        (64, 8),
        (30, 128),
        (100, 16),
    ):
        ports, body = _shift_register(words, bits)
        cases.add("delay in shift registers", f"{words} x {bits}", Delay(words, bits, SRL), ports, body)
    for kind, sizes in (
        (LUTRAM, ((18, 8), (33, 8), (34, 8), (65, 8), (65, 48))),
        (BRAM, ((101, 32), (225, 128), (600, 36), (1000, 16), (2000, 36), (5000, 8))),
    ):
        for words, bits in sizes:
            ports, body = _ring(words, bits, kind)
            group = f"delay in {'block' if kind is BRAM else 'distributed'} RAM"
            cases.add(group, f"{words} x {bits}", Delay(words, bits, kind), ports, body)
    rng = np.random.default_rng(1)
    for kind, sizes in (
        (LUTRAM, ((4, 32), (16, 16), (36, 16), (64, 16), (72, 16), (128, 16), (256, 8))),
        (BRAM, ((512, 36), (144, 72), (1000, 18), (3000, 9), (4096, 8), (9000, 4), (600, 40))),
    ):
        for words, bits in sizes:
            ports, body = _rom(words, bits, kind, rng)
            group = f"ROM in {'block RAM' if kind is BRAM else 'LUTs'}"
            cases.add(group, f"{words} x {bits}", Rom(words, bits, kind), ports, body)


def _shift_register(words: int, bits: int) -> tuple[str, str]:
    """The last word is a register that is read: the reset keeps it from becoming a part of the shift register."""
    ports = f"input clk, input ce, input rst, input [{bits - 1}:0] d, output reg [{bits - 1}:0] q"
    body = f"""reg [{bits - 1}:0] m[0:{words - 2}];
integer i;
always @(posedge clk) if (ce) begin
  m[0] <= d;
  for (i = 1; i < {words - 1}; i = i + 1) m[i] <= m[i - 1];
end
always @(posedge clk) if (rst) q <= 0; else if (ce) q <= m[{words - 2}];"""
    return ports, body


def _ring(words: int, bits: int, kind: MemoryKind) -> tuple[str, str]:
    """A ring of ``words - 1`` rows: a row is read, and written a stage later, so through a port of its own (psp/delay.h)."""
    rows = words - 1
    pointer = max(1, (rows - 1).bit_length())
    style = "block" if kind is BRAM else "distributed"
    ports = f"input clk, input ce, input rst, input [{bits - 1}:0] d, output reg [{bits - 1}:0] q"
    body = f"""(* ram_style = "{style}" *) reg [{bits - 1}:0] m[0:{rows - 1}];
reg [{pointer - 1}:0] at, before;
reg [{bits - 1}:0] row;
always @(posedge clk) if (ce) begin
  row <= m[at];
  m[before] <= d;
  before <= at;
  at <= at == {rows - 1} ? 0 : at + 1;
end
always @(posedge clk) if (rst) q <= 0; else if (ce) q <= row;"""
    return ports, body


def _rom(words: int, bits: int, kind: MemoryKind, rng: np.random.Generator) -> tuple[str, str]:
    """Constants as uniform as those of a network are not: the worst case for what a mapper may simplify."""
    address = (words - 1).bit_length()
    style = "block" if kind is BRAM else "logic"
    ports = f"input clk, input ce, input [{address - 1}:0] a, output reg [{bits - 1}:0] q"
    digits = [f"{bits}'h{int.from_bytes(rng.bytes((bits + 7) // 8)) >> (-bits % 8):x}" for _ in range(words)]
    values = " ".join(f"m[{i}] = {digit};" for i, digit in enumerate(digits))
    body = f"""(* rom_style = "{style}", ram_style = "{style}" *) reg [{bits - 1}:0] m[0:{words - 1}];
initial begin {values} end
always @(posedge clk) if (ce) q <= m[a];"""
    return ports, body


def fifos(cases: Cases) -> None:
    """FIFOs as HLS makes them, and the slice of an AXI4-Stream."""
    for depth, bits in ((2, 8), (2, 128), (16, 64), (32, 64), (64, 64), (128, 16)):
        ports, body = _shift_fifo(depth, bits)
        cases.add("FIFO in shift registers", f"{depth} x {bits}", Fifo(depth, bits, SRL), ports, body)
    for depth, bits in ((512, 36), (1024, 18), (300, 64), (2048, 8)):
        ports, body = _block_fifo(depth, bits)
        cases.add("FIFO in block RAM", f"{depth} x {bits}", Fifo(depth, bits, BRAM), ports, body)
    for bits in (8, 32, 128):
        ports, body = _slice(bits)
        cases.add("AXI4-Stream register slice", f"{bits} bits", StreamPort(bits), ports, body)


_HANDSHAKE = "input clk, input rst, input write, output full_n, input read, output empty_n"


def _shift_fifo(depth: int, bits: int) -> tuple[str, str]:
    """A shift register with a readable tap, and where the oldest word stands in it."""
    address = max(1, (depth - 1).bit_length())
    ports = f"{_HANDSHAKE}, input [{bits - 1}:0] d, output [{bits - 1}:0] q"
    body = f"""reg [{address}:0] at;
reg full, some;
wire in = write & ~full, out = read & some;
assign full_n = ~full, empty_n = some;
genvar b;
generate for (b = 0; b < {bits}; b = b + 1) begin
  reg [{depth - 1}:0] m;
  always @(posedge clk) if (in) m <= {{m[{depth - 2}:0], d[b]}};
  assign q[b] = m[at[{address - 1}:0]];
end endgenerate
always @(posedge clk) if (rst) begin at <= ~0; full <= 0; some <= 0; end
else if (in & ~out) begin at <= at + 1; some <= 1; full <= at == {depth - 2}; end
else if (out & ~in) begin at <= at - 1; full <= 0; some <= at != 0; end"""
    return ports, body


def _block_fifo(depth: int, bits: int) -> tuple[str, str]:
    """A word that is written into the empty FIFO shows at once: it goes around the memory (show-ahead)."""
    address = (depth - 1).bit_length()
    ports = f"{_HANDSHAKE}, input [{bits - 1}:0] d, output reg [{bits - 1}:0] q"
    body = f"""(* ram_style = "block" *) reg [{bits - 1}:0] m[0:{depth - 1}];
reg [{address - 1}:0] w, r;
reg [{address}:0] used;
reg [{bits - 1}:0] memory, around;
reg full, some, shown, ahead;
wire in = write & ~full, out = some & (~shown | read);
wire [{address - 1}:0] following = out ? (r == {depth - 1} ? 0 : r + 1) : r;
assign full_n = ~full, empty_n = shown;
always @(posedge clk) begin if (in) m[w] <= d; memory <= m[following]; end
always @(posedge clk) if (rst) begin
  w <= 0; r <= 0; used <= 0; full <= 0; some <= 0; shown <= 0; ahead <= 0;
end else begin
  if (in) w <= w == {depth - 1} ? 0 : w + 1;
  r <= following;
  around <= d;
  ahead <= in & (used == {{{address}'d0, out}});
  if (in & ~out) begin used <= used + 1; full <= used == {depth - 1}; some <= 1; end
  if (out & ~in) begin used <= used - 1; full <= 0; some <= used != 1; end
  if (out) shown <= 1; else if (read) shown <= 0;
end
always @(posedge clk) if (out) q <= ahead ? around : memory;"""
    return ports, body


def _slice(bits: int) -> tuple[str, str]:
    wide = f"[{bits - 1}:0]"
    ports = f"input clk, input rst, input valid, output reg ready, input {wide} d, output reg vout, input rout, output reg {wide} q"
    body = f"""reg {wide} spare;
always @(posedge clk) begin
  if (ready) spare <= d;
  if (~vout | rout) q <= ready ? d : spare;
  if (rst) begin ready <= 1; vout <= 0; end
  else begin
    if (~vout | rout) begin vout <= valid | ~ready; ready <= 1; end
    else if (valid & ready) ready <= 0;
  end
end"""
    return ports, body


def outputs(cases: Cases) -> None:
    """What makes an output of an accumulator: shift, round half to even, saturate; a mean of nine pixels."""
    for bits, shift, width, signed in (
        (16, 6, 8, False),
        (20, 8, 8, False),
        (20, 8, 8, True),
        (24, 12, 4, False),
        (32, 10, 16, True),
    ):
        to, exact = _requantizer(bits, shift, width, signed=signed)
        ports, body = _requantize(bits, to)
        text = f"{bits} bits >> {shift} to {'s' if signed else 'u'}{width}"
        cases.add("requantizer", text, list(requantizers(to, exact, (), 1)), ports, body)
    for bits in (10, 14):
        ports = f"input [{bits - 1}:0] x, output [{bits - 1}:0] y"
        cases.add(
            "division by a constant", f"{bits} bits / 9", Divide(bits), ports, _divide(bits, 9), dsp=True
        )


def _requantizer(bits: int, shift: int, width: int, *, signed: bool) -> tuple[Requantizer, FixedPoint]:
    fmt = FixedPoint(width=width, signed=signed, frac=0)
    return Requantizer(shift=shift, lo=fmt.min, hi=fmt.max, fmt=fmt), FixedPoint(
        width=bits, signed=True, frac=shift
    )


def _requantize(bits: int, to: Requantizer) -> tuple[str, str]:
    """After psp/requantize.h, ShiftRight."""
    wide, shift = bits + 1, to.shift
    ports = f"input signed [{bits - 1}:0] x, output [{to.fmt.width - 1}:0] y"
    half = 1 << (shift - 1)
    body = f"""wire signed [{wide - 1}:0] down = x >>> {shift};
wire up = x[{shift - 1}:0] > {half} | (x[{shift - 1}:0] == {half} & down[0]);
wire signed [{wide - 1}:0] near = down + $signed({{1'b0, up}});
assign y = near < {to.lo} ? {to.lo} : near > {to.hi} ? {to.hi} : near;"""
    return ports, body


def _divide(bits: int, by: int) -> str:
    """A product with the reciprocal (psp/requantize.h, Divide)."""
    scale = bits + by.bit_length()
    reciprocal = -(-(1 << scale) // by)
    return f"""wire [{2 * bits + 6}:0] p = x * {reciprocal};
wire [{bits - 1}:0] down = p >> {scale};
wire [{by.bit_length()}:0] rest = x - down * {by};
assign y = down + ((rest << 1) > {by} | ((rest << 1) == {by} & down[0]));"""
