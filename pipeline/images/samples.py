"""The images of a run: which ones, prepared and encoded as the network needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.network.graph import Network
from pipeline.measures.localisation import box_mask
from recordings.errors import InputError
from recordings.raster.schema import SampleTable

from .datasets import Dataset, Item, open_dataset
from .datasets.base import shorten
from .encoding import encode
from .preprocessing import Preprocessing
from .selection import balanced_order

if TYPE_CHECKING:
    from pipeline.drawing.figures import Subject
    from pipeline.networks.ann_checkpoint import AnnCheckpoint
    from pipeline.networks.checkpoint import Checkpoint


@dataclass(frozen=True)
class Survey:
    """What is known of every sample besides its pixels.

    Parameters
    ----------
    table : stable index and label; -1 where the class is unknown
    names : short, for people
    masks : the object as the network sees it, (H, W) bool, from its mask or else its box; None if unknown or cropped
    """

    table: SampleTable
    names: tuple[str, ...]
    masks: tuple[NDArray[np.bool_] | None, ...]


@dataclass(frozen=True)
class Samples:
    """Some images of a data set, in the order they are simulated.

    Parameters
    ----------
    dataset : labels are indices into the checkpoint's classes
    positions : (N,) int64 — in `dataset`
    preprocessing : the checkpoint's
    """

    dataset: Dataset
    positions: NDArray[np.int64]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.positions)

    def item(self, sample: int) -> Item:
        """Image number `sample` of the run."""
        return self.dataset[int(self.positions[sample])]

    def survey(self) -> Survey:
        """Look at every image once, so that a broken one is found before anything starts; holds one at a time."""
        indices, labels, names, masks = [], [], [], []
        for item in map(self.item, range(len(self))):
            indices.append(item.index)
            labels.append(-1 if item.label is None else item.label)
            names.append(item.name)
            masks.append(self._mask(item))
        table = SampleTable(np.array(indices, np.int64), np.array(labels, np.int32))
        return Survey(table, tuple(names), tuple(masks))

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """The chosen samples in batches, encoded for the network; see :func:`pipeline.images.encoding.encode`."""
        for start in range(0, len(chosen), batch_size):
            items = [self.item(sample) for sample in chosen[start : start + batch_size]]
            images = np.stack([self.preprocessing.image(item.image) for item in items])
            yield encode(network, images, seed, [item.index for item in items])

    def subject(self, sample: int, class_names: Sequence[str], prediction: int) -> Subject:
        """Image number `sample` for a picture, with its names for people and its box where it is known."""
        from pipeline.drawing.figures import Subject  # here, because importing matplotlib takes a second

        item, prepare = self.item(sample), self.preprocessing
        return Subject(
            predicted=class_names[prediction],
            true=None if item.label is None else class_names[item.label],
            image=prepare.picture(item.image),
            box=None if item.box is None else prepare.box(item.box, item.image.size),
        )

    def _mask(self, item: Item) -> NDArray[np.bool_] | None:
        prepare = self.preprocessing
        if item.mask is not None:
            mask = prepare.mask(item.mask)
            return mask if mask.any() else None
        box = None if item.box is None else prepare.box(item.box, item.image.size)
        return None if box is None else box_mask(box, (prepare.height, prepare.width))


def choose_samples(
    source: str | Sequence[str],
    checkpoint: Checkpoint | AnnCheckpoint,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
) -> Samples:
    """The first `count` images of a seeded class-balanced order, as many as there are.

    Classes are matched by the checkpoint's identifiers or, where the data set knows none of them, by their names, so
    that class folders may be called either.

    Raises
    ------
    InputError : if the data cannot be read, or no image is of a class that the checkpoint knows
    """
    dataset = labelled_for(checkpoint, source, split, download)
    if not len(dataset):
        raise InputError(f"{dataset.name}: holds no images")
    return Samples(dataset, balanced_order(dataset.labels, seed)[:count], checkpoint.preprocessing)


def labelled_for(
    checkpoint: Checkpoint | AnnCheckpoint, source: str | Sequence[str], split: str, download: bool = False
) -> Dataset:
    """A data set whose labels are the checkpoint's, matched as :func:`choose_samples` says."""
    everything = open_dataset(source, split, download=download)
    known = checkpoint.classes
    labelled = any(label is not None for label in everything.labels)
    if labelled and not set(known) & set(everything.classes):
        if not set(checkpoint.class_names) & set(everything.classes):
            raise InputError(
                f"{everything.name}: its classes ({shorten(everything.classes)}) are none that the checkpoint knows "
                f"({shorten(known)}); choose the data that belong to the network, or the network to the data"
            )
        known = checkpoint.class_names
    return open_dataset(source, split, known, download=download)
