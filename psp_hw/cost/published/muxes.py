"""Multiplexers that C synthesis makes into modules of their own, between an array of registers and what reads it by a variable index.

Their LUTs depend on the ways and not on the width. Vivado HLS lists all of a design at one price, in each of 36 designs, 28 of which have
some of different ways. It is the price of the last that it made: 55 LUTs, also for 144 ways, where a softmax of ten classes comes last.
Seen from the layers that records name, the last is the right one in 18 of 24 designs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from psp_hw.cost.published.records import Record

SELECT_WAYS = 2  # a choice of two is an operator, no module

# LUTs by ways, as reports of both tools have them.
_WAYS = (1, 2, 12, 16, 32, 64, 96, 144, 432, 676)
_LUTS = (0, 9, 65, 65, 147, 273, 481, 769, 2274, 2693)


def mux_luts(ways: float) -> float:
    """LUTs of one that is a module of its own."""
    return float(np.interp(min(ways, _WAYS[-1]), _WAYS, _LUTS))


def input_ways(inputs: int, reuse: int) -> int:
    """Ways of the multiplexer between the inputs of a layer of resource strategy and a multiplier.

    It reads every ``reuse``-th input from its own on: as many as its counter counts to, which is a power of two.
    """
    return inputs if reuse >= inputs else min(inputs, 1 << reuse.bit_length())


def output_ways(inputs: int, reuse: int) -> int:
    """Ways of the multiplexer between the sums that one multiplier adds to; 1 where there is one sum."""
    return max(1, reuse // inputs)


def last_muxes(records: Iterable[Record]) -> Mapping[str, int]:
    """Ways of the last multiplexer of every design, by its identity: of a softmax that reads a stream, of a dense layer."""
    found: dict[str, int] = {}
    for record in records:
        ways = _ways(record)
        if ways > 1:
            found[design_of(record)] = ways
    return found


def design_of(record: Record) -> str:
    """What layers of one design share: their identity up to the name of the layer."""
    return str(record.fields.get("id", record.line)).split("#")[0]


def _ways(record: Record) -> int:
    shape, hls = record.fields.get("shape"), record.fields.get("hls")
    if not isinstance(shape, dict) or not isinstance(hls, dict):
        return 0
    inputs, reuse, stream = shape.get("n_in"), hls.get("reuse_factor"), hls.get("io_type") == "io_stream"
    if not isinstance(inputs, int) or not isinstance(reuse, int) or inputs < 1:
        return 0
    if record.kind == "softmax":
        return inputs if stream else 0
    if record.kind != "dense" or record.strategy != "resource" or reuse <= 1:
        return 0
    late = output_ways(inputs, reuse)
    return late if late > SELECT_WAYS else input_ways(inputs, reuse)
