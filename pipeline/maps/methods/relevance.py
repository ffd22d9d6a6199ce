"""Relevance of a raster's spikes for the predicted classes: what the answer rests on.

Needs the raster and the network that it was recorded from: no image, no gradient, neither torch nor lava. The rules by
which relevance is divided: :mod:`pipeline.maps.relevance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.layers import map_layers
from pipeline.maps.method import Explained, Explainer, Option
from pipeline.maps.raster_method import Kept, RasterMethod, raster_explainer
from pipeline.maps.relevance import Rule, relevance
from pipeline.networks.recorded import recorded_network
from recordings.maps.schema import MapHeader
from recordings.raster.batch import unpack
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec


@dataclass(frozen=True)
class Relevance(RasterMethod):
    """Which spikes the predicted class rests on.

    A step's map is the positive part of the relevance summed over channels; the sum is that of the relevance summed
    over channels and steps, so evidence against the class counts wherever it lies in the sum.
    """

    name = "relevance"
    title = "Relevance of spikes"
    shows = "What the answer rests on"
    target = "prediction"
    parameters: ClassVar[dict[str, type]] = {"network_sha256": str, "rule": str}

    network: Annotated[
        str | None,
        Option("of relevance: what was recorded; network.safetensors beside the raster if not given"),
    ] = None
    rule: Annotated[
        Rule, Option("of relevance: exact shares of the membrane, or those of exciting spikes alone (SLTRP)")
    ] = "signed"

    def of_raster(self, raster: RasterReader, layers: tuple[LayerSpec, ...], kept: Kept) -> Explainer:
        """See :class:`RasterMethod`."""
        network, (steps, stepped) = recorded_network(raster, self.network), kept
        first = raster.layers.index(layers[0]) if network.is_chain else 0
        behind = raster.layers[first:]  # what lies before is not needed
        parameters = {"network_sha256": network.sha256, "rule": self.rule}
        spatial = map_layers(raster.header, layers)
        header = MapHeader(self.name, raster.raster_digest, parameters, raster.timesteps, spatial, *kept)

        def explain(sample: int) -> Explained:
            spikes = [unpack(raster.packed(layer, sample)[None], layer.shape)[:, 0] for layer in behind]
            prediction = int(raster.predictions[sample])
            found = relevance(network, spikes, prediction, self.rule)
            by_step = {layer.name: each.sum(axis=1) for layer, each in zip(behind, found, strict=True)}
            return Explained(
                prediction,
                {layer.name: _positive(by_step[layer.name].sum(axis=0)) for layer in layers},
                {layer.name: _positive(by_step[layer.name][list(steps)]) for layer in layers * (sample < stepped)},
            )

        return raster_explainer(raster, header, explain)


def _positive(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.maximum(values, 0).astype(np.float32)
