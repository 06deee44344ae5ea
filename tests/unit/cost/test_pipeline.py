"""Where registers cut a data path, held to the iteration latencies of published loops."""

from __future__ import annotations

import pytest

from psp_hw.cost.devices import Fabric
from psp_hw.cost.pipeline import DELAYS, Level, cut
from psp_hw.units import Clock

# ReLU loops of published C synthesis reports with II = 1: fabric, clock [ns], iteration latency [cycles], how many.
PUBLISHED = [
    (Fabric.SERIES7, 5.0, 4, 16),
    (Fabric.SERIES7, 5.0, 3, 4),
    (Fabric.SERIES7, 10.0, 3, 7),
    (Fabric.SERIES7, 25.0, 2, 2),
    (Fabric.ULTRASCALE, 5.0, 3, 3),
    (Fabric.ULTRASCALE_PLUS, 3.33, 3, 2),
    (Fabric.ULTRASCALE_PLUS, 4.0, 3, 2),
    (Fabric.ULTRASCALE_PLUS, 5.0, 3, 9),
    (Fabric.ULTRASCALE_PLUS, 5.0, 2, 2),
    (Fabric.ULTRASCALE_PLUS, 10.0, 2, 3),
    (Fabric.ULTRASCALE_PLUS, 25.0, 2, 2),
]


def relu_depth(fabric: Fabric, period: float) -> int:
    delays = DELAYS[fabric]
    levels = [Level(d, 1) for d in (delays.stream_read, delays.compare + delays.select, delays.stream_write)]
    return cut(levels, Clock(period_ns=period)).depth


@pytest.mark.parametrize(("fabric", "period", "iteration", "count"), PUBLISHED)
def test_the_depth_of_a_relu_is_within_a_cycle_of_every_published_loop(fabric, period, iteration, count):
    assert abs(relu_depth(fabric, period) + 1 - iteration) <= 1


def test_the_depth_is_that_of_most_published_relu_loops():
    exact = sum(count for fabric, period, it, count in PUBLISHED if relu_depth(fabric, period) + 1 == it)

    assert exact >= 0.8 * sum(count for *_, count in PUBLISHED)


def test_a_pipeline_is_cut_where_the_clock_ends():
    levels = [Level(3.0, 10), Level(3.0, 20), Level(3.0, 30), Level(20.0, 5), Level(1.0, 1)]

    found = cut(levels, Clock(period_ns=8.0))  # 7 ns after the uncertainty

    # 3 + 3 | 3 | 20 = 7 + 7 + 6, then 1: after 20 bits, after 30 bits, twice inside the long level
    assert 20 + 30 + 2 * 5 == found.registers
    assert 1 + 4 == found.depth


def test_a_slower_clock_never_needs_a_deeper_pipeline():
    for fabric in Fabric:
        depths = [relu_depth(fabric, period) for period in (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)]
        assert sorted(depths, reverse=True) == depths
