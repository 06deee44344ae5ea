"""How fast and how large a design shall be."""

from __future__ import annotations

import pytest

from psp_hw.errors import SpecError
from psp_hw.spec.target import DEFAULT_GOAL, Fps, Latency, MaxThroughput


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_a_number_above_zero(rate):
    with pytest.raises(SpecError, match=r"^fps: .* frames per second \(give a number above 0\)"):
        Fps(frames_per_second=rate)


@pytest.mark.parametrize("time", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_is_a_number_above_zero(time):
    with pytest.raises(SpecError, match=r"^latency-us: a latency of .* us \(give a number above 0\)"):
        Latency(microseconds=time)


def test_goals_beyond_eleven_days_are_refused():
    with pytest.raises(
        SpecError, match=r"^latency-us: a latency of 1e\+308 us is more than 1e\+12 us, eleven days \(ask"
    ):
        Latency(microseconds=1e308)
    with pytest.raises(
        SpecError, match=r"^fps: 1e-308 frames per second is less than 1e-06, .* eleven days \(ask"
    ):
        Fps(frames_per_second=1e-308)

    assert (
        Latency(microseconds=1e12).microseconds == 1.0 / Fps(frames_per_second=1e-6).frames_per_second * 1e6
    )


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_a_share_of_a_part_lies_within_it(share):
    with pytest.raises(SpecError, match=r"a share of .* is outside 0 \.\. 1"):
        MaxThroughput(share=share)


def test_nothing_said_leaves_room_on_the_part():
    assert MaxThroughput(share=0.7) == DEFAULT_GOAL
