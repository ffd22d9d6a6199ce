"""The images of a run: which ones, prepared and encoded as the network needs them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.network import Network
from recordings.errors import InputError
from recordings.schema import SampleTable

from .datasets import Dataset, Item, open_dataset
from .encoding import encode
from .matching import KnownClasses
from .preprocessing import Box, Preprocessing, box_mask
from .selection import balanced_order

if TYPE_CHECKING:
    from pipeline.networks.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Samples:
    """Images as a network sees them, in the order they are simulated; each was read and prepared once.

    Parameters
    ----------
    name : identity of the data set, for files
    table : index in the data set and label; -1 where the class is unknown
    names : of the images, short, for people
    pictures : (N, H, W, 3) uint8 — resized and cropped
    boxes : of the object in the picture; None if unknown or cropped away
    masks : (H, W) bool, the object's pixels, from its mask or else its box; None if unknown or cropped away
    preprocessing : how they were prepared
    skipped : images left out because the checkpoint does not know their class
    """

    name: str
    table: SampleTable
    names: tuple[str, ...]
    pictures: NDArray[np.uint8]
    boxes: tuple[Box | None, ...]
    masks: tuple[NDArray[np.bool_] | None, ...]
    preprocessing: Preprocessing
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def known_labels(self) -> NDArray[np.int32]:
        """(N,) the class of every sample.

        Raises
        ------
        InputError : if one is unknown
        """
        if self.table.label.min() < 0:
            raise InputError(f"{self.name}: holds images without labels, expected labelled ones")
        return self.table.label

    def images(self, chosen: Sequence[int] | slice = slice(None)) -> NDArray[np.float32]:
        """What the network's encoder gets of the chosen samples: (B, 3, H, W) float32."""
        return self.preprocessing.normalised(self.pictures[chosen])

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """The chosen samples in batches, encoded for the network; see :func:`pipeline.images.encoding.encode`."""
        for start in range(0, len(chosen), batch_size):
            batch = list(chosen[start : start + batch_size])
            yield encode(network, self.images(batch), seed, self.table.index[batch])

    def notes(self, wanted: int) -> list[str]:
        """Lines for the user: images that were skipped, and fewer labelled ones than were asked for."""
        found = []
        if self.skipped:
            found.append(f"skipped {self.skipped:,} images of classes that the checkpoint does not know")
        if len(self) < wanted and self.table.label.max() >= 0:
            found.append(f"{self.name} has {len(self)} images of these classes, fewer than the {wanted} asked for")
        return found


def read_samples(
    dataset: Dataset,
    positions: Sequence[int] | NDArray[np.int64],
    preprocessing: Preprocessing,
    advance: Callable[[int], None] = lambda images: None,
) -> Samples:
    """Read and prepare every image once, so that a broken one is found before anything starts.

    The pictures lie in a temporary file without a name, so that the system may take back their memory.

    Parameters
    ----------
    positions : in `dataset`, at least one
    advance : called with the number of images just read

    Raises
    ------
    InputError : if an image cannot be read
    """
    shape = (len(positions), preprocessing.height, preprocessing.width, 3)
    with tempfile.TemporaryFile() as file:
        pictures: NDArray[np.uint8] = np.memmap(file, np.uint8, "w+", shape=shape)
    indices, labels, names, boxes, masks = [], [], [], [], []
    for place, position in enumerate(positions):
        item = dataset[int(position)]
        pictures[place] = preprocessing.picture(item.image)
        box = None if item.box is None else preprocessing.box(item.box, item.image.size)
        indices.append(item.index)
        labels.append(-1 if item.label is None else item.label)
        names.append(item.name)
        boxes.append(box)
        masks.append(_mask(item, box, preprocessing))
        advance(1)
    table = SampleTable(np.array(indices, np.int64), np.array(labels, np.int32))
    return Samples(
        dataset.name, table, tuple(names), pictures, tuple(boxes), tuple(masks), preprocessing, dataset.skipped
    )


def _mask(item: Item, box: Box | None, preprocessing: Preprocessing) -> NDArray[np.bool_] | None:
    if item.mask is not None:
        mask = preprocessing.mask(item.mask)
        return mask if mask.any() else None
    return None if box is None else box_mask(box, (preprocessing.height, preprocessing.width))


def choose_samples(
    source: str | Sequence[str],
    checkpoint: Checkpoint,
    count: int,
    seed: int,
    download: bool = False,
    split: str = "val",
    advance: Callable[[int], None] = lambda images: None,
) -> Samples:
    """The first `count` images of a seeded class-balanced order, as many as there are.

    Images of classes that the checkpoint does not know are skipped, see :class:`pipeline.images.matching.KnownClasses`.

    Raises
    ------
    InputError : if the data cannot be read, or no image is of a class that the checkpoint knows
    """
    everything = open_dataset(source, split, download=download)
    dataset = KnownClasses(everything, checkpoint.classes, checkpoint.class_names)
    if not len(dataset):
        raise InputError(f"{dataset.name}: holds no images")
    return read_samples(dataset, balanced_order(dataset.labels, seed)[:count], checkpoint.preprocessing, advance)
