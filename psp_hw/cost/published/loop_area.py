"""What a nest of loops takes: its operators shared among the turns of a pipeline, its tables, counters and states.

Nothing here is fitted. Floating-point operators are shared as far as the interval allows, since they are dear; products of fixed
point are not. Constants that a turn knows (every loop that chooses among them is unrolled) are priced by their digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.cost.bill import Add, Compare, Multiply, Rom
from psp_hw.cost.memories import RAMB18_SHAPES, SRL_PAIR_WORDS, shift_luts
from psp_hw.cost.prices import Stage
from psp_hw.cost.pricing import price, uses_dsp
from psp_hw.cost.published.area import state_mux
from psp_hw.cost.published.layers import Tool
from psp_hw.cost.published.loops import (
    ADD_STAGES,
    PORTS,
    Body,
    Timing,
    body_of_nest,
    groups_of,
    stages,
    timing_of_nest,
)
from psp_hw.cost.published.nests import FLOAT_BITS, Arithmetic, Nest
from psp_hw.cost.published.products import spread_of
from psp_hw.cost.resources import Resources
from psp_hw.folding.plan import MemoryKind

LUT_ADDRESS_BITS = 12  # of an address that LUTs compute; a wider one is a product in a DSP
LUTRAM_BITS = 1024  # a table of more bits is block RAM
MOST_DIVIDED_WORDS = 4096  # a larger table is copied for more ports, not divided


@dataclass(frozen=True, slots=True)
class Core:
    """A floating-point operator: what it takes; LUTs as Vivado HLS and as Vitis HLS list them."""

    dsp: int
    ff: int
    vivado: int
    vitis: int


# As listed in public reports: full_dsp adder, max_dsp multiplier, comparator.
ADDER = Core(dsp=2, ff=227, vivado=390, vitis=214)
MULTIPLIER = Core(dsp=3, ff=128, vivado=321, vitis=135)
COMPARATOR = Core(dsp=0, ff=66, vivado=239, vitis=0)

# Most words that a floating-point product and its sum keep in registers: two operands, the product, the sum; products that wait
# longer move to shift registers.
FLOAT_WORDS, OPERANDS = 4, 2
CORE_CYCLES = 6  # of a product and a sum
WAITING_TURNS = 2.0  # from here on, shift registers

COUNTER_BITS = 2  # of the state machine per loop, beside the counter itself


def area_of_nest(nest: Nest) -> Resources:
    """DSP, LUT, FF and BRAM18 as C synthesis reports them."""
    body, timing = body_of_nest(nest), timing_of_nest(nest)
    adders, multipliers = _shared(nest, body, timing)
    dsp = _addresses(nest, body)
    lut = float(_control_luts(nest, body) + _memory_luts(nest, body, timing))
    ff = float(_control_registers(nest, body))
    if nest.arithmetic is Arithmetic.FLOAT:
        cores = ((ADDER, adders), (MULTIPLIER, multipliers), (COMPARATOR, 1))
        dsp += sum(core.dsp * count for core, count in cores)
        lut += sum(
            (core.vivado if nest.tool is Tool.VIVADO_HLS else core.vitis) * count for core, count in cores
        )
        ff += sum(core.ff * count for core, count in cores)
        lut += 2 * (
            adders * state_mux(body.sums / adders) + multipliers * state_mux(body.products / multipliers)
        )
        turns = _waiting(nest, body, timing)
        ff += _float_words(body, turns) * nest.bits
        if body.outputs and turns >= WAITING_TURNS:
            lut += shift_luts(max(SRL_PAIR_WORDS + 1, math.ceil(turns)), nest.bits) * body.products
    else:
        products = _fixed_products(nest, body)
        dsp += products.dsp
        sums = body.outputs + (0 if products.dsp else body.products)  # a DSP adds what it multiplies
        lut += products.lut + sums * price(Add(nest.bits), nest.fabric, Stage.C_SYNTHESIS).lut
        ff += _fixed_words(nest, body, timing) * nest.bits
        ff += _table_addresses(nest, body) * _address_bits(nest)
    rest = Resources(dsp=dsp, lut=round(lut), ff=round(ff))
    return rest + _tables(nest, body, timing)


def _shared(nest: Nest, body: Body, timing: Timing) -> tuple[int, int]:
    """Adders and multipliers of floating point: as many as start in the cycles between turns."""
    cycles = timing.interval if nest.pipelined is not None else timing.depth
    return math.ceil(body.sums / cycles), math.ceil(body.products / cycles)


def _waiting(nest: Nest, body: Body, timing: Timing) -> float:
    """Turns for which a product is kept: half of them come before the chain of sums is half done."""
    loading = math.ceil(body.reads / PORTS)
    chain = stages(nest, ADD_STAGES) * body.chain
    return (CORE_CYCLES + max(0.0, (chain - loading) / 2)) / timing.interval


def _float_words(body: Body, turns: float) -> float:
    """Words in registers: of products that wait for their sum; of a body that only adds up, operands, for one of them all."""
    if body.outputs:
        return min(float(FLOAT_WORDS), max(1.0, turns)) * body.products
    return FLOAT_WORDS + OPERANDS * (body.products - 1)


def _fixed_words(nest: Nest, body: Body, timing: Timing) -> int:
    """Words in registers: a product and its sum are done in the cycle that reads one operand; at every cycle, behind both."""
    return body.products * (OPERANDS if nest.pipelined is not None and timing.interval == 1 else 1)


def _fixed_products(nest: Nest, body: Body) -> Resources:
    assert nest.constants is not None
    wide, narrow = max(nest.bits, nest.weight_bits), min(nest.bits, nest.weight_bits)
    one = price(Multiply(wide, narrow), nest.fabric, Stage.C_SYNTHESIS)
    many, two = float(body.products), 0.0
    if _known(nest, body):
        spread = spread_of(nest.constants)
        many = body.products * spread.multipliers / nest.constants.count
        two = body.products * spread.adders / nest.constants.count
    lut = two * price(Add(nest.bits + 2), nest.fabric, Stage.C_SYNTHESIS).lut
    if uses_dsp(wide, narrow):
        return Resources(dsp=round(many) * one.dsp, lut=round(lut))
    return Resources(lut=round(lut + many * one.lut))


def _known(nest: Nest, body: Body) -> bool:
    """Whether every constant of a turn is known: only loops over the picture are left outside the body."""
    return not nest.dense and body.level <= nest.outer - 2


def _addresses(nest: Nest, body: Body) -> int:
    """DSPs that compute addresses: of flattened loops, and of every copy that reads a table row by row."""
    flattened = sum(1 for _, turns, loops in groups_of(nest, body) if loops > 1 and turns > 1)
    return flattened + _table_addresses(nest, body)


def _table_addresses(nest: Nest, body: Body) -> int:
    """Copies of a body that multiply to find their place in a table, where that takes more bits than LUTs are left with."""
    return body.tables if _address_bits(nest) > LUT_ADDRESS_BITS else 0


def _address_bits(nest: Nest) -> int:
    return max(1, (nest.weights - 1).bit_length())


def _controls(nest: Nest, body: Body) -> list[tuple[int, int]]:
    """(turns, how many there are) of loops with a counter: a loop that is unrolled around others has as many of them."""
    found, copies = [], 1
    for index, loop in enumerate(nest.loops[: body.level + 1]):
        if loop.turns > 1:
            found.append((loop.turns, copies))
        if index < body.level:
            copies *= loop.copies
    return found


def _control_luts(nest: Nest, body: Body) -> int:
    """A counter, its comparison and its multiplexer per loop; states; index arithmetic; the ReLU."""
    loops = _controls(nest, body)
    total = state_mux(2.0 + 3.0 * sum(count for _, count in loops)) + nest.bits
    for turns, count in loops:
        bits = max(1, turns.bit_length())
        counter = price(Add(bits), nest.fabric, Stage.C_SYNTHESIS).lut
        compared = price(Compare(bits), nest.fabric, Stage.C_SYNTHESIS).lut
        total += count * (counter + compared + state_mux(2.0))
    adders = _index_adders(nest) * max(count for _, count in loops) if loops else 0
    return round(total + adders * price(Add(_picture_bits(nest)), nest.fabric, Stage.C_SYNTHESIS).lut)


def _index_adders(nest: Nest) -> int:
    """Adders that make an index of an array of several dimensions: a product with its length and a sum for all but the first."""
    tables = len(nest.loops) - (0 if nest.dense else 2)  # outputs x inputs; filters x kernel x channels
    picture = 1 if nest.dense else len(nest.loops) - nest.outer
    moved = 0 if nest.dense else 2  # the position under the kernel
    return 2 * (tables - 1) + 2 * (picture - 1) + moved + 2 * (nest.outer - 1)


def _picture_bits(nest: Nest) -> int:
    if nest.dense:
        return _address_bits(nest)
    return max(1, (nest.size * nest.size * nest.channels - 1).bit_length())


def _control_registers(nest: Nest, body: Body) -> int:
    """Counters, the address behind each of them, states; operands and sum of one product are counted with it."""
    counters = sum(count * (2 * turns.bit_length() + COUNTER_BITS) for turns, count in _controls(nest, body))
    return counters + 2 * _address_bits(nest) + nest.bits


def _memory_luts(nest: Nest, body: Body, timing: Timing) -> int:
    """An adder per address of a turn, and a multiplexer per port where several share it."""
    bits = _picture_bits(nest)
    addresses = body.fetches + max(1, body.tables) + body.outputs
    adding = price(Add(bits), nest.fabric, Stage.C_SYNTHESIS).lut
    banks = math.ceil(body.fetches / max(1, body.reads))
    ways = math.ceil(body.reads / PORTS) if timing.interval > 1 else 1
    return round(addresses * adding + banks * PORTS * state_mux(float(ways)))


def _tables(nest: Nest, body: Body, timing: Timing) -> Resources:
    """The constants and biases: a table per constant that unrolled loops choose, or copies of one that is large."""
    outputs = nest.loops[nest.outer - 1].trips
    if _known(nest, body):
        return Resources()
    found = _table(outputs, FLOAT_BITS if nest.number is None else nest.bits, nest)
    chosen = math.prod(
        loop.trips
        for index, loop in enumerate(nest.loops)
        if index > body.level or (index == body.level and loop.copies == loop.trips and index >= nest.outer)
    )
    if body.tables or nest.weights > MOST_DIVIDED_WORDS:
        copies = math.ceil((body.tables or chosen) / timing.interval / PORTS)
        return found + _table(nest.weights, nest.weight_bits, nest).times(copies)
    return found + _table(math.ceil(nest.weights / chosen), nest.weight_bits, nest).times(chosen)


def _table(words: int, bits: int, nest: Nest) -> Resources:
    """A table: LUTs and a register at its output, or block RAM in the shallowest shape that holds its words."""
    if words * bits <= LUTRAM_BITS:
        return price(Rom(words, bits, MemoryKind.LUTRAM), nest.fabric, Stage.C_SYNTHESIS)
    depth, width = next((shape for shape in RAMB18_SHAPES if shape[0] >= words), RAMB18_SHAPES[-1])
    blocks = math.ceil(words / depth) * math.ceil(bits / width)
    return Resources(bram18=blocks)
