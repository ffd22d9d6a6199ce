"""Backends by themselves: simulate batches without recording them, or add a backend of your own.

:func:`make_backend` makes the backend of a name. :meth:`Backend.run` takes a network and batches of
its input, each an :data:`InputBatch`, such as :class:`PackedSpikes`, and yields a
:class:`RasterBatch` at a time, whose spikes are packed as :func:`pack` packs them and
:func:`unpack` unpacks. Where `Backend.forms_maps` is True, :meth:`Backend.run_maps` takes a
:class:`MapRequest`, and yields :class:`FormedMaps`. A backend that cannot run raises
:class:`spikesam.BackendError`.

A simulator of your own extends :class:`Backend`. :func:`spikesam.simulate` takes such an object as
`backend`; the entry points `spikesam.backends` give it a name.

:func:`repair_lava` lets lava-nc be imported on Python 3.11 to 3.13, for a program that uses Lava
itself.

Examples
--------
One neuron that needs two of its input's spikes; its own come a step later.

>>> import numpy as np
>>> import spikesam
>>> from spikesam.simulators import PackedSpikes, make_backend, unpack
>>> neuron = spikesam.Layer("fc1", np.ones((1, 1), np.float32), spikesam.LIF(1.0, 1.5))
>>> readout = spikesam.Readout(np.ones((1, 1), np.float32))
>>> network = spikesam.Network((1, 1, 1), 5, (neuron,), readout)
>>> spikes = PackedSpikes.of(np.ones((5, 1, 1, 1, 1), bool))
>>> (batch,) = make_backend("event").run(network, [spikes], 1)
>>> unpack(batch.spikes["fc1"], (1, 1, 1)).ravel().astype(int)
array([0, 0, 1, 0, 1])
"""

from __future__ import annotations

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend, FormedMaps, InputBatch, MapRequest
from spikesam.backends.lava.repairs import repair_lava
from spikesam.recordings.raster.batch import PackedSpikes, RasterBatch, pack, unpack

__all__ = [
    "Backend",
    "FormedMaps",
    "InputBatch",
    "MapRequest",
    "PackedSpikes",
    "RasterBatch",
    "make_backend",
    "pack",
    "repair_lava",
    "unpack",
]
