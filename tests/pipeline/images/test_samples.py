"""The images of a run: read once, prepared, encoded, and known by their boxes and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.drawing.subject import subjects_of
from pipeline.images.datasets import open_dataset
from pipeline.images.datasets.folder import LooseFiles
from pipeline.images.preprocessing import Preprocessing
from pipeline.images.samples import read_samples
from recordings.errors import InputError

PREPARE = Preprocessing(4, 4, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_pictures_and_images_are_the_same_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    samples = read_samples(LooseFiles([tmp_path / "a.png"]), [0], PREPARE)
    assert np.array_equal(samples.pictures, pixels[None])
    assert samples.names == ("a.png",)
    assert samples.table.label.tolist() == [-1]
    expected = (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    assert np.array_equal(samples.images(), expected.transpose(2, 0, 1)[None])
    (subject,) = subjects_of(samples, [0], ["apple"])
    assert np.array_equal(subject.image, pixels / np.float32(255))


def test_every_image_is_read_once_in_the_order_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset("cluttered-digits", "val", size=5)
    read: list[int] = []
    original = type(dataset).__getitem__
    monkeypatch.setattr(
        type(dataset), "__getitem__", lambda self, position: read.append(position) or original(self, position)
    )
    seen: list[int] = []
    samples = read_samples(dataset, [3, 1, 4], Preprocessing(80, 80, PREPARE.mean, PREPARE.std), seen.append)
    samples.images()
    subjects_of(samples, [0, 0], dataset.class_names)
    assert read == [3, 1, 4]
    assert seen == [1, 1, 1]
    assert samples.table.index.tolist() == [3, 1, 4]
    for position, mask in zip([3, 1, 4], samples.masks, strict=True):
        assert np.array_equal(mask, original(dataset, position).mask)


def test_a_box_stands_for_a_mask_that_is_not_known(tmp_path: Path) -> None:
    class Boxed(LooseFiles):
        def __getitem__(self, position: int):
            item = super().__getitem__(position)
            return type(item)(item.image, None, position, item.name, box=(0, 0, 4, 8))

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    samples = read_samples(Boxed([tmp_path / "a.png"]), [0], PREPARE)  # half as large: columns 0 and 1
    assert samples.boxes == ((0, 0, 2, 4),)
    assert samples.masks[0] is not None
    assert samples.masks[0].sum(axis=0).tolist() == [4, 4, 0, 0]


def test_a_broken_image_is_found_before_anything_starts(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(InputError, match=r"b\.png: not an image"):
        read_samples(LooseFiles([tmp_path / "a.png", tmp_path / "b.png"]), [0, 1], PREPARE)
