"""Loss and accuracy of an epoch, summed where the steps are computed: nothing is read back before somebody asks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

WATCHED = ("loss", "accuracy")
_RECENT = 0.05  # share of a step in the smoothed values that people see


class Means:
    """Means over the images of an epoch, and smoothed values over the last steps.

    Its state goes into a checkpoint, so that an epoch that was cut has the same means as one that was not.
    """

    def __init__(self) -> None:
        self.recent: Tensor | None = None  # [2], as in `WATCHED`; for people: in no log
        self._sums: Tensor | None = None  # [2]
        self._images = 0

    def add(self, values: Tensor, images: int) -> None:
        """Take in a step.

        Args:
            values: means over its images [2], as in `WATCHED`.
            images: how many there were.
        """
        weighted = values * images
        self._sums = weighted if self._sums is None else self._sums.to(weighted).add_(weighted)
        self._images += images
        if self.recent is None:
            self.recent = values.clone()
        else:
            self.recent.lerp_(values, _RECENT)

    def begin(self) -> None:
        """An epoch begins."""
        self._sums, self._images = None, 0

    def totals(self) -> Tensor:
        """Sums and number of images [3], float64, to be summed over the processes."""
        sums = torch.zeros(len(WATCHED)) if self._sums is None else self._sums
        return torch.cat((sums.double(), sums.new_tensor([self._images], dtype=torch.float64)))

    @staticmethod
    def of(totals: Tensor) -> dict[str, Tensor]:
        """The means of an epoch by name; empty where no image was seen."""
        images = totals[-1].item()
        if not images:
            return {}
        return dict(zip(WATCHED, (totals[:-1].float() / images).unbind(), strict=True))

    def state_dict(self, totals: Tensor) -> dict[str, Any]:
        """What a checkpoint holds of an epoch that goes on.

        Args:
            totals: `totals` of each process [processes, 3].
        """
        return {"totals": totals.cpu()}

    def load_state_dict(self, state: dict[str, Any], *, rank: int, processes: int) -> None:
        """Go on with what this process had; where their number is another one, the first has what all had.

        Args:
            state: what `state_dict` gave.
            rank: number of this process.
            processes: how many there are.
        """
        totals = state["totals"] if "totals" in state else _of_the_first(state)  # [processes then, 3]
        if len(totals) != processes:
            totals = functional.pad(totals.sum(0, keepdim=True), (0, 0, 0, processes - 1))
        *sums, images = totals[rank].tolist()
        self._sums, self._images = torch.tensor(sums, dtype=torch.float32), int(images)


def _of_the_first(state: dict[str, Any]) -> Tensor:
    """What checkpoints held when the first process alone was asked [1, 3]."""
    sums = torch.zeros(len(WATCHED)) if state["sums"] is None else state["sums"]
    return torch.cat((sums.double(), sums.new_tensor([state["images"]], dtype=torch.float64)))[None]
