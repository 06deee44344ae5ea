"""Dense and convolution layers of hls4ml: what is known of each metric, and what a few fitted factors must say.

A prediction is ``known + features @ factors``. ``known`` follows from the layer: products per multiplier, memory shapes, loop trips.
Features are the operators that scale with a quantity of the layer (a sum per product, a multiplexer per operand, a register
per value); what the tool makes of one on average is fitted, on other repositories than the one that is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from psp_hw.cost.memories import blocks18
from psp_hw.cost.pipeline import DELAYS, ENTRY_STAGES, Level, Pipeline, cut
from psp_hw.cost.pricing import LUT_PRODUCT_BITS, uses_dsp
from psp_hw.cost.published.records import Metric, StockLayer
from psp_hw.folding.plan import MultiplierKind

ROM_LEAST_BLOCK_BITS = 1024  # ROMs of published reports: below, LUTs; above, block RAM

LOOP_EXIT = 2  # cycles before and after a loop over pixels

# A constant of more canonical signed digits than this stays a multiplier in the C synthesis report.
FEW_DIGITS = 2


def known(layer: StockLayer, metric: Metric) -> float:
    """The part of a metric that needs no fit."""
    resource = is_resource(layer)
    match metric:
        case Metric.DSP:
            products = multipliers(layer) if resource else shared_products(layer)
            return products if in_dsp(layer) else 0
        case Metric.BRAM18:
            bits = multipliers(layer) * layer.weight
            return (
                blocks18(layer.reuse, bits) if resource and layer.reuse * bits > ROM_LEAST_BLOCK_BITS else 0
            )
        case Metric.II if not layer.stream and layer.kind == "dense":
            return initiation(layer)
        case Metric.LATENCY if not layer.stream and layer.kind == "dense":
            return max(initiation(layer) - (0 if is_resource(layer) else 1), _stages(layer))
        case Metric.LATENCY | Metric.II:
            beats = math.ceil(layer.inputs / layer.beat) if layer.stream and layer.beat else 0
            moved = beats if layer.kind == "dense" and beats > 1 else 0
            leaves = LOOP_EXIT if layer.kind == "conv2d" else 0
            return layer.pixels * initiation(layer) + moved + leaves
        case _:
            return 0


def features(layer: StockLayer, metric: Metric) -> tuple[float, ...]:
    """What the fitted factors multiply; empty where nothing is fitted."""
    match metric:
        case Metric.DSP | Metric.BRAM18:
            return ()
        case Metric.II if not layer.stream and layer.kind == "dense":
            return ()
        case Metric.LATENCY | Metric.II:
            if not layer.stream and layer.kind == "dense":
                return (1.0,) if is_resource(layer) else (1.0 if _stages(layer) else 0.0,)
            if layer.kind == "dense":
                return (1.0, float(_stages(layer)))
            return (float(layer.pixels),) if is_resource(layer) else ()
        case Metric.LUT:
            return _resource_luts(layer) if is_resource(layer) else _latency_luts(layer)
        case Metric.FF:
            return _resource_registers(layer) if is_resource(layer) else _latency_registers(layer)


def is_resource(layer: StockLayer) -> bool:
    """Whether multipliers are shared by a loop over the reuse factor; with a factor of 1 there is no loop."""
    return layer.strategy == "resource" and layer.reuse > 1


def multipliers(layer: StockLayer) -> int:
    """Multipliers of the resource strategy."""
    return math.ceil(layer.count / layer.reuse)


def rich_products(layer: StockLayer) -> tuple[float, float]:
    """Constants of two signed digits, and of more: only the mean is known, so the digits beyond two are taken as Poisson."""
    rich = max(0, layer.alive - layer.powers)
    mean = (layer.digits - layer.powers) / rich if rich else FEW_DIGITS
    two = rich * math.exp(-max(0.0, mean - FEW_DIGITS))
    return two, rich - two


def shared_products(layer: StockLayer) -> int:
    """Multipliers of the latency strategy: constants of many digits, at most so many as the reuse factor allows."""
    _, many = rich_products(layer)
    most = math.ceil(layer.alive / layer.reuse) if layer.reuse > 1 else math.inf
    return round(min(many, most))


def in_dsp(layer: StockLayer) -> bool:
    """Whether its products go to DSPs."""
    kind = MultiplierKind.TOOL
    if layer.bound is not None:
        kind = MultiplierKind.DSP if layer.bound else MultiplierKind.LUT
    return uses_dsp(layer.entering, layer.weight, kind)


def initiation(layer: StockLayer) -> int:
    """Cycles between two windows: the reuse factor where a loop runs over it, else what the shared multipliers need."""
    if is_resource(layer):
        return layer.reuse
    if layer.reuse == 1:
        return 1
    two, many = rich_products(layer)
    needed = many + two if layer.entering > LUT_PRODUCT_BITS else many
    shared = math.ceil(needed / max(1, shared_products(layer)))
    # A window is a function that is not pipelined where factors are shared: read, shift, and every stage twice.
    least = 3 + 2 * _stages(layer) if layer.kind == "conv2d" else 1
    return max(least, min(layer.reuse, shared))


def data_path(layer: StockLayer) -> Pipeline:
    """The pipeline of the products and of the tree behind them."""
    return cut(_levels(layer), layer.clock)


def _stages(layer: StockLayer) -> int:
    """Registers in the path of the products."""
    return data_path(layer).depth - ENTRY_STAGES


def _levels(layer: StockLayer) -> Iterator[Level]:
    delays = DELAYS[layer.fabric]
    adding = delays.add + delays.add_per_bit * layer.acc
    terms = layer.count / layer.reuse if is_resource(layer) else layer.alive
    product = delays.dsp_product if in_dsp(layer) else delays.lut_product
    yield Level(0.0, layer.inputs * layer.entering)
    yield Level(product, round(terms * min(layer.entering + layer.weight, layer.acc + 8)))
    rest = terms / layer.outputs
    while rest > 1:
        rest = math.ceil(rest / 2)
        yield Level(adding, rest * layer.outputs * layer.acc)


def _latency_luts(layer: StockLayer) -> tuple[float, ...]:
    two, _ = rich_products(layer)
    used, shared = shared_products(layer), layer.reuse > 1
    return (
        1.0,
        layer.alive * layer.acc,  # sums
        layer.alive * (layer.entering + 4),  # products shifted and cut to the accumulator
        two * (layer.entering + 4),  # constants of two digits
        max(0, layer.digits - layer.alive) * layer.entering,  # digits beyond the first
        0.0 if in_dsp(layer) else used * layer.entering * layer.weight,
        used * 10.0 if in_dsp(layer) else 0.0,
        float(layer.alive * layer.entering) if shared else 0.0,  # operands of shared multipliers
        layer.inputs * layer.entering,
        layer.outputs * layer.acc,
    )


def _resource_luts(layer: StockLayer) -> tuple[float, ...]:
    used = multipliers(layer)
    whole = layer.reuse == layer.inputs  # every multiplier reads the same input
    muxes = 1 if whole else used
    late = layer.reuse > layer.inputs
    return (
        1.0,
        used * layer.acc,
        muxes * layer.inputs,
        muxes * 100.0,
        layer.inputs * layer.entering,
        layer.inputs if layer.stream else 0.0,
        layer.outputs * layer.acc,
        0.0 if in_dsp(layer) else used * layer.entering * layer.weight,
        layer.outputs * math.log2(layer.outputs + 1) * layer.acc if late else 0.0,
    )


def _latency_registers(layer: StockLayer) -> tuple[float, ...]:
    path = data_path(layer)
    kept = path.depth > 1
    stream = 1.0 if layer.stream else 0.0
    return (
        1.0 if kept or layer.stream else 0.0,
        path.registers,
        layer.inputs * layer.entering * (path.depth - 1),
        layer.alive * layer.acc if kept else 0.0,
        layer.outputs * layer.acc if kept else 0.0,
        layer.alive * layer.entering if kept and layer.reuse > 1 else 0.0,
        layer.inputs * layer.entering * stream,
        layer.outputs * layer.acc * stream,
    )


def _resource_registers(layer: StockLayer) -> tuple[float, ...]:
    used = multipliers(layer)
    return (
        1.0,
        used * layer.acc,
        used * layer.weight,
        used * layer.entering,
        used * (layer.entering + layer.weight) * (data_path(layer).depth - 1),
        layer.inputs * layer.entering,
        layer.inputs * layer.entering if layer.stream else 0.0,
        layer.outputs * layer.acc,
    )
