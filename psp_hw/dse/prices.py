"""Prices of what folds have in common, each found once for a fabric at a clock.

What a fold takes is a sum of parts that each depend on little of it. Here are those parts: operators, counters by their bits, what
makes the output by the channels at once; pipelines are in ``psp_hw.dse.chains``. Engines of one network are alike, so most of
them have been priced before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from psp_hw.cost.bill import Item, Operator, Register
from psp_hw.cost.constants import bit_lengths
from psp_hw.cost.devices import Fabric
from psp_hw.cost.engines import conv_outputs, pipeline_parts
from psp_hw.cost.operators import counter
from psp_hw.cost.pipeline import Pipeline
from psp_hw.cost.pricing import price, price_parts
from psp_hw.dse.arrays import CostArray
from psp_hw.dse.chains import Chains
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import Fold
from psp_hw.ir.graph import Graph
from psp_hw.units import Clock

# Amounts of every resource, in their order.
Amounts = tuple[int, ...]

# Fabrics and clocks whose prices are kept for the next question about them.
KEPT_CLOCKS = 8


@dataclass(frozen=True, slots=True)
class _Known:
    """What was priced for a fabric at a clock, by all that it depends on: neither the weights nor the part are among it."""

    chains: Chains
    outputs: dict[tuple[object, ...], dict[tuple[int, bool], Amounts]] = field(default_factory=dict)
    counters: dict[int, Amounts] = field(default_factory=dict)
    controls: dict[tuple[Item | Operator, ...], CostArray] = field(default_factory=dict)


@lru_cache(maxsize=KEPT_CLOCKS)
def _known(fabric: Fabric, clock: Clock) -> _Known:
    return _Known(Chains(fabric, clock))


class Site:
    """What folds are priced for: where the weights are, and the device; what engines have in common is priced once."""

    def __init__(self, graph: Graph, fabric: Fabric, clock: Clock) -> None:
        self.graph, self.fabric, self.clock = graph, fabric, clock
        self._known = _known(fabric, clock)
        self._bit = np.array(self.one(Register(1)), dtype=np.int64)

    def price(self, parts: Iterable[Item | Operator]) -> CostArray:
        """What parts take [5]."""
        return np.array(price_parts(parts, self.fabric).amounts, dtype=np.int64)

    def one(self, operator: Operator) -> Amounts:
        """What an operator takes."""
        return price(operator, self.fabric).amounts

    def counter(self, extent: int) -> Amounts:
        """What a counter of so many values takes; nothing where there is one only."""
        known, bits = self._known.counters, (extent - 1).bit_length()
        if bits not in known:
            known[bits] = price_parts(counter(extent) if bits else (), self.fabric).amounts
        return known[bits]

    def counters(self, most: int) -> Callable[[CostArray], CostArray]:
        """What counters of so many values take, many at once [n, 5]: ``counter`` of each, of ``most`` values at most."""
        table = np.array([self.counter(1 << bits) for bits in range(most.bit_length() + 1)], dtype=np.int64)
        return lambda extents: table[bit_lengths(extents - 1)]

    @property
    def chains(self) -> Chains:
        """The pipelines of data paths."""
        return self._known.chains

    def stages(self, pipeline: Pipeline) -> CostArray:
        """What a pipeline takes [5]; a register takes as many times a bit as it has."""
        parts = pipeline_parts(pipeline)
        bits = sum(part.bits for part in parts if isinstance(part, Register))
        others = tuple(part for part in parts if not isinstance(part, Register))
        known = self._known.controls
        if others not in known:
            known[others] = self.price(others)
        return np.asarray(known[others] + bits * self._bit, dtype=np.int64)

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
