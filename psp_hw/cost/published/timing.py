"""When a layer of hls4ml is done, and when it takes the next input.

What is fitted is the *body*: cycles of the function that multiplies, or of one turn of the loop over pixels. Latency and initiation
interval follow from it by rules that are the tools' and the templates'.

Sources: nnet_dense_latency.h, nnet_dense_resource.h, nnet_dense_stream.h, nnet_conv2d_stream.h of hls4ml.
"""

from __future__ import annotations

import math

from psp_hw.cost.pipeline import CLOCK_UNCERTAINTY, DELAYS, ENTRY_STAGES, Level, Pipeline, cut
from psp_hw.cost.published.layers import StockLayer, Tool, Window
from psp_hw.cost.published.products import Products, allowed, in_dsp, product_bits, products

CALL_CYCLES = 2  # a function called by a process: the state before it, the state after it
STORE_CYCLES = 1  # the output into its FIFO
COPY_CYCLES = 3  # a loop that gathers tokens first, and the states around it
LOOP_EXIT = 2  # cycles around a pipelined loop over pixels

# Cycles of a turn of the loop over pixels outside the multiplications: a line buffer that is a pipeline; one whose kernel moves in
# a loop of its own; a window in FIFOs.
PIPELINED_WINDOW, LOOPED_WINDOW, FIFO_WINDOW = 3, 6, 6
SHIFT_CYCLES = 3  # a value into the delay lines, where that loop is not unrolled

# Operands of at most 8 bits leave the DSP in two thirds of the time of wide ones: 4.3 of 6.4 ns on 7-series parts.
NARROW_BITS, NARROW_SHARE = 8, 0.68


def body_of(layer: StockLayer, latency: float) -> float | None:
    """The body behind a latency; None where it does not follow."""
    around = _around(layer)
    if layer.kind == "dense":
        return latency - around
    if layer.shared:
        return (latency - 1.0) / layer.pixels - around
    if layer.reuse == 1:
        return latency - layer.pixels - around
    turn = (latency - LOOP_EXIT) / layer.pixels
    return turn - around if turn < layer.reuse else None


def latency_of(layer: StockLayer, body: float) -> float:
    """Cycles from the first input to the last output."""
    turn = max(0.0, body) + _around(layer)
    if layer.kind == "dense":
        return turn
    if layer.shared:
        return layer.pixels * turn + 1.0
    if layer.reuse == 1:
        return layer.pixels + turn
    return layer.pixels * min(float(layer.reuse), turn) + LOOP_EXIT


def interval_of(layer: StockLayer, body: float) -> float:
    """Cycles from one input to the next."""
    if layer.kind == "conv2d":
        return latency_of(layer, body)
    if layer.stream:
        rewinds = layer.shared and layer.tool is Tool.VITIS_HLS
        return float(layer.reuse) if rewinds else latency_of(layer, body)
    if layer.shared or layer.reuse == 1:
        return float(layer.reuse)
    # No pipeline waits longer for its next input than it takes for one.
    return max(1.0, min(float(layer.reuse), body + 1.0))


def _around(layer: StockLayer) -> int:
    """Cycles outside the body: gathering the tokens of a stream, calling the function; moving the window."""
    if layer.kind == "conv2d" and layer.shared:
        return _window(layer)
    if layer.kind == "conv2d":
        return CALL_CYCLES if _tail(layer) else STORE_CYCLES
    if not layer.stream or (layer.shared and layer.tool is Tool.VITIS_HLS):
        return 0
    tokens = math.ceil(layer.inputs / layer.beat) if layer.beat else 1
    return tokens + COPY_CYCLES if tokens > 1 else CALL_CYCLES


def _window(layer: StockLayer) -> int:
    match layer.window:
        case Window.FIFOS:
            return FIFO_WINDOW
        case Window.PIPELINED:
            return PIPELINED_WINDOW
        case Window.LOOPED if layer.channels == 1:
            return LOOPED_WINDOW
        case Window.LOOPED:
            # Channel by channel into the delay lines, then row by row into the window; a state before each loop.
            loops = 1 + layer.rows
            return LOOPED_WINDOW + layer.channels * (SHIFT_CYCLES + layer.rows) + loops


def known_body(layer: StockLayer) -> float:
    """The part of the body that needs no fit: turns of the loop over the reuse factor, products per shared multiplier, stages."""
    if layer.shared:
        return float(layer.reuse)
    path = float(stages(layer))
    return max(path, turns(layer)) if layer.reuse > 1 else path


def turns(layer: StockLayer) -> float:
    """Products that each multiplier of the latency strategy makes, one after the other."""
    return float(math.ceil(products(layer).multipliers / allowed(layer)))


def body_features(layer: StockLayer) -> tuple[float, ...]:
    """What the fitted factors multiply: states around the data path, and its stages where they are not known."""
    if layer.shared:
        return (1.0, float(stages(layer)))
    if _tail(layer):
        return (0.0, 1.0, float(product_stages(layer)))
    return (1.0, 0.0, 0.0)


def _tail(layer: StockLayer) -> bool:
    """Whether a layer waits for its shared multipliers: they are in a function of their own, and one product comes last."""
    return not layer.shared and layer.reuse > 1 and turns(layer) > stages(layer)


def expected_body(layer: StockLayer) -> tuple[float, ...]:
    """What the factors of ``body_features`` are expected to be: a state, a stage."""
    return (1.0, 1.0) if layer.shared else (1.0, 1.0, 1.0)


def stages(layer: StockLayer) -> int:
    """Registers in the path from the stream to the sums."""
    return (
        cut([*_arrival(layer), *_product_levels(layer), *_tree_levels(layer)], layer.clock).depth
        - ENTRY_STAGES
    )


def product_stages(layer: StockLayer) -> int:
    """Registers in a product and the two sums behind it."""
    return cut([*_product_levels(layer), *_tree_levels(layer)[:2]], layer.clock).depth - ENTRY_STAGES


def data_path(layer: StockLayer) -> Pipeline:
    """The pipeline of the products and of the tree behind them."""
    return cut([*_product_levels(layer), *_tree_levels(layer)], layer.clock)


def _product_levels(layer: StockLayer) -> list[Level]:
    """Operands, then products.

    A product that takes several cycles keeps its operands outside; inside, a DSP has registers of its own. What needs no multiplier
    is summed meanwhile.
    """
    delays = DELAYS[layer.fabric]
    bits, operands = product_bits(layer), layer.inputs * layer.entering.bits
    levels = [Level(delays.memory if layer.shared else 0.0, operands)]
    if layer.kind == "conv2d" and not layer.shared:
        # A pixel out of its FIFO, the rows above it out of the line buffer.
        levels = [
            Level(delays.stream_read, layer.channels * layer.entering.bits),
            Level(delays.memory, operands),
        ]
    made, whole = _made(layer), product_cycles(layer) - 1
    waiting = round((made.wires + made.adders) / 2 * bits)
    levels += [Level(_budget(layer), max(operands, waiting))] * whole
    levels.append(Level(_product_delay(layer) - whole * _budget(layer), round(made.all * bits)))
    return levels


def _arrival(layer: StockLayer) -> list[Level]:
    """Of a convolution: a pixel out of its FIFO, the rows above it out of the line buffer."""
    if layer.kind != "conv2d" or layer.shared:
        return []
    delays = DELAYS[layer.fabric]
    return [Level(delays.stream_read, 0), Level(delays.memory, 0)]


def _tree_levels(layer: StockLayer) -> list[Level]:
    """Levels of the tree of sums; they grow by a bit per level up to the accumulator.

    Where two adders in a row just fit a cycle, they are one adder of three operands, and the tree is one of threes.
    """
    delays, bits = DELAYS[layer.fabric], product_bits(layer)
    rest = (_made(layer).all if layer.shared else float(layer.weights.alive)) / layer.outputs
    one = delays.add + delays.add_per_bit * layer.acc.bits
    radix = 3 if int(_budget(layer) / one) == 2 else 2
    levels = []
    while rest > 1:
        rest, bits = math.ceil(rest / radix), min(layer.acc.bits, bits + radix - 1)
        delay = (radix - 1) * (delays.add + delays.add_per_bit * bits)
        levels.append(Level(delay, round(rest * layer.outputs * bits)))
    return levels


def _made(layer: StockLayer) -> Products:
    """Products of a turn."""
    if layer.shared:
        return Products(0.0, 0.0, layer.weights.count / layer.reuse)
    return products(layer)


def product_cycles(layer: StockLayer) -> int:
    """Cycles that one product takes."""
    return math.ceil(_product_delay(layer) / _budget(layer))


def _budget(layer: StockLayer) -> float:
    return layer.clock.period_ns * (1.0 - CLOCK_UNCERTAINTY)


def _product_delay(layer: StockLayer) -> float:
    """Delay of one product [ns]."""
    delays = DELAYS[layer.fabric]
    if not layer.shared and _made(layer).multipliers < 1.0:
        return delays.add + delays.add_per_bit * product_bits(layer)
    if in_dsp(layer) <= 0.5:
        return delays.lut_product
    narrow = max(layer.entering.bits, layer.weight.bits) <= NARROW_BITS
    return delays.dsp_product * (NARROW_SHARE if narrow else 1.0)
