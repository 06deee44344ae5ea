"""The rows of PSP's tables on CIFAR-10: train what there is time for, side by side on one GPU, and write the table.

    python benchmarks/paper_rows.py --data-dir DIR --minutes 9 [--side 6] [--epochs 300] [--rows ROW ...] [--accelerator cuda]

Each row is a run of its own below --runs, trained by ``psp-hw train --floats-only --resume`` (Brevitas need not be installed) from the
recipe in models/. When the minutes are over, what still trains is stopped with its checkpoint, and the same command goes on with
it. reports/paper/ gets a table with the figures of the paper beside ours, where they are known; rows that were cut or never
begun are listed as such. A trial (--net, --data, --steps) is none of the paper: its table lies in --runs.

Small networks share a GPU well: --side of them at a time, over all GPUs that are visible. On a GPU steps are compiled to CUDA graphs, as
far as torch.compile works there (a small function is tried first); --no-compile leaves it. The exit code is 1 where a row failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path

import torch

from psp_hw.errors import PspHwError
from psp_hw.spec.load import load_spec, spec_to_yaml
from psp_hw.spec.train import TrainSpec
from psp_hw.training.checkpoints import check_checkpoint
from psp_hw.training.machine import Accelerator, Machine

ROOT = Path(__file__).resolve().parents[1]
LAST = "checkpoints/train-last.ckpt"
POLL = 0.5  # [s]
PATIENCE = 90.0  # [s] for a process that was told to stop
INTERRUPTED = 130  # exit code
TRIAL_SECONDS = 300.0  # to compile a small function: Triton starts slowly
UNKNOWN = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a table says of a network; None where it says nothing, or nobody here could read it.

    Args:
        error: share of the test images that are wrong [%].
        params: [million].
        macs: multiply-accumulates per image [10**9].
    """

    error: float | None = None
    params: float | None = None
    macs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a table.

    Args:
        name: of the row, and of its run folder.
        recipe: folder in models/.
        epsilon: in place of the recipe's.
        paper: what PSP prints.
        table: where.
    """

    name: str
    recipe: str
    epsilon: float | None = None
    paper: Figures = field(default_factory=Figures)
    table: str

    @property
    def net(self) -> str:
        """The network, whose dense row is what others are compared with."""
        return self.recipe.partition("-")[0]


_COLUMN = Figures(error=6.55, params=0.21, macs=0.03)
_EPSILONS = (0.2, 0.3, 0.1, 0.5)  # that of the paper for ResNets first; reports/cifar10 asks for all four
# Table 2 prints the same 264.8 M as 0.53 G: a multiplication and an addition are two operations there (docs/paper.md).
_DENSENET = Row(
    name="densenet40-dense", recipe="densenet40-dense-psp", paper=Figures(macs=0.27), table="Table 3"
)
ROWS = (
    Row(name="resnet56-dense", recipe="resnet56-dense-psp", paper=Figures(error=6.35), table="Table 3"),
    Row(name="resnet56-column", recipe="resnet56-column-psp", paper=_COLUMN, table="Table 3"),
    *(
        Row(name=f"resnet56-shape-{epsilon}", recipe="resnet56-shape-psp", epsilon=epsilon, table="Table 1")
        for epsilon in _EPSILONS
    ),
    _DENSENET,
    Row(name="densenet40-column", recipe="densenet40-column-psp", table="Table 2"),
    Row(name="densenet40-channel-layer", recipe="densenet40-channel-layer-psp", table="Table 2"),
    *(
        Row(
            name=f"densenet40-shape-{epsilon}",
            recipe="densenet40-shape-psp",
            epsilon=epsilon,
            table="Table 2",
        )
        for epsilon in sorted(_EPSILONS)
    ),
    Row(name="resnet56-shape-channel", recipe="resnet56-shape-channel-psp", table=UNKNOWN),
)


class State(Enum):
    """How far a row came."""

    DONE = "done"
    CUT = "cut"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row.

    Args:
        state: how far it came.
        ours: measured, where it is done.
        density: kept weights per weight of the layers that may be pruned.
        seconds: spent in steps, over all starts [s].
        told: epochs done, or why it failed.
    """

    state: State
    ours: Figures = field(default_factory=Figures)
    density: float | None = None
    seconds: float | None = None
    told: str = ""


@dataclass(slots=True)
class Training:
    """A process that trains a row, on the GPU of that name where there are several."""

    row: Row
    process: subprocess.Popen[bytes]
    gpu: str | None


def spec_of(row: Row, given: argparse.Namespace) -> TrainSpec:
    """The recipe of a row with what the command line changes."""
    spec = load_spec(ROOT / "models" / row.recipe / "spec.yaml")
    if row.epsilon is not None:
        structures = tuple(replace(s, epsilon=row.epsilon) for s in spec.pruning.structures)
        spec = replace(spec, pruning=replace(spec.pruning, structures=structures))
    schedule = spec.training
    schedule = replace(
        schedule,
        epochs=given.epochs or schedule.epochs,
        batch_size=given.batch or schedule.batch_size,
        rate=given.rate or schedule.rate,
        max_steps=given.steps,
    )
    if given.net:
        spec = replace(spec, net=replace(spec.net, name=given.net))
    if given.data:
        spec = replace(spec, data=replace(spec.data, name=given.data, pad=1, flip=False))
    engine = replace(spec.engine, compile=spec.engine.compile if given.compile is None else given.compile)
    return replace(spec, training=schedule, engine=engine, seed=given.seed)


def command_of(row: Row, given: argparse.Namespace) -> list[str]:
    """What trains a row, from its beginning or from where it was stopped."""
    words = ["train", "--spec", f"{row.name}.yaml", "--out", row.name, "--floats-only", "--resume", "--json"]
    words += ["--accelerator", given.accelerator, "--checkpoint-minutes", "1", "--no-tensorboard"]
    data = [] if given.data_dir is None else ["--data-dir", str(given.data_dir.resolve())]
    return [sys.executable, "-m", "psp_hw", *words, *data]


def check_requests(given: argparse.Namespace) -> None:
    """Refuse to go on with, or to write one table of, rows that were begun with another request."""
    for row in ROWS:
        file = given.runs / f"{row.name}.yaml"
        if file.exists() and file.read_text() != spec_to_yaml(spec_of(row, given)):
            said = f"{row.name} was begun with another request; give the same, or other --runs"
            raise SystemExit(f"{file}: {said}")


def begin(row: Row, given: argparse.Namespace, gpu: str | None = None) -> Training:
    """Start the process of a row; what it says lies beside its run."""
    (given.runs / f"{row.name}.yaml").write_text(spec_to_yaml(spec_of(row, given)))
    threads = str(max(1, (os.cpu_count() or 1) // given.side))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "TORCHINDUCTOR_CACHE_DIR": str((given.runs / "compiled").resolve()),
        **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
    }
    with (
        (given.runs / f"{row.name}.json").open("wb") as out,
        (given.runs / f"{row.name}.log").open("wb") as err,
    ):
        words = command_of(row, given)
        process = subprocess.Popen(words, cwd=given.runs, stdout=out, stderr=err, env=environment)
    return Training(row, process, gpu)


def gpus_of(given: argparse.Namespace) -> tuple[str | None, ...]:
    """The names of the GPUs that rows are spread over; one None where there are not several, or none is used."""
    if not on_gpu(given):
        return (None,)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(torch.cuda.device_count())] if named is None else named.split(",")
    return tuple(names[: torch.cuda.device_count()]) if torch.cuda.device_count() > 1 else (None,)


def idlest(gpus: Sequence[str | None], running: Sequence[Training]) -> str | None:
    """The GPU with the fewest rows; the first of equals."""
    return min(gpus, key=[training.gpu for training in running].count)


def on_gpu(given: argparse.Namespace) -> bool:
    """Whether the networks of the paper are trained on a GPU."""
    return Machine(accelerator=Accelerator(given.accelerator)).on_gpu(small=False)


def choose_compile(given: argparse.Namespace) -> None:
    """Settle whether steps are compiled: as the command says, as the rows of these runs were begun, or as it works on this GPU."""
    begun = [given.runs / f"{row.name}.yaml" for row in ROWS]
    known = next((load_spec(path).engine.compile for path in begun if path.exists()), None)
    if given.compile is None:
        given.compile = known
    if given.compile is None and given.minutes > 0 and on_gpu(given):
        problem = compile_problem()
        given.compile = problem is None
        if problem is not None:
            print(f"not compiled: torch.compile fails on this machine: {problem}", file=sys.stderr)


_TRIAL = """
import torch
step = torch.compile(lambda x: torch.relu(x @ x).sum(), mode="reduce-overhead", dynamic=False)
x = torch.ones(64, 64, device="cuda", requires_grad=True)
for _ in range(3):
    torch.compiler.cudagraph_mark_step_begin()
    step(x).backward()
torch.cuda.synchronize()
"""


def compile_problem(program: str = _TRIAL) -> str | None:
    """Why steps cannot be compiled here, no C compiler or no Triton; None where they can. In a process of its own, whose memory goes."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TRIAL_SECONDS} s"
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in said if "Error" in line.partition(":")[0]]
    return (errors or said or [f"exit code {done.returncode}"])[-1]


def train(rows: Sequence[Row], given: argparse.Namespace) -> dict[str, int]:
    """Train the rows that are not done, some at a time, until the time is over.

    Returns:
        The exit codes of the rows that ended by themselves, and badly.
    """
    end = time.monotonic() + 60.0 * given.minutes
    gpus, failed = gpus_of(given), {}
    waiting = [row for row in rows if outcome_of(row, given.runs).state is not State.DONE]
    running: list[Training] = []
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < given.side:
                running.append(begin(waiting.pop(0), given, idlest(gpus, running)))
            pause()
            codes = {training.row.name: training.process.poll() for training in running}
            failed |= {name: code for name, code in codes.items() if code not in (None, 0, INTERRUPTED)}
            running = [training for training in running if codes[training.row.name] is None]
    finally:
        stop(running)
    return failed


def pause() -> None:
    """Until the processes are looked at again."""
    time.sleep(POLL)


def stop(running: Sequence[Training]) -> None:
    """Let every process save what it has and end; kill one that does not listen."""
    for training in running:
        training.process.send_signal(signal.SIGTERM)
    patience = time.monotonic() + PATIENCE
    for training in running:
        try:
            training.process.wait(max(0.0, patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            training.process.kill()
            training.process.wait()


def outcome_of(row: Row, runs: Path) -> Outcome:
    """What a row came to, read from what its process left."""
    told = _json(runs / f"{row.name}.json")
    if "accuracy" in told:
        return Outcome(
            state=State.DONE,
            ours=Figures(
                error=100.0 * (1.0 - float(told["accuracy"])),
                params=float(told["params"]) / 1e6,
                macs=float(told["macs"]) / 1e9,
            ),
            density=float(told["density"]),
            seconds=told["seconds"].get("train"),
        )
    if told and told["exit_code"] != INTERRUPTED:
        return Outcome(state=State.FAILED, told=told["error"])
    if not (runs / row.name).is_dir():
        return Outcome(state=State.NOT_RUN)
    return Outcome(state=State.CUT, told=_how_far(row, runs))


def _json(path: Path) -> dict:
    """The document of a process; empty where it was killed before it said anything."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _how_far(row: Row, runs: Path) -> str:
    """Epochs that are done, of those that were asked for."""
    try:
        found = check_checkpoint(runs / row.name / LAST)
        wanted = load_spec(runs / f"{row.name}.yaml").training.epochs
    except PspHwError:
        return "before the first checkpoint"
    return f"epoch {int(found['epoch']) + 1} of {wanted}, step {int(found['global_step']):,}"


def document(rows: Sequence[Row], given: argparse.Namespace) -> dict:
    """Everything that the table says, and where it comes from."""
    outcomes = {row.name: outcome_of(row, given.runs) for row in rows}
    plain = {name: asdict(one) | {"state": one.state.value} for name, one in outcomes.items()}
    return {
        "command": shlex.join(["python", "benchmarks/paper_rows.py", *given.words]),
        "commit": _commit(),
        "seed": given.seed,
        "hardware": _hardware(given),
        "torch": torch.__version__,
        "specs": {row.name: _schedule(spec_of(row, given)) for row in rows},
        "rows": [asdict(row) | plain[row.name] for row in rows],
    }


def _schedule(spec: TrainSpec) -> str:
    """A schedule and an engine in words."""
    schedule, engine = spec.training, spec.engine
    steps = "" if schedule.max_steps is None else f", at most {schedule.max_steps} steps"
    how = f"rate {schedule.rate:g}{steps}, {engine.precision.value}{', compiled' if engine.compile else ''}"
    return f"{schedule.epochs} epochs of batches of {schedule.batch_size}, {how}"


def _commit() -> str:
    """Of the checkout; where there is none, unknown."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _hardware(given: argparse.Namespace) -> str:
    if on_gpu(given):
        count = len(gpus_of(given))
        several = f"{count} x " if count > 1 else ""
        return f"{several}{torch.cuda.get_device_name()}, {given.side} trainings side by side"
    return f"{platform.machine()} CPU, {os.cpu_count()} cores, {given.side} trainings side by side"


def table(found: dict) -> str:
    """The report: our figures, those of the paper beside them, and what shape pruning was to reach."""
    rows = found["rows"]
    lines = [
        "# The rows of PSP on CIFAR-10",
        "",
        "Error on the 10,000 test images, pruned floats. Parameters with BN folded; MACs per image. The figures of the paper are beside"
        " ours where they are known here; – is not known.",
        "",
        "| row | | state | error [%] | paper | parameters [M] | paper | MACs [G] | paper | density | hours |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        *_goals(rows),
        f"Command: `{found['command']}`, commit {found['commit']}, seed {found['seed']}; {found['hardware']}; torch {found['torch']}.",
        "",
        *(f"- {name}: {spec}" for name, spec in found["specs"].items()),
        "",
    ]
    return "\n".join(lines)


def _line(row: dict) -> str:
    ours, paper = row["ours"], row["paper"]
    state = row["state"] + (f" ({row['told']})" if row["told"] else "")
    hours = None if row["seconds"] is None else row["seconds"] / 3600
    cells = [row["name"], row["table"], state, _number(ours["error"], 2), _number(paper["error"], 2)]
    cells += [_number(ours["params"], 3), _number(paper["params"], 2)]
    cells += [_number(ours["macs"], 4), _number(paper["macs"], 2)]
    cells += [_number(row["density"], 3), _number(hours, 2)]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _goals(rows: list[dict]) -> list[str]:
    """Shape pruning was to halve the MACs at no more error than the dense network of the same command."""
    dense = {row["recipe"].partition("-")[0]: row for row in rows if "-dense-" in row["recipe"]}
    said = []
    for row in rows:
        base = dense.get(row["recipe"].partition("-")[0])
        both = base is not None and base["state"] == row["state"] == State.DONE.value
        if "shape" not in row["name"] or base is None or not both:
            continue
        saved = base["ours"]["macs"] / row["ours"]["macs"]
        more = row["ours"]["error"] - base["ours"]["error"]
        met = "met" if saved >= 2.0 and more <= 0.0 else "not met"
        said.append(f"- {row['name']}: {saved:.2f} times fewer MACs, {more:+.2f} points of error: {met}")
    return ["Goal: at least 2 times fewer MACs at no more error than dense.", "", *said, ""] if said else []


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [row.name for row in ROWS]
    arguments.add_argument("--data-dir", type=Path, help="where CIFAR-10 is")
    arguments.add_argument("--runs", type=Path, default=Path("runs/paper"), help="folder of the runs")
    arguments.add_argument("--out", type=Path, help="folder of the table (reports/paper; of a trial: --runs)")
    arguments.add_argument("--minutes", type=float, required=True, help="0: only write the table")
    arguments.add_argument("--side", type=int, default=6, help="trainings at a time")
    arguments.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW")
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--rate", type=float)
    arguments.add_argument("--steps", type=int, help="at most so many steps")
    arguments.add_argument("--seed", type=int, default=1)
    compiled = "the default on a GPU on which torch.compile works"
    arguments.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help=compiled)
    arguments.add_argument("--accelerator", default="auto", choices=[kind.value for kind in Accelerator])
    arguments.add_argument("--net", help="another network, to try the script")
    arguments.add_argument("--data", help="another data set, to try the script")
    given = arguments.parse_args(words)
    given.words = list(sys.argv[1:] if words is None else words)
    trial = given.net or given.data or given.steps
    given.out = given.out or (given.runs if trial else ROOT / "reports" / "paper")
    return given


def main(words: Sequence[str] | None = None) -> int:
    """Train, then write the table; also after Ctrl-C.

    Returns:
        1 where a row that was asked for failed, else 0.
    """
    given = parse(words)
    given.runs.mkdir(parents=True, exist_ok=True)
    wanted = [row for row in ROWS if row.name in given.rows]
    choose_compile(given)
    check_requests(given)
    failed: dict[str, int] = {}
    try:
        failed = train(wanted, given)
    finally:
        given.out.mkdir(parents=True, exist_ok=True)
        found = document(ROWS, given)
        (given.out / "result.json").write_text(json.dumps(found, indent=2) + "\n")
        text = table(found)
        (given.out / "report.md").write_text(text)
        print(text)
    for name, code in failed.items():
        print(f"{name}: exit code {code}; what it said: {given.runs / name}.log", file=sys.stderr)
    states = {row["name"]: row["state"] for row in found["rows"]}
    return int(bool(failed) or any(states[row.name] == State.FAILED.value for row in wanted))


if __name__ == "__main__":
    sys.exit(main())
