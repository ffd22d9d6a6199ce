"""From the settings of `run` to a job: the network is loaded and the samples are listed; no image
is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.backends.trace import spike_trace
from spikesam.common.errors import InputError, at
from spikesam.common.progress import Tracker
from spikesam.pipeline.config import Config, RunSection
from spikesam.pipeline.engine.job import (
    Job,
    JobSpec,
    Keep,
    differences_of_runs,
    raster_header,
)
from spikesam.pipeline.engine.range_file import PARTS
from spikesam.pipeline.images.datasets import NAMED, Dataset
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.samples import (
    DatasetSamples,
    EventSamples,
    choice_notes,
    read_samples,
)
from spikesam.pipeline.maps.layers import kept_steps, laid_out, mapped_layers
from spikesam.pipeline.maps.sam import AnyVariant
from spikesam.pipeline.networks.checkpoint import Checkpoint, check_fit, load
from spikesam.pipeline.networks.checkpoint_files import find_checkpoint
from spikesam.pipeline.networks.precisions import in_precision
from spikesam.pipeline.networks.samples import choose
from spikesam.recordings.raster.writer import SPEC


@dataclass(frozen=True, eq=False)
class Prepared:
    """The needs of a process that takes part in a run: the job, the samples as they are listed, and
    what reads some.
    """

    job: Job
    dataset: Dataset
    read: Callable[..., DatasetSamples]
    notes: Sequence[str] = ()  # lines for the user on the choice of samples

    def read_all(self, tracker: Tracker) -> Prepared:
        """Read all samples, so that a broken one is found before anything starts; then they are
        taken from memory.
        """
        with tracker.time("load"), tracker.show("reading images", len(self.dataset)) as advance:
            samples = self.read(advance=advance)
        tracker.notes += filter(None, [samples.binned, samples.clipped(self.job.network)])
        spec = replace(self.job.spec, contents=samples.contents)
        return replace(self, job=replace(self.job, spec=spec, read=samples.part), read=samples.part)

    def with_contents(self, folder: Path, tracker: Tracker) -> Prepared:
        """Find out what each sample is read from, for a run in several processes; the first of them
        does so.
        """
        if (folder / PARTS / SPEC).exists():
            # joining it takes over what the first has found; each sample is compared when it is
            # read
            return self
        with tracker.time("load"), tracker.show("looking at images", len(self.dataset)) as advance:
            contents = self.dataset.contents(advance)
        return replace(self, job=replace(self.job, spec=replace(self.job.spec, contents=contents)))


def prepare(config: Config) -> Prepared:
    """Load the network and list the samples; whatever does not fit is refused before hours of
    simulation.
    """
    settings = config.run
    checkpoint = load(settings.checkpoint, "snn")
    check_fit(checkpoint, config, settings.checkpoint)
    choice = settings.backend, settings.device, settings.backend_options
    backend, network = make_backend(*choice), in_precision(checkpoint.network, settings.precision)
    keep = _what_to_keep(settings, backend, network)
    dataset = choose(settings.data, checkpoint, settings.samples, settings.seed, settings.download)
    samples, read = dataset.table, partial(read_samples, dataset, checkpoint.preparation)
    keep = replace(keep, stepped=min(keep.stepped, len(samples)))
    header = raster_header(
        network, backend, dataset.name, settings.seed, config, keep.layers, settings.outputs
    )
    variant: AnyVariant = "fixed" if settings.variant == "fixed" or keep.by_backend else "paper"
    spec = JobSpec(
        header, samples, keep, settings.gamma, variant, checkpoint.class_names, settings.checkpoint
    )
    if variant == "fixed":
        for layer in spec.mapped:  # integer maps must not overflow
            spike_trace(spec.gamma, laid_out(layer.shape)[0], network.timesteps)
    if keep.by_backend:
        with at("layers"):
            mapped_layers(network.shape_of, settings.layers, bands=False)
        if network.precision != "fixed":
            raise InputError(
                f"{header.backend}: maps leave the graph in fixed point only; use precision fixed, "
                "or record spikes"
            )
    kind = (
        EventSamples if isinstance(checkpoint.preparation, EventBinning) else DatasetSamples
    ).kind
    notes = choice_notes(dataset, kind, settings.samples)
    return Prepared(
        Job(spec, network, read, backend, choice, settings.batch_size), dataset, read, notes
    )


def _what_to_keep(settings: RunSection, backend: Backend, network: Network) -> Keep:
    """The parts of samples that the settings ask for; refuses steps that are none."""
    steps, stepped = kept_steps(
        settings.steps, network.timesteps, settings.samples, settings.figures
    )
    formed = backend.forms_maps and settings.keep == "maps" and settings.variant != "paper"
    return Keep(
        settings.keep == "all", "backend" if formed else "spikes", steps, stepped, settings.layers
    )


def usable_anywhere(config: Config) -> Config:
    """The configuration with absolute paths of the checkpoint and the data, for `merge` in another
    folder.
    """
    settings, checkpoint_file = config.run, find_checkpoint(config.run.checkpoint)
    paths: dict[str, Any] = (
        {"checkpoint": str(checkpoint_file.absolute())}
        if checkpoint_file == Path(settings.checkpoint)
        else {}
    )
    if settings.data is not None and not (len(settings.data) == 1 and settings.data[0] in NAMED):
        paths["data"] = tuple(str(Path(path).absolute()) for path in settings.data)
    return config.model_copy(update={"run": settings.model_copy(update=paths)})


def read_samples_of(config: Config) -> Callable[[range], DatasetSamples]:
    """Reads the samples of a run again, for pictures; lists them on first use."""

    def read(positions: range) -> DatasetSamples:
        checkpoint, dataset = _listed(config.run)
        return read_samples(dataset, checkpoint.preparation, positions)

    return read


def refuse_other_samples(path: Path, config: Config, spec: JobSpec) -> None:
    """Refuse a configuration, read from `path`, that lists other samples than those of a run.

    Nothing is refused where samples cannot be listed, be it that they are on another machine:
    reading them says so, once the raster is there.
    """
    try:
        _, dataset = _listed(config.run)
    except InputError:
        return
    header = replace(spec.header, dataset=dataset.name)
    if differ := differences_of_runs(spec.header, spec.samples, header, dataset.table):
        differences = "; ".join(differ)
        raise InputError(
            f"{path}: is not of the run in this folder ({differences}); restore what it was"
        )


def _listed(settings: RunSection) -> tuple[Checkpoint, Dataset]:
    checkpoint = load(settings.checkpoint, "snn")
    return checkpoint, choose(settings.data, checkpoint, settings.samples, settings.seed)
