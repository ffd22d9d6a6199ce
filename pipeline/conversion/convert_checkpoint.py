"""Conversion of an ANN in a checkpoint, whose images a data set has."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import OTHER_OUT, OVERWRITE, InputError
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.config import Config, read_config, save_config
from spikesam.pipeline.conversion.algorithm import (
    calibration_samples,
    converted,
    matching_configuration,
)
from spikesam.pipeline.conversion.conversion import (
    WRITTEN,
    Conversion,
    refuse_bad_measure,
    written,
)
from spikesam.pipeline.images.samples import PreparedImages
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.checkpoint_files import find_checkpoint
from spikesam.pipeline.networks.samples import choose_samples


@checked_arguments
def convert_checkpoint(
    config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
    *,
    out: str | PathLike[str] = "runs/convert",
    samples: int = 100,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> Conversion:
    """Convert the ANN of a checkpoint, as `spikesam convert` does, and measure its accuracy after
    every step; of a model in memory, see :func:`spikesam.convert`.

    Thresholds come from training images of the data set, accuracy from its validation images.

    Parameters
    ----------
    config : a TOML file as those in `configs/`, or its tables as a dictionary, of which
        `conversion` (`ann` is a bundled ANN's name, or a checkpoint file) and `data` count
    out : folder, made if missing: `checkpoint.safetensors`, `accuracy.csv`, `accuracy.png`,
        `summary.json` and `config.toml`
    samples : how many validation images to measure on
    seed : of their order and of the Poisson spikes
    device : of the torch backend: "auto", "cpu", "cuda", "cuda:1"
    overwrite : write into a folder that holds files already

    Returns
    -------
    the spiking network, its accuracy over time, errors by layer, and what it was made with

    Raises
    ------
    InputError : if the network spikes already, settings or data do not fit, or `out` holds files

    Examples
    --------
    >>> import spikesam
    >>> settings = {"conversion": {"ann": "cluttered-digits-ann", "timesteps": 32}}
    >>> conversion = spikesam.convert_checkpoint(settings, samples=10)  # doctest: +SKIP
    """
    refuse_bad_measure(samples, device)
    configuration, folder = read_config(config), Path(out)
    with out_lock(folder, "" if overwrite else OVERWRITE):
        return _converted(configuration, folder, samples, seed, device)


def _converted(config: Config, folder: Path, count: int, seed: int, device: str) -> Conversion:
    """Do everything; the folder exists and is locked."""
    settings, tracker = config.conversion, Tracker()
    files = tuple(folder / name for name in WRITTEN)
    target, source = files[0], find_checkpoint(settings.ann, "ann")
    if target.exists() and source.samefile(target):
        raise InputError(
            f"{source}: is the ANN to be converted, and would be overwritten", OTHER_OUT
        )
    ann = load(settings.ann, "ann")
    samples = choose_samples(config.data.source, ann, count, seed, config.data.download)
    samples.known_labels()
    for note in samples.notes(count):
        tracker.say(note)
    with tracker.show("preparing"):
        compile_kernels("float32")
        compile_kernels("fixed")
    of_training = calibration_samples(ann, config)
    if again := sum(map(set(filter(None, of_training.contents)).__contains__, samples.contents)):
        tracker.say(
            f"accuracy is measured on {len(samples)} images, {again} of which thresholds are "
            "chosen on; "
            "a folder with the parts train/ and val/ keeps them apart"
        )
    calibration = of_training.images()
    shown = None if settings.first.rule == "ftbc" else len(calibration) * len(ann.network.layers)
    with tracker.time("convert"), tracker.show("calibrating", shown) as advance:
        network, thresholds = converted(ann.network, calibration, settings, advance)
    conversion = written(
        Conversion(
            ann.network,
            network,
            settings,
            thresholds,
            PreparedImages(samples.name, samples.table, samples.images()),
            True,
            seed=seed,
            device=device,
            tracker=tracker,
            files=files,
            calibration=calibration,
            convert=converted,
            preprocessing=ann.image_preprocessing,
            classes=ann.classes,
            class_names=ann.class_names,
        )
    )
    save_config(matching_configuration(config, ann, target), target.with_name("config.toml"))
    return conversion
