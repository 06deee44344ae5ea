"""Quantities in words."""

from __future__ import annotations

import pytest

from psp_hw.units import microseconds


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (231.13, "231.1 us"),
        (14_213.61, "14,213.6 us"),
        (10.0, "10.0 us"),
        (1.2649, "1.26 us"),
        (0.04329, "0.0433 us"),  # 13 cycles at 3.33 ns
    ],
)
def test_a_time_has_three_digits_at_least(time: float, text: str) -> None:
    assert text == microseconds(time)
