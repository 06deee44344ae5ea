"""The bridge: QONNX in, integer graph out."""

from psp_hw.lowering.lower import Lowered, lower

__all__ = ["Lowered", "lower"]
