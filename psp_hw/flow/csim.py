"""Compare the integer network with the C++ that is written for it, compiled by g++."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from psp_hw.backends.base import Target
from psp_hw.backends.hls import emit
from psp_hw.flow.compare import Comparison, IntArray, channel_first, differences, differing
from psp_hw.flow.estimate import plan_for, settings_of
from psp_hw.flow.goal import GoalRequest
from psp_hw.flow.progress import Counter, Progress
from psp_hw.flow.source import Source, SourceKind, text_at
from psp_hw.flow.vectors import golden
from psp_hw.ir.graph import Graph
from psp_hw.sim.values import decode
from psp_hw.tools.gxx import compile_design

WHOSE = "in the compiled C++"


def with_csim(
    source: Source, graph: Graph, codes: IntArray, result: IntArray, progress: Progress
) -> Comparison:
    """Compare output codes with those of the compiled C++.

    Args:
        source: a design; of a run or file, the design that ``emit`` would write by default is compiled.
        graph: what gave the result.
        codes: input codes [N, H, W, C].
        result: output codes [N, classes].
        progress: told how far it is.

    Raises:
        PspHwError: the design is damaged, g++ is missing or fails.
    """
    with _design_of(source, progress) as design:
        progress.step("compiling", 0, None)
        with compile_design(design) as program:
            progress.step("compiling", 1, 1)
            other = program.run(codes, on_chunk=Counter("running the compiled C++", len(codes), progress))
        other = other.reshape(len(codes), -1)
        fmt = graph.types[graph.output.name].fmt
        wrong = differing(decode(other, fmt), decode(result, fmt))
        if not wrong.any():
            return Comparison(mismatches=0, first=None)
        image = int(np.argmax(wrong))
        first = _first_layer(design, graph, codes[image : image + 1], progress)
    return Comparison(mismatches=int(wrong.sum()), first=f"image {image}: {first}")


@contextlib.contextmanager
def _design_of(source: Source, progress: Progress) -> Iterator[Path]:
    """The design itself, or one that is written for a run, a file or a project of hls4ml and gone afterwards."""
    if source.kind is SourceKind.DESIGN and text_at(source.manifest, "target") != Target.HLS4ML.value:
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
            target=Target.VIVADO,
            vectors=golden(source, planned.graph),
            out=Path(folder) / "design",
        )
        yield Path(folder) / "design"


def _first_layer(design: Path, graph: Graph, codes: IntArray, progress: Progress) -> str:
    """The first value, in the order of execution, that the C++ computes otherwise."""
    progress.step("looking for the first layer that differs", 0, None)
    with compile_design(design, traced=True) as program:
        found = program.trace(codes)
    ours = channel_first(graph, codes)
    pairs = (
        (name, decode(found[name], graph.types[name].fmt).transpose(0, 3, 1, 2), value)
        for name, value in ours.items()
        if name in found
    )
    return next(differences(pairs, WHOSE), f"{graph.output.name}: only the outputs differ")
