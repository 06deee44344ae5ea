"""The choices of a spec. The value of a member is its word in YAML and on the command line."""

from __future__ import annotations

from enum import Enum


class StructureKind(Enum):
    """Which weights of a convolution share one structure parameter (DESIGN section 3)."""

    SHAPE = "shape"
    COLUMN = "column"
    CHANNEL = "channel"
    LAYER = "layer"
    FILTER = "filter"
    KERNEL = "kernel"
    VECTOR_ROW = "vector-row"
    VECTOR_COL = "vector-col"
    WEIGHT = "weight"
    STRIDED = "strided"


class GradientRule(Enum):
    """The gradient of a structure parameter: the chain rule on PSP Eq. 2, or PSP Eq. 5 as it is printed."""

    CHAIN_RULE = "chain-rule"
    AS_PRINTED = "as-printed"


class Precision(Enum):
    """In what the first phase computes: float32, or bfloat16 under autocast with float32 weights (AMP)."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Penalty(Enum):
    """What pulls the structure parameters to zero: weight decay (PSP Eq. 6), l1 (PSP Eq. 7) or nothing."""

    DECAY = "decay"
    L1 = "l1"
    NONE = "none"


class Criterion(Enum):
    """What says which structures matter: their learnt parameter (PSP), the l1 norm of their weights (baseline), or how well a trained
    layer's results can be reconstructed from them (`psp_hw.pruning.methods.reconstruction`)."""

    ALPHA = "alpha"
    L1_NORM = "l1-norm"
    RECONSTRUCTION = "reconstruction"


class Method(Enum):
    """What drives pruning, as one word: the four ways of PSP Fig. 3, and least squares."""

    DECAY = "decay"
    L1 = "l1"
    FIXED = "fixed"
    L1_NORM = "l1-norm"
    RECONSTRUCTION = "reconstruction"


class AlphaInit(Enum):
    """How structure parameters start: N(0, 0.1) as in PSP Sec. 4 (variance 0.1), or all at one."""

    PAPER = "paper"
    ONES = "ones"


class RateShape(Enum):
    """How the learning rate moves over the steps of a phase."""

    CONSTANT = "constant"
    COSINE = "cosine"
    ONE_CYCLE = "one-cycle"
    STEP = "step"
    THIRDS = "thirds"


class WeightScale(Enum):
    """What shares one power-of-two scale: the whole weight, or one output channel."""

    TENSOR = "tensor"
    CHANNEL = "channel"
