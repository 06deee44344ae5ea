"""The choices for one map with constants for every channel: channels at once, multipliers, and where the constants are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from psp_hw.cost.bill import Register
from psp_hw.cost.engines import engine_bill, engine_pipeline
from psp_hw.cost.maps import map_lanes
from psp_hw.cost.memories import roms
from psp_hw.cost.operators import counter
from psp_hw.cost.pricing import price_bill, uses_dsp
from psp_hw.dse.beaten import unbeaten
from psp_hw.dse.dense import MEMORIES
from psp_hw.dse.options import Options
from psp_hw.dse.paths import CostArray
from psp_hw.dse.prices import Site
from psp_hw.errors import SpecError
from psp_hw.folding.maps import AffineEngine, MapEngine
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import MOST_BITS
from psp_hw.sim.process import RESTART_CYCLES


def map_options(
    engine: MapEngine, site: Site, kinds: frozenset[MultiplierKind], fold: Fold | None = None
) -> Options:
    """All choices of a map, or those of one fold.

    Raises:
        SpecError: the fold that was asked for cannot be fed with constants.
    """
    channels = engine.result.channels
    pes = divisors(channels) if fold is None else [fold.pe]
    folded = [pe for pe in pes if pe < channels and pe * max(_widths(engine)) <= MOST_BITS]
    ways: list[_Way] = []
    rows: list[CostArray] = []  # cycles, resources [n, 6]
    if folded:
        beside = _beside(engine, site, folded)
        for kind in _kinds(engine):
            if kind in kinds:
                lanes = _lanes(engine, site, kind, folded)
                ways += [(pe, kind, memory) for memory in MEMORIES for pe in folded]
                rows += [lanes + more for more in beside]
    if channels in pes:
        ways.append((channels, MultiplierKind.TOOL, MemoryKind.REGISTERS))
        rows.append(_whole(engine, site)[None, :])
    if not rows:
        width = max(_at(engine, pes[0], MultiplierKind.TOOL).word_bits.values())
        raise SpecError(
            f"{fold} reads {width} bits of constants per cycle; a memory's word has at most {MOST_BITS}",
            where=f"fold.{engine.name}",
            hint="use a smaller fold, or all channels at once",
        )
    every = np.concatenate(rows)
    kept = unbeaten(every)  # by ascending cycles
    plans = tuple(_plan(*ways[index]) for index in kept.tolist())
    return Options(engine.name, plans, every[kept, 0], every[kept, 1:])


# Channels at once, how products are made, and where the constants are.
_Way = tuple[int, MultiplierKind, MemoryKind]


@cache
def _plan(pe: int, kind: MultiplierKind, memory: MemoryKind) -> NodePlan:
    return NodePlan(fold=Fold(pe=pe), weights=memory, multipliers=kind)


def _kinds(engine: MapEngine) -> tuple[MultiplierKind, ...]:
    """How products may be made: left to the tool, or the way that the tool would not take."""
    if not isinstance(engine, AffineEngine):
        return (MultiplierKind.TOOL,)
    widths = engine.source.fmt.width, engine.scale_fmt.width
    if min(widths) == 1:
        return (MultiplierKind.TOOL,)
    return (MultiplierKind.TOOL, MultiplierKind.LUT if uses_dsp(*widths) else MultiplierKind.DSP)


def _at(engine: MapEngine, pe: int, kind: MultiplierKind) -> MapEngine:
    if isinstance(engine, AffineEngine):
        return replace(engine, fold=Fold(pe=pe), multipliers=kind)
    return replace(engine, fold=Fold(pe=pe))


def _widths(engine: MapEngine) -> list[int]:
    """Bits of the constants of a channel, memory by memory."""
    return [bits // engine.fold.pe for bits in engine.word_bits.values()]


def _lanes(engine: MapEngine, site: Site, kind: MultiplierKind, pes: list[int]) -> CostArray:
    """What grows with the channels at once, and the cycles: every fold with one kind of multiplier [n, 6].

    What there is once per channel at once, and registers of the pipeline, grow linearly with their number: two of them say all.
    """
    some = [_at(engine, pe, kind) for pe in pes[:2]]
    lane = site.price(map_lanes(some[0])) // pes[0]
    cuts = [engine_pipeline(one, site.fabric, site.clock) for one in some]
    stages = [site.stages(one) for one in cuts]
    slope = (stages[1] - stages[0]) // (pes[1] - pes[0]) if len(stages) > 1 else 0 * stages[0]
    pe = np.array(pes, dtype=np.int64)
    cycles = engine.result.channels // pe * engine.result.pixels + cuts[0].depth + RESTART_CYCLES
    cost = pe[:, None] * lane + stages[0] + (pe - pes[0])[:, None] * slope
    return np.concatenate([cycles[:, None], cost], axis=1)


def _beside(engine: MapEngine, site: Site, pes: list[int]) -> list[CostArray]:
    """What goes from block to block (``map_blocks``), the count of pixels and the constants, for each of ``MEMORIES`` [n, 6]."""
    pe = np.array(pes, dtype=np.int64)
    last = pe * engine.result.fmt.width
    held = engine.source.pixel_bits + engine.result.pixel_bits - last
    bit = np.array(site.one(Register(1)), dtype=np.int64)
    whole = held[:, None] * bit + site.price(counter(engine.result.pixels))
    blocks = engine.result.channels // pe
    counts = blocks.tolist()
    muxes = [site.mux(count, one * engine.source.fmt.width) for count, one in zip(counts, pes, strict=True)]
    counters = [site.counter(count) for count in counts]
    cost = np.array(muxes, dtype=np.int64) + np.array(counters, dtype=np.int64) + whole
    constants = [
        np.sum([roms(blocks, pe * width, memory) for width in _widths(engine)], axis=0) for memory in MEMORIES
    ]
    return [np.concatenate([np.zeros_like(blocks)[:, None], cost + taken], axis=1) for taken in constants]


def _whole(engine: MapEngine, site: Site) -> CostArray:
    """All channels at once: cycles and resources [6]."""
    full = _at(engine, engine.result.channels, MultiplierKind.TOOL)
    found = engine_bill(full, site.graph, site.fabric, site.clock)
    cycles = engine.result.pixels + found.pipeline.depth + RESTART_CYCLES
    return np.array([cycles, *price_bill(found.items, site.fabric).amounts], dtype=np.int64)
