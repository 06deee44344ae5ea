"""NetSpec to nn.Module: registered networks and the user's own."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import torch
from torch import nn

from psp_hw.errors import ModelError, SpecError
from psp_hw.nn.catalog import NETS, SMALL_IMAGE, Family, NetInfo
from psp_hw.nn.dense import DenseNet
from psp_hw.nn.large import LargeResidualNet
from psp_hw.nn.residual import ResidualNet
from psp_hw.spec.names import first_line, suggestion
from psp_hw.spec.train import NetSpec


def build_net(spec: NetSpec, *, image: tuple[int, int, int], classes: int) -> nn.Module:
    """Make a network, with fresh weights from the global random generator.

    Args:
        spec: which network.
        image: channels, height and width of an image.
        classes: number of classes.

    Raises:
        SpecError: the name is unknown, or the function cannot be found.
        ModelError: the function fails, or what it returns is not a classifier of such images.
    """
    if spec.is_custom:
        net = _call_custom(spec.name, image, classes)
    else:
        net = _build_registered(spec, image, classes)
    _check_output(net, spec.name, image, classes)
    return net


def check_name(spec: NetSpec) -> NetInfo:
    """What is known about a registered network.

    Raises:
        SpecError: the name is unknown.
    """
    info = NETS.get(spec.name)
    if info is None:
        hint = f"{suggestion(spec.name, NETS)}, or your own as package.module:function"
        raise SpecError(f"unknown network '{spec.name}'", where="net", hint=hint)
    return info


def _build_registered(spec: NetSpec, image: tuple[int, int, int], classes: int) -> nn.Module:
    info = check_name(spec)
    widths, blocks = spec.widths or info.widths, spec.blocks or info.blocks
    if len(widths) != len(blocks):
        raise SpecError(
            f"{len(widths)} widths and {len(blocks)} blocks do not match",
            where="net.blocks",
            hint="give one width and one number of blocks per stage",
        )
    shrink = 2 ** (len(widths) - 1)
    if min(image[1:]) < shrink:
        raise SpecError(
            f"{len(widths)} stages need images of at least {shrink} pixels, these have {image[1]}x{image[2]}",
            where="net.widths",
        )
    extent = (image[1], image[2])
    match info.family:
        case Family.RESIDUAL:
            return ResidualNet(image[0], extent, classes, widths, blocks)
        case Family.LARGE_RESIDUAL:
            bottleneck = info.bottleneck
            return LargeResidualNet(image[0], extent, classes, widths, blocks, bottleneck=bottleneck)
        case Family.DENSE:
            return DenseNet(
                image[0],
                extent,
                classes,
                widths,
                blocks,
                stem=info.stem,
                large=info.image[1] > SMALL_IMAGE,
                bottleneck=info.bottleneck,
                halve=info.halve,
            )
        case _:
            assert_never(info.family)


def _call_custom(name: str, image: tuple[int, int, int], classes: int) -> nn.Module:
    """Import ``package.module:function`` and call it with those of its parameters that it names."""
    module_name, _, function_name = name.partition(":")
    function = _import_function(name, module_name, function_name)
    offered = {"in_channels": image[0], "image_size": (image[1], image[2]), "classes": classes}
    offered["num_classes"] = classes
    try:
        wanted = inspect.signature(function).parameters
        net = function(**{key: value for key, value in offered.items() if key in wanted})
    except Exception as error:
        raise ModelError(
            f"the function failed with {type(error).__name__}: {error}",
            where=f"net {name}",
            hint=f"its parameters may be {', '.join(offered)}; all others need defaults",
        ) from error
    if not isinstance(net, nn.Module):
        raise ModelError(f"returned a {type(net).__name__}, not an nn.Module", where=f"net {name}")
    return net


def _import_function(name: str, module_name: str, function_name: str) -> Callable[..., object]:
    if not module_name or not function_name:
        hint = "for example my_nets.tiny:make"
        raise SpecError(f"'{name}' is not package.module:function", where="net", hint=hint)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module lies in the current folder
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        hint = f"'{error.name}' was looked for in the current folder and in the Python environment"
        raise SpecError(f"no module named '{error.name}'", where=f"net {name}", hint=hint) from error
    except Exception as error:
        what = f"importing '{module_name}' failed with {type(error).__name__}: {error}"
        raise ModelError(what, where=f"net {name}") from error
    function = getattr(module, function_name, None)
    if function is None:
        hint = suggestion(function_name, [n for n in vars(module) if not n.startswith("_")])
        raise SpecError(f"module '{module_name}' has no '{function_name}'", where=f"net {name}", hint=hint)
    if not callable(function):
        raise SpecError(
            f"'{function_name}' is a {type(function).__name__}, not a function", where=f"net {name}"
        )
    return function  # type: ignore[no-any-return]


def _check_output(net: nn.Module, name: str, image: tuple[int, int, int], classes: int) -> None:
    """Run one blank image through the network: the result must be [1, classes]."""
    mode = net.training
    try:
        with torch.no_grad():
            out = net.eval()(torch.zeros(1, *image))
    except Exception as error:
        shape = "x".join(map(str, image))
        what = f"cannot run a {shape} image: {type(error).__name__}: {first_line(error)}"
        raise ModelError(what, where=f"net {name}", hint="is the network made for this data set?") from error
    finally:
        net.train(mode)
    got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if got != (1, classes):
        raise ModelError(f"one image gives {got}, not (1, {classes})", where=f"net {name}")
