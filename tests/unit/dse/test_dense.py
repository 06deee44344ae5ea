"""Folds of the dense schedule priced together, against engines priced one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample_graphs import Builder, pick_taps, random_graph

from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import conv_datapath, conv_roms, engine_pipeline, pipeline_parts
from psp_hw.cost.pricing import price_parts
from psp_hw.dse.dense import MEMORIES, dense_datapaths, multipliers_of
from psp_hw.dse.pareto import undominated
from psp_hw.dse.prices import Site
from psp_hw.dse.tables import MAX_PRODUCTS
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import MOST_BITS
from psp_hw.units import Clock


def convolutions(graph):
    plan = FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions})
    return [engine for engine in build(graph, plan).engines if isinstance(engine, ConvEngine)]


def one_by_one(engine: ConvEngine, site: Site) -> np.ndarray:
    """(words, depth, resources) of every fold, multiplier and memory, the whole pixel at once apart."""
    rows = []
    for pe in divisors(engine.out_channels):
        for simd in divisors(engine.in_channels):
            for taps in divisors(len(engine.op.taps)):
                folded = replace(engine, fold=Fold(pe=pe, simd=simd, taps=taps))
                if folded.cycles_per_output == 1 or folded.weight_word_bits > MOST_BITS:
                    continue
                if folded.fold.multipliers > MAX_PRODUCTS:
                    continue
                for kind in multipliers_of(folded, site.fabric):
                    made = replace(folded, multipliers=kind)
                    pipeline = engine_pipeline(made, site.fabric, site.clock)
                    for memory in MEMORIES:
                        roms = conv_roms(replace(made, weights=memory))
                        parts = (*conv_datapath(made, site.graph), *pipeline_parts(pipeline), *roms)
                        taken = price_parts(parts, site.fabric).amounts
                        rows.append((folded.cycles_per_output, pipeline.depth, *taken))
    return np.array(rows, dtype=np.int64).reshape(-1, 7)


def check(graph, fabric: Fabric, period_ns: float) -> None:
    site = Site(graph, fabric, Clock(period_ns=period_ns))
    engines = convolutions(graph)
    together = dense_datapaths(engines, site, frozenset(MultiplierKind), [MAX_PRODUCTS] * len(engines))
    for place, engine in enumerate(engines):
        every = one_by_one(engine, site)
        expected = {tuple(row) for row in every[undominated(every)].tolist()}

        found = together[place]

        rows = [(path.words, path.depth, *path.cost) for path in found]
        assert set(rows) <= {tuple(row) for row in every.tolist()}
        assert expected == {tuple(row) for row in found.rows[undominated(found.rows)].tolist()}
        assert sorted(rows) == rows


@pytest.mark.parametrize("fabric", list(Fabric))
@pytest.mark.parametrize(("channels", "taps"), [(12, 4), (16, 9), (10, 6), (3, 1), (7, 2)])
def test_every_fold_priced_together_equals_every_fold_priced_alone(channels, taps, fabric):
    make = Builder(8, 8, channels)
    inner = make.conv(channels, source="image", taps=pick_taps(make.rng, taps))
    make.conv(2 * channels, source=inner, kernel=(1, 1), pad=0)
    make.mean(8, 8)
    make.conv(5, kernel=(1, 1), pad=0, requantize=False)

    check(make.graph(), fabric, 4.0 if fabric is Fabric.ULTRASCALE_PLUS else 10.0)


@pytest.mark.parametrize("seed", range(30))
def test_folds_of_random_networks_priced_together_equal_those_priced_alone(seed):
    check(random_graph(np.random.default_rng(seed)), Fabric.SERIES7, 7.0)


@pytest.mark.parametrize("seed", range(20))
def test_undominated_rows_are_those_that_no_other_beats(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 4, size=(int(rng.integers(0, 60)), 3))

    kept = undominated(rows)

    expected = {
        tuple(row)
        for row in rows.tolist()
        if not any(
            all(a <= b for a, b in zip(other, row, strict=True)) and other != row for other in rows.tolist()
        )
    }
    assert expected == {tuple(rows[index].tolist()) for index in kept}
    assert len(expected) == len(kept)
