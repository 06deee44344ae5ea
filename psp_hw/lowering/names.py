"""Names of ONNX nodes as short, legal, unique identifiers."""

from __future__ import annotations

import re

from psp_hw.ir.verify import FORK_SUFFIX

# Scopes that exporters put around what the user named.
_SCOPES = {
    "act_quant",
    "weight_quant",
    "bias_quant",
    "input_quant",
    "export_handler",
    "activation_impl",
    "tensor_quant",
}


class Names:
    """Hands out identifiers, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, wish: str) -> str:
        """The wish as an identifier; with a number after it where it is taken."""
        base = re.sub(r"[^A-Za-z0-9]+", "_", wish).strip("_")[:64] or "value"
        if base[0].isdigit():
            base = f"n{base}"
        if base.endswith(FORK_SUFFIX):  # belongs to the engine that copies a value
            base = f"{base}_layer"
        name, number = base, 2
        while name.lower() in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name.lower())
        return name


def layer_name(node_name: str, op_type: str, *, keep_type: bool) -> str:
    """The user's name of a layer, from an exporter's node name.

    ``/stage1/stage1.0/conv1/Conv`` is ``stage1_0_conv1``; with ``keep_type`` the op type is added in lower case, as for an
    ``Add`` that stands in the forward of a module, unless the name ends in it.
    """
    parts: list[str] = []
    for part in node_name.split("/"):
        if not part or part in _SCOPES or re.fullmatch(rf"{re.escape(op_type)}(_\d+)?", part):
            continue
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    unnamed = not parts or (keep_type and not parts[-1].lower().endswith(op_type.lower()))
    if unnamed:
        parts.append(op_type.lower())
    return "_".join(parts)
