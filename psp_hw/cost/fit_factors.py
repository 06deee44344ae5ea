"""From estimates and the reports beside them to the factors of a site, and how far those are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psp_hw.cost.calibration import LEAST, LEAST_MODULES, MOST, MOST_ERROR, Calibration, Factor
from psp_hw.cost.devices import Fabric
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError

FloatArray = npt.NDArray[np.float64]

# Estimates below this say too little of a resource to learn from.
LEAST_AMOUNT = 10
# Where half of the modules are off by more than this [share], one factor does not describe them.
MOST_MEDIAN = 0.5
# The share of the amount whose needs ``Factor.worst`` covers.
MOSTLY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was estimated for a module and what its report says.

    Args:
        whole: it is the whole design, not an engine of it.
    """

    stage: Stage
    module: str
    estimated: Resources
    reported: Resources
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A resource of which nothing could be learnt, and why."""

    stage: Stage
    resource: Resource
    why: str

    def __str__(self) -> str:
        return f"{self.resource.value} in {self.stage.value} is left as it is: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What reports taught."""

    calibration: Calibration
    left_out: tuple[LeftOut, ...]


def calibrate(samples: Sequence[Sample], tools: Sequence[str] = (), fabric: Fabric | None = None) -> Fit:
    """One factor per stage and resource: the weighted median of reported / estimated, large modules counting more.

    It makes the sum of the absolute errors least. Where there are reports of engines they alone count, else those of whole designs: a
    whole is the sum of its engines, and would outweigh them. A resource of which the reports are beyond reason, or at odds, is left out.

    Args:
        tools: names of the tools of the reports; empty ones count nothing.
        fabric: of the devices of the reports.

    Raises:
        DataError: nothing can be learnt.
    """
    factors: dict[tuple[Stage, Resource], Factor] = {}
    left_out: list[LeftOut] = []
    for stage in Stage:
        for resource in Resource:
            pairs = _pairs(samples, stage, resource)
            if not pairs:
                continue
            found = _factor(pairs)
            if isinstance(found, Factor):
                factors[stage, resource] = found
            else:
                left_out.append(LeftOut(stage=stage, resource=resource, why=found))
    if not factors:
        reasons = "; ".join(str(one) for one in left_out) or f"every estimate is below {LEAST_AMOUNT}"
        raise DataError(
            f"the reports hold nothing to learn from: {reasons}",
            where="calibrate",
            hint="are these the reports of this design, whole and for this part?" if left_out else "",
        )
    named = tuple(sorted({tool for tool in tools if tool}))
    return Fit(calibration=Calibration(factors=factors, tools=named, fabric=fabric), left_out=tuple(left_out))


def _pairs(samples: Sequence[Sample], stage: Stage, resource: Resource) -> list[tuple[int, int]]:
    """Estimated and reported, of engines where there are any."""
    enough = [
        sample
        for sample in samples
        if sample.stage is stage and sample.estimated.of(resource) >= LEAST_AMOUNT
    ]
    engines = [sample for sample in enough if not sample.whole]
    return [(one.estimated.of(resource), one.reported.of(resource)) for one in engines or enough]


def _factor(pairs: list[tuple[int, int]]) -> Factor | str:
    """The factor; or why there is none."""
    estimated = np.array([pair[0] for pair in pairs], dtype=np.float64)
    reported = np.array([pair[1] for pair in pairs], dtype=np.float64)
    value = _weighted(reported / estimated, estimated, 0.5)
    if value == 0.0:
        return "the reports say 0, so the tool made it of something else"
    if not LEAST <= value <= MOST:
        return f"the reports say {value:.3g} times the estimate"
    count = len(pairs)
    if count == 1:
        return Factor(value=round(value, 4), samples=1)
    # A module of which nothing is reported needs nothing, and so would all under its factor alone.
    others = [_without(reported, estimated, index) for index in range(count)]
    expected = np.maximum(estimated * np.array(others), 1.0)
    error = float(np.median(np.abs(expected - reported) / np.maximum(reported, 1.0)))
    if error > MOST_MEDIAN:
        return f"the reports are at odds, half of the modules off by more than {min(error, MOST_ERROR):.0%}"
    worst = _weighted(reported / expected, estimated, MOSTLY)
    return Factor(
        value=round(value, 4),
        samples=count,
        error=round(error, 4),
        worst=round(min(max(1.0, worst), MOST_ERROR), 4) if count >= LEAST_MODULES else None,
    )


def _without(reported: FloatArray, estimated: FloatArray, index: int) -> float:
    """The factor of all modules but one."""
    return _weighted(
        np.delete(reported, index) / np.delete(estimated, index), np.delete(estimated, index), 0.5
    )


def _weighted(values: FloatArray, weights: FloatArray, share: float) -> float:
    """The least value that a share of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, share * sums[-1])])
