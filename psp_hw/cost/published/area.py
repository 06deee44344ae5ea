"""LUTs and flip-flops of a layer of hls4ml: the operators whose price is fitted."""

from __future__ import annotations

from psp_hw.cost.bill import Add, Compare, Multiply
from psp_hw.cost.memories import fifo
from psp_hw.cost.pipeline import Pipeline
from psp_hw.cost.prices import Stage, prices_of
from psp_hw.cost.pricing import LUT_PRODUCT_BITS, price
from psp_hw.cost.published.layers import StockLayer, Tool, Window
from psp_hw.cost.published.muxes import SELECT_WAYS, input_ways, mux_luts, output_ways
from psp_hw.cost.published.products import (
    in_dsp,
    multipliers,
    product_bits,
    products,
    typical_bits,
    weight_bits,
)
from psp_hw.cost.published.timing import data_path, product_cycles, turns
from psp_hw.cost.resources import Resources
from psp_hw.folding.plan import MultiplierKind

# Position of the window of a convolution: row, column and their strides, each an int.
POSITION_COUNTERS, COUNTER_BITS = 4, 32

OPERANDS = 2  # of a product
DSP_LUTS = {Tool.VIVADO_HLS: 2.0, Tool.VITIS_HLS: 5.0}  # listed beside one DSP that multiplies


def known_luts(layer: StockLayer) -> float:
    """LUTs that need no fit: products, multiplexers of a state machine, registers of a stream."""
    used = multipliers(layer)
    share = in_dsp(layer)
    total = used * (share * DSP_LUTS[layer.tool] + (1.0 - share) * lut_product(layer))
    if layer.stream:
        total += state_mux(2.0) * (layer.inputs + layer.outputs)
    counter = Add(COUNTER_BITS), Compare(COUNTER_BITS), Compare(COUNTER_BITS)
    total += _position_counters(layer) * sum(
        price(one, layer.fabric, Stage.C_SYNTHESIS).lut for one in counter
    )
    total += _window_fifos(layer).lut
    if not layer.shared and layer.reuse > 1:
        total += used * OPERANDS * state_mux(turns(layer))
    return total


def known_registers(layer: StockLayer) -> float:
    """Flip-flops that need no fit: the position of a window, FIFOs that hold one."""
    return COUNTER_BITS * _position_counters(layer) + _window_fifos(layer).ff + _inside_products(layer)


def _inside_products(layer: StockLayer) -> float:
    """Registers that are listed with a multiplier of several cycles: twice its operands and three more in every report.

    One that a project binds to a DSP lists none, and one that adds to an accumulator is a DSP altogether.
    """
    if product_cycles(layer) == 1 or layer.bound is not None or layer.shared:
        return 0.0
    wide = max(layer.entering.bits, weight_bits(layer))
    return multipliers(layer) * in_dsp(layer) * (4 * wide + 3)


def _position_counters(layer: StockLayer) -> int:
    return POSITION_COUNTERS if layer.kind == "conv2d" and layer.window is not Window.FIFOS else 0


def _window_fifos(layer: StockLayer) -> Resources:
    if layer.kind != "conv2d" or layer.window is not Window.FIFOS:
        return Resources()
    prices = prices_of(layer.fabric)
    return fifo(layer.columns, layer.entering.bits, prices, rtl=False).times(layer.inputs)


def luts(layer: StockLayer) -> tuple[float, ...]:
    """Operators that take LUTs, with a fitted price."""
    return _shared_luts(layer) if layer.shared else _unrolled_luts(layer)


def registers(layer: StockLayer) -> tuple[float, ...]:
    """Values that take flip-flops."""
    return _shared_registers(layer) if layer.shared else _unrolled_registers(layer)


def expected_luts(layer: StockLayer) -> tuple[float, ...]:
    """What the factors of ``luts`` are expected to be: 1, operators at their prices, and nothing beside them."""
    if layer.shared:
        return (0.0, 1.0, 1.0, 1.0, 1.0)
    return (0.0, 1.0, 1.0)


def expected_registers(layer: StockLayer) -> tuple[float, ...]:
    """What the factors of ``registers`` are expected to be: 1 of what is held, 1/2 of what may be, and nothing beside them."""
    if layer.shared:
        return (0.0, 1.0, 1.0, 0.5)
    return (0.0, 1.0, 1.0, 1.0, 1.0, 0.5)


def state_mux(ways: float) -> float:
    """LUTs of a multiplexer that a state machine steers, whatever its width: 9 of two ways, 33 of six, 65 of 16 in every report."""
    if ways <= 1.0:
        return 0.0
    return 6.0 * min(ways, 6.0) - 3.0 + 3.2 * max(0.0, ways - 6.0)


def lut_product(layer: StockLayer) -> float:
    """LUTs of one product; bound to LUTs, the tools list it at the price of the widest product that they would leave there."""
    if layer.bound is False:
        widths = (LUT_PRODUCT_BITS, LUT_PRODUCT_BITS)
    else:
        widths = (min(layer.entering.bits, LUT_PRODUCT_BITS), min(weight_bits(layer), LUT_PRODUCT_BITS))
    return float(price(Multiply(*widths, MultiplierKind.LUT), layer.fabric, Stage.C_SYNTHESIS).lut)


def sum_luts(layer: StockLayer) -> float:
    """LUTs of the trees of sums and of the biases.

    The first level adds products of typical constants; each further one is a bit wider than the one before it.
    """
    bits, rest, total = product_bits(layer, typical_bits(layer.weights)), float(layer.weights.alive), 0.0
    while rest > layer.outputs:
        bits, rest = min(layer.acc.bits, bits + 1), rest / 2
        total += rest * price(Add(bits), layer.fabric, Stage.C_SYNTHESIS).lut
    return total + layer.outputs * price(Add(layer.acc.bits), layer.fabric, Stage.C_SYNTHESIS).lut


def _unrolled_luts(layer: StockLayer) -> tuple[float, ...]:
    """Nothing in particular, sums, products that are one sum."""
    constant = price(Add(layer.entering.bits + 4), layer.fabric, Stage.C_SYNTHESIS).lut
    return (1.0, sum_luts(layer), products(layer).adders * constant)


def _shared_luts(layer: StockLayer) -> tuple[float, ...]:
    """Nothing in particular, sums, choice of operands and sums, registers of inputs and outputs, reading a stream."""
    used = multipliers(layer)
    accumulator = price(Add(layer.acc.bits), layer.fabric, Stage.C_SYNTHESIS).lut
    return (
        1.0,
        used * accumulator,
        _chosen(layer),
        (state_mux(2) + state_mux(3)) * layer.inputs + 2 * state_mux(2) * layer.outputs,
        layer.inputs * layer.entering.bits if layer.stream else 0.0,
    )


def _chosen(layer: StockLayer) -> float:
    """LUTs of what chooses the operands of shared multipliers, and the sums that they add to."""
    used = multipliers(layer)
    cores = 1 if layer.reuse >= layer.inputs else used  # else every multiplier reads the same input
    ways = min(layer.reuse, layer.inputs)
    if ways <= SELECT_WAYS:
        return cores * float(layer.entering.bits)
    if layer.kind == "conv2d":
        return cores * state_mux(ways)
    late = output_ways(layer.inputs, layer.reuse)
    listed = layer.last_mux if layer.tool is Tool.VIVADO_HLS else 0
    inputs = mux_luts(listed or input_ways(layer.inputs, layer.reuse))
    return cores * inputs + (used * mux_luts(listed or late) if late > SELECT_WAYS else 0.0)


def _unrolled_registers(layer: StockLayer) -> tuple[float, ...]:
    path = data_path(layer)
    waits = layer.reuse > 1
    kept = path.depth > 1 or waits
    held = 2 if layer.kind == "conv2d" else 1  # a window is moved while the products are made of a copy
    return (
        1.0 if kept or layer.stream else 0.0,
        0.0 if waits else path.registers,
        max(_reused(path), products(layer).multipliers * product_bits(layer)) if waits else 0.0,
        held * layer.inputs * layer.entering.bits if layer.stream else 0.0,
        layer.outputs * layer.acc.bits if kept else 0.0,
        layer.inputs * layer.entering.bits if kept else 0.0,
    )


def _reused(path: Pipeline) -> float:
    """Registers of a function that takes one input at a time: half of what is behind the widest stage finds some that are free."""
    return (path.registers + path.widest) / 2


def _shared_registers(layer: StockLayer) -> tuple[float, ...]:
    used = multipliers(layer)
    between = data_path(layer).depth - 1
    entering, leaving = _copies(layer, between)
    return (
        1.0,
        entering * layer.inputs * layer.entering.bits,
        leaving * layer.outputs * layer.acc.bits,
        used * (layer.entering.bits + layer.weight.bits) * between,
    )


def _copies(layer: StockLayer, between: int) -> tuple[int, int]:
    """Registers that hold an input, and an output.

    Where a loop restarts without a pause (rewind), it reads its inputs from a register of its own and one behind that, and from a
    third where the pipeline is longer than a turn. In Vivado HLS a stream is gathered in a register first, and the function
    that multiplies has registers at its ports.
    """
    if layer.tool is Tool.VITIS_HLS:
        return 2, 2
    return (4, 3) if layer.stream else (2 + min(1, between), 2)
