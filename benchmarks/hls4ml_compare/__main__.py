"""The command: everything measured or computed, then written."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import benchmarks.hls4ml_compare as package
from benchmarks.hls4ml_compare.hardware import our_row, stock_row
from benchmarks.hls4ml_compare.network import NETWORKS, resnet8
from benchmarks.hls4ml_compare.report import report
from benchmarks.hls4ml_compare.timing import Total, measured, totals, written
from benchmarks.hls4ml_compare.ways import Pace, Row, Way, plan_of, stock_specs
from psp_hw.backends.hls4ml.model import layer_specs
from psp_hw.backends.hls4ml.plugin import register
from psp_hw.folding.dataflow import build


def rows(images: int, limit_s: float, progress: Callable[[Row], None]) -> list[Row]:
    """Every row; nothing is measured where no image is asked for."""
    found = []
    for pace in Pace:
        for network, alive in NETWORKS:
            graph = resnet8(alive)
            flow = build(graph, plan_of(graph, pace))
            for way in Way:
                with tempfile.TemporaryDirectory() as folder:
                    ours = way is Way.OURS
                    specs = layer_specs(graph, flow) if ours else stock_specs(graph, flow, pace)
                    model = written(specs, graph, way, Path(folder))
                    row = (
                        our_row(graph, flow, pace, network, model)
                        if ours
                        else stock_row(graph, flow, pace, way, network, model, Path(folder))
                    )
                    if images and (pace is Pace.SAME_II or ours):
                        row = measured(row, model, graph, images, limit_s)
                progress(row)
                found.append(row)
    return found


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hls4ml_compare",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=20, help="frames per C simulation of the table")
    parser.add_argument("--ratio-images", type=int, default=200, help="frames of the comparison of times")
    parser.add_argument("--limit-s", type=float, default=300.0, help="give a compilation up after so long")
    parser.add_argument("--no-measure", action="store_true", help="compile and run nothing")
    parser.add_argument("--out", type=Path, default=Path("reports/hls4ml"))
    parser.add_argument(
        "--keep-table", action="store_true", help="only compare times; the table stays as result.json has it"
    )
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="hls4ml")
    register()
    images = 0 if asked.no_measure else asked.images

    def show(item: Row | Total) -> None:
        print(item, flush=True)

    if asked.keep_table:
        kept = json.loads((asked.out / "result.json").read_text())
        images, found = kept["images"], [Row(**row) for row in kept["rows"]]
    else:
        found = rows(images, asked.limit_s, show)
    speed = [] if asked.no_measure else totals(asked.ratio_images, show)
    asked.out.mkdir(parents=True, exist_ok=True)
    document = {
        "images": images,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "rows": [asdict(row) for row in found],
        "totals": [asdict(total) for total in speed],
    }
    (asked.out / "result.json").write_text(json.dumps(document, indent=2) + "\n")
    (asked.out / "report.md").write_text(report(found, speed, images, kept=asked.keep_table))


if __name__ == "__main__":
    main()
