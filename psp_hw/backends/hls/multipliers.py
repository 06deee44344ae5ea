"""How the products of an engine are written: the types of psp/multiply.h."""

from __future__ import annotations

from typing import assert_never

from psp_hw.folding.engine import ConvEngine, signed_width
from psp_hw.folding.maps import AffineEngine
from psp_hw.folding.plan import MultiplierKind


def multiplier_type(engine: ConvEngine | AffineEngine) -> str:
    """The type that makes the products, without its namespace."""
    weight = engine.weight_fmt if isinstance(engine, ConvEngine) else engine.scale_fmt
    widths = f"{engine.operand_bits}, {signed_width(weight)}"
    match engine.multipliers:
        case MultiplierKind.TOOL:
            return "ByTool"
        case MultiplierKind.LUT:
            return f"InLuts<{widths}>"
        case MultiplierKind.DSP:
            return f"InDsp<{widths}>"
        case MultiplierKind.DSP_PAIR:
            assert isinstance(engine, ConvEngine), "a map has no pairs"
            return f"InDspPairs<{widths}, {engine.pair_lane}>"
        case _:
            assert_never(engine.multipliers)


def multiplier_comment(engine: ConvEngine | AffineEngine) -> str:
    """What that means, in words."""
    products = engine.fold.multipliers
    constant = (engine.cycles_per_output if isinstance(engine, ConvEngine) else engine.blocks) == 1
    match engine.multipliers:
        case MultiplierKind.TOOL if constant:
            return f"{products} products with constants"
        case MultiplierKind.TOOL:
            return f"{products} products as the tool decides"
        case MultiplierKind.LUT:
            return f"{products} products in LUTs"
        case MultiplierKind.DSP:
            return f"{products} products, a DSP each"
        case MultiplierKind.DSP_PAIR:
            return f"{products} products, two in a DSP"
        case _:
            assert_never(engine.multipliers)
