"""CIFAR-10 and Fashion-MNIST: tiny copies in torchvision's own file formats, and nothing fetched
unasked.
"""

import hashlib
import shutil
import tarfile
from unittest.mock import Mock

import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import open_dataset, torchvision_sets

pytestmark = pytest.mark.usefixtures("root")


def test_fashion_mnist(fashion):
    data = open_dataset("fashion-mnist", "train")
    assert data.name == "fashion-mnist/train"
    assert data.labels == (9, 0, 1)
    assert data.class_names[9] == "Ankle boot"
    assert data[1].image.mode == "RGB"
    assert data[1].image.getpixel((5, 5)) == (50, 50, 50)
    assert len(open_dataset("fashion-mnist", "val")) == 2


def test_cifar10(cifar):
    data = open_dataset("cifar10", "val")
    assert (data.name, data.labels) == ("cifar10/val", (2, 0))
    assert data[0].image.getpixel((0, 0)) == (0, 0, 255)
    assert data[1].name == "val_1"


@pytest.mark.parametrize("source", ["cifar10", "fashion-mnist"])
def test_nothing_is_fetched_unasked(source, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path / "nothing")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("tried to download"))
    with pytest.raises(
        InputError, match=rf"{source}: not found in .*; fetch it once with download=True"
    ):
        open_dataset(source, "val")
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def server(cifar, tmp_path, monkeypatch):
    """An archive of CIFAR-10, and a download that copies it; returns its digest."""
    from torchvision.datasets import CIFAR10

    archive = tmp_path / "source" / CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(cifar / CIFAR10.base_folder, CIFAR10.base_folder)
    monkeypatch.setattr(
        "torchvision.datasets.utils.download_url",
        lambda url, folder, *_: shutil.copy(archive, folder),
    )
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_what_is_downloaded_has_its_digest_or_is_not_unpacked(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path / "new")
    with pytest.raises(
        InputError,
        match=rf"^cifar10: https:.*: got SHA-256 {server}, expected 6d958be0.* is removed$",
    ):
        open_dataset("cifar10", "val", download=True)
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.setitem(torchvision_sets.DIGESTS, "cifar-10-python.tar.gz", server)
    assert len(open_dataset("cifar10", "val", download=True)) == 2


def test_a_failed_download_and_a_folder_that_others_write(cifar, monkeypatch):
    cifar.chmod(0o777)
    with pytest.raises(InputError, match="cifar10: other users can write"):
        open_dataset("cifar10", "val")
    monkeypatch.setattr(torchvision_sets, "ROOT", cifar / "new")
    refuse = Mock(side_effect=OSError("no route to host"))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)
    with pytest.raises(
        InputError, match=r"the download to .* failed \(no route to host\); check the network"
    ):
        open_dataset("cifar10", "val", download=True)


def test_every_archive_has_a_digest():
    from torchvision.datasets import CIFAR10, FashionMNIST

    assert {CIFAR10.filename, *(name for name, _ in FashionMNIST.resources)} == set(
        torchvision_sets.DIGESTS
    )
