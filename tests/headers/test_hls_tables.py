"""Convolutions from connection tables, compiled by g++: every structure, every geometry, every output integer equal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hls_batch import run_batch, write_design
from oracle import execute
from patterns import STRUCTURES, mask, pruned, table_plan
from random_graphs import random_codes, random_graph
from sample_graphs import Builder

from psp_hw.backends.base import Target
from psp_hw.folding.connections import Pattern, connect
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.folding.ports import LEAST_RING_DEPTH
from psp_hw.ir.graph import Graph
from psp_hw.passes import optimize

pytestmark = pytest.mark.slow  # g++ compiles many designs

SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize=shift", "-fno-sanitize-recover=all")
SANITIZERS += ("-Wno-uninitialized", "-Wno-maybe-uninitialized")
FRAMES = 3
RINGS = (MemoryKind.LUTRAM, MemoryKind.BRAM, MemoryKind.URAM)


def write_random(folder: Path, seed: int) -> Path:
    """A random graph, pruned by one of the structures after the passes, so that dead taps and channels stay in it."""
    rng = np.random.default_rng(seed)
    graph = pruned(optimize(random_graph(seed)), rng, STRUCTURES[seed % len(STRUCTURES)])
    codes = random_codes(graph, seed, FRAMES)
    target = Target.VITIS if seed % 2 else Target.VIVADO
    write_design(
        folder / f"design{seed}",
        graph,
        table_plan(graph, rng),
        codes,
        execute(graph, codes)["result"],
        target,
    )
    return folder / f"design{seed}"


def check(folders: list[Path], build_folder: Path, *flags: str, standard: str = "c++14") -> None:
    said = run_batch(folders, build_folder, *flags, standard=standard)

    assert len(folders) == said.count(f"frames compared: {FRAMES}, mismatches: 0\n")


def test_tables_of_every_structure_are_exact(tmp_path: Path) -> None:
    check([write_random(tmp_path, seed) for seed in range(20)], tmp_path / "build", "-O0")


def test_tables_are_exact_in_words_of_synthesis(tmp_path: Path) -> None:
    """Counters, selections and candidates of exact width: none is too narrow."""
    folders = [write_random(tmp_path, seed) for seed in range(100, 120)]
    check(folders, tmp_path / "build", "-O0", "-DPSP_EXACT_WIDTHS")


def test_tables_compile_as_the_older_language_of_vivado_hls(tmp_path: Path) -> None:
    folders = [write_random(tmp_path, seed) for seed in range(200, 210)]
    check(folders, tmp_path / "build", "-O0", "-DPSP_EXACT_WIDTHS", standard="c++11")


def test_tables_touch_no_memory_that_is_not_theirs(tmp_path: Path) -> None:
    check([write_random(tmp_path, seed) for seed in range(300, 310)], tmp_path / "build", *SANITIZERS)


def wide_layer(structure: str, seed: int) -> Graph:
    """Twelve channels in, eight out, rows long enough for memories in the delay chain."""
    make = Builder(5, 14, 12, seed=seed)
    half = 1 << 5
    weight = make.rng.integers(1, half, size=(9, 12, 8)) * make.rng.choice([-1, 1], size=(9, 12, 8))
    make.conv(8, weight=weight * mask(make.rng, weight.shape, structure), stride=(1, 1 + seed % 2))
    return make.graph(f"wide{seed}")


WIDE = [
    (structure, pe, share, kind)
    for structure, kind in (
        ("column", MultiplierKind.TOOL),
        ("channel", MultiplierKind.DSP_PAIR),
        ("kernel", MultiplierKind.LUT),
        ("vector", MultiplierKind.DSP_PAIR),
        ("strided", MultiplierKind.DSP),
        ("weight", MultiplierKind.DSP_PAIR),
    )
    for pe, share in ((2, 4), (4, 2))
]


@pytest.mark.parametrize("flags", [(), ("-DPSP_EXACT_WIDTHS",)])
def test_layers_with_memories_in_the_chain_and_every_multiplier_are_exact(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    folders = []
    for seed, (structure, pe, share, kind) in enumerate(WIDE):
        graph = wide_layer(structure, seed)
        pattern = Pattern.of(graph.constants["conv0_weight"])
        lanes = max(1, 108 // share // 3)
        (engine,) = (e for e in build(graph, one(Fold(pe=pe, lanes=lanes))).engines if e.name == "conv0")
        delays = tuple(
            RINGS[seed % 3] if distance > LEAST_RING_DEPTH else MemoryKind.REGISTERS
            for distance in engine.scan.delays
        )
        node = NodePlan(
            fold=Fold(pe=pe, lanes=lanes), weights=RINGS[seed % 2], delays=delays, multipliers=kind
        )
        assert connect(pattern, pe, lanes).words > 1
        codes = random_codes(graph, seed, FRAMES)
        outputs = execute(graph, codes)["result"]
        write_design(tmp_path / f"wide{seed}", graph, FoldPlan(nodes={"conv0": node}), codes, outputs)
        folders.append(tmp_path / f"wide{seed}")

    check(folders, tmp_path / "build", "-O0", *flags)


def one(fold: Fold) -> FoldPlan:
    return FoldPlan(nodes={"conv0": NodePlan(fold=fold)})


def test_a_changed_selection_is_found(tmp_path: Path) -> None:
    """The comparison can fail: one selection of one word names another register."""
    graph = wide_layer("weight", 1)
    codes = random_codes(graph, 1, FRAMES)
    write_design(tmp_path / "wide", graph, one(Fold(pe=2, lanes=9)), codes, execute(graph, codes)["result"])
    layer = tmp_path / "wide" / "src" / "layers" / "conv0.h"
    changed = re.sub(
        r"(kConv0Select\[.*= \{\n +\{)(\d+)", lambda m: m[1] + str(1 - min(1, int(m[2]))), layer.read_text()
    )
    assert changed != layer.read_text()
    layer.write_text(changed)

    with pytest.raises(AssertionError, match="differs: wide"):
        run_batch([tmp_path / "wide"], tmp_path / "build", "-O0")
