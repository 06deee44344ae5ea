"""What a training runs on: processors, processes and machines. None of it is part of the request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

import torch
from torch import distributed

from psp_hw.errors import SpecError
from psp_hw.training.launch import sees_one_of_its_own


class Accelerator(Enum):
    """Where the steps are computed: ``auto`` takes a CUDA GPU where there is one and the network is large enough."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a training runs on.

    More than one device or node means one process per device, with averaged gradients (DDP). The processes are started by
    torchrun or SLURM; on one node, psp-hw starts them itself.

    Args:
        accelerator: where the steps are computed.
        devices: GPUs, or processes on a CPU, of each node.
        nodes: machines.
    """

    accelerator: Accelerator = Accelerator.AUTO
    devices: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes

    def on_gpu(self, *, small: bool) -> bool:
        """Whether the steps of a network run on a GPU.

        Args:
            small: a step is so little work that a CPU is faster.
        """
        match self.accelerator:
            case Accelerator.CPU:
                return False
            case Accelerator.CUDA:
                return True
            case Accelerator.AUTO:
                return torch.cuda.is_available() and not small

    @property
    def one_gpu_per_task(self) -> bool:
        """Whether each process of a node sees a GPU of its own, as number 0, and no other."""
        return sees_one_of_its_own(self.devices, self.nodes, torch.cuda.device_count(), os.environ)

    def check_gpus(self, *, small: bool) -> None:
        """Refuse more GPUs than there are, before anybody waits for them.

        Args:
            small: as in `on_gpu`.

        Raises:
            SpecError: says how many this process sees.
        """
        if not self.on_gpu(small=small) or self.one_gpu_per_task:
            return
        found = torch.cuda.device_count()
        if found < self.devices:
            what = f"{self.devices} CUDA devices were asked for, this process sees {found}"
            where = "--devices" if found else "--accelerator"
            raise SpecError(what, where=where, hint="use --accelerator cpu, or fewer --devices")


def is_leader() -> bool:
    """Whether this process is the one that writes files and speaks; before any process group exists, too."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    if "RANK" in os.environ:  # torchrun
        return os.environ["RANK"] == "0"
    ranks = [os.environ.get(name, "0") for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")]
    return all(rank == "0" for rank in ranks)


def shard() -> tuple[int, int]:
    """Number of this process and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
