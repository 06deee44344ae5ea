"""For any structure, weight shape and alpha: folding changes nothing, and masks are unions of structures."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from psp_hw.pruning.parametrization import StructureParameter, attach, fold
from psp_hw.pruning.structures import alpha_shape
from psp_hw.pruning.survey import surviving
from psp_hw.pruning.tiling import spread
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.train import StructureSpec

kinds = st.lists(st.sampled_from(StructureKind), min_size=1, max_size=3, unique=True)


def laid_over(kept: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Every weight's own entry: along an axis of length m, position n has entry n mod m."""
    return kept[
        torch.meshgrid(*(torch.arange(n) % m for n, m in zip(shape, kept.shape, strict=True)), indexing="ij")
    ]


@settings(max_examples=60, deadline=None)
@given(
    kinds=kinds,
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    epsilon=st.floats(0.01, 0.3),
    seed=st.integers(0, 2**31),
)
def test_folding_any_structures_is_exact_and_masks_are_theirs(
    kinds: list[StructureKind], shape: tuple[int, int, int, int], epsilon: float, seed: int
) -> None:
    torch.manual_seed(seed)
    k, c, r, s = shape
    conv = nn.Conv2d(c, k, (r, s), padding=(r // 2, s // 2)).double()
    kept = torch.ones(shape, dtype=torch.bool)
    for kind in kinds:
        parameter = StructureParameter(conv.weight, StructureSpec(kind=kind, epsilon=epsilon))
        kept &= laid_over(parameter.alpha.abs() >= epsilon, shape)
        attach(conv, parameter)
    images = torch.randn(2, c, 6, 5, dtype=torch.float64)
    before = conv(images)

    masks = fold(nn.Sequential(conv))

    assert torch.equal(before, conv(images))
    assert torch.equal(kept, masks["0"])
    assert torch.equal(kept, conv.weight != 0)
    assert bool((surviving(conv.weight, tuple(kinds)) >= kept).all())


@given(kind=st.sampled_from(StructureKind), shape=st.tuples(*[st.integers(1, 5)] * 4))
def test_alpha_laid_over_the_weight_covers_it(kind: StructureKind, shape: tuple[int, int, int, int]) -> None:
    alpha = torch.rand(alpha_shape(kind, shape))

    assert torch.equal(laid_over(alpha, shape), spread(alpha, torch.Size(shape)).expand(shape))
