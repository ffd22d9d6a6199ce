"""Spike Activation Maps that Lava's graph formed while it ran, where no raster exists to explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spikesam.pipeline.maps.methods.sam import SpikeActivationMaps


@dataclass(frozen=True)
class GraphMaps(SpikeActivationMaps):
    """Where neurons fire in short intervals; `run --backend lava --keep maps` alone makes these maps."""

    name = "graph-sam"
    title = "Spike Activation Map, formed in the network's graph"
    source = "network_sha256"
    parameters: ClassVar[dict[str, type]] = {"gamma": float, "variant": str, "seed": int}
    offline = False
