"""Compare the integer network with the hls4ml project that is written for it, compiled by hls4ml itself."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from psp_hw.backends.base import Target
from psp_hw.backends.hls4ml import emit
from psp_hw.errors import ToolError
from psp_hw.flow.compare import Comparison, IntArray, channel_first, differences, differing
from psp_hw.flow.estimate import plan_for, settings_of
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.progress import Counter, Progress
from psp_hw.flow.source import Source, SourceKind, text_at
from psp_hw.flow.vectors import golden
from psp_hw.ir.graph import Graph
from psp_hw.sim.values import decode
from psp_hw.tools.hls4ml import compile_and_run, trace

WHOSE = "in the project that hls4ml compiled"


def with_hls4ml(
    source: Source, graph: Graph, codes: IntArray, result: IntArray, progress: Progress
) -> Comparison:
    """Compare output codes with those of the hls4ml project.

    Args:
        source: a design for hls4ml; of anything else, a project with the same plan, or the one that ``emit`` would write by
            default, is compiled.
        graph: what gave the result.
        codes: input codes [N, H, W, C].
        result: output codes [N, classes].
        progress: told how far it is.

    Raises:
        PspHwError: the project is damaged, g++ is missing or fails.
    """
    with _project_of(source, progress) as project:
        progress.step("compiling with hls4ml", 0, None)
        counter = Counter("running what hls4ml compiled", len(codes), progress)
        other = compile_and_run(project, codes, on_chunk=counter)
        fmt = graph.types[graph.output.name].fmt
        wrong = differing(decode(other, fmt), decode(result, fmt))
        if not wrong.any():
            return Comparison(mismatches=0, first=None)
        image = int(np.argmax(wrong))
        first = _first_layer(project, graph, codes[image : image + 1], progress)
    return Comparison(mismatches=int(wrong.sum()), first=f"image {image}: {first}")


@contextlib.contextmanager
def _project_of(source: Source, progress: Progress) -> Iterator[Path]:
    """The project itself, or one that is written and gone afterwards."""
    if source.kind is SourceKind.DESIGN and text_at(source.manifest, "target") == Target.HLS4ML.value:
        yield source.path
        return
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


def _first_layer(project: Path, graph: Graph, codes: IntArray, progress: Progress) -> str:
    """The first value, in the order of execution, that the project computes otherwise."""
    progress.step("looking for the first layer that differs", 0, None)
    try:
        found = trace(project, codes)
    except ToolError as error:
        return f"{graph.output.name} (no layer could be traced: {error})"
    ours = channel_first(graph, codes)
    pairs = (
        (
            name,
            decode(found[name], graph.types[name].fmt).reshape(1, *_nhwc(value.shape)).transpose(0, 3, 1, 2),
            value,
        )
        for name, value in ours.items()
        if name in found
    )
    return next(differences(pairs, WHOSE), f"{graph.output.name}: only the outputs differ")


def _nhwc(shape: tuple[int, ...]) -> tuple[int, int, int]:
    _, channels, height, width = shape
    return height, width, channels
