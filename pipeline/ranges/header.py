"""What a raster says about the network, the backend and the data that it comes from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from backends.base import Backend
from backends.network import Network
from pipeline.config import Config, resolved
from recordings.raster.schema import LayerSpec, RasterHeader

STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only


def raster_header(
    network: Network, backend: Backend, dataset: str, seed: int, config: Config | None = None
) -> RasterHeader:
    """What the raster says about its origin."""
    about = [
        (layer.kind, _constant(layer.spiking_neuron.threshold), _constant(layer.spiking_neuron.leak))
        for layer in network.layers
    ]
    if network.spiking_input:
        about.insert(0, ("input", 0.0, 0.0))
    rasters = enumerate(zip(network.raster_names, network.raster_shapes, about, strict=True), network.first_raster)
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
        layers=tuple(LayerSpec(name, number, shape, *constants) for number, (name, shape, constants) in rasters),
        classes=network.classes,
        readout_scale=network.readout.scale,
    )


def _constant(constant: Any) -> float:
    """A constant of all neurons of a layer; 0 where channels differ."""
    return 0.0 if np.ndim(constant) else float(constant)
