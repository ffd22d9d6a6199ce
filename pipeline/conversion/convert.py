"""Conversion from Python: an ANN becomes a spiking network, with the accuracy that it keeps after
every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import OVERWRITE, InputError, at
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.config import ConversionSection, read_config
from spikesam.pipeline.conversion._read_ann import read_ann
from spikesam.pipeline.conversion.algorithm import (
    convert_graph,
    evenly_spaced,
)
from spikesam.pipeline.conversion.conversion import (
    UNPREPARED,
    WRITTEN,
    Conversion,
    refuse_bad_measure,
    written,
)
from spikesam.pipeline.images.calibration import MOST, calibration_images
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import PreparedImages
from spikesam.pipeline.networks.differentiable import predictions
from spikesam.recordings.schema import SampleTable

USUAL = {"rule": "ftbc", "timesteps": 64, "encoder": "constant-current"}  # of a model


@checked_arguments
def convert(
    ann: Any,
    images: Any,
    labels: Any = None,
    *,
    timesteps: int | None = None,
    rule: str | Sequence[str] | None = None,
    percentile: float | None = None,
    per: str | None = None,
    encoder: str | None = None,
    initial: float | None = None,
    spikes: int | None = None,
    validation: Any = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    samples: int = 100,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> Conversion:
    """Convert an ANN to a network of integrate-and-fire neurons, and measure its accuracy after
    every step; of an ANN in a checkpoint, see :func:`spikesam.convert_checkpoint`.

    Of a torch model in evaluation, neurons are its ReLU, clipped or not, wherever they are called;
    between them may be what :func:`spikesam.from_torch` knows: convolutions, linear layers, batch
    normalisation, pooling, sums of branches, concatenations. The network that is read is proven
    equal to the model on the images. Nothing is written without `out`, and accuracy is measured
    when it is first asked for.

    Parameters
    ----------
    ann : a `torch.nn.Module`, or a network of ReLU neurons
    images : to calibrate on: a tensor or array (N, C, H, W) or (N, F) as the model takes it,
        batches of such, or a DataLoader of images or (images, labels), whose first 1,024 images
        count. 64 are enough, training images do
    labels : (N,) int, their classes; without any, agreement with the ANN counts
    timesteps : T, steps that every layer works; 64 if not given
    rule : how thresholds are chosen, see :mod:`spikesam.pipeline.conversion.algorithm`: "max",
        "percentile", "scaled", "balanced", or "ftbc", those of the least error after T steps with
        biases that correct the mean of each channel step by step (Wu et al. 2024), the
        default. Of several, or "all", the first one converts, and a table compares them:
        :attr:`Conversion.rules`
    percentile : of the activations above 0: the threshold by "percentile", the highest by "ftbc";
        99.9 if not given
    per : "layer" or "channel", each with a threshold of its own; by "balanced" each channel,
        whatever this says
    encoder : "constant-current", the image itself at every step, in 8 bits; or "poisson"
    initial : membranes to begin with, in thresholds; 0.5 if not given, which rounds counts where 0
        cuts them
    spikes : of a neuron in a step, at most; 1 if not given. Of n, each channel becomes n of bits: T
        steps tell nT + 1 levels apart, and arrive more evenly than n times as many steps of one;
        see :func:`spikesam.integer_planes`
    validation : to measure on, (images, labels) or a DataLoader, whose first 1,024 images count, or
        `samples` if that is more; the images to calibrate on if not given
    preprocessing : of images, which a checkpoint of a model says, so needed with `out`
    class_names : of every class, in the order of the model's outputs; "0", "1", … if not given
    out : folder, made if missing: `checkpoint.safetensors`, `accuracy.csv`, `accuracy.png`,
        `summary.json`
    samples : how many of these images to measure on, evenly spaced
    seed : of their order and of the Poisson spikes
    device : of the torch backend: "auto", "cpu", "cuda", "cuda:1"
    overwrite : write into a folder that holds files already

    Returns
    -------
    the spiking network, its accuracy over time, errors by layer, and what it was made with

    Raises
    ------
    InputError : if the network spikes already, arguments, images or data do not fit, an operation
        of the model is not known, nothing drives a layer, or `out` holds files

    References
    ----------
    Wu, Li, Bojkovic, Gu & Yuan 2024, Forward temporal bias correction for optimizing ANN-SNN
    conversion, ECCV, arXiv:2403.18388.

    Examples
    --------
    >>> import spikesam, torch
    >>> from torch import nn
    >>> relu = nn.ReLU()
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), relu, nn.Flatten(), nn.Linear(144, 3)).eval()
    >>> conversion = spikesam.convert(model, torch.rand(32, 1, 8, 8), timesteps=16)
    >>> conversion.network.window, conversion.accuracy.shape
    (16, (16, 2))
    """
    if not isinstance(ann, (nn.Module, Network)):
        advice = (
            "; spikesam.convert_checkpoint converts a checkpoint, with a data set"
            if isinstance(ann, (str, PathLike))
            else ""
        )
        raise InputError(f"ann: got {type(ann).__name__}, expected a torch.nn.Module{advice}")
    refuse_bad_measure(samples, device)
    if out is not None and preprocessing is None:
        raise InputError(f"out: {UNPREPARED}")
    arguments = {"timesteps": timesteps, "rule": rule, "percentile": percentile, "per": per}
    arguments |= {"encoder": encoder, "initial": initial, "spikes": spikes}
    chosen = {name: value for name, value in arguments.items() if value is not None}
    settings = read_config(
        {"conversion": {"seed": seed} | USUAL | chosen | {"ann": type(ann).__name__}}
    ).conversion
    folder = Path(out or "")
    files = () if out is None else tuple(folder / name for name in WRITTEN)
    options: dict[str, Any] = {"seed": seed, "device": device, "tracker": Tracker(), "files": files}
    options |= {"preprocessing": preprocessing, "classes": tuple(class_names)}
    with out_lock(folder, "" if overwrite else OVERWRITE) if files else nullcontext():
        return _converted(ann, images, labels, settings, validation, samples, options)


def _converted(
    model: Any,
    images: Any,
    labels: Any,
    settings: ConversionSection,
    validation: Any,
    samples: int,
    options: dict[str, Any],
) -> Conversion:
    """Read the model, convert it, and write what comes out, if there is a folder for it, which is
    locked.
    """
    tracker = options["tracker"]
    if images is None:
        raise InputError("images: got none, expected some to calibrate on, as the model takes them")
    calibration, labels_known = calibration_images(images, labels)
    with tracker.time("read"), tracker.show("reading the model, and proving it on the images"):
        ann, answers = (model, None) if isinstance(model, Network) else read_ann(model, calibration)
    with at("images"):
        calibration = _shaped(calibration, ann)
    with tracker.time("convert"), tracker.show("calibrating") as advance:
        network, thresholds = convert_graph(ann, calibration, settings, advance)
    shown, of_shown = (
        (calibration, labels_known) if validation is None else _validation(validation, samples)
    )
    chosen = evenly_spaced(len(shown), samples)
    of_all = shown
    with at("validation"):
        shown = _shaped(shown[chosen], ann)
    if of_shown is not None:
        answers = _labels(of_shown[chosen], ann)
    elif validation is None and answers is not None:
        answers = answers[chosen]
    else:
        encoded = PreparedImages(
            "", SampleTable(np.arange(len(shown)), np.full(len(shown), -1, np.int32)), shown
        )
        answers = predictions(ann, encoded.encoded(range(len(shown)), ann, options["seed"], 16))
    table = SampleTable(np.arange(len(shown)), answers.astype(np.int32))
    measured = PreparedImages(
        f"{'calibration' if validation is None else 'validation'} images", table, shown
    )
    options |= {"calibration": calibration, "n_images": len(of_all)}
    return written(
        Conversion(ann, network, settings, thresholds, measured, of_shown is not None, **options)
    )


def _shaped(images: NDArray[np.float32], ann: Network) -> NDArray[np.float32]:
    """Images (N, C, H, W), or (N, F) of a network of F numbers, as (N, C, H, W)."""
    shape = images.shape[1:] if images.ndim == 4 else (*images.shape[1:], 1, 1)
    if shape != ann.input_shape:
        raise InputError(
            f"have shape {images.shape}, expected (N, {', '.join(map(str, ann.input_shape))})"
        )
    return images.reshape(-1, *ann.input_shape)


def _validation(
    validation: Any, samples: int
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    pair = (
        isinstance(validation, (tuple, list))
        and len(validation) == 2
        and np.ndim(validation[0]) > 1
        and np.ndim(validation[1]) == 1
    )
    images, labels = validation if pair else (validation, None)
    try:
        return calibration_images(images, labels, max(samples, MOST))
    except InputError as error:
        raise InputError(error.finding, argument="validation") from error


def _labels(labels: NDArray[np.int64], ann: Network) -> NDArray[np.int64]:
    if labels.min() < 0 or labels.max() >= ann.classes:
        raise InputError(
            f"labels: got {labels.min()} … {labels.max()}, expected 0 … {ann.classes - 1}, the "
            "outputs of the model"
        )
    return labels
