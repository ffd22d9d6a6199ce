"""Samples shown to a network, by position: items of a data set, read and prepared once, or arrays
of a caller.
"""

from __future__ import annotations

import math
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch
from spikesam.backends.network import Network
from spikesam.common.disk import readable, reason
from spikesam.common.errors import OTHER_OUT, InputError
from spikesam.common.parallel import cores, in_order
from spikesam.common.text import brief, printable
from spikesam.pipeline.images.datasets import Dataset, Item
from spikesam.pipeline.images.datasets.base import READERS
from spikesam.pipeline.images.encoding import encode, in_eight_bits
from spikesam.pipeline.images.events.binning import EventBinning, picture_of
from spikesam.pipeline.images.preprocessing import Box, Preprocessing, box_mask
from spikesam.recordings.raster.batch import PackedSpikes, pack, unpack
from spikesam.recordings.schema import SampleTable

SMALL = 1 << 16  # pixels; a smaller image is unpacked faster without threads
FEW = 8  # samples whose numbers are looked at together


class Samples(ABC):
    """Samples that are shown to a network, by position."""

    name: str  # identity of the data, for files
    table: SampleTable  # index and label of every sample; -1 where the class is unknown
    contents: tuple[
        str, ...
    ] = ()  # SHA-256, hexadecimal, of what each was read from; none where `name` says it

    def __len__(self) -> int:
        return len(self.table)

    @abstractmethod
    def part(self, positions: range) -> Samples:
        """Some consecutive samples."""

    @abstractmethod
    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """The input of `network` for the chosen samples."""

    def encoded(
        self, chosen: Sequence[int], network: Network, seed: int, batch_size: int
    ) -> Iterator[InputBatch]:
        """The input of `network` for the chosen samples, in batches."""
        for rows in batches(chosen, batch_size):
            yield self.batch(rows, network, seed)

    def name_of(self, sample: int) -> str:
        """A short name, for people."""
        return f"sample {self.table.index[sample]}"

    def mask_of(self, sample: int) -> NDArray[np.bool_] | None:
        """(H, W) bool, the object's pixels; None if unknown."""
        return None

    def numbers(self) -> Iterator[NDArray[np.float32]]:
        """The numbers before they are encoded, some samples at a time; nothing where the input is
        spikes.
        """
        return iter(())

    def clipped(self, network: Network) -> str | None:
        """A line about numbers beyond the range of a current input, which are clipped; None where
        there are none.
        """
        limit, beyond, size = network.input_range, 0, 0
        for part in self.numbers() if network.current_input else ():
            beyond, size = beyond + int(np.count_nonzero(np.abs(part) > limit)), size + part.size
        if not beyond:
            return None
        share = 100 * beyond / size
        return (
            f"input: {share:.2g} % of the numbers are beyond ±{limit:g}, the network's range, and "
            "are clipped to it"
        )

    def doubtful(self, network: Network) -> str | None:
        """A line about input steps that may be laid out otherwise than they are read; None where
        they are clear.
        """
        return None

    def refuse_changed(self, expected: Sequence[str]) -> None:
        """Refuse samples that are not what they were when a run began, by their contents then;
        nothing: not known.
        """
        changed = [
            number
            for number, pair in enumerate(zip(self.contents, expected, strict=False))
            if pair[0] != pair[1]
        ]
        if changed:
            further = f" and {len(changed) - 1} more" if changed[1:] else ""
            raise InputError(
                f"{self.name}: {self.name_of(changed[0])}{further}: changed since the run began; "
                "restore what it was",
                OTHER_OUT,
            )


@dataclass(frozen=True, eq=False)
class PreparedImages(Samples):
    """Images that are prepared already, (N, C, H, W) float32, and only need to be encoded."""

    name: str
    table: SampleTable
    images: NDArray[np.float32]

    def part(self, positions: range) -> PreparedImages:
        """See :class:`Samples`."""
        chosen = slice(positions.start, positions.stop)
        return PreparedImages(self.name, self.table[chosen], self.images[chosen])

    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """See :class:`Samples`."""
        return encode(network, self.images[chosen], seed, self.table.index[chosen])

    def numbers(self) -> Iterator[NDArray[np.float32]]:
        """See :class:`Samples`."""
        yield self.images


@dataclass(frozen=True, eq=False)
class InputSteps(Samples):
    """The network's input at every step, (T, N, C, H, W): spikes as they are, bool, or numbers,
    float32.
    """

    name: str
    table: SampleTable
    values: NDArray[Any]

    def part(self, positions: range) -> InputSteps:
        """See :class:`Samples`."""
        chosen = slice(positions.start, positions.stop)
        return InputSteps(self.name, self.table[chosen], self.values[:, chosen])

    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """See :class:`Samples`; refuses another shape than the network's input; adds silent steps
        for its delays.
        """
        spikes = self.values.dtype == np.bool_
        value_kind = "spikes" if spikes else "numbers"
        if not (network.spiking_input if spikes else network.encoder == "changing-current"):
            raise InputError(
                f"data: got input {value_kind}, but the network takes its input as "
                f"{network.encoder}"
            )
        steps, late = network.timesteps, network.timesteps - network.model_steps
        if (
            len(self.values) not in (steps, steps - late)
            or self.values.shape[2:] != network.input_shape
        ):
            swapped = self.values.swapaxes(0, 1).shape
            fits = swapped[0] in (steps, steps - late) and swapped[2:] == network.input_shape
            steps_first = (
                f"; steps come first, and {swapped[0]} steps stand on the second axis" * fits
            )
            then = "1 silent step comes" if late == 1 else f"{late} silent steps come"
            raise InputError(
                f"data: got input {value_kind} of (T, N, C, H, W) = {self.values.shape}, expected "
                f"{(steps - late, len(self.table), *network.input_shape)}, after which {then}, "
                f"as many as the last layer is late; or all {steps} steps{steps_first}"
            )
        values = self.values[:, chosen]
        silent = np.zeros((steps - len(values), *values.shape[1:]), values.dtype)
        values = np.concatenate([values, silent])
        return values if spikes else in_eight_bits(values, network.input_range)

    def doubtful(self, network: Network) -> str | None:
        """See :class:`Samples`: as many samples as the network has steps with its delays, and as
        many steps as the model has.
        """
        steps, samples = self.values.shape[:2]
        if network.model_steps == network.timesteps or (steps, samples) != (
            network.timesteps,
            network.model_steps,
        ):
            return None
        return (
            f"data: {self.values.shape} is read as {steps} steps of {samples} samples; of {steps} "
            f"samples of {samples} steps, move the steps to the first axis"
        )

    def numbers(self) -> Iterator[NDArray[np.float32]]:
        """See :class:`Samples`."""
        if self.values.dtype == np.float32:
            yield self.values


@dataclass(frozen=True, eq=False)
class DatasetSamples(Samples):
    """Items of a data set as a network sees them; each was read and prepared once."""

    name: str
    table: SampleTable
    names: tuple[str, ...]
    pictures: NDArray[np.uint8]  # (N, H, W, 3), resized and cropped, or events summed over time
    boxes: tuple[Box | None, ...]  # of the object in the picture; None if unknown or cropped away
    masks: tuple[
        NDArray[np.bool_] | None, ...
    ]  # (H, W), the object's pixels, from its mask or else its box
    contents: tuple[str, ...] = field()  # without the default of `Samples`; "" for what has no file
    preparation: Preprocessing | EventBinning
    skipped: int  # items left out because the checkpoint does not know their class

    __repr__ = brief
    kind = "images"
    # Fields with a part for each sample.
    by_sample: ClassVar[tuple[str, ...]] = (
        "table",
        "names",
        "pictures",
        "boxes",
        "masks",
        "contents",
    )

    def part(self, positions: range) -> Self:
        """See :class:`Samples`."""
        return replace(
            self,
            **{
                name: getattr(self, name)[positions.start : positions.stop]
                for name in self.by_sample
            },
        )

    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """See :class:`Samples`."""
        return encode(network, self.images(chosen), seed, self.table.index[chosen])

    def name_of(self, sample: int) -> str:
        """See :class:`Samples`."""
        return self.names[sample]

    def mask_of(self, sample: int) -> NDArray[np.bool_] | None:
        """See :class:`Samples`."""
        return self.masks[sample]

    def numbers(self) -> Iterator[NDArray[np.float32]]:
        """See :class:`Samples`."""
        return map(self.images, batches(range(len(self)), FEW))

    def known_labels(self) -> NDArray[np.int32]:
        """(N,) the class of every sample; refuses an unknown one."""
        if self.table.label.min() < 0:
            raise InputError(
                f"{self.name}: holds {self.kind} without labels, expected labelled ones"
            )
        return self.table.label

    def images(self, chosen: Sequence[int] | slice = slice(None)) -> NDArray[np.float32]:
        """The chosen images as the network's encoder takes them: (B, C, H, W) float32."""
        return self.image_preprocessing.normalised(self.pictures[chosen])

    @property
    def image_preprocessing(self) -> Preprocessing:
        """The preparation of images; events are refused."""
        if isinstance(self.preparation, EventBinning):
            raise InputError(f"{self.name}: holds events, expected images")
        return self.preparation

    def frames(self, sample: int) -> NDArray[np.uint8] | None:
        """(T, H, W, 3): what the network sees at each step, where that is not one image at all of
        them.
        """
        return None

    @property
    def binned(self) -> str:
        """A line for the user on events that were merged or dropped; "" of images."""
        return ""

    def notes(self, requested: int | None) -> list[str]:
        """See :func:`choice_notes`."""
        return choice_notes(self, self.kind, requested)


@dataclass(frozen=True, eq=False)
class EventSamples(DatasetSamples):
    """Recordings of events."""

    preparation: EventBinning
    bits: NDArray[np.uint8]  # (N, bins, ⌈2·H·W/8⌉), packed
    counts: NDArray[
        np.int64
    ]  # (N, 3): events that became bits; that fell on a bit set already; that were left out

    kind = "recordings"
    __repr__ = brief
    by_sample: ClassVar[tuple[str, ...]] = (*DatasetSamples.by_sample, "bits", "counts")

    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """See :class:`Samples`: the bits, followed by silence."""
        silent = np.zeros(
            (len(chosen), network.timesteps - self.bits.shape[1], self.bits.shape[2]), np.uint8
        )
        return PackedSpikes(
            np.concatenate([self.bits[chosen], silent], axis=1), self.preparation.input_shape
        )

    def numbers(self) -> Iterator[NDArray[np.float32]]:
        """See :class:`Samples`."""
        return iter(())

    def frames(self, sample: int) -> NDArray[np.uint8] | None:
        """See :class:`DatasetSamples`; a single column has none: its picture shows all steps."""
        if self.preparation.width == 1:
            return None
        return np.stack(
            [picture_of(step) for step in unpack(self.bits[[sample]], self.preparation.input_shape)]
        )

    @property
    def binned(self) -> str:
        """See :class:`DatasetSamples`."""
        n_spikes, merged, left_out = self.counts.sum(axis=0).tolist()
        return (
            f"{n_spikes + merged + left_out:,} events became {n_spikes:,} spikes: {merged:,} "
            "merged (same "
            "pixel, polarity and "
            f"bin), {left_out:,} dropped (outside the crop or too late)"
        )


def choice_notes(chosen: Dataset | DatasetSamples, kind: str, requested: int | None) -> list[str]:
    """Lines for the user: what was skipped, and where there are fewer labelled items."""
    notes = []
    if chosen.skipped:
        notes.append(
            f"skipped {chosen.skipped:,} {kind} of classes that the checkpoint does not know"
        )
    if len(chosen) < (requested or 0) and chosen.table.label.max() >= 0:
        name = printable(chosen.name)
        notes.append(f"{name} has {len(chosen)} {kind} of these classes, fewer than {requested}")
    return notes


def batches(chosen: Sequence[int], size: int) -> Iterator[list[int]]:
    """The chosen samples, `size` at a time; fewer in the last batch."""
    for start in range(0, len(chosen), size):
        yield list(chosen[start : start + size])


def read_samples(
    dataset: Dataset,
    preparation: Preprocessing | EventBinning,
    positions: range | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> DatasetSamples:
    """Read and prepare every item, or those at some positions, into a nameless file; refuses the
    first broken one.
    """
    if positions is not None:
        dataset = dataset.chosen(positions)
    pictures = _scratch((len(dataset), *preparation.picture_size, 3))

    def read(place: int, item: Item | None = None) -> tuple[Any, ...]:
        item = dataset[place] if item is None else item
        event_columns: tuple[Any, ...] = ()
        if isinstance(preparation, EventBinning):
            binned = preparation.binned(item.image)
            pictures[place] = picture_of(binned.bits)
            event_columns = (
                pack(binned.bits[:, None])[0],
                (int(binned.bits.sum()), binned.merged, binned.left_out),
            )
        else:
            pictures[place] = preparation.picture(item.image)
        box = None if item.box is None else preparation.box(item.box, item.image.size)
        return box, _mask(item, box, preparation), dataset.content(place), *event_columns

    first, rows = dataset[0], []
    small = isinstance(preparation, EventBinning) or math.prod(first.image.size) < SMALL
    workers = 1 if small else min(cores(), READERS, len(dataset))
    with closing(in_order(read, range(1, len(dataset)), workers)) as rows_to_come:
        for row in chain([read(0, first)], rows_to_come):
            rows.append(row)
            advance(1)
    boxes, masks, contents, *event_columns = zip(*rows, strict=True)
    columns = (
        dataset.name,
        dataset.table,
        dataset.names,
        pictures,
        boxes,
        masks,
        contents,
        preparation,
        dataset.skipped,
    )
    kind: Any = EventSamples if event_columns else DatasetSamples
    return kind(*columns, *map(np.array, event_columns))


def _scratch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array in a file without a name, whose blocks are taken at once: a disk that is full later
    would kill us.
    """
    size = math.prod(shape)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # Linux
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{tempfile.gettempdir()}: cannot hold {readable(size)} of prepared pictures "
            f"({reason(error)}); "
            "free space there, take fewer samples, or set TMPDIR to another folder"
        ) from error


def _mask(
    item: Item, box: Box | None, preparation: Preprocessing | EventBinning
) -> NDArray[np.bool_] | None:
    if item.mask is not None:
        mask = preparation.mask(item.mask)
        return mask if mask.any() else None
    return None if box is None else box_mask(box, (preparation.height, preparation.width))
