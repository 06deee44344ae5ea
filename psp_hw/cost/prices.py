"""Prices: what one operator takes on a fabric.

What is predicted is **the C synthesis report** of Vivado HLS / Vitis HLS, since that is what the constants in ``prices.json``
were measured on (``scripts/fit_prices.py``; each entry carries unit, tools and versions, samples and mean absolute error). Where
the report's own number for an operator says nothing (its multiplexers have one price whatever their width) or where no
sample exists, the price is the architecture's: UG474 and UG574 for LUTs, shift registers and multiplexers, UG473 and
UG573 for block and UltraRAM. RTL synthesis usually leaves fewer LUTs and flip-flops (docs/estimate.md).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import assert_never

from psp_hw.cost.bill import (
    Add,
    Bill,
    Compare,
    ConstantMultiply,
    ControlPort,
    Delay,
    Divide,
    Fifo,
    Gate,
    LoopControl,
    Multiply,
    Mux,
    Operator,
    Register,
    Rom,
    Select,
    StreamPort,
)
from psp_hw.cost.devices import Fabric
from psp_hw.cost.resources import Resources
from psp_hw.folding.memory import memory_for_fifo
from psp_hw.folding.plan import MemoryKind

# Widest operand of a multiplication that C synthesis leaves to LUTs, and widest narrow operand that it turns into adders:
# without exception in the 55,000 multipliers of the published reports, one repository apart that forces the implementation.
LUT_PRODUCT_BITS = 10
ADDER_PRODUCT_BITS = 4

# Operand widths of one DSP (unsigned part of the signed 25 x 18 of DSP48E1, UG479, and 27 x 18 of DSP48E2, UG579).
DSP_WIDE = {Fabric.SERIES7: 25, Fabric.ULTRASCALE: 27, Fabric.ULTRASCALE_PLUS: 27}
DSP_NARROW = 18

# Constants of more canonical signed digits than this are multiplied, not shifted and added (C synthesis; docs/estimate.md).
SHIFT_ADD_DIGITS = 2

# Words of a shift register in one SLICEM LUT (SRL32) and of a ROM or RAM (UG474, UG574).
SRL_WORDS = 32
LUTRAM_WORDS = 64

# RAMB18 as (words, bits): simple dual port and ROM may use all 36 (UG473 Table 1-6, UG573 Table 1-6).
RAMB18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
URAM_WORDS, URAM_BITS = 4096, 72

# State machine and stall logic of one pipelined loop of a dataflow process: a few states, one enable per stage, the done /
# start handshake (apdone_blk, ap_enable_reg). Counted by hand from what reports of one-loop processes list; not fitted.
LOOP_LUT, LOOP_LUT_PER_STAGE = 30, 4
LOOP_FF, LOOP_FF_PER_STAGE = 10, 2

# control_s_axi of a design without arguments: four registers of one bit and the read and write channels. Not measured.
CONTROL_LUT, CONTROL_FF = 40, 36

# AXI4-Stream register slice: two words and their valid bits (UG1037).
STREAM_FF_PER_BIT, STREAM_FF, STREAM_LUT = 2, 4, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A constant of ``prices.json``.

    Args:
        value: in ``unit``.
        tools: tools and versions of the reports it was measured on.
        samples: distinct operators behind it.
        error: mean absolute error of the fit it belongs to, in the unit of the whole operator.
        meaning: the operator.
    """

    name: str
    fabric: Fabric
    value: float
    unit: str
    tools: str
    samples: int
    error: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Prices:
    """The constants of one fabric, by name."""

    fabric: Fabric
    constants: tuple[Measured, ...]
    values: dict[str, float]

    def line(self, name: str, bits: int) -> int:
        """offset + slope * bits, at least one LUT per started bit pair."""
        return max(1, round(self.values[name] + self.values[f"{name}_per_bit"] * bits))


@cache
def prices_of(fabric: Fabric) -> Prices:
    """The prices of a fabric."""
    text = files("psp_hw.cost").joinpath("prices.json").read_text(encoding="utf-8")
    constants = tuple(
        Measured(
            name=entry["name"],
            fabric=fabric,
            value=float(entry["value"]),
            unit=entry["unit"],
            tools=entry["tools"],
            samples=int(entry["samples"]),
            error=float(entry["error"]),
            meaning=entry["meaning"],
        )
        for entry in json.loads(text)
        if entry["fabric"] == fabric.value
    )
    return Prices(fabric, constants, {constant.name: constant.value for constant in constants})


def price_bill(items: Bill, fabric: Fabric) -> Resources:
    """What a bill takes in all."""
    dsp = lut = ff = bram18 = uram = 0
    for item in items:
        one, count = price(item.operator, fabric), item.count
        dsp += one.dsp * count
        lut += one.lut * count
        ff += one.ff * count
        bram18 += one.bram18 * count
        uram += one.uram * count
    return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)


@cache
def price(operator: Operator, fabric: Fabric) -> Resources:
    """What one operator takes."""
    prices = prices_of(fabric)
    match operator:
        case Multiply(left, right):
            return _product(max(left, right), min(left, right), prices)
        case ConstantMultiply(bits, width, digits):
            return _constant_product(bits, width, digits, prices)
        case Add(bits):
            return Resources(lut=prices.line("add", bits))
        case Compare(bits):
            return Resources(lut=prices.line("compare", bits))
        case Select(bits):
            return Resources(lut=prices.line("select", bits))
        case Gate(bits):
            return Resources(lut=prices.line("gate", bits))
        case Mux(ways, bits):
            return Resources(lut=bits * math.ceil(ways / 4) if ways > 1 else 0)
        case Register(bits):
            return Resources(ff=bits)
        case Delay(words, bits, kind):
            return _delay(words, bits, kind)
        case Rom(words, bits, kind):
            return _rom(words, bits, kind, prices)
        case Fifo(depth, bits):
            return _fifo(depth, bits, prices)
        case Divide(bits):
            # A constant divisor becomes a product with its reciprocal of twice the width and a correction.
            return _product(bits + 2, bits, prices) + Resources(lut=2 * prices.line("add", bits))
        case LoopControl(stages):
            return Resources(
                lut=LOOP_LUT + LOOP_LUT_PER_STAGE * stages, ff=LOOP_FF + LOOP_FF_PER_STAGE * stages
            )
        case ControlPort():
            return Resources(lut=CONTROL_LUT, ff=CONTROL_FF)
        case StreamPort(bits):
            return Resources(lut=STREAM_LUT + bits, ff=STREAM_FF + STREAM_FF_PER_BIT * bits)
        case _:
            assert_never(operator)


def _product(wide: int, narrow: int, prices: Prices) -> Resources:
    values = prices.values
    if narrow == 1:
        return Resources(lut=prices.line("gate", wide))
    if wide <= LUT_PRODUCT_BITS:
        lut = (
            values["lut_product"]
            + values["lut_product_per_bit"] * wide
            + values["lut_product_per_bit2"] * wide**2
        )
        return Resources(lut=max(wide, round(lut)))
    if narrow <= ADDER_PRODUCT_BITS:
        return Resources(lut=(narrow - 1) * prices.line("add", wide + narrow))
    tiles = math.ceil(wide / DSP_WIDE[prices.fabric]) * math.ceil(narrow / DSP_NARROW)
    return Resources(dsp=tiles, lut=round(values["dsp_product"]) * tiles)


def _constant_product(bits: int, width: int, digits: int, prices: Prices) -> Resources:
    if digits <= 1:
        return Resources()  # zero: nothing; a power of two: wiring
    if digits <= SHIFT_ADD_DIGITS:
        return Resources(lut=(digits - 1) * prices.line("add", bits + width))
    return _product(max(bits, width), min(bits, width), prices)


def blocks18(words: int, bits: int) -> int:
    """RAMB18 of ``words`` x ``bits`` in the shape that takes the fewest."""
    return min(math.ceil(words / depth) * math.ceil(bits / width) for depth, width in RAMB18_SHAPES)


def ultra_blocks(words: int, bits: int) -> int:
    """UltraRAM blocks of ``words`` x ``bits``; their shape is fixed."""
    return math.ceil(words / URAM_WORDS) * math.ceil(bits / URAM_BITS)


def _delay(words: int, bits: int, kind: MemoryKind) -> Resources:
    pointer = 2 * max(1, (words - 1).bit_length())
    match kind:
        case MemoryKind.REGISTERS:
            if words == 1:
                return Resources(ff=bits)
            # The last word of a chain is a register: the tap reads it.
            return Resources(lut=bits * math.ceil((words - 1) / SRL_WORDS), ff=bits)
        case MemoryKind.LUTRAM:
            return Resources(lut=bits * math.ceil(words / LUTRAM_WORDS) + pointer, ff=bits + pointer)
        case MemoryKind.BRAM:
            return Resources(bram18=blocks18(words, bits), lut=2 * pointer, ff=pointer)
        case MemoryKind.URAM:
            return Resources(uram=ultra_blocks(words, bits), lut=2 * pointer, ff=pointer)
        case _:
            assert_never(kind)


def _rom(words: int, bits: int, kind: MemoryKind, prices: Prices) -> Resources:
    if words == 1:
        return Resources()
    match kind:
        case MemoryKind.REGISTERS | MemoryKind.LUTRAM:
            return Resources(lut=math.ceil(prices.values["lut_rom"] * words * bits / LUTRAM_WORDS), ff=bits)
        case MemoryKind.BRAM:
            return Resources(bram18=blocks18(words, bits))
        case MemoryKind.URAM:
            return Resources(uram=ultra_blocks(words, bits))
        case _:
            assert_never(kind)


def _fifo(depth: int, bits: int, prices: Prices) -> Resources:
    address = max(1, (depth - 1).bit_length())
    if memory_for_fifo(depth, bits) is MemoryKind.REGISTERS:
        lut = prices.line("fifo_lut", bits * math.ceil(depth / SRL_WORDS))
        return Resources(lut=lut, ff=address + 4)
    values = prices.values
    ff = round(values["block_fifo_ff"] + values["block_fifo_ff_per_bit"] * bits)
    # C synthesis counts the RAM of a FIFO at 18 bits per RAMB18, whatever its depth below 1024.
    blocks = min(math.ceil(depth / words) * math.ceil(bits / width) for words, width in RAMB18_SHAPES[1:])
    return Resources(bram18=blocks, lut=prices.line("fifo_lut", bits) + 4 * address, ff=ff)
