"""What an engine is called in tables and messages."""

from __future__ import annotations

from typing import assert_never

from psp_hw.folding.engine import (
    AddEngine,
    ConcatEngine,
    ConvEngine,
    Engine,
    ForkEngine,
    GlobalPoolEngine,
    PointwiseEngine,
    PortEngine,
    WindowPoolEngine,
)
from psp_hw.folding.maps import AffineEngine, ThresholdEngine
from psp_hw.ir.ops import kind


def op_kind(engine: Engine) -> str:
    """The word for the op of an engine, as ``conv2d``; forks and ports have words of their own."""
    match engine:
        case (
            ConvEngine()
            | WindowPoolEngine()
            | GlobalPoolEngine()
            | AddEngine()
            | ConcatEngine()
            | PointwiseEngine()
            | AffineEngine()
            | ThresholdEngine()
        ):
            return kind(engine.op)
        case ForkEngine():
            return "fork"
        case PortEngine():
            return "input" if engine.enters else "output"
        case _:
            assert_never(engine)
