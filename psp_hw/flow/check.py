"""Look at a QONNX file: what happens to every node, and how far the graph is from the float model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.errors import ModelError, SpecError, ToolError
from psp_hw.flow.files import write_files
from psp_hw.flow.images import from_file
from psp_hw.flow.progress import Progress, Silent
from psp_hw.flow.source import SourceKind, model_file, resolve
from psp_hw.ir.graph import Graph
from psp_hw.lowering.builder import Options, Outcome
from psp_hw.lowering.explain import Explained, explain
from psp_hw.lowering.lower import Lowered, lower_file
from psp_hw.lowering.reference import execute
from psp_hw.sim.values import Simulator, decode, encode

RealArray = npt.NDArray[np.float64]
DEFAULT_IMAGES = 4
_FORMAT = re.compile(r"([su])([0-9]{1,2})\.(-?[0-9]{1,2})")
_INPUT_BITS = (2, 16)
CALIBRATION_IMAGES = 8
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The graph against qonnx's executor, which computes in float32.

    Args:
        images: how many were run.
        outputs: numbers compared.
        differing: how many of them differ at all.
        largest: largest absolute difference.
        reach: largest absolute output of the reference.
        calibrated: on the caller's images; else on random ones over the range of the input.
    """

    images: int
    outputs: int
    differing: int
    largest: float
    reach: float
    calibrated: bool

    def __str__(self) -> str:
        whose = "your images" if self.calibrated else "random images"
        if self.differing == 0:
            return f"equal to qonnx's executor in all {self.outputs:,} outputs of {self.images} {whose}"
        return (
            f"{self.differing:,} of {self.outputs:,} outputs differ from qonnx's executor, which computes in float32, "
            f"on {self.images} {whose}, by at most {self.largest:.3g} where outputs reach {self.reach:.3g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """What ``psp-hw check`` says.

    Args:
        path: the model.
        nodes: every node, in order.
        exact: every node is computed exactly.
        problem: why the model cannot be used; None where it can.
        deviation: measured; None where it cannot be used or nothing was run.
        unmeasured: why nothing could be run.
    """

    path: Path
    nodes: tuple[Explained, ...]
    exact: bool
    problem: ModelError | None
    deviation: Deviation | None
    unmeasured: str | None = None


def check(
    path: Path | None,
    *,
    exact: bool = False,
    inputs: Path | None = None,
    images: int = DEFAULT_IMAGES,
    progress: Progress | None = None,
) -> CheckSummary:
    """Explain a model and measure it.

    Args:
        path: a QONNX file or a run; None takes the newest run.
        exact: count what is not computed exactly as unsupported.
        inputs: the caller's images, ``.npy`` [N, C, H, W].
        images: how many to run; 0 runs none.

    Raises:
        ModelError: the file is no ONNX file that can be read.
        SpecError: a design, or a negative number of images.
    """
    progress = progress or Silent()
    if images < 0:
        raise SpecError(f"{images} images", where="--images", hint="give 0 or more")
    source = resolve(path)
    if source.kind is SourceKind.DESIGN:
        raise SpecError(
            "a design holds no QONNX file", where=str(source.path), hint="name a run or a QONNX file"
        )
    file = model_file(source)
    progress.step("reading the network", 0, None)
    found = explain(file, Options(exact=exact))
    measured: Deviation | str | None = None
    if found.lowered is not None and images:
        measured = _measured(file, found.lowered, inputs, images, progress)
    return CheckSummary(
        path=file,
        nodes=found.nodes,
        exact=found.exact,
        problem=found.problem,
        deviation=measured if isinstance(measured, Deviation) else None,
        unmeasured=measured if isinstance(measured, str) else None,
    )


def quantize_input(path: Path | None, text: str, out: Path | None) -> Path:
    """Write a QONNX file beside another that quantizes its input first.

    Args:
        path: a QONNX file.
        text: the format, such as ``s8.5``: signed, 8 bits, 5 of them behind the point.
        out: the new file; None: beside the old one, named after the format.

    Returns:
        The new file.

    Raises:
        SpecError: not a file, or no format.
        ModelError: the file cannot be read, or quantizes its input itself.
    """
    from psp_hw.lowering.quantize_input import with_input_quant

    option = "--quantize-input"
    match = _FORMAT.fullmatch(text)
    low, high = _INPUT_BITS
    if match is None or not low <= int(match[2]) <= high:
        hint = f"write s8.5: signed (or u), {low} to {high} bits, so many of them behind the point"
        raise SpecError(f"'{text}' is no format", where=option, hint=hint)
    if path is None or resolve(path).kind is not SourceKind.ONNX:
        raise SpecError("only a QONNX file can lack it", where=option, hint="name the file")
    fmt = FixedPoint(width=int(match[2]), signed=match[1] == "s", frac=int(match[3]))
    target = out or path.with_name(f"{path.stem}-{fmt}{path.suffix}")
    if target.exists() and (target.is_dir() or target.samefile(path)):
        raise SpecError("is the file itself, or a folder", where=str(target), hint="name another file: --out")
    (written,) = write_files(target.parent, {target.name: with_input_quant(path, fmt)})
    return written


def _measured(
    path: Path, lowered: Lowered, inputs: Path | None, images: int, progress: Progress
) -> Deviation | str:
    """The deviation, or why it cannot be measured."""
    try:
        return measure(path, lowered, inputs=inputs, images=images, progress=progress)
    except ToolError as error:
        return error.what


def rounding(path: Path, *, inputs: Path | None = None) -> tuple[str, ...]:
    """What is to be said of a file that is not computed exactly: each rounded node, then the measured deviation.

    Args:
        path: of a QONNX file.
        inputs: calibration images; None measures on random ones.

    Returns:
        Sentences; none where everything is exact.
    """
    lowered = lower_file(path, Options(exact=False))
    if lowered.exact:
        return ()
    rounded = [remark for remark in lowered.remarks if remark.outcome is Outcome.ROUNDED]
    found = _measured(path, lowered, inputs, CALIBRATION_IMAGES, Silent())
    return (*(f"{remark.node.place}: {remark.text}" for remark in rounded), str(found))


def measure(
    path: Path, lowered: Lowered, *, inputs: Path | None, images: int, progress: Progress | None = None
) -> Deviation:
    """Run the graph and qonnx's executor on the same images."""
    progress = progress or Silent()
    graph = lowered.graph
    given = (
        from_file(inputs, graph.input.type).first(images).values if inputs else random_images(graph, images)
    )
    real = np.asarray(given, dtype=np.float64)
    expected = execute(
        path,
        real,
        channels_last=lowered.channels_last,
        on_image=lambda done: progress.step("running qonnx's executor", done, len(real)),
    )
    codes = Simulator(graph).run(encode(real, graph.input.type, graph.input.unit))
    values = decode(codes, graph.types[graph.output.name].fmt, graph.output.unit)
    if not lowered.output_channels_last:
        values = values.transpose(0, 3, 1, 2)
    actual = values.reshape(len(real), -1)
    if graph.output.unit != 1.0:  # the reference rounds a code times its scale to float32
        actual = actual.astype(np.float32).astype(np.float64)
    apart = np.abs(actual - expected)
    return Deviation(
        images=len(real),
        outputs=apart.size,
        differing=int(np.count_nonzero(apart)),
        largest=float(apart.max()),
        reach=float(np.abs(expected).max()),
        calibrated=inputs is not None,
    )


def random_images(graph: Graph, count: int) -> RealArray:
    """Images [N, C, H, W] over the whole range of the input, half of them near zero."""
    rng = np.random.default_rng(SEED)
    kind = graph.input.type
    wide = rng.uniform(kind.fmt.min, kind.fmt.max, size=(count, kind.channels, kind.height, kind.width))
    wide[1::2] /= 8
    real = decode(np.rint(wide * 16).astype(np.int64), kind.fmt, graph.input.unit) / 16
    return real.astype(np.float32).astype(np.float64)


def document(result: CheckSummary) -> dict[str, object]:
    """The JSON of ``check --json``."""
    deviation = result.deviation
    return {
        "model": result.path,
        "supported": result.problem is None,
        "exact": result.exact and result.problem is None,
        "problem": None if result.problem is None else str(result.problem),
        "nodes": [
            {"name": node.name, "op": node.op, "outcome": node.outcome.value, "what": node.text}
            for node in result.nodes
        ],
        "unmeasured": result.unmeasured,
        "deviation": None
        if deviation is None
        else {
            "images": deviation.images,
            "outputs": deviation.outputs,
            "differing": deviation.differing,
            "largest": deviation.largest,
            "reach": deviation.reach,
            "calibrated": deviation.calibrated,
        },
    }
