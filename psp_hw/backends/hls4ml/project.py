"""The project folder: what hls4ml writes, and what makes it a design of ours."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import psp_hw
from psp_hw.arith.requantize import IntArray
from psp_hw.backends.base import DESIGN_FORMAT, DESIGN_KIND, Target, Vectors, source_hash
from psp_hw.backends.folder import MANIFEST, check_replaceable, write_folder
from psp_hw.backends.hls.project import print_vectors
from psp_hw.backends.hls4ml.model import layer_names, layer_specs
from psp_hw.backends.hls4ml.settings import Backend, IoType, Settings
from psp_hw.backends.hls4ml.specs import INPUT_NAME, LayerSpec, layer_list, precision_config
from psp_hw.backends.made_for import KEY, MadeFor, to_json
from psp_hw.backends.names import identifiers
from psp_hw.backends.plan_file import PLAN_NAME, print_plan
from psp_hw.backends.templates import template_dir
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import Dataflow, build
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, FoldPlan
from psp_hw.folding.ports import MOST_BITS, check_streams
from psp_hw.ir.graph import Graph
from psp_hw.ir.store import files_of
from psp_hw.ir.types import TensorType
from psp_hw.units import Clock

MODEL_NAME = "model.fml"
STAMP_LETTER = "p"  # no number in YAML begins with it, nor has a hexadecimal stamp of hls4ml one
HERE = "."


def emit(
    graph: Graph,
    plan: FoldPlan,
    *,
    part: str,
    clock: Clock,
    vectors: Vectors,
    out: Path,
    io_type: IoType = IoType.STREAM,
    backend: Backend = Backend.VITIS,
    report_files: Mapping[str, str | bytes] | None = None,
    made_for: MadeFor | None = None,
) -> tuple[Path, ...]:
    """Write the hls4ml project of a graph under a plan.

    Args:
        graph: what is computed.
        plan: how it runs.
        part: full name of the part, as the tool knows it.
        clock: the clock to aim at.
        vectors: golden vectors for the tests.
        out: the folder; a design of ours that stands there is replaced in one step.
        io_type: how layers are joined.
        backend: the back end of hls4ml.
        report_files: further files by name, such as ``report.html``.
        made_for: what the manifest remembers of the request.

    Returns:
        The files written, sorted.

    Raises:
        SpecError: the plan does not suit the graph, an op has no layer, or a pixel is wider than a stream of Vitis HLS.
        RunError: ``out`` holds something that is not ours, or cannot be written.
    """
    check_replaceable(out)
    settings = Settings(part=part, clock=clock, io_type=io_type, backend=backend)
    return write_folder(out, project_files(graph, plan, settings, vectors, report_files or {}, made_for))


def project_files(
    graph: Graph,
    plan: FoldPlan,
    settings: Settings,
    vectors: Vectors,
    report_files: Mapping[str, str | bytes],
    made_for: MadeFor | None = None,
) -> dict[str, bytes]:
    """Content of every file of a project, by path relative to its folder; the same bytes for the same arguments."""
    vectors.check(graph)
    flow = build(graph, plan)
    packed = settings.io_type is IoType.STREAM and settings.backend is Backend.VITIS
    if packed:
        check_streams(flow)
    top = identifiers([graph.name])[graph.name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        model = model_graph(graph, flow, settings, top, folder)
        if packed:
            _check_inner_streams(model)
        with _quiet():
            model.write()
            model.save(str(folder / MODEL_NAME))
        files = _settled(_read(folder), folder, str(model.config.get_config_value("Stamp")))
    files |= {**files_of(graph), PLAN_NAME: print_plan(plan).encode()}
    files["vectors/inputs.txt"] = print_vectors(vectors.inputs).encode()
    files["vectors/outputs.txt"] = print_vectors(vectors.outputs).encode()
    files["tb_data/tb_input_features.dat"] = _dat(vectors.inputs, graph.input.type)
    files["tb_data/tb_output_predictions.dat"] = _dat(vectors.outputs, graph.types[graph.output.name])
    about = _about(graph, settings, top, source_hash(graph, plan), len(vectors.inputs))
    files["README.md"] = _render("README.md.jinja", about).encode()
    files["test_design.py"] = _render("test_design.py.jinja", about).encode()
    reports = {
        name: content.encode() if isinstance(content, str) else content
        for name, content in report_files.items()
    }
    manifest = _manifest(about, graph, files, made_for).encode()  # reports are written again later
    return {**files, **reports, MANIFEST: manifest}


def model_graph(graph: Graph, flow: Dataflow, settings: Settings, top: str, folder: Path) -> Any:
    """The ``hls4ml.model.ModelGraph`` of a design, ready to write; its output directory is ``folder``."""
    with _quiet():
        from hls4ml.model import ModelGraph
        from hls4ml.utils.config import create_config

        from psp_hw.backends.hls4ml.plugin import register

        register()
        specs = layer_specs(graph, flow, forks=settings.io_type is IoType.PARALLEL)
        config = create_config(
            output_dir=str(folder),
            project_name=top,
            backend=settings.backend.value,
            version=psp_hw.__version__,
            part=settings.part,
            clock_period=settings.clock.period_ns,
            io_type=settings.io_type.value,
        )
        config["HLSConfig"] = precision_config(specs)
        model = ModelGraph.from_layer_list(
            config, layer_list(specs), inputs=[INPUT_NAME], outputs=[specs[-1].name]
        )
        if settings.io_type is IoType.STREAM:
            _set_fifo_depths(model, specs, flow)
    return model


def _set_fifo_depths(model: Any, specs: tuple[LayerSpec, ...], flow: Dataflow) -> None:
    """Give every stream the depth of the plan; hls4ml alone would make each a frame deep.

    A stream of hls4ml is known by the layer that reads it: one of ours, or a clone, which stands where we have a fork.
    """
    depths = {channel.name: channel.depth for channel in flow.channels}
    for spec in specs:
        node = model.graph.get(spec.name)
        if node is None:  # hls4ml drops what does nothing
            continue
        for port, channel in enumerate(spec.channel_inputs):
            inside = DEFAULT_FIFO_DEPTH  # between two layers that make up one engine
            _set_depth(model, node.inputs[port], inside if channel is None else depths[channel])
            before = node.get_input_node(node.inputs[port])
            if before is not None and before.class_name == "Clone":
                fork = next(c.source for c in flow.channels if c.name == channel)
                _set_depth(model, before.inputs[0], flow.inputs(fork)[0].depth)


def _set_depth(model: Any, name: str, depth: int) -> None:
    if name not in model.inputs:
        model.output_vars[name].pragma = ("stream", depth)


def _check_inner_streams(model: Any) -> None:
    """Also between the layers of one engine, where accumulators pass, a pixel is one word in Vitis HLS: it aggregates the
    ``nnet::array`` of a stream (HLS 214-241) and takes no more than MOST_BITS.

    Raises:
        SpecError: names every layer whose pixel is wider.
    """
    found = [(layer.name, layer.get_output_variable()) for layer in model.get_layers()]
    pixels = [(name, int(out.shape[-1]), int(out.type.precision.width)) for name, out in found]
    wide = [
        f"{name} gives pixels of {channels * width} bits ({channels} channels of {width} bits)"
        for name, channels, width in pixels
        if channels * width > MOST_BITS
    ]
    if wide:
        raise SpecError(
            f"{'; '.join(wide)}: wider than the {MOST_BITS} bits of a stream",
            where="hls4ml",
            hint="use --io-type io_parallel, fewer or narrower channels, or --target vitis, where no such stream is",
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """hls4ml prints; a library does not."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _settled(files: Mapping[str, bytes], folder: Path, stamp: str) -> dict[str, bytes]:
    """Without the place where hls4ml wrote them, and with a stamp that follows from the content.

    The stamp is part of the name of the compiled library.
    """
    here = {
        name: _repacked(content, folder, stamp)
        if name == MODEL_NAME
        else _blanked(content.replace(str(folder).encode(), HERE.encode()), stamp)
        for name, content in files.items()
    }
    own = STAMP_LETTER + _hash(here)[: len(stamp) - len(STAMP_LETTER)]
    return {
        name: content if name == MODEL_NAME else content.replace(_blank(stamp), own.encode())
        for name, content in here.items()
    }


def _blank(stamp: str) -> bytes:
    return (STAMP_LETTER + "0" * (len(stamp) - len(STAMP_LETTER))).encode()


def _blanked(content: bytes, stamp: str) -> bytes:
    """The same with a stamp that is always the same; YAML puts one in quotes that by chance reads as a number."""
    return content.replace(f"'{stamp}'".encode(), _blank(stamp)).replace(stamp.encode(), _blank(stamp))


def _repacked(archive: bytes, folder: Path, stamp: str) -> bytes:
    """The archive of a saved model without the place, the stamp and the times of its writing."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as new,
    ):
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            source = old.extractfile(member)
            if source is None:
                continue
            content = _blanked(source.read().replace(str(folder).encode(), HERE.encode()), stamp)
            entry = tarfile.TarInfo(member.name.removeprefix("./"))
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _hash(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return total.hexdigest()


def _dat(codes: IntArray, kind: TensorType) -> bytes:
    """Frames as the testbench of hls4ml reads them: real values, a frame per line."""
    real = np.ldexp(codes.reshape(len(codes), -1).astype(np.float64), -kind.fmt.frac)
    return "".join(" ".join(map(repr, row)) + "\n" for row in real.tolist()).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the README, the tests and the manifest say."""

    version: str
    hls4ml: str
    name: str
    top: str
    part: str
    clock_ns: float
    io_type: str
    backend: str
    source_hash: str
    input: TensorType
    input_unit: float
    output: TensorType
    output_unit: float
    frames: int


def _about(graph: Graph, settings: Settings, top: str, made_from: str, frames: int) -> About:
    import hls4ml

    return About(
        version=psp_hw.__version__,
        hls4ml=hls4ml.__version__,
        name=graph.name,
        top=top,
        part=settings.part,
        clock_ns=settings.clock.period_ns,
        io_type=settings.io_type.value,
        backend=settings.backend.value,
        source_hash=made_from,
        input=graph.input.type,
        input_unit=graph.input.unit,
        output=graph.types[graph.output.name],
        output_unit=graph.output.unit,
        frames=frames,
    )


def _render(template: str, about: About) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_dir() / "hls4ml"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown and Python, not HTML; every name is an identifier
    )
    return environment.get_template(template).render(design=about)


def _manifest(about: About, graph: Graph, files: Mapping[str, bytes], made_for: MadeFor | None) -> str:
    document = {
        "kind": DESIGN_KIND,
        "format": DESIGN_FORMAT,
        "version": about.version,
        "name": about.name,
        "top": about.top,
        "target": Target.HLS4ML.value,
        "part": about.part,
        "clock_ns": about.clock_ns,
        KEY: None if made_for is None else to_json(made_for),
        "io_type": about.io_type,
        "backend": about.backend,
        "source_hash": about.source_hash,
        "input": {"shape": list(about.input.shape), "format": str(about.input.fmt)},
        "output": {"shape": list(about.output.shape), "format": str(about.output.fmt)},
        "frames": about.frames,
        "layers": {name: value for value, name in layer_names(graph).items()},
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    return json.dumps(document, indent=2) + "\n"
