"""Which GPUs there are, and whether steps can be compiled on them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import torch

from benchmarks.paper_rows.rows import ROWS
from psp_hw.spec.load import load_spec
from psp_hw.training.machine import Accelerator, Machine

TRIAL_SECONDS = 300.0  # to compile a small function: Triton starts slowly


def gpus_of(given: argparse.Namespace) -> tuple[str | None, ...]:
    """The names of the GPUs that rows are spread over; one None where there are not several, or none is used."""
    if not on_gpu(given):
        return (None,)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(torch.cuda.device_count())] if named is None else named.split(",")
    return tuple(names[: torch.cuda.device_count()]) if torch.cuda.device_count() > 1 else (None,)


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
