"""What a design will cost and how fast it will be, without a vendor tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from psp_hw.cost.bill import ControlPort, Fifo
from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration
from psp_hw.cost.cycles import EngineCycles, engine_cycles, least_interval
from psp_hw.cost.engines import engine_bill
from psp_hw.cost.kinds import op_kind
from psp_hw.cost.optimality import Optimality
from psp_hw.cost.parts import Part
from psp_hw.cost.prices import Stage
from psp_hw.cost.pricing import price, price_bill
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import Shortage, advice, shortages
from psp_hw.cost.trust import EXPECTED_ERROR, EXPECTED_FACTORS, expected_error, expected_factors
from psp_hw.folding.dataflow import Channel, Dataflow, build
from psp_hw.folding.engine import ConvEngine, Engine
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind
from psp_hw.ir.graph import Graph
from psp_hw.sim.cycles import Timeline, simulate
from psp_hw.units import Clock

UNSETTLED = "Interval: as the last simulated frames came; it is not proven that later ones come as fast."


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEstimate:
    """One engine, with the FIFOs that it reads.

    Args:
        name: of the engine, which is that of its op (forks are called after the value that they copy).
        op: its kind, as ``conv2d``; ``fork`` for a copy of a stream.
        taps, taps_dense: surviving and all kernel positions; 0 where there is no kernel.
        fold: what is computed at once; None where there is nothing to fold.
        weights: where the weights are kept; None where there are none.
        multipliers: how products are made; None where there are none.
        cycles: from frame to frame when nothing makes it wait.
        iterations: trips of its loop per frame.
        depth: pipeline depth [cycles].
        resources: what it takes after RTL synthesis.
        c_synthesis: what the C synthesis report will say.
    """

    name: str
    op: str
    taps: int
    taps_dense: int
    fold: Fold | None
    weights: MemoryKind | None
    multipliers: MultiplierKind | None
    cycles: int
    iterations: int
    depth: int
    resources: Resources
    c_synthesis: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoEstimate:
    """One channel: depth [tokens], bits per token, where it is kept, what it takes after RTL and in C synthesis."""

    name: str
    source: str
    target: str
    depth: int
    bits: int
    memory: MemoryKind
    resources: Resources
    c_synthesis: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A design on a part.

    Args:
        part, clock: what it was estimated for.
        layers: engines in topological order.
        fifos: channels, in the order of the dataflow.
        control, control_c_synthesis: what belongs to no engine: the AXI4-Lite port, after RTL and in C synthesis.
        latency: first cycle to the end of the last cycle of a lone first frame [cycles].
        interval: between frames in the steady state, on the average [cycles].
        proven: whether it is proven that later frames take no longer than the interval, on the average.
        simulated: whether latency and interval come from the dataflow simulation; else they are those of a design whose
            FIFOs never make an engine wait.
        held: most tokens that each FIFO held while frames followed each other, by name; empty where not simulated.
        stalls: cycles of a frame in which each engine stood still between its first and its last token, by name; likewise.
        expected_error: how far off this may be, in words.
        expected_factors: what synthesis may need of a resource, as a multiple of its estimate; 1 where it is not named.
        optimality: how near the search that planned it came to the best; None where no search did, or nothing is known.
        remedy: what a search says would make it fit; empty where none was asked, or it fits.
    """

    part: Part
    clock: Clock
    layers: tuple[LayerEstimate, ...]
    fifos: tuple[FifoEstimate, ...]
    control: Resources
    control_c_synthesis: Resources
    latency: int
    interval: int
    simulated: bool
    proven: bool = True
    held: Mapping[str, int] = field(default_factory=dict)
    stalls: Mapping[str, int] = field(default_factory=dict)
    expected_error: str = EXPECTED_ERROR
    expected_factors: Mapping[Resource, float] = field(default_factory=lambda: EXPECTED_FACTORS)
    optimality: Optimality | None = None
    remedy: str = ""

    @property
    def resources(self) -> Resources:
        """Everything together after RTL synthesis: what the part must hold."""
        return Resources.total([self.control, *(layer.resources for layer in self.layers)])

    @property
    def c_synthesis(self) -> Resources:
        """Everything together as the C synthesis report will say."""
        return Resources.total([self.control_c_synthesis, *(layer.c_synthesis for layer in self.layers)])

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.clock.per_second(self.interval)

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.resources.fits(self.part.resources)

    @property
    def shortages(self) -> tuple[Shortage, ...]:
        """What the part has too little of, the worst first."""
        return shortages(self.resources, self.part.resources)

    @property
    def advice(self) -> str:
        """What would make it fit; empty when it does."""
        return self.remedy or advice(self.resources, self.part)

    @property
    def statement(self) -> str:
        """What was predicted, and how far off it may be."""
        return self.expected_error if self.proven else f"{UNSETTLED} {self.expected_error}"

    @property
    def bottleneck(self) -> LayerEstimate:
        """The engine that sets the interval; the first of several."""
        return max(self.layers, key=lambda layer: layer.cycles)


def estimate(
    graph: Graph,
    plan: FoldPlan,
    part: Part,
    clock: Clock,
    *,
    simulated: bool = True,
    calibration: Calibration = NOT_CALIBRATED,
) -> Estimate:
    """Cycles and resources of a graph under a plan.

    Args:
        calibration: of the site whose tools will build it. It scales totals; what engines take is rounded so that it adds up to them.
        simulated: simulate the dataflow in time (resnet20: tenths of a second); else latency and interval are those of
            a design whose FIFOs are never full (resnet20: milliseconds).

    Raises:
        SpecError: the plan does not suit the graph, or the dataflow deadlocks.
    """
    flow = build(graph, plan)
    fifos = [_fifo(channel, part) for channel in flow.channels]
    rtl, c_synthesis = [price(ControlPort(), part.fabric)], [price(ControlPort(), part.fabric)]
    cycles: dict[str, EngineCycles] = {}
    for engine in flow.engines:
        found = engine_bill(engine, graph, part.fabric, clock)
        cycles[engine.name] = engine_cycles(engine, found.pipeline.depth)
        read = [fifo for fifo in fifos if fifo.target == engine.name]
        for amounts, stage in ((rtl, Stage.RTL_SYNTHESIS), (c_synthesis, Stage.C_SYNTHESIS)):
            own = price_bill(found.items, part.fabric, stage)
            amounts.append(Resources.total([own, *(_of_stage(fifo, stage) for fifo in read)]))
    control, *left = calibration.shares(rtl, Stage.RTL_SYNTHESIS)
    control_in_c, *said = calibration.shares(c_synthesis, Stage.C_SYNTHESIS)
    layers = tuple(
        _layer(engine, cycles[engine.name], resources=resources, c_synthesis=in_c)
        for engine, resources, in_c in zip(flow.engines, left, said, strict=True)
    )
    depths = {name: one.depth for name, one in cycles.items()}
    times, slowest = _times(flow, depths, simulated=simulated), least_interval(list(cycles.values()))
    return Estimate(
        part=part,
        clock=clock,
        layers=layers,
        fifos=tuple(fifos),
        control=control,
        control_c_synthesis=control_in_c,
        latency=times.latency,
        interval=max(times.interval, slowest) if simulated else slowest,
        simulated=simulated,
        proven=times.proven or not simulated,
        held={use.name: use.occupancy for use in times.channels} if simulated else {},
        stalls=times.stalls if simulated else {},
        expected_error=expected_error(calibration, part),
        expected_factors=expected_factors(calibration, part),
    )


def _times(flow: Dataflow, depths: Mapping[str, int], *, simulated: bool) -> Timeline:
    if simulated:
        return simulate(flow, depths=depths)
    every = frozenset(channel.name for channel in flow.channels)
    return simulate(flow, depths=depths, unbounded=every, max_frames=1)


def _of_stage(fifo: FifoEstimate, stage: Stage) -> Resources:
    return fifo.resources if stage is Stage.RTL_SYNTHESIS else fifo.c_synthesis


def _fifo(channel: Channel, part: Part) -> FifoEstimate:
    bits = channel.type.pixel_bits
    return FifoEstimate(
        name=channel.name,
        source=channel.source,
        target=channel.target,
        depth=channel.depth,
        bits=bits,
        memory=channel.kept,
        resources=price(Fifo(channel.depth, bits, channel.kept), part.fabric, Stage.RTL_SYNTHESIS),
        c_synthesis=price(Fifo(channel.depth, bits, channel.kept), part.fabric, Stage.C_SYNTHESIS),
    )


def _layer(
    engine: Engine, cycles: EngineCycles, *, resources: Resources, c_synthesis: Resources
) -> LayerEstimate:
    conv = engine if isinstance(engine, ConvEngine) else None
    folded = conv if conv is not None else folded_map(engine)
    return LayerEstimate(
        name=engine.name,
        op=op_kind(engine),
        taps=len(conv.op.taps) if conv else 0,
        taps_dense=conv.op.kernel[0] * conv.op.kernel[1] if conv else 0,
        fold=folded.fold if folded else None,
        weights=folded.weights if folded else None,
        multipliers=folded.multipliers if isinstance(folded, ConvEngine | AffineEngine) else None,
        cycles=cycles.interval,
        iterations=cycles.iterations,
        depth=cycles.depth,
        resources=resources,
        c_synthesis=c_synthesis,
    )


def folded_map(engine: Engine) -> MapEngine | None:
    """The engine if it is a map that works on some channels at once."""
    return engine if isinstance(engine, AffineEngine | ThresholdEngine) and engine.blocks > 1 else None


class CyclesJson(TypedDict):
    """Cycles of a design."""

    latency: int
    interval: int


class LayerJson(TypedDict):
    """One engine."""

    name: str
    op: str
    taps: int
    taps_dense: int
    fold: dict[str, int] | None
    weights: str | None
    multipliers: str | None
    cycles: int
    stalls: int | None
    resources: dict[str, int]


class FifoJson(TypedDict):
    """One channel."""

    name: str
    source: str
    target: str
    depth: int
    most_held: int | None
    bits: int
    memory: str


class OptimalityJson(TypedDict):
    """How near a search came to the best."""

    measure: str
    reached: float
    bound: float
    gap: float
    proven: bool
    within: str
    tried: str


class EstimateJson(TypedDict):
    """An estimate as a program reads it."""

    part: str
    clock_ns: float
    cycles: CyclesJson
    interval_proven: bool
    latency_us: float
    fps: float
    fits: bool
    shortages: list[str]
    advice: str
    resources: dict[str, int]
    c_synthesis: dict[str, int]
    utilization: dict[str, float | None]
    layers: list[LayerJson]
    fifos: list[FifoJson]
    optimality: OptimalityJson | None
    expected_error: str


def to_json(found: Estimate) -> EstimateJson:
    """Plain values with the names of the command line's ``--json``; an infinite utilization (the part has none) is null."""
    shares = found.resources.utilization(found.part.resources)
    return EstimateJson(
        part=found.part.name,
        clock_ns=found.clock.period_ns,
        cycles=CyclesJson(latency=found.latency, interval=found.interval),
        interval_proven=found.proven,
        latency_us=found.clock.seconds(found.latency) * 1e6,
        fps=found.fps,
        fits=found.fits,
        shortages=[str(shortage) for shortage in found.shortages],
        advice=found.advice,
        resources=_named(found.resources),
        c_synthesis=_named(found.c_synthesis),
        utilization={r.value: share if share != float("inf") else None for r, share in shares.items()},
        layers=[_layer_json(layer, found.stalls.get(layer.name)) for layer in found.layers],
        fifos=[
            FifoJson(
                name=fifo.name,
                source=fifo.source,
                target=fifo.target,
                depth=fifo.depth,
                most_held=found.held.get(fifo.name),
                bits=fifo.bits,
                memory=fifo.memory.value,
            )
            for fifo in found.fifos
        ],
        optimality=None if found.optimality is None else optimality_json(found.optimality),
        expected_error=found.expected_error,
    )


def optimality_json(found: Optimality) -> OptimalityJson:
    """Plain values."""
    return OptimalityJson(
        measure=found.measure.value,
        reached=found.reached,
        bound=found.bound,
        gap=found.gap,
        proven=found.proven,
        within=found.within,
        tried=found.tried,
    )


def _layer_json(layer: LayerEstimate, stalls: int | None) -> LayerJson:
    fold = layer.fold
    return LayerJson(
        name=layer.name,
        op=layer.op,
        taps=layer.taps,
        taps_dense=layer.taps_dense,
        fold=fold.parts if fold else None,
        weights=layer.weights.value if layer.weights else None,
        multipliers=layer.multipliers.value if layer.multipliers else None,
        cycles=layer.cycles,
        stalls=stalls,
        resources=_named(layer.resources),
    )


def _named(resources: Resources) -> dict[str, int]:
    return {resource.value: amount for resource, amount in resources}
