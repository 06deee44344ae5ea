"""Factors that are not negative, by least absolute relative deviations: outliers, of which reports have many, do not bend them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Truths below this are compared in units, not in percent.
SMALL = 10.0

_ROUNDS = 40
_SWEEPS = 60
_LEAST_DEVIATION = 0.02  # deviations below 2 % count alike
_RIDGE = 1e-6
# Weight of what a factor is expected to be, in samples: it decides where few layers speak of a feature.
_BELIEF = 40.0


def fit(
    features: FloatArray, rest: FloatArray, truth: FloatArray, expected: FloatArray | None = None
) -> FloatArray:
    """Factors per feature.

    Args:
        features: [samples, features], not negative.
        rest: what the features have to explain [samples].
        truth: what deviations are measured by [samples].
        expected: what the factors are expected to be [features], which counts as a few samples; None expects nothing.

    Returns:
        [features], not negative, that make ``|features @ factors - rest| / max(truth, 10)`` small in sum.
    """
    scale = 1.0 / np.maximum(truth, SMALL)
    rows = features * scale[:, None]
    target = rest * scale
    sizes = np.maximum(np.abs(rows).max(axis=0), 1e-12)
    rows = rows / sizes
    belief = np.zeros(features.shape[1])
    start = np.zeros(features.shape[1])
    if expected is not None:
        present = np.maximum((np.abs(rows) > 0).sum(axis=0), 1)
        belief = _BELIEF * (np.abs(rows).sum(axis=0) / present) ** 2 / _LEAST_DEVIATION / 10.0
        belief = np.maximum(belief, 1e-3)
        start = expected * sizes
    weights = np.ones(len(rest))
    found = start.copy()
    for _ in range(_ROUNDS):
        weighted = rows * weights[:, None]
        gram = weighted.T @ rows + np.diag(belief)
        found = _not_negative(gram, weighted.T @ target + belief * start, found)
        weights = 1.0 / np.maximum(np.abs(rows @ found - target), _LEAST_DEVIATION)
    return np.asarray(found / sizes)


def _not_negative(gram: FloatArray, right: FloatArray, start: FloatArray) -> FloatArray:
    """The least of ``x' gram x / 2 - right' x`` over x >= 0, one coordinate at a time from a start."""
    found = start.copy()
    diagonal = np.diag(gram) + _RIDGE * max(float(np.trace(gram)), 1e-12)
    for _ in range(_SWEEPS):
        for index in range(len(found)):
            slope = right[index] - gram[index] @ found
            found[index] = max(0.0, found[index] + slope / diagonal[index])
    return found
