"""Methods that explain a network's answers to images or events; they compute with torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import Kind, Network
from spikesam.common.arguments import Option
from spikesam.common.errors import InputError, at
from spikesam.pipeline.drawing.subject import subjects_of
from spikesam.pipeline.images import DATA, DOWNLOAD, SAMPLES, SEED
from spikesam.pipeline.images.samples import DatasetSamples, Samples
from spikesam.pipeline.maps.layers import kept_steps, mapped_layers, network_layers
from spikesam.pipeline.maps.method import Explained, Explainer, MapMethod, summed
from spikesam.pipeline.networks.recorded import classes_of_samples, explained_classes
from spikesam.recordings.files import RASTER
from spikesam.recordings.maps.schema import MapHeader, MapLayer, SourceName

if TYPE_CHECKING:
    from torch import Tensor

    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork


# Predictions (B,), and of every layer in order of depth (T, B, H, W) float32 ≥ 0.
Maps = tuple[NDArray[np.int64], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class ImageMethod(MapMethod):
    """A method that explains a network, of `kind` or of both kinds if None, and images; see
    :class:`MapMethod`.
    """

    source: ClassVar[SourceName] = "network_sha256"
    optional: ClassVar[dict[str, type]] = {"target": int, "targets": str}
    kind: ClassVar[Kind | None] = "snn"

    data: Annotated[tuple[str, ...] | None, Option(DATA, python="object")] = None
    samples: Annotated[
        int | None, Option(f"{SAMPLES}; 8 of a data set if not given", at_least=1)
    ] = None
    seed: Annotated[int, Option(SEED, at_least=0, below=1 << 63)] = 0
    download: Annotated[bool, Option(DOWNLOAD)] = False
    target: Annotated[
        str | None,
        Option(
            "class that is explained, by name or number; if not given the true one by Grad-CAM, "
            "where it is known, and else each sample's predicted one",
            python="object",
        ),
    ] = None

    @abstractmethod
    def maps(
        self,
        network: DifferentiableNetwork,
        inputs: InputBatch,
        labels: NDArray[np.integer[Any]],
        layers: Sequence[str],
    ) -> Maps:
        """The maps of B encoded images of a float32 network for classes (B,), -1 for the predicted
        one; layers in order.
        """

    def of_kind(self, kind: Kind) -> ImageMethod:
        """This method, or its stand-in, for a network of this kind; InputError if it explains
        none.
        """
        if kind != self.kind:
            raise InputError(
                f"explain: {self.name} explains a network of kind {self.kind}, got {kind}"
            )
        return self

    def chosen_layers(self, network: Network, layers: Sequence[str]) -> tuple[str, ...]:
        """The layers that get maps: those that are named, or all."""
        return mapped_layers(network.shape_of, layers, bands=False) if self.layered else ("input",)

    def classes(
        self, labels: NDArray[np.integer[Any]], network: Network, class_names: Sequence[str]
    ) -> NDArray[np.integer[Any]]:
        """The class of each sample that is explained, (N,), -1 for the predicted one."""
        if self.target is not None:
            chosen = classes_of_samples(self.target, len(labels), network.classes, class_names)
            return np.array(chosen, np.int32)
        return labels if self.speaks_for == "label" else np.full(len(labels), -1, np.int32)

    def inputs(self, images: Samples, sample: int, network: Network) -> InputBatch:
        """The object that is explained of one sample: its encoded input."""
        return next(images.encoded([sample], network, self.seed, 1))

    def path(self, source: Any) -> Path | None:
        """The checkpoint's."""
        from spikesam.pipeline.networks.checkpoint import Checkpoint
        from spikesam.pipeline.networks.checkpoint_files import find_checkpoint

        if isinstance(source, (Checkpoint, Network)):
            return None
        if isinstance(source, (str, PathLike)):
            if (Path(source) / RASTER).is_file() or Path(source).suffix == ".h5":
                raise InputError(
                    f"{source}: is a recording, but method {self.name} explains a network and "
                    "images"
                )
            return find_checkpoint(str(source))
        raise InputError(
            f"explain: got {type(source).__name__}, expected a network: its name, file, checkpoint "
            "or import, or a torch model"
        )

    @contextmanager
    def prepare(
        self, source: Any, layers: Sequence[str], steps: str, pictured: int
    ) -> Iterator[Explainer]:
        """Load the network, and read the images."""
        # Here, because these take a while, and torch a second.
        from spikesam.pipeline.networks.checkpoint import Checkpoint, load
        from spikesam.pipeline.networks.defaults import usual_defaults
        from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
        from spikesam.pipeline.networks.open_samples import DEFAULT_SAMPLES, open_samples

        known = isinstance(source, (Checkpoint, Network))
        loaded = source if known else load(source, self.kind)
        network = loaded if isinstance(loaded, Network) else loaded.network
        class_names = () if isinstance(loaded, Network) else loaded.class_names
        method = self.of_kind(network.kind)
        with usual_defaults():
            differentiable = DifferentiableNetwork(network)
            with at(self.name if known else source):
                chosen = method.chosen_layers(network, layers)
            kept_steps(
                steps, network.timesteps, self.samples or DEFAULT_SAMPLES, pictured
            )  # refused before images are read
            with at("explain"):
                images = open_samples(
                    _alone(self.data),
                    loaded,
                    samples=self.samples,
                    seed=self.seed,
                    download=self.download,
                )
            step_choice = kept_steps(steps, network.timesteps, len(images), pictured)
            yield method._explainer(differentiable, class_names, images, chosen, step_choice)

    def _explainer(
        self,
        differentiable: DifferentiableNetwork,
        class_names: tuple[str, ...],
        images: Samples,
        layers: tuple[str, ...],
        step_choice: tuple[tuple[int, ...], int],
    ) -> Explainer:
        network, samples = differentiable.network, images.table
        if self.layered:
            timesteps, mapped = network.timesteps, network_layers(network, layers)
        else:
            timesteps, mapped, step_choice = (
                1,
                (MapLayer("input", 0, network.input_shape[1:], 1),),
                ((), 0),
            )
        classes = self.classes(samples.label, network, class_names)
        parameters = {name: getattr(self, name) for name in self.parameters}
        if self.target is not None:
            parameters |= explained_classes(self.target, classes.tolist())
        header = MapHeader(
            self.name, network.sha256, parameters, timesteps, mapped, *step_choice, self.source
        )

        def explain(sample: int) -> Explained:
            inputs = self.inputs(images, sample, network)
            predictions, maps = self.maps(differentiable, inputs, classes[[sample]], layers)
            return summed(
                header,
                sample,
                int(predictions[0]),
                {name: layer_maps[:, 0] for name, layer_maps in maps.items()},
            )

        count = f"{len(samples)} sample{'s' * (len(samples) > 1)}"
        description = f"{self.name} maps of {count}, {timesteps} step{'s' * (timesteps > 1)}"
        unknown = int((classes < 0).sum())
        note = f"no label is known of {unknown} of {count}: explained for the predicted class"
        notes: list[str] = []
        if isinstance(images, DatasetSamples):  # arrays have the labels that they were given
            notes = images.notes(self.samples)
            notes += [note] * bool(unknown and self.speaks_for == "label" and self.target is None)
        subjects = partial(subjects_of, images, class_names=class_names, answers=True)
        return Explainer(header, samples, explain, subjects, description, None, notes)


Classes = NDArray[np.integer[Any]] | None  # (B,), -1 and None for the predicted ones
Attributed = tuple[NDArray[np.int64], NDArray[np.float32]]  # predictions (B,), maps (B, H, W) ≥ 0


@dataclass(frozen=True)
class InputMethod(ImageMethod):
    """Evidence for the predicted class in the input: one map of an image, see
    :class:`ImageMethod`.
    """

    shows = "What speaks for the class"
    speaks_for = "prediction"
    parameters: ClassVar[dict[str, type]] = {"seed": int}
    layered = False

    @abstractmethod
    def attributed(
        self, network: DifferentiableNetwork, inputs: InputBatch, classes: Classes = None
    ) -> Attributed:
        """Predictions (B,) and maps (B, H, W) of B encoded images of a float32 network.

        The maps are of classes (B,), -1 and None being the predicted ones.
        """

    def maps(
        self,
        network: DifferentiableNetwork,
        inputs: InputBatch,
        labels: NDArray[np.integer[Any]],
        layers: Sequence[str],
    ) -> Maps:
        """See :class:`ImageMethod`."""
        predictions, maps = self.attributed(network, inputs, labels)
        return predictions, {"input": maps[None]}


def prepared(
    network: DifferentiableNetwork, inputs: InputBatch, classes: Classes
) -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor, Tensor]:
    """The input with the samples first, logits as a function of it, the predicted classes, and
    those that are explained.
    """
    import torch

    x = torch.from_numpy(unpacked(inputs)).to(network.readout.device, torch.float32)

    def logits(x: Tensor) -> Tensor:
        return network.logits(
            x.movedim(1, 0) if x.ndim == 5 else x
        )  # a current that is constant has no time

    x = x.movedim(1, 0) if x.ndim == 5 else x
    with torch.no_grad():
        return x, logits, *predicted_and_explained(logits(x), classes)


def predicted_and_explained(logits: Tensor, classes: Classes) -> tuple[Tensor, Tensor]:
    """The predicted classes (B,), and those that are explained."""
    import torch

    from spikesam.pipeline.networks.differentiable import classes_meant

    predictions = logits.argmax(1)
    if classes is None:
        return predictions, predictions
    return predictions, classes_meant(logits, torch.as_tensor(classes))


def positive(predictions: Tensor, values: Tensor) -> Attributed:
    """Predictions, and the positive part of signed values (B, …, C, H, W) summed over all but
    samples and pixels.
    """
    import torch

    summed = values.detach().flatten(1, -3).sum(1, dtype=torch.float64).clamp(min=0)
    return predictions.cpu().numpy(), summed.to(torch.float32).cpu().numpy()


def _alone(data: Any) -> Any:
    """The name or path that stands alone in a list, as the command line gives it; or the data."""
    is_list = isinstance(data, (tuple, list)) and len(data) == 1
    return data[0] if is_list and isinstance(data[0], (str, PathLike)) else data
