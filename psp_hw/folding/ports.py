"""What each engine asks of its memories in a cycle against what they have; a plan that cannot be fed is refused.

The argument for every loop stands in docs/hls.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import Channel, Dataflow
from psp_hw.folding.engine import ConvEngine, Engine, WindowPoolEngine
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.folding.plan import MemoryKind

# The largest width of ap_int, hence of a stream's token and of a row of memory [bits] (UG1399, "Arbitrary Precision").
MOST_BITS = 4096
# A row of a delay memory is read again after so many positions at least: more than the pipeline stages between its write
# and its read, so that back ends may tell their tools that the two never meet.
LEAST_RING_DEPTH = 8
# What back ends bind a FIFO to: shift registers, block RAM or, where their tool can, UltraRAM.
FIFO_MEMORIES = (MemoryKind.REGISTERS, MemoryKind.BRAM, MemoryKind.URAM)
# Memories that hold constants.
CONSTANTS = ("weights", "selections", "scale", "offset", "thresholds", "start", "step")
# A FIFO of one word is full after a write and empty after a read: a token every second cycle.
LEAST_FIFO_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PortDemand:
    """Accesses of one engine to one of its memories.

    Args:
        engine: name of the engine.
        memory: which memory.
        kind: where it is kept.
        words, bits: its size; one row is one word.
        reads, writes: rows per cycle that the engine asks for.
        has_reads, has_writes: rows per cycle that the memory gives.
    """

    engine: str
    memory: str
    kind: MemoryKind
    words: int
    bits: int
    reads: int
    writes: int
    has_reads: int
    has_writes: int

    @property
    def fed(self) -> bool:
        """The memory gives what is asked for."""
        return self.reads <= self.has_reads and self.writes <= self.has_writes


def port_demands(engine: Engine) -> Iterator[PortDemand]:
    """The demand on every memory of an engine, from its fold."""
    if isinstance(engine, ConvEngine):
        yield _rom(engine, "weights", engine.weight_word_bits)
        if engine.select_bits:
            yield _rom(engine, "selections", engine.select_bits)
        yield _window(engine.name, engine.scan.taps, max(engine.held_bits))
        yield from _delays(engine, engine.held_bits)
    if isinstance(engine, AffineEngine | ThresholdEngine):
        for constants, bits in engine.word_bits.items():
            yield _constants(engine.name, constants, engine.weights, engine.blocks, bits)
    if isinstance(engine, WindowPoolEngine):
        yield _window(engine.name, engine.scan.taps, engine.source.pixel_bits)
        yield from _delays(engine, (engine.source.pixel_bits,) * len(engine.scan.taps))


def _delays(engine: ConvEngine | WindowPoolEngine, held_bits: tuple[int, ...]) -> Iterator[PortDemand]:
    for index, (distance, kind) in enumerate(zip(engine.scan.delays, engine.delays, strict=True)):
        if distance > 1:
            yield _delay(engine.name, index, distance - 1, kind, held_bits[index])


def _rom(engine: ConvEngine, memory: str, bits: int) -> PortDemand:
    return _constants(engine.name, memory, engine.weights, engine.cycles_per_output, bits)


def _constants(engine: str, memory: str, kind: MemoryKind, words: int, bits: int) -> PortDemand:
    """One row of constants per cycle."""
    return PortDemand(
        engine=engine,
        memory=memory,
        kind=kind,
        words=words,
        bits=bits,
        reads=1,
        writes=0,
        has_reads=words if kind is MemoryKind.REGISTERS else 1,
        has_writes=0,
    )


def _window(name: str, taps: tuple[object, ...], bits: int) -> PortDemand:
    count = len(taps)
    return PortDemand(
        engine=name,
        memory="window",
        kind=MemoryKind.REGISTERS,
        words=count,
        bits=bits,
        reads=count,
        writes=count,
        has_reads=count,
        has_writes=count,
    )


def _delay(name: str, index: int, words: int, kind: MemoryKind, bits: int) -> PortDemand:
    """One pixel out and one in at every position; a position lasts a cycle at least."""
    return PortDemand(
        engine=name,
        memory=f"delays[{index}]",
        kind=kind,
        words=words,
        bits=bits,
        reads=1,
        writes=1,
        has_reads=1,
        has_writes=1,
    )


def check_ports(dataflow: Dataflow) -> None:
    """Every memory of a design can feed its engine at one iteration per cycle.

    Raises:
        SpecError: lists every memory that cannot.
    """
    check_streams(dataflow)
    problems = [text for engine in dataflow.engines for text in _engine_problems(engine)]
    problems += [text for channel in dataflow.channels for text in _channel_problems(channel)]
    if problems:
        raise SpecError("; ".join(problems), where="fold plan", hint="choose other folds or memories")


def check_streams(dataflow: Dataflow) -> None:
    """Every pixel goes through a stream at once, whatever the folds: it is one ``ap_uint``.

    Raises:
        SpecError: says how many streams would be too wide, and which is the widest.
    """
    wide = [channel for channel in dataflow.channels if channel.type.pixel_bits > MOST_BITS]
    if not wide:
        return
    widest = max(wide, key=lambda channel: channel.type.pixel_bits)
    kind = widest.type
    raise SpecError(
        f"a pixel of {kind.pixel_bits} bits ({kind.channels} channels of {kind.fmt.width} bits) is wider than the {MOST_BITS} bits of a "
        f"stream; {len(wide)} of {len(dataflow.channels)} streams would be wider, this one most",
        where=widest.name,
        hint=f"have at most {MOST_BITS // kind.fmt.width} channels of {kind.fmt.width} bits side by side: fewer or narrower channels, or "
        "fewer layers that are concatenated",
    )


def _engine_problems(engine: Engine) -> Iterator[str]:
    for demand in port_demands(engine):
        place = f"{demand.engine}.{demand.memory}"
        if not demand.fed:
            yield (
                f"{place}: {demand.reads} reads and {demand.writes} writes per cycle meet {demand.has_reads} and "
                f"{demand.has_writes} ports"
            )
        in_memory = demand.kind is not MemoryKind.REGISTERS
        if in_memory and demand.bits > MOST_BITS:
            yield f"{place}: a row of {demand.bits} bits is wider than the {MOST_BITS} that a memory word may have"
        if demand.kind is MemoryKind.URAM and demand.memory in CONSTANTS:
            yield f"{place}: UltraRAM starts empty and holds no constants (UG573): use bram or lutram"
        if in_memory and demand.memory.startswith("delays") and demand.words < LEAST_RING_DEPTH:
            yield (
                f"{place}: {demand.words} pixels in {demand.kind.value} would be read before they are written: "
                f"below {LEAST_RING_DEPTH} use registers"
            )


def _channel_problems(channel: Channel) -> Iterator[str]:
    if channel.depth < LEAST_FIFO_DEPTH:
        yield (
            f"{channel.name}: a FIFO of {channel.depth} tokens halves the speed: {LEAST_FIFO_DEPTH} are the least"
        )
    if channel.kept not in FIFO_MEMORIES:
        names = ", ".join(kind.value for kind in FIFO_MEMORIES)
        yield f"{channel.name}: a FIFO is not kept in {channel.kept.value}: use {names}"
