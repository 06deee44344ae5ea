"""What a sweep was asked, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from psp_hw.cost.calibration import load_calibration
from psp_hw.errors import SpecError
from psp_hw.flow.defaults import DEFAULT_CLOCK_NS, DEFAULT_PART
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest, board_of, choose_part
from psp_hw.flow.sweeps.front import Cost
from psp_hw.flow.sweeps.ledger import GRACE_S
from psp_hw.flow.sweeps.storage import shown_storage
from psp_hw.flow.train import check_accelerator, check_gpus, check_names
from psp_hw.spec.load import load_spec, spec_to_dict
from psp_hw.spec.names import suggestion
from psp_hw.spec.space import Axis, Space, check_space, load_space, space_to_dict
from psp_hw.spec.train import TrainSpec

SWEEPS = Path("sweeps")
TRIALS = "trials"
SPEC_FILE, SPACE_FILE = "spec.yaml", "sweep.yaml"
DEFAULT_TRIALS = 20
MOST_TRIALS = 100_000
WALKED = 64  # a space of no more combinations is tried whole where no number of trials is given


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What ``psp-hw sweep`` was asked; None means not asked.

    Args:
        spec: the YAML file of the network, the data and the recipe; or a folder with a spec.yaml.
        axes: from the options; each replaces that of the sweep file.
        space: the sweep file; None: sweep.yaml beside the spec, where there is one.
        against: what accuracy is weighed against; empty: everything.
        trials: how many trainings there are to be, over all workers.
        seed: of the choice of values (that of the trainings is in the spec).
        storage: URL of a database or path of a journal, which all workers share.
        name: of the sweep inside the storage.
        out: the folder.
        accelerator: what each trial of this worker runs on: auto, cpu, cuda.
    """

    spec: Path
    axes: tuple[Axis, ...] = ()
    space: Path | None = None
    against: tuple[str, ...] = ()
    trials: int | None = None
    seed: int = 1
    storage: str | None = None
    name: str | None = None
    out: Path | None = None
    part: str | None = None
    clock_ns: float | None = None
    device: DeviceRequest = NOTHING_MORE
    data_dir: Path | None = None
    accelerator: str = "auto"
    grace_s: float = GRACE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request, checked.

    Args:
        spec: what is varied.
        space: how.
        costs: what accuracy is weighed against.
        trials: how many.
        name, folder, storage: where; `storage` without its password.
        part, clock_ns: what cycles are estimated for.
        calibration: digest of the constants of the site that they are estimated with; None where there are none.
    """

    request: SweepRequest
    spec: TrainSpec
    space: Space
    costs: tuple[Cost, ...]
    trials: int
    name: str
    folder: Path
    storage: str
    part: str
    clock_ns: float
    calibration: str | None = None

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.folder / TRIALS

    @property
    def axes(self) -> tuple[str, ...]:
        """Words of the axes."""
        return tuple(axis.name.value for axis in self.space.axes)


def planned(request: SweepRequest) -> Plan:
    """Check a request before anything is written.

    Raises:
        SpecError: says which option, key or file is wrong.
    """
    if request.spec.is_dir():  # a run, or a folder of models/
        request = replace(request, spec=request.spec / SPEC_FILE)
    check_accelerator(request.accelerator)
    spec = load_spec(request.spec)
    check_names(spec)
    space = _space(request)
    check_space(spec, space)
    words = [cost.value for cost in Cost]
    for word in request.against:
        if word not in words:
            raise SpecError(f"unknown cost '{word}'", where="--against", hint=suggestion(word, words))
    size = space.size
    trials = request.trials if request.trials is not None else DEFAULT_TRIALS
    if request.trials is None and size is not None and size <= WALKED:
        trials = size
    if not 1 <= trials <= MOST_TRIALS:
        raise SpecError(f"{trials} trials", where="--trials", hint=f"use 1 .. {MOST_TRIALS}")
    if not 0 <= request.seed < 2**32:
        raise SpecError(f"{request.seed} is outside 0 .. {2**32 - 1}", where="--seed")
    part, usual = board_of(request.part, request.device)
    clock = request.clock_ns if request.clock_ns is not None else usual or DEFAULT_CLOCK_NS
    check_gpus(request.accelerator)
    stem = request.spec.resolve().parent.name if request.spec.name == SPEC_FILE else request.spec.stem
    folder = request.out or SWEEPS / stem
    file = request.device.calibration
    return Plan(
        request=request,
        spec=spec,
        space=space,
        costs=tuple(Cost(word) for word in dict.fromkeys(request.against)) or tuple(Cost),
        trials=trials,
        name=request.name or folder.resolve().name,
        folder=folder,
        storage=shown_storage(request.storage, folder),
        part=choose_part(part or DEFAULT_PART, request.device).part.name,
        clock_ns=clock,
        calibration=None if file is None else load_calibration(file).digest,
    )


def _space(request: SweepRequest) -> Space:
    """The sweep file, and the options over it."""
    beside = request.spec.parent / SPACE_FILE
    file = request.space or (beside if beside.is_file() else None)
    axes = {axis.name: axis for axis in (load_space(file).axes if file else ())}
    return Space(axes=tuple((axes | {axis.name: axis for axis in request.axes}).values()))


def record(plan: Plan) -> dict[str, object]:
    """What two workers must have been asked alike."""
    device = plan.request.device
    return {
        "spec": spec_to_dict(plan.spec),
        "space": space_to_dict(plan.space),
        "against": [cost.value for cost in plan.costs],
        "seed": plan.request.seed,
        "part": plan.part,
        "clock_ns": plan.clock_ns,
        "budget": {"budget": device.budget, "dsp": device.dsp},
        **({} if plan.calibration is None else {"calibration": plan.calibration}),
    }
