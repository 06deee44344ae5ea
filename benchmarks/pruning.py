"""What pruning costs while it trains: time and memory of a step with structure parameters against one without.

    python benchmarks/pruning.py [--net resnet20] [--rounds 15] [--batch 128] [--out reports/pruning]

Needs no data. With the defaults, about half a minute of one core.

The steps of all variants alternate in one process, and time is processor time, so that other work on the machine does not
count; the ratio is the median of the ratios of neighbouring steps. Memory is what the tensors of a step hold at its peak: parameters, gradients, momentum
and everything that autograd saves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.nn import functional

import psp_hw
from psp_hw.nn.catalog import NETS
from psp_hw.nn.registry import build_net
from psp_hw.spec.train import NetSpec

GOALS = {"shape": 1.05, "column": 1.10}
MEMORY_GOAL = 1.05


class Variant:
    """A network, its optimizer and one batch."""

    def __init__(self, net: str, structure: str | None, batch: int) -> None:
        torch.manual_seed(1)
        info = NETS[net]
        self.model = build_net(NetSpec(name=net), image=info.image, classes=10)
        if structure is not None:
            psp_hw.prune(self.model, structure, 0.1, init="ones")
        groups = psp_hw.parameter_groups(self.model, weight_decay=5e-4)
        self.optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
        self.images, self.labels = torch.randn(batch, *info.image), torch.arange(batch) % 10

    def step(self) -> float:
        """Processor time of one training step [s]."""
        start = time.process_time()
        loss = functional.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.process_time() - start

    def memory(self) -> int:
        """Bytes of parameters, gradients, momentum and saved tensors, each storage once."""
        held: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = functional.cross_entropy(self.model(self.images), self.labels)
            parameters = list(self.model.parameters())
            saved = dict(held)
            for tensor in [*parameters, *self.model.buffers()]:
                saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            del loss
        return sum(saved.values()) + 2 * sum(p.numel() * p.element_size() for p in parameters)


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--net", default="resnet20")
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    variants: dict[str | None, Variant] = {s: Variant(given.net, s, given.batch) for s in (None, *GOALS)}
    times: dict[str | None, list[float]] = {structure: [] for structure in variants}
    for number in range(given.rounds + 2):
        for structure, variant in variants.items():
            taken = variant.step()
            if number >= 2:
                times[structure].append(taken)
    plain_memory = variants[None].memory()
    result = {
        "net": given.net,
        "batch": given.batch,
        "rounds": given.rounds,
        "threads": torch.get_num_threads(),
        "step_seconds_without": statistics.median(times[None]),
        "structures": {
            structure: {
                "time_ratio": statistics.median(
                    a / b for a, b in zip(times[structure], times[None], strict=True)
                ),
                "time_ratio_of_fastest": min(times[structure]) / min(times[None]),
                "time_goal": goal,
                "memory_ratio": variants[structure].memory() / plain_memory,
                "memory_goal": MEMORY_GOAL,
            }
            for structure, goal in GOALS.items()
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "result.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
