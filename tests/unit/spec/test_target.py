"""How fast and how large a design shall be."""

from __future__ import annotations

import pytest

from psp_hw.errors import SpecError
from psp_hw.spec.target import DEFAULT_GOAL, Fps, MaxThroughput


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_a_number_above_zero(rate):
    with pytest.raises(SpecError, match=r"^fps: .* frames per second \(give a number above 0\)"):
        Fps(frames_per_second=rate)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_a_share_of_a_part_lies_within_it(share):
    with pytest.raises(SpecError, match=r"a share of .* is outside 0 \.\. 1"):
        MaxThroughput(share=share)


def test_nothing_said_leaves_room_on_the_part():
    assert MaxThroughput(share=0.7) == DEFAULT_GOAL
