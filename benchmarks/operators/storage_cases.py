"""Delays, ROMs, FIFOs and stream slices as the smallest Verilog modules."""

from __future__ import annotations

import numpy as np

from benchmarks.operators.cases import Cases
from psp_hw.cost.bill import Delay, Fifo, Register, Rom, StreamPort
from psp_hw.folding.plan import MemoryKind

SRL, LUTRAM, BRAM = MemoryKind.REGISTERS, MemoryKind.LUTRAM, MemoryKind.BRAM


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
