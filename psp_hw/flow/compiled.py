"""What every comparison with compiled C++ shares: the design that is compiled, the verdict, the first layer that differs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from psp_hw.backends.base import Vectors
from psp_hw.flow.compare import Comparison, IntArray, channel_first, differences, differing
from psp_hw.flow.estimate import plan_for, settings_of
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.progress import Progress
from psp_hw.flow.source import Source
from psp_hw.flow.vectors import golden
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.sim.values import decode
from psp_hw.units import Clock


class Emit(Protocol):
    """The ``emit`` of a back end, its own options given."""

    def __call__(
        self, graph: Graph, plan: FoldPlan, /, *, part: str, clock: Clock, vectors: Vectors, out: Path
    ) -> object: ...


@contextlib.contextmanager
def written(source: Source, emit: Emit, progress: Progress) -> Iterator[Path]:
    """The design that ``psp-hw emit`` would write for a source, with the source's own plan where it has one; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="psp-hw-") as folder:
        settings = settings_of(source, None, None)
        planned = plan_for(source, settings, GoalRequest(), progress)
        emit(
            planned.graph,
            planned.plan,
            part=settings.part.name,
            clock=settings.clock,
            vectors=golden(source, planned.graph),
            out=Path(folder) / "design",
        )
        yield Path(folder) / "design"


def verdict(
    graph: Graph, codes: IntArray, result: IntArray, other: IntArray, first: Callable[[IntArray], str]
) -> Comparison:
    """Compare output codes of the graph with those of the compiled C++.

    Args:
        graph: what gave the result.
        codes: input codes [N, H, W, C].
        result, other: output codes [N, classes].
        first: says of one image [1, H, W, C] what differs first; asked only if something does.
    """
    fmt = graph.types[graph.output.name].fmt
    wrong = differing(decode(other, fmt), decode(result, fmt))
    if not wrong.any():
        return Comparison(mismatches=0, first=None)
    image = int(np.argmax(wrong))
    return Comparison(mismatches=int(wrong.sum()), first=f"image {image}: {first(codes[image : image + 1])}")


def first_layer(graph: Graph, codes: IntArray, found: Mapping[str, IntArray], whose: str) -> str:
    """The first value, in the order of execution, that the compiled C++ computes otherwise.

    Args:
        graph: what should have been computed.
        codes: one image [1, H, W, C].
        found: codes that the C++ gave, by value, [1, H, W, C] or [1, elements]; values may be missing.
        whose: ends the sentence, for example "in the compiled C++".
    """
    pairs = (
        (name, decode(found[name], graph.types[name].fmt).reshape(_nhwc(ours)).transpose(0, 3, 1, 2), ours)
        for name, ours in channel_first(graph, codes).items()
        if name in found and found[name].size == ours.size  # otherwise a pass removed channels
    )
    return next(differences(pairs, whose), f"{graph.output.name}: only the outputs differ")


def _nhwc(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[int, int, int, int]:
    images, channels, height, width = values.shape
    return images, height, width, channels
