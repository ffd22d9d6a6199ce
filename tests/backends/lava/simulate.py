"""`python -m tests.backends.lava.simulate [thread]`: simulate without end, a line after each sample."""

import sys
import threading
from collections.abc import Iterator

import numpy as np

from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.network import LIF, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise

TIMESTEPS = 5


def network() -> Network:
    weight = np.ones((4, 12), np.float32)
    return quantise(
        Network((3, 2, 2), TIMESTEPS, (Layer("fc1", weight, LIF(1.0)),), Readout(weight[:2, :4]), "poisson")
    )


def inputs() -> Iterator[np.ndarray]:
    while True:
        yield np.ones((TIMESTEPS, 1, 3, 2, 2), np.bool_)


def main() -> None:
    rasters = LavaBackend().run(network(), inputs(), 10**6)
    if "thread" in sys.argv:  # the simulation is started by a thread that ends long before it
        first = threading.Thread(target=lambda: next(rasters))
        first.start()
        first.join()
    for _ in rasters:
        print("sample", flush=True)


if __name__ == "__main__":
    main()
