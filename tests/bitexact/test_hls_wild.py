"""Graphs at the edges of what is legal, compiled by g++: what the plainest execution gives, in the words of synthesis too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hls_batch import random_plan, run_batch, write_design
from oracle import execute
from patterns import STRUCTURES, pruned, table_plan
from random_graphs import random_codes
from wild_graphs import wild_graph

from psp_hw.backends.base import Target
from psp_hw.folding.plan import FoldPlan
from psp_hw.ir.graph import Graph
from psp_hw.passes import optimize

pytestmark = pytest.mark.slow  # g++ compiles many designs

FRAMES = 3
MOST_WEIGHTS = 3000


def design(seed: int, tables: bool) -> tuple[Graph, FoldPlan]:
    rng = np.random.default_rng(seed)
    graph = optimize(wild_graph(seed))
    if not tables:
        return graph, random_plan(graph, rng)
    graph = pruned(graph, rng, STRUCTURES[seed % len(STRUCTURES)])
    return graph, table_plan(graph, rng)


@pytest.mark.parametrize("tables", [False, True], ids=["dense", "tables"])
@pytest.mark.parametrize(
    ("first", "flags", "standard"),
    [(0, (), "c++14"), (1600, ("-DPSP_EXACT_WIDTHS",), "c++14"), (3200, ("-DPSP_EXACT_WIDTHS",), "c++11")],
)
def test_compiled_designs_equal_the_plainest_execution(
    tmp_path: Path, first: int, flags: tuple[str, ...], standard: str, tables: bool
) -> None:
    folders = []
    for seed in range(first, first + 16):
        graph, plan = design(seed, tables)
        if sum(graph.constants[op.weight].size for op in graph.convolutions) > MOST_WEIGHTS:
            continue
        codes = random_codes(graph, seed, FRAMES)
        outputs = execute(graph, codes)["result"]
        folders.append(tmp_path / f"design{seed}")
        write_design(folders[-1], graph, plan, codes, outputs, Target.VITIS if seed % 2 else Target.VIVADO)

    said = run_batch(folders, tmp_path / "build", "-O0", *flags, standard=standard)

    assert len(folders) == said.count(f"frames compared: {FRAMES}, mismatches: 0\n")
    assert len(folders) > 8
