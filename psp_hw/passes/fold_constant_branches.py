"""A branch of a sum that is the same number everywhere, such as one pruned away: an offset per channel, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from psp_hw.arith.requantize import IntArray, Requantizer
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Add, Affine, Concat, Conv2d, Input, MaxPool, Op, Output, Relu, Requantize, Threshold
from psp_hw.ir.types import NO_PADDING
from psp_hw.passes.base import without_unread


@dataclass(frozen=True)
class FoldConstantBranches:
    """Replace a sum of which one side is constant, and drop whatever made that side.

    A convolution without a nonzero weight gives its bias at every pixel, whatever it reads and whatever its padding; that
    stays a constant through requantization, ReLU, maximum, affine maps, thresholds, and a further convolution unless it pads
    a constant other than zero with zeros.

    Before:    a = conv2d with zero weights; add x, a
    After:     affine x, scale 1, offset a; where a is zero, only the requantization of the sum, or nothing
    Preserves: every output, bit for bit. The layers of the branch that nothing else reads are gone.
    """

    name: ClassVar[str] = "fold-constant-branches"

    def run(self, graph: Graph) -> Graph:
        known = _constants(graph)
        renamed: dict[str, str] = {}
        ops: list[Op] = []
        constants: dict[str, IntArray] = {}
        for op in graph.ops:
            read = _reading(op, renamed)
            dead = _dead_side(op, known) if isinstance(op, Add) else None
            if not isinstance(op, Add) or not isinstance(read, Add) or dead is None:
                ops.append(read)
                continue
            left, offset = _moved(op, 1 - dead, known, graph)
            source = read.inputs[1 - dead]
            if left == 0 and not any(offset):
                if op.requantize is None:
                    renamed[op.name] = source
                else:
                    ops.append(Requantize(name=op.name, input=source, requantize=op.requantize))
                continue
            scale_name, offset_name = f"{op.name}.branch_scale", f"{op.name}.branch_offset"
            constants[scale_name] = np.full(len(offset), 1 << left, dtype=np.int64)
            constants[offset_name] = np.array(offset, dtype=np.int64)
            ops.append(
                Affine(
                    name=op.name,
                    input=source,
                    scale=scale_name,
                    offset=offset_name,
                    scale_frac=left,
                    requantize=op.requantize,
                )
            )
        return without_unread(graph.with_ops(ops, constants))


def _dead_side(op: Add, known: Mapping[str, list[int]]) -> int | None:
    """Which input of a sum is constant; the second where both are."""
    return next((index for index in (1, 0) if op.inputs[index] in known), None)


def _moved(op: Add, alive: int, known: Mapping[str, list[int]], graph: Graph) -> tuple[int, list[int]]:
    """Left shift of the side that stays, and the other side, both in the finer format of the sum."""
    fracs = [graph.types[name].fmt.frac for name in op.inputs]
    finest = max(fracs)
    dead = 1 - alive
    return finest - fracs[alive], [code << (finest - fracs[dead]) for code in known[op.inputs[dead]]]


def _reading(op: Op, renamed: Mapping[str, str]) -> Op:
    """The op with its inputs under their new names."""
    match op:
        case Input():
            return op
        case Add():
            left, right = (renamed.get(name, name) for name in op.inputs)
            return replace(op, inputs=(left, right))
        case Concat():
            return replace(op, inputs=tuple(renamed.get(name, name) for name in op.inputs))
        case _:
            return replace(op, input=renamed.get(op.input, op.input))


def _constants(graph: Graph) -> Mapping[str, list[int]]:
    """The code of every channel of the values that are the same at every pixel of every frame."""
    known: dict[str, list[int]] = {}
    for op in graph.ops:
        codes = _codes(op, known, graph)
        if codes is not None and not isinstance(op, Output):
            known[op.name] = codes
    return known


def _codes(op: Op, known: Mapping[str, list[int]], graph: Graph) -> list[int] | None:
    match op:
        case Conv2d():
            sums = _sums(op, known, graph)
            if sums is None:
                return None
            align = op.align or (0,) * len(sums)
            return _settled([total << a for total, a in zip(sums, align, strict=True)], op.requantize)
        case Requantize() if op.input in known:
            return _settled(known[op.input], op.requantize)
        case Relu() if op.input in known:
            return [max(code, 0) for code in known[op.input]]
        case MaxPool() if op.input in known:
            return known[op.input]
        case Affine() if op.input in known:
            scales, offsets = graph.constants[op.scale].tolist(), graph.constants[op.offset].tolist()
            triples = zip(known[op.input], scales, offsets, strict=True)
            return _settled([code * scale + offset for code, scale, offset in triples], op.requantize)
        case Threshold() if op.input in known:
            reached = (graph.constants[op.thresholds] <= np.array(known[op.input])[:, None]).sum(axis=1)
            codes: list[int] = (graph.constants[op.start] + graph.constants[op.step] * reached).tolist()
            return codes
        case _:
            return None


def _sums(op: Conv2d, known: Mapping[str, list[int]], graph: Graph) -> list[int] | None:
    """The accumulators of a convolution, where they are the same at every pixel: those of what it reads, or of nothing.

    Zero padding beside a constant other than zero is no constant.
    """
    weight = graph.constants[op.weight]  # [T, Ci, Co]
    codes = np.array(known.get(op.input, [0] * weight.shape[1]), dtype=np.int64)  # [Ci]
    read = weight.any(axis=(0, 2))  # [Ci]
    varies = op.input not in known or (op.padding != NO_PADDING and bool((codes[read] != 0).any()))
    if varies and bool(read.any()):
        return None
    bias = np.zeros(weight.shape[2], dtype=np.int64) if op.bias is None else graph.constants[op.bias]
    sums: list[int] = (bias + codes @ weight.sum(axis=0)).tolist()
    return sums


def _settled(codes: list[int], to: Requantizer | None) -> list[int]:
    return codes if to is None else [to.exactly(code) for code in codes]
