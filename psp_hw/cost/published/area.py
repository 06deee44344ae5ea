"""LUTs and flip-flops of a layer of hls4ml: the operators whose price is fitted."""

from __future__ import annotations

import math

from psp_hw.cost.bill import Multiply
from psp_hw.cost.prices import Stage
from psp_hw.cost.pricing import LUT_PRODUCT_BITS, price
from psp_hw.cost.published.layers import StockLayer
from psp_hw.cost.published.products import in_dsp, multipliers, product_bits, products
from psp_hw.cost.published.timing import data_path, turns


def luts(layer: StockLayer) -> tuple[float, ...]:
    """Operators that take LUTs."""
    return _shared_luts(layer) if layer.shared else _unrolled_luts(layer)


def registers(layer: StockLayer) -> tuple[float, ...]:
    """Values that take flip-flops."""
    return _shared_registers(layer) if layer.shared else _unrolled_registers(layer)


def expected_luts(layer: StockLayer) -> tuple[float, ...]:
    """What the factors of ``luts`` are expected to be: operators at their prices."""
    if layer.shared:
        return (100.0, 1.2, 1.0, 1.0, 20.0, 18.0, 1.0, 0.5)
    return (30.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def expected_registers(layer: StockLayer) -> tuple[float, ...]:
    """What the factors of ``registers`` are expected to be."""
    if layer.shared:
        return (50.0, 0.5, 0.5, 0.3, 2.0, 1.0, 2.0)
    return (10.0, 1.0, 1.0, 0.2, 1.0, 1.0, 0.5)


def state_mux(ways: float) -> float:
    """LUTs of a multiplexer that a state machine steers, whatever its width: 9 of two ways, 33 of six, 65 of 16 in every report."""
    if ways <= 1.0:
        return 0.0
    return 6.0 * min(ways, 6.0) - 3.0 + 3.2 * max(0.0, ways - 6.0)


def lut_product(layer: StockLayer) -> float:
    """LUTs of one product; bound to LUTs, the tools list it at the price of the widest product that they would leave there."""
    narrow = LUT_PRODUCT_BITS if layer.bound is False else 1
    left, right = max(narrow, layer.entering.bits), max(narrow, layer.weights.magnitude + 1)
    return float(price(Multiply(left, right), layer.fabric, Stage.C_SYNTHESIS).lut)


def sums(layer: StockLayer) -> tuple[float, float]:
    """Adders of the trees, and the bits of all of them: a level of adders is a bit wider than the one before it."""
    bits, rest = product_bits(layer), float(layer.weights.alive)
    count, width = 0.0, 0.0
    while rest > layer.outputs:
        bits, rest = min(layer.acc.bits, bits + 1), rest / 2
        count, width = count + rest, width + rest * bits
    return count + layer.outputs, width + layer.outputs * layer.acc.bits


def _unrolled_luts(layer: StockLayer) -> tuple[float, ...]:
    made, used = products(layer), multipliers(layer)
    adders, bits = sums(layer)
    ways = turns(layer)
    return (
        1.0,
        bits,
        adders,
        made.adders * (layer.entering.bits + 4),
        used * (5.0 if in_dsp(layer) else lut_product(layer)),
        used * 2.0 * state_mux(ways) if layer.reuse > 1 else 0.0,
        made.all if layer.reuse > 1 else 0.0,
        9.0 * (layer.inputs + layer.outputs) if layer.stream else 0.0,
    )


def _shared_luts(layer: StockLayer) -> tuple[float, ...]:
    used = multipliers(layer)
    whole = layer.reuse >= layer.inputs  # every multiplier reads the same input
    ways = min(layer.reuse, layer.inputs)
    late = layer.reuse > layer.inputs
    return (
        1.0,
        used * layer.acc.bits,
        used * (2.0 if in_dsp(layer) else lut_product(layer)),
        (1 if whole else used) * (state_mux(ways) if ways > 2 else float(layer.entering.bits)),
        float(layer.inputs),
        float(layer.outputs),
        layer.inputs * layer.entering.bits if layer.stream else 0.0,
        layer.outputs * math.log2(layer.outputs + 1) * layer.acc.bits if late else 0.0,
    )


def _unrolled_registers(layer: StockLayer) -> tuple[float, ...]:
    path = data_path(layer)
    made = products(layer)
    waits = layer.reuse > 1
    kept = path.depth > 1 or waits
    return (
        1.0 if kept or layer.stream else 0.0,
        0.0 if waits else path.registers,
        made.all * product_bits(layer) if waits else 0.0,
        path.registers if waits else 0.0,
        layer.inputs * layer.entering.bits if layer.stream else 0.0,
        layer.outputs * layer.acc.bits if kept else 0.0,
        layer.inputs * layer.entering.bits if kept else 0.0,
    )


def _shared_registers(layer: StockLayer) -> tuple[float, ...]:
    used = multipliers(layer)
    between = data_path(layer).depth - 1
    return (
        1.0,
        used * layer.acc.bits,
        used * layer.weight.bits,
        used * (layer.entering.bits + layer.weight.bits) * between,
        layer.inputs * layer.entering.bits,
        layer.inputs * layer.entering.bits if layer.stream else 0.0,
        layer.outputs * layer.acc.bits,
    )
