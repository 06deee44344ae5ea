"""Shape pruning in a training loop of one's own: no psp-hw spec, no Lightning.

python examples/plain_loop.py
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

import psp_hw
from psp_hw.data.registry import load


def make_net() -> nn.Sequential:
    """Any nn.Module will do; this is a small chain for 8x8 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(24, 10),
    )


def main(steps: int = 600, batch: int = 64) -> tuple[float, float]:
    """Train, prune, compact; returns accuracy and density."""
    torch.manual_seed(1)
    training = load("digits", None, "train")
    testing = load("digits", None, "test", preprocessing=training.preprocessing)
    images, labels = torch.from_numpy(training.images), torch.from_numpy(training.labels)
    model = psp_hw.prune(
        make_net(),
        structure="shape",
        epsilon=0.3,
        strength=0.1,
        init="ones",
        warmup=0.1,
        ramp=0.4,
        settle=0.25,
    )
    optimizer = torch.optim.SGD(psp_hw.parameter_groups(model, weight_decay=5e-4), lr=0.1, momentum=0.9)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        psp_hw.advance(model, step / steps)
        chosen = torch.randint(len(images), (batch,))
        loss = functional.cross_entropy(model(images[chosen]), labels[chosen]) + psp_hw.penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    kept = psp_hw.density(model)
    psp_hw.remove(model.eval())  # a plain nn.Sequential again, alpha in its weights
    small = psp_hw.compact(model, images[:1])
    with torch.no_grad():
        guesses = small(torch.from_numpy(testing.images)).argmax(dim=1).numpy()
    return float((guesses == testing.labels).mean()), kept


if __name__ == "__main__":
    accuracy, kept = main()
    print(f"accuracy {accuracy:.2%}, density {kept:.3f}")  # noqa: T201
