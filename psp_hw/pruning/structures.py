"""How a weight is divided: a structure is the shape of its alpha, repeated over W [K, C, R, S].

An axis of alpha is as long as the weight's, where alpha varies over it; 1, where it does not; or ``GRID``, where positions that far
apart belong together: then alpha is laid over the weight again and again (``psp_hw.pruning.tiling``).

These tables are all that the code knows about the structures. Everything else reads shapes.
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
    StructureKind.STRIDED: "KC",  # Anwar, intra-kernel strided: in each kernel, the grids of this stride
}
GRIDS_OVER: dict[StructureKind, str] = {StructureKind.STRIDED: "RS"}

# Stride of the grids, vertically and horizontally; each offset below it is a grid of its own. A 3x3 kernel has four: corners, edges
# above and below, edges left and right, centre.
GRID = 2


def alpha_shape(kind: StructureKind, weight_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the structure parameters of a weight.

    Args:
        kind: the structure.
        weight_shape: [K, C, R, S], or [K, C] of a fully connected layer.

    Returns:
        One entry per axis of the weight: its length where alpha varies over it, at most ``GRID`` where grids lie along it, else 1.

    Source: DESIGN section 3; PSP Sec. 3.1; Anwar, "intra-kernel strided sparsity".
    """
    varies, grids = VARIES_OVER[kind], GRIDS_OVER.get(kind, "")
    return tuple(
        n if axis in varies else min(n, GRID) if axis in grids else 1
        for axis, n in zip(AXES, weight_shape, strict=False)
    )
