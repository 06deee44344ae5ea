"""Residual networks for small images (He et al., arXiv 1512.03385, Sec. 4.2).

Differences from He et al.: a shortcut that changes shape is a 1x1 convolution with BN ("option B"), because the
zero-padded shortcut ("option A") interleaves a subsampled feature map with constant channels, which costs a
streaming design the same FIFO and saves no pass over the data (docs/paper.md, "Networks").
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor, nn


def init_convolutions(net: nn.Module) -> None:
    """He initialization of the convolutions (He et al., arXiv 1502.01852)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; added, then ReLU.

    Args:
        c_in: channels in.
        c_out: channels out.
        stride: of the first convolution and of the shortcut [pixels].
    """

    expansion: ClassVar[int] = 1

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or c_in != c_out:
            projection = nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential()
            self.shortcut.add_module("conv", projection)
            self.shortcut.add_module("bn", nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:  # [N, Ci, H, W]
        """[N, Ci, H, W] to [N, Co, H/stride, W/stride]."""
        main = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))  # [N, Co, H', W']
        side = x if self.shortcut is None else self.shortcut(x)  # [N, Co, H', W']
        return self.relu2(main + side)  # type: ignore[no-any-return]


class BlockKind(Protocol):
    """A class of residual blocks: made of channels in, width and stride; it gives `expansion` times the width."""

    expansion: ClassVar[int]

    def __call__(self, c_in: int, width: int, stride: int, /) -> nn.Module: ...


class StagedNet(nn.Module):
    """Stages of residual blocks behind a stem, global average pooling, classifier."""

    def add_stages(
        self,
        extent: tuple[int, int],
        classes: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        *,
        kind: BlockKind,
    ) -> None:
        """Add all that follows the stem, and draw the initial weights of the convolutions.

        Args:
            extent: height and width of what the stem gives [pixels].
            classes: number of classes.
            widths: of the blocks of each stage; the stem gives as many channels as the first.
            blocks: how many each stage has; the first block of every later stage has stride 2.
            kind: of the blocks.
        """
        height, width = extent
        channels = widths[0]
        self.stages: list[str] = []
        for index, (size, count) in enumerate(zip(widths, blocks, strict=True), start=1):
            stage = nn.Sequential()
            for block in range(count):
                stride = 2 if index > 1 and block == 0 else 1
                stage.add_module(f"block{block + 1}", kind(channels, size, stride))
                channels = kind.expansion * size
                height, width = -(-height // stride), -(-width // stride)
            self.add_module(f"stage{index}", stage)
            self.stages.append(f"stage{index}")
        self.pool = nn.AvgPool2d((height, width))
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, classes)
        init_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        """What the stages see."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to logits [N, classes]."""
        x = self.stem(x)
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(self.flatten(self.pool(x)))  # type: ignore[no-any-return]


class ResidualNet(StagedNet):
    """3x3 stem, stages of residual blocks, global average pooling, classifier.

    Args:
        c_in: channels of the image.
        image: height and width of the image [pixels].
        classes: number of classes.
        widths: channels of each stage; the stem has those of the first.
        blocks: residual blocks of each stage; the first block of every later stage has stride 2.
    """

    def __init__(
        self,
        c_in: int,
        image: tuple[int, int],
        classes: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(c_in, widths[0], 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(widths[0])
        self.relu0 = nn.ReLU()
        self.add_stages(image, classes, widths, blocks, kind=ResidualBlock)

    def stem(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to [N, widths[0], H, W]."""
        return self.relu0(self.bn0(self.conv0(x)))  # type: ignore[no-any-return]
