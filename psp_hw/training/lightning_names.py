"""Lightning under either of the names it is distributed as: ``lightning``, or ``pytorch-lightning`` with the same parts."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING or find_spec("lightning") is not None:
    from lightning import LightningModule, Trainer
    from lightning.fabric.plugins import TorchCheckpointIO
    from lightning.pytorch.accelerators import CUDAAccelerator
    from lightning.pytorch.callbacks import Callback, Checkpoint
    from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
    from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
else:
    from lightning_fabric.plugins import TorchCheckpointIO
    from pytorch_lightning import LightningModule, Trainer
    from pytorch_lightning.accelerators import CUDAAccelerator
    from pytorch_lightning.callbacks import Callback, Checkpoint
    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
    from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment

# The loggers that Lightning speaks through, whichever of its names it was imported by.
SPEAKERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
)

__all__ = [
    "SPEAKERS",
    "CSVLogger",
    "CUDAAccelerator",
    "Callback",
    "Checkpoint",
    "LightningEnvironment",
    "LightningModule",
    "Logger",
    "SLURMEnvironment",
    "TensorBoardLogger",
    "TorchCheckpointIO",
    "Trainer",
]
