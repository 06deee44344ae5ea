"""Parts of data paths that are priced together."""

from __future__ import annotations

import numpy as np
import pytest

from psp_hw.cost.devices import Fabric
from psp_hw.cost.operators import times, tree
from psp_hw.cost.pricing import price_parts
from psp_hw.dse.chains import trees


@pytest.mark.parametrize("fabric", list(Fabric))
def test_trees_priced_together_take_what_each_takes(fabric):
    inputs, bits, most = np.add(np.indices((40, 6, 5)).reshape(3, -1), np.array([[1], [2], [3]]))

    expected = [
        price_parts(times(tree(*one), 1), fabric).amounts
        for one in zip(inputs.tolist(), bits.tolist(), most.tolist(), strict=True)
    ]

    assert np.array(expected).tolist() == trees(inputs, bits, most, fabric).tolist()
