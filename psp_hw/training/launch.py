"""What SLURM and torchrun say about the processes they started, compared with what was asked for. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from psp_hw.errors import SpecError

_NOT_STARTED_BY_SRUN = ("bash", "interactive")  # names of jobs in which a person types commands


class Launcher(Enum):
    """Who started this process, as far as it trains with others."""

    NONE = "none"
    TORCHRUN = "torchrun"
    SLURM = "slurm"


def launcher(processes: int, environment: Mapping[str, str]) -> Launcher:
    """Who says which of several processes this is.

    torchrun inside of a SLURM job counts. One process alone, which a person or a batch script starts within an allocation, however
    large, or srun as a step of one task, is nobody's.

    Args:
        processes: how many were asked for.
        environment: of this process.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return Launcher.TORCHRUN
    if "SLURM_NTASKS" not in environment or environment.get("SLURM_JOB_NAME") in _NOT_STARTED_BY_SRUN:
        return Launcher.NONE
    steps = _number(environment, "SLURM_STEP_NUM_TASKS") or 1  # set by srun alone
    of_several = steps > 1 or environment.get("SLURM_PROCID", "0") != "0"
    return Launcher.SLURM if processes > 1 or of_several else Launcher.NONE


def check_launch(devices: int, nodes: int, environment: Mapping[str, str]) -> None:
    """Refuse numbers that differ from those of the launcher: processes would wait for others that never come.

    Args:
        devices: of each node.
        nodes: machines.
        environment: of this process.

    Raises:
        SpecError: names the option, both numbers and what to do.
    """
    match launcher(devices * nodes, environment):
        case Launcher.TORCHRUN:
            _check_torchrun(devices, nodes, environment)
        case Launcher.SLURM:
            _check_slurm(devices, nodes, environment)
        case Launcher.NONE:
            pass


def sees_one_of_its_own(devices: int, nodes: int, visible: int, environment: Mapping[str, str]) -> bool:
    """Whether srun shows each of several tasks of a node one GPU, its own (``--gpus-per-task 1``).

    Args:
        devices: of each node, one per task.
        nodes: machines.
        visible: GPUs that this process sees.
        environment: of this process.
    """
    if visible != 1 or devices == 1 or launcher(devices * nodes, environment) is not Launcher.SLURM:
        return False
    given = environment.get("SLURM_GPUS_ON_NODE", "")
    return not given.isdigit() or int(given) >= devices  # else they all see the same one


def _check_slurm(devices: int, nodes: int, environment: Mapping[str, str]) -> None:
    given = _number(environment, "SLURM_NNODES")
    if given is not None and given != nodes:
        what = f"{nodes} asked for, SLURM gave this job {given} (SLURM_NNODES)"
        raise SpecError(what, where="--nodes", hint=f"use --nodes {given}, or sbatch --nodes {nodes}")
    each = _number(environment, "SLURM_NTASKS_PER_NODE")
    if each is not None and each != devices:
        what = f"{devices} asked for, SLURM starts {each} processes on each node (SLURM_NTASKS_PER_NODE)"
        hint = f"use --devices {each}, or srun --ntasks-per-node {devices}"
        raise SpecError(what, where="--devices", hint=hint)
    tasks = _number(environment, "SLURM_NTASKS") or 1
    if tasks != devices * nodes:
        what = f"{devices} x {nodes} processes asked for, SLURM starts {tasks} (SLURM_NTASKS)"
        hint = f"srun --nodes {nodes} --ntasks-per-node {devices}"
        raise SpecError(what, where="--devices", hint=hint)
    if tasks > 1 and each is None:
        what = f"SLURM starts {tasks} processes and does not say how many on each node"
        raise SpecError(what, where="--devices", hint=f"srun --ntasks-per-node {devices} instead of --ntasks")


def _check_torchrun(devices: int, nodes: int, environment: Mapping[str, str]) -> None:
    each, tasks = _number(environment, "LOCAL_WORLD_SIZE"), _number(environment, "WORLD_SIZE")
    if each is not None and each != devices:
        what = f"{devices} asked for, torchrun starts {each} processes on each node (LOCAL_WORLD_SIZE)"
        hint = f"use --devices {each}, or torchrun --nproc-per-node {devices}"
        raise SpecError(what, where="--devices", hint=hint)
    if tasks is not None and tasks != devices * nodes:
        what = f"{nodes} asked for, torchrun starts {tasks} processes in all (WORLD_SIZE)"
        hint = f"use --nodes {tasks // devices}, or torchrun --nnodes {nodes}"
        raise SpecError(what, where="--nodes", hint=hint)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """A count from the environment; None where it is missing."""
    text = environment.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise SpecError(f"'{text}' is not a number", where=name, hint="it is set by the launcher; unset it")
    return int(text)
