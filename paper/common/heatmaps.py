"""The maps of a spiking network that experiments compare: SAM and spike counts of a raster file, and SNN Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.setup import Setup
from paper.measures.over_time import spike_rate
from spikesam.backends.network import Network
from spikesam.pipeline.drawing.grid import Cell, Row
from spikesam.pipeline.drawing.padding import lit_border
from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map
from spikesam.recordings.raster.reader import RasterReader

Maps = NDArray[np.float32]


def sam_maps(raster: RasterReader, layer: str, sample: int, gamma: float) -> Maps:
    """SAM of one sample at the steps that can still change the answer: (T', H, W)."""
    spec = raster.layer(layer)
    packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
    return spike_activation_maps(packed, spec.shape, [gamma])[0]


def count_maps(raster: RasterReader, layer: str, sample: int) -> Maps:
    """Spikes per pixel of one sample, SAM without its kernel, at the steps that matter: (T', H, W)."""
    spec = raster.layer(layer)
    return spike_count_map(raster.packed(spec, sample)[: raster.steps_that_matter(layer)], spec.shape)


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
    """An image, if there is one, and the maps over it.

    Parameters
    ----------
    maps : (h, w) each, ≥ 0; None leaves a cell blank
    each : show every map relative to its own largest value, not to that of the row
    padded : (h, w) — cells that see much zero padding, hatched in maps that are brighter there
    """
    largest = max((float(shown.max()) for shown in maps if shown is not None), default=0.0)
    cells = [
        None
        if shown is None
        else Cell(shown / ((float(shown.max()) if each else largest) or 1.0), image, hatched=lit_border(shown, padded))
        for shown in maps
    ]
    return Row(label, cells if image is None else [Cell(image=image), *cells])


def convolutions(raster: RasterReader) -> list[str]:
    """Names of the convolutions, in order of depth."""
    return [spec.name for spec in raster.layers if spec.kind == "conv"]


def spike_rates(raster: RasterReader) -> dict[str, NDArray[np.float64]]:
    """Share of each convolution's neurons that fire from the image's arrival to the last step that matters: (N, T')."""
    found = {}
    for layer in convolutions(raster):
        spec, matter = raster.layer(layer), raster.steps_that_matter(layer)
        found[layer] = spike_rate(raster.counts(spec)[:, min(spec.number, matter - 1) : matter], spec.neurons)
    return found


def time_sums(setup: Setup, path: Path, layers: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """SAM of every layer, with the settings' γ, and the spike count, both summed over steps: (2, N, h, w); cached."""
    gamma = setup.settings.gamma

    def compute() -> dict[str, NDArray[Any]]:
        found = {}
        with RasterReader(path) as raster, setup.progress("maps", raster.n_samples * len(layers)) as advance:
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
    setup: Setup, images: ImageSet, raster: RasterReader, network: Network | None = None, seed: int | None = None
) -> dict[str, Maps]:
    """SNN-crafted Grad-CAM at every convolution, (N, T', H, W) float32 ≥ 0, for the true label; cached.

    Gradients need real numbers: these are the maps of the float32 network, driven by the spikes that `raster`, in fixed
    point, was driven by. The network is the surrogate-trained one and the seed the settings', if none is given.
    """
    from spikesam.backends.torch.backend import TorchBackend
    from spikesam.pipeline.maps.methods.snn_grad_cam import snn_grad_cam
    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

    network, settings = network or setup.networks.surrogate.network, setup.settings
    seed = settings.seed if seed is None else seed
    layers = convolutions(raster)

    def compute() -> dict[str, NDArray[Any]]:
        model = DifferentiableNetwork(network).to(TorchBackend(settings.device).device)
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
