"""Products of a layer with its constants: which cost a multiplier, which an adder, which nothing, and where they are made.

Of the constants a record gives totals: how many there are, are zero, are powers of two, have how many signed digits in all, how
many differ. A number of b bits has at most (b + 1) / 2 signed digits, so the digits beyond two are spread by a binomial law over
those that a typical constant may have. Equal constants that multiply one input are one product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.cost.pricing import LUT_PRODUCT_BITS, SHIFT_ADD_DIGITS, dsp_tiles, uses_dsp
from psp_hw.cost.published.layers import StockLayer, Weights

LARGEST_DEVIATIONS = 2.5  # of the largest constant from 0, in standard deviations


@dataclass(frozen=True, slots=True)
class Products:
    """Different products of all inputs, by what C synthesis makes of them.

    Args:
        wires: with a power of two.
        adders: with a constant of two digits.
        multipliers: with a constant of more.
    """

    wires: float
    adders: float
    multipliers: float

    @property
    def all(self) -> float:
        return self.wires + self.adders + self.multipliers


def products(layer: StockLayer) -> Products:
    """Products of a layer that unrolls all of its weights."""
    spread = spread_of(layer.weights)
    return Products(*(_different(layer, kind) for kind in (spread.wires, spread.adders, spread.multipliers)))


def spread_of(weights: Weights) -> Products:
    """A product for every constant that is not zero."""
    rich = max(0, weights.alive - weights.powers)
    excess = (weights.digits - weights.powers) / rich - SHIFT_ADD_DIGITS if rich else 0.0
    most = max(1, math.ceil((typical_bits(weights) + 1) / 2) - SHIFT_ADD_DIGITS)
    two = rich * math.pow(1.0 - min(1.0, max(0.0, excess) / most), most)
    return Products(min(weights.powers, weights.alive), two, rich - two)


def _different(layer: StockLayer, count: float) -> float:
    """How many of ``count`` products differ: those of one input draw their constants from the values there are."""
    values = max(1, layer.weights.distinct - 1) * count / max(1, layer.weights.alive)
    per_input = count / layer.inputs
    if values <= 1.0 or per_input <= 1.0:
        return count
    return layer.inputs * values * (1.0 - math.pow(1.0 - 1.0 / values, per_input))


def typical_bits(weights: Weights) -> int:
    """Width of the magnitude of a typical constant [bits]: one less than that of the largest."""
    return max(1, weights.magnitude - 1)


def weight_bits(layer: StockLayer) -> int:
    """Width of the widest constant, its sign included [bits]."""
    return min(layer.weight.bits, layer.weights.magnitude + 1)


def in_dsp(layer: StockLayer) -> float:
    """Share of the multipliers of a layer that are DSPs.

    A multiplier that is shared must take the widest constant. One of its own takes its constant, so where the tool decides by the
    width of the constant only wide ones go to DSPs.
    """
    if layer.bound is not None:
        return 1.0 if layer.bound else 0.0
    if layer.shared:
        return float(uses_dsp(layer.entering.bits, layer.weight.bits))
    widest = weight_bits(layer)
    if not uses_dsp(layer.entering.bits, widest):
        return 0.0
    if layer.reuse > 1 or layer.entering.bits > LUT_PRODUCT_BITS:
        return 1.0
    # Constants as a normal distribution would have them, the largest of them at some deviations.
    limit = LARGEST_DEVIATIONS * 2.0 ** (LUT_PRODUCT_BITS - widest)
    return math.erfc(limit / math.sqrt(2.0))


def tiles(layer: StockLayer) -> int:
    """DSPs of a multiplier: one that is shared reads its weights from a memory, whose words are as wide as their type."""
    weight = layer.weight.bits if layer.shared else weight_bits(layer)
    wide, narrow = max(layer.entering.bits, weight), min(layer.entering.bits, weight)
    return dsp_tiles(wide, narrow, layer.fabric)


def product_bits(layer: StockLayer, magnitude: int | None = None) -> int:
    """Width of a product as it enters the sum [bits], on the grid of the accumulator.

    Args:
        layer: the layer.
        magnitude: width of the magnitude of the constant [bits]; None takes the largest.
    """
    dropped = max(0, layer.entering.fraction + layer.weight.fraction - layer.acc.fraction)
    constant = layer.weights.magnitude if magnitude is None else magnitude
    return max(1, min(layer.acc.bits, layer.entering.bits + constant - dropped))


def allowed(layer: StockLayer) -> int:
    """Multipliers that hls4ml allows in latency strategy: ``multiplier_limit`` of its configuration."""
    weights = layer.weights
    return max(1, math.ceil(weights.count / layer.reuse) - weights.skipped // layer.reuse)


def multipliers(layer: StockLayer) -> float:
    """Multipliers of a layer."""
    if layer.shared:
        return math.ceil(layer.weights.count / layer.reuse)
    needed = products(layer).multipliers
    return min(needed, allowed(layer)) if layer.reuse > 1 else needed
