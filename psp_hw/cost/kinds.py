"""What an engine is called in tables and messages."""

from __future__ import annotations

from psp_hw.folding.engine import Engine, ForkEngine, PortEngine
from psp_hw.ir.ops import kind


def op_kind(engine: Engine) -> str:
    """The word for the op of an engine, as ``conv2d``; forks and ports, which are no ops, have words of their own."""
    match engine:
        case ForkEngine():
            return "fork"
        case PortEngine():
            return "input" if engine.enters else "output"
        case _:
            return kind(engine.op)
