"""Random graphs under random plans: the C++ compiled by g++ gives what the graph says, frame after frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hls_batch import random_plan, run_batch, write_design
from oracle import execute
from random_graphs import random_codes, random_graph

from psp_hw.backends.base import Target
from psp_hw.passes import optimize

pytestmark = pytest.mark.slow  # g++ compiles many designs

EXACT = "-DPSP_EXACT_WIDTHS"

# ap_int shifts negative numbers left, which C++11 leaves undefined and every compiler defines; that is theirs, not ours.
# Its default constructor reads what it has not set, which g++ sees when it optimizes.
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize=shift", "-fno-sanitize-recover=all")
SANITIZERS += ("-Wno-uninitialized", "-Wno-maybe-uninitialized")


def check_batch(folder: Path, seeds: range, *flags: str, standard: str = "c++14", frames: int = 3) -> None:
    folders = []
    for seed in seeds:
        graph = optimize(random_graph(seed))
        codes = random_codes(graph, seed, frames)
        outputs = execute(graph, codes)[graph.output.name]
        target = Target.VITIS if seed % 2 else Target.VIVADO
        plan = random_plan(graph, np.random.default_rng(seed))
        write_design(folder / f"design{seed}", graph, plan, codes, outputs, target)
        folders.append(folder / f"design{seed}")

    said = run_batch(folders, folder / "build", *flags, standard=standard)

    assert len(folders) == said.count(f"frames compared: {frames}, mismatches: 0\n")


def test_compiled_designs_equal_their_graphs(tmp_path: Path) -> None:
    check_batch(tmp_path, range(1000, 1005), "-O0")


@pytest.mark.parametrize("first", [2000, 2020, 3000])
def test_designs_in_the_words_of_synthesis_equal_their_graphs(tmp_path: Path, first: int) -> None:
    """Counters, operands, products and constants of exact width: none is too narrow."""
    check_batch(tmp_path, range(first, first + 20), "-O0", EXACT)


def test_designs_compile_as_the_older_language_of_vivado_hls(tmp_path: Path) -> None:
    check_batch(tmp_path, range(4000, 4010), "-O0", EXACT, standard="c++11")


def test_designs_touch_no_memory_that_is_not_theirs(tmp_path: Path) -> None:
    check_batch(tmp_path, range(5000, 5004), *SANITIZERS)
