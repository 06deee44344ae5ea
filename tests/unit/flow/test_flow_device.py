"""--part, --board, --budget: which resources a design may take."""

from __future__ import annotations

import re

import pytest

from psp_hw.cost.boards import BOARDS, find_board
from psp_hw.cost.devices import Family
from psp_hw.cost.parts import find_part
from psp_hw.cost.resources import Resource
from psp_hw.errors import SpecError
from psp_hw.flow.device import DeviceRequest, board_of, choose_part, unfinished_name
from psp_hw.flow.goal import GoalRequest
from psp_hw.spec.target import Latency, MinArea


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_board_has_a_part_of_the_table(board):
    assert find_part(board.part).name == board.part


@pytest.mark.parametrize(
    "name", ["PYNQ-Z2", "pynq z2", "Alveo U250", "zcu104", "Ultra96-V2", "kv260", "Arty A7-100T"]
)
def test_boards_are_found_however_they_are_written(name):
    assert find_board(name) in BOARDS


def test_a_typo_in_a_board_suggests_the_nearest():
    with pytest.raises(SpecError, match=r"'ZCU105' is not known .*did you mean .*ZCU104"):
        find_board("ZCU105")


def test_part_and_board_exclude_each_other():
    with pytest.raises(SpecError, match="--part and --board exclude each other"):
        board_of("xc7z020", DeviceRequest(board="PYNQ-Z2"))


def test_a_board_brings_part_and_clock():
    assert ("xczu7ev-ffvc1156-2-e", 5.0) == board_of(None, DeviceRequest(board="zcu104"))


def test_a_budget_limits_the_part_and_never_enlarges_it():
    whole = choose_part("xc7z020", DeviceRequest()).part.resources
    part = choose_part("xc7z020", DeviceRequest(budget="lut=20000, bram18=100000", dsp=120)).part

    assert (120, 20000, whole.ff, whole.bram18, 0) == part.resources.amounts


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("xc7z020", "xc7z020 names no package and no speed grade: .* such as xc7z020clg400-1"),
        ("xczu7ev-ffvc1156", "names no speed grade: .* such as xczu7ev-ffvc1156-2-e"),
        ("xcvu19p", "names no package and no speed grade: .* as xc7z020clg400-1 has them"),
    ],
)
def test_a_name_that_vendor_tools_would_not_take_is_said_to_be_unfinished(name, says):
    assert re.search(says, unfinished_name(find_part(name)))


def test_a_whole_name_and_a_part_of_a_budget_are_left_alone():
    unknown = choose_part("xczu99eg", DeviceRequest(budget="dsp=500,lut=60000,bram18=300")).part

    assert ["", ""] == [unfinished_name(part) for part in (find_part("xc7z020clg400-1"), unknown)]


def test_an_unknown_part_is_its_budget():
    part = choose_part("xczu99eg", DeviceRequest(budget="dsp=500,lut=60000,bram18=300")).part

    assert Family.ZYNQUPLUS is part.family
    assert (500, 60000, 120000, 300, 0) == part.resources.amounts


def test_an_unknown_part_of_a_design_has_what_its_report_says():
    recorded = {Resource.DSP: 500, Resource.LUT: 60000, Resource.BRAM18: 300, Resource.FF: 90000}
    part = choose_part("xczu99eg", DeviceRequest(budget="lut=50000"), recorded=recorded).part

    assert (500, 50000, 90000, 300, 0) == part.resources.amounts


def test_the_table_counts_more_than_what_a_report_says():
    part = choose_part("xc7z020", DeviceRequest(), recorded={Resource.LUT: 1}).part

    assert find_part("xc7z020") == part


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("xc7z020", DeviceRequest(budget="dsp=-1"), "a budget of -1 DSP"),
        ("xc7z020", DeviceRequest(dsp=-5), "a budget of -5 DSP"),
        ("xc7z020", DeviceRequest(budget="lut=0"), "a budget of 0 LUT"),
        ("xc7z020", DeviceRequest(budget="ff=0"), "a budget of 0 FF"),
        ("xc7z020", DeviceRequest(budget="dsp=1.5"), "is no budget"),
        ("xc7z020", DeviceRequest(budget=""), "is no budget"),
        ("xc7z020", DeviceRequest(budget="dsp=١٢"), "is no budget"),
        ("xc7z020", DeviceRequest(budget="d\u017fp=12"), "is no budget"),
        ("xc7z020", DeviceRequest(budget="luts=5"), "unknown resource 'luts'"),
        ("xc7z020", DeviceRequest(budget="dsp=1,dsp=2"), "dsp is given twice"),
        ("xc7z020", DeviceRequest(budget="dsp=1", dsp=2), "dsp is given twice"),
        ("xczu99eg", DeviceRequest(budget="dsp=5"), "does not say lut and bram18"),
        ("xc7z021", DeviceRequest(), "xc7z020"),
        ("nonsense", DeviceRequest(budget="dsp=5,lut=6,bram18=7"), "'nonsense' is not known"),
    ],
)
def test_bad_budgets_and_parts_are_refused(name, request_, message):
    with pytest.raises(SpecError, match=message):
        choose_part(name, request_)


def test_the_new_goals_reach_the_search():
    assert Latency(microseconds=50.0) == GoalRequest(latency_us=50.0).goal
    assert MinArea() == GoalRequest(min_area=True).goal
    assert GoalRequest(min_area=True).asked
    assert "--latency-us 50" == GoalRequest(latency_us=50.0).words


def test_goals_exclude_each_other_whatever_they_are():
    with pytest.raises(SpecError, match="--latency-us and --min-area exclude each other"):
        GoalRequest(latency_us=1.0, min_area=True)


@pytest.mark.parametrize("microseconds", [0.0, -3.0, float("nan")])
def test_a_latency_is_above_zero(microseconds):
    with pytest.raises(SpecError, match="give a number above 0"):
        _ = GoalRequest(latency_us=microseconds).goal


def test_a_part_of_no_known_family_says_how_names_begin() -> None:
    budget = DeviceRequest(budget="dsp=100,lut=50000,bram18=100")

    with pytest.raises(
        SpecError, match=r"'5cgx' is not known, nor the family it is of .* begins with xc7z, xc7s, xc7a"
    ):
        choose_part("5cgx", budget)


def test_the_budget_of_a_design_counts_where_none_is_given() -> None:
    kept = {Resource.DSP: 40, Resource.LUT: 20000}

    assert choose_part("xc7z020", DeviceRequest(), kept=kept).part.resources.dsp == 40
    other = choose_part("xc7z020", DeviceRequest(dsp=30), kept=kept)
    assert (30, 53200) == (other.part.resources.dsp, other.part.resources.lut)
    assert {Resource.DSP: 30} == other.budget


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("xcku041-ffva1156-2-e", Family.KINTEXU),
        ("xcku7p-ffva676-1-e", Family.KINTEXUPLUS),
        ("ku7p", Family.KINTEXUPLUS),
        ("xcvu100", Family.VIRTEXU),
        ("xcvu17p", Family.VIRTEXUPLUS),
        ("xcu999", Family.VIRTEXUPLUS),
        ("xc7k999t", Family.KINTEX7),
    ],
)
def test_an_unknown_part_is_of_the_family_that_its_name_says(name: str, family: Family) -> None:
    budget = DeviceRequest(budget="dsp=500,lut=60000,bram18=300")

    assert family is choose_part(name, budget).part.family


def test_a_part_that_only_its_budget_describes_is_said_with_the_nearest_of_the_table() -> None:
    chosen = choose_part("xc7z02", DeviceRequest(budget="dsp=10,lut=90000,bram18=100"))

    assert (
        "the part 'xc7z02' is not in the table: taken for a part of zynq with 10 DSP, 90,000 LUT, 180,000 FF, 100 BRAM18, 0 URAM "
        "(did you mean xc7z020 or xc7z012s or xc7z100? `psp-hw parts` lists all)"
    ) == chosen.note
    assert choose_part("xc7z020", DeviceRequest(dsp=5)).note == ""


def test_nothing_is_noted_of_a_part_that_a_design_remembers() -> None:
    recorded = {Resource.DSP: 500, Resource.LUT: 60000, Resource.BRAM18: 300}

    assert choose_part("xczu99eg", DeviceRequest(), recorded=recorded).note == ""


@pytest.mark.parametrize(
    "name",
    [
        "xc7z}; exec touch pwn; list {",
        "xc7z020\n#include <pwn>",
        "xc7z[exec touch pwn]",
        "xc7z$HOME",
        "xc7z020\\",
        "xc7z٠٢٠",
        "xc7z" + "0" * 37,
        "",
    ],
)
def test_what_is_no_name_of_a_part_is_refused_whatever_its_budget(name: str) -> None:
    budget = DeviceRequest(budget="dsp=220,lut=53200,bram18=280")

    with pytest.raises(
        SpecError, match=r"is no name of a part .*letters, digits and dashes alone, at most 40"
    ):
        choose_part(name, budget)
