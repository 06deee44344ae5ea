"""Structures, and the structure parameters on a weight."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from psp_hw.errors import SpecError, TrainingError
from psp_hw.pruning.methods.psp import l1_term, penalty_groups, require_alive, set_progress, tightness
from psp_hw.pruning.parametrization import StructureParameter, fold, parameters_of, weight_mask
from psp_hw.pruning.select import prune, select_layers
from psp_hw.pruning.structures import alpha_shape
from psp_hw.pruning.survey import density, survey_layer
from psp_hw.spec.enums import AlphaInit, Criterion, GradientRule, Penalty, StructureKind
from psp_hw.spec.train import LayerOverride, PruningSpec, StructureSpec

K, C, R, S = 4, 3, 3, 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (StructureKind.SHAPE, (1, 1, R, S)),
        (StructureKind.COLUMN, (1, C, R, S)),
        (StructureKind.CHANNEL, (1, C, 1, 1)),
        (StructureKind.LAYER, (1, 1, 1, 1)),
        (StructureKind.FILTER, (K, 1, 1, 1)),
        (StructureKind.KERNEL, (K, C, 1, 1)),
        (StructureKind.VECTOR_ROW, (K, C, R, 1)),
        (StructureKind.VECTOR_COL, (K, C, 1, S)),
        (StructureKind.WEIGHT, (K, C, R, S)),
        (StructureKind.STRIDED, (K, C, 2, S)),
    ],
)
def test_alpha_has_the_shape_of_the_design_table(kind: StructureKind, expected: tuple[int, ...]) -> None:
    assert expected == alpha_shape(kind, (K, C, R, S))


def test_every_structure_is_in_the_table() -> None:
    for kind in StructureKind:
        assert 2 == len(alpha_shape(kind, (5, 6)))


def test_strided_structures_are_the_grids_of_each_kernel() -> None:
    """Anwar's stride 2: position (r, s) of a kernel belongs to the grid of offset (r mod 2, s mod 2)."""
    weight = torch.rand(2, 3, 5, 3, dtype=torch.float64) + 0.5
    spec = StructureSpec(kind=StructureKind.STRIDED, epsilon=0.2)
    parameter = StructureParameter(weight, spec)
    alpha = parameter.alpha.detach()

    q = parameter(weight).detach()

    for k, c, r, s in torch.cartesian_prod(*(torch.arange(n) for n in weight.shape)).tolist():
        own = float(alpha[k, c, r % 2, s % 2])
        assert float(q[k, c, r, s]) == float(weight[k, c, r, s]) * (own if abs(own) >= 0.2 else 0.0)


@pytest.mark.parametrize("rule", list(GradientRule))
def test_a_grid_gathers_the_gradients_of_its_positions(rule: GradientRule) -> None:
    weight = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    spec = StructureSpec(kind=StructureKind.STRIDED, epsilon=1e-6)
    parameter = StructureParameter(weight, spec, PruningSpec(structures=(spec,), gradient=rule))
    upstream = torch.randn(1, 1, 3, 3, dtype=torch.float64)

    parameter(weight).backward(upstream)

    terms = upstream * weight if rule is GradientRule.CHAIN_RULE else upstream
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert float(terms[0, 0, i::2, j::2].sum()) == pytest.approx(float(parameter.alpha.grad[0, 0, i, j]))


def test_grids_of_different_size_are_compared_by_their_mean_weight() -> None:
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 3.0  # the grid of one
    weight[0, 0, ::2, ::2] = 1.0  # the grid of four
    spec = StructureSpec(kind=StructureKind.STRIDED, density=0.25)
    parameter = StructureParameter(weight, spec, PruningSpec(structures=(spec,), criterion=Criterion.L1_NORM))

    assert [[False, False], [False, True]] == parameter.keep()[0, 0].tolist()


def _parameter(weight: torch.Tensor, alpha: list[float], **keys: object) -> StructureParameter:
    gradient = keys.pop("gradient", GradientRule.CHAIN_RULE)
    spec = StructureSpec(kind=StructureKind.SHAPE, **keys)  # type: ignore[arg-type]
    pruning = PruningSpec(structures=(spec,), gradient=gradient)  # type: ignore[arg-type]
    parameter = StructureParameter(weight, spec, pruning)
    with torch.no_grad():
        parameter.alpha.copy_(torch.tensor(alpha).view_as(parameter.alpha))
    return parameter


def test_forward_is_eq_2_and_3() -> None:
    weight = torch.randn(K, C, 1, 3)
    parameter = _parameter(weight, [0.5, -0.2, 0.1], epsilon=0.2)

    expected = weight * torch.tensor([0.5, -0.2, 0.0])

    assert torch.equal(expected, parameter(weight))


@pytest.mark.parametrize("rule", list(GradientRule))
def test_gradients_of_both_rules_by_hand(rule: GradientRule) -> None:
    """Chain rule: sum of dE/dq * w over the structure. As printed in Eq. 5: sum of dE/dq. Dropped ones too."""
    weight = torch.randn(K, C, 1, 3, dtype=torch.float64, requires_grad=True)
    parameter = _parameter(weight, [0.5, -0.2, 0.1], epsilon=0.2, gradient=rule)
    upstream = torch.randn(K, C, 1, 3, dtype=torch.float64)

    parameter(weight).backward(upstream)

    terms = upstream * weight.detach() if rule is GradientRule.CHAIN_RULE else upstream
    expected = [float(terms[:, :, 0, s].sum()) for s in range(3)]
    assert expected == pytest.approx(parameter.alpha.grad.flatten().tolist(), abs=1e-12)
    nu = torch.tensor([0.5, -0.2, 0.0]).double()
    assert torch.allclose(upstream * nu, weight.grad, atol=1e-7)


def test_a_dropped_structure_comes_back_when_its_alpha_grows() -> None:
    weight = torch.ones(1, 1, 1, 2)
    parameter = _parameter(weight, [1.0, 0.1], epsilon=0.2)
    assert [True, False] == parameter.keep().flatten().tolist()

    parameter(weight).sum().backward()
    with torch.no_grad():
        parameter.alpha += parameter.alpha.grad

    assert [True, True] == parameter.keep().flatten().tolist()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"epsilon": 0.35}, [0, 0, 0, 1, 1, 1]),
        ({"epsilon": 0.35, "density": 0.34}, [0, 0, 0, 0, 1, 1]),
        ({"epsilon": 0.35, "density": 0.1}, [0, 0, 0, 0, 0, 1]),
        ({"epsilon": 0.35, "density": 1.0}, [1, 1, 1, 1, 1, 1]),
        ({"epsilon": 0.05, "at_most": 0.67}, [0, 0, 1, 1, 1, 1]),
        ({"epsilon": 0.35, "at_most": 0.67}, [0, 0, 0, 1, 1, 1]),
        ({"epsilon": 9.0, "at_least": 0.33}, [0, 0, 0, 0, 1, 1]),
        ({"epsilon": 9.0}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_what_is_kept(keys: dict[str, float], expected: list[int]) -> None:
    parameter = _parameter(torch.zeros(1, 1, 2, 3), [0.1, -0.2, 0.3, -0.4, 0.5, 0.6], **keys)
    assert expected == parameter.keep().int().flatten().tolist()


def test_a_budget_among_equals_is_still_exact() -> None:
    parameter = _parameter(torch.zeros(1, 1, 3, 3), [1.0] * 9, density=0.5)
    assert 4 == int(parameter.keep().sum())


def test_frozen_choices_outlast_alpha_and_the_state_dict() -> None:
    weight = torch.zeros(1, 1, 1, 3)
    parameter = _parameter(weight, [1.0, 1.0, 0.0], epsilon=0.5)
    parameter.freeze()
    with torch.no_grad():
        parameter.alpha.copy_(1 - parameter.alpha)
    other = _parameter(weight, [0.0, 0.0, 0.0], epsilon=0.5)
    other.load_state_dict(parameter.state_dict())

    assert [True, True, False] == parameter.keep().flatten().tolist()
    assert [True, True, False] == other.keep().flatten().tolist()


def test_alpha_starts_as_asked() -> None:
    weight = torch.zeros(64, 64, 3, 3)
    spec = StructureSpec(kind=StructureKind.COLUMN)
    torch.manual_seed(0)
    paper = StructureParameter(weight, spec, PruningSpec(init=AlphaInit.PAPER)).alpha
    ones = StructureParameter(weight, spec, PruningSpec(init=AlphaInit.ONES)).alpha

    assert float(paper.detach().std()) == pytest.approx(0.1**0.5, rel=0.15)
    assert torch.equal(torch.ones(1, 64, 3, 3), ones)


def _chain() -> nn.Sequential:
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(1, 4, 3))
    net.add_module("inner", nn.Conv2d(4, 4, 3))
    net.add_module("point", nn.Conv2d(4, 4, 1))
    net.add_module("shortcut", nn.Conv2d(4, 4, 3))
    net.add_module("fc", nn.Linear(4, 2))
    return net


def _spec(*kinds: StructureKind, **keys: object) -> PruningSpec:
    return PruningSpec(structures=tuple(StructureSpec(kind=k) for k in kinds), **keys)  # type: ignore[arg-type]


def _chosen(spec: PruningSpec) -> list[str]:
    return list(select_layers(_chain(), spec, first="first"))


def test_sensitive_layers_are_left_alone_unless_asked() -> None:
    shape = StructureKind.SHAPE
    assert ["inner"] == _chosen(_spec(shape))
    assert ["inner", "point"] == _chosen(_spec(StructureKind.CHANNEL))
    assert ["first", "inner"] == _chosen(_spec(shape, include=("fir*",)))
    assert ["shortcut"] == _chosen(_spec(shape, include=("shortcut",), exclude=("inner",)))
    assert [] == _chosen(PruningSpec())


@pytest.mark.parametrize(
    ("keys", "fragment"),
    [
        (
            {"include": ("convX",)},
            r"pruning\.include: 'convX' matches no layer.*the layers are: first, inner",
        ),
        ({"include": ("point",)}, r"the weight \[4, 4, 1, 1\] of 'point' has no shape structures"),
        ({"include": ("fc",)}, r"the weight \[2, 4\] of 'fc' has no shape structures"),
        ({"exclude": ("inner",)}, "no layer has a structure to prune"),
    ],
)
def test_patterns_that_leave_nothing_are_refused(keys: dict[str, tuple[str, ...]], fragment: str) -> None:
    with pytest.raises(SpecError, match=fragment):
        _chosen(_spec(StructureKind.SHAPE, **keys))


def test_structures_multiply_and_fold_bit_for_bit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3)).double()
    spec = PruningSpec(
        structures=(
            StructureSpec(kind=StructureKind.SHAPE, epsilon=0.05),
            StructureSpec(kind=StructureKind.CHANNEL, epsilon=0.05),
        )
    )
    assert ("2",) == prune(net, spec, first="0")
    layer = net[2]
    shape, channel = parameters_of(layer)
    images = torch.randn(3, 2, 9, 9, dtype=torch.float64)
    before = net(images)
    expected_mask = (shape.keep() & channel.keep()).expand_as(layer.weight)
    assert 0 < int(expected_mask.sum()) < expected_mask.numel()

    masks = fold(net)

    assert torch.equal(before, net(images))
    assert torch.equal(expected_mask, masks["2"])
    assert type(layer) is nn.Conv2d
    assert {"weight", "bias"} == set(dict(layer.named_parameters()))


def test_pruned_networks_can_be_copied_and_restored() -> None:
    net = _chain()
    prune(net, _spec(StructureKind.SHAPE), first="first")
    twin = copy.deepcopy(net)
    other = _chain()
    prune(other, _spec(StructureKind.SHAPE), first="first")
    other.load_state_dict(net.state_dict())

    for again in (twin, other):
        assert torch.equal(net.inner.weight, again.inner.weight)


def test_tightness_follows_warmup_and_ramp() -> None:
    spec = _spec(StructureKind.SHAPE, warmup=0.2, ramp=0.4)
    assert [0.0, 0.0, 0.0, 0.5, 1.0, 1.0] == [
        round(tightness(p, spec), 9) for p in (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
    ]
    assert 1.0 == tightness(0.0, _spec(StructureKind.SHAPE))


def test_progress_freezes_at_the_end() -> None:
    net = _chain()
    spec = _spec(StructureKind.SHAPE, settle=0.25)
    prune(net, spec, first="first")
    (parameter,) = parameters_of(net.inner)
    set_progress(net, 0.74, spec)
    assert not bool(parameter.frozen)
    set_progress(net, 0.75, spec)
    assert bool(parameter.frozen)


def test_penalties_are_decay_or_l1() -> None:
    net = _chain()
    structures = (StructureSpec(strength=0.25), StructureSpec(kind=StructureKind.CHANNEL, strength=0.5))
    decay = PruningSpec(structures=structures)
    l1 = PruningSpec(structures=structures, penalty=Penalty.L1)
    prune(net, decay, first="first")

    assert {0.25: 1, 0.5: 2} == {strength: len(alphas) for alphas, strength in penalty_groups(net)}
    assert l1_term(net) is None

    net = _chain()
    prune(net, l1, first="first")
    shape, channel = parameters_of(net.inner)
    assert [0.0] == [strength for _, strength in penalty_groups(net)]
    term = l1_term(net)
    point = parameters_of(net.point)
    sums = sum(0.25 * float(p.alpha.detach().abs().sum()) for p in (shape,))
    sums += sum(0.5 * float(p.alpha.detach().abs().sum()) for p in (channel, *point))
    assert term is not None
    assert sums == pytest.approx(float(term.detach()), rel=1e-5)


def test_a_layer_with_nothing_left_is_refused_by_name() -> None:
    net = _chain()
    prune(net, _spec(StructureKind.SHAPE), first="first")
    require_alive(net)
    with torch.no_grad():
        parameters_of(net.inner)[0].alpha.zero_()
    with pytest.raises(TrainingError, match=r"all structures of inner are gone.*lower lambda or epsilon"):
        require_alive(net)


class _Branches(nn.Module):
    """A stem, two convolutions side by side, a convolution that both feed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last(self.left(x) + self.right(x))


def test_layer_pruning_may_take_a_branch_but_not_every_way() -> None:
    net = _Branches()
    spec = _spec(StructureKind.LAYER, init=AlphaInit.ONES)
    assert ("left", "right") == prune(net, spec, first="first")
    with torch.no_grad():
        parameters_of(net.left)[0].alpha.zero_()
    require_alive(net)
    assert not bool(weight_mask(net.left).any())

    with torch.no_grad():
        parameters_of(net.right)[0].alpha.zero_()
    with pytest.raises(
        TrainingError, match="all structures of left, right are gone: no way is left from the image"
    ):
        require_alive(net)


def test_a_chain_cannot_lose_a_layer() -> None:
    with pytest.raises(SpecError, match=r"no layer has a structure to prune.*every layer is needed"):
        _chosen(_spec(StructureKind.LAYER))
    with pytest.raises(SpecError, match=r"include: 'inner' cannot be pruned away: no other way leads"):
        _chosen(_spec(StructureKind.LAYER, include=("inner",)))
    both = select_layers(_chain(), _spec(StructureKind.LAYER, StructureKind.CHANNEL), first="first")
    assert {"inner": [StructureKind.CHANNEL], "point": [StructureKind.CHANNEL]} == {
        name: [s.kind for s in structures] for name, structures in both.items()
    }


def test_the_last_override_that_matches_holds() -> None:
    channel = StructureSpec(kind=StructureKind.CHANNEL, epsilon=0.3, strength=0.01)
    shape = StructureSpec(epsilon=0.2)
    spec = PruningSpec(
        structures=(shape,),
        overrides=(
            LayerOverride(layers="*", structures=(channel,)),
            LayerOverride(layers="inner", structures=(shape, channel)),
            LayerOverride(layers="point"),
        ),
    )
    chosen = select_layers(_chain(), spec, first="first")

    assert {"inner": (shape, channel)} == chosen
    fc = (*spec.overrides, LayerOverride(layers="fc", structures=(channel,)))
    chosen = select_layers(_chain(), replace(spec, overrides=fc), first="first")
    assert {"inner": (shape, channel), "fc": (channel,)} == chosen
    with pytest.raises(SpecError, match=r"overrides: the weight \[4, 4, 1, 1\] of 'point' has no shape"):
        _chosen(PruningSpec(overrides=(LayerOverride(layers="point", structures=(shape, channel)),)))
    with pytest.raises(SpecError, match=r"pruning\.overrides: 'x\*' matches no layer"):
        _chosen(PruningSpec(overrides=(LayerOverride(layers="x*", structures=(channel,)),)))


def test_the_l1_norm_keeps_the_structures_of_the_largest_weights() -> None:
    structure = StructureSpec(kind=StructureKind.SHAPE, density=0.5)
    spec = PruningSpec(structures=(structure,), criterion=Criterion.L1_NORM, penalty=Penalty.NONE)
    net = _chain()
    prune(net, spec, first="first")
    (parameter,) = parameters_of(net.inner)
    original = net.inner.parametrizations.weight.original
    with torch.no_grad():
        original.copy_(torch.arange(9.0).view(3, 3).expand_as(original))

    kept = weight_mask(net.inner)[0, 0]

    assert [[False] * 3, [False, False, True], [True] * 3] == kept.tolist()
    assert torch.equal(net.inner.weight, original * kept)
    assert not parameter.alpha.requires_grad
    assert [] == penalty_groups(net)
    with pytest.raises(SpecError, match="l1-norm needs a density for shape"):
        PruningSpec(structures=(StructureSpec(),), criterion=Criterion.L1_NORM)


def test_the_survey_counts_structures_not_single_zeros() -> None:
    weight = torch.ones(2, 3, 3, 3)
    weight[:, :, 0, :] = 0  # three taps are gone
    weight[0, 0, 1, 1] = 0  # one weight that happens to be zero
    layer = survey_layer("c", weight, (StructureKind.SHAPE,), positions=10, prunable=True)
    dense = survey_layer("d", weight, (), positions=10, prunable=False)

    assert ((1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)) == layer.taps
    assert (36, 54, 360) == (layer.kept, layer.total, layer.macs)
    assert 54 == dense.kept
    assert 36 / 54 == density((layer, dense))
    assert 1.0 == density((dense,))
