"""A network that somebody else pruned gains from its zeros alone: taps, channels and filters are found, nothing is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from qonnx_models import outputs
from torch import nn
from torch.nn.utils import prune

from psp_hw.cost.parts import find_part
from psp_hw.dse import search
from psp_hw.dse.search import MinArea
from psp_hw.folding.dataflow import build
from psp_hw.folding.engine import ConvEngine
from psp_hw.ir.graph import Graph
from psp_hw.lowering import lower
from psp_hw.passes import optimize
from psp_hw.units import Clock

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IMAGE = (3, 8, 8)


class Small(nn.Module):
    """Three quantized convolutions and a dense layer, as anybody writes them with Brevitas."""

    def __init__(self) -> None:
        from brevitas import nn as qnn
        from brevitas.quant import Int8ActPerTensorFixedPoint as Act
        from brevitas.quant import Int8WeightPerTensorFixedPoint as Weight
        from brevitas.quant import Uint8ActPerTensorFixedPoint as Positive

        super().__init__()
        torch.manual_seed(0)
        self.image = qnn.QuantIdentity(act_quant=Act, return_quant_tensor=False)
        self.conv1 = qnn.QuantConv2d(3, 8, 3, padding=1, bias=True, weight_quant=Weight)
        self.relu1 = qnn.QuantReLU(act_quant=Positive)
        self.conv2 = qnn.QuantConv2d(8, 8, 3, padding=1, bias=False, weight_quant=Weight)
        self.relu2 = qnn.QuantReLU(act_quant=Positive)
        self.conv3 = qnn.QuantConv2d(8, 8, 3, padding=1, bias=False, weight_quant=Weight)
        self.relu3 = qnn.QuantReLU(act_quant=Positive)
        self.pool = nn.AvgPool2d(8)
        self.dense = qnn.QuantLinear(8, 4, bias=True, weight_quant=Weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.conv1(self.image(x)))
        x = self.relu3(self.conv3(self.relu2(self.conv2(x))))
        return self.dense(torch.flatten(self.pool(x), 1))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *IMAGE)).astype(np.float32)


def exported(model: nn.Module, path: Path) -> Graph:
    """Through Brevitas' own export to the optimized graph; the graph computes what the model computes."""
    from brevitas.export import export_qonnx

    model.train()
    with torch.no_grad():
        model(torch.from_numpy(images(32)))
    model.eval()
    export_qonnx(model, args=torch.zeros(1, *IMAGE), export_path=str(path), dynamo=False)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(images(8)).double()).numpy()
    graph = optimize(lower(path))
    assert np.array_equal(expected, outputs(graph, images(8)).reshape(8, -1))
    return graph


def convolutions(graph: Graph) -> list[tuple[int, int, int]]:
    """Taps, input and output channels of every 3x3 convolution."""
    found = [op for op in graph.convolutions if op.kernel == (3, 3)]
    return [tuple(graph.constants[op.weight].shape) for op in found]


def cycles(graph: Graph) -> int:
    """Cycles per frame of the convolutions at one multiplier each."""
    plan = search.plan(graph, find_part("xc7z020clg400-1"), Clock(period_ns=10), MinArea())
    engines = [engine for engine in build(graph, plan).engines if isinstance(engine, ConvEngine)]
    return sum(engine.schedule().iterations * engine.fold.multipliers for engine in engines)


@pytest.fixture(scope="module")
def dense_cycles(tmp_path_factory: pytest.TempPathFactory) -> int:
    graph = exported(Small(), tmp_path_factory.mktemp("dense") / "model.onnx")
    assert convolutions(graph) == [(9, 3, 8), (9, 8, 8), (9, 8, 8)]
    return cycles(graph)


def test_a_mask_set_by_hand_drops_taps(dense_cycles, tmp_path):
    model = Small()
    mask = torch.zeros(3, 3)
    mask[0, 1] = mask[1, 0] = mask[1, 1] = mask[2, 1] = 1
    with torch.no_grad():
        for layer in (model.conv2, model.conv3):
            layer.weight.mul_(mask)

    graph = exported(model, tmp_path / "model.onnx")

    assert convolutions(graph) == [(9, 3, 8), (4, 8, 8), (4, 8, 8)]
    assert cycles(graph) < dense_cycles * 0.7


def test_structured_pruning_of_torch_drops_filters_and_what_reads_them(dense_cycles, tmp_path):
    model = Small()
    prune.ln_structured(model.conv2, "weight", amount=4, n=2, dim=0)
    prune.remove(model.conv2, "weight")

    graph = exported(model, tmp_path / "model.onnx")

    assert convolutions(graph) == [(9, 3, 8), (9, 8, 4), (9, 4, 8)]
    assert cycles(graph) < dense_cycles


def test_pruned_input_channels_take_their_filters_with_them(tmp_path):
    model = Small()
    prune.random_structured(model.conv3, "weight", amount=3, dim=1)
    prune.remove(model.conv3, "weight")

    assert convolutions(exported(model, tmp_path / "model.onnx")) == [(9, 3, 8), (9, 8, 5), (9, 5, 8)]


def test_custom_masks_of_torch_drop_taps(tmp_path):
    model = Small()
    mask = torch.zeros(8, 8, 3, 3)
    mask[:, :, 1, :] = 1
    prune.custom_from_mask(model.conv3, "weight", mask)
    prune.remove(model.conv3, "weight")

    assert convolutions(exported(model, tmp_path / "model.onnx")) == [(9, 3, 8), (9, 8, 8), (3, 8, 8)]


def test_two_of_four_weights_cost_fewer_multipliers_where_the_layer_is_unrolled(tmp_path):
    from psp_hw.cost.estimate import estimate
    from psp_hw.folding.plan import FoldPlan, NodePlan, extents

    def luts(model: nn.Module, name: str) -> int:
        graph = exported(model, tmp_path / f"{name}.onnx")
        plan = FoldPlan(nodes={op.name: NodePlan(fold=extents(op, graph)) for op in graph.convolutions})
        found = estimate(graph, plan, find_part("xc7z020clg400-1"), Clock(period_ns=10))
        layer = next(layer for layer in found.layers if layer.name == "conv3")
        return sum(amount for resource, amount in layer.resources if resource.value in ("LUT", "DSP"))

    whole = luts(Small(), "whole")
    model = Small()
    with torch.no_grad():
        groups = model.conv3.weight.permute(0, 2, 3, 1).reshape(-1, 4)
        smallest = groups.abs().argsort(dim=1)[:, :2]
        groups.scatter_(1, smallest, 0.0)
        model.conv3.weight.copy_(groups.reshape(8, 3, 3, 8).permute(0, 3, 1, 2))

    assert luts(model, "two_of_four") < 0.65 * whole
