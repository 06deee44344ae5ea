"""Every structure to the hardware: prune a network for a few steps, lower, emit, compile, and compare on CIFAR-10.

    python benchmarks/structures_exact.py --data-dir DIR [--net densenet40] [--structure shape ...] [--images 100] [--out DIR]

Needs CIFAR-10 in DIR and g++.

Accuracy is not the point here: a few steps are trained so that weights, BN statistics and scales are not those of an
initial network. What is compared: Brevitas in float64, the graph before and after the passes, the compiled C++.

Cycles: the network without its zeros is folded for the part; then every layer gets, with at most as many multipliers, the
connection table of fewest cycles where one is faster. Cycles per frame, all convolutions together: those folds, in which zeros
cost what weights cost, and tables. The compiled design is the one with tables. Last, the interval of the fastest design that the
search finds for the part, where zeros are weights and where they are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import find_part
from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.dse.search import plan
from psp_hw.flow.source import read_graph, resolve
from psp_hw.folding.connections import Pattern, blocks_of
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan, divisors
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.spec.train import TrainSpec
from psp_hw.training.api import carry_out
from psp_hw.training.job import Job
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner
from psp_hw.units import Clock

CLOCK = Clock(period_ns=10.0)
TRAINED_IMAGES = 256
BATCH = 16


def main() -> None:
    """Print one line of JSON per structure; exit code 1 if anything differs."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data-dir", type=Path, required=True)
    arguments.add_argument("--net", default="densenet40")
    arguments.add_argument("--structure", nargs="+", default=["shape", "column", "channel", "layer"])
    arguments.add_argument("--images", type=int, default=100)
    arguments.add_argument("--steps", type=int, default=6)
    arguments.add_argument("--density", type=float, default=0.5)
    arguments.add_argument("--part", default="xcvu13p")
    arguments.add_argument("--keep", type=Path, help="folder for runs and designs; default: a temporary one")
    arguments.add_argument("--out", type=Path, help="folder for report.md and result.json")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = given.keep or Path(scratch)
        results = [one(given, structure, base / f"{given.net}-{structure}") for structure in given.structure]
    if given.out is not None:
        write_report(given.out, results)
    sys.exit(any(result["mismatches"] for result in results))


def one(given: argparse.Namespace, structure: str, folder: Path) -> dict[str, object]:
    """Train, emit and compare one structure (several with commas between)."""
    spec = recipe(given, structure)
    training = load("cifar10", given.data_dir, "train")
    testing = load("cifar10", given.data_dir, "test", preprocessing=training.preprocessing)
    run, design = folder / "run", folder / "design"
    job = Job(
        spec=spec,
        training=first(training, TRAINED_IMAGES),
        testing=first(testing, given.images),
        run=run,
        machine=Machine(),
        manner=Manner(),
    )
    result = carry_out(job)
    common = ["--data-dir", str(given.data_dir), "--limit", str(given.images), "--json"]
    brevitas = psp_hw("simulate", str(run), "--against", "brevitas", *common)
    graph = read_graph(resolve(run))
    folds, cycles = folds_of(graph, given.part)
    chosen = folder / "folds.json"
    chosen.write_text(json.dumps({name: fold.parts for name, fold in folds.items()}, indent=2))
    at = ["--part", given.part, "--clock", f"{CLOCK.period_ns:g}", "--fold", str(chosen)]
    emitted = psp_hw("emit", str(run), *at, "--out", str(design), "--force", "--json")
    csim = psp_hw("simulate", str(design), "--against", "csim", *common)
    line = {
        "net": given.net,
        "structure": structure,
        "part": given.part,
        "density": round(result.density, 4),
        "connections": sum(int(np.count_nonzero(graph.constants[op.weight])) for op in graph.convolutions),
        "connections_dense": sum(dense_connections(op) for op in graph.convolutions),
        **cycles,
        "layers_with_tables": sum(fold.table for fold in folds.values()),
        "layers": len(folds),
        "images": csim["images"],
        "mismatches_brevitas": brevitas["mismatches"],
        "mismatches": csim["mismatches"] + brevitas["mismatches"],
        "fits": emitted["fits"],
    }
    print(json.dumps(line), flush=True)
    return line


def recipe(given: argparse.Namespace, structure: str) -> TrainSpec:
    """A few steps, and then half of the structures gone."""
    kinds = tuple(StructureKind(word) for word in structure.split(","))
    spec = with_steps(with_structures(preset(given.net), kinds), given.steps)
    structures = tuple(
        replace(s, epsilon=0.2) if s.kind is StructureKind.LAYER else replace(s, density=given.density)
        for s in spec.pruning.structures
    )
    return replace(
        spec,
        pruning=replace(
            spec.pruning, structures=structures, init=spec.pruning.init.PAPER, warmup=0.0, ramp=0.0
        ),
        training=replace(spec.training, batch_size=BATCH, rate=0.02),
        finetune=replace(spec.finetune, batch_size=BATCH),
    )


def dense_connections(op: Conv2d) -> int:
    """Weights of a layer before anything was pruned."""
    return op.kernel[0] * op.kernel[1] * op.dense_in_channels * op.dense_out_channels


def folds_of(graph: Graph, part: str) -> tuple[dict[str, Fold], dict[str, int]]:
    """Folds with tables at the multipliers of folds without; cycles of all layers together, and of the slowest engine.

    And the interval of the fastest design within the usual share of the part, without tables and with them.
    """
    filled = {
        op.weight: np.where(graph.constants[op.weight] == 0, 1, graph.constants[op.weight])
        for op in graph.convolutions
    }
    whole = graph.with_ops(graph.ops, filled)
    found = plan(whole, find_part(part), CLOCK)
    dense = {name: node.fold for name, node in found.nodes.items()}
    tables = {op.name: with_table(graph.constants[op.weight], dense[op.name]) for op in graph.convolutions}
    chosen = plan(graph, find_part(part), CLOCK)
    cycles = {
        "interval_zeros": estimate(whole, found, find_part(part), CLOCK).interval,
        "interval_tables": estimate(graph, chosen, find_part(part), CLOCK).interval,
    }
    for kind, folds in (("zeros", dense), ("tables", tables)):
        nodes = {name: NodePlan(fold=fold) for name, fold in folds.items()}
        engines = [e for e in build(graph, FoldPlan(nodes=nodes)).engines if isinstance(e, ConvEngine)]
        cycles[f"cycles_{kind}"] = sum(engine.schedule().iterations for engine in engines)
        cycles[f"slowest_{kind}"] = max(engine.schedule().iterations for engine in engines)
        cycles[f"multipliers_{kind}"] = sum(engine.fold.multipliers for engine in engines)
    return tables, cycles


def with_table(weight: np.ndarray, fold: Fold) -> Fold:
    """The table of fewest cycles with at most the multipliers of a dense fold; that fold where none is faster.

    Args:
        weight: [T, Ci, Co].
        fold: of the dense schedule.
    """
    best, words = fold, weight.size // fold.multipliers
    for pe in divisors(weight.shape[2]):
        blocks = blocks_of(Pattern.of(weight), pe)
        lanes = min(fold.multipliers // pe, blocks.most)
        if lanes and int(blocks.lengths(lanes).sum()) < words:
            best, words = Fold(pe=pe, lanes=lanes), int(blocks.lengths(lanes).sum())
    return best


def write_report(out: Path, results: list[dict[str, object]]) -> None:
    """One table, and the numbers behind it."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(results, indent=2) + "\n")
    lines = [
        "# Structures in hardware",
        "",
        "`benchmarks/structures_exact.py`: a few steps of training, then Brevitas, graph and compiled C++ compared. Cycles of all "
        "convolutions per frame with at most as many multipliers: zeros as weights in the dense schedule, and connection tables. "
        "Interval: cycles from frame to frame of the fastest design that the search finds, without tables and with them.",
        "",
        "| network | structures | part | connections | cycles, zeros | cycles, tables | ratio | interval | layers with tables | images | mismatches |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results:
        share = f"{row['connections']:,} of {row['connections_dense']:,}"
        ratio = row["cycles_tables"] / row["cycles_zeros"]  # type: ignore[operator]
        lines.append(
            f"| {row['net']} | {row['structure']} | {row['part']} | {share} | {row['cycles_zeros']:,} | {row['cycles_tables']:,} | {ratio:.2f} "
            f"| {row['interval_zeros']:,} to {row['interval_tables']:,} | {row['layers_with_tables']} of {row['layers']} "
            f"| {row['images']} | {row['mismatches']} |"
        )
    (out / "report.md").write_text("\n".join(lines) + "\n")


def first(split: Split, count: int) -> Split:
    """The first images of a split."""
    return replace(split, images=split.images[:count], labels=split.labels[:count])


def psp_hw(*arguments: str) -> dict:  # type: ignore[type-arg]
    """Run a command that answers in JSON; mismatches are an answer."""
    done = subprocess.run([sys.executable, "-m", "psp_hw", *arguments], capture_output=True, text=True)
    if done.returncode > 1 or not done.stdout:
        sys.exit(f"psp-hw {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
