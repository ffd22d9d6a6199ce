"""Relevance of a raster's spikes for the predicted classes, as :func:`pipeline.maps.method.write_maps` takes it.

Needs the raster and the network that it was recorded from: no image, no gradient, neither torch nor lava.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from backends.network import Network
from backends.network.quantise import quantise
from backends.network.storage import read_network
from pipeline.networks.checkpoint_files import find_checkpoint
from recordings.errors import InputError
from recordings.maps.schema import MapHeader
from recordings.raster.batch import unpack
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from recordings.schema import SampleTable

from .method import Explained
from .relevance import Rule, Spikes, relevance
from .sam_maps import map_header


@dataclass(frozen=True)
class RelevanceMaps:
    """Where the spikes lie that speak for the answer, a :class:`pipeline.maps.method.MapMethod`.

    A step's map is the positive part of the relevance summed over channels; the sum is that of the relevance summed
    over channels and steps, so evidence against the class counts wherever it lies in the sum.

    Parameters
    ----------
    raster : an open raster
    network : that it was recorded from, see :func:`recorded_network`
    layers : of the raster, with a spatial extent, at least one
    rule : how relevance is divided, see :mod:`pipeline.maps.relevance`
    steps, stepped : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    """

    raster: RasterReader
    network: Network
    layers: tuple[LayerSpec, ...]
    rule: Rule = "signed"
    steps: tuple[int, ...] = ()
    stepped: int = 0

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        parameters = {"rule": self.rule, "network_sha256": self.network.sha256}
        return map_header("relevance", self.raster, self.layers, parameters, self.steps, self.stepped)

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    def explain(self, sample: int) -> Explained:
        """Prediction, sums and, of the first samples, maps."""
        first = self.raster.layers.index(self.layers[0])  # what lies before it is not needed
        behind = self.raster.layers[first:]
        prediction = int(self.raster.predictions[sample])
        found = relevance(self.network, [self._spikes(layer, sample) for layer in behind], prediction, self.rule)
        by_step = {layer.name: each.sum(axis=1) for layer, each in zip(behind, found, strict=True)}
        kept = list(self.steps) if sample < self.stepped else None
        return Explained(
            prediction,
            {layer.name: _positive(by_step[layer.name].sum(axis=0)) for layer in self.layers},
            {} if kept is None else {layer.name: _positive(by_step[layer.name][kept]) for layer in self.layers},
        )

    def _spikes(self, layer: LayerSpec, sample: int) -> Spikes:
        return unpack(self.raster.packed(layer, sample)[None], layer.shape)[:, 0]


def recorded_network(raster: RasterReader, name: str | PathLike[str] | None = None) -> Network:
    """The network that a raster was recorded from, in the raster's precision.

    Parameters
    ----------
    name : a bundled network, a checkpoint or network file; `network.safetensors` beside the raster if not given

    Raises
    ------
    InputError : if there is none, it is another network, or the raster does not hold all of its layers
    """
    recorded = raster.header.network_sha256
    if not recorded:
        raise InputError(
            f"{raster.where}: does not say which network it was recorded from, expected a raster of a run; "
            "relevance needs the network"
        )
    if name is None and raster.path is not None:
        name = str(raster.path.with_name("network.safetensors"))
    path = find_checkpoint(str(name))
    network, _ = read_network(path)
    if raster.header.precision == "fixed":
        network = quantise(network)
    if network.sha256 != recorded:
        raise InputError(
            f"{path}: network {network.sha256[:12]}, but {raster.where} was recorded from {recorded[:12]}; "
            "give the network.safetensors of that run as network"
        )
    names = tuple(raster)
    if names != network.raster_names:
        raise InputError(
            f"{raster.where}: holds layers {', '.join(names)}, expected all of the network: "
            f"{', '.join(network.raster_names)}"
        )
    return network


def _positive(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.maximum(values, 0).astype(np.float32)
