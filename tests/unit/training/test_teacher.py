"""A network that learns another one's answers: the loss, what is saved, what goes on, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from psp_hw.data.registry import load
from psp_hw.data.split import Preprocessing
from psp_hw.errors import RunError, SpecError
from psp_hw.flow.train import Request, train, training_spec
from psp_hw.spec.train import DistillSpec, TrainSpec
from psp_hw.training.floats import fresh_net
from psp_hw.training.modules import PruningPhase, Scores
from psp_hw.training.run import INPUT, PRUNED, load_run
from psp_hw.training.teacher import Teacher, teacher_of

ASKED = Request(structures=("shape",), density=0.6, steps=30)


class _StopError(Exception):
    """An interruption that leaves no chance to clean up."""


class _Line(nn.Module):
    """Logits that are a product with a matrix."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.fc = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.fc.weight.data = weight

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(images.flatten(1))
        return logits


def _teacher(net: nn.Module, share: float, temperature: float) -> Teacher:
    spec = DistillSpec(teacher="run", share=share, temperature=temperature)
    return Teacher(net=net.eval().requires_grad_(False), spec=spec, digest="")


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _both() -> tuple[_Line, _Line, Tensor, Tensor]:
    """A pupil, a teacher, images and labels, in float64."""
    draws = torch.Generator().manual_seed(3)
    pupil, teacher = (torch.randn(5, 12, generator=draws, dtype=torch.float64) for _ in range(2))
    images = torch.randn(7, 3, 2, 2, generator=draws, dtype=torch.float64)
    return _Line(pupil), _Line(teacher), images, torch.randint(5, (7,), generator=draws)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_the_paper(share: float, temperature: float) -> None:
    pupil, teacher, images, labels = _both()
    loss, watched = Scores(pupil, _teacher(teacher, share, temperature))(images, labels)

    own, told = (net(images).detach().numpy() for net in (pupil, teacher))
    over_labels = -np.log(_softmax(own)[np.arange(7), labels.numpy()]).mean()
    soft_own, soft_told = _softmax(own / temperature), _softmax(told / temperature)
    apart = (soft_told * (np.log(soft_told) - np.log(soft_own))).sum(axis=1).mean()
    wanted = (1 - share) * over_labels + share * temperature**2 * apart
    assert np.isclose(wanted, float(loss.detach()), rtol=1e-12)
    assert np.isclose(wanted, float(watched[0]), rtol=1e-6)


def test_who_answers_as_the_teacher_does_has_nothing_to_learn_from_it() -> None:
    pupil, _, images, labels = _both()
    loss, _ = Scores(pupil, _teacher(_Line(pupil.fc.weight.detach().clone()), 1.0, 3.0))(images, labels)
    loss.backward()

    assert pupil.fc.weight.grad is not None
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-12)
    assert float(pupil.fc.weight.grad.abs().max()) == pytest.approx(0.0, abs=1e-12)


def test_a_teacher_neither_learns_nor_is_saved() -> None:
    pupil, teacher, images, labels = _both()
    phase = PruningPhase(pupil, TrainSpec(), 10, _teacher(teacher, 0.5, 2.0))
    loss, _ = phase._scores[0](images, labels)
    loss.backward()

    assert {"net.fc.weight"} == set(phase.state_dict())
    assert [id(pupil.fc.weight)] == [id(parameter) for parameter in phase.parameters()]
    assert teacher.fc.weight.grad is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_network_with_a_teacher_is_one_graph() -> None:
    pupil, teacher, images, labels = _both()
    torch._dynamo.reset()
    found = torch._dynamo.explain(Scores(pupil, _teacher(teacher, 0.5, 2.0)))(images, labels)

    assert (1, 0) == (found.graph_count, found.graph_break_count)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete dense run. Read it; copy it to change it."""
    out = tmp_path_factory.mktemp("teacher") / "dense"
    train(Request(steps=40, out=out), progress=False)
    return out


@pytest.mark.slow
def test_both_phases_learn_from_the_teacher_and_the_spec_says_so(dense: Path, tmp_path: Path) -> None:
    alone = train(replace(ASKED, out=tmp_path / "alone"), progress=False)
    taught = train(replace(ASKED, teacher=dense, out=tmp_path / "taught"), progress=False)
    again = train(Request(spec=taught.run / "spec.yaml", out=tmp_path / "again"), progress=False)

    assert str(dense) == load_run(taught.run).spec.distill.teacher
    for name in ("model.onnx", "quantized.pt"):
        assert (alone.run / name).read_bytes() != (taught.run / name).read_bytes()
        assert (again.run / name).read_bytes() == (taught.run / name).read_bytes()

    # A run's floats learnt from its teacher: bits may be others, the teacher may not.
    with pytest.raises(SpecError, match=r"different: distill\.teacher"):
        train(Request(floats=alone.run, teacher=dense, out=tmp_path / "other"), progress=False)


@pytest.mark.slow
def test_every_step_of_both_phases_asks_the_teacher(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.dtype] = []
    original = Teacher.mixed

    def mixed(self: Teacher, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        asked.append(logits.dtype)
        return original(self, loss, logits, images)

    monkeypatch.setattr(Teacher, "mixed", mixed)
    request = replace(ASKED, steps=5, teacher=dense, precision="bfloat16", out=tmp_path / "run")
    train(request, progress=False)

    assert [torch.bfloat16] * 5 + [torch.float32] * 5 == asked


@pytest.mark.slow
def test_a_training_goes_on_with_its_teacher_and_with_no_other(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the second epoch; the checkpoint at the end of the first knows the teacher."""
    teacher = tmp_path / "teacher"
    shutil.copytree(dense, teacher)
    asked = replace(ASKED, teacher=teacher)
    whole = train(replace(asked, out=tmp_path / "whole"), progress=False)
    original = PruningPhase.training_step

    def step(self: PruningPhase, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.global_step == 26:
            raise _StopError
        return original(self, batch, batch_idx)

    cut = replace(asked, out=tmp_path / "cut")
    with monkeypatch.context() as patched:
        patched.setattr(PruningPhase, "training_step", step)
        with pytest.raises(_StopError):
            train(cut, progress=False)

    other = train(Request(steps=45, out=tmp_path / "other"), progress=False)
    shutil.rmtree(teacher)
    shutil.copytree(other.run, teacher)
    with pytest.raises(RunError, match="not the one that this training began with") as refused:
        train(replace(cut, resume=True), progress=False)
    assert "--out" in (refused.value.hint or "")
    shutil.rmtree(teacher)
    shutil.copytree(dense, teacher)
    resumed = train(replace(cut, resume=True), progress=False)

    for name in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (whole.run / name).read_bytes() == (resumed.run / name).read_bytes(), name


@pytest.mark.slow
def test_teachers_that_cannot_teach_are_refused(dense: Path, tmp_path: Path) -> None:
    digits = load("digits", None, "train")

    def spec_with(teacher: Path) -> TrainSpec:
        return replace(training_spec(ASKED), distill=DistillSpec(teacher=str(teacher)))

    assert teacher_of(training_spec(ASKED), digits) is None
    found = teacher_of(spec_with(dense), digits)
    assert found is not None
    dense_net = fresh_net(load_run(dense).spec, digits)
    assert found.net.state_dict().keys() == dense_net.state_dict().keys()

    with pytest.raises(RunError, match=r"no manifest\.json"):
        teacher_of(spec_with(tmp_path / "none"), digits)
    with pytest.raises(RunError, match="learnt digits, and cifar10 is to be learnt"):
        teacher_of(replace(spec_with(dense), data=replace(TrainSpec().data, name="cifar10")), digits)

    strange = tmp_path / "strange"
    shutil.copytree(dense, strange)
    known = digits.preprocessing
    Preprocessing(mean=known.mean + 1, divisor=known.divisor).save(strange / INPUT)
    with pytest.raises(RunError, match="preprocessed in another way"):
        teacher_of(spec_with(strange), digits)
    shutil.copy(dense / INPUT, strange / INPUT)
    (strange / PRUNED).write_bytes((dense / PRUNED).read_bytes()[:-1])
    with pytest.raises(RunError, match="differs from what the run wrote"):
        teacher_of(spec_with(strange), digits)
    (strange / PRUNED).unlink()
    with pytest.raises(RunError, match="the run has no floats"):
        train(replace(ASKED, teacher=strange, out=tmp_path / "out"), progress=False)
    assert not (tmp_path / "out").exists()
