"""What we hand to hls4ml: a list of layers and a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from psp_hw.arith.fixed_point import FixedPoint
from psp_hw.arith.requantize import Requantizer
from psp_hw.backends.hls4ml.types import exact_type, settled_type
from psp_hw.ir.types import TensorType

INPUT_NAME = "input_1"  # hls4ml keeps the word "input" for itself

# What an entry of a layer of hls4ml may be. Everything but arrays is kept as JSON when hls4ml saves a model.
Entry = str | int | bool | list[int] | list[str] | dict[str, object] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """A layer of hls4ml.

    Args:
        name: identifier.
        kind: its class name in the registry of hls4ml.
        inputs: names of layers.
        entries: attributes.
        precision: type by what it is of: result, weight, bias, accum.
        reuse_factor: multiplications done by one multiplier per result.
        outputs: names of its results where it has several; else it has one, of its own name.
        channel_inputs: for each input, the channel of the dataflow that it is, if it is one.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    precision: Mapping[str, str]
    entries: Mapping[str, Entry] = field(default_factory=dict)
    reuse_factor: int = 1
    outputs: tuple[str, ...] = ()
    channel_inputs: tuple[str | None, ...] = ()


def layer_list(specs: tuple[LayerSpec, ...]) -> list[dict[str, object]]:
    """What ``ModelGraph.from_layer_list`` reads."""
    return [
        {
            "name": spec.name,
            "class_name": spec.kind,
            "inputs": list(spec.inputs),
            "outputs": list(spec.outputs or (spec.name,)),
            **spec.entries,
        }
        for spec in specs
    ]


def precision_config(specs: tuple[LayerSpec, ...]) -> dict[str, object]:
    """The ``HLSConfig`` with the exact type of everything."""
    return {
        "Model": {
            "Precision": {"default": "ap_fixed<16,6>"},
            "ReuseFactor": 1,
            "Strategy": "Latency",
            "PipelineStyle": "dataflow",
        },
        "LayerName": {
            spec.name: {
                "Precision": dict(spec.precision),
                "ReuseFactor": spec.reuse_factor,
                "Strategy": "Latency" if spec.reuse_factor == 1 else "Resource",
                "Trace": False,
            }
            for spec in specs
        },
    }


def shape_of(kind: TensorType) -> list[int]:
    """The shape that hls4ml gives a feature map: [H, W, C], or [C] for a single pixel."""
    return [kind.channels] if kind.pixels == 1 else list(kind.shape)


def ends_as(to: Requantizer | None, fmt: FixedPoint) -> str | None:
    """The type whose assignment rounds and saturates as an engine with this requantizer does; None if there is none."""
    return exact_type(fmt) if to is None else settled_type(to)
