"""A network in fixed point or float32, and several of them on equal spikes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import Backend, batch_size
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.pipeline.images.samples import Samples
from spikesam.recordings.raster.batch import chosen_classes

BATCH = 16  # images encoded together


def in_precision(network: Network, precision: str) -> Network:
    """A network in fixed point or float32; what is in fixed point is refused as float32."""
    if precision == "fixed":
        return quantise(network)
    if precision != "float32":
        raise InputError(f"precision is {precision!r}, expected 'fixed' or 'float32'")
    if network.precision != "float32":
        raise InputError(
            "precision: the network holds fixed point already, which float32 cannot undo; use fixed"
        )
    return network


def predictions_by_seed(
    networks: Sequence[Network], backend: Backend, samples: Samples, seeds: Iterable[int]
) -> list[NDArray[np.int64]]:
    """The class that each network, of equal spikes and input, chooses by Poisson seed, (seeds, N)
    each.
    """
    chosen: list[list[NDArray[np.int64]]] = [[] for _ in networks]  # batch by batch
    for seed in seeds:
        for inputs in samples.encoded(range(len(samples)), networks[0], seed, BATCH):
            for of_network, network in zip(chosen, networks, strict=True):
                batches = backend.run(network, [inputs], batch_size(inputs))
                of_network += [chosen_classes(batch.readout).astype(np.int64) for batch in batches]
    return [np.concatenate(of_network).reshape(-1, len(samples)) for of_network in chosen]
