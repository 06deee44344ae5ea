"""Constant tables, and a convolution that runs from a connection table (psp/conv_table.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from psp_hw.arith.fixed_point import FixedPoint, Interval
from psp_hw.arith.requantize import IntArray
from psp_hw.backends.base import Target
from psp_hw.backends.hls import context as c
from psp_hw.backends.hls.literals import constant_type, rows
from psp_hw.backends.hls.storage import rom_pragmas
from psp_hw.folding.connections import ConnectionTable
from psp_hw.folding.engine import ConvEngine
from psp_hw.folding.plan import MemoryKind
from psp_hw.ir.graph import Graph

# What ``psp::conv_table`` takes after the taps: a table, or what stands in its place where counters or wiring do.
CONNECTION_ARGUMENTS = (
    ("Kept", ""),
    ("Candidates", ""),
    ("Select", "psp::InTurn()"),
    ("Ends", "psp::EqualBlocks()"),
    ("Order", "psp::AsTheyLeave()"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """One of the constant tables of a connection table.

    Args:
        name: as in ``CONNECTION_ARGUMENTS``.
        values: [rows, columns].
        comment: what it says.
    """

    name: str
    values: IntArray
    comment: str


def connection_tables(table: ConnectionTable) -> Iterator[Connections]:
    """The constant tables of a connection table; those that counters or wiring stand for are left out."""
    yield Connections(
        name="Kept",
        values=np.array([table.kept], dtype=np.int64),
        comment="Input channels that are needed, those of the oldest taps first.",
    )
    yield Connections(
        name="Candidates",
        values=table.registers.astype(np.int64),
        comment=f"What each lane can read: tap * {len(table.kept)} + place among the kept channels.",
    )
    if not table.in_turn:
        yield Connections(
            name="Select",
            values=table.select.astype(np.int64),
            comment="Which of its candidates each lane reads, one row per cycle.",
        )
    if not table.equal:
        yield Connections(
            name="Ends",
            values=table.ends.reshape(-1, 1).astype(np.int64),
            comment="1 in the last cycle of a block of output channels.",
        )
    if not table.ordered:
        yield Connections(
            name="Order",
            values=table.order.reshape(1, -1).astype(np.int64),
            comment="Output channels in the order in which they are computed.",
        )


def from_table(plain: c.ConvLayer, engine: ConvEngine, graph: Graph, target: Target) -> c.TableConvLayer:
    """A convolution's context with what psp/conv_table.h asks for beside it."""
    table = engine.table
    assert table is not None
    found = {entry.name: entry for entry in connection_tables(table)}
    prefix = f"k{plain.type}"
    memories = {"Select": engine.weights, "Ends": MemoryKind.LUTRAM}
    pragmas = [
        line
        for name in found
        for line in rom_pragmas(prefix + name, memories.get(name, MemoryKind.REGISTERS), target)
    ]
    arguments = [prefix + name if name in found else instead for name, instead in CONNECTION_ARGUMENTS]
    tables = [
        constant_table(prefix + name, entry.values, None, entry.comment) for name, entry in found.items()
    ]
    values = {field.name: getattr(plain, field.name) for field in fields(plain)}
    values |= {
        "delays": tuple(
            c.SegmentContext(type=f"Strand<psp::{segment.type}, {held}>", comment=segment.comment)
            for segment, held in zip(plain.delays, table.held, strict=False)
        ),
        "tables": (*tables, *plain.tables),
        "pragmas": (*pragmas, *plain.pragmas),
        "arguments": (plain.arguments[0], *arguments, *plain.arguments[1:]),
    }
    weight = graph.constants[engine.op.weight]
    return c.TableConvLayer(
        **values,
        kept=len(table.kept),
        lanes=table.lanes,
        ways=table.ways,
        words=table.words,
        most_words=max(table.lengths),
        connections=f"{np.count_nonzero(weight):,} of {weight.size:,} connections of the kept taps",
    )


def constant_table(name: str, table: IntArray, fmt: FixedPoint | None, comment: str) -> c.TableContext:
    """A table [rows][columns]; entries of the narrowest type that holds them, or of ``fmt``."""
    if fmt is None:
        fmt = FixedPoint.holding(Interval(min(0, int(table.min())), max(0, int(table.max()))), frac=0)
    return c.TableContext(
        name=name,
        type=constant_type(fmt),
        rows=table.shape[0],
        columns=table.shape[1],
        comment=comment,
        lines=rows(table),
    )
