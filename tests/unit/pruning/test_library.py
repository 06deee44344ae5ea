"""psp_hw.prune on the user's own network: plain loops, Lightning, DDP, AMP, torch.compile, Brevitas, copies."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import brevitas.nn as qnn
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import psp_hw
from psp_hw.errors import SpecError, TrainingError
from psp_hw.pruning.parametrization import parameters_of, pruned_layers, weight_mask
from psp_hw.spec.train import StructureSpec

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(16) % 3


def net(conv: type[nn.Conv2d] = nn.Conv2d) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        conv(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def steps(model: nn.Module, count: int = 3, **groups: float) -> list[float]:
    """A plain training loop; the loss of every step."""
    optimizer = torch.optim.SGD(psp_hw.parameter_groups(model, **groups), lr=0.1, momentum=0.9)
    losses = []
    for step in range(count):
        psp_hw.advance(model, step / count)
        loss = functional.cross_entropy(model(IMAGES), LABELS) + psp_hw.penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.slow
def test_the_package_stays_light() -> None:
    code = (
        "import psp_hw, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; psp_hw.prune"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'prunes'"):
        _ = psp_hw.prunes


def test_a_plain_loop_ends_in_a_plain_module() -> None:
    model = psp_hw.prune(net(), structure="shape", epsilon=0.2, init="ones", strength=0.1)
    alpha = parameters_of(model[2])[0].alpha.detach().clone()
    steps(model)
    assert not torch.equal(alpha, parameters_of(model[2])[0].alpha)
    with torch.no_grad():
        parameters_of(model[2])[0].alpha[0, 0, 0] = 0.0
    assert 6 / 9 == psp_hw.density(model)
    before = model(IMAGES)

    masks = psp_hw.remove(model)

    assert torch.equal(before, model(IMAGES))
    assert {"2"} == set(masks)
    assert type(model[2]) is nn.Conv2d
    assert set(net().state_dict()) == set(model.state_dict())
    small = psp_hw.compact(model, IMAGES)
    assert (6, 4, 2, 3) == tuple(small.get_submodule("2").weight.shape)
    assert torch.allclose(before, small(IMAGES), atol=1e-6)


def test_words_and_numbers_out_of_range_are_refused() -> None:
    for options, says in (
        ({"structure": "shap"}, "unknown structure 'shap'.*did you mean 'shape'"),
        ({"method": "decai"}, "unknown method 'decai'"),
        ({"epsilon": -1.0}, "epsilon=-1.0 is not above 0"),
        ({"include": ["x*"]}, "'x\\*' matches no layer"),
        ({"structure": "layer"}, "no layer has a structure to prune"),
    ):
        with pytest.raises(SpecError, match=says):
            psp_hw.prune(net(), **options)  # type: ignore[arg-type]
    model = psp_hw.prune(net())
    with pytest.raises(SpecError, match="pruned already"):
        psp_hw.prune(model)


def test_every_structure_has_its_own_epsilon_where_wanted() -> None:
    own = StructureSpec(epsilon=0.05, strength=0.3)
    model = psp_hw.prune(net(), [own, "channel"], 0.4)
    shape, channel = parameters_of(model[2])

    assert (0.05, 0.4) == (shape.structure.epsilon, channel.structure.epsilon)


@pytest.mark.parametrize("method", ["decay", "l1", "fixed", "l1-norm"])
def test_every_method_trains(method: str) -> None:
    model = psp_hw.prune(net(), "column", 0.05, method=method, strength=0.01)
    losses = steps(model)

    assert losses[-1] < losses[0] + 0.5
    if method in ("fixed", "l1-norm"):
        assert 0.5 == psp_hw.density(model)
    assert (method == "l1") == isinstance(psp_hw.penalty(model), Tensor)


def test_an_empty_layer_is_refused_at_the_end() -> None:
    model = psp_hw.prune(net(), "shape", 9.0)
    with pytest.raises(TrainingError, match="all structures of 2 are gone"):
        psp_hw.remove(model)


def test_state_dict_and_deepcopy() -> None:
    model = psp_hw.prune(net(), "shape,channel", 0.1)
    steps(model)
    twin = copy.deepcopy(model)
    other = psp_hw.prune(net(), "shape,channel", 0.1)
    other.load_state_dict(model.state_dict())

    for again in (twin, other):
        assert torch.equal(model(IMAGES), again(IMAGES))
        steps(again)
    assert torch.equal(twin[2].weight, other[2].weight)
    assert not torch.equal(twin[2].weight, model[2].weight)


def test_a_copy_without_structure_parameters_leaves_the_model_as_it_is() -> None:
    model = psp_hw.prune(net(), "shape", 0.1, init="ones").eval()
    expected = model(IMAGES)
    psp_hw.compact(model, IMAGES)
    psp_hw.remove(copy.deepcopy(model))

    assert torch.equal(expected, model(IMAGES))
    assert ["2"] == list(psp_hw.remove(model))
    assert torch.equal(expected, model(IMAGES))


def test_brevitas_layers() -> None:
    def conv(*arguments: int, **keys: int) -> nn.Module:
        return qnn.QuantConv2d(*arguments, **keys, weight_bit_width=4)

    model = psp_hw.prune(net(conv), "shape", 0.2, init="ones")  # type: ignore[arg-type]
    with torch.no_grad():
        parameters_of(model[2])[0].alpha[0, 0, 1] = 0.0
    steps(model, 1)
    quantized = model[2].quant_weight().value
    assert bool((quantized[:, :, 1] == 0).all())
    assert bool((quantized[:, :, 0] != 0).any())
    psp_hw.remove(model)
    assert type(model[2]) is qnn.QuantConv2d
    assert torch.equal(quantized, model[2].quant_weight().value)


def test_amp() -> None:
    model = psp_hw.prune(net(), "shape", 0.2, init="ones")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = functional.cross_entropy(model(IMAGES), LABELS)
    loss.backward()

    alpha = parameters_of(model[2])[0].alpha
    assert alpha.grad is not None
    assert alpha.grad.dtype is torch.float32
    assert bool(torch.isfinite(alpha.grad).all())


@pytest.mark.slow
def test_torch_compile_in_one_graph() -> None:
    for options in ({"epsilon": 0.2}, {"density": 0.5}, {"method": "l1-norm", "structure": "column"}):
        model = psp_hw.prune(net(), **options)  # type: ignore[arg-type]
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")

        assert torch.allclose(model(IMAGES), compiled(IMAGES), atol=1e-6)
        compiled(IMAGES).sum().backward()


class _Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, weight_decay=0.5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("remove", [True, False])
def test_the_lightning_callback(remove: bool, tmp_path: Path) -> None:
    module = _Module()
    callback = psp_hw.PruningCallback(
        attribute="net", structure="shape", density=0.5, init="ones", remove_at_end=remove
    )
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8))

    if remove:
        assert {} == pruned_layers(module)
        assert 4 == int((module.net[2].weight != 0).flatten(0, 1).any(dim=0).sum())
    else:
        assert 4 / 9 == psp_hw.density(module)


@pytest.mark.filterwarnings("ignore")
def test_the_callback_decays_alpha_as_asked_whatever_the_optimizer_does(tmp_path: Path) -> None:
    module = _Module()
    callback = psp_hw.PruningCallback(
        attribute="net", structure="shape", strength=0.25, init="ones", remove_at_end=False
    )
    by_hand = psp_hw.prune(net(), "shape", strength=0.25, init="ones")
    optimizer = torch.optim.SGD(psp_hw.parameter_groups(by_hand, weight_decay=0.5), lr=0.1)
    functional.cross_entropy(by_hand(IMAGES), LABELS).backward()
    optimizer.step()
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(IMAGES, LABELS), batch_size=16))

    (expected,), (actual,) = parameters_of(by_hand[2]), parameters_of(module.net[2])
    assert torch.allclose(expected.alpha, actual.alpha, atol=1e-6)


def _worker(rank: int, out: str) -> None:
    # Meeting at a file needs no port that somebody else may have taken.
    meeting = f"file://{out}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    model = DistributedDataParallel(psp_hw.prune(net(), "shape,channel", 0.1))
    optimizer = torch.optim.SGD(psp_hw.parameter_groups(model), lr=0.1, momentum=0.9)
    half = slice(8 * rank, 8 * rank + 8)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(IMAGES[half]), LABELS[half]).backward()
        optimizer.step()
    state = {"weight": model.module[2].weight, "mask": weight_mask(model.module[2])}
    torch.save(state, f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_stay_in_step(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    here = Path(__file__).resolve()
    script.write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('library_test', {str(here)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "module._worker(int(sys.argv[1]), sys.argv[2])\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-W", "ignore", str(script), str(rank), str(tmp_path)])
        for rank in (0, 1)
    ]
    assert [0, 0] == [worker.wait(timeout=240) for worker in workers]
    left, right = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = psp_hw.prune(net(), "shape,channel", 0.1)
    steps(alone)

    assert torch.equal(left["weight"], right["weight"])
    assert torch.equal(left["mask"], right["mask"])
    assert torch.allclose(alone[2].weight, left["weight"], atol=1e-6)


def test_the_example_of_a_plain_loop_runs() -> None:
    file = Path(__file__).resolve().parents[3] / "examples" / "plain_loop.py"
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    accuracy, kept = names["main"](steps=60)  # type: ignore[operator]

    assert accuracy > 0.5
    assert 0 < kept <= 1
