"""Prices: what one operator takes on a fabric, before and after RTL synthesis.

Two numbers are predicted. ``Stage.C_SYNTHESIS`` is the report of Vivado HLS / Vitis HLS: its prices were measured on
published reports (``prices.json``, written by ``scripts/fit_prices.py``; each entry carries unit, tools and versions, samples
and mean absolute error). ``Stage.RTL_SYNTHESIS`` is what Vivado leaves of it, which is what a part must hold: no public
collection lists operators there, so its prices are the architecture's (UG474, UG574: what fits a LUT6 and its carry chain).
Both agree on DSPs, block RAM and UltraRAM (UG473, UG573), and on what the C synthesis report prices without regard to
size: multiplexers, shift registers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files

from psp_hw.cost.devices import Fabric


class Stage(Enum):
    """Which report is predicted."""

    C_SYNTHESIS = "c-synthesis"
    RTL_SYNTHESIS = "rtl-synthesis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A constant of ``prices.json``.

    Args:
        value: in ``unit``.
        tools: tools and versions of the reports it was measured on.
        samples: distinct operators behind it.
        error: mean absolute error of the fit it belongs to, in the unit of the whole operator.
        meaning: the operator.
    """

    name: str
    fabric: Fabric
    value: float
    unit: str
    tools: str
    samples: int
    error: float
    meaning: str


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """The measured constants of one fabric."""

    fabric: Fabric
    constants: tuple[Measured, ...]
    values: dict[str, float]

    def line(self, name: str, bits: int) -> int:
        """offset + slope * bits of an operator of some width, at least 1."""
        return max(1, round(self.values[name] + self.values[f"{name}_per_bit"] * bits))

    def curve(self, name: str, bits: int) -> int:
        """offset + slope * bits + curvature * bits**2, at least ``bits``."""
        square = self.values[f"{name}_per_bit2"] * bits**2
        return max(bits, round(self.values[name] + self.values[f"{name}_per_bit"] * bits + square))


@cache
def prices_of(fabric: Fabric) -> Prices:
    """The measured constants of a fabric."""
    text = files("psp_hw.cost").joinpath("prices.json").read_text(encoding="utf-8")
    constants = tuple(
        Measured(
            name=entry["name"],
            fabric=fabric,
            value=float(entry["value"]),
            unit=entry["unit"],
            tools=entry["tools"],
            samples=int(entry["samples"]),
            error=float(entry["error"]),
            meaning=entry["meaning"],
        )
        for entry in json.loads(text)
        if entry["fabric"] == fabric.value
    )
    return Prices(fabric, constants, {constant.name: constant.value for constant in constants})


def half(bits: int) -> int:
    """LUTs of ``bits`` functions of at most 5 shared inputs, two to a LUT6 (UG474, "O5 and O6")."""
    return math.ceil(bits / 2)
