"""The operators of the bill as the smallest Verilog modules."""

from __future__ import annotations

import numpy as np

from benchmarks.operators.cases import Case, Cases, chosen
from benchmarks.operators.storage_cases import fifos, storage
from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.cost.bill import (
    Add,
    Compare,
    ConstantMultiply,
    Divide,
    Gate,
    Item,
    Multiply,
    MultiplyPair,
    Mux,
    Operator,
    Select,
)
from psp_hw.cost.constants import signed_digits
from psp_hw.cost.operators import counter, requantizers, times, tree
from psp_hw.folding.plan import MultiplierKind

LUT, DSP = MultiplierKind.LUT, MultiplierKind.DSP


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
        lines, value = chosen([f"d[{i * bits} +: {bits}]" for i in range(ways)], "s", bits, "w")
        body = "\n".join([*lines, f"assign y = {value};"])
        cases.add("multiplexer", f"{ways} ways, {bits} bits", Mux(ways, bits), ports, body)


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
