"""Whether an image still reaches the result when layers are gone."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from psp_hw.errors import ModelError
from psp_hw.quant.steps import INPUT, Step, trace_steps


def steps_or_none(net: nn.Module) -> tuple[Step, ...] | None:
    """The steps of a network; None where it holds something that is not understood."""
    try:
        return trace_steps(net)
    except ModelError:
        return None


def is_cut(steps: tuple[Step, ...], dead: Collection[str]) -> bool:
    """Whether no way leads from the image to the result around the dead layers.

    Args:
        steps: of the network.
        dead: names of layers whose weights are all zero.
    """
    alive = {INPUT}
    for step in steps:
        if step.name not in dead and any(name in alive for name in step.inputs):
            alive.add(step.name)
    return steps[-1].name not in alive


def indispensable(steps: tuple[Step, ...]) -> frozenset[str]:
    """The layers with weights whose loss alone would cut the network."""
    weighted = [step.name for step in steps if isinstance(step.module, nn.Conv2d | nn.Linear)]
    return frozenset(name for name in weighted if is_cut(steps, {name}))
