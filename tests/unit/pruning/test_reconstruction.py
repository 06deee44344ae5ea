"""Structures chosen by least squares, against numpy's and every other choice."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import psp_hw
from psp_hw.errors import ModelError, SpecError
from psp_hw.pruning.methods import reconstruction
from psp_hw.pruning.methods.reconstruction import reconstruct, structures_of
from psp_hw.pruning.parametrization import parameters_of, weight_mask
from psp_hw.pruning.select import prune
from psp_hw.spec.enums import Criterion, Penalty, StructureKind
from psp_hw.spec.train import PruningSpec, StructureSpec


@pytest.fixture(autouse=True)
def _plain_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """All positions, and nothing added to the diagonal: what numpy computes."""
    monkeypatch.setattr(reconstruction, "POSITIONS", 10**6)
    monkeypatch.setattr(reconstruction, "DAMPING", 0.0)


def images(count: int = 40, channels: int = 3, size: int = 6, seed: int = 5) -> Tensor:
    """Smooth ones: neighbours tell much of each other, as in photographs."""
    noise = torch.randn(count, channels, size + 2, size + 2, generator=torch.Generator().manual_seed(seed))
    return functional.avg_pool2d(noise, 3, stride=1) + 0.1 * noise[:, :, 1:-1, 1:-1]


def chain(kind: StructureKind, density: float, *, groups: int = 1, bias: bool = False) -> nn.Sequential:
    """Two convolutions of which the second is pruned, its weights in float64."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=groups, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 5),
    ).double()
    prune(net, pruning(kind, density), first="0")
    return net


def pruning(kind: StructureKind, density: float, **options: object) -> PruningSpec:
    structure = StructureSpec(kind=kind, density=density)
    spec = {"structures": (structure,), "criterion": Criterion.RECONSTRUCTION, "penalty": Penalty.NONE}
    return PruningSpec(**{**spec, **options})  # type: ignore[arg-type]


def rows(net: nn.Sequential, batch: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [rows, C * R * S] and results [rows, K] of the pruned convolution of a dense chain."""
    with torch.no_grad():
        seen = net[1](net[0](batch.double()))
        wanted = net[2](seen)
    bias = 0.0 if net[2].bias is None else net[2].bias.detach()[:, None, None]
    x = functional.unfold(seen, 3, padding=1, stride=2).permute(0, 2, 1).reshape(-1, 36)
    return x.numpy(), (wanted - bias).flatten(2).permute(0, 2, 1).reshape(-1, 6).numpy()


def left_over(x: np.ndarray, y: np.ndarray) -> float:
    """What least squares leaves of y."""
    solved = np.linalg.lstsq(x, y, rcond=None)[0]
    return float(np.square(y - x @ solved).sum())


@pytest.mark.parametrize("bias", [False, True])
def test_positions_and_weights_are_the_best_of_all_choices(bias: bool) -> None:
    net = chain(StructureKind.SHAPE, 4 / 9, bias=bias)
    x, y = rows(net, images())
    lost = reconstruct(net, [images()[:25], images()[25:]])

    def columns(some: tuple[int, ...]) -> np.ndarray:
        return np.concatenate([np.arange(p, 36, 9) for p in some])

    errors = {s: left_over(x[:, columns(s)], y) for s in itertools.combinations(range(9), 4)}
    best = min(errors, key=errors.__getitem__)
    kept = tuple(weight_mask(net[2])[0, 0].flatten().nonzero().flatten().tolist())
    assert best == kept
    assert lost["2"] == pytest.approx(errors[best] / np.square(y).sum(), rel=1e-9)
    solved = np.zeros((36, 6))
    solved[columns(best)] = np.linalg.lstsq(x[:, columns(best)], y, rcond=None)[0]
    assert np.allclose(solved.T, net[2].weight.detach().numpy().reshape(6, 36), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "inputs", "count"), [(StructureKind.COLUMN, 1, 18), (StructureKind.SHAPE, 4, 4)]
)
def test_of_many_structures_the_one_that_is_missed_least_goes_first(
    kind: StructureKind, inputs: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "EVERY_CHOICE", 0)
    net = chain(kind, count * inputs / 36)
    x, y = rows(net, images())
    structures = structures_of(parameters_of(net[2])[0], net[2]).numpy()
    assert structures.shape == (36 // inputs, inputs)
    reconstruct(net, [images()])

    left = list(range(len(structures)))
    while len(left) > count:
        without = {s: left_over(x[:, structures[[t for t in left if t != s]].flatten()], y) for s in left}
        left.remove(min(without, key=without.__getitem__))
    mask = weight_mask(net[2])[0].flatten()
    assert sorted(structures[left].flatten().tolist()) == mask.nonzero().flatten().tolist()


def test_what_the_layer_never_used_costs_nothing() -> None:
    net = chain(StructureKind.SHAPE, 5 / 9)
    used = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    with torch.no_grad():
        net[2].parametrizations.weight.original.mul_(used)
    expected, weight = net(images().double()), net[2].weight.detach().clone()

    lost = reconstruct(net, [images()])

    assert torch.equal(used, weight_mask(net[2])[0, 0])
    assert lost["2"] == pytest.approx(0.0, abs=1e-9)
    assert torch.allclose(weight, net[2].weight, atol=1e-8)
    assert torch.allclose(expected, net(images().double()), atol=1e-8)


def test_each_group_of_a_convolution_has_weights_of_its_own_and_all_the_same_positions() -> None:
    net = chain(StructureKind.SHAPE, 3 / 9, groups=2)
    dense = copy.deepcopy(net)
    x, y = rows(dense, images())
    lost = reconstruct(net, [images()])

    def error(some: tuple[int, ...]) -> float:
        halves = ([c * 9 + p for c in pair for p in some] for pair in ((0, 1), (2, 3)))
        return sum(left_over(x[:, at], part) for at, part in zip(halves, (y[:, :3], y[:, 3:]), strict=True))

    best = min(itertools.combinations(range(9), 3), key=error)
    assert best == tuple(weight_mask(net[2])[0, 0].flatten().nonzero().flatten().tolist())
    assert lost["2"] == pytest.approx(error(best) / np.square(y).sum(), rel=1e-9)


@pytest.mark.parametrize(
    "how",
    [{"padding": "same", "dilation": 2}, {"padding": "valid"}, {"padding": 1, "padding_mode": "circular"}],
)
def test_patches_are_what_the_convolution_sees(how: dict[str, object]) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, **how)).double()  # type: ignore[arg-type]
    psp_hw.prune(net, density=1.0, method="reconstruction", images=[images(size=9)])
    weight = net[1].parametrizations.weight.original.detach().clone()
    torch.manual_seed(3)
    dense = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, **how)).double()  # type: ignore[arg-type]

    assert torch.allclose(
        dense[1].weight, weight, atol=1e-9
    )  # all positions are kept: nothing is to be made up for


def test_channels_of_a_fully_connected_layer() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(32, 4)).double()
    prune(net, pruning(StructureKind.CHANNEL, 0.5, include=("2",), exclude=("0",)), first="0")
    with torch.no_grad():
        net[2].parametrizations.weight.original[:, ::2] = 0.0
    reconstruct(net, [images(400)])

    assert [False, True] * 16 == weight_mask(net[2])[0].tolist()


class _Backwards(nn.Module):
    """Layers are called in another order than they stand in, one of them not at all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.idle = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, batch: Tensor) -> Tensor:
        return self.last(functional.relu(self.middle(functional.relu(self.first(batch)))))


def test_layers_are_chosen_in_the_order_of_execution_from_what_pruned_ones_give() -> None:
    net = _Backwards().double()
    prune(net, pruning(StructureKind.SHAPE, 3 / 9, exclude=("idle",)), first="first")
    dense = copy.deepcopy(net).eval()
    lost = reconstruct(net, [images()])

    assert ["middle", "last"] == list(lost)
    with torch.no_grad():
        wanted, given = dense(images().double()), net(images().double())
    x = functional.unfold(
        functional.relu(net.middle(functional.relu(net.first(images().double())))).detach(), 3, padding=1
    )
    kept = weight_mask(net.last)[0].flatten()
    bias = net.last.bias.detach()[:, None, None]
    y = (wanted - bias).flatten(2).permute(0, 2, 1).reshape(-1, 4).numpy()
    best = left_over(x.permute(0, 2, 1).reshape(-1, 36)[:, kept].numpy(), y)
    assert float((wanted - given).square().sum()) == pytest.approx(best, rel=1e-6)
    assert net.training  # as it was


def test_a_few_positions_of_a_few_images_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    every = chain(StructureKind.SHAPE, 4 / 9)
    reconstruct(every, [images(200)])
    monkeypatch.setattr(reconstruction, "POSITIONS", 4)
    monkeypatch.setattr(reconstruction, "DAMPING", 1e-4)
    few, again, other = (chain(StructureKind.SHAPE, 4 / 9) for _ in range(3))
    lost = [
        reconstruct(net, [images(200)], seed=seed)["2"] for net, seed in ((few, 0), (again, 0), (other, 1))
    ]

    assert torch.equal(few[2].weight, again[2].weight)
    assert not torch.equal(few[2].weight, other[2].weight)  # other positions were looked at
    assert lost[0] == pytest.approx(lost[2], rel=0.2)
    assert torch.equal(weight_mask(every[2]), weight_mask(few[2]))


def test_it_starts_nearer_to_the_dense_network_than_the_largest_weights_do() -> None:
    given = images(200).double()
    errors = {}
    for method in ("l1-norm", "reconstruction"):
        torch.manual_seed(4)
        net = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(5))).double()
        wanted = net(given).detach()
        psp_hw.prune(net, density=5 / 9, method=method, images=given.split(50))
        errors[method] = float((net(given).detach() - wanted).square().mean())
    assert errors["reconstruction"] < 0.25 * errors["l1-norm"]


def test_nothing_is_chosen_from_what_is_no_number_and_all_is_as_it_was() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
    with torch.no_grad():
        net[2].weight[0, 0, 0, 0] = math.nan
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ModelError, match="what '2' sees or gives is not finite"):
        psp_hw.prune(net, density=0.5, method="reconstruction", images=[images()])

    after = net.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor.nan_to_num(9.0), after[name].nan_to_num(9.0))
    idle = _Backwards()
    with pytest.raises(ModelError, match="no image reaches idle"):
        psp_hw.prune(idle, density=0.5, method="reconstruction", images=[images()])
    with pytest.raises(SpecError, match="reconstruction needs images"):
        psp_hw.prune(idle, density=0.5, method="reconstruction")
    assert [] == [name for name in idle.state_dict() if "alpha" in name]


def test_dead_inputs_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    net = chain(StructureKind.COLUMN, 0.5)
    with torch.no_grad():
        net[0].bias[1] = -100.0  # a channel that is always zero
    monkeypatch.setattr(reconstruction, "DAMPING", 1e-6)
    lost = reconstruct(net, [images()])

    mask = weight_mask(net[2])[0]
    assert not bool(mask[1].any())
    assert 0.0 < lost["2"] < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structures": (StructureSpec(),)}, "reconstruction needs a density for shape"),
        ({"structures": (StructureSpec(kind=StructureKind.KERNEL, density=0.5),)}, "not of kernel"),
        (
            {
                "structures": tuple(
                    StructureSpec(kind=k, density=0.5) for k in (StructureKind.SHAPE, StructureKind.CHANNEL)
                )
            },
            "one structure per layer, not 2",
        ),
        ({"ramp": 0.3}, "ramp=0.3, but reconstruction chooses before the first step: use 0"),
    ],
)
def test_what_it_cannot_choose_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        pruning(StructureKind.SHAPE, 0.5, **options)
