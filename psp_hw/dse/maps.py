"""The choices for one map with constants for every channel: channels at once, multipliers, and where the constants are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np

from psp_hw.cost.bill import Register
from psp_hw.cost.engines import engine_bill, engine_pipeline
from psp_hw.cost.maps import map_lanes
from psp_hw.cost.memories import muxes, roms
from psp_hw.cost.pricing import price_bill, uses_dsp
from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.dense import MEMORIES
from psp_hw.dse.options import Options
from psp_hw.dse.pareto import undominated
from psp_hw.dse.prices import Site
from psp_hw.errors import SpecError
from psp_hw.folding.maps import AffineEngine, MapEngine
from psp_hw.folding.plan import Fold, MemoryKind, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import MOST_BITS
from psp_hw.sim.process import RESTART_CYCLES

_LUT = list(Resource).index(Resource.LUT)


def map_options(
    engines: Sequence[MapEngine],
    site: Site,
    kinds: frozenset[MultiplierKind],
    folds: Mapping[str, Fold],
) -> list[Options]:
    """All choices of each map, or those of one fold.

    Args:
        kinds: multipliers that the back end can bind.
        folds: those that are asked for, by engine.

    Raises:
        SpecError: a fold that was asked for cannot be fed with constants.
    """
    folded = [_folded(engine, folds.get(engine.name)) for engine in engines]
    beside = _beside(engines, site, folded)
    return [
        _options(
            engine,
            site,
            [kind for kind in _kinds(engine) if kind in kinds],
            pes,
            more,
            folds.get(engine.name),
        )
        for engine, pes, more in zip(engines, folded, beside, strict=True)
    ]


def _folded(engine: MapEngine, fold: Fold | None) -> list[int]:
    """Channels at once that are looked at, all of them apart."""
    channels, most = engine.result.channels, MOST_BITS // max(_widths(engine))
    pes = divisors(channels) if fold is None else [fold.pe]
    return [pe for pe in pes if pe < channels and pe <= most]


def _options(
    engine: MapEngine,
    site: Site,
    kinds: Sequence[MultiplierKind],
    folded: list[int],
    beside: list[CostArray],
    fold: Fold | None,
) -> Options:
    """The choices of a map.

    Args:
        folded: channels at once, all of them apart [n].
        beside: what these take beside what grows with them, for each of ``MEMORIES`` [n, 6].
    """
    channels = engine.result.channels
    ways: list[_Way] = []
    rows: list[CostArray] = []  # cycles, resources [n, 6]
    for kind in kinds if folded else ():
        lanes = _lanes(engine, site, kind, folded)
        ways += [(pe, kind, memory) for memory in MEMORIES for pe in folded]
        rows += [lanes + more for more in beside]
    if fold is None or fold.pe == channels:
        ways.append((channels, MultiplierKind.TOOL, MemoryKind.REGISTERS))
        rows.append(_whole(engine, site)[None, :])
    if not rows:
        assert fold is not None
        width = max(_at(engine, fold.pe, MultiplierKind.TOOL).word_bits.values())
        raise SpecError(
            f"{fold} reads {width} bits of constants per cycle; a memory's word has at most {MOST_BITS}",
            where=f"fold.{engine.name}",
            hint="use a smaller fold, or all channels at once",
        )
    every = np.concatenate(rows)
    kept = undominated(every)  # by ascending cycles
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


def _beside(engines: Sequence[MapEngine], site: Site, pes: Sequence[Sequence[int]]) -> list[list[CostArray]]:
    """What goes from block to block (``map_blocks``), the count of pixels and the constants, of all maps at once.

    Args:
        pes: channels at once, by engine; not all.

    Returns:
        by engine, for each of ``MEMORIES``: nothing for the cycles, then resources [n, 6].
    """
    counts = [len(some) for some in pes]
    ends = np.cumsum(counts).tolist()
    if not sum(counts):
        return [[] for _ in engines]
    widths = [_widths(engine) for engine in engines]
    tables = max(map(len, widths))
    numbers = [
        (
            one.result.channels,
            one.source.fmt.width,
            one.result.fmt.width,
            one.source.pixel_bits + one.result.pixel_bits,
            one.result.pixels,
            *own,
            *(0,) * (tables - len(own)),
        )
        for one, own in zip(engines, widths, strict=True)
    ]
    every = np.array(numbers, dtype=np.int64)[np.repeat(np.arange(len(engines)), counts)]
    channels, entering, leaving, pixel_bits, pixels, *constants = every.T
    pe = np.array([one for some in pes for one in some], dtype=np.int64)
    blocks = channels // pe
    counters = site.counters(int(max(channels.max(), pixels.max())))
    cost = (pixel_bits - pe * leaving)[:, None] * np.array(site.one(Register(1)), dtype=np.int64)
    cost += counters(np.maximum(pixels, 2)) + counters(blocks)
    cost[:, _LUT] += muxes(blocks, pe * entering)
    found = []
    for memory in MEMORIES:
        taken = sum((roms(blocks, pe * width, memory) for width in constants), start=cost)
        found.append(np.concatenate([np.zeros_like(blocks)[:, None], taken], axis=1))
    return [[one[start:end] for one in found] for start, end in pairwise([0, *ends])]


def _whole(engine: MapEngine, site: Site) -> CostArray:
    """All channels at once: cycles and resources [6]."""
    full = _at(engine, engine.result.channels, MultiplierKind.TOOL)
    found = engine_bill(full, site.graph, site.fabric, site.clock)
    cycles = engine.result.pixels + found.pipeline.depth + RESTART_CYCLES
    return np.array([cycles, *price_bill(found.items, site.fabric).amounts], dtype=np.int64)
