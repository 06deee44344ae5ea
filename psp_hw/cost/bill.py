"""The bill of operators: what an engine is made of, before anybody says what that costs on a device.

An operator is counted as hardware, not as work: a multiplier that is used in every cycle of a frame stands here once. The
same operators describe our engines and, later, the layers of other generators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psp_hw.folding.plan import MemoryKind, MultiplierKind


@dataclass(frozen=True, slots=True)
class Multiply:
    """Product of two variables of ``left`` and ``right`` bits, made as ``kind`` says; pairs have an operator of their own."""

    left: int
    right: int
    kind: MultiplierKind = MultiplierKind.TOOL


@dataclass(frozen=True, slots=True)
class MultiplyPair:
    """Products of two variables of ``apart`` bits with one of ``shared`` bits, ``lane`` bits apart in one multiplier."""

    shared: int
    apart: int
    lane: int


@dataclass(frozen=True, slots=True)
class ConstantMultiply:
    """Product of a variable of ``bits`` bits and a constant of ``width`` bits with ``digits`` canonical signed digits."""

    bits: int
    width: int
    digits: int


@dataclass(frozen=True, slots=True)
class Add:
    """Adder or subtractor with a result of ``bits`` bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Comparison of two numbers of ``bits`` bits, one of which may be a ``constant``."""

    bits: int
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Saturate:
    """A number of ``bits`` bits clipped to one of ``width``: to all that it holds, on one or both ``sides``."""

    bits: int
    width: int
    sides: int


@dataclass(frozen=True, slots=True)
class Select:
    """2:1 multiplexer of ``bits`` bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Mux:
    """``ways``:1 multiplexer of ``bits`` bits."""

    ways: int
    bits: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Bitwise and / or / xor of ``bits`` bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Register:
    """``bits`` flip-flops."""

    bits: int


@dataclass(frozen=True, slots=True)
class AbsorbedRegister:
    """``bits`` flip-flops that C synthesis lists and RTL synthesis finds elsewhere: in a DSP, in a register that holds the same."""

    bits: int


@dataclass(frozen=True, slots=True)
class Delay:
    """A delay of ``words`` words of ``bits`` bits, one word in and one out per step."""

    words: int
    bits: int
    kind: MemoryKind


@dataclass(frozen=True, slots=True)
class Rom:
    """``words`` constant words of ``bits`` bits, one read per cycle."""

    words: int
    bits: int
    kind: MemoryKind


@dataclass(frozen=True, slots=True)
class Fifo:
    """A FIFO of ``depth`` words of ``bits`` bits, in shift registers or block RAM; None lets its size decide."""

    depth: int
    bits: int
    kind: MemoryKind | None = None


@dataclass(frozen=True, slots=True)
class Divide:
    """Division of ``bits`` bits by a constant."""

    bits: int


@dataclass(frozen=True, slots=True)
class LoopControl:
    """The state machine of one pipelined loop of ``stages`` stages, its start and its stall logic."""

    stages: int


@dataclass(frozen=True, slots=True)
class ControlPort:
    """AXI4-Lite slave with the ap_ctrl registers."""


@dataclass(frozen=True, slots=True)
class StreamPort:
    """AXI4-Stream register slice of ``bits`` bits."""

    bits: int


Operator = (
    Multiply
    | MultiplyPair
    | ConstantMultiply
    | Add
    | Compare
    | Saturate
    | Select
    | Mux
    | Gate
    | Register
    | AbsorbedRegister
    | Delay
    | Rom
    | Fifo
    | Divide
    | LoopControl
    | ControlPort
    | StreamPort
)


@dataclass(frozen=True, slots=True)
class Item:
    """``count`` operators of one kind."""

    operator: Operator
    count: int = 1


Bill = tuple[Item, ...]


def bill(items: Iterable[Item | Operator | None]) -> Bill:
    """A bill without what is not there; equal operators are counted together, in order of first mention."""
    counts: dict[Operator, int] = {}
    for item in items:
        if item is None:
            continue
        entry = item if isinstance(item, Item) else Item(item)
        if entry.count:
            counts[entry.operator] = counts.get(entry.operator, 0) + entry.count
    return tuple(Item(operator, count) for operator, count in counts.items())
