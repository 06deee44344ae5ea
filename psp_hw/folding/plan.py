"""Fold, memory per node and FIFO depth: the decisions that turn a graph into hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from psp_hw.errors import SpecError
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d

DEFAULT_FIFO_DEPTH = 2


class MemoryKind(Enum):
    """Where words are kept."""

    REGISTERS = "registers"  # weights: constants in logic; delays: flip-flops or shift register LUTs
    LUTRAM = "lutram"
    BRAM = "bram"
    URAM = "uram"


class MultiplierKind(Enum):
    """How the products of an engine are made."""

    TOOL = "tool"  # as the tool decides by the widths of the operands; products with constants are adders
    LUT = "lut"
    DSP = "dsp"  # one product per DSP
    DSP_PAIR = "dsp-pair"  # two output channels' products with one input in a DSP (after WP486)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What a convolution computes at once: ``pe`` output channels, ``simd`` input channels, ``taps`` positions."""

    pe: int = 1
    simd: int = 1
    taps: int = 1

    def __post_init__(self) -> None:
        for name in ("pe", "simd", "taps"):
            value = getattr(self, name)
            if value < 1:
                raise SpecError(f"{name}={value} is below 1", where="fold", hint="use 1 or more")

    @property
    def multipliers(self) -> int:
        """Multiplications per cycle."""
        return self.pe * self.simd * self.taps

    def __str__(self) -> str:
        return f"pe:{self.pe},simd:{self.simd},taps:{self.taps}"


def divisors(number: int) -> list[int]:
    """Divisors, ascending."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def extents(op: Conv2d, graph: Graph) -> Fold:
    """The fold that computes a whole pixel at once: (Co, Ci, T)."""
    taps, in_channels, out_channels = graph.constants[op.weight].shape
    return Fold(pe=out_channels, simd=in_channels, taps=taps)


def check_fold(op: Conv2d, fold: Fold, graph: Graph) -> None:
    """Every part of a fold divides what it folds.

    Raises:
        SpecError: names the layer, both values and what would be legal.
    """
    full = extents(op, graph)
    what = {"pe": "output channels", "simd": "input channels", "taps": "surviving taps"}
    for part, noun in what.items():
        asked, whole = getattr(fold, part), getattr(full, part)
        if whole % asked:
            raise SpecError(
                f"{part}={asked} does not divide the {whole} {noun}",
                where=f"fold.{op.name}",
                hint=f"use one of {divisors(whole)}",
            )


def check_multipliers(op: Conv2d, node: NodePlan, graph: Graph) -> None:
    """The kind of multiplier suits the fold.

    Raises:
        SpecError: a kind is asked for where weights are constants in logic, or pairs of an odd number of channels.
    """
    kind, where = node.multipliers, f"multipliers.{op.name}"
    if kind is MultiplierKind.TOOL:
        return
    if node.fold == extents(op, graph):
        raise SpecError(
            f"{kind.value} is asked for, but {node.fold} computes the whole pixel at once: its weights are constants, their "
            "products adders",
            where=where,
            hint="use tool, or a smaller fold",
        )
    if kind is MultiplierKind.DSP_PAIR and node.fold.pe % 2:
        raise SpecError(
            f"pe={node.fold.pe} output channels at once cannot share DSPs in pairs",
            where=where,
            hint="use dsp, or an even pe",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """Decisions for one convolution.

    Args:
        fold: what is computed at once.
        weights: where the weight words are kept; REGISTERS means constants in logic.
        delays: where each segment of the delay chain is kept, oldest first; empty lets the segment's size decide.
        multipliers: how products are made.
    """

    fold: Fold
    weights: MemoryKind = MemoryKind.REGISTERS
    delays: tuple[MemoryKind, ...] = ()
    multipliers: MultiplierKind = MultiplierKind.TOOL


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """Decisions for a whole graph.

    Args:
        nodes: one NodePlan per convolution, by op name.
        fifo_depths: depth of a channel [tokens], by channel name (see ``dataflow.channel_name``); channels that are
            not named are ``DEFAULT_FIFO_DEPTH`` deep.
    """

    nodes: Mapping[str, NodePlan]
    fifo_depths: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "fifo_depths", MappingProxyType(dict(self.fifo_depths)))

    def check(self, graph: Graph) -> None:
        """The plan names every convolution of the graph and nothing else, and its folds divide.

        Raises:
            SpecError: the first that does not.
        """
        names = {op.name for op in graph.convolutions}
        for unknown in sorted(set(self.nodes) - names):
            raise SpecError(
                f"no convolution is called {unknown!r}", where="fold", hint=f"there are {sorted(names)}"
            )
        for missing in sorted(names - set(self.nodes)):
            raise SpecError(f"the plan says nothing of {missing!r}", where="fold")
        for op in graph.convolutions:
            check_fold(op, self.nodes[op.name].fold, graph)
            check_multipliers(op, self.nodes[op.name], graph)
