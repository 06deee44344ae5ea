"""Connection tables: every weight has a place, cycles are as few as the zeros allow, folds and plans say what they are."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from patterns import STRUCTURES, mask, pruned, table_plan
from random_graphs import random_graph
from sample_graphs import Builder

from psp_hw.backends.plan_file import load_plan, print_plan
from psp_hw.errors import SpecError
from psp_hw.flow.goal import parse_folds
from psp_hw.folding.connections import RESTS, ConnectionTable, Pattern, blocks_of, connect
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.grouping import grouped
from psp_hw.folding.plan import Fold, FoldPlan, MultiplierKind, NodePlan, divisors
from psp_hw.folding.ports import check_ports, port_demands
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Concat
from psp_hw.passes import optimize


def weights(seed: int, structure: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 10)), int(rng.integers(1, 9)), int(rng.choice([1, 2, 6, 8, 12])))
    weight = rng.integers(1, 100, size=shape) * rng.choice([-1, 1], size=shape)
    return weight * mask(rng, shape, structure)


def tables(seed: int, structure: str) -> list[tuple[np.ndarray, int, ConnectionTable]]:
    weight = weights(seed, structure)
    pattern = Pattern.of(weight)
    found = []
    for pe in divisors(weight.shape[2]):
        most = blocks_of(pattern, pe).most
        found += [(weight, pe, connect(pattern, pe, lanes)) for lanes in {1, 2, (most + 1) // 2, most}]
    return found


def products(table: ConnectionTable, weight: np.ndarray, pixel: np.ndarray) -> list[int]:
    """One output pixel as the engine makes it, from what the table alone says [Co]; ``pixel`` is [N]."""
    words = table.weight_words(weight)
    pe = len(table.order) // len(table.lengths)
    kept = np.array(table.kept)
    window = {  # by number of register: tap * len(kept) + place among the kept channels
        tap * len(kept) + place: pixel[tap * weight.shape[1] + kept[place]]
        for tap, held in enumerate(table.held)
        for place in range(held)
    }
    select = table.select
    if table.in_turn:
        select = np.concatenate([np.arange(n) for n in table.lengths])[:, None].repeat(table.lanes, axis=1)
    result = [0] * len(table.order)
    block, sums = 0, [0] * pe
    for word, ends in enumerate(table.ends.tolist()):
        reads = [int(window[register]) for register in _chosen(table.registers, select[word])]
        for p in range(pe):
            row = words[word].reshape(pe, table.lanes)[p].tolist()
            sums[p] += sum(value * factor for value, factor in zip(reads, row, strict=True))
        if ends:
            for p in range(pe):
                result[int(table.order[block * pe + p])] = sums[p]
            block, sums = block + 1, [0] * pe
    return result


def _chosen(registers: np.ndarray, select: np.ndarray) -> list[int]:
    return [int(registers[lane, place]) for lane, place in enumerate(select.tolist())]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(8))
def test_a_pixel_made_from_the_table_is_the_sum_over_all_weights(seed, structure):
    rng = np.random.default_rng(100 + seed)
    for weight, _, table in tables(seed, structure):
        pixel = rng.integers(-50, 50, size=weight.shape[0] * weight.shape[1])
        flat = weight.reshape(-1, weight.shape[2]).tolist()
        expected = [
            sum(int(x) * row[k] for x, row in zip(pixel, flat, strict=True)) for k in range(len(flat[0]))
        ]

        assert expected == products(table, weight, pixel)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(8))
def test_every_weight_that_is_not_zero_has_exactly_one_place(seed, structure):
    for weight, pe, table in tables(seed, structure):
        blocks = np.repeat(np.arange(len(table.lengths)), table.lengths)
        places = [
            (int(column), int(table.order[block * pe + p]))
            for block, columns in zip(blocks, table.columns, strict=True)
            for column in columns[columns != RESTS]
            for p in range(pe)
        ]
        flat = weight.reshape(-1, weight.shape[2])

        assert len(places) == len(set(places))
        assert set(zip(*(axis.tolist() for axis in flat.nonzero()), strict=True)) <= set(places)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(8))
def test_a_block_takes_a_word_for_every_group_of_inputs_that_it_needs_and_at_least_one(seed, structure):
    for weight, pe, table in tables(seed, structure):
        blocks = blocks_of(Pattern.of(weight), pe)
        expected = [max(1, -(-int(row.sum()) // table.lanes)) for row in blocks.needed]

        assert tuple(expected) == table.lengths
        assert sum(expected) == table.words == len(table.columns) == int(table.ends.nonzero()[0][-1]) + 1


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(8))
def test_a_lane_selects_among_its_candidates_and_no_list_is_longer_than_all_inputs(seed, structure):
    for _, _, table in tables(seed, structure):
        lanes = np.arange(table.lanes)
        selected = table.candidates[lanes, table.select]

        assert (selected == table.columns)[table.columns != RESTS].all()
        assert table.ways <= max(1, len(np.unique(table.columns[table.columns != RESTS])))


@pytest.mark.parametrize("structure", ["column", "channel", "shape"])
@pytest.mark.parametrize("seed", range(8))
def test_structures_shared_by_all_outputs_need_no_selections(seed, structure):
    for weight, _, table in tables(seed, structure):
        used = int((weight != 0).any(axis=2).sum())

        assert table.in_turn
        assert table.equal
        assert table.ordered
        assert 0 == table.select_bits
        assert max(1, -(-used // table.lanes)) == table.ways


def test_lists_hardly_grow_where_blocks_differ():
    """Half of the kernels of every filter: nine lanes hold one tap each, eight lanes a third more than the least."""
    rng = np.random.default_rng(0)
    kept = np.stack([rng.permutation(16) < 8 for _ in range(16)], axis=1)
    pattern = Pattern.of(np.broadcast_to(kept, (9, 16, 16)).astype(np.int64))

    assert (128, 16) == (connect(pattern, 1, 9).words, connect(pattern, 1, 9).ways)
    assert 144 == connect(pattern, 1, 8).words
    assert connect(pattern, 1, 8).ways <= 24


def test_single_zeros_are_not_worth_selections():
    """One weight of ten is zero by chance: all blocks share one list."""
    rng = np.random.default_rng(1)
    weight = (rng.random((9, 16, 8)) >= 0.1).astype(np.int64)
    weight[:, 8:] = 0
    table = connect(Pattern.of(weight), 1, 9)

    assert table.in_turn
    assert 8 * 8 == table.words


def test_the_window_holds_what_it_or_an_older_tap_needs():
    weight = np.zeros((3, 5, 2), dtype=np.int64)
    weight[0, 3, 0] = weight[1, 1, 1] = weight[2, 1, 0] = weight[2, 4, 0] = 7
    table = connect(Pattern.of(weight), 1, 1)

    assert (3, 1, 4) == table.kept  # channels 0 and 2 are never stored
    assert (1, 2, 3) == table.held


def best_needed(alive: np.ndarray, pe: int) -> int:
    """Inputs of all blocks under the best of all orders."""
    return min(
        int(alive[list(order)].reshape(-1, pe, alive.shape[1]).any(axis=1).sum())
        for order in itertools.permutations(range(len(alive)))
    )


@pytest.mark.parametrize("seed", range(10))
def test_grouping_is_close_to_the_best_of_all_orders_and_never_worse_than_none(seed):
    rng = np.random.default_rng(seed)
    alive = rng.random((6, 12)) < 0.4

    order = grouped(alive, 2)

    found = int(alive[order].reshape(3, 2, 12).any(axis=1).sum())
    assert sorted(order.tolist()) == list(range(6))
    assert best_needed(alive, 2) <= found <= int(alive.reshape(3, 2, 12).any(axis=1).sum())
    assert found <= 1.15 * best_needed(alive, 2)


def test_filters_of_two_kinds_are_put_together_with_their_like():
    alive = np.zeros((8, 10), dtype=np.bool_)
    alive[::2, :5] = alive[1::2, 5:] = True

    assert [0, 2, 4, 6, 1, 3, 5, 7] == grouped(alive, 4).tolist()


def one_layer(channels: int = 8) -> Graph:
    make = Builder(6, 6, channels)
    make.conv(channels)
    return pruned(make.graph(), np.random.default_rng(3), "column")


def planned(fold: Fold, **more: object) -> FoldPlan:
    return FoldPlan(nodes={"conv0": NodePlan(fold=fold, **more)})


def test_a_plan_with_a_table_survives_its_file_and_old_plans_still_load(tmp_path):
    path = tmp_path / "plan.json"
    for plan in (planned(Fold(pe=4, lanes=5)), planned(Fold(pe=2, simd=4, taps=3))):
        path.write_text(print_plan(plan))
        assert plan == load_plan(path)

    path.write_text(print_plan(planned(Fold(pe=2, simd=4, taps=3))))
    assert "lanes" not in path.read_text()
    path.write_text(path.read_text().replace(', \n      "multipliers": "tool"', ""))
    assert Fold(pe=2, simd=4, taps=3) == load_plan(path).nodes["conv0"].fold


def test_a_table_is_asked_for_by_its_lanes(tmp_path):
    (tmp_path / "folds.yaml").write_text("conv2: {pe: 2, lanes: 7}\n")

    found = parse_folds(["conv1=pe:4,lanes:6", str(tmp_path / "folds.yaml")])

    assert {"conv1": Fold(pe=4, lanes=6), "conv2": Fold(pe=2, lanes=7)} == found
    assert ["pe:4,lanes:6", "pe:2,lanes:7"] == [str(fold) for fold in found.values()]


def test_a_table_knows_neither_simd_nor_taps():
    with pytest.raises(
        SpecError, match=r"lanes=6 asks for a connection table, simd=2 and taps=3 for the dense schedule"
    ):
        Fold(pe=4, lanes=6, simd=2, taps=3)
    with pytest.raises(SpecError, match="lanes=-1 is below 0"):
        Fold(lanes=-1)


def test_more_lanes_than_a_block_needs_are_refused():
    graph = one_layer()
    most = int((graph.constants[graph.convolutions[0].weight] != 0).any(axis=2).sum())
    message = (
        f"lanes={most + 1} is more than the {most} inputs that 4 output channels need (use at most {most})"
    )

    build(graph, planned(Fold(pe=4, lanes=most)))
    with pytest.raises(SpecError, match=re.escape(message)):
        build(graph, planned(Fold(pe=4, lanes=most + 1)))


def test_a_table_that_makes_the_pixel_in_one_word_has_constant_weights():
    graph = one_layer()
    most = blocks_of(Pattern.of(graph.constants[graph.convolutions[0].weight]), 8).most

    with pytest.raises(SpecError, match="its weights are constants"):
        build(graph, planned(Fold(pe=8, lanes=most), multipliers=MultiplierKind.DSP))


@pytest.mark.parametrize("seed", range(20))
def test_the_memories_of_tables_can_feed_their_engines(seed):
    rng = np.random.default_rng(seed)
    graph = pruned(optimize(random_graph(seed)), rng, STRUCTURES[seed % len(STRUCTURES)])
    flow = build(graph, table_plan(graph, rng))
    for engine in flow.engines:
        if not isinstance(engine, ConvEngine) or engine.table is None:
            continue
        demands = {demand.memory: demand for demand in port_demands(engine)}
        assert engine.cycles_per_output == demands["weights"].words
        assert ("selections" in demands) == (not engine.table.in_turn)
    check_ports(flow)


def test_features_that_only_other_readers_need_are_neither_stored_nor_multiplied():
    """As in a DenseNet: `early` drops half of the features, `late` reads all, so the passes must leave them in the stream."""
    make = Builder(6, 6, 8)
    early = make.rng.integers(1, 50, size=(9, 8, 8))
    early[:, ::2] = 0
    make.conv(8, source="image", weight=early)
    make.ops.append(Concat(name="features", inputs=("image", "conv0")))
    make.channels["features"], make.fracs["features"] = 16, make.fmt.frac
    make.conv(4, source="features", weight=make.rng.integers(1, 50, size=(9, 16, 4)))
    graph = optimize(make.graph())
    folds = {"conv0": Fold(pe=2, lanes=9), "conv1": Fold(pe=2, simd=1, taps=9)}
    flow = build(graph, FoldPlan(nodes={name: NodePlan(fold=fold) for name, fold in folds.items()}))
    (engine,) = (e for e in flow.engines if e.name == "conv0")
    assert isinstance(engine, ConvEngine)
    assert engine.table is not None

    assert 8 == graph.types["image"].channels == engine.in_channels
    assert (1, 3, 5, 7) == engine.table.kept
    assert (4 * 8,) * 9 == engine.held_bits
    assert 4 * 4 == engine.cycles_per_output  # the dense schedule of 18 multipliers takes 32
