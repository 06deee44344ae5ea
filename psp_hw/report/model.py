"""What a report says: plain typed records, gathered by the flow and written by html, markdown and json."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psp_hw.units import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUse:
    """How much of one kind of resource a design takes, and how much the part has.

    `factor` is what synthesis may need in the end as a multiple of `used`, as far as that is known; `c_synthesis` what the report of C
    synthesis will say; None where nobody asked; `limited` whether a budget leaves less than the part has.
    """

    name: str
    used: int
    available: int
    factor: float = 1.0
    c_synthesis: int | None = None
    limited: bool = False

    @property
    def fraction(self) -> float:
        """used / available; infinite where the part has none and some is needed."""
        if self.available:
            return self.used / self.available
        return math.inf if self.used else 0.0

    @property
    def fits(self) -> bool:
        """Whether the part has enough."""
        return self.used <= self.available

    @property
    def at_worst(self) -> int:
        """What synthesis may need, as far as that is known."""
        return math.ceil(self.used * self.factor)

    @property
    def doubtful(self) -> bool:
        """The part has enough if the estimate holds, but not if it is as wrong as it may be."""
        return self.used <= self.available < self.at_worst

    @property
    def caution(self) -> str:
        """A sentence where the part has less room than the estimate may be off; else empty."""
        if not self.doubtful:
            return ""
        return (
            f"Synthesis may need up to {round(self.factor, 2):g} times the {self.name} estimate; "
            f"the {'budget' if self.limited else 'part'} has room for {self.available / self.used:.2f} times."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TapPlane:
    """The kernel of one layer: which positions survive, and how much weight each carries.

    Args:
        kernel: (R, S) of the dense kernel.
        taps: the surviving positions (r, s).
        heat: per tap, the sum of the absolute weights relative to the heaviest tap, 0 .. 1.
    """

    kernel: tuple[int, int]
    taps: tuple[tuple[int, int], ...]
    heat: tuple[float, ...]

    @property
    def total(self) -> int:
        """R * S."""
        return self.kernel[0] * self.kernel[1]

    @property
    def rows(self) -> tuple[tuple[float | None, ...], ...]:
        """The plane row by row: the heat of a surviving position, None where it is gone."""
        heat = dict(zip(self.taps, self.heat, strict=True))
        height, width = self.kernel
        return tuple(tuple(heat.get((r, s)) for s in range(width)) for r in range(height))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One engine of the design.

    Args:
        name: name of the op.
        op: its kind, as ``conv2d``.
        shape_in, shape_out: (H, W, C).
        bits_in, bits_weight, bits_out: widths [bits]; None where there is none.
        plane: the kernel, for a convolution of more than one position.
        taps: surviving positions, 0 for an op without a kernel.
        macs, macs_dense: multiplications per frame, now and before pruning.
        connections, connections_dense: weights that are not zero, and those of the layer before anything was pruned; 0 for an op
            without weights.
        multipliers: products computed at once.
        fold: what is computed at once, in words.
        memory: where the weights lie, in words; empty for none.
        cycles: cycles per frame.
        stalls: cycles of a frame in which it stands still between its first and its last token; None where nobody simulated.
        resources: (name, amount) in the order of the totals.
    """

    name: str
    op: str
    shape_in: tuple[int, int, int]
    shape_out: tuple[int, int, int]
    bits_in: int | None
    bits_weight: int | None
    bits_out: int
    plane: TapPlane | None
    taps: int
    macs: int
    macs_dense: int
    fold: str
    memory: str
    cycles: int
    resources: tuple[tuple[str, int], ...]
    connections: int = 0
    connections_dense: int = 0
    multipliers: int = 0
    stalls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoRow:
    """One stream between two engines: depth [tokens], width of a token [bits], where it is kept.

    `held` is the most tokens that it held while frames followed each other; None where nobody simulated.
    """

    source: str
    target: str
    depth: int
    width: int
    memory: str
    held: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSummary:
    """How the network was trained; accuracies and density in 0 .. 1.

    `accuracy_calibrated` is the accuracy after quantization and before fine-tuning; None where nobody measured it.
    """

    net: str
    data: str
    seed: int
    bits_weight: int
    bits_activation: int
    structures: tuple[str, ...]
    accuracy: float
    accuracy_quantized: float
    density: float
    params: int
    macs: int
    accuracy_calibrated: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """One comparison: how many images, how many integers differed.

    Args:
        against: what was compared with: brevitas, csim, hls4ml.
        widths: the words in which the compiled C++ computed: machine, synthesis; None where none of ours was compiled.
    """

    against: str
    images: int
    mismatches: int
    accuracy: float | None
    images_per_second: float
    widths: str | None = None

    @property
    def counterpart(self) -> str:
        """What was compared with, in words: ``csim in the widths of synthesis``."""
        return f"{self.against} in the widths of synthesis" if self.widths == "synthesis" else self.against


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisRow:
    """What was estimated for a module, calibrated where the report is, beside what a tool's report says.

    Args:
        module: an engine, or the whole design.
        stage: which synthesis, as ``c-synthesis``.
        amounts: (resource, estimated, reported).
    """

    module: str
    stage: str
    amounts: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareSummary:
    """What the design costs and how fast it is.

    Args:
        part, part_note: its name, and what it is.
        target: the tool that the C++ is written for.
        clock_ns: period [ns].
        latency_cycles: first input to last output of a lone frame.
        interval_cycles: from frame to frame.
        resources: totals against the part.
        control: what belongs to no layer: the AXI4-Lite port.
        shortages, advice: what there is too little of, and what would help; empty where the design fits.
        layers: the engines, in order.
        fifos: the streams between them.
        statement: how far the estimate may be off.
        optimality: how near the folds come to the best that is possible; empty where nobody knows.
    """

    part: str
    part_note: str
    target: str
    clock_ns: float
    latency_cycles: int
    interval_cycles: int
    resources: tuple[ResourceUse, ...]
    control: tuple[tuple[str, int], ...]
    shortages: tuple[str, ...]
    advice: str
    layers: tuple[LayerRow, ...]
    fifos: tuple[FifoRow, ...]
    statement: str
    optimality: str = ""

    @property
    def fps(self) -> float:
        """Frames per second at the clock."""
        return Clock(period_ns=self.clock_ns).per_second(self.interval_cycles)

    @property
    def latency_us(self) -> float:
        """First input to last output [us]."""
        return Clock(period_ns=self.clock_ns).seconds(self.latency_cycles) * 1e6

    @property
    def fits(self) -> bool:
        """Whether every resource suffices."""
        return all(resource.fits for resource in self.resources)

    @property
    def bottleneck(self) -> str:
        """The engine that sets the interval."""
        return self.slowest.name if self.slowest is not None else ""

    @property
    def slowest(self) -> LayerRow | None:
        """The engine that sets the interval; None where there is none."""
        return max(self.layers, key=lambda layer: layer.cycles, default=None)

    @property
    def simulated(self) -> bool:
        """Whether it is known what FIFOs held and how long engines stood still."""
        return any(fifo.held is not None for fifo in self.fifos)

    def stalls(self, engine: str) -> int | None:
        """Cycles of a frame in which an engine stands still; None where nobody simulated."""
        return next((layer.stalls for layer in self.layers if layer.name == engine), None)

    @property
    def waiting(self) -> str:
        """A sentence: whether the engine that sets the interval ever waits; empty where nobody simulated."""
        slowest = self.slowest
        if slowest is None or slowest.stalls is None:
            return ""
        if not slowest.stalls:
            return f"{slowest.name}, the bottleneck, never stands still within a frame: no FIFO costs speed."
        share = slowest.stalls / max(1, self.interval_cycles)
        return (
            f"{slowest.name}, the bottleneck, stands still {slowest.stalls:,} of {self.interval_cycles:,} cycles "
            f"within a frame ({share:.2%}); the others wait for it."
        )

    @property
    def multipliers(self) -> int:
        """Products computed at once, by all engines together."""
        return sum(layer.multipliers for layer in self.layers)

    @property
    def busy(self) -> float:
        """Share of what the multipliers could do that they do, 0 .. 1."""
        possible = self.multipliers * self.interval_cycles
        return self.macs / possible if possible else 0.0

    @property
    def macs(self) -> int:
        """Multiplications per frame."""
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame of the same network with nothing pruned."""
        return sum(layer.macs_dense for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a report says; parts that are not known are None or empty."""

    title: str
    version: str
    source_hash: str
    training: TrainingSummary | None
    hardware: HardwareSummary | None
    checks: tuple[CheckSummary, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    synthesis: tuple[SynthesisRow, ...] = ()

    @property
    def mismatches(self) -> int | None:
        """All integers that differed in all comparisons; None where nothing was compared."""
        return sum(check.mismatches for check in self.checks) if self.checks else None
