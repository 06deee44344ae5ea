"""How a weight is divided: a structure is the broadcast shape of its alpha against W [K, C, R, S].

This table is all that the code knows about the structures. Everything else reads shapes.
"""

from __future__ import annotations

from psp_hw.spec.enums import StructureKind

AXES = "KCRS"
VARIES_OVER: dict[StructureKind, str] = {
    StructureKind.SHAPE: "RS",  # PSP Fig. 1d, Table 1
    StructureKind.COLUMN: "CRS",  # PSP Fig. 1b
    StructureKind.CHANNEL: "C",  # PSP Fig. 1c
    StructureKind.LAYER: "",  # PSP Fig. 1e
    StructureKind.FILTER: "K",  # Mao 3-D
    StructureKind.KERNEL: "KC",  # Anwar; Mao 2-D
    StructureKind.VECTOR_ROW: "KCR",  # Mao 1-D
    StructureKind.VECTOR_COL: "KCS",  # Mao 1-D
    StructureKind.WEIGHT: "KCRS",  # Mao 0-D
}


def alpha_shape(kind: StructureKind, weight_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the structure parameters of a weight.

    Args:
        kind: the structure.
        weight_shape: [K, C, R, S], or [K, C] of a fully connected layer.

    Returns:
        One entry per axis of the weight: its length where alpha varies over it, else 1.

    Source: DESIGN section 3; PSP Sec. 3.1.
    """
    varies = VARIES_OVER[kind]
    return tuple(n if axis in varies else 1 for axis, n in zip(AXES, weight_shape, strict=False))
