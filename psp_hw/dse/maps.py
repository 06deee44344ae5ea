"""The choices for one map with constants for every channel: channels at once, multipliers, and where the constants are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from psp_hw.cost.engines import engine_bill, engine_pipeline
from psp_hw.cost.maps import map_blocks, map_lanes, map_roms
from psp_hw.cost.operators import counter
from psp_hw.cost.pricing import price_bill, uses_dsp
from psp_hw.dse.dense import MEMORIES, Site, unbeaten
from psp_hw.dse.options import Options
from psp_hw.dse.paths import CostArray
from psp_hw.errors import SpecError
from psp_hw.folding.maps import AffineEngine, MapEngine
from psp_hw.folding.plan import Fold, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import MOST_BITS
from psp_hw.sim.process import RESTART_CYCLES


def map_options(
    engine: MapEngine, site: Site, kinds: frozenset[MultiplierKind], fold: Fold | None = None
) -> Options:
    """All choices of a map, or those of one fold.

    Raises:
        SpecError: the fold that was asked for cannot be fed with constants.
    """
    pes = divisors(engine.result.channels) if fold is None else [fold.pe]
    plans: list[NodePlan] = []
    rows: list[CostArray] = []  # cycles, resources
    for kind in _kinds(engine):
        if kind in kinds:
            for node, row in _folded(engine, site, kind, [pe for pe in pes if pe < engine.result.channels]):
                plans.append(node)
                rows.append(row)
    if engine.result.channels in pes:
        plans.append(NodePlan(fold=Fold(pe=engine.result.channels)))
        rows.append(_whole(engine, site))
    if not rows:
        width = max(_at(engine, pes[0], MultiplierKind.TOOL).word_bits.values())
        raise SpecError(
            f"{fold} reads {width} bits of constants per cycle; a memory's word has at most {MOST_BITS}",
            where=f"fold.{engine.name}",
            hint="use a smaller fold, or all channels at once",
        )
    every = np.array(rows)
    kept = unbeaten(every)  # by ascending cycles
    return Options(
        engine.name, tuple(plans[index] for index in kept.tolist()), every[kept, 0], every[kept, 1:]
    )


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


def _folded(
    engine: MapEngine, site: Site, kind: MultiplierKind, pes: list[int]
) -> Iterator[tuple[NodePlan, CostArray]]:
    """Every fold with one kind of multiplier, for each memory: cycles and resources [6].

    What there is once per channel at once, and registers of the pipeline, grow linearly with their number: two of them say all.
    """
    if not pes:
        return
    engines = [_at(engine, pe, kind) for pe in pes]
    lane = site.price(map_lanes(engines[0])) // pes[0]
    cuts = [engine_pipeline(one, site.fabric, site.clock) for one in engines[:2]]
    stages = [site.stages(one) for one in cuts]
    slope = (stages[1] - stages[0]) // (pes[1] - pes[0]) if len(stages) > 1 else 0 * stages[0]
    pixels = site.price(counter(engine.result.pixels))
    for pe, one in zip(pes, engines, strict=True):
        if max(one.word_bits.values()) > MOST_BITS:
            continue
        cost = lane * pe + stages[0] + slope * (pe - pes[0]) + pixels + site.price(map_blocks(one))
        cycles = one.blocks * engine.result.pixels + cuts[0].depth + RESTART_CYCLES
        for memory in MEMORIES:
            kept = cost + site.price(map_roms(replace(one, weights=memory)))
            yield NodePlan(fold=one.fold, weights=memory, multipliers=kind), np.concatenate([[cycles], kept])


def _whole(engine: MapEngine, site: Site) -> CostArray:
    """All channels at once: cycles and resources [6]."""
    full = _at(engine, engine.result.channels, MultiplierKind.TOOL)
    found = engine_bill(full, site.graph, site.fabric, site.clock)
    cycles = engine.result.pixels + found.pipeline.depth + RESTART_CYCLES
    return np.array([cycles, *price_bill(found.items, site.fabric).amounts], dtype=np.int64)
