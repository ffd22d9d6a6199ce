"""Training from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

from rich.console import Console

from spikesam.pipeline.config import Config, read_config
from spikesam.pipeline.networks.checkpoint import Checkpoint
from spikesam.pipeline.training.epochs import finished_epochs
from spikesam.pipeline.training.fit import train_checkpoint
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import refuse_links
from spikesam.recordings.lock import out_lock

NAMES = ("epochs", "epochs/last.ckpt", "epochs/best.ckpt", "tensorboard")  # in the folder of a training


@checked_arguments
def train(
    config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
    out: str | PathLike[str] = "runs/train",
    *,
    resume: bool = False,
    console: Console | None = None,
) -> Checkpoint:
    """Train a spiking network with surrogate gradients, or its ANN twin, into `out/checkpoint.safetensors`.

    Backpropagation through time; the network of the epoch that did best on the selection images counts. Beside the
    checkpoint, `out` receives `config.toml`, `epochs/*.ckpt`, `metrics.csv` and TensorBoard events.

    Parameters
    ----------
    config : a TOML file as those in `configs/`, or its tables as a dictionary: `data`, `network` and `training` count.
        If not given, `configs/default.toml`. An ANN is trained with `network.neuron = "relu"`
    out : folder, made if missing
    resume : continue after the last finished epoch in `out`, as if the training had never stopped. One that was
        finished there, with the same settings and images, is returned without it; if it has fewer epochs, it goes on
    console : where a line for each epoch and a bar appear; standard error if not given

    Returns
    -------
    the checkpoint that was written

    Raises
    ------
    InputError : if the data do not fit, `out` holds an unfinished training, or one that had other settings or
        images, its epochs are damaged, or the loss is no longer finite

    Examples
    --------
    >>> import spikesam
    >>> small = {
    ...     "data": {"height": 16, "width": 16, "train_scenes": 64},
    ...     "network": {"layers": [4, "P4", "D8"], "timesteps": 6},
    ...     "training": {"epochs": 1},
    ... }
    >>> checkpoint = spikesam.train(small, "small")
    >>> checkpoint.network.shapes
    ((6, 16, 16), (4, 16, 16), (8, 1, 1))
    """
    settings, folder = read_config(config), Path(out)
    refuse_links(folder, NAMES)
    finished = finished_epochs(folder)
    if resume and not finished:
        raise InputError(f"{folder / 'epochs' / 'last.ckpt'}: no finished epoch to resume from", "start-again")
    if not resume and bool(finished) != (folder / "checkpoint.safetensors").exists():
        raise InputError(f"{folder}: holds a training already", "resume-training")
    with out_lock(folder), _without_empty_caches():
        return train_checkpoint(settings, folder, bool(finished), console or PlainConsole(stderr=True))


@contextmanager
def _without_empty_caches() -> Iterator[None]:
    """Remove the folder that torch makes for what it compiles where nothing was compiled: no optimiser here is."""
    try:
        yield
    finally:
        for path in Path(tempfile.gettempdir()).glob("torchinductor_*"):
            with suppress(OSError):  # one that holds something, or is another user's
                path.rmdir()
