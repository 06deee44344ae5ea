"""Makes our layers known to hls4ml. hls4ml calls ``register`` by itself when psp-hw is installed (entry point
``hls4ml.backends``), so that a project of ours opens with plain hls4ml."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from psp_hw.backends.templates import template_dir

BACKENDS = ("vivado", "vitis")
SOURCES = "psp_sources"
LINK_MODULE = "hls4ml.utils.link"
HERE = "."

_INCLUDE = re.compile(rb'#include "psp/(\w+\.h)"')


def register(**_: object) -> None:
    """Register our layers, templates and sources with the Vivado and Vitis back ends of hls4ml, once.

    The arguments are those of an entry point of ``hls4ml.backends``; we extend back ends and add none.
    """
    from hls4ml.backends import get_backend
    from hls4ml.model.layers import layer_map, register_layer

    from psp_hw.backends.hls4ml.layers import LAYERS, TEMPLATES

    if LAYERS[0].__name__ in layer_map:
        return
    for layer in LAYERS:
        register_layer(layer.__name__, layer)
    for name in BACKENDS:
        backend = get_backend(name)
        for template in TEMPLATES:
            backend.register_template(template)
        for header in sorted((template_dir() / "include" / "psp_hls4ml").glob("*.h")):
            backend.register_source(header.resolve())
        backend.register_pass(SOURCES, _sources_pass(), flow=f"{name}:write")
    _open_projects_anywhere()


def write_headers(project: Path) -> None:
    """Put the headers of our engines under a project's ``firmware/nnet_utils/psp``.

    hls4ml compiles without a path to them, so there they name each other as neighbours in one folder.
    """
    to = project / "firmware" / "nnet_utils" / "psp"
    to.mkdir(parents=True, exist_ok=True)
    for header in sorted((template_dir() / "include" / "psp").glob("*.h")):
        (to / header.name).write_bytes(_INCLUDE.sub(rb'#include "\1"', header.read_bytes()))


def _sources_pass() -> Any:
    from hls4ml.model.optimizer import ModelOptimizerPass

    from psp_hw.backends.hls4ml.layers import LAYERS

    def transform(model: Any) -> bool:
        if any(isinstance(layer, LAYERS) for layer in model.get_layers()):
            write_headers(Path(model.config.get_output_dir()))
        return False

    return ModelOptimizerPass(SOURCES, transform)


def _open_projects_anywhere() -> None:
    """Let ``hls4ml.converters.link_existing_project`` open a project whose OutputDir is ``.`` from any directory.

    A project of ours names no absolute path; hls4ml reads a relative OutputDir from the current directory, not from the
    project's. hls4ml.utils.link cannot be imported yet while hls4ml imports its back ends, so wait for it.
    """
    module = sys.modules.get(LINK_MODULE)
    if module is not None and hasattr(module, "FilesystemModelGraph"):
        _read_output_dir_from_project(module)
    else:
        sys.meta_path.insert(0, _AfterLink())


def _read_output_dir_from_project(module: ModuleType) -> None:
    graph = module.FilesystemModelGraph
    original = graph.__init__

    def __init__(self: Any, project_dir: str | Path) -> None:  # noqa: N807  it takes the place of one
        original(self, project_dir)
        if self.config.config.get("OutputDir") == HERE:
            self.config.config["OutputDir"] = str(Path(project_dir).resolve())

    graph.__init__ = __init__


class _AfterLink(importlib.abc.MetaPathFinder):
    """Runs once, after hls4ml.utils.link was imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != LINK_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _read_output_dir_from_project(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this one spec's loader only
        return spec
