"""Compare the integer network with the hls4ml project that is written for it, compiled by hls4ml itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from psp_hw.backends.base import Target
from psp_hw.backends.hls4ml import emit
from psp_hw.errors import ToolError
from psp_hw.flow.compare import Comparison, IntArray
from psp_hw.flow.compiled import first_layer, verdict, written
from psp_hw.flow.progress import Counter, Progress
from psp_hw.flow.source import Source, SourceKind, text_at
from psp_hw.ir.graph import Graph
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

        def first(image: IntArray) -> str:
            progress.step("looking for the first layer that differs", 0, None)
            try:
                found = trace(project, image)
            except ToolError as error:
                return f"{graph.output.name} (no layer could be traced: {error})"
            return first_layer(graph, image, found, WHOSE)

        return verdict(graph, codes, result, other, first)


@contextlib.contextmanager
def _project_of(source: Source, progress: Progress) -> Iterator[Path]:
    """The project itself, or one that is written and gone afterwards."""
    if source.kind is SourceKind.DESIGN and text_at(source.manifest, "target") == Target.HLS4ML.value:
        yield source.path
        return
    with written(source, emit, progress) as project:
        yield project
