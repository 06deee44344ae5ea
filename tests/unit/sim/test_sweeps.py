"""How many tokens a channel holds."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.sim.sweeps import holds_more, occupancy


@pytest.mark.parametrize("seed", range(20))
def test_a_channelholds_more_than_some_tokens_exactly_where_its_count_says_so(seed):
    rng = np.random.default_rng(seed)
    tokens, frames = int(rng.integers(1, 6)), 4
    written = np.cumsum(rng.integers(1, 4, size=tokens * frames))
    read = np.maximum.accumulate(written + rng.integers(1, 30, size=len(written)))
    by_frame = read.reshape(frames, tokens)
    for frame, some in enumerate(written.reshape(frames, tokens)):
        most = occupancy(some, read, frame * tokens)
        for held in range(most + 3):
            assert (most > held) == holds_more(some, list(by_frame[: frame + 1]), held)
