"""``psp-hw nets``."""

from __future__ import annotations

import json
import subprocess
import sys


def test_nets_are_listed_with_their_counts_without_torch() -> None:
    code = (
        "import sys; from psp_hw.cli.main import run; code = run(['nets', '--json']); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    nets = {net["name"]: net for net in json.loads(done.stdout)["nets"]}

    assert {"digits-cnn", "resnet110", "densenet40", "densenet-c-87"} <= set(nets)
    found = nets["densenet40"]
    assert (40, 1_019_722, 264_812_928) == (found["layers"], found["parameters"], found["macs"])
