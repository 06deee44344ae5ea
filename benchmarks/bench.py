"""The speeds that the README states: `make bench` measures them and writes reports/bench/.

    python benchmarks/bench.py [--out reports/bench]

Needs nothing but a quiet machine, and some minutes of it.

Ratios are measured in one process, the two sides taking turns, so that whatever else the machine does hits both; the
median of the rounds is what counts. The networks have random weights: speed does not depend on training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CORES = min(2, os.cpu_count() or 1)
ROUNDS = 7
IMAGES = 512
DENSITY = 0.6
SIM_GOAL, EMIT_GOAL_S, HELP_GOAL_S = 0.5, 5.0, 0.3
# Networks that are folded, how many of nine taps they keep, and the parts: the search finds the fastest design in 70 % of the part,
# else in the part, its FIFOs sized, and its bound; where nothing fits, the least design and what would help.
FOLDED = (
    ("resnet8", 5, "xc7z020"),
    ("resnet56", 9, "xczu7ev"),
    ("resnet56", 5, "xczu7ev"),
    ("resnet56", 4, "xczu7ev"),
    ("densenet100", 9, "xcvu19p"),
    ("densenet100", 9, "xcvu13p"),
    ("densenet100", 9, "xcu250"),
    ("densenet100", 9, "xczu7ev"),
)
FOLD_GOAL_S, FRAME_GOALS_S = 1.0, {"resnet8": 1.0, "resnet56": 10.0}
FOLD_ROUNDS = 3


def main() -> None:
    """Measure everything and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "bench")
    out: Path = parser.parse_args().out
    warnings.filterwarnings("ignore", message="fast_hadamard_transform")
    with tempfile.TemporaryDirectory() as folder:
        dense, model = make_network("resnet20", Path(folder))
        result = {
            "machine": {"cores": CORES, "processor": processor(), "python": platform.python_version()},
            "simulation": measure_simulation(dense, model),
            "emit": measure_emit(model, Path(folder) / "design"),
            "help": measure_help(),
            "folding": measure_folding(Path(folder)),
        }
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    text = to_markdown(result)
    (out / "report.md").write_text(text)
    print(text)


def make_network(name: str, folder: Path, density: float = DENSITY):  # type: ignore[no-untyped-def]
    """A dense network in float32, and the same shape-pruned at 8 bits as QONNX."""
    import copy

    import torch
    from torch import nn

    from psp_hw.nn.registry import build_net
    from psp_hw.quant.calibrate import calibrate_activations, calibrate_weights
    from psp_hw.quant.convert import quantize
    from psp_hw.quant.fold import fold_batch_norm
    from psp_hw.quant.steps import trace_steps
    from psp_hw.spec.train import NetSpec, QuantSpec
    from psp_hw.training.export import export_model

    torch.manual_seed(1)
    image = (3, 32, 32)
    dense = build_net(NetSpec(name=name), image=image, classes=10)
    with torch.no_grad():
        dense.train()(torch.randn(64, *image))  # gives batch norm its statistics
    dense.eval()
    pruned = copy.deepcopy(dense)
    generator = torch.Generator().manual_seed(2)
    convolutions = [m for m in pruned.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for layer in convolutions[1:]:
        kept = torch.zeros(9)
        kept[torch.randperm(9, generator=generator)[: round(9 * density)]] = 1.0
        layer.weight.data *= kept.reshape(1, 1, 3, 3)
    model = quantize(fold_batch_norm(trace_steps(pruned)), QuantSpec())
    calibrate_weights(model, QuantSpec())
    calibrate_activations(model, [torch.randn(64, *image)])
    export_model(model.eval(), image, folder / f"{name}.onnx", name=name)
    return dense, folder / f"{name}.onnx"


def measure_simulation(dense, model: Path) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """Images per second of the exact integer simulation and of torch."""
    import torch

    from psp_hw.flow.source import read_graph, resolve
    from psp_hw.sim.values import Simulator, encode

    graph = read_graph(resolve(model))
    images = np.random.default_rng(3).normal(size=(IMAGES, 3, 32, 32)).astype(np.float32)
    codes = encode(images, graph.input.type)
    simulator = Simulator(graph, threads=CORES)
    pixels = torch.from_numpy(images)
    torch.set_num_threads(CORES)

    def infer(batch: int) -> None:
        with torch.inference_mode():
            for at in range(0, IMAGES, batch):
                dense(pixels[at : at + batch])

    batch = min((32, 64, 128, 256, 512), key=lambda size: seconds(lambda: infer(size), warm=True))
    ours, theirs = [], []
    simulator.run(codes)
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: simulator.run(codes)))
        theirs.append(seconds(lambda: infer(batch)))
    ratios = [there / here for here, there in zip(ours, theirs, strict=True)]
    return {
        "network": f"resnet20, {IMAGES} images, {DENSITY:.2f} of the taps kept, 8 bits",
        "images_per_second": IMAGES / statistics.median(ours),
        "torch_float32_dense_images_per_second": IMAGES / statistics.median(theirs),
        "torch_batch": batch,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "goal": SIM_GOAL,
    }


def measure_emit(model: Path, design: Path) -> dict[str, object]:
    """Seconds to write a design of resnet20, nothing compiled, as a new process (imports included)."""
    command = [
        sys.executable,
        "-m",
        "psp_hw",
        "emit",
        str(model),
        "--part",
        "xczu7ev",
        "--out",
        str(design),
        "--json",
    ]
    taken = []
    for _ in range(3):
        taken.append(seconds(lambda: subprocess.run(command, check=True, capture_output=True)))
    return {"network": "resnet20", "seconds": statistics.median(taken), "goal": EMIT_GOAL_S}


def measure_folding(folder: Path) -> list[dict[str, object]]:
    """Processor time to choose folds and size FIFOs, and to simulate a frame in time; each in a process that priced nothing before."""
    models = {
        name: make_network(name, folder, 1.0)[1] for name in dict.fromkeys(name for name, _, _ in FOLDED)
    }
    found = []
    for name, taps, part in FOLDED:
        rounds = []
        for _ in range(FOLD_ROUNDS):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rounds.append(pool.apply(fold_once, (models[name], taps, part)))
        median = statistics.median(float(one["seconds"]) for one in rounds)
        found.append({"network": name, "taps": taps, "part": part, **rounds[0], "seconds": median})
        found[-1] |= {"goal": FOLD_GOAL_S, "frame_goal": FRAME_GOALS_S.get(name)}
    return found


def fold_once(model: Path, taps: int, part_name: str) -> dict[str, object]:
    """One search, and one frame of what it found."""
    from psp_hw.cost.engines import pipeline_depth
    from psp_hw.cost.parts import find_part
    from psp_hw.dse.densities import at_density
    from psp_hw.dse.search import search
    from psp_hw.flow.source import read_graph, resolve
    from psp_hw.folding.dataflow import build
    from psp_hw.sim.cycles import simulate
    from psp_hw.units import Clock

    graph = at_density(read_graph(resolve(model)), taps / 9)
    part, clock = find_part(part_name), Clock(period_ns=5.0)
    start = time.process_time()
    found = search(graph, part, clock)
    searched = time.process_time()
    flow = build(graph, found.plan)
    depths = {engine.name: pipeline_depth(engine, part.fabric, clock) for engine in flow.engines}
    begun = time.process_time()
    simulate(flow, depths=depths, max_frames=1)
    return {
        "engines": len(flow.engines),
        "seconds": searched - start,
        "optimality": str(found.optimality) if found.optimality is not None else found.remedy,
        "frame_seconds": time.process_time() - begun,
    }


def measure_help() -> dict[str, object]:
    """Seconds of `psp-hw --help`."""
    command = [str(Path(sys.executable).with_name("psp-hw")), "--help"]
    taken = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(ROUNDS)]
    return {"seconds": statistics.median(taken), "goal": HELP_GOAL_S}


def seconds(work: Callable[[], object], *, warm: bool = False) -> float:
    """Wall-clock time of one call."""
    if warm:
        work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.machine()


def to_markdown(result: dict) -> str:  # type: ignore[type-arg]
    """The figures as a table."""
    simulation, emit, help_ = result["simulation"], result["emit"], result["help"]
    return "\n".join(
        [
            "# Speed",
            "",
            f"Measured by `make bench` on {result['machine']['cores']} cores ({result['machine']['processor']}).",
            "",
            "| What | Measured | Goal |",
            "| --- | ---: | ---: |",
            f"| exact integer simulation of shape-pruned resnet20 [images/s] | {simulation['images_per_second']:,.0f} | |",
            f"| torch float32 eval of dense resnet20, batch {simulation['torch_batch']} [images/s] "
            f"| {simulation['torch_float32_dense_images_per_second']:,.0f} | |",
            f"| ratio of the two, median of {ROUNDS} alternating rounds | {simulation['ratio']:.2f} | at least {SIM_GOAL} |",
            f"| `psp-hw emit` of resnet20, nothing compiled [s] | {emit['seconds']:.2f} | below {EMIT_GOAL_S:g} |",
            f"| `psp-hw --help` [s] | {help_['seconds']:.2f} | below {HELP_GOAL_S:g} |",
            *(
                f"| folds and FIFOs of {one['network']} at {one['taps']} of 9 taps ({one['engines']} engines) on {one['part']} [s of a "
                f"processor] | {one['seconds']:.2f} | below {one['goal']:g} |"
                for one in result["folding"]
            ),
            *(
                f"| a frame of {one['network']} at {one['taps']} of 9 taps simulated in time [s] | {one['frame_seconds']:.3f} | below {one['frame_goal']:g} |"
                for one in result["folding"]
                if one["frame_goal"] is not None
            ),
            "",
        ]
    )


if __name__ == "__main__":
    main()
