"""reports/training/engine.json says how its figures were made, as benchmarks/training.py writes it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def test_figures_of_the_engine_name_command_commit_and_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("engine_benchmark", ROOT / "benchmarks/training.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(module, "_processor", lambda: "some processor")

    made = module.provenance(["--threads", "1", "--net", "two words"], "cpu")

    assert "python benchmarks/training.py --threads 1 --net 'two words'" == made["command"]
    assert "some processor, 2 cores" == made["hardware"]
    assert (torch.__version__, 1) == (made["torch"], made["seed"])
    stored = json.loads((ROOT / "reports/training/engine.json").read_text())
    assert list(made) == list(stored)[: len(made)]
    assert all(stored[key] for key in made)
