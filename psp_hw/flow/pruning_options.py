"""The options of ``psp-hw train`` that say what is pruned and how, over a recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psp_hw.errors import SpecError
from psp_hw.spec.enums import Method, StructureKind
from psp_hw.spec.names import suggestion
from psp_hw.spec.presets import with_method
from psp_hw.spec.train import PruningSpec, StructureSpec

if TYPE_CHECKING:
    from psp_hw.flow.train import Request


def structure_of(word: str) -> StructureKind:
    """A structure by its name."""
    known = [kind.value for kind in StructureKind]
    if word not in known:
        raise SpecError(f"unknown structure '{word}'", where="--structure", hint=suggestion(word, known))
    return StructureKind(word)


def pruning_of(pruning: PruningSpec, request: Request) -> PruningSpec:
    """Method, epsilon, lambda and density over the structures."""
    options = {
        "--epsilon": request.epsilon,
        "--density": request.density,
        "--lambda": request.strength,
        "--method": request.method,
    }
    given = [option for option, value in options.items() if value is not None]
    if not given:
        return pruning
    if request.epsilon is not None and request.density is not None:
        raise SpecError("--epsilon and --density exclude each other", where="train", hint="give one of them")
    if not pruning.structures:
        raise SpecError(
            "nothing is pruned that it could apply to", where=given[0], hint="add --shape or --structure"
        )
    structures = pruning.structures
    if request.epsilon is not None:
        # An epsilon that was asked for decides alone, as in PSP Eq. 3: without the bounds of the recipe.
        epsilons = _per_structure(request.epsilon, "--epsilon", structures)
        structures = tuple(
            replace(s, epsilon=epsilons[s.kind], density=None, at_least=None, at_most=None)
            if s.kind in epsilons
            else s
            for s in structures
        )
    if request.strength is not None:
        strengths = _per_structure(request.strength, "--lambda", structures)
        structures = tuple(replace(s, strength=strengths.get(s.kind, s.strength)) for s in structures)
    if request.density is not None:
        # a layer is one structure: beside others, it keeps its epsilon
        alone = all(s.kind is StructureKind.LAYER for s in structures)
        structures = tuple(
            replace(s, density=request.density) if alone or s.kind is not StructureKind.LAYER else s
            for s in structures
        )
    pruning = replace(pruning, structures=structures)
    if request.method is not None:
        pruning = with_method(pruning, _method(request.method), density=request.density)
    return pruning


def _method(word: str) -> Method:
    known = [method.value for method in Method]
    if word not in known:
        raise SpecError(f"unknown method '{word}'", where="--method", hint=suggestion(word, known))
    return Method(word)


def _per_structure(
    text: str, option: str, structures: tuple[StructureSpec, ...]
) -> dict[StructureKind, float]:
    """``0.2`` for all structures, or ``layer=0.1,channel=0.2`` for some."""
    values: dict[StructureKind, float] = {}
    for part in text.split(","):
        word, equals, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            hint = "give a number, or one per structure: layer=0.1,channel=0.2"
            raise SpecError(f"'{part.strip()}' is not a number", where=option, hint=hint) from None
        kinds = [structure_of(word.strip())] if equals else [s.kind for s in structures]
        for kind in kinds:
            if kind not in {s.kind for s in structures}:
                raise SpecError(f"'{kind.value}' is not pruned here", where=option)
            values[kind] = value
    return values
