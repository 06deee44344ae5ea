"""Our layers in the vocabulary of hls4ml: layer, config template and function template (hls4ml docs, "Extension API").

hls4ml is imported here and nowhere before a project is written or read, since that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import TypeAttribute, WeightAttribute
from hls4ml.model.layers import Layer

from psp_hw.backends.templates import template_dir

CONV_HEADER = "nnet_utils/nnet_psp_conv2d.h"


class PspConv2D(Layer):  # type: ignore[misc]  # hls4ml has no types
    """Direct convolution over the taps that survive (nnet_psp_conv2d.h).

    Attributes: ``engine``, a ConvRecord as a dictionary; ``output_shape``; weights [words * lanes] in the order in which the
    engine reads them; bias [Co].
    """

    _expected_attributes = [  # noqa: RUF012  the name and kind are those of hls4ml
        WeightAttribute("weight"),
        WeightAttribute("bias"),
        TypeAttribute("weight"),
        TypeAttribute("bias"),
    ]

    def initialize(self) -> None:
        """Declare the output and the weights."""
        self.add_output_variable(list(self.get_attr("output_shape")))
        self.add_weights()
        self.add_bias()


class PspConv2DConfig(LayerConfigTemplate):  # type: ignore[misc]  # hls4ml has no types
    """Writes ``struct config3`` and the tables beside it."""

    def __init__(self) -> None:
        super().__init__(PspConv2D)

    def format(self, node: Any) -> str:
        """C++ of a layer."""
        return _render("psp_conv2d_config.h.jinja", node)


class PspConv2DFunction(FunctionCallTemplate):  # type: ignore[misc]  # hls4ml has no types
    """Writes the call."""

    def __init__(self) -> None:
        super().__init__(PspConv2D, include_header=[CONV_HEADER])

    def format(self, node: Any) -> str:
        """C++ of a layer."""
        names = self._default_function_params(node)
        align = f"align{node.index}" if node.get_attr("engine")["align"] else "psp::Zeros()"
        arguments = [
            names["input"],
            names["output"],
            node.get_weights("weight").name,
            node.get_weights("bias").name,
            f"taps{node.index}",
            align,
        ]
        types = f"{names['input_t']}, {names['output_t']}, {names['config']}"
        return f"nnet::psp_conv2d<{types}>({', '.join(arguments)});"


LAYERS = (PspConv2D,)
TEMPLATES: tuple[Callable[[], Any], ...] = (PspConv2DConfig, PspConv2DFunction)


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


def _render(template: str, node: Any) -> str:
    layer = {**node.get_attr("engine"), "index": node.index}
    return _environment(template_dir() / "hls4ml").get_template(template).render(layer=layer)
