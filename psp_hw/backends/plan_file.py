"""A fold plan as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from psp_hw.errors import RunError, SpecError, reason
from psp_hw.folding.plan import Fold, FoldPlan, MemoryKind, MultiplierKind, NodePlan
from psp_hw.spec.files import read_text_bounded

PLAN_NAME = "plan.json"
MAX_PLAN_BYTES = 16 << 20


def print_plan(plan: FoldPlan) -> str:
    """The plan as JSON text; the same text for the same plan."""
    nodes = {
        name: {
            "fold": node.fold.parts,
            "weights": node.weights.value,
            "delays": [kind.value for kind in node.delays],
            "multipliers": node.multipliers.value,
        }
        for name, node in sorted(plan.nodes.items())
    }
    document: dict[str, object] = {"nodes": nodes, "fifo_depths": dict(sorted(plan.fifo_depths.items()))}
    if plan.fifo_memories:
        document["fifo_memories"] = {name: kind.value for name, kind in sorted(plan.fifo_memories.items())}
    return json.dumps(document, indent=2) + "\n"


def load_plan(path: Path) -> FoldPlan:
    """Read what ``print_plan`` writes.

    Raises:
        RunError: the file is missing or does not hold a plan.
    """
    try:
        document = json.loads(read_text_bounded(path, MAX_PLAN_BYTES))
        nodes = {name: _node(entry) for name, entry in document["nodes"].items()}
        depths = {str(name): int(depth) for name, depth in document["fifo_depths"].items()}
        memories = {str(name): MemoryKind(kind) for name, kind in document.get("fifo_memories", {}).items()}
    except FileNotFoundError as error:
        raise RunError("is missing", where=str(path), hint="emit the design again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SpecError, RecursionError) as error:
        raise RunError(
            f"holds no fold plan: {reason(error)}", where=str(path), hint="emit the design again"
        ) from error
    return FoldPlan(nodes=nodes, fifo_depths=depths, fifo_memories=memories)


def _node(entry: dict[str, object]) -> NodePlan:
    fold, delays = entry["fold"], entry["delays"]
    if not isinstance(fold, dict) or not isinstance(delays, list):
        raise ValueError("a node has a fold and a list of delays")
    return NodePlan(
        fold=_loaded_fold(fold),
        weights=MemoryKind(entry["weights"]),
        delays=tuple(MemoryKind(kind) for kind in delays),
        multipliers=MultiplierKind(entry.get("multipliers", MultiplierKind.TOOL.value)),
    )


def _loaded_fold(entry: dict[str, object]) -> Fold:
    parts = ("pe", "lanes") if "lanes" in entry else ("pe", "simd", "taps")
    return Fold(**{part: int(str(entry[part])) for part in parts})
