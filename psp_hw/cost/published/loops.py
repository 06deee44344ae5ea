"""The schedule of a nest of loops: what one turn of its body does, when the next may begin, how long all turns take.

The body is the pipelined loop, or the innermost one that is not unrolled; loops inside of it are copies of it. Loops around a
pipeline that hold nothing else are flattened into one. Sources: UG902 and UG1399, "Loops", "Array partitioning".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.cost.devices import Fabric
from psp_hw.cost.pipeline import CLOCK_UNCERTAINTY, DELAYS
from psp_hw.cost.published.nests import WHOLE, Arithmetic, Axis, Banks, Nest

# Stages of the floating-point cores in public reports (fadd_..._4_full_dsp, fmul_..._3_max_dsp, fcmp_..._2), each with a
# latency of a cycle less; a stage more on 7-series parts at 10 ns and below.
ADD_STAGES, MULTIPLY_STAGES, COMPARE_STAGES = 4, 3, 2
SLOW_FABRIC_PERIOD_NS = 10.0

PORTS = 2  # of a block RAM
ROM_READS = 5  # of a table of constants per cycle, copied as often as needed
ENTRY_STATES = 2  # a turn of a loop around another one: the state before it, the state after it
PIPE_STATES = 1  # filling a pipeline that is no flattened loop
STORE_STATES = 1


@dataclass(frozen=True, slots=True)
class Body:
    """One turn of the body of a nest.

    Args:
        level: which loop it is.
        products, sums: in one turn.
        chain: products that are added one after the other to one sum.
        outputs: that one turn finishes; 0 if the body only adds up.
        fetches: inputs that one turn reads.
        reads, writes: of the busiest bank of the input and output array.
        tables: constants that are read from one table.
    """

    level: int
    products: int
    sums: int
    chain: int
    outputs: int
    fetches: int
    reads: int
    writes: int
    tables: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles: between turns of the body, of one turn, of all."""

    interval: int
    depth: int
    latency: int


def body_of_nest(nest: Nest) -> Body:
    """What a turn of the body does."""
    level = _level(nest)
    copies = [loop.copies if index == level else loop.trips for index, loop in enumerate(nest.loops)]
    inside = range(level, len(nest.loops))
    products = math.prod(copies[index] for index in inside)
    chain = math.prod(copies[index] for index in inside if index >= nest.outer)
    outputs = math.prod(copies[index] for index in inside if index < nest.outer) if level < nest.outer else 0
    return Body(
        level=level,
        products=products,
        sums=products + outputs,
        chain=chain,
        outputs=outputs,
        fetches=math.prod(_input_spans(nest, level, copies)),
        reads=_busiest(
            _input_spans(nest, level, copies), [nest.size, nest.size, max(1, nest.channels)], nest.banks_in
        ),
        writes=_writes(nest, level, copies),
        tables=copies[level] if nest.outer <= level and 1 < copies[level] < nest.loops[level].trips else 0,
    )


def timing_of_nest(nest: Nest) -> Timing:
    """When a nest is done."""
    body = body_of_nest(nest)
    interval = _interval(nest, body)
    depth = _depth(nest, body, interval)
    return Timing(interval=interval, depth=depth, latency=_total(nest, body, interval, depth) + 1)


def _level(nest: Nest) -> int:
    if nest.pipelined is not None:
        return nest.pipelined
    level = len(nest.loops) - 1
    while level > 0 and nest.loops[level].turns == 1:
        level -= 1
    return level


def _input_spans(nest: Nest, level: int, copies: list[int]) -> list[int]:
    """Inputs that a turn reads, along every dimension of their array."""
    if nest.dense:
        return [copies[-1]]
    return _spans(nest, [copies[index] if index >= level else 1 for index in range(len(nest.loops))])


def _busiest(spans: list[int], sizes: list[int], banks: tuple[Banks, ...]) -> int:
    """Elements in the busiest bank: those of a span share the banks of its dimension."""
    padded = [*banks, *[WHOLE] * len(spans)]
    return math.prod(bank.share(span, size) for span, size, bank in zip(spans, sizes, padded, strict=False))


def _spans(nest: Nest, inner: list[int]) -> list[int]:
    """Rows, columns and channels of the picture that a turn of a convolution reads."""
    steps = dict(zip(nest.axes, inner[nest.outer :], strict=True))
    rows = inner[0] - 1 + steps.get(Axis.ROW, 1)
    columns = inner[1] - 1 + steps.get(Axis.COLUMN, 1)
    return [rows, columns, steps.get(Axis.CHANNEL, 1)]


def _writes(nest: Nest, level: int, copies: list[int]) -> int:
    if level >= nest.outer:
        return 1
    spans = [copies[index] if index >= level else 1 for index in range(nest.outer)]
    return _busiest(spans, [nest.loops[index].trips for index in range(nest.outer)], nest.banks_out)


def _interval(nest: Nest, body: Body) -> int:
    """Ports of the arrays, and the sum that one turn hands to the next."""
    ports = max(
        math.ceil(body.reads / PORTS), math.ceil(body.writes / PORTS), math.ceil(body.tables / ROM_READS)
    )
    recurrence = 1
    if not body.outputs:
        recurrence = stages(nest, ADD_STAGES) * body.chain if _floats(nest) else _sum_states(nest, body.chain)
    return max(1, ports, recurrence)


def _depth(nest: Nest, body: Body, interval: int) -> int:
    """States of a turn: operands, product, the chain of sums; the last ones of an output."""
    finish = _finish(nest) if body.outputs else 0
    if _floats(nest):
        product = stages(nest, MULTIPLY_STAGES) - 1
        return 1 + product + stages(nest, ADD_STAGES) * body.chain + finish
    waits = interval if nest.pipelined is not None else math.ceil(body.reads / PORTS)
    return waits + _product_states(nest) + (_sum_states(nest, body.chain) if body.outputs else 0) + finish


def _finish(nest: Nest) -> int:
    """States after the last product: the bias, the comparison of the ReLU, the store."""
    if _floats(nest):
        return (stages(nest, ADD_STAGES) - 1) + (COMPARE_STAGES - 1) + STORE_STATES
    return STORE_STATES


def _total(nest: Nest, body: Body, interval: int, depth: int) -> int:
    piped = nest.pipelined is not None
    groups = groups_of(nest, body)
    _, turns, _ = groups[-1]
    cycles = interval * (turns - 1) + depth if piped else turns * depth
    for position in range(len(groups) - 2, -1, -1):
        outermost, count, _ = groups[position]
        last_output = groups[position + 1][0] >= nest.outer > outermost
        states = ENTRY_STATES + (_finish(nest) if last_output else 0)
        if position == len(groups) - 2 and piped and not last_output:
            states += PIPE_STATES
        copies = nest.loops[outermost].copies
        cycles = count * copies * (cycles + states - (1 if copies > 1 else 0)) + (count if copies > 1 else 0)
    return cycles


def groups_of(nest: Nest, body: Body) -> list[tuple[int, int, int]]:
    """Loops from the outermost to the body, those that are flattened as one: (first loop, turns, loops)."""
    loops = nest.loops[: body.level + 1]
    asked = any(loop.flatten for loop in nest.loops)
    forbidden = any(loop.flatten is False for loop in nest.loops)
    if forbidden or (nest.pipelined is None and not asked):
        return [(index, loop.turns, 1) for index, loop in enumerate(loops)]
    cut = {nest.outer} if body.level >= nest.outer else set()
    partial = loops[-1].trips % loops[-1].copies != 0
    single = len(nest.loops) - nest.outer == 1 and nest.outer == 1
    if single and loops[-1].copies == 1:
        cut = set()  # one loop in one loop is flattened with what stands between them
    if partial:
        cut.add(body.level)
    groups: list[tuple[int, int, int]] = []
    for index, loop in enumerate(loops):
        if groups and index not in cut:
            first, turns, count = groups[-1]
            groups[-1] = (first, turns * loop.turns, count + 1)
        else:
            groups.append((index, loop.turns, 1))
    return groups


def stages(nest: Nest, usual: int) -> int:
    """Stages of a floating-point adder or multiplier."""
    slow = nest.fabric is Fabric.SERIES7 and nest.clock.period_ns <= SLOW_FABRIC_PERIOD_NS
    return usual + 1 if slow else usual


def _floats(nest: Nest) -> bool:
    return nest.arithmetic is Arithmetic.FLOAT


def _budget(nest: Nest) -> float:
    return nest.clock.period_ns * (1.0 - CLOCK_UNCERTAINTY)


def _product_states(nest: Nest) -> int:
    """States of a product, the read of its operands and the sum behind it included."""
    delays = DELAYS[nest.fabric]
    adding = delays.add + delays.add_per_bit * nest.bits
    return max(1, math.ceil((delays.memory + delays.dsp_product + adding) / _budget(nest)))


def _sum_states(nest: Nest, chain: int) -> int:
    delays = DELAYS[nest.fabric]
    adding = delays.add + delays.add_per_bit * nest.bits
    return max(1, math.ceil(chain * adding / _budget(nest)))
