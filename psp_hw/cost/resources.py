"""Resources of an FPGA: what a design takes, what a part has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class Resource(Enum):
    """A countable kind of resource; the value is its name in reports and JSON."""

    DSP = "DSP"
    LUT = "LUT"
    FF = "FF"
    BRAM18 = "BRAM18"
    URAM = "URAM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Amounts of every kind: DSP48 slices, 6-input LUTs, flip-flops, RAMB18 (half a RAMB36) and UltraRAM blocks."""

    dsp: int = 0
    lut: int = 0
    ff: int = 0
    bram18: int = 0
    uram: int = 0

    @staticmethod
    def from_amounts(amounts: Iterable[int]) -> Resources:
        """Amounts of every kind in the order of ``Resource``: what ``amounts`` gives."""
        dsp, lut, ff, bram18, uram = amounts
        return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            dsp=self.dsp + other.dsp,
            lut=self.lut + other.lut,
            ff=self.ff + other.ff,
            bram18=self.bram18 + other.bram18,
            uram=self.uram + other.uram,
        )

    def times(self, count: int) -> Resources:
        """So many of the same."""
        return Resources(
            dsp=self.dsp * count,
            lut=self.lut * count,
            ff=self.ff * count,
            bram18=self.bram18 * count,
            uram=self.uram * count,
        )

    def of(self, resource: Resource) -> int:
        """The amount of one kind."""
        return self.amounts[list(Resource).index(resource)]

    @property
    def amounts(self) -> tuple[int, int, int, int, int]:
        """(DSP, LUT, FF, BRAM18, URAM)."""
        return (self.dsp, self.lut, self.ff, self.bram18, self.uram)

    def __iter__(self) -> Iterator[tuple[Resource, int]]:
        return iter(zip(Resource, self.amounts, strict=True))

    def fits(self, available: Resources) -> bool:
        """Whether there is enough of every kind."""
        return all(used <= has for used, has in zip(self.amounts, available.amounts, strict=True))

    def utilization(self, available: Resources) -> dict[Resource, float]:
        """used / available per kind; infinite where some is needed and none is there."""
        shares = {}
        for (resource, used), has in zip(self, available.amounts, strict=True):
            shares[resource] = used / has if has else (math.inf if used else 0.0)
        return shares

    def scaled(self, share: float) -> Resources:
        """A share of every amount, rounded down."""
        return Resources.from_amounts(int(amount * share) for amount in self.amounts)

    @staticmethod
    def total(parts: list[Resources]) -> Resources:
        """The sum of all."""
        columns = [sum(column) for column in zip(*(part.amounts for part in parts), strict=True)]
        return Resources.from_amounts(columns) if columns else Resources()
