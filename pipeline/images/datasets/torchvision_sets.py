"""CIFAR-10 and Fashion-MNIST through torchvision, as RGB, downloaded only when asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recordings.errors import InputError

from .base import Item, select_classes

ROOT = Path("~/.cache/spikesam")
TORCHVISION_NAMES = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}


class TorchvisionSet:
    """One split of a torchvision data set; its test part is our "val".

    Parameters
    ----------
    source : "cifar10" or "fashion-mnist"
    split : "train" or "val"
    classes : names to keep, as torchvision spells them, which also order the labels; None keeps all
    root : folder of the data
    download : fetch the data if it is not in `root`

    Raises
    ------
    InputError : if the data is not there and `download` is false or fails, or none of the classes is
    """

    def __init__(
        self,
        source: str,
        split: str,
        classes: Sequence[str] | None = None,
        root: Path = ROOT,
        download: bool = False,
    ) -> None:
        self._data = _load(source, split, root.expanduser(), download)
        available = tuple(self._data.classes)
        targets = [available[int(target)] for target in self._data.targets]
        selection = select_classes(source, targets, available, classes)
        self.name = f"{source}/{split}"
        self.classes = self.class_names = selection.classes
        self.labels = selection.labels
        self.skipped = selection.skipped
        self._split = split
        self._indices = selection.positions

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Item:
        index = self._indices[position]
        image, _ = self._data[index]
        return Item(image.convert("RGB"), self.labels[position], index, f"{self._split}_{index}")

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))


def _load(source: str, split: str, root: Path, download: bool) -> Any:
    from torchvision import datasets

    kind = getattr(datasets, TORCHVISION_NAMES[source])
    try:
        return kind(str(root), train=split == "train")
    except RuntimeError:  # torchvision's word for "not there, or not complete"
        if not download:
            raise InputError(
                f"{source}: not found in {root}; fetch it once with --download (in a configuration: data.download)"
            ) from None
    try:
        root.mkdir(parents=True, exist_ok=True)
        return kind(str(root), train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{source}: the download to {root} failed ({error}); check the network and try again"
        ) from None
