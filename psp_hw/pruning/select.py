"""Which layers are pruned.

Left alone unless asked for by name (PSP Sec. 4 leaves the sensitive layers out): the first convolution, fully
connected layers, shortcut convolutions, and layers that a structure does not divide (a 1x1 kernel has one shape
position).
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor, nn

from psp_hw.errors import SpecError
from psp_hw.pruning.parametrization import StructureParameter, attach
from psp_hw.pruning.structures import alpha_shape
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.train import PruningSpec

SHORTCUT_PATTERNS = ("*shortcut*", "*downsample*")


def select_layers(net: nn.Module, spec: PruningSpec, *, first: str) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers to prune, by name, in the order of the module tree.

    Args:
        net: the network, before structure parameters are attached.
        spec: the patterns.
        first: name of the convolution that sees the image.

    Raises:
        SpecError: a pattern matches no layer, or nothing is left to prune.
    """
    if not spec.structures:
        return {}
    layers: dict[str, nn.Conv2d | nn.Linear] = {
        n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
    }
    for key, patterns in (("include", spec.include), ("exclude", spec.exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in layers):
                hint = f"the layers are: {', '.join(layers)}"
                raise SpecError(f"'{pattern}' matches no layer", where=f"pruning.{key}", hint=hint)
    kinds = tuple(s.kind for s in spec.structures)
    chosen = {n: m for n, m in layers.items() if _is_chosen(n, m, spec, kinds, first)}
    for name, layer in chosen.items():
        if not any(_divides(kind, layer) for kind in kinds):
            words = " and ".join(k.value for k in kinds)
            what = f"the weight {list(layer.weight.shape)} of '{name}' has no {words} structures"
            raise SpecError(what, where="pruning.include", hint="leave it out, or choose another structure")
    if not chosen:
        what = f"no layer has a structure to prune ({', '.join(k.value for k in kinds)})"
        raise SpecError(what, where="pruning", hint=f"include layers by name: {', '.join(layers)}")
    return chosen


def _is_chosen(
    name: str, layer: nn.Module, spec: PruningSpec, kinds: tuple[StructureKind, ...], first: str
) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in spec.exclude):
        return False
    if any(fnmatchcase(name, pattern) for pattern in spec.include):
        return True
    if not isinstance(layer, nn.Conv2d) or name == first:
        return False
    if any(fnmatchcase(name, pattern) for pattern in SHORTCUT_PATTERNS):
        return False
    return any(_divides(kind, layer) for kind in kinds)


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
    for layer in chosen.values():
        weight = layer.weight  # before the first structure parameter is attached
        for structure in spec.structures:
            if not _divides(structure.kind, layer):
                continue
            parameter = StructureParameter(weight, structure, gradient=spec.gradient, init=spec.init)
            attach(layer, parameter)
    return tuple(chosen)
