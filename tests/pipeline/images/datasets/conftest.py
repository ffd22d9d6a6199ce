"""Small data sets of every kind, in the formats of their owners."""

import hashlib
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikesam.pipeline.images.datasets import torchvision_sets

CAT, DOG, FISH = "n02124075", "n02099601", "n01443537"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where data of torchvision are, or go to."""
    monkeypatch.setattr(torchvision_sets, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def fashion(root):
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, labels in (("train", [9, 0, 1]), ("t10k", [1, 9])):
        images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * 50 + np.zeros(
            (28, 28), np.uint8
        )
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 2051, *images.shape) + images.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 2049, len(labels)) + bytes(labels)
        )
    return root


@pytest.fixture
def cifar(root, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    names = ["airplane", "automobile", "bird"]
    meta = write("batches.meta", {"label_names": names})
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[0, 2] = 255
    batch = write("test_batch", {"data": pixels.reshape(2, -1), "labels": [2, 0]})
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": meta}
    )
    monkeypatch.setattr(CIFAR10, "train_list", [["test_batch", batch]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", batch]])
    return root


@pytest.fixture
def layout(tmp_path):
    """Three classes in an order of their own; training images 0, 1 and 10 of each, validation
    images 3, 20 and 100.
    """
    root = tmp_path / "tiny-imagenet-200"
    shade = iter(range(1, 100))

    def save(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (next(shade), 0, 0)).save(path, "PNG")

    for wnid in (DOG, FISH, CAT):
        for number in (0, 1, 10):
            save(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG")
        boxes = "".join(f"{wnid}_{number}.JPEG\t{number}\t2\t33\t63\n" for number in (0, 1, 10))
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(boxes)
    for number in (100, 20, 3):
        save(root / "val" / "images" / f"val_{number}.JPEG")
    (root / "val" / "val_annotations.txt").write_text(
        f"val_100.JPEG\t{CAT}\t0\t0\t63\t63\nval_20.JPEG\t{DOG}\t5\t6\t7\t8\nval_3.JPEG\t{FISH}\t9\t9\t1\t1\n"
    )
    (root / "wnids.txt").write_text(f"{FISH}\n{DOG}\n{CAT}\n")
    (root / "words.txt").write_text(f"{CAT}\tEgyptian cat\n{FISH}\tgoldfish, Carassius auratus\n")
    return root


@pytest.fixture
def pets(tmp_path):
    """Images in class folders, beside what is none."""
    for name in ("dog/b.png", "dog/a.jpg", "cat/z.webp", "bird/q.tif"):
        save(tmp_path / "pets" / name)
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "pets" / "dog" / ".hidden.png").write_bytes(b"")
    (tmp_path / "pets" / "empty").mkdir()
    return tmp_path / "pets"


def save(path: Path, size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)


def zipped(root: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root.parent))
    return file
