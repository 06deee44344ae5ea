"""The graph: ops in topological order and the integer constants that they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from psp_hw.arith.requantize import IntArray
from psp_hw.ir.infer import result_type
from psp_hw.ir.ops import Conv2d, Input, Op, Output, op_constants, op_inputs
from psp_hw.ir.types import TensorType


def _frozen(array: IntArray) -> IntArray:
    copy = np.array(array, dtype=np.int64, order="C")
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Graph:
    """One input, one output, ops in topological order.

    Args:
        name: name of the network, a legal identifier.
        ops: the first is the Input, the last the Output; every op reads values defined before it.
        constants: int64 arrays by name; the graph keeps read-only copies.
    """

    name: str
    ops: tuple[Op, ...]
    constants: Mapping[str, IntArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        used = {name for op in self.ops for name in op_constants(op)}
        kept = {name: _frozen(self.constants[name]) for name in sorted(used & set(self.constants))}
        object.__setattr__(self, "constants", MappingProxyType(kept))

    @cached_property
    def types(self) -> Mapping[str, TensorType]:
        """Type of every value, by name."""
        types: dict[str, TensorType] = {}
        for op in self.ops:
            types[op.name] = result_type(op, [types[name] for name in op_inputs(op)], self.constants)
        return MappingProxyType(types)

    @cached_property
    def users(self) -> Mapping[str, tuple[Op, ...]]:
        """The ops that read each value, in order; an op that reads it twice stands there twice."""
        users: dict[str, list[Op]] = {op.name: [] for op in self.ops}
        for op in self.ops:
            for name in op_inputs(op):
                users[name].append(op)
        return MappingProxyType({name: tuple(ops) for name, ops in users.items()})

    @cached_property
    def by_name(self) -> Mapping[str, Op]:
        """The ops by name."""
        return MappingProxyType({op.name: op for op in self.ops})

    @property
    def input(self) -> Input:
        """The op where the frame enters."""
        first = self.ops[0]
        assert isinstance(first, Input)
        return first

    @property
    def output(self) -> Output:
        """The op where the result leaves."""
        last = self.ops[-1]
        assert isinstance(last, Output)
        return last

    @property
    def convolutions(self) -> tuple[Conv2d, ...]:
        """The convolutions, in order."""
        return tuple(op for op in self.ops if isinstance(op, Conv2d))

    def with_ops(self, ops: Iterable[Op], constants: Mapping[str, IntArray] | None = None) -> Graph:
        """A graph of other ops; ``constants`` are added to, or replace, those of this graph; unused ones are dropped."""
        return Graph(self.name, tuple(ops), {**self.constants, **(constants or {})})
