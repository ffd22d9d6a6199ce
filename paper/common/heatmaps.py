"""The maps of a spiking network that experiments compare: SAM and spike counts of a raster file,
and SNN Grad-CAM.

Of a whole recording, or measured at every step, and what becomes of it over steps: the largest, its
step, and the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.result import Claim, compared
from paper.common.setup import Setup
from paper.measures.maps import iou_at_area
from paper.measures.over_time import spike_rate
from paper.measures.tables import measured, rows
from spikesam import Network, RasterReader
from spikesam.commands import cores, in_order
from spikesam.figures import Cell, Row, lit_border
from spikesam.maps import Variant, spike_activation_maps, spike_count_map
from spikesam.measures import MEASURES, Map, resize_map

Maps = NDArray[np.float32]
WORKERS = min(4, cores())
SCORED = MEASURES | {"IoU at the object's area": iou_at_area}
SAM, COUNT, SNN_GRAD_CAM = MAPS = ("SAM", "spike count", "SNN Grad-CAM")
Measure = Callable[[Maps], float]


def sam_maps(raster: RasterReader, layer: str, sample: int, gamma: float) -> Maps:
    """SAM of one sample at the steps that can still change the answer: (T', H, W)."""
    spec = raster.layer(layer)
    packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
    return spike_activation_maps(packed, spec.shape, [gamma])[0]


def count_maps(raster: RasterReader, layer: str, sample: int) -> Maps:
    """Spikes per pixel of one sample, SAM without its kernel, at the steps that matter: (T', H,
    W).
    """
    spec = raster.layer(layer)
    return spike_count_map(
        raster.packed(spec, sample)[: raster.steps_that_matter(layer)], spec.shape
    )


def at_steps(maps: Maps, steps: list[int]) -> list[Maps | None]:
    """The maps of these steps; None where they are too late for this layer to change the answer."""
    return [maps[step] if step < len(maps) else None for step in steps]


def row_of_maps(
    label: str,
    maps: Sequence[Maps | None],
    image: NDArray[np.floating[Any]] | None = None,
    each: bool = False,
    padded: NDArray[np.bool_] | None = None,
) -> Row:
    """An image, if there is one, and the maps (h, w) ≥ 0 over it, relative to the row's maximum, or
    `each` to its own.

    None leaves a cell blank. Maps are hatched that are brighter where `padded` cells see much zero
    padding.
    """
    largest = max((float(shown.max()) for shown in maps if shown is not None), default=0.0)
    cells = [
        None
        if shown is None
        else Cell(
            shown / ((float(shown.max()) if each else largest) or 1.0),
            image,
            hatched=lit_border(shown, padded),
        )
        for shown in maps
    ]
    return Row(label, cells if image is None else [Cell(image=image), *cells])


def convolutions(raster: RasterReader) -> list[str]:
    """Names of the convolutions, in order of depth."""
    return [spec.name for spec in raster.layers if spec.kind == "conv"]


def spike_rates(raster: RasterReader) -> dict[str, NDArray[np.float64]]:
    """Share of each convolution's neurons that fire from the image's arrival to the last step that
    matters: (N, T').
    """
    found = {}
    for layer in convolutions(raster):
        spec, matter = raster.layer(layer), raster.steps_that_matter(layer)
        found[layer] = spike_rate(
            raster.counts(spec)[:, min(spec.number, matter - 1) : matter], spec.neurons
        )
    return found


def time_sums(setup: Setup, path: Path, layers: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """SAM of every layer, with the settings' γ, and the spike count, both summed over steps: (2, N,
    h, w); cached.
    """
    gamma = setup.settings.gamma

    def compute() -> dict[str, NDArray[Any]]:
        found = {}
        with (
            RasterReader(path) as raster,
            setup.progress("maps", raster.n_samples * len(layers)) as advance,
        ):
            for layer in layers:
                maps = []
                for sample in range(raster.n_samples):
                    both = sam_maps(raster, layer, sample, gamma), count_maps(raster, layer, sample)
                    maps.append([each.sum(axis=0) for each in both])
                    advance(1)
                found[layer] = np.array(maps).swapaxes(0, 1)
        return found

    with RasterReader(path) as raster:
        inputs = {"raster": raster.raster_digest, "layers": list(layers), "gamma": gamma}
    return setup.cache.arrays("time-sums", inputs, compute)


def snn_grad_cams(
    setup: Setup,
    images: ImageSet,
    raster: RasterReader,
    network: Network | None = None,
    seed: int | None = None,
) -> dict[str, Maps]:
    """SNN-crafted Grad-CAM at every convolution, (N, T', H, W) float32 ≥ 0, for the true label;
    cached.

    Gradients need real numbers: these are the maps of the float32 network, by default the
    surrogate-trained one, driven by the spikes that `raster`, in fixed point, was driven by.
    """
    from spikesam.gradients import DifferentiableNetwork, snn_grad_cam
    from spikesam.simulators import make_backend

    network, settings = network or setup.networks.surrogate.network, setup.settings
    seed = settings.seed if seed is None else seed
    layers = convolutions(raster)

    def compute() -> dict[str, NDArray[Any]]:
        model = DifferentiableNetwork(network).to(make_backend("torch", settings.device).device)
        found: dict[str, list[Maps]] = {layer: [] for layer in layers}
        size = settings.batch_size
        with setup.progress("SNN-crafted Grad-CAM", len(images)) as advance:
            batches = images.encoded(range(len(images)), network, seed, size)
            for start, inputs in zip(range(0, len(images), size), batches, strict=True):
                labels = images.labels[start : start + size]
                for layer, maps in snn_grad_cam(model, inputs, labels, layers)[1].items():
                    found[layer].extend(maps.swapaxes(0, 1)[:, : raster.steps_that_matter(layer)])
                advance(len(labels))
        return {layer: np.stack(maps) for layer, maps in found.items()}

    inputs = {"network": network.sha256, "images": images.sha256, "seed": seed, "layers": layers}
    return setup.cache.arrays("snn-grad-cam", inputs, compute)


def swept(
    setup: Setup, path: Path, gammas: Sequence[float], variant: Variant = "paper"
) -> Iterator[tuple[int, str, Maps]]:
    """SAM of every image, in the layers that stand for the paper's 4, 6 and 8, all γ with one
    decoding of the spikes.

    Yields image, name of the layer, (G, T', H, W) at the steps that matter; every layer of an image
    before the next.
    """
    with RasterReader(path) as raster:
        layers = setup.layers(raster)

        def explain(chosen: tuple[int, str]) -> tuple[int, str, Maps]:
            sample, layer = chosen
            packed = raster.packed(layer, sample)[: raster.steps_that_matter(layer)]
            return (
                sample,
                layer,
                spike_activation_maps(packed, raster.layer(layer).shape, gammas, variant=variant),
            )

        what = f"SAM of {raster.n_samples} images, {raster.timesteps} steps, {len(gammas)} γ"
        with setup.progress(what, raster.n_samples * len(layers)) as advance:
            for each in in_order(explain, product(range(raster.n_samples), layers), WORKERS):
                yield each
                advance(1)


def arrivals(path: Path) -> dict[str, int]:
    """The step at which the image reaches a layer, or its last step that matters: name of the layer
    -> step.
    """
    with RasterReader(path) as raster:
        return {
            layer.name: min(layer.number, raster.steps_that_matter(layer.name) - 1)
            for layer in raster.layers
        }


def measured_by_step(
    setup: Setup,
    raster: RasterReader,
    layers: Sequence[str],
    maps: Sequence[str],
    measures: Mapping[str, Measure],
) -> pd.DataFrame:
    """Measure maps of the images, (1, H, W), at every step that matters: image, measure, layer,
    map, step, value.
    """
    grad_cams = snn_grad_cams(setup, setup.images, raster)
    gamma, found = setup.settings.gamma, []
    with setup.progress(", ".join(measures), len(layers) * len(setup.images)) as advance:
        for layer in layers:
            for image in range(len(setup.images)):
                of_image = {
                    "SAM": sam_maps(raster, layer, image, gamma),
                    "spike count": count_maps(raster, layer, image),
                    "SNN Grad-CAM": grad_cams[layer][image],
                }
                for name in maps:
                    for measure, function in measures.items():
                        values = by_step(function, of_image[name])
                        found += [
                            (image, measure, layer, name, step, value)
                            for step, value in enumerate(values)
                        ]
                advance(1)
    return pd.DataFrame(found, columns=["image", "measure", "layer", "map", "step", "value"])


def by_step(measure: Measure, maps: Maps) -> list[float]:
    """A measure of (T', H, W) maps at each step by itself."""
    return [measure(maps[step : step + 1]) for step in range(len(maps))]


def largest(by_step: pd.DataFrame) -> pd.DataFrame:
    """The largest value over steps, of every image under every condition."""
    return by_step.groupby(_conditions(by_step), sort=False)["value"].max().reset_index()


def step_of_largest(by_step: pd.DataFrame) -> pd.DataFrame:
    """The step of the largest value, the first of several; of every image under every condition."""
    at = by_step.reset_index(drop=True).groupby(_conditions(by_step), sort=False)["value"].idxmax()
    return at.map(by_step["step"].reset_index(drop=True).astype(float)).reset_index()


def mean_where_not_flat(by_step: pd.DataFrame) -> pd.DataFrame:
    """Mean over the steps whose map is not flat, where a measure of spread is zero; 0 if all are
    flat.
    """
    grouped = by_step.assign(counted=by_step["value"] > 0).groupby(_conditions(by_step), sort=False)
    return (
        (grouped["value"].sum() / grouped["counted"].sum().clip(lower=1))
        .rename("value")
        .reset_index()
    )


def sam_above_grad_cam(measure: str, paper: str, found: pd.DataFrame, seed: int) -> list[Claim]:
    """At every layer, SAM has more of a measure than SNN-crafted Grad-CAM."""
    return [
        compared(
            f"{measure} at {layer}",
            paper,
            {name: rows(each, map=name) for name in ("SAM", "SNN Grad-CAM")},
            seed,
        )
        for layer, each in found.groupby("layer", sort=False)
    ]


def _conditions(by_step: pd.DataFrame) -> list[str]:
    return [column for column in by_step.columns if column not in ("step", "value")]


def score_maps(maps: Iterable[Map], images: ImageSet, known: list[int]) -> pd.DataFrame:
    """Every measure of one map per image, of the images whose object is known: image, measure,
    value.
    """
    stack = list(maps)
    resized = [resize_map(stack[image], images.size) for image in known]
    masks = [mask for image in known if (mask := images.masks[image]) is not None]
    parts = [
        measured(
            [score(each, mask) for each, mask in zip(resized, masks, strict=True)],
            known,
            measure=measure,
        )
        for measure, score in SCORED.items()
    ]
    return pd.concat(parts)
