"""Dense and convolution layers of hls4ml, as a record describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from psp_hw.cost.devices import FABRICS, Fabric, Family
from psp_hw.cost.published.records import (
    Record,
    RefusedError,
    check_modelled,
    count_of,
    number_of,
    object_of,
    text_of,
)
from psp_hw.units import Clock

_FIXED = re.compile(r"ap_(u?)fixed<(\d{1,4}),(-?\d{1,4})")
_INTEGER = re.compile(r"ap_(u?)int<(\d{1,4})")


class Tool(Enum):
    """What made a C synthesis report; the value is how records call it."""

    VIVADO_HLS = "Vivado HLS"
    VITIS_HLS = "Vitis HLS"


class Window(Enum):
    """How the templates of hls4ml make the window of a convolution from a stream."""

    PIPELINED = "pipelined"  # a line buffer, shifted in a pipeline
    LOOPED = "looped"  # a line buffer, shifted in loops over channels (hls4ml before 1.0, resource strategy)
    FIFOS = "fifos"  # a FIFO per value of the window (hls4ml before 0.6)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed-point type: its width, and how many of its bits are fractional [bits]."""

    bits: int
    fraction: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What is known of the constants of a layer.

    Args:
        count, alive: in all, and those that are not zero.
        skipped: zeros that hls4ml counted when it chose how many multipliers to allow.
        powers: powers of two.
        digits: canonical signed digits of all together.
        distinct: different values, zero included.
        magnitude: width of the largest magnitude [bits].
    """

    count: int
    alive: int
    skipped: int
    powers: int
    digits: int
    distinct: int
    magnitude: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLayer:
    """A dense or convolution layer of hls4ml: ``inputs * outputs`` weights, applied to every pixel.

    Args:
        kind: ``dense`` or ``conv2d``.
        strategy: ``latency`` or ``resource``.
        stream: io_stream; else io_parallel.
        window: how a convolution makes its window.
        rows: of the kernel; 1 for a dense layer.
        reuse: reuse factor.
        inputs, outputs: of the matrix; of a convolution the window and the filters.
        channels: input channels of a convolution; the inputs of a dense layer.
        pixels: input pixels per frame; 1 for a dense layer.
        columns: pixels of a row; 1 for a dense layer.
        beat: values per token of the input stream; 0 where there is none.
        entering, weight, acc: types.
        bound: whether the project binds products: to DSPs (True), to LUTs (False), or not at all (None).
        last_mux: ways of the last multiplexer of the design; 0 where it is not known.
    """

    kind: str
    strategy: str
    stream: bool
    window: Window
    rows: int
    reuse: int
    inputs: int
    outputs: int
    channels: int
    pixels: int
    columns: int
    beat: int
    entering: Fixed
    weight: Fixed
    acc: Fixed
    weights: Weights
    bound: bool | None
    tool: Tool
    fabric: Fabric
    clock: Clock
    last_mux: int = 0

    @property
    def shared(self) -> bool:
        """Whether multipliers are shared by a loop over the reuse factor; with a factor of 1 there is no loop."""
        return self.strategy == "resource" and self.reuse > 1


def stock_layer(record: Record, last_mux: int = 0) -> StockLayer:
    """The layer of a record.

    Args:
        record: the record.
        last_mux: ways of the last multiplexer of its design (``muxes.last_muxes``); 0 where it is not known.

    Raises:
        RefusedError: it is not modelled, or lacks what the model needs.
    """
    check_modelled(record)
    if record.strategy not in ("latency", "resource"):
        raise RefusedError(f"strategy {record.strategy} is not modelled")
    fields = record.fields
    try:
        parts = (object_of(fields, name) for name in ("shape", "precision", "weights", "hls"))
        return replace(_layer(record, *parts), last_mux=last_mux)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _layer(
    record: Record,
    shape: Mapping[str, object],
    precision: Mapping[str, object],
    weights: Mapping[str, object],
    hls: Mapping[str, object],
) -> StockLayer:
    if record.kind == "dense":
        inputs, outputs, pixels, columns = count_of(shape, "n_in"), count_of(shape, "n_out"), 1, 1
        channels, rows = inputs, 1
    else:
        channels, columns, rows = (count_of(shape, name) for name in ("in_c", "in_w", "k_h"))
        inputs = rows * count_of(shape, "k_w") * channels
        outputs, pixels = count_of(shape, "filters"), count_of(shape, "in_h") * columns
    script = _script(hls)
    beat = hls.get("stream_in_elems")
    return StockLayer(
        kind=record.kind,
        strategy=record.strategy,
        stream=hls.get("io_type") == "io_stream",
        window=_window(hls, script),
        rows=rows,
        reuse=count_of(hls, "reuse_factor"),
        inputs=inputs,
        outputs=outputs,
        channels=channels,
        pixels=pixels,
        columns=columns,
        beat=beat if isinstance(beat, int) else 0,
        entering=fixed_of(precision, "input"),
        weight=fixed_of(precision, "weight"),
        acc=fixed_of(precision, "accum"),
        weights=weights_of(weights),
        bound=_bound(script),
        tool=tool_of(record.fields),
        fabric=fabric_of(record.fields),
        clock=clock_of(record.fields),
    )


def weights_of(found: Mapping[str, object]) -> Weights:
    """The constants that a record describes, else ValueError."""
    count, zeros = count_of(found, "n"), number_of(found, "n_zero_q")
    skipped = found.get("n_zeros_hls4ml")
    return Weights(
        count=count,
        alive=count - zeros,
        skipped=skipped if isinstance(skipped, int) else zeros,
        powers=number_of(found, "n_pow2_q"),
        digits=number_of(found, "csd_digits"),
        distinct=number_of(found, "n_unique_q"),
        magnitude=number_of(found, "max_abs_bits"),
    )


def _script(hls: Mapping[str, object]) -> list[str]:
    lines = hls.get("tcl")
    return [str(line) for line in lines] if isinstance(lines, list) else []


def _window(hls: Mapping[str, object], script: list[str]) -> Window:
    """What the configuration tells of the templates: those of hls4ml 1.0 and later have a variable where older ones have a number."""
    if hls.get("implementation") is None:
        return Window.FIFOS
    numbered = any("config_array_partition -maximum_size 4096" in line for line in script)
    return Window.LOOPED if numbered else Window.PIPELINED


def _bound(lines: list[str]) -> bool | None:
    for line in lines:
        if "config_op" in line and "mul" in line:
            if "impl dsp" in line:
                return True
            if "impl fabric" in line:
                return False
    return None


def tool_of(fields: Mapping[str, object]) -> Tool:
    """The tool that a record names, else ValueError."""
    name = text_of(fields, "tool")
    for tool in Tool:
        if tool.value == name:
            return tool
    raise ValueError(f"tool {name!r} is not known")


def fabric_of(fields: Mapping[str, object]) -> Fabric:
    """The fabric of the family that a record names, else ValueError."""
    family = text_of(fields, "family")
    for known in Family:
        if known.value == family:
            return FABRICS[known]
    raise ValueError(f"family {family!r} is not known")


def clock_of(fields: Mapping[str, object]) -> Clock:
    """The clock that a record was made for, else ValueError."""
    value = fields.get("clk_target_ns")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError("no clk_target_ns")
    return Clock(period_ns=float(value))


def fixed_of(found: Mapping[str, object], name: str) -> Fixed:
    """A fixed-point type by its C++ name, else ValueError."""
    text = str(found.get(name))
    if match := _FIXED.match(text):
        return Fixed(int(match[2]), int(match[2]) - int(match[3]))
    if match := _INTEGER.match(text):
        return Fixed(int(match[2]), 0)
    raise ValueError(f"{name} type {found.get(name)!r}")
