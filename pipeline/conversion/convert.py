"""Conversion from Python: an ANN becomes a spiking checkpoint, measured after every number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pandas as pd

from spikesam.backends.available import make_backend
from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.config import Config, read_config, save_config
from spikesam.pipeline.conversion.algorithm import convert_checkpoint, matching_configuration
from spikesam.pipeline.conversion.latency import accuracy_over_time
from spikesam.pipeline.conversion.summary import ConversionSummary, summarise_conversion, write_conversion
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from spikesam.pipeline.networks.checkpoint_files import find_checkpoint
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import out_lock
from spikesam.recordings.progress import Tracker
from spikesam.recordings.text import brief


@dataclass(frozen=True, eq=False)
class Conversion:
    """The result of a conversion.

    Parameters
    ----------
    checkpoint : the spiking network, in float32
    accuracy : share of right answers, a row per number of steps t = 1 … T, a column per precision, float32 and fixed
    summary : thresholds, the ANN's accuracy, and from which step on the spiking network has it; as in `summary.json`
    files : what was written, the checkpoint first
    """

    checkpoint: Checkpoint
    accuracy: pd.DataFrame
    summary: ConversionSummary
    files: tuple[Path, ...]

    __repr__ = brief


@checked_arguments
def convert(
    ann: str | PathLike[str] | None = None,
    out: str | PathLike[str] = "runs/convert",
    config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    samples: int = 100,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> Conversion:
    """Convert an ANN to a network of integrate-and-fire neurons, and measure its accuracy after every step.

    Thresholds come from training images, accuracy from validation images. `out` receives `checkpoint.safetensors`,
    `accuracy.csv`, `accuracy.png`, `summary.json` and `config.toml`.

    Parameters
    ----------
    ann : a bundled ANN's name, or a checkpoint file; `conversion.ann` of the configuration if not given
    out : folder, made if missing
    config : a TOML file as those in `configs/`, or its tables as a dictionary, of which `conversion` and `data` count
    data : data set with training and validation parts, by name or path; `data.source` if not given
    samples : how many validation images to measure on
    seed : of their order and of the Poisson spikes
    device : of the torch backend: "auto", "cpu", "cuda", "cuda:1"
    overwrite : write into a folder that holds files already

    Returns
    -------
    the spiking checkpoint, its accuracy over time, and what it was made with

    Raises
    ------
    InputError : if the network spikes already, the data do not fit, nothing drives a layer, or `out` holds files

    Examples
    --------
    >>> import spikesam
    >>> quick = {"conversion": {"timesteps": 30, "calibration": 4}}
    >>> conversion = spikesam.convert("cluttered-digits-ann", "converted", quick, samples=4, overwrite=True)
    >>> conversion.checkpoint.network.timesteps, conversion.accuracy.shape
    (30, (30, 2))
    """
    given, folder = read_config(config), Path(out)
    conversion = given.conversion if ann is None else given.conversion.model_copy(update={"ann": str(ann)})
    source = given.data if data is None else given.data.model_copy(update={"source": fspath(data)})
    settings = given.model_copy(update={"conversion": conversion, "data": source})
    with out_lock(folder, None if overwrite else "overwrite"):
        return _converted(settings, folder, samples, seed, device)


def _converted(config: Config, out: Path, count: int, seed: int, device: str) -> Conversion:
    """Do everything; `out` exists and is locked."""
    settings, target, tracker = config.conversion, out / "checkpoint.safetensors", Tracker()
    source = find_checkpoint(settings.ann, "ann")
    if target.exists() and source.samefile(target):
        raise InputError(f"{source}: is the ANN to be converted, and would be overwritten", "other-out")
    ann = load_checkpoint(settings.ann, "ann")
    samples = choose_samples(config.data.source, ann, count, seed, config.data.download)
    samples.known_labels()
    backend = make_backend("auto", device)
    with tracker.show("preparing (the first time, kernels are compiled)"):
        compile_kernels("float32")
        compile_kernels("fixed")
    shown = settings.calibration * len(ann.network.layers)
    with tracker.time("convert"), tracker.show("calibrating", shown) as advance:
        checkpoint = convert_checkpoint(ann, config, advance)
    save_checkpoint(checkpoint, target)
    save_config(matching_configuration(config, ann, target), out / "config.toml")
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    with tracker.time("measure"), tracker.show(f"measuring over {settings.timesteps} steps", len(samples)) as advance:
        curves = accuracy_over_time(networks, backend, samples, seed, advance)
    seconds = {stage: round(taken, 3) for stage, taken in tracker.seconds.items()}
    summary = summarise_conversion(settings, ann.network, checkpoint.network, samples, seed, curves, seconds)
    files = (target, *write_conversion(summary, curves, out))
    return Conversion(checkpoint, curves, summary, files)
