"""Remove dead structures from the tensors of a float network, and let the removal travel.

A channel goes when nothing reads it or when it is a constant that its readers can take into their biases; through BN,
ReLU, pooling, residual sums, concatenation and flatten. A residual branch that is constant becomes an addition per
channel (or nothing), a dense layer whose features nothing reads disappears, a kernel shrinks to the rows and columns
that hold its taps. What has to stay is said in the report.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from psp_hw.errors import ModelError
from psp_hw.pruning.liveness import (
    Constants,
    Needs,
    Shapes,
    constant_branch,
    constants_of,
    foldable,
    is_constant,
    is_padded,
    needs_of,
    shapes_of,
)
from psp_hw.pruning.parametrization import fold
from psp_hw.quant.functions import Add, Concat
from psp_hw.quant.steps import INPUT, Step, trace_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What compaction did.

    Args:
        weights: weights of every convolution and fully connected layer, before and after.
        gone: the layers that disappeared.
        notes: what is dead and had to stay, and why.
    """

    weights: dict[str, tuple[int, int]]
    gone: tuple[str, ...]
    notes: tuple[str, ...]


class Select(nn.Module):
    """Some channels of a feature map."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] to [N, len(index), ...]."""
        return x.index_select(1, self.index)


class Shift(nn.Module):
    """Adds a number per channel: what is left of a residual branch that is constant."""

    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H, W]."""
        return x + self.offset


class ConstantMap(nn.Module):
    """Channels that are the same at every pixel of every image; reads only the number of images."""

    values: Tensor

    def __init__(self, values: Tensor, extent: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("values", values.view(-1, *([1] * len(extent))).clone())
        self.extent = extent

    def forward(self, x: Tensor) -> Tensor:
        """[N, ...] to [N, C, H, W] or [N, F]."""
        return self.values.expand(x.shape[0], -1, *self.extent)


@torch.no_grad()
def compact(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """A smaller network that computes the same.

    Args:
        model: with or without structure parameters; not changed. Its layers are those that ``psp-hw train`` knows.
        example: some images [N, C, H, W]; only their shape matters.

    Returns:
        A plain network in the mode of the model, with the module names of the model. ``report`` is a `CompactReport`.

    Raises:
        ModelError: the model holds an operation that is not understood, named.
    """
    plain = copy.deepcopy(model).eval()
    fold(plain)
    steps = trace_steps(plain)
    shapes = shapes_of(steps, example.to(next(plain.parameters())))
    constants = constants_of(steps, shapes)
    needs = needs_of(steps, constants, shapes)
    builder = _Builder(steps, shapes, constants, needs)
    for step in steps:
        builder.add(step)
    made = builder.finish()
    made.report = builder.report()
    return made.train(model.training)


class _Builder:
    """Writes the compact network step by step."""

    def __init__(self, steps: tuple[Step, ...], shapes: Shapes, constants: Constants, needs: Needs) -> None:
        self.steps = steps
        self.shapes, self.constants, self.needs = shapes, constants, needs
        self.graph = fx.Graph()
        self.modules: dict[str, nn.Module] = {}
        self.image = self.graph.placeholder(INPUT)
        self.nodes: dict[str, fx.Node] = {INPUT: self.image}
        self.kept: dict[str, Tensor] = {INPUT: torch.ones(shapes[INPUT][0], dtype=torch.bool)}
        self.notes: list[str] = []

    def add(self, step: Step) -> None:
        """Append what is left of a step, if anything."""
        wanted = self.needs[step.name]
        if not bool(wanted.any()):
            return
        self.kept[step.name] = wanted
        if is_constant(step.name, self.needs, self.constants):
            values = self.constants[step.name][wanted].to(self._dtype())
            made = ConstantMap(values, self.shapes[step.name][1:])
            self.nodes[step.name] = self._call(step.name, made, self.image)
            self.notes.append(
                f"{step.name}: {int(wanted.sum())} constant channels stay, {self._reason(step.name)}"
            )
            return
        module: Any = step.module
        if isinstance(module, nn.Conv2d | nn.Linear):
            self.nodes[step.name] = self._weighted(step, module, wanted)
        elif isinstance(module, Add):
            self.nodes[step.name] = self._sum(step, wanted)
        elif isinstance(module, Concat):
            self.nodes[step.name] = self._concat(step, wanted)
        elif isinstance(module, nn.Flatten):
            source = wanted.view(len(self.kept[step.inputs[0]]), -1).any(dim=1)
            self.nodes[step.name] = self._call(step.name, module, self._read(step.inputs[0], source, step))
        else:
            made = _smaller_bn(module, wanted) if isinstance(module, nn.BatchNorm2d) else module
            self.nodes[step.name] = self._call(step.name, made, self._read(step.inputs[0], wanted, step))

    def finish(self) -> fx.GraphModule:
        """The network."""
        self.graph.output(self.nodes[self.steps[-1].name])
        return fx.GraphModule(self.modules, self.graph, class_name="CompactNet")

    def report(self) -> CompactReport:
        """What was done."""
        weights = {}
        for step in self.steps:
            if isinstance(step.module, nn.Conv2d | nn.Linear):
                made: Any = self.modules.get(step.name)
                has_weight = isinstance(made, nn.Conv2d | nn.Linear)
                weights[step.name] = (step.module.weight.numel(), made.weight.numel() if has_weight else 0)
        gone = tuple(name for name, (_, after) in weights.items() if after == 0)
        return CompactReport(weights=weights, gone=gone, notes=tuple(self.notes))

    def _dtype(self) -> torch.dtype:
        weighted = next(s.module for s in self.steps if isinstance(s.module, nn.Conv2d | nn.Linear))
        return weighted.weight.dtype

    def _reason(self, name: str) -> str:
        """Why the readers of a constant need it."""
        readers = [step for step in self.steps if name in step.inputs]
        if any(is_padded(step.module) for step in readers):
            padded = ", ".join(step.name for step in readers if is_padded(step.module))
            return f"the zero padding of {padded} is not that constant"
        return "what follows reads them" if readers else "they are the result"

    def _call(self, name: str, module: nn.Module, *inputs: fx.Node) -> fx.Node:
        self.modules[name] = module
        return self.graph.call_module(name, inputs)

    def _read(self, name: str, wanted: Tensor, step: Step) -> fx.Node:
        """The wanted channels of a value."""
        kept = self.kept[name]
        if torch.equal(kept, wanted):
            return self.nodes[name]
        index = wanted[kept].nonzero().flatten()
        suffix = f"_{step.inputs.index(name)}" if len(step.inputs) > 1 else ""
        return self._call(f"{step.name}_select{suffix}", Select(index), self.nodes[name])

    def _sum(self, step: Step, wanted: Tensor) -> fx.Node:
        dead = constant_branch(step, self.needs, self.constants)
        if dead is None:
            return self._call(step.name, Add(), *(self._read(name, wanted, step) for name in step.inputs))
        node = self._read(step.inputs[1 - dead], wanted, step)
        offset = self.constants[step.inputs[dead]][wanted]
        if not bool(offset.any()):
            return node
        return self._call(step.name, Shift(offset.to(self._dtype())), node)

    def _concat(self, step: Step, wanted: Tensor) -> fx.Node:
        demands = wanted.split([self.shapes[name][0] for name in step.inputs])
        parts = [
            self._read(name, demand, step)
            for name, demand in zip(step.inputs, demands, strict=True)
            if bool(demand.any())
        ]
        return parts[0] if len(parts) == 1 else self._call(step.name, Concat(), *parts)

    def _weighted(self, step: Step, module: nn.Conv2d | nn.Linear, wanted: Tensor) -> fx.Node:
        source, constant = step.inputs[0], self.constants[step.inputs[0]]
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            everything = torch.ones_like(constant, dtype=torch.bool)
            return self._call(step.name, module, self._read(source, everything, step))
        weight = module.weight.detach()[wanted]  # [k, C, R, S] or [k, C]
        used = (
            (weight.flatten(2) != 0).any(dim=2).any(dim=0) if weight.ndim == 4 else (weight != 0).any(dim=0)
        )
        folds = foldable(module, constant)
        inputs = used & ~folds
        stuck = int((used & ~folds & ~constant.isnan()).sum())
        if stuck:
            self.notes.append(
                f"{step.name}: {stuck} constant channels are read, zero padding is not that constant"
            )
        sums = weight.double().flatten(2).sum(dim=2) if weight.ndim == 4 else weight.double()
        offset = sums[:, folds] @ constant[folds]
        node = self._read(source, inputs, step)
        if isinstance(module, nn.Linear):
            return self._call(step.name, _linear(module, weight[:, inputs], wanted, offset), node)
        pads, made = _shrunk(module, weight[:, inputs], self.shapes[source][1:])
        _set_bias(made, module, wanted, offset)
        if pads is not None:
            node = self._call(f"{step.name}_pad", nn.ZeroPad2d(pads), node)
        return self._call(step.name, made, node)


def _set_bias(
    made: nn.Conv2d | nn.Linear, module: nn.Conv2d | nn.Linear, wanted: Tensor, offset: Tensor
) -> None:
    """The bias of the kept channels, with what constant inputs add."""
    if module.bias is None and not bool(offset.any()):
        made.bias = None
        return
    bias = offset if module.bias is None else module.bias.detach()[wanted].double() + offset
    made.bias = nn.Parameter(bias.to(module.weight.dtype))


def _linear(module: nn.Linear, weight: Tensor, wanted: Tensor, offset: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    made.weight = nn.Parameter(weight.clone())
    _set_bias(made, module, wanted, offset)
    return made


def _shrunk(
    module: nn.Conv2d, weight: Tensor, extent: tuple[int, ...]
) -> tuple[tuple[int, int, int, int] | None, nn.Conv2d]:
    """A convolution whose kernel is the rectangle that holds the taps, and the padding in front of it (or none)."""
    padding = module.padding
    if isinstance(padding, str) or module.padding_mode != "zeros" or module.dilation != (1, 1):
        return None, _conv(module, weight, module.kernel_size, padding)
    taps = (weight != 0).flatten(0, 1).any(dim=0)  # [R, S]
    rows, columns = taps.any(dim=1).nonzero().flatten(), taps.any(dim=0).nonzero().flatten()
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    r, s = module.kernel_size
    pads = (
        padding[1] - left,
        padding[1] - (s - 1 - right),
        padding[0] - top,
        padding[0] - (r - 1 - bottom),
    )
    cropped = (extent[0] + min(pads[2], 0) + min(pads[3], 0), extent[1] + min(pads[0], 0) + min(pads[1], 0))
    if min(cropped) <= 0:  # a tap that never reaches the frame
        return None, _conv(module, weight, module.kernel_size, padding)
    weight = weight[:, :, top : bottom + 1, left : right + 1]
    kernel = (bottom - top + 1, right - left + 1)
    if pads[0] == pads[1] >= 0 and pads[2] == pads[3] >= 0:
        return None, _conv(module, weight, kernel, (pads[2], pads[0]))
    return pads, _conv(module, weight, kernel, (0, 0))


def _conv(
    like: nn.Conv2d, weight: Tensor, kernel: tuple[int, ...], padding: tuple[int, ...] | str
) -> nn.Conv2d:
    made = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        kernel,  # type: ignore[arg-type]
        stride=like.stride,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=like.dilation,  # type: ignore[arg-type]
        padding_mode=like.padding_mode,
        dtype=weight.dtype,
    )
    made.weight = nn.Parameter(weight.clone())
    return made


def _smaller_bn(module: nn.BatchNorm2d, wanted: Tensor) -> nn.BatchNorm2d:
    if module.running_mean is None or module.running_var is None:
        raise ModelError("BatchNorm2d without running statistics cannot be compacted", where="compact")
    made = nn.BatchNorm2d(
        int(wanted.sum()), module.eps, module.momentum, module.affine, dtype=module.running_mean.dtype
    )
    for name in ("weight", "bias"):
        if module.affine:
            setattr(made, name, nn.Parameter(getattr(module, name).detach()[wanted].clone()))
    made.running_mean = module.running_mean[wanted].clone()
    made.running_var = module.running_var[wanted].clone()
    if made.num_batches_tracked is not None and module.num_batches_tracked is not None:
        made.num_batches_tracked.copy_(module.num_batches_tracked)
    return made.eval()
