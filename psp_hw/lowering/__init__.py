"""The bridge: QONNX in, integer graph out."""

from psp_hw.lowering.builder import Options, Outcome, Remark
from psp_hw.lowering.lower import Lowered, lower, lower_file

__all__ = ["Lowered", "Options", "Outcome", "Remark", "lower", "lower_file"]
