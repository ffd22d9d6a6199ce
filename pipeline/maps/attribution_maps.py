"""Maps of the input that speak for the predicted class, as :func:`pipeline.maps.method.write_maps` takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.base import InputBatch
from pipeline.images.samples import Samples, choose_samples
from pipeline.networks.checkpoint import load_checkpoint
from pipeline.networks.differentiable import DifferentiableNetwork
from recordings.maps.schema import MapHeader, MapLayer
from recordings.schema import SampleTable

from .attribution import Attributed, gradient_x_input, integrated_gradients, occlusion
from .method import Explained
from .rise import rise

Attribute = Callable[[DifferentiableNetwork, InputBatch, int], Attributed]
ATTRIBUTIONS: dict[str, Attribute] = {
    "gradient-x-input": lambda network, inputs, seed: gradient_x_input(network, inputs),
    "integrated-gradients": lambda network, inputs, seed: integrated_gradients(network, inputs),
    "occlusion": lambda network, inputs, seed: occlusion(network, inputs),
    "rise": lambda network, inputs, seed: rise(network.network, inputs, seed),
}


@dataclass(frozen=True)
class AttributionMaps:
    """One map of every input, over all of its steps, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    method : a key of :data:`ATTRIBUTIONS`
    network : spiking, in float32
    class_names : for people
    images : what is explained
    seed : of the Poisson spikes, and of RISE's masks
    """

    method: str
    network: DifferentiableNetwork
    class_names: tuple[str, ...]
    images: Samples
    seed: int

    @classmethod
    def load(
        cls, method: str, name: str, data: str | Sequence[str] | None, count: int, seed: int, download: bool = False
    ) -> AttributionMaps:
        """Attributions of a spiking checkpoint and images as the command line names them.

        Raises
        ------
        InputError : if one of them does not exist, the network is an ANN or in fixed point, or images cannot be read
        """
        checkpoint = load_checkpoint(name, "snn")
        network = DifferentiableNetwork(checkpoint.network)
        images = choose_samples(data, checkpoint, count, seed, download)
        return cls(method, network, checkpoint.class_names, images, seed)

    @property
    def samples(self) -> SampleTable:
        """What is explained."""
        return self.images.table

    @property
    def header(self) -> MapHeader:
        """What the file says of them: one layer, the input, and one step."""
        network = self.network.network
        layer = MapLayer("input", 0, network.input_shape[1:], 1)
        return MapHeader(self.method, network.sha256, {"seed": self.seed}, 1, (layer,))

    def explain(self, sample: int) -> Explained:
        """Prediction and the map."""
        (inputs,) = self.images.encoded([sample], self.network.network, self.seed, 1)
        predictions, maps = ATTRIBUTIONS[self.method](self.network, inputs, self.seed)
        return Explained(int(predictions[0]), {"input": maps[0]}, {})
