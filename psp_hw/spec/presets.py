"""What holds where the user says nothing: a recipe per network and data set."""

from __future__ import annotations

from dataclasses import replace

from psp_hw.errors import SpecError
from psp_hw.spec.enums import AlphaInit, Criterion, Method, Penalty, RateShape, StructureKind
from psp_hw.spec.train import (
    DataSpec,
    EngineSpec,
    NetSpec,
    PruningSpec,
    QuantSpec,
    ScheduleSpec,
    StructureSpec,
    TrainSpec,
    parse_bits,
)

DEFAULT_NET = "digits-cnn"
_HALF = 0.5
_CRITERIA = {Method.L1_NORM: Criterion.L1_NORM, Method.RECONSTRUCTION: Criterion.RECONSTRUCTION}
COLOUR_NETS = ("resnet", "densenet")  # what these names begin with is made for colour images
LARGE_NETS = ("resnet18", "resnet-b-", "densenet-bc-", "densenet-c-")  # and these for photographs


def preset(net: str | None = None, data: str | None = None) -> TrainSpec:
    """The recipe of a network on a data set, without pruning (see `with_structures`).

    Args:
        net: name of the network; None: ``digits-cnn``.
        data: name of the data set; None: the one that the network is made for.
    """
    name = net or DEFAULT_NET
    where = data or _made_for(name)
    base = {"cifar10": _CIFAR10, "imagenet": _IMAGENET}.get(where, _DIGITS)
    return replace(base, net=NetSpec(name=name), data=replace(base.data, name=where))


def _made_for(net: str) -> str:
    """The data set of a network."""
    if ":" in net:
        return "digits"
    if net.startswith(LARGE_NETS):
        return "imagenet"
    return "cifar10" if net.startswith(COLOUR_NETS) else "digits"


def with_structures(spec: TrainSpec, kinds: tuple[StructureKind, ...], *, paper: bool = False) -> TrainSpec:
    """The same recipe with these structures pruned.

    Args:
        kinds: the structures; their product is pruned.
        paper: start alpha at N(0, 0.1) with lambda 1e-4 and epsilon 0.1 (DenseNet) or 0.2 (all others) as PSP Sec. 4
            does, for long runs; else the short recipe of the data set (docs/paper.md, "Short recipes").
    """
    if paper:
        epsilon = 0.1 if spec.net.name.startswith("densenet") else 0.2
        structure = StructureSpec(epsilon=epsilon, strength=1e-4)
        pruning = PruningSpec(init=AlphaInit.PAPER)
    else:
        structure = {"cifar10": _SHORT_CIFAR10, "imagenet": _SHORT_IMAGENET}.get(
            spec.data.name, _SHORT_DIGITS
        )
        pruning = _CIFAR10_PRUNING if spec.data.name == "cifar10" else _SHORT_PRUNING
    structures = tuple(_of_kind(structure, kind) for kind in kinds)
    return replace(spec, pruning=replace(pruning, structures=structures))


def _of_kind(structure: StructureSpec, kind: StructureKind) -> StructureSpec:
    """The same for another structure. A layer is one structure: no share of it can be kept, so epsilon decides alone."""
    if kind is StructureKind.LAYER:
        return replace(structure, kind=kind, at_least=None, at_most=None)
    return replace(structure, kind=kind)


def with_method(pruning: PruningSpec, method: Method, *, density: float | None = None) -> PruningSpec:
    """The same structures under one of the four ways of PSP Fig. 3, or chosen by reconstruction.

    Args:
        pruning: what is pruned.
        method: ``decay`` (Eq. 6) and ``l1`` (Eq. 7) regularize alpha and let epsilon decide; ``fixed`` regularizes
            nothing and keeps exactly a share of the structures of each layer; ``l1-norm`` keeps those of the largest
            weights, without any alpha; ``reconstruction`` those from which a trained layer's results can be reconstructed.
        density: the share for all but ``decay`` and ``l1``; None: half, where the structure gives none.
    """

    def changed(structures: tuple[StructureSpec, ...]) -> tuple[StructureSpec, ...]:
        if method in (Method.DECAY, Method.L1):
            return structures
        whole = [s.kind.value for s in structures if s.kind is StructureKind.LAYER]
        if whole:
            hint = "use decay or l1, with an epsilon"
            raise SpecError(
                "layer pruning has no density per layer", where=f"method {method.value}", hint=hint
            )
        return tuple(replace(s, density=density or s.density or _HALF) for s in structures)

    penalty = {Method.DECAY: Penalty.DECAY, Method.L1: Penalty.L1}.get(method, Penalty.NONE)
    criterion = _CRITERIA.get(method, Criterion.ALPHA)
    if criterion is Criterion.RECONSTRUCTION:  # there is nothing to tighten
        pruning = replace(pruning, warmup=0.0, ramp=0.0, settle=0.0)
    return replace(
        pruning,
        structures=changed(pruning.structures),
        overrides=tuple(replace(o, structures=changed(o.structures)) for o in pruning.overrides),
        penalty=penalty,
        criterion=criterion,
    )


def with_bits(spec: TrainSpec, bits: str) -> TrainSpec:
    """The same recipe with the widths of ``--bits W,A``."""
    weight_bits, act_bits = parse_bits(bits)
    return replace(spec, quant=replace(spec.quant, weight_bits=weight_bits, act_bits=act_bits))


def with_steps(spec: TrainSpec, steps: int, *, floats: bool = True) -> TrainSpec:
    """The same recipe, each phase stopped after `steps` steps; without `floats`, the second phase alone."""
    training = replace(spec.training, max_steps=steps) if floats else spec.training
    return replace(spec, training=training, finetune=replace(spec.finetune, max_steps=steps))


_DIGITS = TrainSpec(
    data=DataSpec(name="digits", pad=1),
    quant=QuantSpec(),
    training=ScheduleSpec(epochs=50, batch_size=64, rate=0.1, shape=RateShape.ONE_CYCLE),
    finetune=ScheduleSpec(epochs=10, batch_size=64, rate=0.005, shape=RateShape.COSINE, weight_decay=0.0),
)
_CIFAR10 = TrainSpec(
    data=DataSpec(name="cifar10", pad=4, flip=True),
    quant=QuantSpec(),
    training=ScheduleSpec(epochs=32, batch_size=128, rate=0.2, shape=RateShape.ONE_CYCLE, weight_decay=2e-4),
    finetune=ScheduleSpec(epochs=4, batch_size=128, rate=0.001, shape=RateShape.COSINE, weight_decay=1e-5),
    engine=EngineSpec(channels_last=True),
)
# Photographs are varied by random crops of any size: no shifts. The schedule of Huang et al., arXiv 1608.06993, Sec. 4.2.
_IMAGENET = TrainSpec(
    data=DataSpec(name="imagenet", flip=True),
    quant=QuantSpec(),
    training=ScheduleSpec(epochs=90, batch_size=256, rate=0.1, shape=RateShape.THIRDS, weight_decay=1e-4),
    finetune=ScheduleSpec(epochs=3, batch_size=256, rate=0.001, shape=RateShape.COSINE, weight_decay=1e-5),
)
_SHORT_PRUNING = PruningSpec(init=AlphaInit.ONES, warmup=0.1, ramp=0.4, settle=0.25)
_SHORT_DIGITS = StructureSpec(epsilon=0.3, strength=0.1, at_least=0.33, at_most=0.67)
# Not tuned.
_SHORT_IMAGENET = StructureSpec(epsilon=0.3, strength=0.00035, at_least=0.33, at_most=0.67)
# On CIFAR-10 the budget decides, late: a strong decay of alpha keeps the whole network from learning (docs/paper.md).
_CIFAR10_PRUNING = PruningSpec(init=AlphaInit.ONES, warmup=0.3, ramp=0.3, settle=0.35)
_SHORT_CIFAR10 = StructureSpec(epsilon=0.3, strength=0.0002, at_least=0.33, at_most=0.6)
