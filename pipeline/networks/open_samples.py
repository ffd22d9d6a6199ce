"""Samples of what a caller of `simulate` has: a data set, images or events in memory, or arrays of
spikes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from spikesam.backends.network import Network
from spikesam.common.errors import InputError, at
from spikesam.pipeline.images.datasets import Dataset, Item
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import InputSteps, PreparedImages, Samples, read_samples
from spikesam.pipeline.networks.checkpoint import Checkpoint
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.recordings.raster.batch import as_bits, on_cpu, whole_numbers
from spikesam.recordings.schema import SampleTable

DEFAULT_SAMPLES = 8
EXPECTED = (
    "images (N, H, W, 3) uint8, prepared images (N, C, H, W) float32, or input spikes (T, "
    "N, C, H, W) of 0 and 1"
)


def open_samples(
    data: Any,
    network: Checkpoint | Network,
    *,
    labels: ArrayLike | None = None,
    samples: int | None = None,
    seed: int = 0,
    download: bool = False,
    advance: Callable[[int], None] = lambda images: None,
) -> Samples:
    """The samples to simulate: of a data set, files, events or arrays; `samples` are 8 of a data
    set if not given.
    """
    if samples is not None and not (isinstance(samples, int) and samples >= 1):
        raise InputError(f"samples: got {samples!r}, expected a whole number, at least 1")
    if isinstance(data, Samples):
        if samples is not None or labels is not None:
            raise InputError(
                "samples, labels: got some beside prepared samples, which have their own; leave "
                "them out"
            )
        return data
    graph, checkpoint = (
        (network, None) if isinstance(network, Network) else (network.network, network)
    )
    if hasattr(data, "__array__"):
        return _of_array(np.asarray(on_cpu(data)), graph, checkpoint, labels, samples, advance)
    if isinstance(data, Events):
        data = [data]
    is_list = isinstance(data, (list, tuple))
    if is_list and data and all(isinstance(item, Events) for item in data):
        if checkpoint is None:
            raise InputError(
                "data: a plain network does not know how events are binned; give a checkpoint, or "
                "spikes (T, N, C, H, W), such as EventBinning(…).binned(events).bits[:, None]"
            )
        known_labels = _table(labels, len(data), samples).label.tolist()
        dataset = InMemory(data[:samples], known_labels, checkpoint.class_names)
        return read_samples(dataset, checkpoint.preparation, advance=advance)
    if data is not None and not all(
        isinstance(path, (str, Path)) for path in (data if is_list else [data])
    ):
        of_other_things = " of other things than paths" if is_list else ""
        raise InputError(f"data: got {type(data).__name__}{of_other_things}, expected {EXPECTED}")
    if checkpoint is None:
        raise InputError(
            "data: a plain network does not know how its images are prepared; give a checkpoint, "
            "or arrays: (N, C, H, W) floating point or (T, N, C, H, W) of 0 and 1"
        )
    if labels is not None:
        raise InputError("labels: got some beside a data set, which has its own; leave them out")
    source = [str(path) for path in data] if is_list else None if data is None else str(data)
    count = samples or (len(data) if is_list else DEFAULT_SAMPLES)
    return choose_samples(source, checkpoint, count, seed, download, advance=advance)


def _of_array(
    array: NDArray[Any],
    network: Network,
    checkpoint: Checkpoint | None,
    labels: ArrayLike | None,
    samples: int | None,
    advance: Callable[[int], None],
) -> Samples:
    what_was_given = f"data: got an array of shape {array.shape} {array.dtype}, expected {EXPECTED}"
    if array.ndim == 5:
        table, array = _table(labels, array.shape[1], samples), array[:, :samples]
        if network.encoder == "changing-current":
            array = np.asarray(array, np.float32)
        else:
            array = as_bits(array, lambda place: f"data: index {place}" if place else "data")
        return InputSteps(_identity("array", array), table, array)
    if array.ndim not in (3, 4):
        raise InputError(what_was_given)
    if array.ndim == 3 and array.shape[2] == 3:
        raise InputError(f"{what_was_given}; one image is image[None]")
    table, array = _table(labels, len(array), samples), array[:samples]
    if array.ndim == 4 and array.dtype.kind == "f":
        _check_prepared(array, network, checkpoint.preprocessing if checkpoint else None)
        return PreparedImages(_identity("array", array), table, array.astype(np.float32))
    if array.dtype != np.uint8:
        raise InputError(what_was_given)
    if checkpoint is None:
        raise InputError(
            f"{what_was_given}; a plain network does not know how images are prepared, so prepare "
            "them first"
        )
    dataset = InMemory(array, table.label.tolist(), checkpoint.class_names)
    return read_samples(dataset, checkpoint.preparation, advance=advance)


def _table(labels: ArrayLike | None, count: int, samples: int | None) -> SampleTable:
    """The first samples of so many."""
    known_labels = np.full(count, -1) if labels is None else on_cpu(labels)
    if np.shape(known_labels) != (count,):
        raise InputError(
            f"labels: got {np.shape(known_labels)}, expected one for each of the {count} samples"
        )
    with at("labels"):
        known_labels = whole_numbers(known_labels, count, np.int32)
    return SampleTable(np.arange(count)[:samples], known_labels[:samples])


def _check_prepared(
    images: NDArray[Any], network: Network, prepare: Preprocessing | EventBinning | None
) -> None:
    """Refuse images of another shape, or whose values no prepared image can have."""
    if not network.takes_images:
        number_kind = "of 0 and 1" if network.spiking_input else "floating point"
        raise InputError(
            f"data: got images, but the network takes {network.encoder}: (T, N, C, H, W) "
            f"{number_kind}"
        )
    channels, *size = network.input_shape
    expected = (channels // 2 if network.encoder == "poisson" else channels, *size)
    if images.shape[1:] != expected:
        raise InputError(
            f"data: got prepared images of (C, H, W) = {images.shape[1:]}, expected {expected}"
        )
    if not isinstance(prepare, Preprocessing):
        return
    low, high = prepare.limits
    if not (
        np.isfinite(images).all() and low - 1e-3 <= images.min() and images.max() <= high + 1e-3
    ):
        raise InputError(
            f"data: got prepared images with values in {images.min():g} … {images.max():g}, "
            f"expected {low:.3g} … {high:.3g}; prepare them as (p/255 - mean)/std, or give the "
            "pixels as uint8"
        )


class InMemory(Dataset):
    """Images (N, H, W, 3) or (N, H, W) uint8, or recordings of events, labelled by `classes`; -1 is
    unknown.
    """

    def __init__(
        self,
        samples: NDArray[Any] | Sequence[Events],
        labels: Sequence[int],
        classes: Sequence[str],
    ) -> None:
        if isinstance(samples, np.ndarray) and (
            not samples.size or (samples.ndim == 4 and samples.shape[3] != 3)
        ):
            raise InputError(
                f"data: got images of shape {samples.shape}, expected (N, H, W, 3) or (N, H, W)"
            )
        if labels and not -1 <= min(labels) <= max(labels) < len(classes):
            raise InputError(
                f"labels: got {min(labels)} … {max(labels)}, expected -1 … {len(classes) - 1}"
            )
        if isinstance(samples, np.ndarray):
            name = _identity("array", samples)
        else:
            name = _identity(
                "events",
                *(
                    array
                    for events in samples
                    for array in (events.t, events.x, events.y, events.polarity)
                ),
            )
        super().__init__(name, classes, [None if label < 0 else int(label) for label in labels])
        self._samples = samples

    def __getitem__(self, position: int) -> Item:
        sample = self._samples[position]
        return self._item(
            position,
            sample if isinstance(sample, Events) else Image.fromarray(sample).convert("RGB"),
        )

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return f"{'image' if isinstance(self._samples, np.ndarray) else 'recording'} {position}"


def _identity(kind: str, *arrays: NDArray[Any]) -> str:
    """A name that differs for other pixels, spikes or events, so that a run is not resumed with
    them.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return f"{kind}#{digest.hexdigest()[:8]}"
