"""Draw the sample of published layers that tests hold the estimator to.

    python scripts/sample_layers.py RECORDS.jsonl [--out tests/unit/cost/published_layers.jsonl]

Of every repository, kind and strategy the same few layers, spread evenly over the file; of each only what the estimator reads.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

STOCK = 3  # layers of each group
HANDWRITTEN = 8
KEPT = {
    "": (
        "uid",
        "framework",
        "kind",
        "stage",
        "grade",
        "tool",
        "version",
        "family",
        "clk_target_ns",
        "layer_label",
    ),
    "precision": ("input", "output", "weight", "accum"),
    "weights": (
        "n",
        "n_zero_q",
        "n_zeros_hls4ml",
        "n_pow2_q",
        "csd_digits",
        "n_unique_q",
        "max_abs_bits",
    ),
    "hls": (
        "strategy",
        "reuse_factor",
        "io_type",
        "stream_in_elems",
        "implementation",
        "directives",
        "top_directives",
        "loop_nest",
        "is_top",
    ),
    "measured": ("DSP", "LUT", "FF", "BRAM_18K", "lat_max", "ii_max"),
    "source": ("repo", "commit"),
}
SETTINGS = ("config_op", "config_array_partition")  # lines of Tcl that the estimator reads


def trimmed(record: dict) -> dict:
    found = {key: record[key] for key in KEPT[""] if key in record}
    found["shape"] = record["shape"]
    for part, keys in KEPT.items():
        if part:
            values = record.get(part) or {}
            found[part] = {key: values[key] for key in keys if values.get(key) is not None}
    script = [line for line in record["hls"].get("tcl") or [] if line.startswith(SETTINGS)]
    if script:
        found["hls"]["tcl"] = script
    return found


def spread(records: list[dict], count: int) -> list[dict]:
    """``count`` of them, evenly spaced, the first among them."""
    step = max(1.0, len(records) / count)
    return [records[int(index * step)] for index in range(min(count, len(records)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("tests/unit/cost/published_layers.jsonl"))
    args = parser.parse_args()
    groups: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for line in args.records.open():
        record = json.loads(line)
        if record["grade"] != "A" or record["kind"] not in ("conv2d", "dense"):
            continue
        if record["stage"] == "hls_estimate" and record["framework"] in ("hls4ml", "handwritten"):
            strategy = record["hls"].get("strategy") or record["framework"]
            told = record["hls"].get("loop_nest") if strategy == "handwritten" else "n" in record["weights"]
            if told:
                groups[record["source"]["repo"], record["kind"], strategy].append(record)
    chosen = [
        record
        for (_, _, strategy), found in sorted(groups.items())
        for record in spread(found, HANDWRITTEN if strategy == "handwritten" else STOCK)
    ]
    args.out.write_text("".join(json.dumps(trimmed(record)) + "\n" for record in chosen))
    print(f"{len(chosen)} layers of {len({key[0] for key in groups})} repositories")


if __name__ == "__main__":
    main()
