"""Several processes train one network: gloo on the CPU, started as torchrun starts them and by psp-hw itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch import Tensor

pytestmark = pytest.mark.slow

WORKER = """
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from psp_hw.data.registry import load
from psp_hw.pruning.parametrization import parameters_of, pruned_layers
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training.machine import Accelerator, Machine
from psp_hw.training.floats import fresh_net, train_structures

out = Path(sys.argv[1])
spec = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 60)
split = load("digits", None, "train")
net = fresh_net(spec, split)
machine = Machine(accelerator=Accelerator.CPU, devices=2)
train_structures(net, spec, split, out, machine)
alphas = {name: [p.alpha.detach() for p in parameters_of(layer)] for name, layer in pruned_layers(net).items()}
torch.save(alphas, out / f"rank{distributed.get_rank()}.pt")
"""


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_of_torchrun_have_the_same_alphas(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "worker.py").write_text(WORKER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _run([*launcher, "worker.py", str(tmp_path)], tmp_path)

    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert first
    for name, alphas in first.items():
        for one, two in zip(alphas, second[name], strict=True):
            assert torch.equal(one, two)
            assert not torch.equal(one, torch.ones_like(one))  # they learned


def test_psp_hw_starts_its_own_processes_and_one_of_them_speaks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "psp_hw", "train", "--shape", "--steps", "4", "--out", "run", "--json"]
    told = _run([*command, "--accelerator", "cpu", "--devices", "2"], tmp_path)

    assert json.loads(told)["run"] == "run"
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["complete"]


CUT_WORKER = """
import os
import sys
from pathlib import Path

import torch
from torch import distributed

from psp_hw.data.registry import load
from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training.machine import Accelerator, Machine
from psp_hw.training.manner import Manner
from psp_hw.training.modules import Phase
from psp_hw.training.floats import fresh_net, train_structures

out, processes, stop_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
original = Phase.training_step
drawn = []


def step(self, batch, batch_idx):
    if self.global_step == stop_at:
        os._exit(0)  # as if the machine went
    drawn.append(torch.rand(2))  # as dropout would
    return original(self, batch, batch_idx)


Phase.training_step = step
spec = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 60)
split = load("digits", None, "train")
net = fresh_net(spec, split)
machine = Machine(accelerator=Accelerator.CPU, devices=processes)
record = train_structures(net, spec, split, out, machine, Manner(resume=True, checkpoint_seconds=0.0))
rank = distributed.get_rank() if processes > 1 else 0
torch.save(torch.stack(drawn[-15:]), out / f"drawn{rank}.pt")
if rank == 0:
    torch.save({"rows": list(record.rows), "net": net.state_dict()}, out / "end.pt")
"""


def test_an_epoch_that_two_processes_were_in_goes_on_with_what_each_had(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "worker.py").write_text(CUT_WORKER)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for run, stop_at in (("whole", -1), ("cut", 40), ("cut", -1), ("fewer", 40)):
        _run([*launcher, "worker.py", run, "2", str(stop_at)], tmp_path)
    _run([sys.executable, "worker.py", "fewer", "1", "-1"], tmp_path)

    whole, cut, fewer = (
        torch.load(tmp_path / run / "end.pt", weights_only=True) for run in ("whole", "cut", "fewer")
    )
    assert whole["rows"] == cut["rows"]
    for name, value in whole["net"].items():
        assert torch.equal(value, cut["net"][name]), name
    for rank in (0, 1):
        assert torch.equal(_drawn(tmp_path / "whole", rank), _drawn(tmp_path / "cut", rank))
    assert not torch.equal(_drawn(tmp_path / "whole", 0), _drawn(tmp_path / "whole", 1))
    assert torch.equal(_drawn(tmp_path / "whole", 0), _drawn(tmp_path / "fewer", 0))
    # One process sums in another order, but over the same images.
    expected, found = (float(end["rows"][1]["accuracy"]) for end in (whole, fewer))
    assert expected == pytest.approx(found, abs=0.02)


def _drawn(run: Path, rank: int) -> Tensor:
    """The random numbers of the last 15 steps of a process."""
    torch = pytest.importorskip("torch")
    found: Tensor = torch.load(run / f"drawn{rank}.pt", weights_only=True)
    return found


FINE_TUNED = """
import sys
from pathlib import Path

from psp_hw.spec.enums import StructureKind
from psp_hw.spec.presets import preset, with_steps, with_structures
from psp_hw.training import api
from psp_hw.training.machine import Accelerator, Machine
from psp_hw.training.manner import Manner
from psp_hw.training.modules import QuantizedPhase

class Cut(Exception):
    pass

original = QuantizedPhase.training_step

def step(self, batch, batch_idx):
    if sys.argv[2] == "cut" and self.global_step == 24:
        raise Cut
    return original(self, batch, batch_idx)

QuantizedPhase.training_step = step
spec = with_steps(with_structures(preset(), (StructureKind.SHAPE,)), 30)
machine = Machine(accelerator=Accelerator.CPU, devices=2)
try:
    api.train(spec, Path(sys.argv[1]), machine=machine, manner=Manner(resume=True))
except Exception as error:
    assert "Cut" in str(error) or isinstance(error, Cut), error
"""


def test_fine_tuning_by_two_processes_goes_on(tmp_path: Path) -> None:
    """Brevitas makes new parameters of scales when a state is loaded; DDP waited for gradients that scales never have."""
    (tmp_path / "worker.py").write_text(FINE_TUNED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for run, ways in {"whole": ["whole"], "cut": ["cut", "whole"]}.items():
        for way in ways:
            assert not (tmp_path / run / "model.onnx").exists()
            _run([*launcher, "worker.py", str(tmp_path / run), way], tmp_path)

    for name in ("model.onnx", "quantized.pt", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
