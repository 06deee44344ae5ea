"""Which layers are pruned, and by which structures.

Left alone unless asked for by name (PSP Sec. 4 leaves the sensitive layers out): the first convolution, fully
connected layers, shortcut and transition convolutions, layers that a structure does not divide (a 1x1 kernel has one
shape position), and under ``layer`` pruning those without which the network would be cut.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor, nn

from psp_hw.errors import SpecError
from psp_hw.pruning.parametrization import StructureParameter, attach
from psp_hw.pruning.paths import indispensable, steps_or_none
from psp_hw.pruning.structures import alpha_shape
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.train import PruningSpec, StructureSpec

SENSITIVE_PATTERNS = ("*shortcut*", "*downsample*", "*transition*")
Layers = dict[str, nn.Conv2d | nn.Linear]
Chosen = dict[str, tuple[StructureSpec, ...]]


def structures_of(name: str, spec: PruningSpec) -> tuple[StructureSpec, ...]:
    """What is asked to be pruned in a layer: the last override that matches its name, else what holds for all."""
    for override in reversed(spec.overrides):
        if fnmatchcase(name, override.layers):
            return override.structures
    return spec.structures


def select_layers(net: nn.Module, spec: PruningSpec, *, first: str) -> Chosen:
    """The structures of every layer that is pruned, by name, in the order of the module tree.

    Args:
        net: the network, before structure parameters are attached.
        spec: the patterns.
        first: name of the convolution that sees the image.

    Raises:
        SpecError: a pattern matches no layer, a layer that was named cannot have a structure, or nothing is left.
    """
    if not spec.every_structure:
        return {}
    layers: Layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    _check_patterns(spec, layers)
    needed = _needed(net, spec)
    chosen: Chosen = {}
    for name, layer in layers.items():
        asked = structures_of(name, spec)
        possible = tuple(s for s in asked if _divides(s.kind, layer) and not _would_cut(s.kind, name, needed))
        if _is_named(name, spec):
            _check_named(name, layer, spec, asked, possible, needed)
        elif name == first or not isinstance(layer, nn.Conv2d) or _matches(name, SENSITIVE_PATTERNS):
            continue
        if possible and not _matches(name, spec.exclude):
            chosen[name] = possible
    if not chosen:
        kinds = dict.fromkeys(s.kind.value for s in spec.every_structure)
        raise SpecError(
            f"no layer has a structure to prune ({', '.join(kinds)})",
            where="pruning",
            hint=_nothing_hint(spec, layers, needed),
        )
    return chosen


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_named(name: str, spec: PruningSpec) -> bool:
    """Whether a layer was asked for: by a pattern to include, or by an override with its very name."""
    by_name = any(override.layers == name and override.structures for override in spec.overrides)
    return by_name or _matches(name, spec.include)


def _needed(net: nn.Module, spec: PruningSpec) -> frozenset[str]:
    """The layers that ``layer`` pruning must not take."""
    if not any(s.kind is StructureKind.LAYER for s in spec.every_structure):
        return frozenset()
    steps = steps_or_none(net)
    return frozenset() if steps is None else indispensable(steps)


def _would_cut(kind: StructureKind, name: str, needed: frozenset[str]) -> bool:
    return kind is StructureKind.LAYER and name in needed


def _check_patterns(spec: PruningSpec, layers: Layers) -> None:
    named = tuple(override.layers for override in spec.overrides)
    for key, patterns in (("include", spec.include), ("exclude", spec.exclude), ("overrides", named)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in layers):
                hint = f"the layers are: {', '.join(layers)}"
                raise SpecError(f"'{pattern}' matches no layer", where=f"pruning.{key}", hint=hint)


def _check_named(
    name: str,
    layer: nn.Module,
    spec: PruningSpec,
    asked: tuple[StructureSpec, ...],
    possible: tuple[StructureSpec, ...],
    needed: frozenset[str],
) -> None:
    """Refuse what a layer that was asked for by name cannot have."""
    key = "include" if _matches(name, spec.include) else "overrides"
    cutting = [s.kind.value for s in asked if _would_cut(s.kind, name, needed)]
    if cutting:
        what = f"'{name}' cannot be pruned away: no other way leads from the image to the result"
        raise SpecError(what, where=f"pruning.{key}", hint="leave it out, or choose another structure")
    strict = key == "overrides"
    if asked and (not possible or (strict and len(possible) < len(asked))):
        words = " and ".join(s.kind.value for s in asked if s not in possible)
        assert isinstance(layer.weight, Tensor)
        what = f"the weight {list(layer.weight.shape)} of '{name}' has no {words} structures"
        raise SpecError(what, where=f"pruning.{key}", hint="leave it out, or choose another structure")


def _nothing_hint(spec: PruningSpec, layers: Layers, needed: frozenset[str]) -> str:
    if needed and all(s.kind is StructureKind.LAYER for s in spec.every_structure):
        return "in a chain every layer is needed; layer pruning is for networks with branches"
    return f"include layers by name: {', '.join(layers)}"


def _divides(kind: StructureKind, layer: nn.Module) -> bool:
    """Whether the structure has more than one part in this layer, or is the layer itself."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    shape = tuple(weight.shape)
    parts = 1
    for n in alpha_shape(kind, shape):
        parts *= n
    return parts > 1 or kind is StructureKind.LAYER


def prune(net: nn.Module, spec: PruningSpec, *, first: str) -> tuple[str, ...]:
    """Attach structure parameters to the chosen layers, in place.

    Returns:
        The names of the layers.
    """
    chosen = select_layers(net, spec, first=first)
    for name, structures in chosen.items():
        layer = net.get_submodule(name)
        weight = layer.weight  # before the first structure parameter is attached
        assert isinstance(weight, Tensor)
        for structure in structures:
            attach(layer, StructureParameter(weight, structure, spec))
    return tuple(chosen)
