"""What is known about the registered networks, without torch (for ``psp-hw nets`` and for validation)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetInfo:
    """A registered network.

    Args:
        name: as on the command line.
        summary: one line.
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        source: where it comes from.
    """

    name: str
    summary: str
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    source: str


_HE = "He et al., arXiv 1512.03385, Sec. 4.2"
_ALL = (
    NetInfo(
        name="digits-cnn",
        summary="residual network for 8x8 images, two stages",
        widths=(16, 24),
        blocks=(1, 1),
        source="psp-hw",
    ),
    NetInfo(name="resnet8", summary="CIFAR ResNet, n = 1", widths=(16, 32, 64), blocks=(1, 1, 1), source=_HE),
    NetInfo(
        name="resnet20", summary="CIFAR ResNet, n = 3", widths=(16, 32, 64), blocks=(3, 3, 3), source=_HE
    ),
)
NETS: dict[str, NetInfo] = {info.name: info for info in _ALL}
