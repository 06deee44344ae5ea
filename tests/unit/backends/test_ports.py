"""Plans whose memories cannot feed their engines are refused, with the memory named."""

from __future__ import annotations

import re

import numpy as np
import pytest

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.errors import SpecError
from psp_hw.folding.dataflow import build
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, NodePlan
from psp_hw.folding.ports import check_ports, port_demands
from psp_hw.ir.graph import Graph
from psp_hw.ir.ops import Conv2d, Input, Output
from psp_hw.ir.types import Padding, Tap, TensorType
from psp_hw.ir.verify import verify


def one_conv(*, width: int = 16, channels: int = 4, outputs: int = 4, bits: int = 8) -> Graph:
    fmt = FixedPoint(width=bits, signed=False, frac=0)
    conv = Conv2d(
        name="conv",
        input="image",
        weight="weight",
        taps=(Tap(0, 0), Tap(1, 1), Tap(2, 2)),
        kernel=(3, 3),
        padding=Padding(top=1, left=1, bottom=1, right=1),
        weight_frac=0,
        dense_in_channels=channels,
        dense_out_channels=outputs,
    )
    image = Input(name="image", type=TensorType(height=4, width=width, channels=channels, fmt=fmt))
    weight = np.random.default_rng(0).integers(-8, 8, size=(3, channels, outputs))
    return verify(Graph("one", (image, conv, Output(name="result", input="conv")), {"weight": weight}))


def plan(fold: Fold | None = None, weights: MemoryKind = MemoryKind.BRAM, **more: object) -> FoldPlan:
    delays = more.get("delays", ())
    depths = more.get("depths", {})
    assert isinstance(delays, tuple)
    assert isinstance(depths, dict)
    return FoldPlan(
        nodes={"conv": NodePlan(fold=fold or Fold(), weights=weights, delays=delays)}, fifo_depths=depths
    )


def refused(graph: Graph, fold_plan: FoldPlan, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        check_ports(build(graph, fold_plan))


def test_a_plan_that_is_fed_passes() -> None:
    check_ports(build(one_conv(), plan(Fold(pe=2, simd=4, taps=3))))


def test_ultra_ram_holds_no_constants() -> None:
    refused(
        one_conv(),
        plan(weights=MemoryKind.URAM),
        "conv.weights: UltraRAM starts empty and holds no constants",
    )


def test_a_short_delay_belongs_in_registers() -> None:
    kinds = (MemoryKind.BRAM, MemoryKind.BRAM)
    refused(
        one_conv(width=7),
        plan(delays=kinds),
        "conv.delays[0]: 7 pixels in bram would be read before they are written: below 8 use registers",
    )
    check_ports(build(one_conv(width=8), plan(delays=kinds)))


def test_a_row_of_weights_wider_than_a_word_is_refused() -> None:
    graph = one_conv(channels=32, outputs=64)
    refused(graph, plan(Fold(pe=64, simd=32)), "conv.weights: a row of 8192 bits is wider than the 4096")


def test_a_pixel_wider_than_a_stream_is_refused_in_one_sentence() -> None:
    refused(
        one_conv(channels=513),
        plan(),
        "image_to_conv: a pixel of 4104 bits (513 channels of 8 bits) is wider than the 4096 bits of a stream; 1 of 2 streams would "
        "be wider, this one most (have at most 512 channels of 8 bits side by side: fewer or narrower channels, or fewer layers "
        "that are concatenated)",
    )
    check_ports(build(one_conv(channels=512), plan()))


def test_a_fifo_of_one_token_is_refused() -> None:
    refused(
        one_conv(), plan(depths={"image_to_conv": 1}), "image_to_conv: a FIFO of 1 tokens halves the speed"
    )


def test_every_problem_of_a_plan_is_named() -> None:
    bad = plan(weights=MemoryKind.URAM, depths={"image_to_conv": 1, "conv_to_result": 1})
    with pytest.raises(SpecError) as caught:
        check_ports(build(one_conv(), bad))
    assert 3 == len(caught.value.what.split("; "))


def test_one_row_of_weights_is_read_per_cycle_whatever_the_fold() -> None:
    for fold in (Fold(), Fold(pe=2, simd=2), Fold(pe=4, simd=4, taps=3)):
        (engine,) = (e for e in build(one_conv(), plan(fold)).engines if e.name == "conv")
        weights = next(d for d in port_demands(engine) if d.memory == "weights")
        assert (1, 1, fold.multipliers * 4) == (weights.reads, weights.has_reads, weights.bits)
        assert 48 == weights.words * fold.multipliers
