"""Two machines: agents of torchrun and processes of SLURM on the loopback address train what two processes of one machine do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from psp_hw.data.registry import load
from psp_hw.errors import SpecError
from psp_hw.spec.presets import preset
from psp_hw.training import loop
from psp_hw.training.floats import check_floats
from psp_hw.training.launch import check_launch
from psp_hw.training.lightning_names import LightningEnvironment, SLURMEnvironment
from psp_hw.training.machine import Accelerator, Machine

TRAIN = ["-m", "psp_hw", "train", "--shape", "--steps", "24", "--accelerator", "cpu", "--no-tensorboard"]
TRAIN += ["--floats-only", "--json"]
SLURM = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}


@pytest.mark.parametrize(
    ("environment", "devices", "nodes"),
    [
        ({}, 3, 2),
        (SLURM, 1, 2),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, 4, 1),
        ({"SLURM_NTASKS": "1"}, 1, 1),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, 1, 1),  # a batch script, or a shell of salloc
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, 1, 1),  # srun --ntasks 1 within it
        (TORCHRUN, 2, 2),
        (TORCHRUN | SLURM, 2, 2),  # torchrun inside of a job: its word counts
    ],
)
def test_what_agrees_with_the_launcher_is_taken(
    environment: Mapping[str, str], devices: int, nodes: int
) -> None:
    check_launch(devices, nodes, environment)


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "told"),
    [
        (SLURM, 1, 4, "--nodes: 4 asked for, SLURM gave this job 2 (SLURM_NNODES) (use --nodes 2, or sbatch --nodes 4)"),
        (SLURM, 2, 2, "--devices: 2 asked for, SLURM starts 1 processes on each node (SLURM_NTASKS_PER_NODE)"),
        ({"SLURM_NTASKS": "1"}, 4, 1, "--devices: 4 x 1 processes asked for, SLURM starts 1 (SLURM_NTASKS)"),
        ({"SLURM_NTASKS": "4"}, 4, 1, "SLURM starts 4 processes and does not say how many on each node"),
        ({"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}, 1, 1, "1 x 1 processes asked for, SLURM starts 2"),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, 1, 1, "1 x 1 processes asked for, SLURM starts 2"),
        ({"SLURM_NTASKS": "two"}, 2, 1, "SLURM_NTASKS: 'two' is not a number"),
        (TORCHRUN, 1, 2, "--devices: 1 asked for, torchrun starts 2 processes on each node (LOCAL_WORLD_SIZE)"),
        (TORCHRUN, 2, 1, "--nodes: 1 asked for, torchrun starts 4 processes in all (WORLD_SIZE) (use --nodes 2"),
    ],
)  # fmt: skip
def test_what_differs_from_the_launcher_is_refused(
    environment: Mapping[str, str], devices: int, nodes: int, told: str
) -> None:
    with pytest.raises(SpecError, match=re.escape(told)):
        check_launch(devices, nodes, environment)


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        (SLURM, 2, [SLURMEnvironment]),
        ({"SLURM_NTASKS": "8"}, 1, [LightningEnvironment]),
        (TORCHRUN | SLURM, 4, []),  # Lightning asks torchrun first
        ({}, 2, []),
    ],
)
def test_processes_are_numbered_by_who_started_them(
    environment: Mapping[str, str], processes: int, expected: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = loop._cluster(Machine(devices=processes))
    assert expected == [type(plugin) for plugin in found]


EIGHT = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "7", "SLURM_NODEID": "1",
         "SLURM_LOCALID": "3"}  # fmt: skip


def _see(patch: pytest.MonkeyPatch, gpus: int, environment: Mapping[str, str]) -> None:
    """As if so many GPUs were visible."""
    patch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    patch.setattr(torch.cuda, "device_count", lambda: gpus)
    for name, value in environment.items():
        patch.setenv(name, value)


@pytest.mark.parametrize("accelerator", [Accelerator.AUTO, Accelerator.CUDA])
@pytest.mark.parametrize(
    ("gpus", "environment"),
    [(1, {}), (2, EIGHT), (1, EIGHT | {"SLURM_GPUS_ON_NODE": "1"}), (1, TORCHRUN)],
    ids=["one", "two of slurm", "all tasks see the same", "torchrun"],
)
def test_more_gpus_than_there_are_are_refused(
    gpus: int, environment: Mapping[str, str], accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _see(monkeypatch, gpus, environment)
    machine = Machine(accelerator=accelerator, devices=4, nodes=2)

    told = f"--devices: 4 CUDA devices were asked for, this process sees {gpus} (use --accelerator cpu"
    with pytest.raises(SpecError, match=re.escape(told)):
        machine.check_gpus(small=False)
    Machine(accelerator=Accelerator.CPU, devices=4, nodes=2).check_gpus(small=False)


def test_with_auto_a_network_that_is_large_enough_for_a_gpu_needs_as_many_as_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _see(monkeypatch, 1, {})
    split = load("digits", None, "train")
    spec = preset()
    check_floats(spec, split, Machine(devices=4))  # digits-cnn is trained on the CPU
    large = replace(spec, finetune=replace(spec.finetune, batch_size=65_536))
    with pytest.raises(SpecError, match="4 CUDA devices were asked for, this process sees 1"):
        check_floats(large, split, Machine(devices=4))


@pytest.mark.parametrize("phase", ["training", "finetune"])
def test_batches_of_which_a_process_would_get_nothing_are_refused(phase: str) -> None:
    """1,442 images in batches of at most 4: some have 3."""
    split = load("digits", None, "train")
    spec = replace(preset(), **{phase: replace(getattr(preset(), phase), batch_size=4)})
    check_floats(spec, split, Machine(accelerator=Accelerator.CPU, devices=3))
    with pytest.raises(SpecError) as caught:
        check_floats(spec, split, Machine(accelerator=Accelerator.CPU, devices=2, nodes=2))

    assert "4 processes cannot share batches of 3 images" == caught.value.what
    assert f"{phase}.batch_size" == caught.value.where


@pytest.mark.parametrize("given", [{}, {"SLURM_GPUS_ON_NODE": "4"}])
def test_tasks_that_see_one_gpu_each_are_as_many_as_slurm_started(
    given: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """srun --gpus-per-task 1: Lightning counts four processes a node, each with its GPU 0."""
    _see(monkeypatch, 1, EIGHT | given)
    machine = Machine(accelerator=Accelerator.CUDA, devices=4, nodes=2)

    machine.check_gpus(small=False)
    accelerator = loop._gpu(machine)
    assert isinstance(accelerator, loop.OneGpuPerTask)
    assert [torch.device("cuda", 0)] * 4 == accelerator.get_parallel_devices(accelerator.parse_devices(4))
    assert "gpu" == loop._gpu(Machine(accelerator=Accelerator.CUDA))


def test_the_command_refuses_before_it_waits_for_anybody(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "psp_hw", "train", "--shape", "--nodes", "4", "--out", "run"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **SLURM}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert 2 == done.returncode
    assert "--nodes: 4 asked for, SLURM gave this job 2" in done.stderr
    assert not (tmp_path / "run").exists()


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _together(
    folder: Path, commands: list[tuple[list[str], dict[str, str]]], first_is_late: float = 0.0
) -> list[str]:
    """What each of several processes says on stdout, side by side.

    Args:
        folder: where they run.
        commands: arguments and environment of each.
        first_is_late: how long after the others the first one starts [s].
    """
    running = []
    for command, environment in reversed(commands):
        if len(running) == len(commands) - 1:
            time.sleep(first_is_late)
        running.insert(
            0,
            subprocess.Popen(
                [sys.executable, *command], cwd=folder, env={**os.environ, **environment},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            ),
        )  # fmt: skip
    told = []
    try:
        for process in running:
            told.append(process.communicate(timeout=240))
            if process.returncode:
                break
    finally:
        for process in running:
            process.kill()  # what waits for one that failed
    assert [0] * len(running) == [process.returncode for process in running], told
    return [stdout for stdout, _ in told]


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Alphas and weights behind the last step of two processes of one machine."""
    folder = tmp_path_factory.mktemp("one")
    _together(folder, [([*TRAIN, "--devices", "2", "--out", "run"], {})])
    return _learnt(folder)


def _learnt(folder: Path) -> dict[str, Any]:
    checkpoint = torch.load(folder / "run/checkpoints/train-last.ckpt", weights_only=True)
    state: dict[str, Any] = checkpoint["state_dict"]
    assert any(name.endswith("alpha") for name in state)
    return state


def _assert_equal(expected: dict[str, Any], folder: Path, told: list[str]) -> None:
    assert [True, False] == [bool(text) for text in told], "the first speaks, the other is silent"
    assert "run" == json.loads(told[0])["run"]
    found = _learnt(folder)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "job", [{}, {**SLURM, "SLURM_JOB_ID": "4711", "SLURM_PROCID": "0"}], ids=["alone", "in slurm"]
)
def test_two_agents_of_torchrun(one_machine: dict[str, Any], tmp_path: Path, job: dict[str, str]) -> None:
    agent = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    agent += ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
    asked = [*TRAIN, "--nodes", "2", "--devices", "1", "--out", "run"]
    told = _together(tmp_path, [([*agent, "--node-rank", rank, *asked], job) for rank in "01"])

    _assert_equal(one_machine, tmp_path, told)


@pytest.mark.slow
def test_two_tasks_of_slurm(one_machine: dict[str, Any], tmp_path: Path) -> None:
    """With the environment that srun gives to each task; they agree on a checkpoint within the epoch, too."""
    job = {
        **SLURM,
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_NODELIST": "127.0.0.1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": str(_free_port()),
    }
    asked = [*TRAIN, "--nodes", "2", "--devices", "1", "--checkpoint-minutes", "0", "--out", "run"]
    tasks = [(asked, {**job, "SLURM_PROCID": rank, "SLURM_NODEID": rank}) for rank in "01"]
    told = _together(tmp_path, tasks, first_is_late=12.0)  # the second one must not touch the folder before

    _assert_equal(one_machine, tmp_path, told)
