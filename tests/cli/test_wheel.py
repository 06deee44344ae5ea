"""The wheel stands alone: templates and headers travel inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where nothing else of the repository is."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def python(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_wheel_holds_every_file_of_the_package_and_of_the_templates(site: Path) -> None:
    def files(folder: Path) -> set[str]:
        found = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {p.relative_to(folder).as_posix() for p in found}

    assert files(ROOT / "hls_templates") == files(site / "psp_hw" / "_hls_templates")
    packaged = {name for name in files(site / "psp_hw") if not name.startswith("_hls_templates/")}
    assert files(ROOT / "psp_hw") == packaged
    assert not (site / "tests").exists()


def test_design_is_emitted_from_the_wheel_alone(site: Path, digits_run: Path, tmp_path: Path) -> None:
    where = python(site, "-c", "import psp_hw; print(psp_hw.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()) == site / "psp_hw" / "__init__.py"

    made = python(
        site,
        "-m",
        "psp_hw",
        "emit",
        str(digits_run),
        "--fps",
        "2000",
        "--out",
        "design",
        "--json",
        cwd=tmp_path,
    )

    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["fits"] is True
    for header in (site / "psp_hw" / "_hls_templates" / "include" / "psp").glob("*.h"):
        assert header.read_bytes() == (tmp_path / "design" / "include" / "psp" / header.name).read_bytes()
