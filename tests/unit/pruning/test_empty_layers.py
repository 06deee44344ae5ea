"""Layers of which no structure is left: a branch may be empty, a network may not be cut, and what is certain is said at once."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from psp_hw.errors import TrainingError
from psp_hw.nn.count import count
from psp_hw.nn.registry import build_net
from psp_hw.pruning.methods.psp import empty_layers, require_alive, require_return
from psp_hw.pruning.parametrization import fold, parameters_of, pruned_layers
from psp_hw.pruning.paths import cutting_layers
from psp_hw.pruning.select import prune
from psp_hw.pruning.survey import survey_layer
from psp_hw.spec.enums import AlphaInit, StructureKind
from psp_hw.spec.train import NetSpec, PruningSpec, StructureSpec

SHAPE = StructureSpec(kind=StructureKind.SHAPE, epsilon=0.1)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(7))


def _resnet(*empty: str) -> nn.Module:
    torch.manual_seed(3)
    net = build_net(NetSpec(name="resnet8"), image=(3, 16, 16), classes=5)
    prune(net, PruningSpec(structures=(SHAPE,), init=AlphaInit.ONES), first="conv0")
    return _emptied(net, *empty)


def _chain(*empty: str, beta: float = 0.0) -> nn.Module:
    torch.manual_seed(3)
    net = nn.Sequential()
    for number, channels in enumerate((3, 4, 4)):
        net.append(nn.Conv2d(channels, 4, 3, bias=False)).append(nn.BatchNorm2d(4)).append(nn.ReLU())
        nn.init.constant_(net[3 * number + 1].bias, beta)
    net.append(nn.Flatten()).append(nn.Dropout(0.5)).append(nn.Linear(400, 5))
    prune(net, PruningSpec(structures=(SHAPE,), init=AlphaInit.ONES), first="0")
    return _emptied(net, *empty)


@torch.no_grad()
def _emptied(net: nn.Module, *empty: str) -> nn.Module:
    for name in empty:
        parameters_of(net.get_submodule(name))[0].alpha.fill_(0.01)
    assert set(empty) == set(empty_layers(net))
    return net


def test_a_residual_branch_may_be_empty() -> None:
    net = _resnet("stage1.block1.conv1", "stage2.block1.conv1", "stage2.block1.conv2")
    require_alive(net)
    require_return(net, IMAGES)


def test_an_empty_layer_of_a_chain_cuts_it() -> None:
    what = (
        r"pruning: all structures of 3 are gone: no way is left from the image to the result \(lower lambda"
    )
    with pytest.raises(TrainingError, match=what):
        require_alive(_chain("3"))


class _Gated(nn.Module):
    """Two ways side by side, through operations that the quantizer does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.beside = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.first(x))
        x = torch.sigmoid(self.left(x)) * 0.5 - self.beside(self.right(x)).tanh()
        return self.last(x.mean(dim=(2, 3)).view(x.size(0), -1))


def test_only_the_layers_that_cut_are_named() -> None:
    net = _Gated()
    assert () == cutting_layers(net, ())
    assert () == cutting_layers(net, ("left",))
    assert () == cutting_layers(net, ("right", "beside"))
    assert ("last",) == cutting_layers(net, ("left", "last"))
    assert ("left", "beside") == cutting_layers(net, ("left", "right", "beside"))


class _Unpredictable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else x


def test_of_a_network_that_cannot_be_followed_nothing_is_claimed() -> None:
    assert () == cutting_layers(_Unpredictable(), ("inner",))


def test_what_no_gradient_can_bring_back_is_refused_before_the_first_step() -> None:
    net = _chain("3")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(
        TrainingError, match=r"of 3 are gone: no way is left.*, and no gradient brings it back"
    ):
        require_return(net, torch.randn(4, 3, 16, 16))
    state_after_images = torch.get_rng_state()
    torch.set_rng_state(state)
    torch.randn(4, 3, 16, 16)
    assert torch.equal(state_after_images, torch.get_rng_state())  # dropout of the probe drew none of ours
    for name, value in net.state_dict().items():
        assert torch.equal(before[name], value), name


def test_a_cut_that_gradients_reach_may_mend_itself() -> None:
    """With beta above zero ReLU passes gradients, and SGD brings the layer back."""
    net = _chain("3", beta=0.5)
    require_return(net, IMAGES)
    with pytest.raises(TrainingError):
        require_alive(net)

    labels = torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        functional.cross_entropy(net(IMAGES), labels).backward()
        optimizer.step()
    require_alive(net)


def _step(net: nn.Module) -> dict[str, Tensor]:
    """The gradient of alpha of every pruned layer."""
    net.train()
    functional.cross_entropy(net(IMAGES), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all()), name
    return {name: parameters_of(layer)[0].alpha.grad for name, layer in pruned_layers(net).items()}


def test_behind_bn_and_relu_an_empty_layer_stays_empty_and_behind_bn_alone_it_does_not() -> None:
    """docs/paper.md, "How alpha starts": the first convolution of a block, and the second."""
    first = _step(_resnet("stage2.block1.conv1"))
    assert not bool(first["stage2.block1.conv1"].any())
    assert bool(first["stage1.block1.conv1"].any())
    second = _step(_resnet("stage2.block1.conv2"))
    assert bool(second["stage2.block1.conv2"].any())


def test_an_empty_layer_of_a_densenet_stays_empty() -> None:
    """Its features are zero, and so is what BN and ReLU of every reader make of them."""
    torch.manual_seed(3)
    net = build_net(NetSpec(name="densenet40"), image=(3, 16, 16), classes=5)
    prune(net, PruningSpec(structures=(SHAPE,), init=AlphaInit.ONES), first="stem.conv")
    name = next(iter(pruned_layers(net)))
    gradients = _step(_emptied(net, name))
    assert not bool(gradients[name].any())
    require_alive(net)


def test_a_network_with_empty_layers_trains_to_numbers_and_counts_them_as_nothing() -> None:
    empty = ("stage2.block1.conv1", "stage3.block1.conv1")
    net = _resnet(*empty)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(4):
        optimizer.zero_grad()
        _step(net)
        optimizer.step()
    assert empty == empty_layers(net)
    plain = copy.deepcopy(net).eval()
    masks = fold(plain)
    assert all(bool(torch.isfinite(value).all()) for value in plain.state_dict().values())
    assert torch.equal(net.eval()(IMAGES), plain(IMAGES))
    kinds = (StructureKind.SHAPE,)
    for layer in count(plain, (3, 16, 16)).layers:
        if layer.name in empty:
            weight = plain.get_submodule(layer.name).weight
            found = survey_layer(layer.name, weight, kinds, positions=layer.positions, prunable=True)
            assert ((), 0, 0, 0.0) == (found.taps, found.kept, found.macs, found.density)
            assert not bool(masks[layer.name].any())


CALLBACK = """
import sys
from importlib.machinery import PathFinder


class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "lightning" else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Blind
import psp_hw
from pytorch_lightning.callbacks import Callback

assert issubclass(psp_hw.PruningCallback, Callback)
assert "lightning" not in sys.modules
"""
BOTH = """
import pytorch_lightning
import psp_hw

assert issubclass(psp_hw.PruningCallback, pytorch_lightning.callbacks.Callback)
"""


@pytest.mark.slow  # imports Lightning twice
@pytest.mark.parametrize("program", [CALLBACK, BOTH], ids=["only pytorch-lightning", "both, this one in use"])
def test_the_callback_is_one_of_the_lightning_in_use(program: str) -> None:
    pytest.importorskip("pytorch_lightning")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
