"""Constants of a site: how much its tools' reports differ from the price list, as one factor per stage and resource.

A factor scales what every engine takes. So a plan is searched on a part with that much less of the resource, and the estimate
says that much more: the same designs, compared as the site's tools see them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from psp_hw.cost.parts import Part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.errors import DataError, reason

KIND = "psp-hw calibration"
MAX_BYTES = 1 << 20
# Estimates below this say too little of a resource to learn from.
LEAST_AMOUNT = 10
# A factor beyond these is a report of something else.
LEAST, MOST = 0.1, 10.0
MOST_ERROR = 1000.0  # that a calibration says of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was estimated for a module and what its report says."""

    stage: Stage
    module: str
    estimated: Resources
    reported: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """reported / estimated of a resource.

    Args:
        samples: modules behind it.
        error: median absolute error that remains [share].
    """

    value: float
    samples: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The factors of a site; what is not named is 1.

    Args:
        tools: that the reports are from.
    """

    factors: Mapping[tuple[Stage, Resource], Factor]
    tools: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))

    def factor(self, stage: Stage, resource: Resource) -> float:
        """What an estimate is multiplied with."""
        found = self.factors.get((stage, resource))
        return found.value if found is not None else 1.0

    def apply(self, resources: Resources, stage: Stage) -> Resources:
        """An estimate as this site's reports would have it, rounded down so that what was searched to fit fits."""
        return _scaled(resources, lambda resource: self.factor(stage, resource))

    def shrink(self, part: Part) -> Part:
        """The part as it looks to the uncalibrated price list: what it has, divided by the factors of RTL synthesis."""
        return replace(
            part,
            resources=_scaled(
                part.resources, lambda resource: 1.0 / self.factor(Stage.RTL_SYNTHESIS, resource)
            ),
        )

    @property
    def expected_factors(self) -> Mapping[Resource, float]:
        """What RTL synthesis needs of a calibrated resource at the median error of the reports, as a multiple of its estimate."""
        return {
            resource: 1.0 + factor.error
            for (stage, resource), factor in self.factors.items()
            if stage is Stage.RTL_SYNTHESIS
        }

    @property
    def statement(self) -> str:
        """How far off calibrated numbers were on the reports that they were fitted to."""
        words = [
            f"{resource.value} {factor.error:.0%} ({factor.samples} modules)"
            for (stage, resource), factor in self.factors.items()
            if stage is Stage.RTL_SYNTHESIS
        ]
        if not words:
            return "Resources after RTL synthesis are not calibrated: the reports were of C synthesis alone."
        return f"Resources are calibrated; on the reports they were fitted to the median error is {', '.join(words)}."


NOT_CALIBRATED = Calibration(factors={})


def calibrate(samples: Sequence[Sample], tools: Sequence[str] = ()) -> Calibration:
    """One factor per stage and resource: the weighted median of reported / estimated, large modules counting more.

    It makes the sum of the absolute errors least.

    Raises:
        DataError: nothing can be learnt, or a factor is beyond reason.
    """
    factors = {}
    for stage in Stage:
        for resource in Resource:
            pairs = [
                (sample.estimated.of(resource), sample.reported.of(resource))
                for sample in samples
                if sample.stage is stage and sample.estimated.of(resource) >= LEAST_AMOUNT
            ]
            if pairs:
                factors[stage, resource] = _factor(pairs, stage, resource)
    if not factors:
        raise DataError(
            f"the reports hold nothing to learn from: every estimate is below {LEAST_AMOUNT}",
            where="calibrate",
        )
    return Calibration(factors=factors, tools=tuple(sorted({tool for tool in tools if tool})))


def _factor(pairs: list[tuple[int, int]], stage: Stage, resource: Resource) -> Factor:
    estimated = np.array([pair[0] for pair in pairs], dtype=np.float64)
    reported = np.array([pair[1] for pair in pairs], dtype=np.float64)
    ratios = reported / estimated
    order = np.argsort(ratios, kind="stable")
    weights = np.cumsum(estimated[order])
    value = float(ratios[order][np.searchsorted(weights, weights[-1] / 2)])
    if not LEAST <= value <= MOST:
        raise DataError(
            f"{resource.value} in {stage.value}: reports say {value:.3g} times the estimate",
            where="calibrate",
            hint="are these the reports of this design, whole and for this part?",
        )
    errors = np.abs(estimated * value - reported) / np.maximum(reported, 1.0)
    return Factor(
        value=round(value, 4), samples=len(pairs), error=round(min(MOST_ERROR, float(np.median(errors))), 4)
    )


def print_calibration(found: Calibration) -> str:
    """The calibration as JSON text."""
    entries = [
        {
            "stage": stage.value,
            "resource": resource.value,
            "factor": factor.value,
            "samples": factor.samples,
            "error": factor.error,
        }
        for (stage, resource), factor in found.factors.items()
    ]
    return json.dumps({"kind": KIND, "tools": list(found.tools), "factors": entries}, indent=2) + "\n"


def load_calibration(path: Path) -> Calibration:
    """Read what ``print_calibration`` writes.

    Raises:
        DataError: the file is missing, or holds no calibration.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"is larger than {MAX_BYTES} bytes", where=str(path))
        document = json.loads(content.decode("utf-8"))
        if document["kind"] != KIND:
            raise ValueError(f"kind is {document['kind']!r}, expected {KIND!r}")
        factors = {
            (Stage(entry["stage"]), Resource(entry["resource"])): Factor(
                value=_number(entry["factor"], LEAST, MOST),
                samples=int(entry["samples"]),
                error=_number(entry["error"], 0.0, MOST_ERROR),
            )
            for entry in document["factors"]
        }
        return Calibration(factors=factors, tools=tuple(str(tool) for tool in document["tools"]))
    except OSError as error:
        raise DataError(
            error.strerror or str(error), where=str(path), hint="psp-hw calibrate writes one"
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"holds no calibration: {reason(error)}", where=str(path), hint="psp-hw calibrate writes one"
        ) from error


def _number(value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{value!r} is outside {least:g} .. {most:g}")
    return float(value)


def _scaled(resources: Resources, factor: Callable[[Resource], float]) -> Resources:
    amounts = (math.floor(round(amount * factor(resource), 6)) for resource, amount in resources)
    dsp, lut, ff, bram18, uram = amounts
    return Resources(dsp=dsp, lut=lut, ff=ff, bram18=bram18, uram=uram)
