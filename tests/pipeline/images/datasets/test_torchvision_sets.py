"""CIFAR-10 and Fashion-MNIST: tiny copies in torchvision's own file formats, and nothing fetched unasked."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import struct
import tarfile

import numpy as np
import pytest

from spikesam.pipeline.images.datasets import open_dataset, torchvision_sets
from spikesam.recordings.errors import InputError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Where the data are, or go to."""
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path)


@pytest.fixture
def fashion(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, labels in (("train", [9, 0, 1]), ("t10k", [1, 9])):
        images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * 50 + np.zeros((28, 28), np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(labels)) + bytes(labels))
    return tmp_path


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    names = ["airplane", "automobile", "bird"]
    meta = write("batches.meta", {"label_names": names})
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[0, 2] = 255
    batch = write("test_batch", {"data": pixels.reshape(2, -1), "labels": [2, 0]})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": meta})
    monkeypatch.setattr(CIFAR10, "train_list", [["test_batch", batch]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", batch]])
    return tmp_path


def test_fashion_mnist(fashion):
    data = open_dataset("fashion-mnist", "train")
    assert data.name == "fashion-mnist/train"
    assert data.labels == (9, 0, 1)
    assert data.class_names[9] == "Ankle boot"
    assert data[1].image.mode == "RGB"
    assert data[1].image.getpixel((5, 5)) == (50, 50, 50)
    assert len(open_dataset("fashion-mnist", "val")) == 2


def test_a_subset_keeps_indices(fashion):
    data = open_dataset("fashion-mnist", "train", ["Trouser", "Ankle boot"])
    assert data.labels == (1, 0)
    assert [item.index for item in data] == [0, 2]
    assert data.skipped == 1


def test_cifar10(cifar):
    data = open_dataset("cifar10", "val")
    assert (data.name, data.labels) == ("cifar10/val", (2, 0))
    assert data[0].image.getpixel((0, 0)) == (0, 0, 255)
    assert data[1].name == "val_1"
    assert pickle.loads(pickle.dumps(data))[0].label == 2


def test_an_unknown_class(cifar):
    with pytest.raises(InputError, match=r"cifar10: none of its 2 items .*\(aeroplane\).*did you mean 'airplane'"):
        open_dataset("cifar10", "val", ["aeroplane"])


@pytest.mark.parametrize("source", ["cifar10", "fashion-mnist"])
def test_nothing_is_fetched_unasked(source, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path / "nothing")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("tried to download"))
    with pytest.raises(InputError, match=rf"{source}: not found in .*; fetch it once with download=True"):
        open_dataset(source, "val")
    assert not (tmp_path / "nothing").exists()


def test_a_failed_download(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)
    with pytest.raises(InputError, match=r"the download to .* failed \(no route to host\); check the network"):
        open_dataset("cifar10", "val", download=True)


@pytest.fixture
def server(cifar, tmp_path, monkeypatch):
    """An archive of CIFAR-10, and a download that copies it; returns its digest."""
    from torchvision.datasets import CIFAR10

    archive = tmp_path / "source" / CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(cifar / CIFAR10.base_folder, CIFAR10.base_folder)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda url, folder, *_: shutil.copy(archive, folder))
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_a_download_with_its_digest(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path / "new")
    monkeypatch.setitem(torchvision_sets.DIGESTS, "cifar-10-python.tar.gz", server)
    assert len(open_dataset("cifar10", "val", download=True)) == 2


def test_a_download_with_another_digest_is_not_unpacked(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path / "new")
    with pytest.raises(InputError, match=rf"^cifar10: https:.*: got SHA-256 {server}, expected 6d958be0.* is removed$"):
        open_dataset("cifar10", "val", download=True)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_others_write_is_refused(cifar):
    cifar.chmod(0o777)
    with pytest.raises(InputError, match="cifar10: others can write"):
        open_dataset("cifar10", "val")


def test_every_archive_has_a_digest():
    from torchvision.datasets import CIFAR10, FashionMNIST

    assert {CIFAR10.filename, *(name for name, _ in FashionMNIST.resources)} == set(torchvision_sets.DIGESTS)
