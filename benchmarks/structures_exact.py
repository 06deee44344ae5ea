"""Every structure to the hardware: prune a network for a few steps, lower, emit, compile, and compare on CIFAR-10.

    python benchmarks/structures_exact.py --data-dir DIR [--net densenet40] [--structure shape ...] [--images 100]

Accuracy is not the point here: a few steps are trained so that weights, BN statistics and scales are not those of an
initial network. What is compared: Brevitas in float64, the graph before and after the passes, the compiled C++.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training.api import train_on

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
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = given.keep or Path(scratch)
        results = [one(given, structure, base / f"{given.net}-{structure}") for structure in given.structure]
    sys.exit(any(result["mismatches"] for result in results))


def one(given: argparse.Namespace, structure: str, folder: Path) -> dict[str, object]:
    """Train, emit and compare one structure (several with commas between)."""
    kinds = tuple(StructureKind(word) for word in structure.split(","))
    spec = with_steps(with_structures(preset(given.net), kinds), given.steps)
    structures = tuple(
        replace(s, epsilon=0.2) if s.kind is StructureKind.LAYER else replace(s, density=given.density)
        for s in spec.pruning.structures
    )
    spec = replace(
        spec,
        pruning=replace(
            spec.pruning, structures=structures, init=spec.pruning.init.PAPER, warmup=0.0, ramp=0.0
        ),
        training=replace(spec.training, batch_size=BATCH, rate=0.02),
        finetune=replace(spec.finetune, batch_size=BATCH),
    )
    training = load("cifar10", given.data_dir, "train")
    testing = load("cifar10", given.data_dir, "test", preprocessing=training.preprocessing)
    run, design = folder / "run", folder / "design"
    result = train_on(spec, first(training, TRAINED_IMAGES), first(testing, given.images), run)
    common = ["--data-dir", str(given.data_dir), "--limit", str(given.images), "--json"]
    brevitas = psp_hw("simulate", str(run), "--against", "brevitas", *common)
    emitted = psp_hw("emit", str(run), "--part", given.part, "--out", str(design), "--force", "--json")
    csim = psp_hw("simulate", str(design), "--against", "csim", *common)
    line = {
        "net": given.net,
        "structure": structure,
        "density": round(result.density, 4),
        "images": csim["images"],
        "mismatches_brevitas": brevitas["mismatches"],
        "mismatches": csim["mismatches"] + brevitas["mismatches"],
        "fits": emitted["fits"],
    }
    print(json.dumps(line), flush=True)
    return line


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
