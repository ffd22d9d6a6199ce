"""The readout is exact in fixed point, whatever its sums are computed in."""

import numpy as np
import pytest

from spikesam.backends.network import Readout
from spikesam.backends.readout import ReadoutIntegrator


@pytest.mark.parametrize(
    "neurons", [500, 520, 2000]
)  # sums of 16,190,000, and beyond 2²⁴: 16,840,000; 64,770,000
@pytest.mark.parametrize("places", [1, 4])
def test_largest_sums_are_exact(neurons: int, places: int) -> None:
    weight = np.full((3, neurons // places), 127, np.int8)
    weight[1] = -127
    weight[2, 0] = 126
    steps = 255
    integrator = ReadoutIntegrator(Readout(weight), steps, places)
    integrator.add(np.ones((steps, 2, neurons), np.uint8))
    largest = 127 * steps * neurons
    for found in integrator.result():
        assert found.tolist() == [largest, -largest, largest - steps * places]
