"""Put finished runs under models/, each with a card, and write the table of all of them.

    python scripts/publish_models.py --commit HASH --hardware "2 cores of ..." --data-dir DIR RUN... [--report reports/cifar10]
    python scripts/publish_models.py --data-dir DIR models/NAME... --report reports/cifar10      # measures them again

A published model is the run without its checkpoints, but with the pruned floats between its phases (tensors alone, read as such): every
command that takes a run takes it, `psp-hw train --weights` and `--from` too. Floats that several runs share lie in one of them. The card and the table hold
nothing that was not read from the run, measured by `psp-hw simulate` on the whole test split, or estimated by
`psp-hw estimate`; they are written anew each time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from psp_hw.training.run import CHECKED, MANIFEST, PRUNED, checksum, same_floats

BOARD = "pynq-z2"
RESULT = "result.json"
CARD = "README.md"


def psp_hw(*words: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    command = [sys.executable, "-m", "psp_hw", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def measure(model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What the card says beyond the manifest."""
    data = ("--data-dir", str(given.data_dir))
    trained = provenance(model, given)
    brevitas = psp_hw("simulate", str(model), "--against", "brevitas", *data)
    csim = psp_hw("simulate", str(model), "--against", "csim", "--limit", str(given.csim_images), *data)
    cost = psp_hw("estimate", str(model), "--board", BOARD)
    return trained | {
        "brevitas": {key: brevitas[key] for key in ("images", "mismatches")},
        "csim": {key: csim[key] for key in ("images", "mismatches")},
        "estimate": {"board": BOARD, "interval": cost["cycles"]["interval"], "fps": cost["fps"]}
        | {key: cost["resources"][key] for key in ("DSP", "LUT", "BRAM18")},
    }


def provenance(model: Path, given: argparse.Namespace) -> dict[str, str]:
    """Commit and hardware of the training: as given, else as an earlier card of the model says."""
    known = json.loads((model / RESULT).read_text()) if (model / RESULT).exists() else {}
    said = {key: getattr(given, key) or known.get(key, "") for key in ("commit", "hardware")}
    if not all(said.values()):
        sys.exit(f"{model.name} was not published before: --commit and --hardware say what trained it")
    return said


def publish(run: Path, models: Path, given: argparse.Namespace) -> Path:
    """Copy a run and note what was measured on the copy."""
    model = models / run.name
    if run.resolve() != model.resolve():
        model.mkdir(parents=True, exist_ok=True)
        for name in (*CHECKED, MANIFEST):
            shutil.copyfile(run / name, model / name)
        publish_floats(run, model)
    (model / RESULT).write_text(json.dumps(measure(model, given), indent=2) + "\n")
    (model / CARD).write_text(card(model))
    return model


def publish_floats(run: Path, model: Path) -> None:
    """Copy the pruned floats of a run, unless another published model has the same; they must be those that the run wrote."""
    if same_floats(model) is not None:
        return
    wanted = json.loads((run / MANIFEST).read_text())["checksums"].get(PRUNED)
    if not (run / PRUNED).is_file() or checksum(run / PRUNED) != wanted:
        sys.exit(f"{run / PRUNED}: missing, or not what the run wrote")
    (model / PRUNED).parent.mkdir(exist_ok=True)
    shutil.copyfile(run / PRUNED, model / PRUNED)


def read(model: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and measurements of a published model."""
    return json.loads((model / MANIFEST).read_text()), json.loads((model / RESULT).read_text())


def bits(spec: dict[str, Any]) -> str:
    """Widths as on the command line."""
    return f"{spec['quant']['weight_bits']},{spec['quant']['act_bits']}"


def command(model: Path, spec: dict[str, Any]) -> str:
    """What trains it again."""
    start = spec["net"].get("weights")
    weights = (
        f" --weights models/{Path(start).name}" if start else ""
    )  # the spec names the run as it was then
    return (
        f"psp-hw train --spec models/{model.name}/spec.yaml{weights} --data-dir DIR --out runs/{model.name}"
    )


def floats(model: Path, spec: dict[str, Any]) -> list[str]:
    """How to go on from its floats."""
    home = same_floats(model)
    if home is None:
        return ["The floats were not kept."]
    shared = "" if home == model else f" They are those of [{home.name}](../{home.name})."
    return [
        f"The pruned floats lie in `models/{home.name}/{PRUNED}` (tensors alone; checksum in the manifest).{shared}",
        "",
        "```sh",
        f"psp-hw train --from models/{home.name} --bits 6,4 --data-dir DIR --out runs/other-bits",
        f"psp-hw train --weights models/{home.name} --net {spec['net']['name']} --shape --data-dir DIR --out runs/pruned",
        "```",
    ]


def taps(layer: dict[str, Any]) -> str:
    """The surviving positions of a layer as rows of a kernel."""
    rows, columns = layer["kernel"]
    kept = {tuple(tap) for tap in layer["taps"]}
    return " ".join("".join("x" if (r, s) in kept else "." for s in range(columns)) for r in range(rows))


def facts(manifest: dict[str, Any], result: dict[str, Any]) -> list[tuple[str, str]]:
    """What was measured and estimated of a model: name and value."""
    metrics, cost = manifest["metrics"], result["estimate"]
    calibrated = metrics.get("accuracy_calibrated")
    return [
        ("accuracy, floats", f"{metrics['accuracy']:.2%}"),
        (
            "accuracy, quantized, before fine-tuning",
            "not measured" if calibrated is None else f"{calibrated:.2%}",
        ),
        ("accuracy, quantized", f"{metrics['accuracy_quantized']:.2%}"),
        ("weights, activations", f"{bits(manifest['spec'])} bits"),
        ("density of the pruned layers", f"{metrics['density']:.3f}"),
        ("parameters", f"{metrics['params']:,}"),
        ("multiplications per image", f"{metrics['macs']:,}"),
        (
            f"estimate on {cost['board']}",
            f"{cost['fps']:,.0f} frames/s, one each {cost['interval']:,} cycles, "
            f"{cost['DSP']} DSP, {cost['LUT']:,} LUT, {cost['BRAM18']} BRAM18",
        ),
        (
            "integers against Brevitas",
            f"{result['brevitas']['mismatches']} mismatches, {result['brevitas']['images']:,} images",
        ),
        (
            "integers against the C++",
            f"{result['csim']['mismatches']} mismatches, {result['csim']['images']:,} images",
        ),
    ]


def chosen(spec: dict[str, Any]) -> str:
    """How structures were chosen, where a learnt alpha did not, in a sentence behind others."""
    criterion = spec["pruning"].get("criterion", "alpha")
    if criterion == "alpha" or not spec["pruning"]["structures"]:
        return ""
    return f" Structures were chosen in the trained network by {criterion}."


def taught(spec: dict[str, Any]) -> str:
    """Whose answers the network learnt beside the labels, in a sentence behind others."""
    distill = spec.get("distill", {})
    if not distill.get("teacher"):
        return ""
    return f" Both phases learn the answers of `{distill['teacher']}`, too: {distill['share']:.0%} of the loss, at temperature {distill['temperature']:g}."


def card(model: Path) -> str:
    """README.md of a model."""
    manifest, result = read(model)
    spec, metrics = manifest["spec"], manifest["metrics"]
    structures = ", ".join(s["kind"] for s in spec["pruning"]["structures"]) or "nothing"
    phase, tuning = spec["training"], spec["finetune"]
    lines = [
        f"# {model.name}",
        "",
        f"{spec['net']['name']} on {spec['data']['name']}, pruned: {structures}. Accuracy is over the whole test split, at the end of the schedule.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts(manifest, result)),
        "",
        "## Use",
        "",
        "```sh",
        f"psp-hw emit models/{model.name} --target vivado --board {result['estimate']['board']}",
        f"psp-hw simulate models/{model.name} --against csim --data-dir DIR --limit 100",
        "```",
        "",
        "The preprocessing is in `input.npz`: subtract its mean from the raw pixels, divide by its divisor.",
        "",
        "## Surviving positions",
        "",
        "| layer | kernel | channels | weights kept |",
        "|---|---|---|---|",
        *(
            f"| {layer['name']} | `{taps(layer)}` | {layer['channels'][0]} to {layer['channels'][1]} | {layer['kept']:,} of {layer['total']:,} |"
            for layer in metrics["layers"]
        ),
        "",
        "## Training",
        "",
        f"{phase['epochs']} epochs of {phase['batch_size']} images, largest rate {phase['rate']} ({phase['shape']}), in {spec['engine']['precision']}; "
        f"then {tuning['epochs']} epochs quantization-aware, rate {tuning['rate']} ({tuning['shape']}). Seed {spec['seed']}, commit {result['commit']}, {result['hardware']}.{chosen(spec)}{taught(spec)}",
        "",
        "```sh",
        command(model, spec),
        "```",
        "",
        "## Floats",
        "",
        *floats(model, spec),
        "",
    ]
    return "\n".join(lines)


def report(models: list[Path], intro: str) -> str:
    """The table of all models."""
    head = "| model | W,A | density | float | quantized | fine-tuned | lost | parameters | multiplications | frames/s on "
    lines = [intro, head + f"{BOARD} | DSP |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for model in models:
        manifest, result = read(model)
        spec, m, cost = manifest["spec"], manifest["metrics"], result["estimate"]
        lost = 100 * (m["accuracy"] - m["accuracy_quantized"])
        lines.append(
            f"| [{model.name}](../../models/{model.name}) | {bits(spec)} | {m['density']:.3f} | {m['accuracy']:.2%} | "
            f"{m['accuracy_calibrated']:.2%} | {m['accuracy_quantized']:.2%} | {lost:+.2f} | {m['params']:,} | {m['macs']:,} | {cost['fps']:,.0f} | {cost['DSP']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Publish the runs and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("runs", nargs="*", type=Path)
    arguments.add_argument("--models", type=Path, default=Path("models"))
    arguments.add_argument("--data-dir", type=Path, required=True)
    arguments.add_argument("--commit", default="")
    arguments.add_argument("--hardware", default="")
    arguments.add_argument("--csim-images", type=int, default=1000)
    arguments.add_argument("--report", type=Path)
    given = arguments.parse_args()
    for run in given.runs:
        print(publish(run, given.models, given))
    if given.report is not None:
        published = sorted(path.parent for path in given.models.glob(f"*/{RESULT}"))
        intro = given.report / "intro.md"
        table = report(published, intro.read_text() if intro.exists() else "# Trained networks\n")
        (given.report / "report.md").write_text(table)


if __name__ == "__main__":
    main()
