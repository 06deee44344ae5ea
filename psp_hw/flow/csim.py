"""Compare the integer network with the C++ that is written for it, compiled by g++."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from psp_hw.backends.base import Target
from psp_hw.backends.hls import emit
from psp_hw.flow.compare import Comparison, IntArray
from psp_hw.flow.compiled import first_layer, verdict, written
from psp_hw.flow.progress import Counter, Progress
from psp_hw.flow.source import Source, SourceKind, text_at
from psp_hw.ir.graph import Graph
from psp_hw.tools.gxx import Widths, compile_design

WHOSE = "in the compiled C++"


def with_csim(
    source: Source, graph: Graph, codes: IntArray, result: IntArray, progress: Progress, *, widths: Widths
) -> Comparison:
    """Compare output codes with those of the compiled C++.

    Args:
        source: a design; of a run or file, the design that ``emit`` would write by default is compiled.
        graph: what gave the result.
        codes: input codes [N, H, W, C].
        result: output codes [N, classes].
        progress: told how far it is.
        widths: the words in which the C++ computes.

    Raises:
        PspHwError: the design is damaged, g++ is missing or fails.
    """
    with _design_of(source, progress) as design:
        progress.step("compiling", 0, None)
        with compile_design(design, widths=widths) as program:
            progress.step("compiling", 1, 1)
            other = program.run(codes, on_chunk=Counter("running the compiled C++", len(codes), progress))

        def first(image: IntArray) -> str:
            progress.step("looking for the first layer that differs", 0, None)
            with compile_design(design, traced=True, widths=widths) as traced:
                return first_layer(graph, image, traced.trace(image), WHOSE)

        return verdict(graph, codes, result, other.reshape(len(codes), -1), first)


@contextlib.contextmanager
def _design_of(source: Source, progress: Progress) -> Iterator[Path]:
    """The design itself, or one that is written for a run, a file or a project of hls4ml and gone afterwards."""
    if source.kind is SourceKind.DESIGN and text_at(source.manifest, "target") != Target.HLS4ML.value:
        yield source.path
        return
    with written(source, partial(emit, target=Target.VIVADO), progress) as design:
        yield design
