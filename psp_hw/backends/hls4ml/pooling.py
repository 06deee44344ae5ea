"""Pooling as layers: hls4ml's own where its arithmetic is exact, else ours."""

from __future__ import annotations

from dataclasses import asdict, replace

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.hls4ml.engines import global_pool_record, window_pool_record
from psp_hw.backends.hls4ml.specs import LayerSpec, ends_as, shape_of
from psp_hw.backends.hls4ml.types import exact_type
from psp_hw.folding.engine import GlobalPoolEngine, WindowPoolEngine
from psp_hw.ir.ops import AvgPool
from psp_hw.ir.types import NO_PADDING, TensorType


def global_pool(engine: GlobalPoolEngine, name: str, inputs: tuple[str, ...]) -> LayerSpec:
    """The layer of a mean over the frame."""
    source, to = engine.source, engine.op.requantize
    ending = mean_ends_as(to, source.pixels, engine.result.fmt)
    if ending is None:
        return LayerSpec(
            name=name,
            kind="PspGlobalPool2D",
            inputs=inputs,
            entries={"output_shape": shape_of(engine.result), "engine": asdict(global_pool_record(engine))},
            precision={"result": exact_type(engine.result.fmt)},
        )
    return LayerSpec(
        name=name,
        kind="GlobalAveragePooling2D",
        inputs=inputs,
        entries={
            "in_height": source.height,
            "in_width": source.width,
            "n_filt": source.channels,
            "data_format": "channels_last",
        },
        precision={"accum": exact_type(mean_type(source, source.pixels, to)), "result": ending},
    )


def mean_ends_as(to: Requantizer | None, area: int, fmt: FixedPoint) -> str | None:
    """As ``ends_as`` for a layer that divides by the area itself; None where the requantizer divides by something else, too."""
    odd = area >> ((area & -area).bit_length() - 1)
    if to is not None and to.divisor == odd:
        to = replace(to, divisor=1)
    return ends_as(to, fmt)


def mean_type(source: TensorType, area: int, to: Requantizer | None) -> FixedPoint:
    """Format in which ``sum / area``, cut off below its last bit, still rounds as the exact mean does.

    hls4ml divides in the accumulator's own type, cutting off. With out.frac fractional bits in the result, the mean is a
    fraction of denominator ``D = 2 * area * 2**max(0, frac - out.frac)`` in half steps of the result: where it is no half step
    it lies at least 1 / D of a result's step from one. So bits finer than that keep ties and everything else apart.

    Args:
        source: what is averaged.
        area: pixels of a window.
        to: what follows; None where the exact mean leaves.
    """
    total = FixedPoint.holding(source.fmt.range.including(0).scaled(area), frac=source.fmt.frac)
    bits = (area - 1).bit_length()
    if area == 1 << bits:
        frac = source.fmt.frac + bits  # exact
    else:
        assert to is not None, "a mean over an area that is no power of two is rounded"
        frac = max(source.fmt.frac, to.fmt.frac + 1 + bits + max(0, source.fmt.frac - to.fmt.frac))
    more = frac - source.fmt.frac
    return FixedPoint(width=total.width + 1 - int(total.signed) + more, signed=True, frac=frac)


def window_pool(engine: WindowPoolEngine, name: str, inputs: tuple[str, ...]) -> LayerSpec:
    """The layer of a maximum or mean over windows."""
    op, source, result = engine.op, engine.source, engine.result
    to = op.requantize if isinstance(op, AvgPool) else None
    area = op.kernel[0] * op.kernel[1]
    ending = mean_ends_as(to, area, result.fmt) if isinstance(op, AvgPool) else exact_type(result.fmt)
    # hls4ml streams through windows that tile the frame; its padding of unsigned numbers is their maximum, not their minimum.
    if op.kernel != op.stride or engine.scan.padding != NO_PADDING or ending is None:
        return LayerSpec(
            name=name,
            kind="PspWindowPool2D",
            inputs=inputs,
            entries={"output_shape": shape_of(result), "engine": asdict(window_pool_record(engine))},
            precision={"result": exact_type(result.fmt)},
        )
    accum = mean_type(source, area, to) if isinstance(op, AvgPool) else source.fmt
    return LayerSpec(
        name=name,
        kind="AveragePooling2D" if isinstance(op, AvgPool) else "MaxPooling2D",
        inputs=inputs,
        entries={
            "data_format": "channels_last",
            "in_height": source.height,
            "in_width": source.width,
            "n_filt": source.channels,
            "pool_height": op.kernel[0],
            "pool_width": op.kernel[1],
            "stride_height": op.stride[0],
            "stride_width": op.stride[1],
            "out_height": result.height,
            "out_width": result.width,
            **dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0),
        },
        precision={"accum": exact_type(accum), "result": ending},
    )
