"""Formats of the graph as the fixed-point types of hls4ml."""

from __future__ import annotations

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer


def exact_type(fmt: FixedPoint) -> str:
    """A format as ``ap_fixed``; a value that fits keeps its bits."""
    return _ap(fmt)


def settled_type(to: Requantizer) -> str | None:
    """The ``ap_fixed`` whose assignment does what a requantizer does: rounds half to even and saturates.

    Returns:
        None where no type saturates to the requantizer's bounds, or where it also divides.
    """
    fmt = to.fmt
    if to.divisor != 1:
        return None
    if (to.lo, to.hi) == (fmt.min, fmt.max):
        return _ap(fmt, "AP_RND_CONV", "AP_SAT")
    if fmt.signed and (to.lo, to.hi) == (-fmt.max, fmt.max):
        return _ap(fmt, "AP_RND_CONV", "AP_SAT_SYM")
    return None


def _ap(fmt: FixedPoint, *modes: str) -> str:
    name = "ap_fixed" if fmt.signed else "ap_ufixed"
    return f"{name}<{','.join([str(fmt.width), str(fmt.width - fmt.frac), *modes])}>"
