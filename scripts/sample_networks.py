"""Draw the published networks that tests hold the prediction of RTL synthesis to.

    python scripts/sample_networks.py RECORDS.jsonl [--out tests/unit/cost/published_networks.jsonl]

Every network with a report after RTL synthesis, and its C synthesis report; of each only what the estimator reads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

KEPT = ("id", "kind", "framework", "stage", "grade", "part")
STAGES = ("rtl_synth", "hls_estimate")
FIFO = ("depth", "bits", "BRAM_18K")


def design(record: dict) -> str:
    return record["id"].split("#")[0]


def listed(value: object) -> list[dict]:
    """A list that some records hold as text."""
    return json.loads(value) if isinstance(value, str) else value or []


def trimmed(record: dict) -> dict:
    found = {key: record[key] for key in KEPT if key in record}
    found["source"] = {key: record["source"][key] for key in ("repo", "commit")}
    found["hls"] = {"strategy": record["hls"].get("strategy")}
    found["measured"] = {key: record["measured"].get(key) for key in ("DSP", "LUT", "FF", "BRAM_18K")}
    if record["stage"] == "hls_estimate":
        blocks = ((record.get("breakdown") or {}).get("FIFO") or {}).get("BRAM_18K")
        found["breakdown"] = {"FIFO": {"BRAM_18K": blocks}}
        layers = listed(record.get("layers"))
        found["layers"] = [{"rf": layer.get("rf"), "strategy": layer.get("strategy")} for layer in layers]
        fifos = [fifo for fifo in listed(record.get("fifos")) if fifo.get("BRAM_18K")]
        found["fifos"] = [{key: fifo[key] for key in FIFO} for fifo in fifos]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("tests/unit/cost/published_networks.jsonl"))
    args = parser.parse_args()
    networks = [record for line in args.records.open() if (record := json.loads(line))["kind"] == "network"]
    wanted = {design(record) for record in networks if record["stage"] == "rtl_synth"}
    chosen = [record for record in networks if design(record) in wanted and record["stage"] in STAGES]
    args.out.write_text("".join(json.dumps(trimmed(record)) + "\n" for record in chosen))
    print(f"{len(chosen)} records of {len(wanted)} networks")


if __name__ == "__main__":
    main()
