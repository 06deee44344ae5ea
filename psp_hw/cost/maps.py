"""The bill of a map that works on some channels of a pixel at once (psp/pointwise.h, "in blocks")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from psp_hw.cost.bill import Add, Compare, Item, Multiply, Mux, Register, Rom
from psp_hw.cost.operators import Parts, counter, product, requantizers, times, tree
from psp_hw.folding.maps import AffineEngine, MapEngine, ThresholdEngine


def folded_map(engine: MapEngine) -> Parts:
    """All operators, the count of pixels and the pipeline apart."""
    yield from map_lanes(engine)
    yield from map_blocks(engine)
    yield from map_roms(engine)


def map_lanes(engine: MapEngine) -> Parts:
    """What there is once for every channel that is worked on at once."""
    pe = engine.fold.pe
    match engine:
        case AffineEngine():
            yield Item(product(engine.source.fmt, engine.scale_fmt, engine.multipliers), pe)
            yield Item(Add(engine.acc_fmt.width), pe)
            yield from requantizers(engine.op.requantize, engine.acc_fmt, (), pe)
        case ThresholdEngine():
            width = max(engine.source.fmt.width, engine.level_fmt.width)
            yield Item(Compare(width), pe * engine.levels)
            yield from times(tree(engine.levels, 1, engine.result.fmt.width), pe)
            yield Item(Multiply(engine.levels.bit_length(), engine.step_fmt.width), pe)
            yield Item(Add(engine.result.fmt.width), pe)
        case _:
            assert_never(engine)


def map_blocks(engine: MapEngine) -> Parts:
    """What goes from block to block: the pixel that stays, the choice of its channels, the result that fills."""
    yield Register(engine.source.pixel_bits)
    yield Mux(engine.blocks, engine.fold.pe * engine.source.fmt.width)
    # What comes last leaves at once.
    yield Register((engine.blocks - 1) * engine.fold.pe * engine.result.fmt.width)
    yield from counter(engine.blocks)


def map_roms(engine: MapEngine) -> Iterator[Rom]:
    """The memories of the constants."""
    for bits in engine.word_bits.values():
        yield Rom(engine.blocks, bits, engine.weights)
