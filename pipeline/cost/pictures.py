"""Pictures of what a recording costs: by layer and step, and where, beside SAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.drawing.energy import draw_energy
from pipeline.drawing.grid import Cell, Row, draw_maps
from pipeline.drawing.subject import recorded_subjects
from pipeline.images.pictures import pictures_beside
from pipeline.maps.sam import spike_activation_sum
from recordings.raster.reader import RasterReader

from .energy import Energy
from .words import in_joules, unit_of

GAMMA = 0.5


def save_pictures(energy: Energy, raster: RasterReader, folder: Path) -> list[Path]:
    """Draw `energy.png`, and `energy_map.png` where there are maps.

    Returns
    -------
    the files written; none where joules are not known
    """
    if np.isnan(energy.joules):
        return []
    scale, unit = unit_of(energy.layers["joules"].max())
    layers = energy.layers[energy.layers["layer"] != "input"]
    costs = {row.layer: (row.joules / scale, row.ann_joules / scale) for row in layers.itertuples()}
    by_step = energy.steps.pivot(index="step", columns="layer", values="joules") / scale
    written = [folder / "energy.png"]
    count = f"{raster.n_samples} sample{'s' * (raster.n_samples > 1)}"
    title = f"A sample costs {in_joules(energy.joules)} ({energy.prices.name}); mean of {count}"
    steps = {name: by_step[name].to_numpy() for name in costs}
    draw_energy(written[0], title, f"Prices: {energy.prices.source}.", unit, costs, steps)
    if energy.maps is not None and len(energy.maps):
        written.append(folder / "energy_map.png")
        _draw_places(written[1], energy, raster)
    return written


def _draw_places(path: Path, energy: Energy, raster: RasterReader) -> None:
    """The first samples beside each other: the image, the energy of all layers, and SAM of the deepest layer."""
    assert energy.maps is not None
    count = len(energy.maps)
    subjects = recorded_subjects(raster, raster.predictions[:count], pictures_beside(raster, count))
    deepest = [layer for layer in raster.layers if layer.kind != "dense" and layer.shape[1:] != (1, 1)][-1]
    spent: list[Cell] = []
    attends: list[Cell] = []
    for sample, (heat, subject) in enumerate(zip(energy.maps, subjects, strict=True)):
        steps = raster.steps_that_matter(deepest)
        sam = spike_activation_sum(raster.packed(deepest, sample), deepest.shape, GAMMA, steps)
        for cells, each in ((spent, heat), (attends, sam)):
            cells.append(Cell(each / max(float(each.max()), np.finfo(float).tiny), subject.image))
    images = [Cell(image=subject.image, box=subject.box) for subject in subjects]
    with_images = any(subject.image is not None for subject in subjects)
    rows = [Row("", images)] if with_images else []
    rows += [Row("energy\nall layers", spent), Row(f"SAM\n{deepest.name}", attends)]
    captions = [subject.caption if with_images else "\n".join(subject.facts) for subject in subjects]
    about = f"Energy of spikes and neurons, all layers on the grid of the input ({energy.prices.name}); below: SAM."
    about += " Each map is relative to its largest value."
    colours = [subject.colour for subject in subjects]
    draw_maps(path, "Where the energy goes", about, captions, rows, colours=colours)
