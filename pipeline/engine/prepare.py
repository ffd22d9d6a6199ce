"""From the settings of `run` to a job: the network is loaded and the samples are listed; no image is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.pipeline.config import Config, RunSection
from spikesam.pipeline.engine.formed_maps import check_maps
from spikesam.pipeline.engine.header import raster_header
from spikesam.pipeline.engine.job import Job, JobSpec
from spikesam.pipeline.engine.keep import Keep
from spikesam.pipeline.engine.range_file import PARTS, SPEC
from spikesam.pipeline.images.datasets import Dataset
from spikesam.pipeline.images.samples import DatasetSamples, choose, read_samples
from spikesam.pipeline.maps.layers import spatial_layers
from spikesam.pipeline.maps.sam import AnyVariant
from spikesam.pipeline.maps.steps import kept_steps
from spikesam.pipeline.networks.checkpoint import check_fit, load_checkpoint
from spikesam.pipeline.networks.precisions import in_precision
from spikesam.recordings.progress import Tracker


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a process needs to take part in a run.

    Parameters
    ----------
    job : that computes it
    dataset : the samples, not read yet
    read : reads and prepares some of them
    """

    job: Job
    dataset: Dataset
    read: Callable[..., DatasetSamples]


def prepare(config: Config) -> Prepared:
    """Load the network and list the samples.

    Raises
    ------
    InputError : if anything of it does not fit, before hours of simulation
    """
    settings = config.run
    checkpoint = load_checkpoint(settings.checkpoint, "snn")
    check_fit(checkpoint, config, settings.checkpoint)
    spatial_layers(checkpoint.network.raster_kinds, (), f"checkpoint {settings.checkpoint!r}")
    choice = settings.backend, settings.device, settings.backend_options
    backend, network = make_backend(*choice), in_precision(checkpoint.network, settings.precision)
    kept_steps(settings.steps, network.timesteps, settings.samples)
    dataset = choose(settings.data, checkpoint, settings.samples, settings.seed, settings.download)
    samples, read = dataset.table, partial(read_samples, dataset, checkpoint.preparation)
    keep = what_to_keep(settings, backend, network.timesteps, len(samples))
    header = raster_header(network, backend, dataset.name, settings.seed, config, keep.layers)
    spatial_layers({layer.name: layer.kind for layer in header.layers}, (), "layers")
    variant: AnyVariant = "fixed" if settings.variant == "fixed" or keep.maps == "backend" else "paper"
    names = checkpoint.class_names
    spec = JobSpec(header, samples, keep, settings.gamma, variant, names, settings.checkpoint)
    check_maps(spec, network, settings.layers)
    return Prepared(Job(spec, network, read, backend, choice, settings.batch_size), dataset, read)


def read_all(prepared: Prepared, tracker: Tracker) -> tuple[DatasetSamples, Job]:
    """Read all samples, so that a broken one is found before anything starts; the job then takes them from memory."""
    with tracker.time("load"), tracker.show("reading images", len(prepared.dataset)) as advance:
        samples = prepared.read(advance=advance)
    spec = replace(prepared.job.spec, contents=samples.contents)
    return samples, replace(prepared.job, spec=spec, read=samples.part)


def with_contents(prepared: Prepared, folder: Path, tracker: Tracker) -> Job:
    """The job of a run in several processes: the first of them finds out what each sample is read from."""
    if (folder / PARTS / SPEC).exists():
        return prepared.job  # joining it takes over what the first has found; each sample is compared when it is read
    with tracker.time("load"), tracker.show("looking at images", len(prepared.dataset)) as advance:
        contents = prepared.dataset.contents(advance)
    return replace(prepared.job, spec=replace(prepared.job.spec, contents=contents))


def what_to_keep(settings: RunSection, backend: Backend, timesteps: int, n_samples: int) -> Keep:
    """What is left of each sample.

    Raises
    ------
    InputError : if there are no such steps
    """
    steps, stepped = kept_steps(settings.steps, timesteps, n_samples, settings.figures)
    formed = backend.forms_maps and settings.keep == "maps" and settings.variant != "paper"
    return Keep(settings.keep == "all", "backend" if formed else "spikes", steps, stepped, settings.layers)


def read_samples_of(config: Config) -> Callable[[range], DatasetSamples]:
    """What reads the samples of a run again, for pictures; lists them when it is first asked."""

    def read(positions: range) -> DatasetSamples:
        settings = config.run
        checkpoint = load_checkpoint(settings.checkpoint, "snn")
        dataset = choose(settings.data, checkpoint, settings.samples, settings.seed)
        return read_samples(dataset, checkpoint.preparation, positions)

    return read
