"""Many small designs in one translation unit: g++ reads the headers once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psp_hw.backends.base import Target, Vectors
from psp_hw.backends.hls.project import design_files
from psp_hw.folding.plan import (
    Fold,
    FoldPlan,
    MemoryKind,
    MultiplierKind,
    NodePlan,
    divisors,
    extents,
    foldable,
)
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine
from psp_hw.tools import gxx
from psp_hw.units import Clock

# HLS pragmas and loop labels mean nothing to g++; everything else that it finds is an error.
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-unknown-pragmas", "-Wno-unused-label")
PART = "xc7z020clg400-1"


def write_design(
    folder: Path,
    graph: Graph,
    plan: FoldPlan,
    inputs: np.ndarray,
    outputs: np.ndarray,
    target: Target = Target.VIVADO,
) -> None:
    """A design folder, without the care that ``emit`` takes."""
    files = design_files(
        graph,
        plan,
        part=PART,
        clock=Clock(period_ns=10),
        target=target,
        vectors=Vectors(inputs=inputs, outputs=outputs),
        report_files={},
    )
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def random_plan(graph: Graph, rng: np.random.Generator) -> FoldPlan:
    """Legal folds and memories by chance."""
    nodes = {}
    for op in graph.convolutions:
        full = extents(op, graph)
        fold = Fold(
            pe=int(rng.choice(divisors(full.pe))),
            simd=int(rng.choice(divisors(full.simd))),
            taps=int(rng.choice(divisors(full.taps))),
        )
        kinds = (MemoryKind.REGISTERS, MemoryKind.LUTRAM, MemoryKind.BRAM)
        nodes[op.name] = NodePlan(
            fold=fold, weights=kinds[rng.integers(3)], multipliers=random_multipliers(fold, full, rng)
        )
    for op in foldable(graph):
        if op.name not in nodes:
            nodes[op.name] = random_map(graph.types[op.name].channels, isinstance(op, Affine), rng)
    return FoldPlan(nodes=nodes)


def random_map(channels: int, multiplies: bool, rng: np.random.Generator) -> NodePlan:
    """A legal fold, memory and multiplier of a map, by chance."""
    fold = Fold(pe=int(rng.choice(divisors(channels))))
    kinds = (MultiplierKind.TOOL, MultiplierKind.LUT, MultiplierKind.DSP)
    chosen = kinds[rng.integers(3)] if multiplies and fold.pe < channels else MultiplierKind.TOOL
    memory = (MemoryKind.REGISTERS, MemoryKind.LUTRAM, MemoryKind.BRAM)[rng.integers(3)]
    return NodePlan(fold=fold, weights=memory, multipliers=chosen)


def random_multipliers(fold: Fold, full: Fold, rng: np.random.Generator) -> MultiplierKind:
    """A kind of multiplier that suits a fold, by chance."""
    kinds = [kind for kind in MultiplierKind if kind is not MultiplierKind.DSP_PAIR or fold.pe % 2 == 0]
    return MultiplierKind.TOOL if fold == full else kinds[rng.integers(len(kinds))]


def run_batch(folders: Sequence[Path], build: Path, *flags: str, standard: str = "c++14") -> str:
    """Compile designs together and compare each with its vectors; what the testbenches said, exit code asserted."""
    lines = []
    for index, folder in enumerate(folders):
        (source,) = (folder / "src").glob("*.cpp")
        lines += [f'#include "{source}"', f"#define Design Design{index}", f"#define main main{index}"]
        lines += [f'#include "{folder}/tb/testbench.cpp"', "#undef Design", "#undef main"]
    calls = "\n".join(
        f'    {{ char* arguments[] = {{word, const_cast<char*>("{folder}/tb/vectors"), 0}}; '
        f'if (main{index}(2, arguments) != 0) {{ std::cout << "differs: {folder.name}" << std::endl; failed = 1; }} }}'
        for index, folder in enumerate(folders)
    )
    lines.append(f'int main() {{ int failed = 0; char word[] = "batch";\n{calls}\n    return failed; }}')
    build.mkdir(parents=True, exist_ok=True)
    (build / "batch.cpp").write_text("\n".join(lines))
    first = folders[0]
    includes = [f"-I{folder}/src" for folder in folders]
    includes += [
        f"-I{first}/include",
        "-isystem",
        f"{first}/include/gxx",
        "-isystem",
        f"{first}/include/ap_types",
    ]
    command = [gxx.compiler(), f"-std={standard}", *STRICT, *flags, *includes, "-o", str(build / "batch")]
    compiled = subprocess.run(
        [*command, str(build / "batch.cpp")], capture_output=True, text=True, check=False
    )
    assert compiled.returncode == 0, compiled.stderr[:4000]
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run(
        [str(build / "batch")], capture_output=True, text=True, check=False, env=environment
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[:4000]
    assert "WARNING" not in said, said[:4000]  # a stream read empty, or left with something inside
    return said
