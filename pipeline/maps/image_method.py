"""Methods that explain a network's answers to images or events; they compute with torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.network import Kind, Network
from pipeline.drawing.subject import Subject, subjects_of
from recordings.errors import InputError
from recordings.maps.schema import MapHeader, MapLayer, SourceName
from recordings.schema import SampleTable

from .layers import network_layers, spatial_layers
from .method import Explained, Explainer, MapMethod, Option, summed
from .steps import kept_steps

if TYPE_CHECKING:
    from pipeline.images.samples import Samples
    from pipeline.networks.differentiable import DifferentiableNetwork

# Predictions (B,), and of every layer in order of depth (T, B, H, W) float32 ≥ 0.
Maps = tuple[NDArray[np.int64], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class ImageMethod(MapMethod):
    """A method that explains a network and images, see :class:`pipeline.maps.method.MapMethod`.

    Attributes
    ----------
    kind : of the networks that it explains; None for both
    """

    source: ClassVar[SourceName] = "network_sha256"
    kind: ClassVar[Kind | None] = "snn"

    data: Annotated[
        tuple[str, ...] | None,
        Option(
            'images: "cluttered-digits", "cifar10", "fashion-mnist", a data set (folder or zip), or files; events: '
            '"saccade-digits", a folder of class folders, or files; if not given, the digits that fit the network'
        ),
    ] = None
    samples: Annotated[
        int, Option("how many images or recordings, in a random order in which classes take turns", at_least=1)
    ] = 8
    seed: Annotated[
        int, Option("seed of the order of the images, and of the Poisson spikes", at_least=0, below=1 << 63)
    ] = 0
    download: Annotated[bool, Option("fetch cifar10 or fashion-mnist if it is not here")] = False

    @abstractmethod
    def maps(
        self,
        network: DifferentiableNetwork,
        inputs: InputBatch,
        labels: NDArray[np.integer[Any]],
        layers: Sequence[str],
    ) -> Maps:
        """The maps of B images.

        Parameters
        ----------
        network : in float32
        inputs : what its encoder makes of the images
        labels : (B,) true classes, -1 where unknown
        layers : by name, in order of depth; "input" alone of a method that is not `layered`
        """

    def of_kind(self, kind: Kind) -> ImageMethod:
        """This method, or what stands for it, of a network that is at hand.

        Raises
        ------
        InputError : if it does not explain networks of this kind
        """
        if kind != self.kind:
            raise InputError(f"explain: {self.name} explains a network of kind {self.kind}, got {kind}")
        return self

    def chosen_layers(self, network: Network, layers: Sequence[str], where: str) -> tuple[str, ...]:
        """The layers that get maps: those that are named, or all."""
        return spatial_layers(network.raster_kinds, layers, where) if self.layered else ("input",)

    def path(self, source: Any) -> Path | None:
        """The checkpoint's."""
        from pipeline.networks.checkpoint import Checkpoint
        from pipeline.networks.checkpoint_files import find_checkpoint

        if isinstance(source, Checkpoint):
            return None
        if isinstance(source, (str, PathLike)):
            return find_checkpoint(str(source))
        raise InputError(f"explain: got {type(source).__name__}, expected a network: its name, file or checkpoint")

    @contextmanager
    def prepare(self, source: Any, layers: Sequence[str], steps: str, pictured: int) -> Iterator[Explainer]:
        """Load the network, and read the images."""
        from pipeline.images.samples import choose_samples  # here, because these take a while, and torch a second
        from pipeline.networks.checkpoint import Checkpoint, load_checkpoint
        from pipeline.networks.differentiable import DifferentiableNetwork

        checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source, self.kind)
        network, where = checkpoint.network, self.name if source is checkpoint else str(source)
        method = self.of_kind(network.kind)
        differentiable = DifferentiableNetwork(network)
        chosen = method.chosen_layers(network, layers, where)
        kept_steps(steps, network.timesteps, self.samples, pictured)  # refused before images are read
        images = choose_samples(self.data, checkpoint, self.samples, self.seed, self.download)
        yield ImageExplainer(method, differentiable, checkpoint.class_names, images, chosen, steps, pictured)


@dataclass(frozen=True)
class ImageExplainer(Explainer):
    """Explains images one by one.

    Parameters
    ----------
    method : how
    network : in float32
    class_names : for people
    images : what is explained
    layers : names of layers with a spatial extent, in order of depth
    wanted_steps, pictured : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    """

    method: ImageMethod
    network: DifferentiableNetwork
    class_names: tuple[str, ...]
    images: Samples
    layers: tuple[str, ...]
    wanted_steps: str
    pictured: int
    raster: None = field(default=None, init=False)

    @property
    def samples(self) -> SampleTable:
        """What is explained."""
        return self.images.table

    @property
    def header(self) -> MapHeader:
        """What the file says of them; maps of the input alone have one step."""
        network, method = self.network.network, self.method
        parameters = {name: getattr(method, name) for name in method.parameters}
        if not method.layered:
            layer = MapLayer("input", 0, network.input_shape[1:], 1)
            return MapHeader(method.name, network.sha256, parameters, 1, (layer,), source_name=method.source)
        layers = network_layers(network, self.layers)
        kept = kept_steps(self.wanted_steps, network.timesteps, len(self.samples), self.pictured)
        return MapHeader(method.name, network.sha256, parameters, network.timesteps, layers, *kept, method.source)

    @property
    def what(self) -> str:
        """What is computed."""
        steps = self.header.timesteps
        return f"{self.method.name} maps of {self._count}, {steps} step{'s' * (steps > 1)}"

    @property
    def notes(self) -> list[str]:
        """Whether maps are for another class than the true one."""
        unknown = int((self.samples.label < 0).sum())
        if not unknown or self.method.target != "label":
            return []
        return [f"no label is known of {unknown} of {self._count}: explained for the predicted class"]

    @property
    def _count(self) -> str:
        return f"{len(self.samples)} sample{'s' * (len(self.samples) > 1)}"

    def explain(self, sample: int) -> Explained:
        """Prediction, sums and, of the first samples, maps."""
        (inputs,) = self.images.encoded([sample], self.network.network, self.method.seed, 1)
        predictions, maps = self.method.maps(self.network, inputs, self.samples.label[[sample]], self.layers)
        return summed(self.header, sample, int(predictions[0]), {name: each[:, 0] for name, each in maps.items()})

    def subjects(self, predictions: NDArray[np.int32]) -> list[Subject]:
        """The images."""
        return subjects_of(self.images, predictions, self.class_names)
