"""Pictures of what a recording costs: by layer and step, and where, beside SAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesam.backends.network import Network
from spikesam.pipeline.cost.energy import Energy
from spikesam.pipeline.cost.words import in_joules, unit_of
from spikesam.pipeline.drawing.energy import draw_energy
from spikesam.pipeline.drawing.padding import Outside, outside
from spikesam.pipeline.drawing.samples import draw_side_by_side
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.maps.sam import spike_activation_sum
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

GAMMA = 0.5


def save_pictures(energy: Energy, raster: RasterReader, folder: Path, network: Network | None = None) -> list[Path]:
    """Draw `energy.png`, and `energy_map.png` where there are maps, unless joules are unknown; the files written.

    The network, if it is given, tells where zero padding lights up the border of a map, which is hatched.
    """
    if np.isnan(energy.joules):
        return []
    written = [folder / "energy.png"]
    draw_layers(energy, written[0])
    if energy.maps is not None and len(energy.maps):
        written.append(folder / "energy_map.png")
        _draw_places(written[1], energy, raster, {} if network is None else outside(network))
    return written


def draw_layers(energy: Energy, path: Path) -> None:
    """Draw what layers cost, in all and at every step; an InputError where joules are unknown."""
    if np.isnan(energy.joules):
        raise InputError("energy: joules are not known, so there is nothing to draw")
    scale, unit = unit_of(energy.layers["joules"].max())
    layers = energy.layers[energy.layers["layer"] != "input"]
    costs = {row.layer: (row.joules / scale, row.ann_joules / scale) for row in layers.itertuples()}
    by_step = energy.steps.pivot(index="step", columns="layer", values="joules") / scale
    samples = int(energy.classes["samples"].sum())
    count = f"{samples} sample{'s' * (samples > 1)}"
    title = f"A sample costs {in_joules(energy.joules)} ({energy.prices.name}); mean of {count}"
    steps = {name: by_step[name].to_numpy() for name in costs}
    draw_energy(path, title, f"Prices: {energy.prices.source}.", unit, costs, steps)


def _draw_places(path: Path, energy: Energy, raster: RasterReader, padded: Outside) -> None:
    """The first samples beside each other: the image, the energy of all layers, and SAM of the deepest layer."""
    assert energy.maps is not None
    subjects = recorded_subjects(raster, raster.predictions[: len(energy.maps)])
    maps = [{"energy\nall layers": heat[None].astype(np.float32)} for heat in energy.maps]
    about = f"Energy of spikes and neurons, all layers on the grid of the input ({energy.prices.name})"
    deepest = next((layer for layer in reversed(raster.layers) if has_places(layer.shape)), None)
    if deepest:  # where an image drives dense layers there is none
        name = f"SAM\n{deepest.name}"
        for sample, of_sample in enumerate(maps):
            packed, steps = raster.packed(deepest, sample), raster.steps_that_matter(deepest)
            of_sample[name] = spike_activation_sum(packed, deepest.shape, GAMMA, steps)[None]
        padded = {name: padded[deepest.name]} if deepest.name in padded else {}
        about += "; below: SAM"
    draw_side_by_side(path, subjects, maps, "Where the energy goes", about, padded=padded)
