"""The walk over a frame: every pixel enters once, every output leaves once, every tap lies where its pixel is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.folding.scan import Scan
from psp_hw.ir.infer import windows
from psp_hw.ir.types import Padding, Tap, TensorType


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    fmt = FixedPoint(width=8, signed=True, frac=0)
    image = TensorType(height=draw(st.integers(1, 6)), width=draw(st.integers(1, 6)), channels=1, fmt=fmt)
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    top, left, bottom, right = (draw(st.integers(0, kernel[side % 2])) for side in range(4))
    lacking = [
        max(0, kernel[0] - image.height - top - bottom),
        max(0, kernel[1] - image.width - left - right),
    ]
    padding = Padding(top=top, left=left, bottom=bottom + lacking[0], right=right + lacking[1])
    places = st.tuples(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1))
    taps = sorted(draw(st.sets(places, min_size=1)))
    height, width = windows(image, kernel, stride, padding)
    return Scan(
        source=image,
        out_height=height,
        out_width=width,
        taps=tuple(Tap(r, s) for r, s in taps),
        stride=stride,
        padding=padding,
    )


@given(scans())
def test_a_chain_of_delays_brings_every_tap_its_pixel(scan: Scan) -> None:
    """The chain as shift register of the walk's positions: what lies ``delay`` positions back is the next older tap's."""
    reads, writes = scan.reads(), scan.writes()
    assert scan.source.pixels == int(reads.sum())
    assert scan.outputs == int(writes.sum())

    entered = np.where(reads, np.cumsum(reads) - 1, -1)  # number of the pixel that enters at each step
    back = [sum(scan.delays[t:]) for t in range(len(scan.taps))]
    for output, step in enumerate(np.flatnonzero(writes).tolist()):
        y, x = divmod(output, scan.out_width)
        for tap, distance in zip(scan.taps, back, strict=True):
            row = y * scan.stride[0] + tap.r - scan.padding.top
            column = x * scan.stride[1] + tap.s - scan.padding.left
            inside = 0 <= row < scan.source.height and 0 <= column < scan.source.width
            if inside:
                assert step >= distance
                assert row * scan.source.width + column == entered[step - distance]
