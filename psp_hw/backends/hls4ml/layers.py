"""Our layers in the vocabulary of hls4ml: layer, config template and function template (hls4ml docs, "Extension API").

hls4ml is imported here and nowhere before a project is written or read, since that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer

from psp_hw.backends.templates import template_dir

CONV_HEADER = "nnet_utils/nnet_psp_conv2d.h"
LAYERS_HEADER = "nnet_utils/nnet_psp_layers.h"


class PspLayer(Layer):  # type: ignore[misc]  # hls4ml has no types
    """A layer that is an engine of psp (nnet_psp_layers.h).

    Attributes: ``engine``, a record as a dictionary; ``output_shape``.
    """

    def initialize(self) -> None:
        """Declare the output."""
        self.add_output_variable(list(self.get_attr("output_shape")))


class PspConv2D(PspLayer):
    """Direct convolution over the taps that survive (nnet_psp_conv2d.h).

    Attributes beside those of PspLayer: weights [words * lanes] in the order in which the engine reads them; bias [Co].
    """

    _expected_attributes = [  # noqa: RUF012  the name and kind are those of hls4ml
        WeightAttribute("weight"),
        WeightAttribute("bias"),
        TypeAttribute("weight"),
        TypeAttribute("bias"),
    ]

    def initialize(self) -> None:
        """Declare the output and the weights."""
        super().initialize()
        self.add_weights()
        self.add_bias()


class PspWindowPool2D(PspLayer):
    """Maximum or mean over windows that overlap or reach into padding."""


class PspGlobalPool2D(PspLayer):
    """Mean over the frame with a saturation that no ap_fixed has."""


class PspPointwise(PspLayer):
    """Rounding and saturation that no ap_fixed has."""


class PspThreshold(PspLayer):
    """Thresholds of every channel."""


class PspFork(PspLayer):
    """Copies of an array for every reader; streams are cloned by hls4ml."""

    def initialize(self) -> None:
        """Declare the outputs."""
        for place, name in enumerate(self.outputs):
            self.add_output_variable(
                list(self.get_attr("output_shape")), out_name=name, var_name=f"layer{{index}}_copy{place}"
            )


# The function of each layer in the headers; its config template is ``<function>_config.h.jinja`` of the same words.
FUNCTIONS: dict[type[PspLayer], str] = {
    PspConv2D: "psp_conv2d",
    PspWindowPool2D: "psp_window_pool",
    PspGlobalPool2D: "psp_global_pool",
    PspPointwise: "psp_pointwise",
    PspThreshold: "psp_threshold",
    PspFork: "psp_fork",
}


class PspConfig(LayerConfigTemplate):  # type: ignore[misc]  # hls4ml has no types
    """Writes ``struct config3`` and the tables beside it."""

    def __init__(self, layer: type[PspLayer]) -> None:
        super().__init__(layer)
        self._template = f"{FUNCTIONS[layer]}_config.h.jinja"

    def format(self, node: Any) -> str:
        """C++ of a layer."""
        layer = {**node.get_attr("engine"), "index": node.index}
        return _environment(template_dir() / "hls4ml").get_template(self._template).render(layer=layer)


class PspFunction(FunctionCallTemplate):  # type: ignore[misc]  # hls4ml has no types
    """Writes the call."""

    def __init__(self, layer: type[PspLayer]) -> None:
        super().__init__(layer, include_header=[CONV_HEADER if layer is PspConv2D else LAYERS_HEADER])
        self._function = FUNCTIONS[layer]

    def format(self, node: Any) -> str:
        """C++ of a layer."""
        names = self._default_function_params(node)
        if node.class_name == PspFork.__name__:
            copies = [node.get_output_variable(name).name for name in node.outputs]
            return f"nnet::{self._function}<{names['config']}>({', '.join([names['input'], *copies])});"
        types = f"{names['input_t']}, {names['output_t']}, {names['config']}"
        arguments = ", ".join([names["input"], names["output"], *_tables(node)])
        return f"nnet::{self._function}<{types}>({arguments});"


LAYERS = tuple(FUNCTIONS)
TEMPLATES: tuple[Callable[[], Any], ...] = tuple(
    partial(template, layer) for layer in LAYERS for template in (PspConfig, PspFunction)
)


def _tables(node: Any) -> list[str]:
    """What a layer's function takes beside its input and output."""
    kind, index = node.class_name, node.index
    if kind == PspConv2D.__name__:
        engine = node.get_attr("engine")
        align = f"align{index}" if engine["align"] else "psp::Zeros()"
        constants = [node.get_weights("weight").name, node.get_weights("bias").name, f"taps{index}", align]
        connections = engine.get("connections")
        return (
            constants + [name.format(index) for name in connections["arguments"]]
            if connections
            else constants
        )
    if kind == PspWindowPool2D.__name__:
        return [f"taps{index}"]
    if kind == PspThreshold.__name__:
        return [f"levels{index}", f"start{index}", f"step{index}"]
    return []


@cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        line_statement_prefix="//%",
        trim_blocks=True,
        autoescape=False,  # noqa: S701  C++, not HTML; every name is an identifier
    )
