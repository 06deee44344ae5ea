"""What lies between selection and output of folded convolutions: multipliers, trees and pipelines, of many engines at once.

Where registers stand depends on delays alone, and those on the levels of the tree, not on the number of operands. So a pipeline is
worked out once for each number of levels, and what it takes follows by rows: a register takes as many times a bit as it has,
whose number grows with the operands, and linearly with the output channels at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from psp_hw.cost.bill import AbsorbedRegister, Add, LoopControl, Register
from psp_hw.cost.constants import bit_lengths
from psp_hw.cost.datapath import PathKey, Step, conv_steps, path_key
from psp_hw.cost.devices import Fabric
from psp_hw.cost.pipeline import DELAYS, cuts_of
from psp_hw.cost.pricing import price
from psp_hw.cost.resources import Resource
from psp_hw.dse.arrays import CostArray, Indices
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MultiplierKind
from psp_hw.units import Clock

# What is cut behind, number by number: how often, bits of a sum and of a product, levels of the tree so far, whether absorbed.
_CUT = 5
# Depth and what grows linearly come before.
_LINEAR = 7


@dataclass(frozen=True, slots=True)
class Paths:
    """What data paths take, row by row.

    Args:
        depth: of the pipeline [n], in cycles.
        fixed: whatever the number of output channels at once [n, 5].
        more: per output channel at once, products apart [n, 5].
    """

    depth: CostArray
    fixed: CostArray
    more: CostArray


@dataclass(frozen=True, slots=True)
class _Base:
    """What pipelines depend on beside the fold and the multipliers."""

    key: PathKey
    leaving: int

    @staticmethod
    def of(engine: ConvEngine) -> _Base:
        key = replace(
            path_key(engine),
            halvings=0,
            constant=False,
            muxed=False,
            select_bits=0,
            accumulates=False,
            multipliers=MultiplierKind.TOOL,
        )
        return _Base(key, engine.result.pixel_bits)


@dataclass(frozen=True, slots=True)
class Chains:
    """Pipelines of data paths on a fabric at a clock; each is worked out once and has a number."""

    fabric: Fabric
    clock: Clock
    places: dict[tuple[_Base, MultiplierKind], dict[tuple[int, bool], int]] = field(default_factory=dict)
    # Of each: depth; bits beside all output channels, their number per operand and per output channel, absorbed ones behind
    # the others; then ``_CUT`` numbers for each place of the tree where it is cut.
    numbers: list[tuple[int, ...]] = field(default_factory=list)

    def of(
        self,
        engines: Sequence[ConvEngine],
        kinds: Sequence[MultiplierKind | None],
        owner: Indices,
        operands: CostArray,
    ) -> Indices:
        """The number of the pipeline of each of some rows [n]; 0 where the engine has none of that kind.

        Args:
            engines: neither their folds nor their multipliers are looked at.
            kinds: how each engine makes its products; None where it does not.
            owner: the engine of each row [n], ascending.
            operands: of each row [n].
        """
        found: list[int] = []
        levels = bit_lengths(operands - 1).tolist()
        whole = [engine.in_channels * len(engine.op.taps) for engine in engines]
        at = 0
        counts = np.bincount(owner, minlength=len(engines)).tolist()
        sizes = operands.tolist()
        for engine, kind, count, most in zip(engines, kinds, counts, whole, strict=True):
            rows = range(at, at + count)
            at += count
            if kind is None:
                found += [0] * count
                continue
            base = _Base.of(engine)
            known = self.places.setdefault((base, kind), {})
            for row in rows:
                level = levels[row], sizes[row] < most
                if level not in known:
                    known[level] = len(self.numbers)
                    self.numbers.append(self._chain(base, kind, *level))
                found.append(known[level])
        return np.array(found, dtype=np.intp)

    def _chain(self, base: _Base, kind: MultiplierKind, halvings: int, folded: bool) -> tuple[int, ...]:
        key = replace(base.key, halvings=halvings, multipliers=kind, muxed=folded, accumulates=folded)
        steps = (
            *conv_steps(key, DELAYS[self.fabric]),
            Step(DELAYS[self.fabric].stream_write, fixed=base.leaving),
        )
        cuts = cuts_of(tuple([step.delay for step in steps]), self.clock)
        bits = [[0, 0, 0], [0, 0, 0]]
        summed: list[int] = []
        for step, count in zip(steps, cuts.behind, strict=True):
            if not count:
                continue
            own = bits[step.absorbed]
            for place, amount in enumerate((step.fixed, step.operand, step.output)):
                own[place] += count * amount
            if step.sums:
                summed += (count, step.sums, step.leaf, step.halvings, step.absorbed)
        return cuts.depth, *bits[0], *bits[1], *summed

    def paths(self, places: Indices, operands: CostArray) -> Paths:
        """What pipelines take, registers and control.

        Args:
            places: which pipeline, row by row [n].
            operands: of each row [n].
        """
        longest = max(map(len, self.numbers), default=_LINEAR)
        used, own = np.unique(places, return_inverse=True)
        padded = [(*self.numbers[at], *(0,) * (longest - len(self.numbers[at]))) for at in used.tolist()]
        rows = np.array(padded, dtype=np.int64).reshape(len(padded), longest)
        depth, fixed, operand, output, *absorbed = rows[:, :_LINEAR].T
        beside = [fixed[own] + operand[own] * operands, absorbed[0][own] + absorbed[1][own] * operands]
        more = [output[own], absorbed[2][own]]
        for cut in np.split(rows[:, _LINEAR:], range(_CUT, longest - _LINEAR, _CUT), axis=1):
            if not cut.any():
                continue
            count, bits, leaf, halvings, inside = cut.T[:, own]
            rest = operands & ((1 << halvings) - 1)
            last = np.where(rest > 0, np.minimum(bits, leaf + bit_lengths(rest - 1)), 0)
            behind = count * (bits * (operands >> halvings) + last)
            more[0] = more[0] + np.where(inside > 0, 0, behind)
            more[1] = more[1] + np.where(inside > 0, behind, 0)
        registers = [_amounts(one, self.fabric) for one in (Register(1), AbsorbedRegister(1))]
        deepest = int(depth.max(initial=0))
        control = np.array([_amounts(LoopControl(cycles + 1), self.fabric) for cycles in range(deepest + 1)])
        return Paths(
            depth=depth[own],
            fixed=control[depth[own]] + np.stack(beside, axis=1) @ np.array(registers),
            more=np.stack(more, axis=1) @ np.array(registers),
        )


def trees(inputs: CostArray, bits: CostArray, most: CostArray, fabric: Fabric) -> CostArray:
    """What balanced trees of adders take: ``psp_hw.cost.operators.tree`` for each [n, 5].

    Args:
        inputs: how many numbers each sums [n].
        bits: width of those [n].
        most: no sum is wider [n].
    """
    widest = int(most.max(initial=0))
    adders = np.array([_amounts(Add(width), fabric) for width in range(widest + 1)], dtype=np.int64)
    taken = np.zeros((len(inputs), len(Resource)), dtype=np.int64)
    while (inputs > 1).any():
        bits = np.minimum(bits + 1, most)
        taken += (inputs // 2)[:, None] * adders[bits]
        inputs = (inputs + 1) // 2
    return taken


def _amounts(operator: Register | AbsorbedRegister | LoopControl | Add, fabric: Fabric) -> tuple[int, ...]:
    return price(operator, fabric).amounts
