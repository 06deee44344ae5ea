"""What is known about the registered networks, without torch (for ``psp-hw nets`` and for validation).

The counts are facts of the network for its own image size; a test builds every network and counts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

SMALL_IMAGE = 64  # [pixels]; networks for larger images begin with two halvings


class Family(Enum):
    """How a network is built."""

    RESIDUAL = auto()
    LARGE_RESIDUAL = auto()
    DENSE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetInfo:
    """A registered network.

    Args:
        name: as on the command line.
        summary: one line.
        family: how it is built.
        widths: channels of each stage; the growth rate of each block of a dense network.
        blocks: residual blocks of each stage; the layers of each block of a dense network.
        source: where it comes from.
        image: channels, height and width for which the counts hold.
        classes: number of classes for which the counts hold.
        layers: convolutions and fully connected layers on the longest way, as the papers count them: without the
            projections of shortcuts.
        params: trainable parameters.
        macs: multiply-accumulates per image.
        stem: channels of the first convolution of a dense network.
        bottleneck: whether 1x1 convolutions stand around (ResNet) or before (DenseNet) the 3x3 ones.
        halve: whether the transitions of a dense network halve the channels.
    """

    name: str
    summary: str
    family: Family
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    source: str
    image: tuple[int, int, int]
    classes: int
    layers: int
    params: int
    macs: int
    stem: int = 0
    bottleneck: bool = False
    halve: bool = False


_HE = "He et al., arXiv 1512.03385"
_HUANG = "Huang et al., arXiv 1608.06993"
_PSP = "PSP, arXiv 1906.05180"
_CIFAR, _IMAGENET = (3, 32, 32), (3, 224, 224)


def _resnet(depth: int, params: int, macs: int) -> NetInfo:
    n = (depth - 2) // 6
    return NetInfo(
        name=f"resnet{depth}",
        summary=f"CIFAR ResNet, n = {n}",
        family=Family.RESIDUAL,
        widths=(16, 32, 64),
        blocks=(n, n, n),
        source=f"{_HE}, Sec. 4.2",
        image=_CIFAR,
        classes=10,
        layers=depth,
        params=params,
        macs=macs,
    )


def _large_resnet(name: str, blocks: tuple[int, ...], *, bottleneck: bool, **counts: int) -> NetInfo:
    return NetInfo(
        name=name,
        summary="ImageNet ResNet" + (" with bottlenecks" if bottleneck else ""),
        family=Family.LARGE_RESIDUAL,
        widths=(64, 128, 256, 512),
        blocks=blocks,
        source=f"{_HE}, Table 1",
        image=_IMAGENET,
        classes=1000,
        bottleneck=bottleneck,
        **counts,
    )


def _densenet(depth: int, params: int, macs: int) -> NetInfo:
    count = (depth - 4) // 3
    return NetInfo(
        name=f"densenet{depth}",
        summary="CIFAR DenseNet, k = 12, no bottleneck",
        family=Family.DENSE,
        widths=(12, 12, 12),
        blocks=(count, count, count),
        source=f"{_HUANG}, Table 2",
        image=_CIFAR,
        classes=10,
        layers=depth,
        params=params,
        macs=macs,
        stem=16,
    )


def _large_densenet(
    name: str, blocks: tuple[int, ...], *, bottleneck: bool, source: str, **counts: int
) -> NetInfo:
    return NetInfo(
        name=name,
        summary="ImageNet DenseNet, k = 32, " + ("with bottlenecks" if bottleneck else "no bottleneck"),
        family=Family.DENSE,
        widths=(32, 32, 32, 32),
        blocks=blocks,
        source=source,
        image=_IMAGENET,
        classes=1000,
        stem=64,
        bottleneck=bottleneck,
        halve=True,
        **counts,
    )


_ALL = (
    NetInfo(
        name="digits-cnn",
        summary="residual network for 8x8 images, two stages",
        family=Family.RESIDUAL,
        widths=(16, 24),
        blocks=(1, 1),
        source="psp-hw",
        image=(1, 8, 8),
        classes=10,
        layers=6,
        params=14_266,
        macs=448_752,
    ),
    _resnet(8, 78_042, 12_501_632),
    _resnet(20, 272_474, 40_813_184),
    _resnet(32, 466_906, 69_124_736),
    _resnet(44, 661_338, 97_436_288),
    _resnet(56, 855_770, 125_747_840),
    _resnet(110, 1_730_714, 253_149_824),
    _densenet(40, 1_019_722, 264_812_928),
    _densenet(100, 6_979_642, 1_769_516_448),
    _large_resnet(
        "resnet18", (2, 2, 2, 2), bottleneck=False, layers=18, params=11_689_512, macs=1_814_073_344
    ),
    _large_resnet(
        "resnet-b-50", (3, 4, 6, 3), bottleneck=True, layers=50, params=25_557_032, macs=3_857_973_248
    ),
    _large_densenet(
        "densenet-bc-121",
        (6, 12, 24, 16),
        bottleneck=True,
        source=_HUANG,
        layers=121,
        params=7_978_856,
        macs=2_834_161_664,
    ),
    _large_densenet(
        "densenet-c-63",
        (6, 12, 24, 16),
        bottleneck=False,
        source=_PSP,
        layers=63,
        params=10_869_096,
        macs=3_046_506_496,
    ),
    _large_densenet(
        "densenet-c-87",
        (6, 12, 32, 32),
        bottleneck=False,
        source=_PSP,
        layers=87,
        params=21_494_120,
        macs=3_961_152_512,
    ),
)
NETS: dict[str, NetInfo] = {info.name: info for info in _ALL}
