"""What hls4ml is handed: which layer for which engine, which types, and why they are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from divided_graph import divided
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import random_graph
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.hls4ml import Backend, IoType
from psp_hw.backends.hls4ml.model import layer_names, layer_specs
from psp_hw.backends.hls4ml.pooling import mean_type
from psp_hw.backends.hls4ml.specs import LayerSpec
from psp_hw.backends.hls4ml.types import exact_type, settled_type
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, NodePlan
from psp_hw.ir.graph import Graph
from psp_hw.ir.types import TensorType
from psp_hw.passes import optimize

S8 = FixedPoint(width=8, signed=True, frac=4)
U4 = FixedPoint(width=4, signed=False, frac=6)


def to(fmt: FixedPoint, lo: int, hi: int) -> Requantizer:
    return Requantizer(shift=3, lo=lo, hi=hi, fmt=fmt)


def specs_of(graph: Graph) -> tuple[LayerSpec, ...]:
    plan = FoldPlan(nodes={op.name: NodePlan(fold=Fold()) for op in graph.convolutions})
    return layer_specs(graph, build(graph, plan))


@pytest.mark.parametrize(
    ("fmt", "expected"), [(S8, "ap_fixed<8,4>"), (U4, "ap_ufixed<4,-2>")], ids=["signed", "unsigned"]
)
def test_a_format_is_the_ap_fixed_of_the_same_bits(fmt: FixedPoint, expected: str) -> None:
    assert expected == exact_type(fmt)


@pytest.mark.parametrize(
    ("requantizer", "expected"),
    [
        (to(S8, -128, 127), "ap_fixed<8,4,AP_RND_CONV,AP_SAT>"),
        (to(S8, -127, 127), "ap_fixed<8,4,AP_RND_CONV,AP_SAT_SYM>"),
        (to(U4, 0, 15), "ap_ufixed<4,-2,AP_RND_CONV,AP_SAT>"),
        (to(S8, 0, 127), None),
        (to(S8, -128, 100), None),
        (to(U4, 0, 14), None),
    ],
)
def test_a_requantizer_is_a_type_only_if_the_type_saturates_where_it_does(
    requantizer: Requantizer, expected: str | None
) -> None:
    assert expected == settled_type(requantizer)


@given(
    total=st.integers(-4000, 4000),
    area=st.integers(1, 49),
    frac=st.integers(-3, 8),
    out_frac=st.integers(-3, 10),
)
def test_a_mean_cut_off_in_the_type_that_we_give_hls4ml_rounds_as_the_exact_mean(
    total: int, area: int, frac: int, out_frac: int
) -> None:
    source = TensorType(height=7, width=7, channels=1, fmt=FixedPoint(width=8, signed=True, frac=frac))
    out = FixedPoint(width=16, signed=True, frac=out_frac)
    twos = (area & -area).bit_length() - 1
    requantizer = Requantizer(
        shift=frac + twos - out_frac, divisor=area >> twos, lo=out.min, hi=out.max, fmt=out
    )
    accum = mean_type(source, area, requantizer)

    exact = Fraction(total, area) / Fraction(2) ** frac
    scaled = exact * Fraction(2) ** accum.frac
    # int() cuts off towards zero, as ap_fixed does.
    cut_off = Fraction(int(scaled)) / Fraction(2) ** accum.frac
    rounded = round(cut_off * Fraction(2) ** out_frac)  # Python rounds half to even, as AP_RND_CONV does

    assert requantizer.exactly(total) == min(max(rounded, out.min), out.max)


@pytest.mark.parametrize("seed", range(40))
def test_every_value_of_a_graph_is_the_result_of_one_layer(seed: int) -> None:
    graph = optimize(random_graph(seed))
    specs = specs_of(graph)
    made = {spec.name for spec in specs}

    assert len(made) == len(specs)
    assert set(layer_names(graph).values()) <= made
    assert all(set(spec.inputs) <= made for spec in specs)
    assert "result" in specs[-1].precision


@pytest.mark.parametrize(
    ("taps", "kind"),
    [(((1, 1),), "Dense"), (((0, 0),), "PspConv2D"), (((1, 1), (2, 2)), "PspConv2D"), (None, "PspConv2D")],
)
def test_a_dense_layer_is_one_tap_on_the_pixel(taps: tuple[tuple[int, int], ...] | None, kind: str) -> None:
    """The frame has one pixel; a tap in the padding reads zero, and hls4ml's dense layer has no padding."""
    make = Builder(1, 1, 3)
    make.conv(2, taps=taps, requantize=False)

    assert [kind] == [spec.kind for spec in specs_of(make.graph()) if spec.name.startswith("conv")]


@pytest.mark.parametrize(("largest", "legal"), [(2**53, True), (-(2**53), True), (2**53 + 1, False)])
def test_a_constant_that_float64_does_not_hold_is_refused(largest: int, legal: bool) -> None:
    make = Builder(3, 3, 1)
    make.conv(2, requantize=False)
    make.constants["conv0_bias"] = np.array([largest, 1])
    if legal:
        specs_of(make.graph())
        return
    with pytest.raises(
        SpecError, match=r"emit: a constant of 54 bits is more than the 53 .*--target vivado or vitis"
    ):
        specs_of(make.graph())


@pytest.mark.parametrize(
    ("divisor", "kinds"),
    [
        (
            1,
            [
                "Activation",
                "Merge",
                "BatchNormalization",
                "AveragePooling2D",
                "GlobalAveragePooling2D",
                "Dense",
            ],
        ),
        (
            3,
            [
                *["PspPointwise", "Merge", "PspPointwise", "BatchNormalization", "PspPointwise"],
                *["PspWindowPool2D", "PspGlobalPool2D", "PspConv2D"],
            ],
        ),
    ],
)
def test_no_type_divides(divisor: int, kinds: list[str]) -> None:
    """hls4ml's own layers end by a type that rounds and saturates; a division is left to ours."""
    assert kinds == [spec.kind for spec in specs_of(divided(divisor))][1:]


def test_names_that_hls4ml_keeps_for_itself_are_not_given_to_layers() -> None:
    graph = optimize(random_graph(3))

    assert "input" not in layer_names(graph).values()


@pytest.mark.parametrize("word", ["vitis", "Vitis", "VITIS"])
def test_a_back_end_is_found_in_letters_of_any_size(word: str) -> None:
    assert Backend.VITIS is Backend.parse(word)


def test_an_unknown_back_end_or_way_of_joining_is_refused_with_what_there_is() -> None:
    with pytest.raises(SpecError, match=r"--backend: .*'quartus'.*there are vivado, vitis"):
        Backend.parse("quartus")
    with pytest.raises(SpecError, match=r"--io-type: .*'io_serial'.*there are io_stream, io_parallel"):
        IoType.parse("io_serial")
