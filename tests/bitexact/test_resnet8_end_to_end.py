"""resnet8, from training to compiled C++: every link of the chain of equalities, on 200 images of 32x32 pixels.

With CIFAR-10 where it lies (the folder of PSP_HW_DATA, else data/), else with made-up images of its shape: the equalities
do not depend on what the images show.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from psp_hw.data import registry
from psp_hw.flow.simulate import Request as SimulateRequest
from psp_hw.flow.simulate import simulate
from psp_hw.flow.source import read_graph, resolve
from psp_hw.flow.train import Request, train
from psp_hw.lowering import lower
from psp_hw.sim.values import Simulator, encode

IMAGES = 200
DATA = Path(os.environ.get("PSP_HW_DATA", "data"))

pytestmark = pytest.mark.slow


def made_up(name: str, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Coloured stripes and noise, 10 classes, in place of CIFAR-10."""
    rng = np.random.default_rng(0 if split == "train" else 1)
    count = 2560 if split == "train" else 256
    labels = rng.integers(0, 10, size=count)
    rows = np.arange(32)[None, None, :, None]
    waves = 90 * np.sin(rows * (labels[:, None, None, None] + 1) / 5.0) * np.ones((1, 3, 1, 32))
    images = 128 + waves + rng.normal(0, 40, size=(count, 3, 32, 32))
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module", autouse=True)
def images() -> object:
    """CIFAR-10, or images in its place."""
    if (DATA / "cifar-10-batches-bin").is_dir():
        yield "cifar10"
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_raw", made_up)
        yield "made up"


@pytest.fixture(scope="module", params=["8,8", "4,4"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resnet8") / "run"
    bits: str = request.param
    asked = Request(
        net="resnet8", structures=("shape",), density=0.6, bits=bits, steps=8, data_dir=DATA, out=out
    )
    return train(asked, progress=False).run


def test_graph_equals_brevitas_before_and_after_the_passes(run: Path) -> None:
    found = simulate(SimulateRequest(source=run, data_dir=DATA, against="brevitas", limit=IMAGES))
    assert (found.images, found.mismatches, found.first_difference) == (IMAGES, 0, None)

    source = resolve(run)
    before, after = lower(run / "model.onnx"), read_graph(source)
    frames = np.random.default_rng(3).normal(size=(16, 3, 32, 32))
    codes = encode(frames, after.input.type)
    assert np.array_equal(Simulator(before).run(codes), Simulator(after).run(codes))
    assert sum(len(op.taps) for op in after.convolutions) < sum(len(op.taps) for op in before.convolutions)


@pytest.mark.parametrize(("widths", "count"), [("machine", IMAGES), ("synthesis", 20)])
def test_compiled_cpp_equals_the_graph(run: Path, widths: str, count: int) -> None:
    asked = SimulateRequest(source=run, data_dir=DATA, against="csim", widths=widths, limit=count)
    found = simulate(asked)

    assert (found.images, found.mismatches, found.first_difference) == (count, 0, None)
