from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample_graphs import Builder

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.errors import RunError
from psp_hw.ir import store
from psp_hw.ir.graph import Graph
from psp_hw.ir.infer import accumulators_by_channel
from psp_hw.ir.ops import AvgPool, Conv2d, Input, Output, Relu, Requantize
from psp_hw.ir.text import parse_graph, print_graph
from psp_hw.ir.types import Tap, TensorType
from psp_hw.ir.verify import GraphError, verify


@pytest.fixture
def graph() -> Graph:
    make = Builder(4, 4, 2)
    first = make.conv(3)
    make.add(make.conv(3), first)
    make.mean(4, 4)
    make.conv(2, kernel=(1, 1), pad=0, requantize=False)
    return make.graph()


def test_accumulators_hold_every_partial_sum_and_no_more_than_the_weights_can_make(graph):
    conv = graph.convolutions[0]
    weight, bias = graph.constants[conv.weight], graph.constants[conv.bias]
    top = graph.input.type.fmt.max  # unsigned input: 0 .. top

    for k, interval in enumerate(accumulators_by_channel(conv, graph.input.type, graph.constants)):
        assert interval.hi == np.maximum(weight[..., k], 0).sum() * top + max(0, bias[k])
        assert interval.lo == np.minimum(weight[..., k], 0).sum() * top + min(0, bias[k])


@pytest.mark.parametrize("width", [8, 40, 63])
def test_ranges_of_wide_inputs_are_exact_beyond_64_bits(graph, width):
    conv = graph.convolutions[0]
    source = replace(graph.input.type, fmt=FixedPoint(width=width, signed=True, frac=0))
    weight = graph.constants[conv.weight].reshape(-1, graph.constants[conv.weight].shape[-1]).astype(object)
    bias = graph.constants[conv.bias]
    least, most = source.fmt.min, source.fmt.max

    for k, interval in enumerate(accumulators_by_channel(conv, source, graph.constants)):
        ends = [(min(w * least, w * most), max(w * least, w * most)) for w in weight[:, k]]
        assert interval.lo == sum(low for low, _ in ends) + min(0, int(bias[k]))
        assert interval.hi == sum(high for _, high in ends) + max(0, int(bias[k]))


def test_constants_are_kept_apart_from_the_callers_array_and_cannot_be_written(graph):
    mine = np.ones((9, 2, 3), dtype=np.int64)
    copy = graph.with_ops(graph.ops, {graph.convolutions[0].weight: mine})
    mine[:] = 7

    kept = copy.constants[graph.convolutions[0].weight]

    assert (kept == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 2


def broken(graph: Graph, case: str) -> Graph:
    conv = graph.convolutions[0]
    ops = list(graph.ops)
    at = ops.index(conv)
    match case:
        case "twice":
            ops[at + 1] = replace(ops[at + 1], name=conv.name)
        case "order":
            ops[at], ops[at + 1] = ops[at + 1], ops[at]
        case "unread":
            ops.insert(at + 1, Relu(name="lonely", input=conv.name))
        case "identifier":
            ops[at + 1] = replace(ops[at + 1], name="a b")
        case "no input":
            ops = ops[1:]
        case "no tap":
            ops[at] = replace(conv, taps=())
        case "tap twice":
            ops[at] = replace(conv, taps=(Tap(0, 0), *conv.taps[:-1]))
        case "tap outside":
            ops[at] = replace(conv, taps=(*conv.taps[:-1], Tap(2, 3)))
        case "weight":
            return graph.with_ops(ops, {conv.weight: np.ones((9, 5, 3), dtype=np.int64)})
        case "bias":
            return graph.with_ops(ops, {conv.bias: np.ones(4, dtype=np.int64)})
        case "align":
            ops[at] = replace(conv, align=(1, 2))
        case "shift":
            ops[at] = replace(conv, requantize=replace(conv.requantize, shift=conv.requantize.shift + 1))
        case "fork name":
            ops.insert(at + 1, Relu(name=f"{conv.name}_fork", input=conv.name))
            ops[-1] = replace(ops[-1], input=f"{conv.name}_fork")
    return Graph(graph.name, tuple(ops), graph.constants)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("twice", "defined twice"),
        ("order", "not defined before it"),
        ("unread", "lonely: nothing reads it"),
        ("identifier", "'a b' is no identifier"),
        ("no input", "first op is not the input"),
        ("no tap", "no tap survives"),
        ("tap twice", "not distinct and in raster order"),
        ("tap outside", "outside the 3x3 kernel"),
        ("weight", "does not suit 9 taps and 2 input channels"),
        ("bias", "bias of shape"),
        ("align", "align does not hold"),
        ("shift", "fractional bits shifted right"),
        ("fork name", "the name of the fork"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused_by_name(graph, case, message):
    verify(graph)
    with pytest.raises(GraphError, match=message):
        verify(broken(graph, case))


def test_verify_reports_everything_at_once(graph):
    with pytest.raises(GraphError, match=r"is no identifier.*nothing reads it"):
        verify(broken(broken(graph, "unread"), "identifier"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("graph sample", "grph sample", "does not begin"),
        ("conv2d", "conv3d", "no op is called conv3d"),
        ("shift:", "shft:", "no requantizer"),
        ("4x4x2:u8.4", "4x4x2:u8.5", "shifted right by"),
        (" : 4x4x3:u8.4", " : 4x4x3:u8.3", "is written as"),
        ("sha256:", "sha256:f", "no constant"),
    ],
)
def test_text_that_was_changed_does_not_read(graph, old, new, message):
    text = print_graph(graph)
    assert old in text
    with pytest.raises(GraphError, match=message):
        parse_graph(text.replace(old, new, 1), graph.constants)


def test_a_stored_graph_loads_and_the_same_graph_gives_the_same_bytes(graph, tmp_path):
    for name, content in store.files_of(graph).items():
        (tmp_path / name).write_bytes(content)

    loaded = store.load(tmp_path)

    assert print_graph(loaded) == print_graph(graph)
    assert store.files_of(loaded) == store.files_of(graph)


@pytest.mark.parametrize("damage", ["missing", "truncated", "other weights", "pickle"])
def test_a_damaged_store_is_refused_with_one_sentence(graph, tmp_path, damage):
    for name, content in store.files_of(graph).items():
        (tmp_path / name).write_bytes(content)
    archive = tmp_path / store.CONSTANTS_NAME
    match damage:
        case "missing":
            archive.unlink()
        case "truncated":
            archive.write_bytes(archive.read_bytes()[:100])
        case "other weights":
            with np.load(archive) as kept:
                np.savez(archive, **{name: kept[name] + 1 for name in kept.files})
        case "pickle":
            np.savez(archive, **{name: np.array([object()]) for name in graph.constants})
    with pytest.raises(RunError, match=str(tmp_path)):
        store.load(tmp_path)


def test_a_conv_on_a_frame_smaller_than_its_kernel_is_refused():
    kind = TensorType(height=1, width=1, channels=1, fmt=FixedPoint(width=8, signed=True, frac=0))
    conv = Conv2d(
        name="conv",
        input="image",
        weight="w",
        taps=(Tap(0, 0),),
        kernel=(3, 3),
        weight_frac=0,
        dense_in_channels=1,
        dense_out_channels=1,
    )
    ops = (Input(name="image", type=kind), conv, Output(name="result", input="conv"))
    with pytest.raises(GraphError, match="kernel of 3x3 is larger than the padded 1x1"):
        verify(Graph("small", ops, {"w": np.ones((1, 1, 1), dtype=np.int64)}))


@pytest.mark.parametrize(
    ("bits", "shift", "legal"), [(57, 0, True), (58, 0, False), (62, 5, True), (35, -23, False)]
)
@pytest.mark.parametrize("pooled", [False, True])
def test_a_division_takes_what_its_reciprocal_has_bits_for(bits, shift, legal, pooled):
    entering = FixedPoint(width=bits - 4 * pooled, signed=True, frac=0)
    kind = TensorType(height=3, width=3, channels=1, fmt=entering)
    to = Requantizer(shift=shift, divisor=9, lo=-8, hi=7, fmt=FixedPoint(width=4, signed=True, frac=-shift))
    op = (
        AvgPool(name="a", input="image", kernel=(3, 3), stride=(1, 1), requantize=to)
        if pooled
        else Requantize(name="a", input="image", requantize=to)
    )
    graph = Graph("g", (Input(name="image", type=kind), op, Output(name="result", input="a")))
    if legal:
        verify(graph)
        return
    with pytest.raises(
        GraphError, match=f"a: {bits} bits shifted right by {shift} are too wide for a division by 9"
    ):
        verify(graph)
