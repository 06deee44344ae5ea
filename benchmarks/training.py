"""What the training engine costs: a step of psp-hw against a step of a bare PyTorch loop over the same network and batch.

    python benchmarks/training.py [--net resnet8] [--batch 128] [--rounds 6] [--steps 20] [--threads 1] [--out reports/training]

Needs no data. With the defaults, about a minute and a half of one core.

Short trainings of both kinds alternate in one process with the same number of threads, and the ratio is the median over the
rounds. Time lies between two batches: of a CPU it is processor time, which other programs on the machine disturb least; of a
GPU it is wall-clock time. The bare loop has its batches ready in memory; psp-hw also shuffles,
crops, mirrors, logs and watches the loss.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from psp_hw.data.split import Preprocessing, Split
from psp_hw.spec.enums import Precision
from psp_hw.spec.presets import preset
from psp_hw.spec.train import EngineSpec, TrainSpec
from psp_hw.training.batches import Batches
from psp_hw.training.floats import fresh_net
from psp_hw.training.loop import run_phase
from psp_hw.training.machine import Accelerator, Machine
from psp_hw.training.modules import PruningPhase

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.95  # images per second of psp-hw as a share of the bare loop's
WARM = 4  # steps that do not count
SEED = 1  # of the images, their order and the initial weights


class TimedBatches(Batches):
    """Notes when the first batch that counts and when the last one is asked for."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.asked: list[float] = []
        for number, batch in enumerate(super().__iter__()):
            if number in (WARM, len(self) - 1):
                self.asked.append(now(self.device))
            yield batch


def now(device: torch.device) -> float:
    """Processor time, or of a GPU wall-clock time once it has done all that it was given [s]."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def made_up_split(spec: TrainSpec, images: int) -> Split:
    """Random images of the size of CIFAR-10."""
    rng = np.random.default_rng(SEED)
    return Split(
        name="train",
        images=rng.normal(size=(images, 3, 32, 32)).astype(np.float32),
        labels=rng.integers(0, 10, images),
        classes=tuple("0123456789"),
        preprocessing=Preprocessing(mean=np.zeros((3, 32, 32), dtype=np.float32), divisor=1.0),
    )


def engine_step(spec: TrainSpec, split: Split, machine: Machine) -> float:
    """Seconds of one step of psp-hw."""
    batches = TimedBatches(split, spec.data, batch_size=spec.training.batch_size, seed=SEED)
    phase = PruningPhase(fresh_net(spec, split), spec, len(batches))
    with tempfile.TemporaryDirectory() as scratch:
        run_phase(phase, batches, machine, name="train", run=Path(scratch))
    began, ended = batches.asked
    return (ended - began) / (len(batches) - 1 - WARM)


def bare_step(spec: TrainSpec, split: Split, device: torch.device) -> float:
    """Seconds of one step of a bare loop: the same network, optimizer, precision and layout."""
    layout = torch.channels_last if spec.engine.channels_last else torch.contiguous_format
    half = spec.engine.precision is Precision.BFLOAT16
    net = fresh_net(spec, split).to(device, memory_format=layout)
    schedule = spec.training
    optimizer = torch.optim.SGD(
        net.parameters(), lr=schedule.rate, momentum=schedule.momentum, weight_decay=schedule.weight_decay
    )
    count = len(split) // schedule.batch_size
    images = torch.from_numpy(split.images).to(device).contiguous(memory_format=layout).chunk(count)
    labels = torch.from_numpy(split.labels).to(device).chunk(count)
    began = 0.0
    for number, (some, wanted) in enumerate(zip(images, labels, strict=True)):
        if number == WARM:
            began = now(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = functional.cross_entropy(net(some), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (now(device) - began) / (count - WARM)


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--net", default="resnet8")
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=6)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--compile", action="store_true", help="torch.compile, of psp-hw alone")
    arguments.add_argument("--accelerator", default="cpu", choices=["cpu", "cuda"])
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    base = preset(given.net)
    base = replace(base, seed=SEED, training=replace(base.training, batch_size=given.batch, epochs=1))
    split = made_up_split(base, given.batch * (given.steps + WARM))
    machine = Machine(accelerator=Accelerator(given.accelerator))
    result = provenance(sys.argv[1:], given.accelerator) | {
        "net": given.net,
        "batch": given.batch,
        "accelerator": given.accelerator,
        "compile": given.compile,
        "threads": given.threads,
        "rounds": given.rounds,
        "goal": GOAL,
        "engines": {
            f"{precision.value}{' channels_last' if last else ''}": compare(
                replace(
                    base, engine=EngineSpec(precision=precision, channels_last=last, compile=given.compile)
                ),
                split,
                machine,
                given.rounds,
            )
            for precision, last in ((Precision.FLOAT32, False), (Precision.BFLOAT16, True))
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "engine.json").write_text(text + "\n")


def provenance(words: list[str], accelerator: str) -> dict[str, str | int]:
    """Where figures come from: the command, the checkout, the machine.

    Args:
        words: of the command line.
        accelerator: what the steps ran on.
    """
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    device = torch.cuda.get_device_name() if accelerator == "cuda" else _processor()
    return {
        "command": shlex.join(["python", "benchmarks/training.py", *words]),
        "commit": done.stdout.strip() or "unknown",
        "hardware": f"{device}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "seed": SEED,
    }


def _processor() -> str:
    """Name of the processor, and whether it multiplies bfloat16 itself; the architecture where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = next((line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")), "")
    return (named.strip() or platform.machine()) + (" with AVX512-BF16" if "avx512_bf16" in text else "")


def compare(spec: TrainSpec, split: Split, machine: Machine, rounds: int) -> dict[str, float]:
    """Median step times and the ratio of their speeds."""
    device = torch.device(machine.accelerator.value)
    pairs = [(bare_step(spec, split, device), engine_step(spec, split, machine)) for _ in range(rounds)]
    return {
        "bare_step_seconds": statistics.median(bare for bare, _ in pairs),
        "psp_hw_step_seconds": statistics.median(ours for _, ours in pairs),
        "speed_ratio": statistics.median(bare / ours for bare, ours in pairs),
    }


if __name__ == "__main__":
    main()
