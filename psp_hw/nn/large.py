"""Residual networks for large images (He et al., arXiv 1512.03385, Sec. 4.1): ResNet-18 and ResNet-50."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from psp_hw.nn.residual import ResidualBlock, StagedNet


class BottleneckBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; added, then ReLU. The stride is in the first, as in He et al.

    Args:
        c_in: channels in.
        width: channels of the 3x3 convolution; the block gives `expansion` times as many.
        stride: of the first convolution and of the shortcut [pixels].
    """

    expansion: ClassVar[int] = 4  # He et al., Fig. 5

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = self.expansion * width
        self.conv1 = nn.Conv2d(c_in, width, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.relu3 = nn.ReLU()
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential()
            self.shortcut.add_module("conv", nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:  # [N, Ci, H, W]
        """[N, Ci, H, W] to [N, 4 width, H/stride, W/stride]."""
        main = self.relu1(self.bn1(self.conv1(x)))  # [N, width, H', W']
        main = self.relu2(self.bn2(self.conv2(main)))  # [N, width, H', W']
        main = self.bn3(self.conv3(main))  # [N, 4 width, H', W']
        side = x if self.shortcut is None else self.shortcut(x)
        return self.relu3(main + side)  # type: ignore[no-any-return]


class LargeResidualNet(StagedNet):
    """7x7 stem with stride 2, 3x3 maximum with stride 2, stages, global average pooling, classifier.

    Args:
        c_in: channels of the image.
        image: height and width of the image [pixels].
        classes: number of classes.
        widths: channels of the 3x3 convolutions of each stage; the stem has those of the first.
        blocks: residual blocks of each stage; the first block of every later stage has stride 2.
        bottleneck: blocks of three convolutions instead of two.
    """

    def __init__(
        self,
        c_in: int,
        image: tuple[int, int],
        classes: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        *,
        bottleneck: bool,
    ) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(c_in, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn0 = nn.BatchNorm2d(widths[0])
        self.relu0 = nn.ReLU()
        self.pool0 = nn.MaxPool2d(3, stride=2, padding=1)
        height, width = (-(-n // 4) for n in image)
        kind = BottleneckBlock if bottleneck else ResidualBlock
        self.add_stages((height, width), classes, widths, blocks, kind=kind)

    def stem(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to [N, widths[0], H/4, W/4]."""
        return self.pool0(self.relu0(self.bn0(self.conv0(x))))  # type: ignore[no-any-return]
