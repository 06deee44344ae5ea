"""Prices of what folds have in common, each found once for a fabric at a clock.

What a fold takes is a sum of parts that each depend on little of it. Here are those parts: products and their trees by the number of
operands, pipeline registers by the number of operands and linearly in the number of output channels at once, counters by their
bits. Engines of one network are alike, so most of them have been priced before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from psp_hw.cost.bill import AbsorbedRegister, Gate, Item, LoopControl, Mux, Operator, Register
from psp_hw.cost.datapath import Step, conv_steps, path_key
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import conv_outputs, pipeline_parts, product_of
from psp_hw.cost.operators import counter, tree
from psp_hw.cost.pipeline import DELAYS, Pipeline, cuts_of
from psp_hw.cost.pricing import price, price_parts
from psp_hw.cost.resources import Resource
from psp_hw.dse.paths import CostArray
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold, MultiplierKind
from psp_hw.ir.graph import Graph
from psp_hw.units import Clock

# Amounts of every resource, in their order.
Amounts = tuple[int, ...]

# Fabrics and clocks whose prices are kept for the next question about them.
KEPT_CLOCKS = 8


@dataclass(frozen=True, slots=True)
class Paths:
    """What data paths take between selection and output, by their operands.

    Args:
        depth: of the pipeline [n], in cycles.
        sums: products and their trees, at the least number of output channels at once [n, 5].
        fixed: the pipeline but for what follows [n, 5].
        more: the pipeline's registers per output channel at once [n, 5].
    """

    depth: CostArray
    sums: CostArray
    fixed: CostArray
    more: CostArray


@dataclass(frozen=True, slots=True)
class _Chain:
    """The pipeline of a data path: its depth [cycles], and the levels that registers stand behind, with their number."""

    depth: int
    cuts: list[tuple[Step, int]]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was priced for a fabric at a clock, by all that it depends on: neither the weights nor the part are among it."""

    paths: dict[tuple[object, ...], dict[tuple[int, bool], Amounts]] = field(default_factory=dict)
    chains: dict[tuple[object, ...], dict[tuple[int, bool], _Chain]] = field(default_factory=dict)
    outputs: dict[tuple[object, ...], dict[tuple[int, bool], Amounts]] = field(default_factory=dict)
    operators: dict[Operator, Amounts] = field(default_factory=dict)
    counters: dict[int, Amounts] = field(default_factory=dict)
    gates: dict[int, Amounts] = field(default_factory=dict)
    loops: dict[int, Amounts] = field(default_factory=dict)
    muxes: dict[tuple[int, int], Amounts] = field(default_factory=dict)
    trees: dict[tuple[int, int, int], Amounts] = field(default_factory=dict)
    controls: dict[tuple[Item | Operator, ...], CostArray] = field(default_factory=dict)


@lru_cache(maxsize=KEPT_CLOCKS)
def _known(fabric: Fabric, clock: Clock) -> _Known:
    return _Known()


class Site:
    """What folds are priced for: where the weights are, and the device; what engines have in common is priced once."""

    def __init__(self, graph: Graph, fabric: Fabric, clock: Clock) -> None:
        self.graph, self.fabric, self.clock = graph, fabric, clock
        self._known = _known(fabric, clock)
        self._nothing: Amounts = (0,) * len(Resource)
        # A bit of a register, and of one that is absorbed [2, 5].
        self._bits = np.array([self.one(Register(1)), self.one(AbsorbedRegister(1))], dtype=np.int64)

    def price(self, parts: Iterable[Item | Operator]) -> CostArray:
        """What parts take [5]."""
        return np.array(price_parts(parts, self.fabric).amounts, dtype=np.int64)

    def one(self, operator: Operator) -> Amounts:
        """What an operator takes."""
        known = self._known.operators
        if operator not in known:
            known[operator] = price(operator, self.fabric).amounts
        return known[operator]

    def mux(self, ways: int, bits: int) -> Amounts:
        """What a multiplexer takes."""
        known = self._known.muxes
        if (ways, bits) not in known:
            known[ways, bits] = price(Mux(ways, bits), self.fabric).amounts
        return known[ways, bits]

    def gate(self, bits: int) -> Amounts:
        """What a gate takes."""
        known = self._known.gates
        if bits not in known:
            known[bits] = price(Gate(bits), self.fabric).amounts
        return known[bits]

    def _loop(self, depth: int) -> Amounts:
        """What the control of a loop takes whose pipeline has such a depth [cycles]."""
        known = self._known.loops
        if depth not in known:
            known[depth] = price(LoopControl(depth + 1), self.fabric).amounts
        return known[depth]

    def counter(self, extent: int) -> Amounts:
        """What a counter of so many values takes; nothing where there is one only."""
        known, bits = self._known.counters, (extent - 1).bit_length()
        if bits not in known:
            known[bits] = price_parts(counter(extent) if bits else (), self.fabric).amounts
        return known[bits]

    def stages(self, pipeline: Pipeline) -> CostArray:
        """What a pipeline takes [5]; a register takes as many times a bit as it has."""
        parts = pipeline_parts(pipeline)
        bits = sum(part.bits for part in parts if isinstance(part, Register))
        others = tuple(part for part in parts if not isinstance(part, Register))
        known = self._known.controls
        if others not in known:
            known[others] = self.price(others)
        return np.asarray(known[others] + bits * self._bits[0], dtype=np.int64)

    def outputs(self, engine: ConvEngine, pes: Sequence[int]) -> list[tuple[Amounts, Amounts]]:
        """What makes the output at each ``pe``: sums complete at once, and carried from cycle to cycle; the fold is not looked at."""
        op = engine.op
        known = self._known.outputs.setdefault(
            (
                engine.out_channels,
                engine.result.pixel_bits,
                engine.acc_fmt.width,
                engine.acc_fmt.signed,
                len(set(engine.shifts)),
                op.bias is None,
                op.requantize,
            ),
            {},
        )
        carried = engine.in_channels * len(op.taps) > 1
        for pe in pes:
            for simd, taps in ((engine.in_channels, len(op.taps)), (1, 1)):
                key = (pe, carried and (simd, taps) == (1, 1))
                if key not in known:
                    folded = replace(engine, fold=Fold(pe=pe, simd=simd, taps=taps))
                    known[key] = price_parts(conv_outputs(folded), self.fabric).amounts
        return [(known[pe, False], known[pe, carried]) for pe in pes]

    def paths(self, engine: ConvEngine, kind: MultiplierKind, least: int, operands: Sequence[int]) -> Paths:
        """What the data path of a folded engine takes by the operands of a word, one kind of multiplier.

        Args:
            engine: neither its fold nor its multipliers are looked at.
            least: output channels at once in ``Paths.sums``.
            operands: n of them.
        """
        base = (*_base(engine), kind)
        known = self._known.paths.setdefault(base, {})
        chains = self._known.chains.setdefault(base, {})
        whole = engine.in_channels * len(engine.op.taps)
        some = replace(engine, multipliers=kind, table=None)
        keys = [(n, n < whole) for n in operands]
        for key in keys:
            if key not in known:
                n, folded = key
                level = (n - 1).bit_length(), folded
                if level not in chains:
                    chains[level] = self._chain(some, *level)
                known[key] = self._path(some, chains[level], n)
        rows = np.array([known[key] for key in keys], dtype=np.int64)
        product, makes = product_of(some)
        products = np.array(operands, dtype=np.int64) * least // makes
        return Paths(
            depth=rows[:, 0],
            sums=products[:, None] * np.array(self.one(product), dtype=np.int64) + least * rows[:, 5:10],
            fixed=rows[:, 10:] + rows[:, 1:3] @ self._bits,
            more=rows[:, 3:5] @ self._bits,
        )

    def _chain(self, engine: ConvEngine, halvings: int, folded: bool) -> _Chain:
        delays, engine_key = DELAYS[self.fabric], path_key(engine)
        key = replace(
            engine_key, halvings=halvings, constant=False, muxed=folded, accumulates=folded, select_bits=0
        )
        steps = (*conv_steps(key, delays), Step(delays.stream_write, fixed=engine.result.pixel_bits))
        cuts = cuts_of(tuple([step.delay for step in steps]), self.clock)
        behind = [(step, count) for step, count in zip(steps, cuts.behind, strict=True) if count]
        return _Chain(cuts.depth, behind)

    def _path(self, engine: ConvEngine, chain: _Chain, operands: int) -> Amounts:
        """Depth, bits of registers and of absorbed ones beside all output channels and in each, the tree of each, the control [5 + 5 + 5]."""
        beside, more = [0, 0], [0, 0]
        for step, count in chain.cuts:
            beside[step.absorbed] += count * step.beside(operands)
            more[step.absorbed] += count * step.per_output(operands)
        bits = engine.source.fmt.width + engine.weight_fmt.width
        tree_of = self._tree(operands, bits, engine.acc_fmt.width)
        return chain.depth, *beside, *more, *tree_of, *self._loop(chain.depth)

    def _tree(self, inputs: int, bits: int, most: int) -> Amounts:
        """What the adders of a tree take (``psp_hw.cost.operators.tree``): its first level, and the tree behind that."""
        if inputs < 2:
            return self._nothing
        known, key = self._known.trees, (inputs, bits, most)
        if key not in known:
            adders = next(tree(inputs, bits, most))
            first = [amount * adders[1] for amount in self.one(adders[0])]
            behind = self._tree(-(-inputs // 2), adders[0].bits, most)
            known[key] = tuple(map(int.__add__, first, behind))
        return known[key]


def _base(engine: ConvEngine) -> tuple[object, ...]:
    """What the data path between selection and output depends on beside the fold and the multipliers."""
    return (
        engine.source.fmt.width,
        engine.operand_bits,
        engine.pair_lane,
        engine.weight_fmt,
        engine.acc_fmt.width,
        engine.op.bias is None,
        path_key(engine).rounded,
        engine.result.fmt.width,
        engine.result.pixel_bits,
    )
