"""The training request: network, data, pruning, quantization and the two schedules.

Every dataclass checks its own fields; `Problems` collects what is wrong so that all of it is said at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from psp_hw.errors import SpecError
from psp_hw.spec.enums import (
    AlphaInit,
    Criterion,
    GradientRule,
    Penalty,
    Precision,
    RateShape,
    StructureKind,
    WeightScale,
)
from psp_hw.spec.problems import Problems

MIN_BITS, MAX_BITS = 2, 8
RECONSTRUCTED = (StructureKind.SHAPE, StructureKind.COLUMN, StructureKind.CHANNEL)
MAX_WEIGHTS = 1 << 28  # a gigabyte of float32
MAX_AFFINE_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """A network: a registered name with its stages, or the user's own ``package.module:function``.

    Args:
        name: ``digits-cnn``, ``resnet8``, ... or ``package.module:function``.
        widths: channels of each stage; empty: as the registered network has them.
        blocks: residual blocks of each stage; empty: as the registered network has them.
        weights: what the first phase starts from: a run, whose floats are taken, or a file of named tensors
            (``torch.save`` of a ``state_dict``); empty: random weights.
    """

    name: str = "digits-cnn"
    widths: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    weights: str = ""

    def __post_init__(self) -> None:
        problems = Problems("net")
        problems.check(bool(self.name), "name", "the name of the network is empty")
        problems.check(
            len(self.widths) == len(self.blocks) or not (self.widths and self.blocks),
            "blocks",
            f"{len(self.widths)} widths and {len(self.blocks)} blocks: give one of each per stage",
        )
        for key, values in (("widths", self.widths), ("blocks", self.blocks)):
            problems.check(all(1 <= v <= 4096 for v in values), key, f"{key}={list(values)}: use 1 .. 4096")
        weights = sum(2 * 9 * b * w * w for w, b in zip(self.widths, self.blocks, strict=False))
        what = f"about {weights:,} weights; at most {MAX_WEIGHTS:,} are trained"
        problems.check(weights <= MAX_WEIGHTS, "blocks", what)
        problems.finish()

    @property
    def is_custom(self) -> bool:
        """Whether the network is the user's own function."""
        return ":" in self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A data set and how its training images are varied.

    Args:
        name: ``digits``, ``cifar10`` or ``imagenet``.
        pad: random shift up to so many pixels in each direction [pixels].
        flip: whether half of the images are mirrored left to right.
    """

    name: str = "digits"
    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        problems = Problems("data")
        problems.check(bool(self.name), "name", "the name of the data set is empty")
        problems.in_range("pad", self.pad, 0, 16)
        problems.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSpec:
    """One structure to prune; several multiply (DESIGN section 3).

    Args:
        kind: how the weight is divided.
        epsilon: a structure with ``|alpha| < epsilon`` is dropped (PSP Eq. 3).
        strength: lambda, the factor of the penalty on alpha (PSP Eq. 6, 7).
        density: where given, exactly this share of the structures of a layer is kept (at least one),
            the ones of largest ``|alpha|``, and epsilon is not used.
        at_least: where given, epsilon decides, but this share of the structures of a layer is always kept.
        at_most: where given, epsilon decides, but no more than this share is kept.
    """

    kind: StructureKind = StructureKind.SHAPE
    epsilon: float = 0.1
    strength: float = 1e-4
    density: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        problems = Problems(f"pruning.structures.{self.kind.value}")
        ok = 0.0 < self.epsilon <= 10.0
        problems.check(ok, "epsilon", f"epsilon={self.epsilon} is not above 0 and at most 10")
        problems.in_range("strength", self.strength, 0.0, 10.0)
        for key in ("density", "at_least", "at_most"):
            share = getattr(self, key)
            ok = share is None or 0.0 < share <= 1.0
            problems.check(ok, key, f"{key}={share} is not above 0 and at most 1")
        if self.kind is StructureKind.LAYER:
            given = [key for key in ("density", "at_least", "at_most") if getattr(self, key) is not None]
            for key in given:
                what = f"a layer is one structure, a share of it has no meaning: {key}={getattr(self, key)}"
                problems.check(False, key, what)
        if self.at_least is not None and self.at_most is not None:
            what = f"at_least={self.at_least} is more than at_most={self.at_most}"
            problems.check(self.at_least <= self.at_most, "at_least", what)
        problems.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOverride:
    """Other structures for some layers.

    Args:
        layers: name pattern (``fnmatch``); of several that match a layer, the last holds. The very name of a layer
            also opens it, where it is left alone by default.
        structures: what is pruned there; empty: these layers are left alone.
    """

    layers: str
    structures: tuple[StructureSpec, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems("pruning.overrides")
        problems.check(bool(self.layers), "layers", "the pattern is empty")
        repeated = _repeated(self.structures)
        problems.check(not repeated, "structures", f"given more than once: {', '.join(repeated)}")
        problems.finish()


def _repeated(structures: tuple[StructureSpec, ...]) -> list[str]:
    kinds = [s.kind.value for s in structures]
    return sorted({k for k in kinds if kinds.count(k) > 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningSpec:
    """What is pruned, and how its parameters learn.

    Args:
        structures: what is pruned; empty: nothing is.
        gradient: the gradient of alpha.
        penalty: what pulls alpha to zero.
        criterion: what says which structures matter; all but alpha need a density and learn no alpha. Reconstruction chooses, once,
            before the first step, among those structures that are the same inputs for every output channel.
        init: how alpha starts.
        warmup: share of the training during which nothing is dropped yet.
        ramp: share of the training after the warmup over which the threshold (or the budget) tightens.
        settle: share of the training at its end during which the choice no longer changes.
        include: name patterns (``fnmatch``) of layers pruned although they are left alone by default.
        exclude: name patterns of layers left alone as well.
        overrides: other structures for some layers.
    """

    structures: tuple[StructureSpec, ...] = ()
    gradient: GradientRule = GradientRule.CHAIN_RULE
    penalty: Penalty = Penalty.DECAY
    criterion: Criterion = Criterion.ALPHA
    init: AlphaInit = AlphaInit.PAPER
    warmup: float = 0.0
    ramp: float = 0.0
    settle: float = 0.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overrides: tuple[LayerOverride, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems("pruning")
        repeated = _repeated(self.structures)
        problems.check(not repeated, "structures", f"given more than once: {', '.join(repeated)}")
        for key in ("warmup", "ramp", "settle"):
            problems.in_range(key, getattr(self, key), 0.0, 1.0)
        total = self.warmup + self.ramp + self.settle
        problems.check(
            total <= 1.0, "settle", f"warmup + ramp + settle = {total:g} is more than the training"
        )
        if self.criterion is not Criterion.ALPHA:
            open_ended = [s.kind.value for s in self.every_structure if s.density is None]
            what = f"{self.criterion.value} needs a density for {', '.join(open_ended)}"
            problems.check(not open_ended, "criterion", what)
        if self.criterion is Criterion.RECONSTRUCTION:
            self._check_reconstruction(problems)
        problems.finish()

    def _check_reconstruction(self, problems: Problems) -> None:
        others = [s.kind.value for s in self.every_structure if s.kind not in RECONSTRUCTED]
        known = ", ".join(kind.value for kind in RECONSTRUCTED)
        what = f"reconstruction chooses among structures of {known}, not of {', '.join(others)}"
        problems.check(not others, "criterion", what)
        most = max(
            (len(some) for some in (self.structures, *(o.structures for o in self.overrides))), default=0
        )
        problems.check(most <= 1, "criterion", f"reconstruction takes one structure per layer, not {most}")
        for key in ("warmup", "ramp", "settle"):
            share = getattr(self, key)
            what = f"{key}={share:g}, but reconstruction chooses before the first step: use 0"
            problems.check(share == 0.0, key, what)

    @property
    def every_structure(self) -> tuple[StructureSpec, ...]:
        """Those for all layers and those of the overrides."""
        return self.structures + tuple(s for override in self.overrides for s in override.structures)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantSpec:
    """Widths and scales of the quantized network; scales are powers of two (DESIGN section 4).

    Args:
        weight_bits: width of the weights of the inner layers [bits].
        act_bits: width of the activations that feed a convolution [bits].
        edge_bits: least width of the weights of the first and of the last layer [bits].
        branch_bits: width of a convolution's result that is only added to another branch [bits]; no multiplier
            ever sees it, so it keeps more than `act_bits`.
        input_bits: width of the input image [bits].
        pool_bits: width behind an average pooling [bits].
        affine_bits: width of the gains of a BN that no convolution takes in [bits]; a gain is a constant per
            channel, so it may be wider than a weight.
        weight_scale: one scale per weight tensor or per output channel.
    """

    weight_bits: int = 8
    act_bits: int = 8
    edge_bits: int = 8
    branch_bits: int = 8
    input_bits: int = 8
    pool_bits: int = 8
    affine_bits: int = 12
    weight_scale: WeightScale = WeightScale.TENSOR

    def __post_init__(self) -> None:
        problems = Problems("quant")
        for key in ("weight_bits", "act_bits", "edge_bits", "branch_bits", "input_bits", "pool_bits"):
            problems.in_range(key, getattr(self, key), MIN_BITS, MAX_BITS)
        problems.in_range("affine_bits", self.affine_bits, MIN_BITS, MAX_AFFINE_BITS)
        problems.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """One phase of training by SGD with momentum.

    Args:
        epochs: passes over the training split; 0: nothing is trained in this phase.
        batch_size: images per step.
        rate: the largest learning rate.
        shape: how the learning rate moves.
        momentum: of SGD (PSP Sec. 4: 0.9).
        weight_decay: on the weights (not on alpha, not on biases or BN).
        max_steps: stop after so many steps, whatever `epochs` says; None: no limit.
    """

    epochs: int = 30
    batch_size: int = 64
    rate: float = 0.05
    shape: RateShape = RateShape.ONE_CYCLE
    momentum: float = 0.9
    weight_decay: float = 5e-4
    max_steps: int | None = None

    def __post_init__(self) -> None:
        problems = Problems("schedule")
        problems.in_range("epochs", self.epochs, 0, 100_000)
        problems.in_range("batch_size", self.batch_size, 1, 65_536)
        problems.check(0.0 < self.rate <= 10.0, "rate", f"rate={self.rate} is not above 0 and at most 10")
        ok = 0.0 <= self.momentum < 1.0
        problems.check(ok, "momentum", f"momentum={self.momentum} is not in 0 .. 1 (below 1)")
        problems.in_range("weight_decay", self.weight_decay, 0.0, 1.0)
        if self.max_steps is not None:
            problems.in_range("max_steps", self.max_steps, 1, 10**9)
        problems.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSpec:
    """A trained network whose answers are learnt beside the labels, in both phases (Hinton et al., arXiv 1503.02531).

    Args:
        teacher: a run, whose floats answer; empty: the labels are all there is.
        share: of the loss that is the distance from the teacher's answers; the rest is that over the labels.
        temperature: by which the logits of both are divided: the softer, the more the teacher's small chances count.
    """

    teacher: str = ""
    share: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        problems = Problems("distill")
        ok = 0.0 < self.share <= 1.0
        problems.check(ok, "share", f"share={self.share} is not above 0 and at most 1")
        ok = 0.0 < self.temperature <= 100.0
        problems.check(ok, "temperature", f"temperature={self.temperature} is not above 0 and at most 100")
        problems.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """How steps are computed. Part of the request, since each of these moves the last bits of a weight.

    Args:
        precision: of the first phase; the second is always float32, in which its integers are exact.
        channels_last: keep tensors as [N, H, W, C] in memory: faster convolutions on CPUs and tensor cores.
        compile: let torch.compile fuse the network of the first phase; minutes at the start, then faster steps.
    """

    precision: Precision = Precision.FLOAT32
    channels_last: bool = False
    compile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """The whole request of ``psp-hw train``.

    Args:
        net: the network.
        data: the data set.
        pruning: what is pruned in the first phase.
        quant: the formats of the second phase.
        training: first phase: floats, pruning.
        finetune: second phase: quantization-aware, structures fixed.
        distill: a teacher, if any.
        engine: how steps are computed.
        seed: of initial weights, batch order and augmentation.
    """

    net: NetSpec = field(default_factory=NetSpec)
    data: DataSpec = field(default_factory=DataSpec)
    pruning: PruningSpec = field(default_factory=PruningSpec)
    quant: QuantSpec = field(default_factory=QuantSpec)
    training: ScheduleSpec = field(default_factory=ScheduleSpec)
    finetune: ScheduleSpec = field(default_factory=ScheduleSpec)
    distill: DistillSpec = field(default_factory=DistillSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    seed: int = 1

    def __post_init__(self) -> None:
        problems = Problems("spec")
        problems.in_range("seed", self.seed, 0, 2**32 - 1)
        problems.finish()


_BITS = re.compile(r"\s*([0-9]+)\s*,\s*([0-9]+)\s*")


def parse_bits(text: str) -> tuple[int, int]:
    """Read ``--bits W,A``.

    Returns:
        Width of the weights and of the activations [bits].

    Raises:
        SpecError: not two whole numbers in 2 .. 8.
    """
    match = _BITS.fullmatch(text)
    pair = (int(match[1]), int(match[2])) if match else None
    if pair is None or not all(MIN_BITS <= bits <= MAX_BITS for bits in pair):
        raise SpecError(
            f"'{text}' is not a pair of widths",
            where="--bits",
            hint=f"give weights,activations, each {MIN_BITS} .. {MAX_BITS}, for example 8,8",
        )
    return pair
