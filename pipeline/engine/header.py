"""What a raster says about the network, the backend and the data that it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.pipeline.config import Config, resolved
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.schema import find_layer

STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only


def raster_header(
    network: Network,
    backend: Backend,
    dataset: str,
    seed: int,
    config: Config | None = None,
    layers: Iterable[str] = (),
) -> RasterHeader:
    """What the raster says about its origin.

    Parameters
    ----------
    layers : those to record, by name or number, all if there are none; the last layer is always recorded, since the
        steps that matter are counted from it

    Raises
    ------
    InputError : if there is no such layer
    """
    about = [
        (layer.kind, _constant(layer.spiking_neuron.threshold), _constant(layer.spiking_neuron.leak))
        for layer in network.layers
    ]
    if network.spiking_input:
        about.insert(0, ("input", 0.0, 0.0))
    rasters = enumerate(zip(network.raster_names, network.raster_shapes, about, strict=True), network.first_raster)
    ways = dict.fromkeys(network.raster_names) if network.is_chain else network.to_readout
    specs = [LayerSpec(name, number, shape, *constants, ways[name]) for number, (name, shape, constants) in rasters]
    numbers = {spec.name: spec.number for spec in specs}
    chosen = {find_layer(layer, numbers, "layers") for layer in layers}
    return RasterHeader(
        backend=backend.name,
        device=backend.device,
        precision=network.precision,
        timesteps=network.timesteps,
        dt=STEP_SECONDS,
        seed=seed,
        network_sha256=network.sha256,
        dataset=dataset,
        config=json.dumps(resolved(config) if config else {}),
        layers=tuple(spec for spec in specs if spec.name in chosen or not chosen or spec is specs[-1]),
        classes=network.classes,
        readout_scale=network.readout.scale,
        window=network.window,
    )


def _constant(constant: Any) -> float:
    """A constant of all neurons of a layer; 0 where channels differ."""
    return 0.0 if np.ndim(constant) else float(constant)
