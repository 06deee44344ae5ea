"""Golden vectors of a design: frames whose outputs the value simulation knows exactly."""

from __future__ import annotations

import numpy as np

from psp_hw.backends.base import Vectors
from psp_hw.flow.images import data_of
from psp_hw.flow.source import Source, SourceKind
from psp_hw.ir.graph import Graph
from psp_hw.ir.types import TensorType
from psp_hw.sim.values import Simulator, encode

REAL_FRAMES = 8
NOISE_FRAMES = 4
SEED = 20190614  # any constant: the same design gets the same vectors


def golden(source: Source, graph: Graph) -> Vectors:
    """Frames that tell a right design from a wrong one: test images where they ship with the package, the extremes, noise.

    A data set that must be fetched takes no part, so that a design does not depend on what lies on a disk.
    """
    frame = graph.input.type
    frames = np.concatenate([_real(source, frame), _extremes(frame), _noise(frame)])
    return Vectors(inputs=frames, outputs=Simulator(graph).run(frames))


def _real(source: Source, frame: TensorType) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    from psp_hw.data.registry import DATA_SETS, load
    from psp_hw.data.split import Preprocessing

    info = DATA_SETS.get(data_of(source) or "")
    none = np.empty((0, *frame.shape), dtype=np.int64)
    if info is None or not info.ships or info.image != (frame.channels, frame.height, frame.width):
        return none
    stored = source.path / "input.npz"
    steps = Preprocessing.read(stored) if source.kind is SourceKind.RUN and stored.is_file() else None
    return encode(load(info.name, None, "test", preprocessing=steps).images[:REAL_FRAMES], frame)


def _extremes(frame: TensorType) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """All least, all zero, all largest: every saturation and every bias by itself."""
    return np.stack(
        [np.full(frame.shape, code, dtype=np.int64) for code in (frame.fmt.min, 0, frame.fmt.max)]
    )


def _noise(frame: TensorType) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Half over the whole range, half near zero."""
    rng = np.random.default_rng(SEED)
    shape = (NOISE_FRAMES // 2, *frame.shape)
    wide = rng.integers(frame.fmt.min, frame.fmt.max, size=shape, endpoint=True)
    near = rng.integers(frame.fmt.min // 8, frame.fmt.max // 8, size=shape, endpoint=True)
    return np.concatenate([wide, near]).astype(np.int64)
