"""`python -m tests.backends.lava.simulate [thread]`: simulate without end, a line after each
sample.
"""

import sys
import threading
from collections.abc import Iterator

import numpy as np

from spikesam.backends.lava._backend import LavaBackend
from spikesam.backends.network import LIF, Encoder, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise

TIMESTEPS = 5


def network(encoder: Encoder = "poisson") -> Network:
    """A dense layer of 4 neurons."""
    weight = np.ones((4, 12), np.float32)
    layer = Layer("fc1", weight, LIF(1.0))
    return quantise(Network((3, 2, 2), TIMESTEPS, (layer,), Readout(weight[:2, :4]), encoder))


def inputs(count: int, encoder: Encoder = "poisson") -> Iterator[np.ndarray]:
    """Samples, one at a time: spikes everywhere, or images of 1."""
    for _ in range(count):
        yield (
            np.ones((TIMESTEPS, 1, 3, 2, 2), np.bool_)
            if encoder == "poisson"
            else np.ones((1, 3, 2, 2), np.int8)
        )


def main() -> None:
    rasters = LavaBackend().run(network(), inputs(10**6), 10**6)
    if "thread" in sys.argv:  # the simulation is started by a thread that ends long before it
        first = threading.Thread(target=lambda: next(rasters))
        first.start()
        first.join()
    for _ in rasters:
        print("sample", flush=True)


if __name__ == "__main__":
    main()
