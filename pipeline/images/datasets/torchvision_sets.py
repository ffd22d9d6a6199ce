"""CIFAR-10 and Fashion-MNIST through torchvision, as RGB, downloaded only when asked."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from spikesam.common.errors import InputError
from spikesam.common.files import is_private
from spikesam.pipeline.images.datasets.base import Dataset, Item, NamedSet

ROOT = Path("~/.cache/spikesam")
TORCHVISION_NAMES = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}
# SHA-256 of what may be downloaded, as Keras (the first) and TensorFlow Datasets publish it.
# Torchvision checks MD5.
DIGESTS = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


class TorchvisionSet(Dataset):
    """One split of a data set of torchvision, whose test part is our "val"; fetched to `ROOT` if
    that is allowed.
    """

    def __init__(self, source: str, split: str, download: bool) -> None:
        self._data = _load(source, split, ROOT.expanduser(), download)
        super().__init__(
            f"{source}/{split}", self._data.classes, [int(target) for target in self._data.targets]
        )
        self._split = split

    def __getitem__(self, position: int) -> Item:
        image, _ = self._data[position]
        return self._item(position, image.convert("RGB"))

    def content(self, position: int) -> str:
        """See :class:`.base.Dataset`; of its pixels, which all lie in one file."""
        image, _ = self._data[position]
        return hashlib.sha256(image.tobytes()).hexdigest()

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return f"{self._split}_{position}"


def _load(source: str, split: str, root: Path, download: bool) -> Any:
    from torchvision import datasets

    kind = getattr(datasets, TORCHVISION_NAMES[source])
    if root.exists() and not is_private(root):  # CIFAR-10 is pickles, which execute what they say
        raise InputError(
            f"{source}: other users can write {root}, so its files are not trusted; take that "
            "right from them"
        )
    try:
        return kind(str(root), train=split == "train")
    except RuntimeError:  # torchvision's word for "not there, or not complete"
        if not download:
            raise InputError(
                f"{source}: not found in {root}", "; fetch it once with {download=True}"
            ) from None
    try:
        root.mkdir(parents=True, exist_ok=True)
        _fetch(source, kind, root)
        return kind(str(root), train=split == "train", download=True)  # unpacks what is there
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{source}: the download to {root} failed ({error}); check the network and try again"
        ) from None


def _fetch(source: str, kind: Any, root: Path) -> None:
    """Download the archives of a data set to where torchvision looks for them, and check each
    before it is unpacked.
    """
    from torchvision.datasets.utils import download_url

    if source == "cifar10":
        folder, archives = root, [(kind.url, kind.filename, kind.tgz_md5)]
    else:
        folder = root / kind.__name__ / "raw"
        archives = [(kind.mirrors[0] + name, name, md5) for name, md5 in kind.resources]
    for url, name, md5 in archives:
        download_url(url, folder, name, md5)
        archive = folder / name
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != DIGESTS[name]:
            archive.unlink()
            raise InputError(
                f"{source}: {url}: got SHA-256 {digest}, expected {DIGESTS[name]}; "
                "the file was changed on its way or at its source, and is removed"
            )


NAMED = {name: NamedSet(partial(TorchvisionSet, name)) for name in TORCHVISION_NAMES}
