"""``--fold``, ``--fps`` and ``--max`` as one goal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psp_hw.errors import SpecError
from psp_hw.flow.goal import GoalRequest, parse_folds
from psp_hw.folding.plan import Fold
from psp_hw.spec.target import DEFAULT_GOAL, Fps, MaxThroughput


def test_folds_are_read_from_the_command_line() -> None:
    folds = parse_folds(["conv1=pe:4,simd:2,taps:3", "conv2= taps:2 , pe:8 "])

    assert folds == {"conv1": Fold(pe=4, simd=2, taps=3), "conv2": Fold(pe=8, taps=2)}


@pytest.mark.parametrize("name", ["folds.yaml", "folds.json"])
def test_folds_are_read_from_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"conv1": {"pe": 4, "taps": 3}, "fc": {}}))

    assert parse_folds([str(path), "conv2=simd:2"]) == {
        "conv1": Fold(pe=4, taps=3),
        "fc": Fold(),
        "conv2": Fold(simd=2),
    }


def test_least_fifos_go_with_any_goal_and_are_none_themselves() -> None:
    assert not GoalRequest(least_fifos=True).asked
    assert GoalRequest(fps=100, least_fifos=True).words == "--fps 100 --least-fifos"


def test_the_plan_of_a_design_is_a_fold_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(
        json.dumps({"nodes": {"conv1": {"fold": {"pe": 2, "simd": 1, "taps": 3}, "weights": "bram"}}})
    )

    assert parse_folds([str(path)]) == {"conv1": Fold(pe=2, taps=3)}


@pytest.mark.parametrize(
    "text",
    [
        "conv1=",
        "conv1=pe",
        "conv1=pe:x",
        "conv1=pe:1,pe:2",
        "conv1=pe:0",
        "conv1=px:1",
        "conv1=pe:-1",
        "conv1=pe:1e9",
    ],
)
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_folds([text])


@pytest.mark.parametrize(
    "content",
    [
        "[1, 2]",
        "conv1: 4",
        "conv1: {pe: 2.5}",
        "conv1: {pe: true}",
        "conv1: {pee: 2}",
        "conv1: {pe: 0}",
        "{unclosed",
        "conv1: !!python/object/apply:os.getcwd []",
    ],
)
def test_a_bad_fold_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "folds.yaml"
    path.write_text(content)

    with pytest.raises(SpecError):
        parse_folds([str(path)])


def test_a_missing_fold_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        parse_folds([str(tmp_path / "none.yaml")])


def test_a_layer_folded_twice_is_refused() -> None:
    with pytest.raises(SpecError, match="twice"):
        parse_folds(["conv1=pe:2", "conv1=pe:4"])


def test_goals_exclude_each_other() -> None:
    with pytest.raises(SpecError, match="--fps and --max exclude each other"):
        GoalRequest(fps=30.0, max=True)


def test_goals_are_those_of_the_search() -> None:
    assert GoalRequest(fps=30.0, fold=("conv1=pe:2",)).goal == Fps(frames_per_second=30.0)
    assert GoalRequest(max=True).goal == MaxThroughput(share=1.0)
    assert GoalRequest().goal == DEFAULT_GOAL


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_fps_is_a_positive_number(fps: float) -> None:
    with pytest.raises(SpecError, match="above 0"):
        _ = GoalRequest(fps=fps).goal


def test_a_fold_below_one_names_its_layer(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--fold conv0: pe=0 is below 1 \(use 1 or more\)"):
        parse_folds(["conv0=pe:0"])
    path = tmp_path / "folds.json"
    path.write_text('{"conv0": {"taps": -3}}')
    with pytest.raises(SpecError, match=r"folds\.json: conv0: taps=-3 is below 1"):
        parse_folds([str(path)])
