"""The LightningModules of the two phases: floats with pruning, then quantization-aware with fixed structures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from psp_hw.errors import RunError, TrainingError
from psp_hw.pruning.methods.psp import (
    Pace,
    l1_of,
    l1_parameters,
    penalty_groups,
    require_alive,
    require_return,
    tightness,
)
from psp_hw.pruning.parametrization import parameters_of, pruned_layers, weight_mask
from psp_hw.spec.enums import Precision, RateShape
from psp_hw.spec.train import EngineSpec, ScheduleSpec, TrainSpec
from psp_hw.training.draws import go_on, stand_apart, where_they_stand
from psp_hw.training.lightning_names import LightningModule
from psp_hw.training.means import Means
from psp_hw.training.teacher import Teacher

_GRACE = 0.5  # share of the steps during which a network may be cut where gradients can still mend it
_PROBED = 4  # images
_WARM_SHARE = 0.25  # one-cycle: share of the steps over which the rate rises
_WATCH_EVERY = 64  # steps: reading the loss makes an accelerator wait for the host
_STATE = "psp_hw"  # our key in a checkpoint
_STEP_DROPS = (0.5, 0.75)  # step: the rate falls to a tenth at these shares (He et al., Sec. 4.2)
# thirds: the same, after 30 and 60 epochs of 90 (Huang et al., arXiv 1608.06993, Sec. 4.2)
_THIRDS_DROPS = (1 / 3, 2 / 3)


def rate_factor(shape: RateShape, progress: float) -> float:
    """The learning rate as a share of its largest value.

    Args:
        shape: how it moves.
        progress: share of the steps that is done, 0 .. 1.
    """
    match shape:
        case RateShape.CONSTANT:
            return 1.0
        case RateShape.COSINE:
            return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        case RateShape.ONE_CYCLE:
            if progress < _WARM_SHARE:
                return 0.04 + 0.96 * progress / _WARM_SHARE
            return 0.5 * (1.0 + math.cos(math.pi * min((progress - _WARM_SHARE) / (1.0 - _WARM_SHARE), 1.0)))
        case RateShape.STEP:
            return float(0.1 ** sum(progress >= drop for drop in _STEP_DROPS))
        case RateShape.THIRDS:
            return float(0.1 ** sum(progress >= drop for drop in _THIRDS_DROPS))


class Scores(nn.Module):
    """The loss of a batch, and what people watch; what `torch.compile` makes one graph of.

    Args:
        net: the network that learns.
        teacher: whose answers it learns too, if any.
    """

    def __init__(self, net: nn.Module, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.net = net
        self.teacher = teacher

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [n, C, H, W] and labels [n] to the loss and `psp_hw.training.means.WATCHED` [2]."""
        logits = self.net(images)  # [n, classes]
        loss = functional.cross_entropy(logits, labels)
        if self.teacher is not None:
            loss = self.teacher.mixed(loss, logits, images)
        hits = (logits.detach().argmax(dim=1) == labels).float().mean()
        return loss, torch.stack((loss.detach(), hits))


class Phase(LightningModule):
    """What both phases share: loss, SGD with momentum, learning rate per step, the watch on the loss.

    A step reads nothing back from the device that computes it, but for the loss every `_WATCH_EVERY` steps (on a CPU, where
    that costs nothing, every step).

    Args:
        net: the network that learns.
        schedule: of the phase.
        steps: number of steps in the whole phase.
        engine: how steps are computed.
        teacher: whose answers the network learns too, if any.
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: ScheduleSpec,
        steps: int,
        engine: EngineSpec,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.layout = torch.channels_last if engine.channels_last else torch.contiguous_format
        self.net = net.to(memory_format=self.layout)
        self.schedule = schedule
        self.steps = steps
        self.engine = engine
        self.means = Means()
        self.graphed = False
        self.teacher = teacher
        # In a tuple: as an attribute of its own, the network would be registered, and saved, twice.
        self._scores: tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = (Scores(net, teacher),)
        self._draws: Tensor | None = None

    @property
    def progress(self) -> float:
        """Share of the steps that is done."""
        return float(self.global_step) / self.steps

    def on_fit_start(self) -> None:
        """Compile for the device that trains: on a GPU, every step becomes a CUDA graph that is replayed."""
        if self.teacher is not None:
            self.teacher.net.to(device=self.device, memory_format=self.layout)
        if not self.engine.compile:
            return
        self.graphed = self.device.type == "cuda"
        mode = "reduce-overhead" if self.graphed else "default"
        torch.compiler.reset()  # beyond eight graphs, of earlier networks of this process, too, torch silently compiles no more
        # Batches have one of two sizes: two graphs with fixed shapes, instead of one for any size.
        self._scores = (torch.compile(Scores(self.net, self.teacher), mode=mode, dynamic=False),)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        if self.graphed:
            # The gradients of the last step lie in memory that this one's graph writes to.
            self.trainer.optimizers[0].zero_grad(set_to_none=True)
            torch.compiler.cudagraph_mark_step_begin()
        (scores,) = self._scores
        loss, watched = scores(images.contiguous(memory_format=self.layout), labels)
        penalty = self.penalty()
        total = loss if penalty is None else loss + penalty
        if self.is_watched() and not math.isfinite(total.item()):
            raise TrainingError(
                f"the loss is {total.item()} in epoch {self.current_epoch + 1}, step {self.global_step + 1}",
                where="training",
                hint="lower the learning rate; the last good checkpoint is kept in checkpoints/",
            )
        self.means.add(watched, len(labels))
        return total

    def is_watched(self) -> bool:
        """Whether the loss of this step is read."""
        return self.device.type == "cpu" or self.global_step % _WATCH_EVERY == 0

    def pruning_facts(self) -> dict[str, float]:
        """What pruning is doing now, by name."""
        return {}

    def on_train_start(self) -> None:
        rank = self.global_rank
        if self._draws is None or not go_on(self._draws, rank=rank, device=self.device):
            stand_apart(rank)
        self._stop_when_done()

    def on_train_epoch_start(self) -> None:
        self.means.begin()  # not called where an epoch goes on

    def on_train_epoch_end(self) -> None:
        totals = self.means.totals().to(self.device)
        if self.trainer.world_size > 1:
            totals = self.trainer.strategy.reduce(totals, reduce_op="sum")  # type: ignore[assignment]
        for name, value in Means.of(totals).items():
            self.log(name, value)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The epoch so far, and where the random numbers stand: a network may have dropout."""
        totals = self.means.totals().to(self.device)  # [3]
        each = self.trainer.strategy.all_gather(totals).view(-1, len(totals))  # [processes, 3]
        stands = where_they_stand(self.device)  # [bytes]
        draws = self.trainer.strategy.all_gather(stands).view(-1, len(stands)).cpu()  # [processes, bytes]
        checkpoint[_STATE] = {
            "means": self.means.state_dict(each),
            "draws": draws,
            "teacher": self._taught_by,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        known = checkpoint.get(_STATE)  # missing in those of earlier versions, which end with an epoch
        if known is not None:
            rank, processes = self.trainer.global_rank, self.trainer.world_size
            self.means.load_state_dict(known["means"], rank=rank, processes=processes)
            self._draws = known["draws"]
            if known.get("teacher", "") != self._taught_by:
                raise RunError(
                    "the teacher is not the one that this training began with",
                    where="distill.teacher",
                    hint="bring back the run that it was, or train into another folder: --out",
                )

    @property
    def _taught_by(self) -> str:
        return self.teacher.digest if self.teacher is not None else ""

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self.global_step >= self.steps:
            self.trainer.should_stop = True

    def penalty(self) -> Tensor | None:
        """What is added to the loss."""
        return None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weights decay; biases and BN do not."""
        alphas = {id(p.alpha) for layer in pruned_layers(self.net).values() for p in parameters_of(layer)}
        rest = [p for p in self.net.parameters() if p.requires_grad and id(p) not in alphas]
        return [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": self.schedule.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(
            self.parameter_groups(),
            lr=self.schedule.rate,
            momentum=self.schedule.momentum,
            fused=True if self.device.type == "cuda" else None,  # one kernel for all parameters
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(self.schedule.shape, step / self.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class PruningPhase(Phase):
    """Floats: weights and structure parameters learn together.

    Args:
        net: with structure parameters attached.
        spec: its `training` schedule, how the structure parameters learn, how steps are computed.
        steps, teacher: as in `Phase`.
    """

    def __init__(self, net: nn.Module, spec: TrainSpec, steps: int, teacher: Teacher | None = None) -> None:
        super().__init__(net, spec.training, steps, spec.engine, teacher)
        self.pruning = spec.pruning
        self.pace = Pace(net)
        self._l1 = l1_parameters(net)

    def penalty(self) -> Tensor | None:
        return l1_of(self._l1)

    def parameter_groups(self) -> list[dict[str, Any]]:
        alphas = penalty_groups(self.net)
        return super().parameter_groups() + [{"params": a, "weight_decay": s} for a, s in alphas]

    def on_train_start(self) -> None:
        super().on_train_start()
        self.pace.tell(self.progress, self.pruning)
        self._require_alive()

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.pace.tell(self.progress, self.pruning)
        if self.global_step == 0:  # nothing moves by momentum yet: what no gradient reaches stays where it is
            require_return(self.net, batch[0][:_PROBED])

    def _require_alive(self) -> None:
        """In the second half, and once the choice is settled, nothing may be cut any more."""
        if self.progress >= min(_GRACE, 1.0 - self.pruning.settle):
            require_alive(self.net)

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self._require_alive()
        for name, value in self.pruning_facts().items():
            self.log(name, value)

    def pruning_facts(self) -> dict[str, float]:
        """Density, and the threshold that applies now where one threshold decides."""
        facts = {"density": self.density()}
        parameters = [p for layer in pruned_layers(self.net).values() for p in parameters_of(layer)]
        thresholds = {p.structure.epsilon for p in parameters if p.structure.density is None}
        if len(thresholds) == 1:
            facts["epsilon"] = thresholds.pop() * tightness(self.progress, self.pruning)
        return facts

    @torch.no_grad()
    def density(self) -> float:
        """Kept weights per weight over the layers that are pruned."""
        masks = [weight_mask(layer) for layer in pruned_layers(self.net).values()]
        total = sum(mask.numel() for mask in masks)
        return sum(int(mask.sum()) for mask in masks) / total if total else 1.0


class QuantizedPhase(Phase):
    """Quantization-aware: scales and structures stay, weights and biases learn.

    Args:
        net: quantized and calibrated.
        spec: its `finetune` schedule, and how steps are computed; never compiled, and always in float32, in which the integers of
            the network are exact.
        steps, teacher: as in `Phase`.
        masks: kept weights of every pruned layer, by name; all others stay exactly zero.
    """

    def __init__(
        self,
        net: nn.Module,
        spec: TrainSpec,
        steps: int,
        masks: dict[str, Tensor],
        teacher: Teacher | None = None,
    ) -> None:
        exact = replace(spec.engine, precision=Precision.FLOAT32, compile=False)
        super().__init__(net, spec.finetune, steps, exact, teacher)
        self.masks = masks
        self._masked: tuple[list[Tensor], list[Tensor]] = ([], [])

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Scales stay frozen, of which Brevitas makes new parameters: DDP, which comes next, waits for all that learn."""
        from psp_hw.quant.quantizers import freeze_scales

        found = super().load_state_dict(*arguments, **options)
        freeze_scales(self.net)
        return found

    def on_fit_start(self) -> None:
        super().on_fit_start()
        weights = [weight_of(self.net, name) for name in self.masks]
        self._masked = (weights, [mask.to(w) for w, mask in zip(weights, self.masks.values(), strict=True)])

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """A step ends with the masks applied, whoever looks at the weights next."""
        super().optimizer_step(*arguments, **options)
        weights, masks = self._masked
        if weights:
            with torch.no_grad():
                torch._foreach_mul_(weights, masks)


@torch.no_grad()
def apply_masks(net: nn.Module, masks: dict[str, Tensor]) -> None:
    """Set every weight outside of the masks to zero, in place."""
    for name, mask in masks.items():
        weight_of(net, name).mul_(mask)


def weight_of(net: nn.Module, name: str) -> Tensor:
    """The weight of a layer."""
    weight = net.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight
