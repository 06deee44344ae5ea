"""A sweep under the constants of a site: checked first, part of the request, and used for every trial."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from psp_hw.errors import DataError
from psp_hw.flow import sweep as subject
from psp_hw.flow.device import NOTHING_MORE, DeviceRequest
from psp_hw.flow.sweeps.plan import Plan, SweepRequest, planned, record

SITE = (
    '{"kind": "psp-hw calibration", "tools": [], "factors": '
    '[{"stage": "rtl-synthesis", "resource": "LUT", "factor": %s, "samples": 9}]}'
)


def sweep(folder: Path, factor: str | None) -> Plan:
    spec = folder / "spec.yaml"
    spec.write_text("{net: {name: digits-cnn}, data: {name: digits}, pruning: {structures: [shape]}}")
    (folder / "sweep.yaml").write_text("epsilon: [0.1, 0.2]\n")
    if factor is None:
        return planned(SweepRequest(spec=spec))
    site = folder / f"{factor}.json"
    site.write_text(SITE % factor)
    return planned(SweepRequest(spec=spec, device=DeviceRequest(calibration=site)))


def test_workers_with_other_constants_were_asked_otherwise(tmp_path: Path) -> None:
    plain, two, three = (record(sweep(tmp_path, factor)) for factor in (None, "2", "3"))

    assert "calibration" not in plain
    assert two["calibration"] != three["calibration"]
    assert two["calibration"] == record(sweep(tmp_path, "2"))["calibration"]


def test_a_calibration_that_is_none_is_refused_before_a_trial(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no calibration"):
        sweep(tmp_path, "-1")


def test_every_trial_is_estimated_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[DeviceRequest] = []

    def estimate(run: Path, *, device: DeviceRequest = NOTHING_MORE, **_: object) -> SimpleNamespace:
        seen.append(device)
        return SimpleNamespace(
            fits=True, planned=SimpleNamespace(estimate=SimpleNamespace(interval=len(run.name)))
        )

    monkeypatch.setattr(subject, "estimate", estimate)

    assert 4.0 == subject._cycles(sweep(tmp_path, "2"), Path("0001"))
    assert [tmp_path / "2.json"] == [one.calibration for one in seen]
