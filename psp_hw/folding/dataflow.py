"""The dataflow design: engines and the channels between them, from a graph and a plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import IntArray
from psp_hw.errors import SpecError
from psp_hw.folding.connections import ConnectionTable, Pattern, connect
from psp_hw.folding.engine import (
    AddEngine,
    ConcatEngine,
    ConvEngine,
    Engine,
    ForkEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    PortEngine,
    WindowPoolEngine,
)
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine, weight_format
from psp_hw.folding.memory import memory_for_delay, memory_for_fifo
from psp_hw.folding.plan import DEFAULT_FIFO_DEPTH, Fold, FoldPlan, MemoryKind, NodePlan
from psp_hw.folding.scan import Scan
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import accumulator, affine_range
from psp_hw.ir.ops import (
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    Input,
    MaxPool,
    Op,
    Output,
    Relu,
    Requantize,
    Threshold,
    op_inputs,
)
from psp_hw.ir.types import NO_PADDING, Padding, Tap, TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A FIFO between two engines.

    Args:
        name: ``<source>_to_<target>``, with ``_<port>`` after it where an engine reads one value at several ports.
        source, target: names of the engines.
        port: which input of the target.
        type: one token is one pixel of this type.
        depth: tokens.
        memory: where they are kept: REGISTERS means shift registers; None lets depth and width decide.
    """

    name: str
    source: str
    target: str
    port: int
    type: TensorType
    depth: int
    memory: MemoryKind | None = None

    @property
    def kept(self) -> MemoryKind:
        """Where its tokens are kept."""
        return self.memory or memory_for_fifo(self.depth, self.type.pixel_bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataflow:
    """Engines in topological order, and the channels between them."""

    engines: tuple[Engine, ...]
    channels: tuple[Channel, ...]

    def inputs(self, engine: str) -> tuple[Channel, ...]:
        """Channels that an engine reads, by port."""
        return tuple(sorted((c for c in self.channels if c.target == engine), key=lambda c: c.port))

    def outputs(self, engine: str) -> tuple[Channel, ...]:
        """Channels that an engine writes."""
        return tuple(c for c in self.channels if c.source == engine)


def build(graph: Graph, plan: FoldPlan) -> Dataflow:
    """The design of a graph under a plan; a value with several readers gets a fork.

    Raises:
        SpecError: the plan does not suit the graph, or an op has no engine.
    """
    plan.check(graph)
    engines: list[Engine] = []
    edges: list[tuple[str, str, int, TensorType]] = []
    giver: dict[str, str] = {}
    for op in graph.ops:
        engines.append(_engine(op, graph, plan))
        for port, value in enumerate(op_inputs(op)):
            edges.append((giver[value], op.name, port, graph.types[value]))
        giver[op.name] = op.name
        readers = len(graph.users[op.name])
        if readers > 1:
            fork = ForkEngine(name=f"{op.name}_fork", type=graph.types[op.name], copies=readers)
            engines.append(fork)
            edges.append((op.name, fork.name, 0, fork.type))
            giver[op.name] = fork.name
    return Dataflow(engines=tuple(engines), channels=tuple(_channels(edges, plan)))


def _channels(edges: list[tuple[str, str, int, TensorType]], plan: FoldPlan) -> list[Channel]:
    pairs = Counter((source, target) for source, target, _, _ in edges)
    channels = []
    for source, target, port, kind in edges:
        name = f"{source}_to_{target}" + (f"_{port}" if pairs[source, target] > 1 else "")
        depth = plan.fifo_depths.get(name, DEFAULT_FIFO_DEPTH)
        memory = plan.fifo_memories.get(name)
        channels.append(
            Channel(name=name, source=source, target=target, port=port, type=kind, depth=depth, memory=memory)
        )
    return channels


def _engine(op: Op, graph: Graph, plan: FoldPlan) -> Engine:
    result = graph.types[op.name]
    sources = [graph.types[name] for name in op_inputs(op)]
    match op:
        case Input():
            return PortEngine(name=op.name, type=result, enters=True)
        case Output():
            return PortEngine(name=op.name, type=result, enters=False)
        case Conv2d():
            return _conv_engine(op, sources[0], result, graph, plan)
        case MaxPool():
            scan = _pool_scan(op, op.padding, sources[0], result)
            return WindowPoolEngine(
                op=op, source=sources[0], result=result, scan=scan, delays=_delay_memories(scan)
            )
        case AvgPool():
            if op.kernel == (sources[0].height, sources[0].width):
                return GlobalPoolEngine(op=op, source=sources[0], result=result)
            scan = _pool_scan(op, NO_PADDING, sources[0], result)
            return WindowPoolEngine(
                op=op, source=sources[0], result=result, scan=scan, delays=_delay_memories(scan)
            )
        case Add():
            return AddEngine(op=op, sources=(sources[0], sources[1]), result=result)
        case Concat():
            return ConcatEngine(op=op, sources=tuple(sources), result=result)
        case Affine() | Threshold():
            return _map_engine(op, sources[0], result, graph, plan)
        case Relu() | Requantize():
            return PointwiseEngine(op=op, source=sources[0], result=result)
        case Flatten():
            raise SpecError(
                f"flattening {sources[0]} has no engine where no dense layer follows",
                where=op.name,
                hint="pool to one pixel or let a dense layer follow",
            )


def _map_engine(
    op: Affine | Threshold, source: TensorType, result: TensorType, graph: Graph, plan: FoldPlan
) -> MapEngine:
    node = plan.nodes.get(op.name, NodePlan(fold=Fold(pe=result.channels)))
    constants = graph.constants
    if isinstance(op, Affine):
        scale_fmt, offset_fmt, acc_fmt = _affine_formats(op, source, graph)
        return AffineEngine(
            op=op,
            source=source,
            result=result,
            scale_fmt=scale_fmt,
            offset_fmt=offset_fmt,
            acc_fmt=acc_fmt,
            fold=node.fold,
            weights=node.weights,
            multipliers=node.multipliers,
        )
    return ThresholdEngine(
        op=op,
        source=source,
        result=result,
        levels=constants[op.thresholds].shape[1],
        level_fmt=weight_format(constants[op.thresholds]),
        start_fmt=weight_format(constants[op.start]),
        step_fmt=weight_format(constants[op.step]),
        fold=node.fold,
        weights=node.weights,
    )


def _conv_engine(
    op: Conv2d, source: TensorType, result: TensorType, graph: Graph, plan: FoldPlan
) -> ConvEngine:
    scan = Scan(
        source=source,
        out_height=result.height,
        out_width=result.width,
        taps=op.taps,
        stride=op.stride,
        padding=op.padding,
    )
    node = plan.nodes[op.name]
    weight_fmt, acc_fmt = _conv_formats(op, source, graph)
    table = connection_table(node.fold, graph.constants[op.weight])
    engine = ConvEngine(
        op=op,
        source=source,
        result=result,
        scan=scan,
        fold=node.fold,
        weight_fmt=weight_fmt,
        acc_fmt=acc_fmt,
        weights=node.weights,
        delays=node.delays,
        multipliers=node.multipliers,
        table=table,
    )
    return engine if len(node.delays) == len(scan.delays) else with_delays_by_size(engine)


# Formats of constants and sums, by op: no plan changes them, and a search builds one graph many times.
_FORMATS: WeakKeyDictionary[Graph, dict[str, tuple[FixedPoint, ...]]] = WeakKeyDictionary()


def _conv_formats(op: Conv2d, source: TensorType, graph: Graph) -> tuple[FixedPoint, ...]:
    """The narrowest formats of the weights of a convolution, and of every partial sum."""
    known = _FORMATS.setdefault(graph, {})
    if op.name not in known:
        frac = source.fmt.frac + op.weight_frac - max(op.align, default=0)
        acc_fmt = FixedPoint.holding(accumulator(op, source, graph.constants), frac=frac)
        known[op.name] = weight_format(graph.constants[op.weight]), acc_fmt
    return known[op.name]


def _affine_formats(op: Affine, source: TensorType, graph: Graph) -> tuple[FixedPoint, ...]:
    """The narrowest formats of the factors of a map, of its summands, and of every product with and without them."""
    known = _FORMATS.setdefault(graph, {})
    if op.name not in known:
        whole = affine_range(op, source, graph.constants)
        constants = (weight_format(graph.constants[name]) for name in (op.scale, op.offset))
        known[op.name] = (*constants, FixedPoint.holding(whole, frac=source.fmt.frac + op.scale_frac))
    return known[op.name]


def connection_table(fold: Fold, weight: IntArray) -> ConnectionTable | None:
    """The table that a fold asks for, from the zeros of the weights [T, Ci, Co]."""
    return connect(Pattern.of(weight), fold.pe, fold.lanes) if fold.table else None


def with_delays_by_size(engine: ConvEngine) -> ConvEngine:
    """The engine with every delay where its size puts it."""
    lengths = zip(engine.scan.delays, engine.held_bits, strict=False)  # the newest tap has no delay behind it
    return replace(engine, delays=tuple(memory_for_delay(length, bits) for length, bits in lengths))


def _pool_scan(op: MaxPool | AvgPool, padding: Padding, source: TensorType, result: TensorType) -> Scan:
    taps = tuple(Tap(r, s) for r in range(op.kernel[0]) for s in range(op.kernel[1]))
    return Scan(
        source=source,
        out_height=result.height,
        out_width=result.width,
        taps=taps,
        stride=op.stride,
        padding=padding,
    )


def _delay_memories(scan: Scan) -> tuple[MemoryKind, ...]:
    return tuple(memory_for_delay(length, scan.source.pixel_bits) for length in scan.delays)
