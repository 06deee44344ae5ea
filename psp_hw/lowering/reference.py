"""The float model itself: qonnx's executor, image by image."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from psp_hw.errors import ToolError

RealArray = npt.NDArray[np.float64]


def execute(
    path: Path,
    images: RealArray,
    *,
    channels_last: bool = False,
    on_image: Callable[[int], None] | None = None,
) -> RealArray:
    """Outputs of a model in float32, as qonnx computes them.

    Args:
        path: of the QONNX file.
        images: [N, C, H, W].
        channels_last: the model takes [N, H, W, C].
        on_image: called with the number of images done.

    Returns:
        [N, outputs], in the order of the model's output.

    Raises:
        ToolError: qonnx cannot execute the model.
    """
    fed = images.astype(np.float32)
    if channels_last:
        fed = np.ascontiguousarray(fed.transpose(0, 2, 3, 1))
    with _quiet():
        try:
            results = _results(path, fed, on_image)
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ToolError(f"qonnx cannot execute the model: {reason[0]}", where=str(path)) from error
    return np.stack(results).astype(np.float64)


def _results(
    path: Path, images: npt.NDArray[np.float32], on_image: Callable[[int], None] | None
) -> list[npt.NDArray[np.float32]]:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1  # exporters leave the batch open
    model = model.transform(InferShapes())
    source, result = model.graph.input[0].name, model.graph.output[0].name
    rank = len(model.get_tensor_shape(source))
    results = []
    for index, image in enumerate(images):
        one = image[None] if rank == 4 else image.reshape(1, -1)
        results.append(np.asarray(execute_onnx(model, {source: one})[result]).reshape(-1))
        if on_image is not None:
            on_image(index + 1)
    return results


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """qonnx and onnxruntime say much that is no news here: onnxruntime straight to file descriptor 2."""
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
