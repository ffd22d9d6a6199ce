"""The readout's arithmetic, equal in all backends: the last layer's spikes are weighted and
integrated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import EXACT, THETA, Readout

MOST = 255  # spikes that a byte counts


class ReadoutIntegrator:
    """r[t] = leak · r[t-1] + W s[t] + bias[t], in float64, of one sample, or of B that begin
    together.

    Without leak it is computed from counts, which are summed over the `places` of a channel if W is
    equal at them.
    """

    def __init__(self, readout: Readout, timesteps: int, places: int = 1) -> None:
        self.readout, self.timesteps, self.places = readout, timesteps, places
        largest = (
            np.abs(readout.weight.astype(np.float64)).sum(axis=1).max(initial=0)
            * timesteps
            * places
        )
        exact = readout.weight.dtype == np.int8 and readout.leak == 1 and largest <= EXACT
        self.weight: NDArray[Any] = readout.weight.astype(
            np.float32 if exact else np.float64
        )  # half as much to read
        self.bias = summed_bias(readout, timesteps)
        self.rest()

    def rest(self) -> None:
        """Begin a sample."""
        self.t = 0
        self.counts = np.zeros(self.weight.shape[1], np.int64)
        self.sums = np.zeros(len(self.weight))

    def add(self, spikes: NDArray[Any]) -> None:
        """Take the next steps: (S, n) of 0 and 1, or (S, B, n), in the order of the weights'
        columns.
        """
        if self.readout.leak == 1:
            for first in range(0, len(spikes), MOST):
                counted = spikes[first : first + MOST].sum(axis=0, dtype=np.uint8)
                places = counted.reshape(*counted.shape[:-1], -1, self.places)
                self.counts = self.counts + places.sum(axis=-1, dtype=np.int32)
        else:
            # Not a matrix product: BLAS would leave a thread spinning, where another sample is
            # being simulated.
            self.sums = integrate(
                self.readout, np.einsum("s...j,ij->s...i", spikes, self.weight), self.sums, self.t
            )
        self.t += len(spikes)

    def result(self) -> NDArray[Any]:
        """(K,) or (B, K), int32 in fixed point, float32 otherwise."""
        if self.readout.leak == 1:
            driven = np.einsum("ij,...j->...i", self.weight, self.counts.astype(self.weight.dtype))
            return rounded(self.readout, driven + self.bias)
        return rounded(self.readout, self.sums)


def integrate(
    readout: Readout, driven: NDArray[Any], sums: NDArray[Any], start: int
) -> NDArray[Any]:
    """The sums (…, K) after some steps, of W s[t] of steps from `start` on, (S, …, K), and r of the
    step before.
    """
    fixed, leak_in_4096ths = readout.weight.dtype == np.int8, THETA * readout.leak
    for t, drive in enumerate(driven, start):
        leaked = np.trunc(sums * leak_in_4096ths / THETA) if fixed else sums * readout.leak
        sums = leaked + drive + readout.bias[t % len(readout.bias)]
    return sums


def summed_bias(readout: Readout, timesteps: int) -> NDArray[Any]:
    """(K,) float64, the bias summed over T steps."""
    return np.broadcast_to(readout.bias, (timesteps, readout.bias.shape[1])).sum(
        axis=0, dtype=np.float64
    )


def rounded(readout: Readout, sums: NDArray[Any]) -> NDArray[Any]:
    """Sums in the dtype of files: int32 in fixed point, float32 otherwise."""
    return sums.astype(np.int32 if readout.weight.dtype == np.int8 else np.float32)
