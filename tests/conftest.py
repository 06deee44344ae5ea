"""What all tests share: one thread per process, --update-golden, and a trained run made once."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Before numpy and torch load: several test processes share the cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Seeds are fixed: a run is the same run again. `make check` takes fewer examples, `pytest --hypothesis-profile explore` looks
# further. Nothing depends on how fast the machine is: examples have no deadline, and making them is not called too slow when others keep the cores busy.
SLOW_IS_FINE = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile(
    "fixed", derandomize=True, deadline=None, suppress_health_check=SLOW_IS_FINE
)
hypothesis.settings.register_profile(
    "quick", derandomize=True, deadline=None, suppress_health_check=SLOW_IS_FINE, max_examples=20
)
hypothesis.settings.register_profile(
    "explore", deadline=None, max_examples=2000, suppress_health_check=SLOW_IS_FINE
)
hypothesis.settings.load_profile("fixed")

gc.disable()  # while the tests and torch are loaded, nothing becomes garbage, and looking for it takes seconds

# nohup has SIGHUP ignored, processes inherit that, and psp-hw leaves it so; tests send the signal and want it heard.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent
FAST_SEEDS = 20  # of a test with the parameter `seed`; `make check` leaves the later ones out


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden`` rewrites the golden files instead of comparing with them."""
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from what is generated now"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@contextlib.contextmanager
def first_to_come(folder: Path) -> Iterator[bool]:
    """Whether this process is the first of the test processes to come here; the others wait until it is done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not folder.exists()


def shared_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent / "shared" if os.environ.get("PYTEST_XDIST_WORKER") else base / "shared"


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, shape-pruned digits-cnn trained for a few steps. Read it; copy it to change it."""
    from psp_hw.flow.train import Request, train

    run = shared_tmp(tmp_path_factory) / "digits-run"
    with first_to_come(run) as first:
        if first:
            aside = run.with_name("digits-run-aside")
            shutil.rmtree(aside, ignore_errors=True)
            train(Request(structures=("shape",), density=0.6, steps=60, out=aside), progress=False)
            aside.rename(run)
    return run


def pytest_collection_finish() -> None:
    """Garbage is looked for again, among what the tests make."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a trained run is slow, and so are the seeds of a test beyond its first ones."""
    for item in items:
        seed = item.callspec.params.get("seed") if hasattr(item, "callspec") else None
        late = isinstance(seed, int) and seed >= FAST_SEEDS
        if late or "digits_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
