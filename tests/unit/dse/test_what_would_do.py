"""What a refusal names: amounts of the real part as the site's tools count them, and parts and budgets with which a search succeeds."""

from __future__ import annotations

import dataclasses
import re

import pytest
from sample_graphs import Builder

from psp_hw.cost.calibration import NOT_CALIBRATED, Calibration, Factor
from psp_hw.cost.estimate import estimate
from psp_hw.cost.parts import Part, find_part
from psp_hw.cost.prices import Stage
from psp_hw.cost.resources import Resource, Resources
from psp_hw.cost.shortage import advice, is_larger, limited, part_words, whole
from psp_hw.dse.search import search
from psp_hw.errors import DoesNotFitError
from psp_hw.ir.graph import Graph
from psp_hw.spec.target import Fps, Latency, MinArea
from psp_hw.units import Clock

CLOCK = Clock(period_ns=10.0)
TENFOLD = Calibration(factors={(Stage.RTL_SYNTHESIS, Resource.LUT): Factor(value=10.0, samples=9)})
AMOUNT = r"([\d,]+) LUT of ([\d,]+)"


@pytest.fixture(scope="module")
def graph() -> Graph:
    make = Builder(8, 8, 4)
    make.conv(8, source="image")
    make.conv(8)
    make.mean(8, 8)
    make.conv(10, kernel=(1, 1), pad=0, requantize=False)
    return make.graph()


def luts(name: str, amount: int) -> Part:
    """A part within a budget of LUTs."""
    part = find_part(name)
    return dataclasses.replace(part, resources=dataclasses.replace(part.resources, lut=amount))


def least(graph: Graph, part: Part, calibration: Calibration = NOT_CALIBRATED) -> str:
    """What is said of the least design where it does not fit."""
    found = search(graph, calibration.shrink(part), CLOCK, MinArea())
    design = estimate(graph, found.plan, part, CLOCK, calibration=calibration, simulated=False)
    assert not design.fits
    return f"{'; '.join(map(str, design.shortages))}; {found.remedy}"


def fits(graph: Graph, part: Part, goal: Fps | MinArea, calibration: Calibration = NOT_CALIBRATED) -> bool:
    """Whether a search finds a design that fits."""
    found = search(graph, calibration.shrink(part), CLOCK, goal)
    return estimate(graph, found.plan, part, CLOCK, calibration=calibration, simulated=False).fits


def test_under_a_calibration_the_part_is_the_real_one_and_a_larger_part_is_enough(graph):
    said = least(graph, find_part("xc7s15"), TENFOLD)

    (larger,) = re.findall(r"a larger part \((\w+) is enough\)", said)
    needed, available = (int(amount.replace(",", "")) for amount in re.findall(AMOUNT, said)[0])
    assert 8000 == available < needed
    assert find_part(larger).resources.lut > 8000
    assert fits(graph, find_part(larger), MinArea(), TENFOLD)
    kinds = [int(amount.replace(",", "")) for amount in re.findall(r"\w+ \(([\d,]+)\)", said)]
    assert needed // 2 < sum(kinds[:3]) <= needed


def test_a_rate_under_a_calibration_is_refused_in_amounts_of_the_real_part(graph):
    part = find_part("xc7s15")
    with pytest.raises(DoesNotFitError, match="even the least design does not fit") as caught:
        search(graph, TENFOLD.shrink(part), CLOCK, Fps(frames_per_second=10_000.0))

    amounts = [
        [int(number.replace(",", "")) for number in pair] for pair in re.findall(AMOUNT, str(caught.value))
    ]
    (least_needed, available), (needed, same) = amounts
    assert 8000 == available == same
    assert available < least_needed <= needed
    assert "LUT binds at 10000 frames per second" in str(caught.value)


def test_under_a_budget_the_budget_is_named_that_would_do(graph):
    said = least(graph, luts("xc7z020", 1400))

    assert "larger part" not in said
    (amount,) = re.findall(r"--budget lut=(\d+)", said)
    assert 1400 < int(amount) < 53200
    assert fits(graph, luts("xc7z020", int(amount)), MinArea())


def test_a_latency_out_of_reach_of_a_budget_is_said_of_the_budget(graph: Graph) -> None:
    with pytest.raises(DoesNotFitError, match="on xc7z045 within a budget of lut=5000 at 10 ns") as caught:
        search(graph, luts("xc7z045", 5000), CLOCK, Latency(microseconds=0.5))

    assert "a larger budget" in (caught.value.hint or "")


@pytest.mark.parametrize("calibration", [NOT_CALIBRATED, TENFOLD])
def test_a_rate_under_a_budget_names_the_budget_that_would_do(graph, calibration):
    rate = Fps(frames_per_second=100_000.0)
    with pytest.raises(DoesNotFitError, match="do not fit xc7z045 within a budget of lut=1500;") as caught:
        search(graph, calibration.shrink(luts("xc7z045", 1500)), CLOCK, rate)

    (amount,) = re.findall(r"--budget lut=(\d+)", str(caught.value))
    assert fits(graph, luts("xc7z045", int(amount)), rate, calibration)


def test_advice_on_a_design_under_a_budget_names_no_part():
    said = advice(Resources(lut=15000), luts("xc7z020", 12000))

    assert "--budget lut=15000" in said
    assert "part" not in said


def test_a_part_with_less_of_anything_is_another_not_a_larger_one():
    small, other = find_part("xc7z020"), find_part("xc7a100t")

    assert is_larger(find_part("xc7z045"), small)
    assert not is_larger(other, small)  # fewer block RAMs
    assert "another part (xc7a100t fits)" == part_words(other, small, "fits")
    assert "a larger part without the budget (xc7z045 fits)" == part_words(
        find_part("xc7z045"), luts("xc7z020", 9), "fits"
    )


def test_a_budget_is_told_from_a_part_that_has_no_more():
    assert (Resource.LUT,) == limited(luts("xc7z020", 9))
    assert () == limited(find_part("xc7z020"))
    stranger = dataclasses.replace(luts("xc7z020", 9), device="xc7z999", name="xc7z999")
    assert () == limited(stranger)
    assert stranger is whole(stranger)
