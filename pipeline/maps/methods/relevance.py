"""Maps of relevance: it is passed back through the spikes of a raster, which needs the network that
was recorded.

Neither image nor gradient is needed, neither torch nor lava. How relevance is divided:
`pipeline/maps/relevance.py`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network, Shape
from spikesam.backends.network.synapses.synapse import Floats
from spikesam.common.arguments import Option
from spikesam.common.errors import InputError, at
from spikesam.common.text import LONGEST_NAME, printable, shorten
from spikesam.pipeline.maps.layers import kept_steps, laid_out, map_layers, mapped_layers
from spikesam.pipeline.maps.method import (
    Explained,
    Explainer,
    RasterMethod,
    StepChoice,
    raster_explainer,
)
from spikesam.pipeline.maps.methods.signed_relevance import recorded_relevance
from spikesam.pipeline.maps.relevance import Signs, Spikes, relevance, variance_relevance
from spikesam.pipeline.networks.recorded import (
    class_names_of,
    classes_of_samples,
    explained_classes,
    listed_classes,
    one_class,
    recorded_network,
    with_network,
)
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, Parameter
from spikesam.recordings.raster.reader import RasterReader, opened_raster
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import MADE_OF

LONGEST_FILE = 64  # characters of a target in the name of a file
RULE = "; give the network, or leave out {rule}"


@dataclass(frozen=True)
class RelevanceMethod(RasterMethod):
    """Maps of the positive part of what relevance sums to over channels, at a step or over
    steps.
    """

    network: Annotated[
        str | None,
        Option(
            "the recorded network, or the recorded model's import; network.safetensors beside the "
            "raster if not given",
            python="Network | Checkpoint | str | PathLike | None",
        ),
    ] = None

    @abstractmethod
    def relevance_of(self, network: Network, spikes: Sequence[Spikes], target: int) -> list[Floats]:
        """Relevance of one sample's spikes, see
        :func:`spikesam.pipeline.maps.relevance.relevance`.
        """

    def chosen(self, raster: RasterReader) -> dict[str, Parameter]:
        """Parameters that say which class is explained, where that is not each sample's prediction:
        none.
        """
        return {}

    def read(self, raster: RasterReader) -> RasterReader:
        """See :class:`RasterMethod`; a recording of a model is lined up with its network."""
        return raster if raster.header.network_sha256 else with_network(raster, self.network)[0]

    def of_raster(
        self, raster: RasterReader, layers: tuple[LayerSpec, ...], step_choice: StepChoice
    ) -> Explainer:
        """See :class:`RasterMethod`."""
        network, (steps, stepped) = recorded_network(raster, self.network), step_choice
        first = raster.layers.index(layers[0]) if network.is_chain else 0
        layers_from_first = raster.layers[first:]  # what lies before is not needed
        options = {
            name: getattr(self, name) for name in self.parameters if name != "network_sha256"
        }
        chosen = self.chosen(raster)
        parameters = {"network_sha256": network.sha256, **options, **chosen}
        targets = str(chosen.get("targets", "")).split()
        if "target" in chosen:
            targets = [str(chosen["target"])] * raster.n_samples
        if recorded := raster.known_as - {raster.raster_digest}:
            parameters[MADE_OF] = min(recorded)
        spatial = map_layers(raster.header, layers)
        header = MapHeader(
            self.name, raster.raster_digest, parameters, raster.timesteps, spatial, *step_choice
        )

        def explain(sample: int) -> Explained:
            spikes = [raster[layer.name][sample] for layer in layers_from_first]
            prediction = int(raster.predictions[sample])
            target = int(targets[sample]) if targets else prediction
            relevance = (
                self.relevance_of(network, spikes, target)
                if target >= 0
                else [np.zeros(layer_spikes.shape) for layer_spikes in spikes]
            )
            by_step = {
                layer.name: layer_relevance.reshape(-1, *laid_out(layer.shape)).sum(axis=1)
                for layer, layer_relevance in zip(layers_from_first, relevance, strict=True)
                if layer in layers
            }
            return _explained(prediction, by_step, steps if sample < stepped else None)

        return raster_explainer(raster, header, explain)


def _of_target(
    raster: RasterReader, targets: Mapping[str, MapReader], target: str | int
) -> MapReader:
    """The relevance that was recorded of a target, by its name or the number of its class."""
    for name, maps in targets.items():
        if str(target) in (name, str(maps.header.parameters.get("target"))):
            return maps
    raise InputError(
        f"{raster.file_name}: target {printable(repr(target), LONGEST_NAME)} was not "
        f"recorded, expected {shorten(list(targets))}; record it again with why=",
        argument="target",
    )


def _explained(
    prediction: int, by_step: Mapping[str, NDArray[Any]], steps: Sequence[int] | None
) -> Explained:
    """The maps of a sample, of what places get at each step, (T, H, W); `steps` are kept beside the
    sums.
    """
    return Explained(
        prediction,
        {name: _positive(values.sum(axis=0)) for name, values in by_step.items()},
        {}
        if steps is None
        else {name: _positive(values[list(steps)]) for name, values in by_step.items()},
    )


def _pixels(recorded: MapReader, name: str) -> Shape:
    """(1, H, W) of a model's input that no raster holds; (K, 1, 1) of K numbers without places."""
    height, width = recorded.layer(name).shape
    return (height, 1, 1) if width == 1 else (1, height, width)


def _positive(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.maximum(values, 0).astype(np.float32)


@dataclass(frozen=True)
class Relevance(RelevanceMethod):
    """The spikes that the predicted class, or another, rests on."""

    name = "relevance"
    title = "Relevance of spikes"
    shows = "What the answer rests on"
    speaks_for = "prediction"
    label = "relevance"
    on_page = "network"
    signed = True
    parameters: ClassVar[dict[str, type]] = {"rule": str}
    optional: ClassVar[dict[str, type]] = {
        "network_sha256": str,
        "target": int,
        "targets": str,
        "target_name": str,
    }

    rule: Annotated[
        Signs, Option("exact shares of the membrane, or those of exciting spikes alone (SLTRP)")
    ] = "signed"
    target: Annotated[
        str | None,
        Option(
            "class whose relevance is shown, by name or number; each sample's predicted one if not "
            "given",
            python="object",
        ),
    ] = None

    @property
    def file_name(self) -> str:
        """See :class:`MapMethod`; a file for each target, so that they stand side by side."""
        if self.target is None:
            return self.name
        if not one_class(self.target):
            return f"{self.name}-of-each"
        return f"{self.name}-of-{re.sub(r'[^0-9A-Za-z_-]', '_', str(self.target))[:LONGEST_FILE]}"

    @contextmanager
    def prepare(
        self, source: Any, layers: Sequence[str], steps: str, pictured: int
    ) -> Iterator[Explainer]:
        """See :class:`RasterMethod`; without a network, recorded relevance counts."""
        with opened_raster(source) as raster, ExitStack() as resources:
            recorded = []
            if self.network is None and not raster.header.network_sha256:
                recorded = self._recorded(raster, resources)
            if not recorded:
                yield resources.enter_context(super().prepare(raster, layers, steps, pictured))
                return
            shapes = {
                name: raster.layer(name).shape if name in raster else _pixels(recorded[0], name)
                for name in recorded[0]
            }
            with at(recorded[0].file_name):
                names = mapped_layers(shapes, layers, bands=True)
            step_choice = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
            yield self._of_recorded(raster, recorded, names, step_choice)

    def _recorded(self, raster: RasterReader, resources: ExitStack) -> list[MapReader]:
        """The target's relevance of each sample that was recorded beside a raster;
        [] if none was.
        """
        targets = {
            str(maps.header.parameters["target_name"]): maps
            for maps in recorded_relevance(raster, resources)
        }
        if not targets:
            return []
        if self.rule != "signed":
            raise InputError(f"explain: rule is {self.rule!r}, but 'signed' was recorded", RULE)
        if self.target is None:
            return [next(iter(targets.values()))] * raster.n_samples
        if one_class(self.target):
            return [_of_target(raster, targets, self.target)] * raster.n_samples
        chosen = listed_classes(self.target)
        if len(chosen) != raster.n_samples:
            raise InputError(
                f"target: got {len(chosen)} classes, expected {raster.n_samples}, one for each "
                "sample"
            )
        return [_of_target(raster, targets, of_sample) for of_sample in chosen]

    def _of_recorded(
        self,
        raster: RasterReader,
        recorded: Sequence[MapReader],
        names: Sequence[str],
        step_choice: StepChoice,
    ) -> Explainer:
        """The explainer of relevance that was recorded, of each sample."""
        about = recorded[0].header.parameters
        target = {name: about[name] for name in ("target", "target_name") if name in about}
        if len(set(map(id, recorded))) > 1:
            parameters_of_samples = [maps.header.parameters for maps in recorded]
            numbers = [about.get("target", about["target_name"]) for about in parameters_of_samples]
            target = {"targets": " ".join(map(str, numbers))}
        spatial = tuple(recorded[0].layer(name) for name in names)
        parameters = {"rule": self.rule, **target}
        header = MapHeader(
            self.name, raster.raster_digest, parameters, raster.timesteps, spatial, *step_choice
        )
        steps, stepped = step_choice

        def explain(sample: int) -> Explained:
            maps = recorded[sample]
            by_step = {name: maps.read(maps.layer(name), sample) for name in names}
            prediction = int(raster.predictions[sample])
            return _explained(prediction, by_step, steps if sample < stepped else None)

        return raster_explainer(raster, header, explain)

    def relevance_of(self, network: Network, spikes: Sequence[Spikes], target: int) -> list[Floats]:
        """See :class:`RelevanceMethod`."""
        return relevance(network, spikes, target, self.rule)

    def chosen(self, raster: RasterReader) -> dict[str, Parameter]:
        """See :class:`RelevanceMethod`."""
        if self.target is None:
            return {}
        names = class_names_of(raster, self.network)
        classes = raster.header.classes
        numbers = classes_of_samples(self.target, raster.n_samples, classes, names)
        parameters = explained_classes(self.target, numbers)
        named = "target" in parameters and numbers[0] < len(names)
        return parameters | ({"target_name": names[numbers[0]]} if named else {})


@dataclass(frozen=True)
class VarianceRelevance(RelevanceMethod):
    """The spikes that set the classes apart, whichever wins."""

    name = "variance-relevance"
    title = "Relevance of the variance over logits"
    shows = "What sets the classes apart"
    speaks_for = "none"
    parameters: ClassVar[dict[str, type]] = {"network_sha256": str}

    def relevance_of(self, network: Network, spikes: Sequence[Spikes], target: int) -> list[Floats]:
        """See :class:`RelevanceMethod`."""
        return variance_relevance(network, spikes)
