"""The design folder: every file of it, from a graph and its plan."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psp_hw
from psp_hw.arith.requantize import IntArray
from psp_hw.backends.base import DESIGN_FORMAT, DESIGN_KIND, Target, Vectors, check_bindable, source_hash
from psp_hw.backends.folder import MANIFEST, check_replaceable, write_folder
from psp_hw.backends.hls import context as c
from psp_hw.backends.hls.layers import layer, template_of, token
from psp_hw.backends.hls.literals import int_type
from psp_hw.backends.hls.render import render
from psp_hw.backends.hls.storage import fifo_pragmas
from psp_hw.backends.made_for import KEY, MadeFor, to_json
from psp_hw.backends.names import identifiers, pascal
from psp_hw.backends.plan_file import PLAN_NAME, print_plan
from psp_hw.backends.templates import template_dir
from psp_hw.errors import ToolError
from psp_hw.folding.dataflow import Channel, Dataflow, build
from psp_hw.folding.engine import ConvEngine, Engine, PortEngine
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import FoldPlan
from psp_hw.folding.ports import check_ports
from psp_hw.ir.graph import Graph
from psp_hw.ir.store import files_of
from psp_hw.ir.types import TensorType
from psp_hw.spec.target import check_part_name
from psp_hw.units import Clock

SCRIPTS = {Target.VIVADO: "vivado_hls.tcl", Target.VITIS: "vitis_hls.tcl"}
COMMANDS = {Target.VIVADO: "vivado_hls", Target.VITIS: "vitis_hls"}
LEAST_PARTITION_LIMIT = 1024


def emit(
    graph: Graph,
    plan: FoldPlan,
    *,
    part: str,
    clock: Clock,
    target: Target,
    vectors: Vectors,
    out: Path,
    report_files: Mapping[str, str | bytes] | None = None,
    made_for: MadeFor | None = None,
) -> tuple[Path, ...]:
    """Write the design folder of a graph under a plan.

    Args:
        graph: what is computed.
        plan: how it runs.
        part: full name of the part, as the tool knows it.
        clock: the clock to aim at.
        target: the tool to write for.
        vectors: golden vectors for the testbench.
        out: the folder; a design of ours that stands there is replaced in one step.
        report_files: further files by name, such as ``report.html``.
        made_for: what the manifest remembers of the request.

    Returns:
        The files written, sorted.

    Raises:
        SpecError: the plan does not suit the graph, or its memories cannot feed its engines.
        RunError: ``out`` holds something that is not ours, or cannot be written.
    """
    check_replaceable(out)
    files = design_files(
        graph,
        plan,
        part=part,
        clock=clock,
        target=target,
        vectors=vectors,
        report_files=report_files or {},
        made_for=made_for,
    )
    return write_folder(out, files)


def design_files(
    graph: Graph,
    plan: FoldPlan,
    *,
    part: str,
    clock: Clock,
    target: Target,
    vectors: Vectors,
    report_files: Mapping[str, str | bytes],
    made_for: MadeFor | None = None,
) -> dict[str, bytes]:
    """Content of every file of a design, by path relative to its folder; the same bytes for the same arguments."""
    check_part_name(part)
    vectors.check(graph)
    dataflow = build(graph, plan)
    check_ports(dataflow)
    check_bindable(plan, target)
    made_from = source_hash(graph, plan)
    names = _Names.of(graph, dataflow)
    design = _design(names, graph, dataflow, part, clock, target, vectors, made_from, report_files)
    files = {
        **files_of(graph),
        PLAN_NAME: print_plan(plan).encode(),
        **_static_files(),
        **_rendered(design, target),
    }
    files["tb/vectors/inputs.txt"] = print_vectors(vectors.inputs).encode()
    files["tb/vectors/outputs.txt"] = print_vectors(vectors.outputs).encode()
    for name, content in report_files.items():
        files[name] = content.encode() if isinstance(content, str) else content
    channels = {names.streams[channel.name]: channel for channel in dataflow.channels}
    files[MANIFEST] = _manifest(design, graph, channels, files, made_for).encode()
    return files


def print_vectors(codes: IntArray) -> str:
    """Frames as the testbench reads them (psp/testbench.h).

    Args:
        codes: [N, H, W, C].
    """
    frames, height, width, channels = codes.shape
    lines = [f"frames {frames} {height}x{width}x{channels}"]
    for n, frame in enumerate(codes.reshape(frames, height * width, channels).tolist()):
        lines.append(f"frame {n}")
        lines += (" ".join(map(str, pixel)) for pixel in frame)
    lines.append(f"end {frames}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What things are called in the C++.

    Args:
        top: the function of the whole design.
        functions: of each engine, by its name.
        streams: of each channel, by its name.
    """

    top: str
    functions: Mapping[str, str]
    streams: Mapping[str, str]

    @staticmethod
    def of(graph: Graph, dataflow: Dataflow) -> _Names:
        """Names that no two things share."""
        top = identifiers([graph.name])[graph.name]
        taken = [top, _namespace(top)]
        functions = identifiers([engine.name for engine in dataflow.engines], taken=taken)
        taken += functions.values()
        streams = identifiers([channel.name for channel in dataflow.channels], taken=taken)
        return _Names(top=top, functions=functions, streams=streams)


def _namespace(top: str) -> str:
    return f"{top}_layers"


def _design(
    names: _Names,
    graph: Graph,
    dataflow: Dataflow,
    part: str,
    clock: Clock,
    target: Target,
    vectors: Vectors,
    made_from: str,
    report_files: Mapping[str, str | bytes],
) -> c.DesignContext:
    layers = tuple(
        layer(engine, _call(engine, dataflow, names), graph, target) for engine in dataflow.engines
    )
    source, result = graph.input.type, graph.types[graph.output.name]
    return c.DesignContext(
        version=psp_hw.__version__,
        source_hash=made_from,
        name=graph.name,
        top=names.top,
        namespace=_namespace(names.top),
        type=pascal(names.top),
        guard=f"{names.top.upper()}_H",
        target=target.value,
        tool=target.tool,
        script=SCRIPTS[target],
        command=f"{COMMANDS[target]} -f {SCRIPTS[target]}",
        part=part,
        clock_ns=f"{clock.period_ns:g}",
        source=str(source),
        result=str(result),
        in_type=int_type(source.fmt),
        out_type=int_type(result.fmt),
        in_bits=source.pixel_bits,
        out_bits=result.pixel_bits,
        in_height=source.height,
        in_width=source.width,
        in_channels=source.channels,
        out_height=result.height,
        out_width=result.width,
        out_channels=result.channels,
        frames=len(vectors.inputs),
        interval=max(engine.schedule().iterations for engine in dataflow.engines),
        partition_limit=_partition_limit(dataflow),
        layers=layers,
        channels=tuple(_channel(channel, names, target) for channel in dataflow.channels),
        summary=tuple(
            _summary(entry) for entry in layers if not isinstance(entry, c.PortLayer | c.ForkLayer)
        ),
        reports=tuple(sorted(report_files)),
    )


def _call(engine: Engine, dataflow: Dataflow, names: _Names) -> c.Call:
    function = names.functions[engine.name]
    reads = [names.streams[channel.name] for channel in dataflow.inputs(engine.name)]
    writes = [names.streams[channel.name] for channel in dataflow.outputs(engine.name)]
    if isinstance(engine, PortEngine):
        reads, writes = (["in"], writes) if engine.enters else (reads, ["out"])
    return c.Call(
        function=function,
        type=pascal(function),
        guard=f"{names.top.upper()}_LAYERS_{function.upper()}_H",
        cycles=engine.schedule().iterations,
        streams=(*reads, *writes),
    )


def _channel(channel: Channel, names: _Names, target: Target) -> c.ChannelContext:
    name = names.streams[channel.name]
    return c.ChannelContext(
        name=name,
        token=token(channel.type),
        comment=f"{channel.type.channels} x {channel.type.fmt}",
        pragmas=fifo_pragmas(name, channel.depth, channel.kept, target),
    )


def _summary(entry: c.Layer) -> c.LayerSummary:
    if not isinstance(entry, c.ConvLayer):
        return c.LayerSummary(
            function=entry.function, what=_noun(entry), taps="", fold="", cycles=entry.cycles
        )
    return c.LayerSummary(
        function=entry.function,
        what=f"convolution {entry.source} to {entry.result}",
        taps=f"{len(entry.taps)} of {entry.n_taps_dense}",
        fold=f"pe {entry.pe}, simd {entry.simd}, taps {entry.taps_at_once}"
        if not isinstance(entry, c.TableConvLayer)
        else f"pe {entry.pe}, lanes {entry.lanes}: {entry.connections}",
        cycles=entry.cycles,
    )


def _noun(entry: c.Layer) -> str:
    match entry:
        case c.WindowPoolLayer() | c.PointwiseLayer():
            return entry.what
        case c.GlobalPoolLayer():
            return "mean over the frame"
        case c.AddLayer():
            return "sum"
        case c.ConcatLayer():
            return "concatenation"
        case c.AffineLayer():
            return f"affine map per channel{entry.at_once}"
        case c.ThresholdLayer():
            return f"{entry.levels} thresholds per channel{entry.at_once}"
    raise AssertionError(entry)


def _partition_limit(dataflow: Dataflow) -> int:
    sizes = [LEAST_PARTITION_LIMIT]
    for engine in dataflow.engines:
        if isinstance(engine, ConvEngine):
            sizes += [
                engine.in_channels * len(engine.op.taps),
                engine.ways * engine.fold.operands,
                engine.cycles_per_output * engine.fold.multipliers,
            ]
        if isinstance(engine, AffineEngine | ThresholdEngine):
            sizes += [engine.result.channels]
        if isinstance(engine, ThresholdEngine):
            sizes += [engine.result.channels * engine.levels]
    return max(sizes)


def _rendered(design: c.DesignContext, target: Target) -> dict[str, bytes]:
    top = design.top
    templates = {
        f"src/{top}.h": "src/top.h.jinja",
        f"src/{top}.cpp": "src/top.cpp.jinja",
        "tb/testbench.cpp": "tb/testbench.cpp.jinja",
        "Makefile": "Makefile.jinja",
        "README.md": "README.md.jinja",
        "test_design.py": "test_design.py.jinja",
        "conftest.py": "conftest.py.jinja",
        SCRIPTS[target]: f"{SCRIPTS[target]}.jinja",
    }
    files = {name: render(template, design).encode() for name, template in templates.items()}
    for entry in design.layers:
        files[f"src/layers/{entry.function}.h"] = render(template_of(entry), design, entry).encode()
    return files


def _static_files() -> dict[str, bytes]:
    include = template_dir() / "include"
    files = {f"include/psp/{path.name}": path.read_bytes() for path in sorted((include / "psp").glob("*.h"))}
    files |= {f"include/gxx/{path.name}": path.read_bytes() for path in sorted((include / "gxx").glob("*.h"))}
    types = ap_types_dir()
    for path in sorted(types.rglob("*.h")):
        files[f"include/ap_types/{path.relative_to(types).as_posix()}"] = path.read_bytes()
    return files


def ap_types_dir() -> Path:
    """The ``ap_int`` headers for g++ (Apache-2.0, Xilinx), which travel in the hls4ml wheel.

    Raises:
        ToolError: hls4ml is not installed.
    """
    spec = importlib.util.find_spec("hls4ml")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(place) / "templates" / "vivado" / "ap_types"
        if (folder / "ap_int.h").is_file():
            return folder
    raise ToolError(
        "the ap_int headers are missing", where="hls4ml", hint="install them: pip install 'hls4ml>=1.3'"
    )


def _manifest(
    design: c.DesignContext,
    graph: Graph,
    channels: Mapping[str, Channel],
    files: Mapping[str, bytes],
    made_for: MadeFor | None,
) -> str:
    document = {
        "kind": DESIGN_KIND,
        "format": DESIGN_FORMAT,
        "version": design.version,
        "name": graph.name,
        "top": design.top,
        "target": design.target,
        "part": design.part,
        "clock_ns": float(design.clock_ns),
        KEY: None if made_for is None else to_json(made_for),
        "source_hash": design.source_hash,
        "input": _port(graph.input.type),
        "output": _port(graph.types[graph.output.name]),
        "frames": design.frames,
        "streams": {
            name: {"value": _value_of(channel), **_port(channel.type)} for name, channel in channels.items()
        },
        # Not the reports: `psp-hw report` writes them again, with what was compared since.
        "files": {
            name: hashlib.sha256(files[name]).hexdigest() for name in sorted(set(files) - set(design.reports))
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _value_of(channel: Channel) -> str:
    return channel.source.removesuffix("_fork")


def _port(kind: TensorType) -> dict[str, object]:
    return {"shape": list(kind.shape), "format": str(kind.fmt)}
