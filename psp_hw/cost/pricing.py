"""What a bill of operators takes: every operator at its price."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import assert_never

from psp_hw.cost.bill import (
    AbsorbedRegister,
    Add,
    Bill,
    Compare,
    ConstantMultiply,
    ControlPort,
    Delay,
    Divide,
    Fifo,
    Gate,
    Item,
    LoopControl,
    Multiply,
    MultiplyPair,
    Mux,
    Operator,
    Register,
    Rom,
    Saturate,
    Select,
    StreamPort,
)
from psp_hw.cost.devices import Fabric
from psp_hw.cost.memories import delay, fifo, mux_luts, rom
from psp_hw.cost.prices import Prices, Stage, half, prices_of
from psp_hw.cost.resources import Resources
from psp_hw.folding.plan import MultiplierKind

# Widest operand of a multiplication that C synthesis leaves to LUTs, and widest narrow operand that it turns into adders:
# without exception in the 54,227 multipliers of the published reports, one project apart that forces the implementation.
LUT_PRODUCT_BITS = 10
ADDER_PRODUCT_BITS = 4

# Operand widths of one DSP: 25 x 18 signed of the DSP48E1 (UG479), 27 x 18 of the DSP48E2 (UG579).
DSP_WIDE = {Fabric.SERIES7: 25, Fabric.ULTRASCALE: 27, Fabric.ULTRASCALE_PLUS: 27}
DSP_NARROW = 18

# Inputs of two functions that share a LUT6 (UG474, "O5 and O6").
SHARED_INPUTS = 5

# A constant of more canonical signed digits than this stays a multiplier in the C synthesis report.
SHIFT_ADD_DIGITS = 2

# State machine and stall logic of one pipelined loop of a dataflow process: a few states, one enable per stage, the done /
# start handshake. Counted by hand from what reports of one-loop processes list; not fitted. RTL synthesis merges about half.
LOOP_LUT, LOOP_LUT_PER_STAGE = 30, 4
LOOP_FF, LOOP_FF_PER_STAGE = 10, 2

# AXI4-Lite port of a design without arguments: four registers of one bit, the read and the write channel. Not measured.
CONTROL_LUT, CONTROL_FF = 40, 36

# Bits that a LUT of a comparison takes: two of each of two variables, for the carry chain (UG474, "Carry logic"); of one variable
# with a constant five, whether they are less and whether they are equal, and a LUT for every few of those.
VARIABLE_COMPARE_BITS, CONSTANT_COMPARE_BITS = 2, 4
# Bits of an accumulator, all of which must be equal, that a LUT looks at together with what the LUT before found.
SATURATE_BITS = 5

# AXI4-Stream register slice: two words, one of which is chosen, and their valid bits (reports/operators).
STREAM_FF_PER_BIT, STREAM_FF, STREAM_LUT = 2, 4, 8


def price_bill(items: Bill, fabric: Fabric, stage: Stage = Stage.RTL_SYNTHESIS) -> Resources:
    """What a bill takes in all."""
    return price_parts(items, fabric, stage)


def price_parts(
    parts: Iterable[Item | Operator], fabric: Fabric, stage: Stage = Stage.RTL_SYNTHESIS
) -> Resources:
    """What operators take in all, counted or single, in any order."""
    known = _known(fabric, stage)
    dsp = lut = ff = bram18 = uram = 0
    for part in parts:
        operator, count = (part.operator, part.count) if isinstance(part, Item) else (part, 1)
        one = known.get(operator)
        if one is None:
            one = known[operator] = price(operator, fabric, stage)
        dsp += one.dsp * count
        lut += one.lut * count
        ff += one.ff * count
        bram18 += one.bram18 * count
        uram += one.uram * count
    return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)


@cache
def _known(fabric: Fabric, stage: Stage) -> dict[Operator, Resources]:
    """Prices by operator alone, which are quicker to find."""
    return {}


@cache
def price(operator: Operator, fabric: Fabric, stage: Stage = Stage.RTL_SYNTHESIS) -> Resources:
    """What one operator takes."""
    prices = prices_of(fabric)
    rtl = stage is Stage.RTL_SYNTHESIS
    match operator:
        case Multiply(left, right, kind):
            return _product(max(left, right), min(left, right), prices, rtl=rtl, kind=kind)
        case MultiplyPair():
            return _pair(operator, prices, rtl=rtl)
        case ConstantMultiply(bits, width, digits):
            return _constant_product(bits, width, digits, prices, rtl=rtl)
        case Add(bits):
            return Resources(lut=bits if rtl else prices.line("add", bits))
        case Compare(bits, constant):
            rate = CONSTANT_COMPARE_BITS if constant else VARIABLE_COMPARE_BITS
            return Resources(lut=math.ceil(bits / rate) if rtl else prices.line("compare", bits))
        case Saturate():
            return _saturation(operator, prices, rtl=rtl)
        case Select(bits):
            return Resources(lut=half(bits) if rtl else prices.line("select", bits))
        case Gate(bits):
            return Resources(lut=half(bits) if rtl else prices.line("gate", bits))
        case Mux(ways, bits):
            return Resources(
                lut=mux_luts(ways, bits) if rtl else bits * math.ceil(ways / 4) if ways > 1 else 0
            )
        case Register(bits):
            return Resources(ff=bits)
        case AbsorbedRegister(bits):
            return Resources(ff=0 if rtl else bits)
        case Delay(words, bits, kind):
            return delay(words, bits, kind, rtl=rtl)
        case Rom(words, bits, kind):
            return rom(words, bits, kind, prices, rtl=rtl)
        case Fifo(depth, bits, kind):
            return fifo(depth, bits, prices, rtl=rtl, kind=kind)
        case Divide(bits):
            # A constant divisor becomes a product with its reciprocal of twice the width, and a correction.
            correction = 2 * price(Add(bits), fabric, stage).lut
            return _product(bits + 2, bits, prices, rtl=rtl) + Resources(lut=correction)
        case LoopControl(stages):
            lut = LOOP_LUT + LOOP_LUT_PER_STAGE * stages
            return Resources(lut=half(lut) if rtl else lut, ff=LOOP_FF + LOOP_FF_PER_STAGE * stages)
        case ControlPort():
            return Resources(lut=CONTROL_LUT, ff=CONTROL_FF)
        case StreamPort(bits):
            return Resources(lut=STREAM_LUT + half(bits), ff=STREAM_FF + STREAM_FF_PER_BIT * bits)
        case _:
            assert_never(operator)


def uses_dsp(left: int, right: int, kind: MultiplierKind = MultiplierKind.TOOL) -> bool:
    """Whether a product of two variables of these widths [bits] goes to DSPs."""
    match kind:
        case MultiplierKind.TOOL:
            return max(left, right) > LUT_PRODUCT_BITS and min(left, right) > ADDER_PRODUCT_BITS
        case MultiplierKind.LUT:
            return False
        case MultiplierKind.DSP | MultiplierKind.DSP_PAIR:
            return True
        case _:
            assert_never(kind)


def fits_dsp(wide: int, narrow: int, fabric: Fabric) -> bool:
    """Whether one DSP multiplies operands of these widths [bits], signs included."""
    return wide <= DSP_WIDE[fabric] and narrow <= DSP_NARROW


def dsp_tiles(wide: int, narrow: int, fabric: Fabric) -> int:
    """DSPs of one product of operands of these widths [bits], signs included."""
    return math.ceil(wide / DSP_WIDE[fabric]) * math.ceil(narrow / DSP_NARROW)


def packed_bits(pair: MultiplyPair) -> int:
    """Width of the two operands that share a multiplier, side by side [bits]: the upper may borrow from above the lower."""
    return pair.lane + pair.apart + 1


def _saturation(operator: Saturate, prices: Prices, *, rtl: bool) -> Resources:
    """C synthesis lists comparisons and selections; RTL synthesis looks at the bits above, and a LUT clips two bits."""
    bits, width, sides = operator.bits, operator.width, operator.sides
    if rtl:
        return Resources(lut=sides * math.ceil(max(1, bits - width) / SATURATE_BITS) + half(width))
    return Resources(lut=sides * prices.line("compare", bits) + 2 * prices.line("select", width))


def _pair(pair: MultiplyPair, prices: Prices, *, rtl: bool) -> Resources:
    """A DSP; before it the sum that puts two operands side by side, after it the borrow of the lower product undone.

    The first sum changes the upper ``apart + 1`` bits only, the second gives ``lane`` bits.
    """
    packed = packed_bits(pair)
    tiles = dsp_tiles(max(packed, pair.shared), min(packed, pair.shared), prices.fabric)
    if rtl:
        return Resources(dsp=tiles, lut=pair.apart + 1 + pair.lane)
    sums = prices.line("add", packed) + prices.line("add", packed + pair.shared)
    return Resources(dsp=tiles, lut=sums + round(prices.values["dsp_product"]) * tiles)


def _product(
    wide: int, narrow: int, prices: Prices, *, rtl: bool, kind: MultiplierKind = MultiplierKind.TOOL
) -> Resources:
    if narrow == 1 and kind is not MultiplierKind.DSP:
        return Resources(lut=half(wide) if rtl else prices.line("gate", wide))
    if uses_dsp(wide, narrow, kind):
        tiles = dsp_tiles(wide, narrow, prices.fabric)
        return Resources(dsp=tiles, lut=0 if rtl else round(prices.values["dsp_product"]) * tiles)
    if rtl:
        return Resources(lut=_array_product(wide, narrow))
    if wide <= LUT_PRODUCT_BITS:
        return Resources(lut=prices.curve("lut_product", wide))
    return Resources(lut=(narrow - 1) * prices.line("add", wide + narrow))


def _array_product(wide: int, narrow: int) -> int:
    """LUTs of a multiplier: a carry chain per two rows of partial products, then a tree of adders.

    Each bit of a product of few bits is a function of them all: of five it takes half a LUT6, of six a whole one.
    """
    inputs = wide + narrow
    if inputs <= SHARED_INPUTS + 1:
        return half(inputs) if inputs <= SHARED_INPUTS else inputs
    rows, bits, lut = math.ceil(narrow / 2), wide + 2, 0
    lut += rows * bits
    while rows > 1:
        bits += 2
        lut += rows // 2 * bits
        rows = math.ceil(rows / 2)
    return lut


def _constant_product(bits: int, width: int, digits: int, prices: Prices, *, rtl: bool) -> Resources:
    if digits <= 1:
        return Resources()  # zero: nothing; a power of two: wiring
    if rtl:
        # What a shift leaves below the other operand passes by the adder.
        return Resources(lut=(digits - 1) * (bits + 1))
    if digits <= SHIFT_ADD_DIGITS:
        return Resources(lut=(digits - 1) * prices.line("add", bits + width))
    return _product(max(bits, width), min(bits, width), prices, rtl=False)
