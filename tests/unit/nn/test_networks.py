"""The registered networks and the user's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from psp_hw.errors import ModelError, SpecError
from psp_hw.nn.catalog import NETS
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.spec.train import NetSpec

DIGITS, CIFAR = (1, 8, 8), (3, 32, 32)


def _resnet_weights(n: int) -> int:
    """Weights of the 3x3 convolutions and the classifier of a CIFAR ResNet (He et al., Sec. 4.2), by hand."""
    stage1 = 2 * n * 16 * 16 * 9
    stage2 = 16 * 32 * 9 + (2 * n - 1) * 32 * 32 * 9
    stage3 = 32 * 64 * 9 + (2 * n - 1) * 64 * 64 * 9
    return 3 * 16 * 9 + stage1 + stage2 + stage3 + 64 * 10


@pytest.mark.parametrize("name", list(NETS))
def test_the_counts_of_the_catalog_are_those_of_the_networks(name: str) -> None:
    info = NETS[name]
    counted = count(build_net(NetSpec(name=name), image=info.image, classes=info.classes), info.image)
    on_the_way = [layer for layer in counted.layers if "shortcut" not in layer.name]

    assert (info.layers, info.params, info.macs) == (len(on_the_way), counted.params, counted.macs)


# Parameters and multiply-accumulates in millions, as published, to the digits that are printed. Sources: He et al.,
# arXiv 1512.03385, Table 6 (CIFAR) and Table 1 (ImageNet, "FLOPs" = multiply-adds); Huang et al., arXiv 1608.06993,
# Table 2; Liu et al., arXiv 1708.06519, Table 1 (DenseNet-40: 1.02 M, 5.33e8 operations = 2 per MAC);
# OpenVINO Open Model Zoo, densenet-121 (7.971 M, 5.724 G operations = 2 per MAC);
# torchvision's documentation (ResNet-18: 11.69 M, ResNet-50: 25.56 M).
PUBLISHED = {
    "resnet20": (0.27, None),
    "resnet32": (0.46, None),
    "resnet44": (0.66, None),
    "resnet56": (0.85, None),
    "resnet110": (1.7, None),
    "densenet40": (1.02, 5.33e2 / 2),
    "densenet100": (7.0, None),
    "resnet18": (11.69, 1.8e3),
    "resnet-b-50": (25.56, 3.8e3),
    "densenet-bc-121": (7.971, 5724 / 2),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_counts_are_within_two_percent_of_the_published_ones(name: str) -> None:
    params, macs = PUBLISHED[name]

    assert params == pytest.approx(NETS[name].params / 1e6, rel=0.02)
    if macs is not None:
        assert macs == pytest.approx(NETS[name].macs / 1e6, rel=0.02)


def test_table_2_counts_operations_where_table_3_counts_macs() -> None:
    """PSP Table 2 has 0.53 G for DenseNet-40, Table 3 has 0.27 G: a multiplication and an addition per MAC."""
    macs = NETS["densenet40"].macs

    assert "0.53" == f"{2 * macs / 1e9:.2f}"
    assert 0.27 == pytest.approx(macs / 1e9, rel=0.02)


@pytest.mark.parametrize(("name", "n"), [("resnet8", 1), ("resnet20", 3)])
def test_resnets_have_the_weights_of_the_paper_plus_projections(name: str, n: int) -> None:
    layers = count(build_net(NetSpec(name=name), image=CIFAR, classes=10), CIFAR).layers
    projections = 16 * 32 + 32 * 64

    assert 6 * n + 2 + 2 == len(layers)
    assert _resnet_weights(n) + projections == sum(layer.weights for layer in layers)


def test_resnet20_needs_the_macs_of_the_paper() -> None:
    """40.55 M without the projections: 442 k + 6 * 2.36 M + 1.18 M + 5 * 2.36 M twice, and the classifier."""
    counted = count(build_net(NetSpec(name="resnet20"), image=CIFAR, classes=10), CIFAR)
    by_hand = 432 * 1024 + 6 * 2304 * 1024 + (4608 + 5 * 9216) * 256 + (18432 + 5 * 36864) * 64 + 640

    assert by_hand + 512 * 256 + 2048 * 64 == counted.macs
    assert counted.params == 272_474


def test_digits_cnn_stays_below_20k_parameters() -> None:
    counted = count(build_net(NetSpec(), image=DIGITS, classes=10), DIGITS)

    assert counted.params < 20_000
    assert 7 == len(counted.layers)


def test_stages_come_from_the_spec() -> None:
    net = build_net(NetSpec(name="resnet8", widths=(8, 12), blocks=(2, 1)), image=CIFAR, classes=5)

    assert (2, 5) == tuple(net(torch.zeros(2, *CIFAR)).shape)
    assert 1 + 4 + 2 + 1 + 1 == len(count(net, CIFAR).layers)


def test_counting_leaves_the_network_as_it_was() -> None:
    net = build_net(NetSpec(), image=DIGITS, classes=10).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}

    count(net, DIGITS)

    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_an_unknown_net_gets_a_suggestion() -> None:
    with pytest.raises(SpecError, match=r"unknown network 'resnet-20'.*did you mean 'resnet20'"):
        build_net(NetSpec(name="resnet-20"), image=CIFAR, classes=10)


def test_too_many_stages_for_the_image() -> None:
    spec = NetSpec(name="resnet8", widths=(4,) * 5, blocks=(1,) * 5)
    with pytest.raises(SpecError, match="at least 16 pixels, these have 8x8"):
        build_net(spec, image=DIGITS, classes=10)


OWN = """
from torch import nn
def good(in_channels, classes, width=4):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
def wrong_classes(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
def wrong_image(): return nn.Conv2d(3, 10, 3)
def no_module(): return 3
def needs_more(secret): return nn.Identity()
constant = 5
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "psp_own_nets.py").write_text(OWN)
    (tmp_path / "psp_broken_nets.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "psp_own_nets", raising=False)
    return "psp_own_nets"


def test_the_users_own_function_gets_the_arguments_that_it_names(own_module: str) -> None:
    net = build_net(NetSpec(name=f"{own_module}:good"), image=DIGITS, classes=7)

    assert (1, 7) == tuple(net(torch.zeros(1, *DIGITS)).shape)


@pytest.mark.parametrize(
    ("name", "error", "fragment"),
    [
        ("psp_own_nets:god", SpecError, "has no 'god'.*did you mean 'good'"),
        ("psp_own_nets:", SpecError, "is not package.module:function"),
        ("psp_own_nets:constant", SpecError, "'constant' is a int, not a function"),
        ("psp_none:make", SpecError, "no module named 'psp_none'"),
        ("psp_broken_nets:make", ModelError, "importing 'psp_broken_nets' failed with ZeroDivisionError"),
        ("psp_own_nets:no_module", ModelError, "returned a int, not an nn.Module"),
        ("psp_own_nets:needs_more", ModelError, "failed with TypeError"),
        ("psp_own_nets:wrong_classes", ModelError, r"one image gives \(1, 3\), not \(1, 10\)"),
        ("psp_own_nets:wrong_image", ModelError, "cannot run a 1x8x8 image"),
    ],
)
def test_what_is_wrong_with_the_users_own_is_said(
    own_module: str, name: str, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        build_net(NetSpec(name=name), image=DIGITS, classes=10)
