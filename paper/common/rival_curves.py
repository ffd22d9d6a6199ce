"""How well maps of a recorded network delete: what each marks of a sample, and the areas under its curves; cached.

A map of a sample is given for every recorded layer. Those that speak for a class do so for the predicted one, and are
summed over channels and steps; what speaks against it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.baselines import SAM
from paper.common.deletion_curves import BY_PLACES, BY_SPIKES, DELETION, INSERTION, RANDOM, pixel_score, upper_network
from paper.common.images import ImageSet
from paper.common.rival_maps import Absence, stabilised, temporal_spike_attribution
from paper.common.setup import Setup
from paper.measures.deletion import faithfulness, spike_deletion
from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.pipeline.maps.answers import Answer, answers_of
from spikesam.pipeline.maps.methods.rise import rise
from spikesam.pipeline.maps.relevance import Rule, Spikes, relevance, variance_relevance
from spikesam.pipeline.maps.sam import spike_activation_sum
from spikesam.recordings.raster.batch import pack
from spikesam.recordings.raster.reader import RasterReader

PARTS = 8  # of places or pixels; a curve has one point more
TOGETHER = 10  # samples of one entry of the cache
RISE = "RISE"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recorded:
    """One recorded sample.

    Parameters
    ----------
    network : that was recorded, in fixed point
    fired : (T, C, H, W) bool of every layer, the input first
    matter : of every layer, how many first steps can change the answer
    target : the class that was predicted
    """

    network: Network
    fired: Sequence[Spikes]
    matter: Sequence[int]
    target: int


Maps = Iterable[Floats]  # (h, w) of every layer
MapsOf = Callable[[Recorded], Maps]


def sam(sample: Recorded, gamma: float) -> Maps:
    """SAM, summed over the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        yield spike_activation_sum(pack(fired[:, None])[0], fired.shape[1:], gamma, matter).astype(np.float64)


def spike_count(sample: Recorded) -> Maps:
    """Spikes of each place at the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        yield fired[:matter].sum(axis=(0, 1)).astype(np.float64)


def for_the_answer(rule: Rule) -> MapsOf:
    """Relevance of the predicted class's logit."""
    return lambda sample: _positive(relevance(sample.network, sample.fired, sample.target, rule))


def with_stabiliser(epsilon: float) -> MapsOf:
    """ε-LRP of the predicted class's logit."""
    rule = stabilised(epsilon)
    return lambda sample: _positive(relevance(sample.network, sample.fired, sample.target, rule))


def tsa(absence: Absence) -> MapsOf:
    """TSA of the predicted class."""
    return lambda sample: _positive(temporal_spike_attribution(sample.network, sample.fired, sample.target, absence))


def of_the_variance(sample: Recorded) -> Maps:
    """Relevance of the variance over logits: no class is named."""
    return _positive(variance_relevance(sample.network, sample.fired))


def of_all_logits(sample: Recorded) -> Maps:
    """The magnitudes of the relevance of each logit, summed over logits."""
    classes = range(len(sample.network.readout.weight))
    of_classes = zip(*(relevance(sample.network, sample.fired, each) for each in classes), strict=True)
    for of_layer in of_classes:
        yield sum(np.abs(each.sum(axis=(0, 1))) for each in of_layer)


def _positive(found: Sequence[Floats]) -> Iterator[Floats]:
    for each in found:
        yield np.maximum(each.sum(axis=(0, 1)), 0)


def areas(
    setup: Setup,
    raster: RasterReader,
    network: Network,
    layers: Sequence[str],
    samples: range,
    maps: Mapping[str, MapsOf],
    images: ImageSet | None = None,
    masks: int = 0,
) -> pd.DataFrame:
    """The area under every curve of every map, and of a random order.

    Parameters
    ----------
    raster, network : the recording, and what was recorded, in fixed point
    layers : whose spikes are deleted, the input among them
    samples : of the raster
    maps : name -> what makes the maps of a sample
    images : those that were recorded, whose pixels are deleted in the order of the maps of the input, and of SAM of the
        last layer, too; spikes alone are deleted if None
    masks : of RISE, in place of all maps and the random order; none if 0

    Returns
    -------
    image, map, layer ("" of pixels), measure, value; of pixels the map's name ends with the layer that it is of
    """
    about = {
        "network": network.sha256,
        "layers": list(layers),
        "maps": list(maps),
        "gamma": setup.settings.gamma,
        "parts": PARTS,
        "pixels": images is not None,
        "masks": masks,
        "seed": setup.settings.seed,
    }
    digests, parts = raster.digests(layers[-1]), []
    deleter = _Deleter(setup, raster, network, layers, maps, images, masks)
    with setup.progress("deletion", len(samples)) as advance:
        for start in range(samples.start, samples.stop, TOGETHER):
            chosen = range(start, min(start + TOGETHER, samples.stop))
            inputs = {**about, "samples": list(chosen), "spikes": [digests[number].decode() for number in chosen]}
            stored = setup.cache.arrays("rivals", inputs, partial(deleter.of_samples, chosen, advance))
            for key, values in stored.items():
                layer, measure, name = key.split("|")
                about_map = {"map": name, "layer": layer, "measure": measure}
                parts.append(pd.DataFrame({"image": chosen, **about_map, "value": values}))
    return pd.concat(parts, ignore_index=True)


class _Deleter:
    """Deletes spikes and pixels of the samples of a raster, see :func:`areas`."""

    def __init__(
        self,
        setup: Setup,
        raster: RasterReader,
        network: Network,
        layers: Sequence[str],
        maps: Mapping[str, MapsOf],
        images: ImageSet | None,
        masks: int,
    ) -> None:
        self.raster, self.network, self.layers, self.maps = raster, network, layers, maps
        self.images, self.masks, self.seed = images, masks, setup.settings.seed
        self.device = setup.settings.device

    @cached_property
    def backend(self) -> Backend:
        """Simulates; made when something is not found in the cache."""
        return make_backend("auto", self.device)

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """Of the network behind each layer."""
        return {layer: answers_of(upper_network(self.network, layer), self.backend) for layer in self.layers}

    def of_samples(self, chosen: range, advance: Callable[[int], None]) -> dict[str, NDArray[Any]]:
        """ "layer|measure|map" -> areas of the samples."""
        found: dict[str, list[float]] = {}
        for number in chosen:
            for key, value in self._of_sample(number):
                found.setdefault(key, []).append(value)
            advance(1)
        return {key: np.array(values) for key, values in found.items()}

    def _of_sample(self, number: int) -> Iterator[tuple[str, float]]:
        raster, names = self.raster, list(self.raster)
        fired = {name: raster[name][number] for name in names}
        if self.masks:
            asked = rise(self.network, fired[names[0]][:, None], self.seed, self.masks)[1][0]
            found: dict[str, dict[str, Floats]] = {RISE: dict.fromkeys(names, asked.astype(np.float64))}
        else:
            matter = [raster.steps_that_matter(name) for name in names]
            sample = Recorded(self.network, list(fired.values()), matter, int(raster.predictions[number]))
            found = {name: dict(zip(names, make(sample), strict=True)) for name, make in self.maps.items()}
            found[RANDOM] = {name: np.zeros(each.shape[2:]) for name, each in fired.items()}  # ties, in a random order
        options = {"steps": PARTS, "seed": self.seed + number}
        for layer in self.layers:
            for name, of_layers in found.items():
                curve = spike_deletion(self.answers[layer], fired[layer], of_layers[layer], **options)
                yield f"{layer}|{BY_PLACES}|{name}", _area(curve.probability, curve.places)
                yield f"{layer}|{BY_SPIKES}|{name}", _area(curve.probability, curve.spikes)
        if self.images is None:
            return
        score = pixel_score(self.network, self.images, number, self.seed, self.backend)
        first, last = self.layers[0], self.layers[-1]
        of_input = {name: name if name in (RANDOM, RISE) else f"{name} {first}" for name in found}
        shown = {of_input[name]: of_layers[first] for name, of_layers in found.items()}
        if not self.masks:
            shown[f"{SAM} {last}"] = found[SAM][last]
        for name, each in shown.items():
            pixels = faithfulness(score, self.images.pixels[number], each, **options)
            yield f"|{DELETION}|{name}", _area(pixels.deletion, pixels.fractions)
            yield f"|{INSERTION}|{name}", _area(pixels.insertion, pixels.fractions)


def _area(values: Floats, over: Floats) -> float:
    return float(trapezoid(values, over))
