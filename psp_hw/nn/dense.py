"""Densely connected networks (Huang et al., arXiv 1608.06993): every layer reads the features of all layers before it.

BN and ReLU stand before a convolution and read concatenated features, so BN folds into no convolution: in hardware
it is a multiplication and an addition per channel (docs/arithmetic.md, "Affine maps and thresholds").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BOTTLENECK = 4  # a 1x1 convolution gives so many times the growth rate (Huang et al., Sec. 3)


class DenseLayer(nn.Module):
    """BN, ReLU, 3x3 convolution, its result beside its input; with a bottleneck, a 1x1 convolution before.

    Args:
        c_in: channels in.
        growth: channels that the layer adds.
        bottleneck: whether a 1x1 convolution to 4 times the growth comes first.
    """

    def __init__(self, c_in: int, growth: int, *, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        channels = c_in
        if bottleneck:
            self.bn0 = nn.BatchNorm2d(c_in)
            self.relu0 = nn.ReLU()
            self.conv0 = nn.Conv2d(c_in, BOTTLENECK * growth, 1, bias=False)
            channels = BOTTLENECK * growth
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [N, Ci, H, W]
        """[N, Ci, H, W] to [N, Ci + growth, H, W]."""
        y = self.conv0(self.relu0(self.bn0(x))) if self.bottleneck else x
        return torch.cat((x, self.conv1(self.relu1(self.bn1(y)))), dim=1)


class Transition(nn.Module):
    """Between two dense blocks: BN, ReLU, 1x1 convolution, 2x2 average pooling.

    Args:
        c_in: channels in.
        c_out: channels out.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(c_in)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:  # [N, Ci, H, W]
        """[N, Ci, H, W] to [N, Co, H/2, W/2]."""
        return self.pool(self.conv(self.relu(self.bn(x))))  # type: ignore[no-any-return]


class DenseNet(nn.Module):
    """Stem, dense blocks with transitions between, BN, ReLU, global average pooling, classifier.

    Args:
        c_in: channels of the image.
        image: height and width of the image [pixels].
        classes: number of classes.
        growth: growth rate of each block.
        layers: dense layers of each block.
        stem: channels of the first convolution.
        large: whether the stem is 7x7 with stride 2 and a 3x3 maximum with stride 2, for large images; else 3x3.
        bottleneck: "B" of Huang et al.
        halve: "C" of Huang et al.: a transition halves the channels.
    """

    def __init__(
        self,
        c_in: int,
        image: tuple[int, int],
        classes: int,
        growth: tuple[int, ...],
        layers: tuple[int, ...],
        *,
        stem: int,
        large: bool,
        bottleneck: bool,
        halve: bool,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        extent = image
        if large:
            self.stem.add_module("conv", nn.Conv2d(c_in, stem, 7, stride=2, padding=3, bias=False))
            self.stem.add_module("bn", nn.BatchNorm2d(stem))
            self.stem.add_module("relu", nn.ReLU())
            self.stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
            extent = (-(-image[0] // 4), -(-image[1] // 4))
        else:
            self.stem.add_module("conv", nn.Conv2d(c_in, stem, 3, padding=1, bias=False))
        channels = stem
        self.features = nn.Sequential()
        for block, (rate, count) in enumerate(zip(growth, layers, strict=True), start=1):
            for layer in range(1, count + 1):
                dense = DenseLayer(channels, rate, bottleneck=bottleneck)
                self.features.add_module(f"block{block}_layer{layer}", dense)
                channels += rate
            if block < len(layers):
                c_out = channels // 2 if halve else channels
                self.features.add_module(f"transition{block}", Transition(channels, c_out))
                channels, extent = c_out, (extent[0] // 2, extent[1] // 2)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(extent)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        """[N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn(self.features(self.stem(x))))
        return self.fc(self.flatten(self.pool(x)))  # type: ignore[no-any-return]
