"""For random masks on every network: the compact network computes what the masked one computes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from psp_hw.nn.catalog import NETS, Family
from psp_hw.nn.dense import DenseNet
from psp_hw.nn.large import LargeResidualNet
from psp_hw.nn.registry import build_net
from psp_hw.nn.residual import ResidualNet
from psp_hw.pruning.compact import compact
from psp_hw.pruning.structures import alpha_shape
from psp_hw.pruning.tiling import spread
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.train import NetSpec

pytestmark = pytest.mark.slow

CLOSE = 1e-9  # float64, relative to the largest output: sums may run in another order


def with_statistics(net: nn.Module) -> nn.Module:
    """In float64 and eval, with BN that are neither zero nor one and keep the signal's size."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.2)
            nn.init.normal_(module.bias, std=0.3)
    return net.double().eval()


@torch.no_grad()
def mask(net: nn.Module, kinds: tuple[StructureKind, ...], share: float) -> None:
    """Drop a random share of the structures of every layer but the classifier."""
    for layer in list(net.modules()):
        if not isinstance(layer, nn.Conv2d):
            continue
        for kind in kinds:
            shape = alpha_shape(kind, tuple(layer.weight.shape))
            layer.weight.mul_(spread((torch.rand(shape) >= share).double(), layer.weight.shape))


def same(net: nn.Module, images: Tensor) -> nn.Module:
    """Compact, compare, and give the compact network."""
    with torch.no_grad():
        small = compact(net, images)
        expected, actual = net(images), small(images)
    assert float((expected - actual).abs().max()) <= CLOSE * max(1.0, float(expected.abs().max()))
    return small


def weights(net: nn.Module) -> int:
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))


kinds_of = st.lists(st.sampled_from(StructureKind), min_size=1, max_size=2, unique=True)
SMALL: dict[str, object] = {
    "residual": lambda: ResidualNet(2, (9, 7), 4, (4, 6), (2, 2)),
    "bottleneck": lambda: LargeResidualNet(2, (32, 32), 4, (3, 4), (2, 1), bottleneck=True),
    "large": lambda: LargeResidualNet(2, (32, 32), 4, (3, 4), (1, 2), bottleneck=False),
    "dense": lambda: DenseNet(
        2, (8, 8), 4, (3, 3), (3, 2), stem=4, large=False, bottleneck=False, halve=False
    ),
    "dense-bc": lambda: DenseNet(
        2, (32, 32), 4, (3, 3), (2, 2), stem=4, large=True, bottleneck=True, halve=True
    ),
    "plain": lambda: nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(5, 6, (3, 2)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1, padding=1),
        nn.Conv2d(6, 4, 1),
        nn.AvgPool2d(2, padding=1),
        nn.Flatten(),
        nn.LazyLinear(7),
        nn.ReLU(),
        nn.Linear(7, 4),
    ),
}


@pytest.mark.parametrize("name", list(SMALL))
@settings(max_examples=25, deadline=None)
@given(kinds=kinds_of, share=st.sampled_from([0.2, 0.5, 0.8, 0.95]), seed=st.integers(0, 2**31))
def test_any_mask_on_small_networks(name: str, kinds: list[StructureKind], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    net: nn.Module = SMALL[name]()  # type: ignore[operator]
    size = 32 if name in ("bottleneck", "large", "dense-bc") else 9
    images = torch.randn(2, 2, size, 7 if name == "residual" else 8 if name == "dense" else size)
    images = images[:, :, :8] if name == "dense" else images
    net(images)
    with_statistics(net)
    mask(net, tuple(kinds), share)

    small = same(net, images.double())

    assert weights(small) <= weights(net)


def cases() -> Iterator[tuple[str, StructureKind]]:
    kinds = (StructureKind.CHANNEL, StructureKind.SHAPE, StructureKind.LAYER, StructureKind.FILTER)
    for index, name in enumerate(NETS):
        yield name, kinds[index % len(kinds)]
        yield name, kinds[(index + 1) % len(kinds)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), list(cases()))
def test_a_mask_on_every_network_of_the_catalog(name: str, kind: StructureKind) -> None:
    torch.manual_seed(3)
    info = NETS[name]
    large = info.family is Family.LARGE_RESIDUAL or info.image[1] > 64
    image = (3, 64, 64) if large else info.image
    net = with_statistics(build_net(NetSpec(name=name), image=image, classes=10))
    mask(net, (kind,), 0.4)

    small = same(net, torch.randn(2, *image, dtype=torch.float64))

    assert weights(small) < weights(net)


def test_a_dead_residual_branch_becomes_an_offset() -> None:
    torch.manual_seed(0)
    net = with_statistics(ResidualNet(2, (8, 8), 4, (4,), (2,)))
    with torch.no_grad():
        net.stage1.block2.conv2.weight.zero_()

    small = same(net, torch.randn(2, 2, 8, 8, dtype=torch.float64))

    assert {"stage1.block2.conv1", "stage1.block2.conv2"} == set(small.report.gone)
    assert () == small.report.notes


def test_a_dense_layer_that_nothing_hears_disappears() -> None:
    torch.manual_seed(0)
    net = with_statistics(
        DenseNet(2, (8, 8), 4, (3,), (3,), stem=4, large=False, bottleneck=True, halve=True)
    )
    dead = slice(7, 10)  # features of the second layer
    with torch.no_grad():
        net.features.block1_layer2.conv1.weight.zero_()
        for bn in (net.features.block1_layer3.bn0, net.bn):
            bn.bias[dead] = (
                bn.running_mean[dead] * bn.weight[dead] / (bn.running_var[dead] + bn.eps).sqrt() - 0.1
            )

    small = same(net, torch.randn(2, 2, 8, 8, dtype=torch.float64))

    assert {"features.block1_layer2.conv0", "features.block1_layer2.conv1"} == set(small.report.gone)


def test_a_constant_in_front_of_zero_padding_stays_and_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1)).double()
    with torch.no_grad():
        net[0].weight[0] = 0
        net[0].bias[:] = 0.5

    small = same(net, torch.randn(2, 1, 6, 6, dtype=torch.float64))

    assert ("2: 1 constant channels are read, zero padding is not that constant",) == small.report.notes
    with torch.no_grad():
        net[0].bias[0] = -0.5  # ReLU makes it zero: now it goes
    assert () == same(net, torch.randn(2, 1, 6, 6, dtype=torch.float64)).report.notes


def test_a_kernel_shrinks_to_its_taps() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1)).double()
    with torch.no_grad():
        net[0].weight[:, :, 0] = 0
        net[0].weight[:, :, :, :2] = 0

    small = same(net, torch.randn(2, 1, 7, 6, dtype=torch.float64))

    assert (2, 1, 2, 1) == tuple(small.get_submodule("0").weight.shape)
