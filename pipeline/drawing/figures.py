"""Pictures of what a network attends to: maps over images, spike rates over time, rasters (PNG).

Maps are shown between 0 and the largest value that their layer reaches at any step of that sample, so that steps of one
layer can be compared by eye, and layers cannot. Low values let the image through, high ones cover it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pipeline.images.preprocessing import Box
from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader

from .canvas import GREY, drawing, overlay
from .steps import active_steps, best_step

DEPTH = mpl.colormaps["viridis"]
RIGHT, WRONG = "#1b7f4b", "#b3261e"
ROW_LABEL: dict[str, Any] = {"ha": "right", "va": "center", "linespacing": 1.4}
TAG = {"facecolor": "black", "alpha": 0.55, "pad": 1.5, "linewidth": 0}
MOST_NEURONS = 200
TOO_LATE = np.full((1, 1, 3), 0.95)  # a blank cell
OVERVIEW_LAYERS = 3
TITLES = {  # by method: of an overview, and what its maps are
    "sam": ("Where neurons fire in short intervals", "Spike Activation Map"),
    "grad-cam": ("What speaks for the class", "Grad-CAM of the ANN"),
    "snn-grad-cam": ("What speaks for the class", "SNN-crafted Grad-CAM"),
}
ALONE = 128  # pixels of the long side of maps drawn without an image


@dataclass(frozen=True, eq=False)
class Subject:
    """What a sample shows.

    Parameters
    ----------
    predicted : name of the class the network chose, None if unknown
    true : name of its class, None if unknown
    image : (H, W, 3) float in 0 … 1 as the network saw it, None if not at hand
    box : of the object in `image`, None if unknown
    """

    predicted: str | None
    true: str | None = None
    image: NDArray[np.floating[Any]] | None = None
    box: Box | None = None

    @property
    def caption(self) -> str:
        """The prediction, and the true class if it is another."""
        if self.predicted is None:
            return f"is {self.true}" if self.true else "class unknown"
        if self.true is None:
            return f"predicted\n{self.predicted}"
        return f"{self.predicted} ✓" if self.predicted == self.true else f"{self.predicted} ✗\nis {self.true}"

    @property
    def colour(self) -> str:
        """Of the caption."""
        return "black" if None in (self.true, self.predicted) else RIGHT if self.predicted == self.true else WRONG


def map_grid(
    path: Path, subject: Subject, maps: Mapping[str, NDArray[np.float32]], title: str, subtitle: str = ""
) -> None:
    """One sample, its maps by layer (rows) and step (columns): Kim & Panda's Fig. 5 at a glance.

    Parameters
    ----------
    maps : layer name -> (steps, H, W), in order of depth, not empty; steps that only deeper layers have are left blank
    title, subtitle : what the maps are, and how they were made
    """
    steps = active_steps(maps)
    height, width = _size(subject, maps)
    cell = 1.05 if len(maps) > 5 else 1.25  # inches between rows
    cell_width = cell * min(max(width / height, 0.5), 2)
    image_width = 0 if subject.image is None else max(2 * cell_width, 1.9)
    image_height = image_width * height / width
    left, names, top, right, bottom, gap = 0.2, 0.85, 0.85, 0.6, 0.15, 0.05
    grid_left = left + image_width + names
    total_width = max(grid_left + len(steps) * cell_width + right, 5.5)
    total_height = top + max(len(maps) * cell, image_height + 0.6) + bottom
    over_time = max(map(len, maps.values())) > 1
    blank = "blank: too late to reach the answer" if over_time else ""
    about = "; ".join(filter(None, [subtitle, "each layer relative to its maximum", blank]))
    if subject.image is None:
        title = f"{title}: " + subject.caption.replace("\n", " ")
    with drawing(path, title, about, total_width, total_height) as canvas:
        if subject.image is not None:
            canvas.image(left, top, image_width, image_height, subject.image, subject.box)
            caption = _fitted(subject.caption, image_width)
            below = {"va": "top", "fontsize": 10, "fontweight": "bold", "color": subject.colour}
            canvas.text(left + image_width / 2, top + image_height + 0.08, caption, ha="center", **below)
        for column, step in enumerate(steps if over_time else ()):
            canvas.text(grid_left + (column + 0.5) * cell_width - gap / 2, top - 0.06, f"t = {step}", ha="center")
        for row, (name, layer_maps) in enumerate(maps.items()):
            y = top + row * cell
            note = "×".join(map(str, layer_maps.shape[1:])) if layer_maps.any() else "all zero"
            canvas.text(grid_left - 0.1, y + cell / 2, f"{name}\n{note}", **ROW_LABEL)
            relative = relative_to_layer(layer_maps)
            for column, step in enumerate(steps):
                late = step >= len(relative)
                shown = TOO_LATE if late else overlay(subject.image, relative[step], (height, width))
                canvas.picture(grid_left + column * cell_width, y, cell_width - gap, cell - gap, shown)
        bar = (grid_left + len(steps) * cell_width + 0.08, top, min(len(maps) * cell - gap, 3.2))
        canvas.colour_bar(*bar, over_image=subject.image is not None)


def overview(
    path: Path,
    subjects: Sequence[Subject],
    maps: Sequence[Mapping[str, NDArray[np.float32]]],
    headline: str,
    title: str,
) -> None:
    """Several samples side by side (columns): image, then each layer's map at its best step (rows).

    The best step is the one whose map varies most from pixel to pixel.

    Parameters
    ----------
    subjects : not empty
    maps : per subject, layer name -> (T, H, W), the same layers for each
    headline, title : what the picture shows, and what the maps are
    """
    layers = list(maps[0])
    height, width = _size(subjects[0], maps[0])
    with_images = any(subject.image is not None for subject in subjects)
    n_rows = len(layers) + with_images
    cell_width = min(max(9.0 / len(subjects), 1.1), 1.6)  # inches between columns
    cell = cell_width * min(max(height / width, 0.5), 2)
    left, top, right, bottom, gap = 0.75, 1.15, 0.75, 0.1, 0.06
    total_width = max(left + len(subjects) * cell_width + right, 5.5)
    over_time = len(maps[0][layers[-1]]) > 1
    steps = ", each at the step where it varies most, of those that can still change the answer"
    about = title + (steps if over_time else "")
    with drawing(path, headline, about, total_width, top + n_rows * cell + bottom) as canvas:
        for row, name in enumerate(layers, with_images):
            canvas.text(left - 0.1, top + (row + 0.5) * cell, name, **ROW_LABEL)
        for column, (subject, sample_maps) in enumerate(zip(subjects, maps, strict=True)):
            x, wide, high = left + column * cell_width, cell_width - gap, cell - gap
            caption = _fitted(subject.caption, cell_width)
            canvas.text(x + wide / 2, top - 0.06, caption, ha="center", fontsize=8.5, color=subject.colour)
            if with_images:
                canvas.image(x, top, wide, high, subject.image, subject.box)
            for row, name in enumerate(layers, with_images):
                y, step = top + row * cell, best_step(sample_maps[name])
                relative = relative_to_layer(sample_maps[name])[step]
                canvas.picture(x, y, wide, high, overlay(subject.image, relative, _size(subject, sample_maps)))
                if over_time:
                    canvas.text(x + 0.05, y + high - 0.05, f"t = {step}", fontsize=7, color="white", bbox=TAG)
        bar = (left + len(subjects) * cell_width + 0.08, top + with_images * cell, min(len(layers) * cell - gap, 3.2))
        canvas.colour_bar(*bar, over_image=with_images)


def spike_rates(path: Path, rates: Mapping[str, NDArray[np.floating[Any]]], matter: Mapping[str, int]) -> None:
    """Spike rate of every layer over time: mean over samples, and a band from the 10th to the 90th percentile.

    Parameters
    ----------
    rates : layer name -> (N, T) share of its neurons that fire, in order of depth
    matter : layer name -> how many first steps can change the answer; later ones are dotted
    """
    n_samples, timesteps = next(iter(rates.values())).shape
    steps = np.arange(timesteps)
    samples = "one sample" if n_samples == 1 else f"mean of {n_samples:,} samples; band: 10th to 90th percentile"
    about = f"{samples}; dotted: too late to reach the answer"
    with drawing(path, "Spike rate by layer", about, 7.2, 3.8) as canvas:
        axes = canvas.axes(0.65, 0.8, 5.3, 2.5)
        for (name, rate), colour in zip(rates.items(), DEPTH(np.linspace(0, 0.88, len(rates))), strict=True):
            percent = 100 * rate
            axes.fill_between(steps, *np.percentile(percent, [10, 90], axis=0), color=colour, alpha=0.13, linewidth=0)
            marker = "o" if timesteps < 40 else ""
            mean, end = percent.mean(axis=0), matter[name]
            axes.plot(steps[:end], mean[:end], color=colour, label=name, marker=marker, markersize=3)
            axes.plot(steps[end - 1 :], mean[end - 1 :], color=colour, linestyle=":", linewidth=1)
        axes.set_xlabel("step t")
        axes.set_ylabel("neurons that fire, %")
        axes.set_ylim(bottom=0)
        axes.set_xlim(-0.5, timesteps - 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False, borderaxespad=0)


def raster_plot(path: Path, name: str, spikes: NDArray[np.bool_], subtitle: str = "") -> None:
    """Which neurons of a layer fire when; the most active on top, evenly thinned if there are many.

    Parameters
    ----------
    name : of the layer in the raster
    spikes : (T, C, H, W) bool, of one sample
    """
    timesteps, neurons = len(spikes), spikes[0].size
    flat = spikes.reshape(timesteps, neurons)
    counts = flat.sum(axis=0)
    firing = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    shown = firing[np.linspace(0, len(firing) - 1, min(len(firing), MOST_NEURONS)).round().astype(int)]
    about = f"{len(firing):,} of {neurons:,} neurons fire"
    if len(shown) < len(firing):
        about += f", one in {len(firing) / len(shown):.0f} is shown"
    about += f"; {subtitle}" if subtitle else ""
    with drawing(path, f"Spikes of {name}", about, 7.2, 3.8) as canvas:
        axes = canvas.axes(0.65, 0.8, 6.35, 2.5)
        axes.set_xlabel("step t")
        axes.set_ylabel("neurons, most active on top")
        axes.set_yticks([])
        if len(shown):
            axes.imshow(flat[:, shown].T, cmap="binary", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_xticks(np.arange(1, timesteps) - 0.5, minor=True)
            axes.grid(axis="x", which="minor", color="0.9", linewidth=0.4)
            axes.tick_params(which="minor", length=0)
        else:
            axes.set_xlim(-0.5, timesteps - 0.5)
            axes.text(0.5, 0.5, "no spikes", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def save_figures(
    raster: RasterReader, maps: MapReader, subjects: Sequence[Subject], directory: Path
) -> tuple[Path, ...]:
    """Draw everything for the first samples of a raster.

    Parameters
    ----------
    raster, maps : the maps and the raster they were computed from
    subjects : of the first samples, not empty
    directory : made if missing

    Returns
    -------
    the files written: overview.png, spike_rates.png, raster_LAYER.png, sam_000.png, sam_001.png, …
    """
    matter = {name: raster.steps_that_matter(name) for name in raster}
    written = save_map_figures(maps, subjects, directory)
    deepest = _hidden(maps)[-1]
    rates = {layer.name: raster.counts(layer) / layer.neurons for layer in raster.layers}
    spike_rates(directory / "spike_rates.png", rates, matter)
    spikes = raster.spikes(deepest, slice(0, 1))[:, 0]
    of_raster = directory / f"raster_{deepest}.png"
    about = f"sample {raster.samples.index[0]}" + (f", {subjects[0].predicted}" if subjects[0].predicted else "")
    raster_plot(of_raster, deepest, spikes, about)
    return (written[0], directory / "spike_rates.png", of_raster, *written[1:])


def save_map_figures(maps: MapReader, subjects: Sequence[Subject], directory: Path) -> tuple[Path, ...]:
    """Draw the first samples of a file of maps, whatever made them; only the steps that matter are shown.

    Parameters
    ----------
    maps : the file
    subjects : of the first samples, not empty
    directory : made if missing

    Returns
    -------
    the files written: overview.png, and METHOD_000.png, METHOD_001.png, …
    """
    directory.mkdir(parents=True, exist_ok=True)
    of_samples = [
        {name: maps[name][sample][: maps[name].steps_that_matter] for name in maps} for sample in range(len(subjects))
    ]
    hidden = _hidden(maps)
    chosen = [hidden[i] for i in sorted(set(np.linspace(0, len(hidden) - 1, OVERVIEW_LAYERS).round().astype(int)))]
    method, parameters = maps.header.method, maps.header.parameters
    headline, title = TITLES[method]
    if method == "sam":
        made = f"γ = {parameters['gamma']:g}" + (
            "" if parameters["variant"] == "paper" else f", {parameters['variant']}"
        )
    else:
        title += f" for the {'predicted' if subjects[0].true is None else 'true'} class"
        made = ""
    written = [directory / "overview.png"]
    overview(written[0], subjects, [{name: sample[name] for name in chosen} for sample in of_samples], headline, title)
    for number, (subject, sample) in enumerate(zip(subjects, of_samples, strict=True)):
        written.append(directory / f"{method}_{number:03d}.png")
        map_grid(written[-1], subject, sample, title, made)
    return tuple(written)


def _hidden(maps: MapReader) -> list[str]:
    """The layers behind the input, or what there is."""
    return [layer.name for layer in maps.layers if layer.number > 0] or list(maps)


def relative_to_layer(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide by the largest value at any step and pixel: (T, H, W) ≥ 0 -> 0 … 1; zero stays zero."""
    return maps / max(maps.max(), np.finfo(np.float32).tiny)


def _size(subject: Subject, maps: Mapping[str, NDArray[np.float32]]) -> tuple[int, int]:
    """Of the picture: the image's, or else that of the finest map, enlarged."""
    if subject.image is not None:
        return subject.image.shape[0], subject.image.shape[1]
    height, width = max((layer.shape[1:] for layer in maps.values()), key=lambda shape: shape[0] * shape[1])
    factor = max(1, ALONE // max(height, width))
    return height * factor, width * factor


def _fitted(text: str, inches: float) -> str:
    """Lines cut to what fits above a picture so wide."""
    most = max(int(inches * 12), 8)
    return "\n".join(line if len(line) <= most else line[: most - 1] + "…" for line in text.splitlines())
