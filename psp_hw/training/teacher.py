"""A trained network whose answers another one learns beside the labels (Hinton, Vinyals, Dean, arXiv 1503.02531)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from psp_hw.data.split import Preprocessing, Split
from psp_hw.errors import RunError
from psp_hw.nn.registry import build_net
from psp_hw.spec.train import DistillSpec, TrainSpec
from psp_hw.training.run import INPUT, read_manifest, started_with
from psp_hw.training.weights import load_weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """Floats that no longer learn.

    Args:
        net: in eval, without gradients.
        spec: how much its answers count, and how soft they are made.
        digest: of its weights [sha256]; a training goes on with the teacher that it began with.
    """

    net: nn.Module
    spec: DistillSpec
    digest: str

    def mixed(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """The loss over the labels, mixed with how far the logits are from the teacher's.

            (1 - share) * loss + share * T**2 * KL(teacher / T, logits / T)

        T squared keeps the gradients of the second part as large as they would be at T = 1 (Hinton et al., Sec. 2).

        Args:
            loss: cross entropy over the labels, a mean over the batch.
            logits: of the network that learns [n, classes].
            images: what both see [n, C, H, W].
        """
        softness = self.spec.temperature
        with torch.no_grad():
            told = functional.log_softmax(self.net(images) / softness, dim=1)
        learnt = functional.log_softmax(logits / softness, dim=1)
        apart = functional.kl_div(learnt, told, log_target=True, reduction="batchmean")
        return (1.0 - self.spec.share) * loss + self.spec.share * softness**2 * apart


def teacher_of(spec: TrainSpec, split: Split) -> Teacher | None:
    """The teacher that a spec names, its floats checked; None where it names none.

    Args:
        spec: the request of the network that learns.
        split: images and classes as that network sees them.

    Raises:
        RunError: the teacher is no run, has no floats, or learnt other images than these.
    """
    if not spec.distill.teacher:
        return None
    run = Path(spec.distill.teacher)
    learnt = started_with(run, read_manifest(run))
    if learnt.data.name != spec.data.name:
        what = f"learnt {learnt.data.name}, and {spec.data.name} is to be learnt"
        raise RunError(what, where=str(run), hint="name a run of the same data set as --teacher")
    _check_preprocessing(run, split)
    net = build_net(learnt.net, image=split.image_shape, classes=len(split.classes))
    load_weights(net, run)
    net.eval().requires_grad_(False)
    return Teacher(net=net, spec=spec.distill, digest=_digest(net))


def _check_preprocessing(run: Path, split: Split) -> None:
    """A run that waits to be quantized has none stored: it is that of its data set."""
    if not (run / INPUT).is_file():
        return
    known, own = Preprocessing.read(run / INPUT), split.preprocessing
    if not (np.array_equal(known.mean, own.mean) and np.array_equal(known.divisor, own.divisor)):
        what = "its images were preprocessed in another way"
        raise RunError(what, where=str(run / INPUT), hint="name a run of the same data set as --teacher")


def _digest(net: nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
