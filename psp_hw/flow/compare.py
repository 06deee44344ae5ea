"""Compare the integer network with what must equal it: integers, ==, no tolerance; name the first that differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from psp_hw.errors import SpecError
from psp_hw.flow.images import FloatImages
from psp_hw.flow.progress import Progress
from psp_hw.flow.source import RUN_KIND, Source, SourceKind, model_file, read_json
from psp_hw.ir.graph import Graph
from psp_hw.sim.values import Simulator, decode, encode

IntArray = npt.NDArray[np.int64]
RealArray = npt.NDArray[np.float64]
BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Args:
        mismatches: images of which at least one output differs.
        first: in words, the first layer and position that differs; None where nothing does.
    """

    mismatches: int
    first: str | None


def with_brevitas(
    source: Source, graph: Graph, images: FloatImages, result: IntArray, progress: Progress
) -> Comparison:
    """Compare output codes with the quantized network of the run, evaluated in float64.

    Args:
        source: a run, or the QONNX file inside one.
        graph: what gave the result.
        images: [N, C, H, W].
        result: output codes [N, classes].
        progress: told how far it is.

    Raises:
        SpecError: the source holds no Brevitas network.
    """
    run = _run_of(source)
    from psp_hw.training.api import reference_outputs

    parts = []
    for at in range(0, len(images), BATCH):
        progress.step("evaluating the trained network", at, len(images))
        parts.append(reference_outputs(run, images[at : at + BATCH]))
    expected = np.concatenate(parts)
    differs = differing(expected, decode(result, graph.types[graph.output.name].fmt, graph.output.unit))
    if not differs.any():
        return Comparison(mismatches=0, first=None)
    image = int(np.argmax(differs))
    first = _first_layer(run, source, graph, images[image : image + 1])
    return Comparison(mismatches=int(differs.sum()), first=f"image {image}: {first}")


def differing(expected: RealArray, actual: RealArray) -> npt.NDArray[np.bool_]:
    """Per image, whether any output differs; outputs of another shape differ altogether."""
    if expected.shape != actual.shape:
        return np.ones(len(actual), dtype=np.bool_)
    differs: npt.NDArray[np.bool_] = (expected != actual).any(axis=1)
    return differs


def _run_of(source: Source) -> Path:
    """The run whose Brevitas network belongs to a source."""
    if source.kind is SourceKind.RUN:
        return source.path
    parent = source.path.resolve().parent
    manifest = parent / "manifest.json"
    inside = source.kind is SourceKind.ONNX and source.path.name == "model.onnx" and manifest.is_file()
    if inside and read_json(manifest).get("kind") == RUN_KIND:
        return parent
    raise SpecError(
        f"a {source.kind.value} holds no Brevitas network to compare with",
        where="--against brevitas",
        hint="name the run as SOURCE, or use --against csim",
    )


def _first_layer(run: Path, source: Source, graph: Graph, image: FloatImages) -> str:
    """The first value, in the order of execution, that is not what Brevitas computes; then the first that a pass changed."""
    from psp_hw.lowering.lower import lower_model
    from psp_hw.lowering.onnx_file import read
    from psp_hw.training.api import reference_trace

    path = model_file(source)
    lowered = lower_model(read(path), where=str(path))
    codes = encode(image, lowered.graph.input.type, lowered.graph.input.unit)
    before = channel_first(lowered.graph, codes)
    expected = reference_trace(run, image)
    pairs = (
        (name, expected[tensor], value)
        for name, value in before.items()
        if (tensor := lowered.tensors.get(name)) in expected
    )
    found = next(differences(pairs, "in Brevitas"), None)
    if found is not None:
        return found
    after = channel_first(graph, codes)
    kept = ((name, before[name], value) for name, value in after.items() if name in before)
    return next(differences(kept, "before the passes"), "only the outputs differ")


def channel_first(graph: Graph, codes: IntArray) -> Mapping[str, RealArray]:
    """Real value of every op [N, C, H, W], in order of execution."""
    trace = Simulator(graph).trace(codes)
    return {
        op.name: decode(trace[op.name], graph.types[op.name].fmt).transpose(0, 3, 1, 2) for op in graph.ops
    }


def differences(pairs: Iterable[tuple[str, RealArray, RealArray]], whose: str) -> Iterator[str]:
    """In words, the first position of every value that differs; values of other sizes lost channels to a pass."""
    for name, expected, actual in pairs:
        if expected.size != actual.size:
            continue
        given = expected.reshape(actual.shape)
        if not np.array_equal(given, actual):
            _, c, y, x = (int(i) for i in np.argwhere(given != actual)[0])
            here, there = actual[0, c, y, x], given[0, c, y, x]
            yield f"{name}, channel {c}, row {y}, column {x}: {here:g} in the graph, {there:g} {whose}"
