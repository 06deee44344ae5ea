"""The experiments behind PSP Fig. 2 and 3, on any network, data set and budget: floats only, nothing is quantized."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.pruning.library import density
from psp_hw.pruning.parametrization import fold, parameters_of, pruned_layers
from psp_hw.spec.enums import Method, StructureKind
from psp_hw.spec.presets import with_method
from psp_hw.spec.train import PruningSpec, TrainSpec
from psp_hw.training.floats import accuracy, fresh_net, train_structures
from psp_hw.training.machine import Machine
from psp_hw.training.phases import check_net

Told = Callable[[str, int, int], None]
_AT_LEAST = 0.01  # so that a layer keeps one structure however strong the penalty


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAlphas:
    """The structure parameters of one layer after training.

    Args:
        method: that drove them.
        layer: module path.
        structure: kind of the structure.
        epsilon: the threshold.
        alphas: values, flat.
    """

    method: Method
    layer: str
    structure: str
    epsilon: float
    alphas: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityPoint:
    """One training of Fig. 3.

    Args:
        method: that drove it.
        setting: lambda under ``decay`` and ``l1``, the density asked for under ``fixed`` and ``l1-norm``.
        density: kept weights per weight of the pruned layers.
        error: share of the test images that are wrong, 0 .. 1, in floats.
    """

    method: Method
    setting: float
    density: float
    error: float


def alpha_study(spec: TrainSpec, *, data_dir: Path | None, told: Told) -> tuple[LayerAlphas, ...]:
    """Train under weight decay and under l1, and note every alpha (PSP Fig. 2)."""
    training, _ = _splits(spec, data_dir)
    found = []
    methods = (Method.DECAY, Method.L1)
    for number, method in enumerate(methods):
        told(f"training with {method.value}", number, len(methods))
        net = _trained(replace(spec, pruning=_unbounded(with_method(spec.pruning, method))), training)
        for name, layer in pruned_layers(net).items():
            found += [
                LayerAlphas(
                    method=method,
                    layer=name,
                    structure=parameter.kind.value,
                    epsilon=parameter.structure.epsilon,
                    alphas=parameter.alpha.detach().double().flatten().numpy().copy(),
                )
                for parameter in parameters_of(layer)
            ]
    told("training", len(methods), len(methods))
    return tuple(found)


def density_study(
    spec: TrainSpec,
    *,
    densities: tuple[float, ...],
    strengths: tuple[float, ...],
    data_dir: Path | None,
    told: Told,
) -> tuple[DensityPoint, ...]:
    """Train every method at several densities (or lambdas), and once without pruning (PSP Fig. 3).

    Args:
        spec: network, data, structures, schedule.
        densities: for ``l1-norm`` and ``fixed``.
        strengths: factors of the lambda of the recipe, for ``l1`` and ``decay``.
        data_dir: where fetched data sets are.
        told: what is being done, how many trainings are done and how many there are.

    Returns:
        The points; the first is the dense network, as ``fixed`` at density 1.
    """
    training, testing = _splits(spec, data_dir)
    jobs = [(Method.FIXED, 1.0)]
    jobs += [(method, share) for method in (Method.L1_NORM, Method.FIXED) for share in densities]
    jobs += [(method, factor) for method in (Method.L1, Method.DECAY) for factor in strengths]
    points = []
    for number, (method, setting) in enumerate(jobs):
        told(f"training with {method.value}", number, len(jobs))
        pruning = _at(spec.pruning, method, setting)
        net = _trained(replace(spec, pruning=pruning), training)
        kept = density(net)
        fold(net)
        exact = method in (Method.FIXED, Method.L1_NORM)
        points.append(
            DensityPoint(
                method=method,
                setting=setting if exact else pruning.structures[0].strength,
                density=kept,
                error=1.0 - accuracy(net, testing),
            )
        )
    told("training", len(jobs), len(jobs))
    return tuple(points)


def _splits(spec: TrainSpec, data_dir: Path | None) -> tuple[Split, Split]:
    training = load(spec.data.name, data_dir, "train")
    check_net(spec, training)
    return training, load(spec.data.name, data_dir, "test", preprocessing=training.preprocessing)


def _at(pruning: PruningSpec, method: Method, setting: float) -> PruningSpec:
    """The method at a density, or at a multiple of the lambda of the recipe."""
    pruning = _unbounded(with_method(pruning, method, density=setting))
    if method in (Method.FIXED, Method.L1_NORM):
        return pruning
    structures = tuple(replace(s, strength=s.strength * setting) for s in pruning.structures)
    return replace(pruning, structures=structures)


def _unbounded(pruning: PruningSpec) -> PruningSpec:
    """Epsilon decides alone, but for one structure that every layer keeps."""
    structures = tuple(
        s if s.kind is StructureKind.LAYER else replace(s, at_most=None, at_least=_AT_LEAST)
        for s in pruning.structures
    )
    return replace(pruning, structures=structures)


def _trained(spec: TrainSpec, training: Split) -> torch.nn.Module:
    net = fresh_net(spec, training)
    with tempfile.TemporaryDirectory() as scratch:
        train_structures(net, spec, training, Path(scratch), Machine())
    return net
