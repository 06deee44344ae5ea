"""What synthesis may need beyond an estimate: as the words say it, and less where reports of the user's own tools say so."""

from __future__ import annotations

from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration, Factor
from psp_hw.cost.estimate import EXPECTED_ERROR, EXPECTED_FACTORS
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource


def test_the_factors_are_those_of_the_words() -> None:
    names = " and ".join(resource.value for resource in EXPECTED_FACTORS)
    worst = {f"{factor:g}" for factor in EXPECTED_FACTORS.values()}

    assert f"expect a factor of 1.5 to {worst.pop()} for {names}" in EXPECTED_ERROR
    assert not worst


def test_reports_of_rtl_synthesis_say_how_far_a_resource_is_off() -> None:
    reports = Calibration(
        factors={
            (Stage.RTL_SYNTHESIS, Resource.LUT): Factor(value=1.3, samples=5, error=0.25),
            (Stage.C_SYNTHESIS, Resource.FF): Factor(value=1.1, samples=5, error=0.5),
        }
    )

    assert {Resource.LUT: 1.25} == reports.expected_factors
    assert {} == NOT_CALIBRATED.expected_factors
