"""What arrays of the search hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Amounts: of resources in the order of ``Resource``, of cycles, of whatever is counted.
CostArray = npt.NDArray[np.int64]

# Prices, and what is paid by them.
FloatArray = npt.NDArray[np.float64]

# Places in another array.
Indices = npt.NDArray[np.intp]
