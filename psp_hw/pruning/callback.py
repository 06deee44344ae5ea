"""Pruning in the Lightning Trainer of the user's own project."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from psp_hw.pruning import library
from psp_hw.pruning.methods.psp import penalty_groups, require_alive
from psp_hw.pruning.parametrization import parameters_of, pruned_layers
from psp_hw.spec.enums import Penalty


def _is_called_lightning() -> bool:
    """Under which of its names Lightning is used: that which the program has imported, else that which is installed."""
    imported = [name for name in ("lightning", "pytorch_lightning") if name in sys.modules]
    return imported[0] == "lightning" if imported else find_spec("lightning") is not None


if TYPE_CHECKING or _is_called_lightning():
    from lightning import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback
else:
    from pytorch_lightning import LightningModule, Trainer
    from pytorch_lightning.callbacks import Callback

_GRACE = 0.5  # share of the training during which the network may be cut: alpha may come back


class PruningCallback(Callback):
    """Prunes a module from its first fit on: ``Trainer(callbacks=[psp_hw.PruningCallback(structure="shape")])``.

    The penalty on alpha is added to its gradient, in place of the weight decay that the optimizer of the module applies
    to it; nothing in the module has to change.

    Args:
        attribute: name of the submodule that is pruned; None: the whole module.
        remove_at_end: whether alpha goes into the weights when the training is done.
        options: those of `psp_hw.prune`.
    """

    def __init__(self, *, attribute: str | None = None, remove_at_end: bool = True, **options: Any) -> None:
        self.attribute = attribute
        self.remove_at_end = remove_at_end
        self.options = options

    def _net(self, module: LightningModule) -> nn.Module:
        return module if self.attribute is None else module.get_submodule(self.attribute)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not pruned_layers(self._net(pl_module)):
            library.prune(self._net(pl_module), **self.options)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        total = trainer.estimated_stepping_batches
        library.advance(self._net(pl_module), trainer.global_step / total if total < float("inf") else 1.0)

    @torch.no_grad()
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        decay: Mapping[int, float] = {
            id(p): float(group.get("weight_decay", 0.0))
            for group in optimizer.param_groups
            for p in group["params"]
        }
        net = self._net(pl_module)
        for alphas, strength in penalty_groups(net):
            for alpha in alphas:
                if alpha.grad is not None:
                    alpha.grad.add_(alpha, alpha=strength - decay.get(id(alpha), 0.0))
        for layer in pruned_layers(net).values():
            for parameter in parameters_of(layer):
                l1 = parameter.pruning.penalty is Penalty.L1 and parameter.alpha.grad is not None
                if l1:
                    parameter.alpha.grad.add_(parameter.alpha.sign(), alpha=parameter.structure.strength)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = trainer.estimated_stepping_batches
        if trainer.global_step >= _GRACE * total:
            require_alive(self._net(pl_module))
        pl_module.log("density", library.density(self._net(pl_module)), sync_dist=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.remove_at_end:
            library.remove(self._net(pl_module))
