"""Fold, memory per node and FIFO depth: the decisions that turn a graph into hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from psp_hw.errors import SpecError
from psp_hw.folding.connections import Pattern, blocks_of
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Affine, Conv2d, Threshold

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
    """What a convolution computes at once.

    Args:
        pe: output channels.
        simd, taps: input channels and positions of the schedule that goes through all of them.
        lanes: operands per cycle from a connection table (``psp_hw.folding.connections``), which leaves out what no weight
            needs; 0 for no table. A table knows neither simd nor taps.
    """

    pe: int = 1
    simd: int = 1
    taps: int = 1
    lanes: int = 0

    def __post_init__(self) -> None:
        for name, least in (("pe", 1), ("simd", 1), ("taps", 1), ("lanes", 0)):
            value = getattr(self, name)
            if value < least:
                raise SpecError(f"{name}={value} is below {least}", where="fold", hint=f"use {least} or more")
        if self.lanes and self.simd * self.taps > 1:
            raise SpecError(
                f"lanes={self.lanes} asks for a connection table, simd={self.simd} and taps={self.taps} for the dense schedule",
                where="fold",
                hint=f"give either lanes:{self.lanes} or simd and taps",
            )

    @property
    def table(self) -> bool:
        """Operands come from a connection table."""
        return self.lanes > 0

    @property
    def parts(self) -> dict[str, int]:
        """What it says, by name; it can be made of these again."""
        if self.table:
            return {"pe": self.pe, "lanes": self.lanes}
        return {"pe": self.pe, "simd": self.simd, "taps": self.taps}

    @property
    def operands(self) -> int:
        """Inputs per cycle, each multiplied ``pe`` times."""
        return self.lanes or self.simd * self.taps

    @property
    def multipliers(self) -> int:
        """Multiplications per cycle."""
        return self.pe * self.operands

    def __str__(self) -> str:
        return ",".join(f"{part}:{value}" for part, value in self.parts.items())


def divisors(number: int) -> list[int]:
    """Divisors, ascending."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


Foldable = Conv2d | Affine | Threshold


def foldable(graph: Graph) -> tuple[Foldable, ...]:
    """The ops that need not be computed at once, in order: convolutions, and maps with constants for every channel."""
    return tuple(op for op in graph.ops if isinstance(op, Conv2d | Affine | Threshold))


def extents(op: Conv2d, graph: Graph) -> Fold:
    """The fold that computes a whole pixel at once: (Co, Ci, T)."""
    taps, in_channels, out_channels = graph.constants[op.weight].shape
    return Fold(pe=out_channels, simd=in_channels, taps=taps)


def check_fold(op: Foldable, fold: Fold, graph: Graph) -> None:
    """Every part of a fold divides what it folds; a connection table has no more lanes than a block needs inputs.

    Raises:
        SpecError: names the layer, both values and what would be legal.
    """
    if not isinstance(op, Conv2d):
        _check_map(op, fold, graph)
        return
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
    if fold.table:
        most = blocks_of(Pattern.of(graph.constants[op.weight]), fold.pe).most
        if fold.lanes > most:
            raise SpecError(
                f"lanes={fold.lanes} is more than the {most} inputs that {fold.pe} output channels need",
                where=f"fold.{op.name}",
                hint=f"use at most {most}",
            )


def _check_map(op: Affine | Threshold, fold: Fold, graph: Graph) -> None:
    """A map works on some of its channels at once and has nothing else to fold."""
    channels = graph.types[op.name].channels
    if channels % fold.pe:
        raise SpecError(
            f"pe={fold.pe} does not divide the {channels} channels",
            where=f"fold.{op.name}",
            hint=f"use one of {divisors(channels)}",
        )
    if fold.operands > 1 or fold.table:
        raise SpecError(
            f"{fold} asks for more than channels of a map that has one input per output",
            where=f"fold.{op.name}",
            hint=f"write pe:{fold.pe}",
        )


def computes_pixel(op: Conv2d, fold: Fold, graph: Graph) -> bool:
    """Whether a fold computes a whole pixel at once: weights are then constants in logic."""
    if not fold.table:
        return fold == extents(op, graph)
    blocks = blocks_of(Pattern.of(graph.constants[op.weight]), fold.pe)
    return int(blocks.lengths(fold.lanes).sum()) == 1


def check_map_multipliers(op: Affine | Threshold, node: NodePlan, graph: Graph) -> None:
    """The kind of multiplier suits a map.

    Raises:
        SpecError: a kind is asked for where there is no product of variables, or pairs, whose products share no operand.
    """
    kind, where = node.multipliers, f"multipliers.{op.name}"
    whole = node.fold.pe == graph.types[op.name].channels
    if kind is MultiplierKind.TOOL:
        return
    if whole or isinstance(op, Threshold):
        raise SpecError(
            f"{kind.value} is asked for, but nothing is multiplied but constants",
            where=where,
            hint="use tool",
        )
    if kind is MultiplierKind.DSP_PAIR:
        raise SpecError("channels of a map share no factor", where=where, hint="use dsp")


def check_multipliers(op: Conv2d, node: NodePlan, graph: Graph) -> None:
    """The kind of multiplier suits the fold.

    Raises:
        SpecError: a kind is asked for where weights are constants in logic, or pairs of an odd number of channels.
    """
    kind, where = node.multipliers, f"multipliers.{op.name}"
    if kind is MultiplierKind.TOOL:
        return
    if computes_pixel(op, node.fold, graph):
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
    """Decisions for one convolution or map.

    Args:
        fold: what is computed at once; of a map its ``pe``.
        weights: where the words of weights or constants are kept; REGISTERS means constants in logic.
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
        nodes: one NodePlan per convolution, by op name; of maps (``foldable``) those that do not compute a pixel at once.
        fifo_depths: depth of a channel [tokens], by channel name (see ``psp_hw.folding.dataflow.Channel``); channels that are
            not named are ``DEFAULT_FIFO_DEPTH`` deep.
        fifo_memories: where a channel's tokens are kept, by channel name; the size of those that are not named decides
            (``psp_hw.folding.memory``).
    """

    nodes: Mapping[str, NodePlan]
    fifo_depths: Mapping[str, int] = field(default_factory=dict)
    fifo_memories: Mapping[str, MemoryKind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "fifo_depths", MappingProxyType(dict(self.fifo_depths)))
        object.__setattr__(self, "fifo_memories", MappingProxyType(dict(self.fifo_memories)))

    def check(self, graph: Graph) -> None:
        """The plan names every convolution of the graph, maps and nothing else, and its folds divide.

        Raises:
            SpecError: the first that does not.
        """
        ops = {op.name: op for op in foldable(graph)}
        for unknown in sorted(set(self.nodes) - set(ops)):
            raise SpecError(
                f"nothing that folds is called {unknown!r}", where="fold", hint=f"there are {sorted(ops)}"
            )
        for missing in sorted({op.name for op in graph.convolutions} - set(self.nodes)):
            raise SpecError(f"the plan says nothing of {missing!r}", where="fold")
        for name, op in ops.items():
            if name not in self.nodes:
                continue
            check_fold(op, self.nodes[name].fold, graph)
            if isinstance(op, Conv2d):
                check_multipliers(op, self.nodes[name], graph)
            else:
                check_map_multipliers(op, self.nodes[name], graph)
