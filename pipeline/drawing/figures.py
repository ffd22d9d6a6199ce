"""The pictures (PNG) of a run or of a file of maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.drawing.activity import draw_raster, draw_rates
from spikesam.pipeline.drawing.padding import Outside, outside
from spikesam.pipeline.drawing.samples import NOT_PADDED, SUMMED, draw_over_time, draw_side_by_side
from spikesam.pipeline.drawing.subject import Subject
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import Parameter
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from spikesam.pipeline.maps.method import MapMethod

ANSWER = "answer"  # the target's name of each sample's predicted class
OVERVIEW_LAYERS = 3


def save_figures(
    maps: MapReader,
    method: type[MapMethod],
    subjects: Sequence[Subject],
    directory: Path,
    raster: RasterReader | None = None,
    network: Network | None = None,
) -> list[Path]:
    """Draw the first samples of a file of maps: sums over the steps that matter, then steps; the
    files written.

    With the raster also spike_rates.png and raster_LAYER.png; with the network, cells that see much
    padding are hatched.
    """
    directory.mkdir(parents=True, exist_ok=True)
    title, kernel, hidden = method.title, method.caption(maps.header.parameters), _hidden(maps)
    delays, padded = _delays(maps), {} if network is None else outside(network)
    written = [directory / "overview.png"]
    draw_overview(written[0], maps, method, subjects, (), padded)
    if raster is not None:
        written += [directory / "spike_rates.png", directory / f"raster_{hidden[-1]}.png"]
        rates = {layer.name: raster.counts(layer) / layer.neurons for layer in raster.layers}
        draw_rates(written[1], rates, {name: raster.steps_that_matter(name) for name in raster})
        neurons, facts = raster.layer(hidden[-1]).neurons, ", ".join(subjects[0].facts)
        draw_raster(written[2], hidden[-1], raster.packed(hidden[-1], 0), neurons, facts)
    for number, subject in enumerate(subjects):
        written.append(directory / f"{maps.header.method}_{number:03d}.png")
        caption = (
            title + _of_class(method, [subject], maps.header.parameters) + _sums_alone(maps, number)
        )
        layers = dict(_SampleMaps(maps, number, list(maps)))
        draw_over_time(written[-1], subject, layers, caption, kernel, delays, padded)
    return written


def draw_overview(
    path: Path,
    maps: MapReader,
    method: type[MapMethod],
    subjects: Sequence[Subject],
    layers: Sequence[str] = (),
    padded: Outside = NOT_PADDED,
    samples: Sequence[int] | None = None,
) -> None:
    """Draw samples beside each other, and below the summed maps of some layers; of a few over all
    depths if none. `samples` are the positions of the subjects, the first ones if not given.
    """
    hidden = _hidden(maps)
    few = [
        hidden[i]
        for i in sorted({*np.linspace(0, len(hidden) - 1, OVERVIEW_LAYERS).round().astype(int)})
    ]
    drawn = range(len(subjects)) if samples is None else samples
    of_samples = [_SampleMaps(maps, sample, layers or few) for sample in drawn]
    of_class = _of_class(method, subjects, maps.header.parameters)
    caption = method.title + of_class + _sums_alone(maps, drawn[0])
    target = _target_function(maps.header.parameters)
    heading = method.shows if target is None else f"What “{target}” rests on"
    draw_side_by_side(path, subjects, of_samples, heading, caption, _delays(maps), padded)


def _hidden(maps: MapReader) -> list[str]:
    """The layers behind the input, or all if there is none."""
    return [layer.name for layer in maps.layers if layer.number > 0] or list(maps)


@dataclass(frozen=True)
class _SampleMaps(Mapping[str, NDArray[np.float32]]):
    """Layer -> maps of a sample at the steps that matter, or their sum (1, H, W), read from the
    file when asked for.
    """

    maps: MapReader
    sample: int
    layers: Sequence[str]

    def __getitem__(self, layer: str) -> NDArray[np.float32]:
        if not _every_step(self.maps, self.sample):
            return self.maps.read_sum(self.maps.layer(layer), self.sample)[None]
        return self.maps[layer][self.sample][: self.maps[layer].steps_that_matter]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


def _every_step(maps: MapReader, sample: int) -> bool:
    return sample < maps.header.stepped and len(maps.steps) == maps.timesteps


def _sums_alone(maps: MapReader, sample: int) -> str:
    """The sums alone, as the maps of one sample of which the file does not keep all steps."""
    return "" if maps.timesteps == 1 or _every_step(maps, sample) else f", {SUMMED}"


def _delays(maps: MapReader) -> dict[str, int]:
    """Layer -> number of steps until the input reaches it: its depth, or 0 of a network without
    delay.
    """
    delayed = any(maps[name].steps_that_matter < maps.timesteps for name in maps)
    return {layer.name: layer.number * delayed for layer in maps.layers}


def _target_function(parameters: Mapping[str, Parameter]) -> str | None:
    """The name of a function of the output that the maps explain; None of a class,
    or the answer.
    """
    name = printable(str(parameters.get("target_name", ANSWER)), LONGEST_NAME)
    return None if "target" in parameters or name == ANSWER else name


def _of_class(
    method: type[MapMethod], subjects: Sequence[Subject], parameters: Mapping[str, Parameter]
) -> str:
    """The class that the maps explain: that of the file, or the predicted or true one, as a method
    takes it.
    """
    if name := _target_function(parameters):
        return f" for the target “{name}”"
    if "targets" in parameters:
        return " for a class of each sample"
    if "target" in parameters:
        return f" for the class {parameters.get('target_name', parameters['target'])}"
    target = method.speaks_for
    if target == "none":
        return ""
    class_kinds = sorted(
        {
            "true" if target == "label" and subject.true is not None else "predicted"
            for subject in subjects
        }
    )[::-1]
    return f" for the {' or '.join(class_kinds)} class"
