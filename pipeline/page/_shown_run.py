"""A run as a page shows it: the raster, and what lies beside it in the run's folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from spikesam.backends.network import Network
from spikesam.backends.network.storage import read_network
from spikesam.backends.trace import GAMMA
from spikesam.common.errors import InputError, at
from spikesam.common.files import refuse_links
from spikesam.common.text import printable, shell_command
from spikesam.pipeline.chips.result_file import NAME as CHIP
from spikesam.pipeline.chips.result_file import RunOnChip, read_result
from spikesam.pipeline.engine.range_file import FILES
from spikesam.pipeline.engine.summary import Summary, read_summary
from spikesam.pipeline.images.pictures import NAME, Pictures, read_pictures
from spikesam.pipeline.maps.localisation import Score, localisation_scores
from spikesam.pipeline.maps.method import method_of
from spikesam.pipeline.maps.methods.signed_relevance import recorded_relevance
from spikesam.pipeline.networks.recorded import class_names_of, unlike_layer, with_network
from spikesam.recordings.counted_operations import NAME as OPERATIONS
from spikesam.recordings.counted_operations import Operations, operations_beside
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec

OWN = ("raster.h5", "sam.h5")
MOST_FILES = 16  # files of maps in a folder that are read


@dataclass(frozen=True, eq=False)
class ShownRun:
    """One run; None, or nothing, stands for what is not at hand."""

    name: str
    raster: RasterReader
    gamma: float = GAMMA  # that the page begins with, 1/step
    summary: Summary | None = None
    pictures: Pictures | None = None
    network: Network | None = None
    scores: Sequence[Score] = ()  # how well maps find the object
    maps: tuple[MapReader, ...] = ()  # of the same samples, open
    targets: tuple[MapReader, ...] = ()  # recorded relevance of each, open
    notes: tuple[str, ...] = ()  # what could not be shown, and why
    operations: Operations | None = None  # counted when the model was recorded, open
    on_chip: RunOnChip | None = None  # what it takes on the model of a chip
    brief: bool = False  # somebody waits for the run that the page is of

    @property
    def whole_network(self) -> Network | None:
        """The network, if the raster holds all of its layers."""
        return (
            self.network
            if self.network and tuple(self.raster) == self.network.raster_names
            else None
        )

    @cached_property
    def _in_model_steps(self) -> bool:
        """True where each layer is shown in the steps of the model: no spike that can change the
        answer lies outside of its window.
        """
        raster = self.raster
        if raster.header.window is None:
            return False
        for layer in raster.layers:
            window, counts = raster.header.window_of(layer), raster.counts(layer)
            late = counts[:, window.stop : raster.steps_that_matter(layer)]
            if counts[:, : window.start].any() or late.any():
                return False
        return True

    @property
    def steps(self) -> int:
        """The steps of each layer that are shown."""
        return (self.raster.header.window if self._in_model_steps else None) or (
            self.raster.timesteps
        )

    def window_of(self, layer: LayerSpec) -> slice:
        """The steps of the raster that are shown of a layer: those of the model, whose first step
        stands later in it by the delays of the layers in front.
        """
        if not self._in_model_steps:
            return slice(0, self.raster.timesteps)
        return self.raster.header.window_of(layer)

    @property
    def network_name(self) -> str:
        """The checkpoint's, without the folders in which it lies: those are nobody else's
        business.
        """
        path = Path(self.summary.checkpoint if self.summary else "")
        return path.parent.name if path.stem == "checkpoint" and path.parent.name else path.stem

    @property
    def title(self) -> str:
        """The name of the folder, if a person chose it; "Cluttered digits" of
        `cluttered-digits-auto`, which `spikesam run` made of network and backend.
        """
        if not self.summary or not self.network_name:
            return self.name
        network, backend = re.escape(self.network_name), re.escape(self.summary.backend)
        if not re.fullmatch(rf"{network}-(auto|{backend})(-\d+)?", self.name):
            return self.name
        words = re.sub(r"[-_]+", " ", self.network_name)
        return words[0].upper() + words[1:]

    def class_name(self, number: int) -> str | None:
        """A class as people see it; None of -1, which is unknown."""
        if self.summary and number >= 0:
            return self.summary.class_names[number]
        return (self.pictures or Pictures()).class_name(number)


def open_run(path: Path, resources: ExitStack, network: Any = None) -> ShownRun:
    """Open a run's folder, or a raster file alone, lined up with `network` if that is given.

    What lies beside the raster may be missing, or belong to another run: then a note says so.
    Nothing outside of the folder is read: it may be somebody else's, who must not choose what a
    page shows of this machine.
    """
    if not path.is_dir():
        return _opened(path, printable(path.name), resources, network)
    refuse_links(path, (*FILES, NAME, CHIP))
    if not (path / "raster.h5").is_file():
        if (path / "sam.h5").is_file():
            raise InputError(
                f"{path}: keeps maps alone, and a page needs every spike",
                "; run again with {keep='all'}",
            )
        raise InputError(
            f"{path}: has no raster.h5, expected the folder of a finished run, or a raster file"
        )
    run = _opened(path / "raster.h5", printable(path.resolve().name), resources, network)
    unread = len(_other_files(path)) - MOST_FILES
    notes = (f"{unread} files of maps are not shown, only the first {MOST_FILES} by name",) * (
        unread > 0
    )
    run = replace(
        run,
        maps=tuple(maps_beside(path, run.raster, resources)),
        targets=tuple(recorded_relevance(run.raster, resources)),
        notes=notes,
    )
    for file, add in (
        ("summary.json", _with_summary),
        ("network.safetensors", _with_network),
        (NAME, _with_pictures),
        ("sam.h5", _with_scores),
        (OPERATIONS, partial(_with_operations, resources)),
        (CHIP, _with_chip),
    ):
        if (path / file).is_file() and not (run.network and add is _with_network):
            try:
                run = add(run, path / file)
            except (InputError, OSError, ValueError) as error:
                error_text = printable(error).replace(f"{path}/", "")
                run = replace(run, notes=(*run.notes, f"{file} is not shown. {error_text}"))
    if network is not None and not (run.pictures and run.pictures.class_names):
        run = replace(
            run,
            pictures=replace(
                run.pictures or Pictures(), class_names=class_names_of(run.raster, network)
            ),
        )
    return run


def _opened(path: Path, name: str, resources: ExitStack, network: Any) -> ShownRun:
    raster = resources.enter_context(RasterReader(path))
    network_found = None
    if network is not None:
        raster, network_found = with_network(raster, network)
    return ShownRun(name, raster, network=network_found)


def maps_beside(folder: Path, raster: RasterReader, resources: ExitStack) -> Iterator[MapReader]:
    """The files of maps in a folder that are of the samples of a raster, if the page has such maps
    from files.
    """
    for path in _other_files(folder)[:MOST_FILES]:
        with ExitStack() as opened:
            try:
                refuse_links(folder, [path.name])
                maps = opened.enter_context(MapReader(path))
                method = method_of(maps.header)
            except InputError:
                continue  # a file of something else, which nobody asked for
            of_raster = method.source != "raster_digest" or maps.header.source in raster.known_as
            same = of_raster and np.array_equal(maps.samples.index, raster.samples.index)
            if same and method.offline and method.on_page == "file":
                resources.enter_context(opened.pop_all())
                yield maps


def _other_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.h5") if path.name not in OWN)


def _with_summary(run: ShownRun, path: Path) -> ShownRun:
    raster, summary = run.raster, read_summary(path, run.raster.n_samples)
    classes = len(summary.class_names)
    if (summary.raster_digest, len(summary.answers)) != (raster.raster_digest, raster.n_samples):
        raise InputError("It is of another raster")
    if max(raster.labels.max(), raster.predictions.max()) >= classes:
        raise InputError(f"It names {classes} classes, and the raster has more")
    return replace(run, summary=summary)


def _with_operations(resources: ExitStack, run: ShownRun, path: Path) -> ShownRun:
    return replace(run, operations=resources.enter_context(operations_beside(run.raster)))


def _with_chip(run: ShownRun, path: Path) -> ShownRun:
    on_chip = read_result(path)
    if on_chip.raster_digest not in run.raster.known_as:
        again = shell_command("spikesam", "chip", run.name)
        raise InputError(f"It is of an earlier raster than raster.h5; make it again: {again}")
    return replace(run, on_chip=on_chip)


def _with_network(run: ShownRun, path: Path) -> ShownRun:
    network = read_network(path)[0]
    with at("It"):
        network.check_spiking()
    if network.sha256 != run.raster.header.network_sha256:
        raise InputError("It is not the network that fired the spikes")
    if layer := unlike_layer(run.raster, network):
        raise InputError(f"It fires other maps of layer {layer.name} than the raster holds")
    if network.timesteps != run.raster.timesteps:
        raise InputError("It fires other steps than the raster holds")
    return replace(run, network=network)


def _with_pictures(run: ShownRun, path: Path) -> ShownRun:
    return replace(run, pictures=read_pictures(path.parent, run.raster.known_as))


def _with_scores(run: ShownRun, path: Path) -> ShownRun:
    with MapReader(path) as maps:
        if maps.header.method != "sam":
            raise InputError(f"It holds maps of {maps.header.method}, expected those of SAM")
        if maps.header.source not in run.raster.known_as:
            again = shell_command("spikesam", "explain", run.name)
            raise InputError(f"It is of an earlier raster than raster.h5; make it again: {again}")
        with at(maps.file_name):
            method_of(maps.header)  # refuses other parameters than its own
        kernel: Mapping[str, Any] = maps.header.parameters
        if kernel["variant"] != "paper" or not kernel["include_current"]:
            raise InputError(
                "It holds maps of another variant; the page computes those of the paper"
            )
        known_masks = (
            [shown_sample.mask for shown_sample in run.pictures.seen] if run.pictures else []
        )
        masks = [*known_masks, *[None] * (run.raster.n_samples - len(known_masks))]
        scores = localisation_scores(run.raster, maps, masks)
        return replace(run, gamma=kernel["gamma"], scores=scores)
