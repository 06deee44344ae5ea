"""Run a source on images in exact integers, and compare with something that must be equal."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

import numpy as np
import numpy.typing as npt

from psp_hw.errors import RunError, SpecError
from psp_hw.flow.compare import Comparison, with_brevitas
from psp_hw.flow.csim import with_csim
from psp_hw.flow.files import write_files
from psp_hw.flow.hls4ml import with_hls4ml
from psp_hw.flow.images import Images, from_file, split_for_test
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.provenance import record_check
from psp_hw.flow.runs import as_word
from psp_hw.flow.source import Source, SourceKind, read_graph, resolve
from psp_hw.ir.graph import Graph
from psp_hw.report.model import CheckSummary
from psp_hw.sim.values import Simulator, decode, encode
from psp_hw.spec.names import suggestion
from psp_hw.tools.gxx import Widths

IntArray = npt.NDArray[np.int64]


class Against(Enum):
    """What a simulation is compared with."""

    BREVITAS = "brevitas"
    CSIM = "csim"
    HLS4ML = "hls4ml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What ``psp-hw simulate`` was asked; None means not asked."""

    source: Path | None = None
    data: str | None = None
    data_dir: Path | None = None
    against: str | None = None
    widths: str | None = None
    limit: int | None = None
    inputs: Path | None = None
    outputs: Path | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSummary:
    """What came of it.

    Args:
        source: what was simulated.
        images: how many.
        accuracy: share of images whose largest output is their class; None for images without classes.
        against: what it was compared with; None where nothing was.
        widths: the words in which the compiled C++ computed; None where it was not compared.
        mismatches: images of which at least one output integer differs; None where nothing was compared.
        images_per_second: of the integer simulation.
        first_difference: names the first layer and position that differs.
    """

    source: Source
    images: int
    accuracy: float | None
    against: Against | None
    widths: Widths | None
    mismatches: int | None
    images_per_second: float
    first_difference: str | None

    @property
    def check(self) -> CheckSummary | None:
        """The comparison, as the report of a run or design shows it; None where nothing was compared."""
        if self.against is None or self.mismatches is None:
            return None
        return CheckSummary(
            against=self.against.value,
            widths=None if self.widths is None else self.widths.value,
            images=self.images,
            mismatches=self.mismatches,
            accuracy=self.accuracy,
            images_per_second=self.images_per_second,
        )


def document(result: SimulateSummary) -> dict[str, object]:
    """The JSON of ``simulate --json``."""
    return {
        "images": result.images,
        "accuracy": result.accuracy,
        "against": None if result.against is None else result.against.value,
        "widths": None if result.widths is None else result.widths.value,
        "mismatches": result.mismatches,
        "images_per_second": result.images_per_second,
    }


def simulate(request: Request, *, progress: Progress | None = None) -> SimulateSummary:
    """Simulate, compare, write the outputs.

    Raises:
        PspHwError: bad options, a source or images that cannot be used, a missing compiler.
    """
    progress = progress or Silent()
    against = _against(request.against)
    widths = _widths(request.widths, against)
    if request.limit is not None and request.limit < 1:
        raise SpecError(f"{request.limit} images", where="--limit", hint="give at least 1")
    if request.inputs is not None and request.data is not None:
        raise SpecError("--inputs and --data exclude each other", where="simulate", hint="give one of them")
    ends = [path.resolve() for path in (request.inputs, request.outputs) if path is not None]
    if len(set(ends)) < len(ends):
        raise SpecError("is the file of the inputs", where="--outputs", hint="name another file")
    source = resolve(request.source, exact=request.exact)
    graph = read_graph(source)
    images = _images(request, source, graph).first(request.limit)
    codes = encode(images.values, graph.input.type, graph.input.unit)
    start = time.perf_counter()
    result = run(graph, codes, progress)
    seconds = time.perf_counter() - start
    found = (
        None if against is None else _compare(against, widths, source, graph, images, codes, result, progress)
    )
    if request.outputs is not None:
        write_outputs(request.outputs, decode(result, graph.types[graph.output.name].fmt, graph.output.unit))
    summary = SimulateSummary(
        source=source,
        images=len(codes),
        accuracy=accuracy(result, images.labels),
        against=against,
        widths=widths,
        mismatches=None if found is None else found.mismatches,
        images_per_second=len(codes) / max(seconds, 1e-9),
        first_difference=None if found is None else found.first,
    )
    check = summary.check
    if check is not None and request.inputs is None and source.kind is not SourceKind.ONNX:
        with contextlib.suppress(RunError):  # a folder that cannot be written goes without
            record_check(source.path, check)
    return summary


def _compare(
    against: Against,
    widths: Widths | None,
    source: Source,
    graph: Graph,
    images: Images,
    codes: IntArray,
    result: IntArray,
    progress: Progress,
) -> Comparison:
    match against:
        case Against.BREVITAS:
            return with_brevitas(source, graph, images.values, result, progress)
        case Against.CSIM:
            return with_csim(source, graph, codes, result, progress, widths=widths or Widths.MACHINE)
        case Against.HLS4ML:
            return with_hls4ml(source, graph, codes, result, progress)
        case _:
            assert_never(against)


def run(graph: Graph, codes: IntArray, progress: Progress) -> IntArray:
    """Output codes [N, classes] of input codes [N, H, W, C]."""
    total = len(codes)
    done = 0

    def advance(images: int) -> None:
        nonlocal done
        done += images
        progress.step("simulating", done, total)

    return Simulator(graph).run(codes, on_chunk=advance).reshape(total, -1)


def accuracy(result: IntArray, labels: IntArray | None) -> float | None:
    """Share of images whose largest output (the first of equals) is their class."""
    return None if labels is None else float((result.argmax(axis=1) == labels).mean())


def write_outputs(path: Path, values: npt.NDArray[np.float64]) -> None:
    """Write the real-valued outputs as ``.npy``."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    write_files(path.parent, {path.name: content.getvalue()})


def _against(word: str | None) -> Against | None:
    if word is None:
        return None
    known = [member.value for member in Against]
    if word not in known:
        raise SpecError(f"unknown comparison '{word}'", where="--against", hint=suggestion(word, known))
    return Against(word)


def _widths(word: str | None, against: Against | None) -> Widths | None:
    """The words in which the compiled C++ computes; None where none of ours is compiled."""
    if word is None:
        return Widths.MACHINE if against is Against.CSIM else None
    known = [member.value for member in Widths]
    if word not in known:
        raise SpecError(f"unknown widths '{word}'", where="--widths", hint=suggestion(word, known))
    if against is not Against.CSIM:
        raise SpecError(
            "only the C++ that --against csim compiles has widths to choose",
            where="--widths",
            hint=f"say --against csim --widths {word}",
        )
    return Widths(word)


def _images(request: Request, source: Source, graph: Graph) -> Images:
    if request.inputs is not None:
        return from_file(request.inputs, graph.input.type)
    return split_for_test(source, request.data, request.data_dir, graph.input.type, request.limit)


def what_next(result: SimulateSummary) -> tuple[str, str]:
    """What usually follows a simulation: in words, and as a command."""
    path = as_word(result.source.path)
    if result.source.kind is SourceKind.DESIGN:
        return "read the report", f"psp-hw report {path}"
    if result.against is None and result.source.kind is SourceKind.RUN:
        return "compare with the trained network", f"psp-hw simulate {path} --against brevitas"
    return "generate the hardware", f"psp-hw emit {path} --target vivado"
