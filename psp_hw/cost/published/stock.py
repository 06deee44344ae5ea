"""Dense and convolution layers of hls4ml: what is known of each metric, and what a few fitted factors must say.

A prediction is ``known + features @ factors``. ``known`` follows from the layer: products per multiplier, memory shapes, loop trips.
Features are the operators that scale with a quantity of the layer (a sum per product, a multiplexer per operand, a register
per value); what the tool makes of one on average is fitted, on other repositories than the one that is predicted.
"""

from __future__ import annotations

from psp_hw.cost.memories import blocks18
from psp_hw.cost.published.area import (
    expected_luts,
    expected_registers,
    known_luts,
    known_registers,
    luts,
    registers,
)
from psp_hw.cost.published.layers import StockLayer, Window
from psp_hw.cost.published.products import in_dsp, multipliers, tiles
from psp_hw.cost.published.records import Metric
from psp_hw.cost.published.timing import body_features, expected_body, known_body

ROM_LEAST_BLOCK_BITS = 1024  # ROMs of published reports: below, LUTs; above, block RAM


def known(layer: StockLayer, metric: Metric) -> float:
    """The part of a metric that needs no fit; of latency and interval, the part of the body (``timing``)."""
    match metric:
        case Metric.DSP:
            return round(multipliers(layer) * in_dsp(layer)) * tiles(layer)
        case Metric.BRAM18:
            return _blocks(layer)
        case Metric.LATENCY | Metric.II:
            return known_body(layer)
        case Metric.LUT:
            return known_luts(layer)
        case Metric.FF:
            return known_registers(layer)


def features(layer: StockLayer, metric: Metric) -> tuple[float, ...]:
    """What the fitted factors multiply; empty where nothing is fitted."""
    match metric:
        case Metric.DSP | Metric.BRAM18:
            return ()
        case Metric.LATENCY | Metric.II:
            return body_features(layer)
        case Metric.LUT:
            return luts(layer)
        case Metric.FF:
            return registers(layer)


def expected(layer: StockLayer, metric: Metric) -> tuple[float, ...]:
    """What the fitted factors are expected to be."""
    match metric:
        case Metric.DSP | Metric.BRAM18:
            return ()
        case Metric.LATENCY | Metric.II:
            return expected_body(layer)
        case Metric.LUT:
            return expected_luts(layer)
        case Metric.FF:
            return expected_registers(layer)


def _blocks(layer: StockLayer) -> int:
    bits = round(multipliers(layer)) * layer.weight.bits
    found = blocks18(layer.reuse, bits) if layer.shared and layer.reuse * bits > ROM_LEAST_BLOCK_BITS else 0
    if layer.kind == "conv2d" and layer.window is Window.FIFOS:
        found += layer.inputs * blocks18(layer.columns, layer.entering.bits)
    return found
