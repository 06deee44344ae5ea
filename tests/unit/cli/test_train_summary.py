"""The summary of a training: on one screen, whatever the network, and nothing left out unsaid."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from psp_hw.cli.summary import Screen, duration, summary
from psp_hw.flow.train import TrainSummary
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.pruning.survey import LayerSurvey
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_structures
from psp_hw.spec.train import NetSpec

TAPS = ((0, 0), (0, 2), (1, 1), (2, 2))
SMALL = Screen(width=80, height=24)
LINES_AFTER = 4  # an empty line, "Next", the command, the prompt of the shell


@cache
def _result(net: str) -> TrainSummary:
    """As if every inner 3x3 layer had kept four taps."""
    image = (3, 32, 32)
    built = build_net(NetSpec(name=net), image=image, classes=10)
    sizes = {name: tuple(p.shape) for name, p in built.named_parameters()}
    layers = []
    for number, layer in enumerate(count(built, image).layers):
        k, c, r, s = (*sizes[f"{layer.name}.weight"], 1, 1)[:4]
        pruned = number > 0 and r == 3
        taps = TAPS if pruned else tuple((i, j) for i in range(r) for j in range(s))
        kept = k * c * len(taps)
        layers.append(
            LayerSurvey(
                name=layer.name,
                kernel=(r, s),
                channels=(c, k),
                taps=taps,
                kept=kept,
                total=k * c * r * s,
                macs=kept * layer.positions,
                prunable=pruned,
            )
        )
    return TrainSummary(
        accuracy=0.8531,
        accuracy_calibrated=0.849,
        accuracy_quantized=0.852,
        density=4 / 9,
        params=sum(layer.kept for layer in layers),
        macs=sum(layer.macs for layer in layers),
        run=Path(f"runs/{net}-cifar10-shape"),
        spec=with_structures(preset(net), (StructureKind.SHAPE,)),
        layers=tuple(layers),
        seconds=(("train", 3725.0), ("finetune", 61.4)),
    )


def _fits(lines: list[str], where: Screen) -> bool:
    assert where.height is not None
    return len(lines) + LINES_AFTER <= where.height and all(len(line) <= where.width for line in lines)


def test_resnet8_fits_a_small_terminal_with_every_layer_drawn() -> None:
    result = _result("resnet8")
    lines = summary(result, SMALL)

    assert _fits(lines, SMALL)
    assert "Layer                        Taps         Density  Weights       MACs" == lines[0]
    assert "conv0                        all 9          1.000      432    442,368" == lines[1]
    assert "stage1.block1.conv1          █░█ ░█░ ░░█    0.444    1,024  1,048,576" == lines[2]
    assert [layer.name for layer in result.layers] == [line.split()[0] for line in lines[1:11]]
    assert not any("left out" in line for line in lines)


def test_what_an_empty_branch_saves_is_not_forgotten() -> None:
    result = _result("resnet8")
    empty = replace(result.layers[3], taps=(), kept=0, macs=0)
    layers = (*result.layers[:3], empty, *result.layers[4:])
    pruned = replace(result, layers=layers, macs=sum(layer.macs for layer in layers))
    (line,) = [line for line in summary(pruned, SMALL) if line.startswith("MACs")]

    dense = sum(layer.macs // layer.kept * layer.total for layer in result.layers)
    said = float(line.partition("over ")[2].split()[0])
    assert 1.0 < said < dense / pruned.macs
    assert "times fewer" in line
    assert "over" not in "".join(summary(result, SMALL))


def test_every_step_says_what_it_costs_in_points() -> None:
    lines = summary(_result("resnet8"), SMALL)

    assert "accuracy   85.31% float, 84.90% at 8,8 bits (-0.41), 85.20% fine-tuned (+0.30)" in lines
    assert "steps took floats 1 h 2 min, fine-tuning 1 min 1 s" in lines


@pytest.mark.parametrize(
    ("height", "names", "left_out"),
    [
        (24, ["conv0", "stage1", "stage2", "stage3", "fc"], "the taps of 56 layers"),
        (48, ["conv0", "stage1.block1", "stage1.block2"], "the taps of 56 layers"),
    ],
)
def test_resnet56_is_summed_up_by_stage_or_block_and_says_so(
    height: int, names: list[str], left_out: str
) -> None:
    where = Screen(width=80, height=height)
    lines = summary(_result("resnet56"), where)

    assert _fits(lines, where)
    assert names == [line.split()[0] for line in lines[1 : 1 + len(names)]]
    assert any(line.startswith("left out") and left_out in line for line in lines)
    assert any("layers)" in line and "4 of 9" in line for line in lines)


def test_sums_of_groups_are_the_sums_of_their_layers() -> None:
    result = _result("resnet56")
    lines = summary(result, SMALL)
    shown = sum(int(line.split()[-1].replace(",", "")) for line in lines[1 : lines.index("")])

    assert result.macs == shown


@pytest.mark.parametrize("net", ["densenet40", "resnet110", "resnet18", "densenet-bc-121"])
@pytest.mark.parametrize("height", [14, 24, 40])
def test_any_network_fits(net: str, height: int) -> None:
    where = Screen(width=80, height=height)
    assert _fits(summary(_result(net), where), where)


def test_in_a_file_every_layer_is_there() -> None:
    result = _result("resnet56")
    lines = summary(result, Screen())

    assert [layer.name for layer in result.layers] == [line.split()[0] for line in lines[1 : lines.index("")]]


def test_a_terminal_without_blocks_gets_letters() -> None:
    assert "#.# .#. ..#" in summary(_result("resnet8"), replace(SMALL, blocks=("#", ".")))[2]


def test_a_run_of_an_earlier_version_says_what_it_knows() -> None:
    lines = summary(replace(_result("resnet8"), accuracy_calibrated=None, seconds=()), SMALL)

    assert "accuracy   85.31% float, 85.20% fine-tuned (-0.11)" in lines
    assert not any(line.startswith("steps took") for line in lines)


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.25, "4.2 s"), (60, "1 min 0 s"), (3599.6, "1 h 0 min"), (86400, "24 h 0 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert words == duration(seconds)
