"""Random numbers of a training: where every process stands in them, and that no two stand at the same place.

What a network draws, the masks of its dropout, comes from the generators of its process: that of the processor, and that of the GPU
that trains.
"""

from __future__ import annotations

import torch
from torch import Tensor

_APART = 1_000_003  # between the seeds of two processes: far from the seeds that people try one after another


def stand_apart(rank: int) -> None:
    """Let a process draw other numbers than the first, whose own do not change.

    Args:
        rank: number of this process.
    """
    if rank > 0:
        torch.manual_seed(torch.initial_seed() + _APART * rank)


def where_they_stand(device: torch.device) -> Tensor:
    """The states of the generators of this process, uint8 [bytes], on the device that trains.

    Args:
        device: that of the training.
    """
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states).to(device)


def go_on(states: Tensor, *, rank: int, device: torch.device) -> bool:
    """Put the generators of this process where a checkpoint says.

    Args:
        states: `where_they_stand` of each process [processes then, bytes]; [bytes] in checkpoints of earlier versions: that of the
            processor of the first process.
        rank: number of this process.
        device: that of the training; where it is another kind than then, its generator stays as it is.

    Returns:
        Whether there is a state for this process.
    """
    each = states.cpu().view(-1, states.shape[-1])
    if rank >= len(each):
        return False
    host = len(torch.get_rng_state())
    torch.set_rng_state(each[rank, :host].clone())
    rest = each[rank, host:].clone()
    if device.type == "cuda" and len(rest):
        torch.cuda.set_rng_state(rest, device)
    return True
