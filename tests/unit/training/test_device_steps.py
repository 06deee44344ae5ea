"""What a GPU needs of a step, checked without one: nothing is read back, nothing is sent, and the network is one graph."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from psp_hw.data.registry import load
from psp_hw.pruning.parametrization import parameters_of, pruned_layers
from psp_hw.pruning.select import prune
from psp_hw.spec.enums import AlphaInit, GradientRule, Penalty, Precision, StructureKind
from psp_hw.spec.presets import preset, with_bits, with_steps
from psp_hw.spec.train import EngineSpec, PruningSpec, StructureSpec, TrainSpec
from psp_hw.training import floats, phases
from psp_hw.training.batches import Batches, DeviceImages
from psp_hw.training.loop import run_phase
from psp_hw.training.machine import Machine
from psp_hw.training.manner import Manner
from psp_hw.training.modules import Phase, PruningPhase, QuantizedPhase, Scores

pytestmark = pytest.mark.slow  # trains

PER_EPOCH = 23  # batches of the digits
READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "item"}
LEAVES = ("numpy", "tolist", "cpu", "__array__")  # they make no operator of their own

KINDS = [kind for kind in StructureKind if kind is not StructureKind.LAYER]


class _Ear(TorchDispatchMode):
    """Hears every operator that would make a GPU wait for the host, and in which step."""

    def __init__(self) -> None:
        super().__init__()
        self.step = -1
        self.heard: list[tuple[int, str]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> object:
        name = function.overloadpacket.__name__
        boolean = name == "index" and any(
            isinstance(i, Tensor) and i.dtype is torch.bool for i in arguments[1]
        )
        if (name in READS or boolean) and not _from_brevitas():
            self.heard.append((self.step, name))
        return function(*arguments, **(keywords or {}))


def _from_brevitas() -> bool:
    """Whether Brevitas asks: its tensors ask themselves whether they are signed, which is out of our hands."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if f"{os.sep}brevitas{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> _Ear:
    """Between the moment at which a batch is asked for and the one at which the next is."""
    made = _Ear()

    def told(name: str) -> Callable[..., object]:
        original = getattr(Tensor, name)

        def method(self: Tensor, *arguments: object, **keywords: object) -> object:
            made.heard.append((made.step, name))
            return original(self, *arguments, **keywords)

        return method

    for name in LEAVES:
        monkeypatch.setattr(Tensor, name, told(name))
    monkeypatch.setattr(Phase, "is_watched", lambda self: self.global_step % 64 == 0)  # as on a GPU

    original = DeviceImages.batches

    def counted(self: DeviceImages, plan: Any) -> Any:
        batches = original(self, plan)
        first = next(batches)  # an epoch is sent at once
        made.step += 1
        yield first
        for batch in batches:
            made.step += 1
            yield batch

    monkeypatch.setattr(DeviceImages, "batches", counted)
    return made


def _within_steps(ear: _Ear) -> list[tuple[int, str]]:
    """What was heard in the epoch, but for its first step, whose loss is read, and its last, behind which it is saved."""
    return [(step, name) for step, name in ear.heard if 1 <= step < PER_EPOCH - 1]


def _batches(split: Any, spec: Any) -> Batches:
    batches = Batches(split, spec.data, batch_size=spec.training.batch_size, seed=1)
    batches.held = DeviceImages(split, torch.device("cpu"), pad=1, layout=torch.channels_last)
    return batches


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [StructureKind.SHAPE, StructureKind.COLUMN, StructureKind.STRIDED])
def test_a_step_of_pruning_reads_nothing_back(
    kind: StructureKind, ear: _Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the threshold tightens, with bounds, under an l1 penalty."""
    monkeypatch.setattr(Batches, "hold_on", lambda self, device, layout: None)
    split = load("digits", None, "train")
    pruning = PruningSpec(
        structures=(StructureSpec(kind=kind, at_least=0.3, at_most=0.8),),
        penalty=Penalty.L1,
        init=AlphaInit.ONES,
        ramp=0.8,
    )
    engine = EngineSpec(channels_last=True)
    spec = replace(with_steps(preset(), PER_EPOCH), pruning=pruning, engine=engine)
    net = floats.fresh_net(spec, split)
    prune(net, pruning, first="conv0")
    phase = PruningPhase(net, spec, PER_EPOCH)
    with ear:
        run_phase(
            phase, _batches(split, spec), Machine(), name="train", run=tmp_path, manner=Manner(), small=True
        )

    assert PER_EPOCH - 1 == ear.step
    assert (
        0,
        "_local_scalar_dense",
    ) in ear.heard  # the ear hears: the first loss, and what is asked once before it
    assert [] == _within_steps(ear)


@pytest.mark.filterwarnings("ignore")
def test_a_step_of_fine_tuning_reads_nothing_back_but_what_brevitas_does(
    ear: _Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batches, "hold_on", lambda self, device, layout: None)
    split = load("digits", None, "train")
    spec = with_bits(with_steps(preset(), PER_EPOCH), "4,4")
    net = floats.fresh_net(spec, split).eval()
    layers = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    masks = {name: torch.rand(layer.weight.shape) < 0.5 for name, layer in layers.items() if name != "conv0"}
    pruned = floats.Pruned(net=net, masks=masks, record=None)
    phase = QuantizedPhase(phases.calibrated(spec, split, pruned), spec, PER_EPOCH, masks)
    with ear:
        run_phase(
            phase,
            _batches(split, spec),
            Machine(),
            name="finetune",
            run=tmp_path,
            manner=Manner(),
            small=True,
        )

    assert [] == _within_steps(ear)
    for name, mask in masks.items():
        weight = phase.net.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        assert not bool((weight[~mask] != 0).any())
        assert bool((weight[mask] != 0).any())


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv1(x)).relu()
        return self.fc(self.conv2(x).mean(dim=(2, 3)))  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gradient", list(GradientRule))
@pytest.mark.parametrize("kind", KINDS)
def test_every_structure_leaves_the_network_one_graph(kind: StructureKind, gradient: GradientRule) -> None:
    structure = StructureSpec(kind=kind, at_least=0.2, at_most=0.7)
    net = _Small()
    prune(net, PruningSpec(structures=(structure,), gradient=gradient, init=AlphaInit.ONES), first="none")
    assert pruned_layers(net)
    torch._dynamo.reset()
    seen = torch._dynamo.explain(Scores(net))(torch.randn(4, 3, 8, 8), torch.arange(4))

    assert (1, 0) == (seen.graph_count, seen.graph_break_count), seen.break_reasons


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_learns_and_sees_what_the_pace_tells() -> None:
    """Tightness is written in place: no graph is made again, and the next step drops what the threshold says."""
    torch._dynamo.reset()
    pruning = PruningSpec(structures=(StructureSpec(epsilon=0.5),), ramp=1.0)
    net = _Small()
    prune(net, pruning, first="none")
    engine = EngineSpec(precision=Precision.BFLOAT16, compile=True)
    phase = PruningPhase(net, TrainSpec(pruning=pruning, engine=engine), 10)
    phase.on_fit_start()
    (compiled,) = phase._scores
    images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)
    for layer in pruned_layers(net).values():
        for parameter in parameters_of(layer):
            parameter.alpha.data.fill_(0.3)

    losses = []
    for share in (0.0, 1.0, 0.0):  # all are kept, none is, all are kept again
        phase.pace.tell(share, pruning)
        with torch.autocast("cpu", torch.bfloat16):
            expected, _ = Scores(net)(images, labels)
            loss, watched = compiled(images, labels)
        loss.backward()
        losses.append(float(loss.detach()))
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=3e-2)
        assert torch.equal(loss.detach(), watched[0])
        assert net.conv1.parametrizations["weight"][0].alpha.grad is not None  # type: ignore[index,union-attr]

    assert losses[0] != losses[1]


@pytest.mark.filterwarnings("ignore")
def test_on_a_gpu_steps_are_graphs_and_the_optimizer_is_one_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be asked of torch there: a stand-in for the compiler, and a device that only says that it is a GPU."""
    asked: list[dict[str, object]] = []
    begun: list[int] = []

    def compiler(module: nn.Module, **options: object) -> nn.Module:
        asked.append(options)
        return module

    split = load("digits", None, "train")
    spec = replace(with_steps(preset(), 5), engine=EngineSpec(compile=True))
    net = floats.fresh_net(spec, split)
    phase = PruningPhase(net, spec, 5)
    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(phase.global_step))
    with monkeypatch.context() as patch:
        patch.setattr(PruningPhase, "device", torch.device("cuda"))
        phase.on_fit_start()
        assert all(group["fused"] for group in phase.configure_optimizers()["optimizer"].param_groups)
    monkeypatch.setattr(PruningPhase, "on_fit_start", lambda self: None)
    without: list[bool] = []
    monkeypatch.setattr(
        PruningPhase, "penalty", lambda self: without.append(all(p.grad is None for p in net.parameters()))
    )
    run_phase(
        phase,
        Batches(split, spec.data, batch_size=64, seed=1),
        Machine(),
        name="train",
        run=tmp_path,
        small=True,
    )

    assert [{"mode": "reduce-overhead", "dynamic": False}] == asked
    assert [0, 1, 2, 3, 4] == begun
    assert [True] * 5 == without, "no gradient of the last step is alive when a graph is replayed"


@torch._dynamo.config.patch(recompile_limit=2)  # not 8: a network takes a while
def test_every_network_that_a_process_trains_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of a sweep trains many, of two batch sizes each; beyond some graphs of one function torch compiles no more."""
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(len(graphs))
        return graph.forward

    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda net, mode, dynamic: compiled(net, backend=backend, dynamic=dynamic)
    )
    split = load("digits", None, "train")
    pruning = PruningSpec(structures=(StructureSpec(kind=StructureKind.SHAPE),))
    spec = replace(preset(), pruning=pruning, engine=EngineSpec(compile=True))
    for number in range(2):
        net = floats.fresh_net(replace(spec, seed=number), split)
        prune(net, spec.pruning, first="conv0")
        phase = PruningPhase(net, spec, PER_EPOCH)
        phase.on_fit_start()
        (scores,) = phase._scores
        for images in (63, 62):
            scores(torch.zeros(images, 1, 8, 8), torch.zeros(images, dtype=torch.int64))

    assert 2 * 2 == len(graphs)
