"""The images of a run: read once, prepared, encoded, and known by their boxes and masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.drawing.subject import subjects_of
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.folder import FileSet
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import read_samples
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.samples import choose, choose_samples

PREPARE = Preprocessing(4, 4, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_pictures_and_images_are_the_same_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    samples = read_samples(FileSet("images", [tmp_path / "a.png"]), PREPARE)
    assert np.array_equal(samples.pictures, pixels[None])
    assert samples.names == ("a.png",)
    assert samples.table.label.tolist() == [-1]
    expected = (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    assert np.array_equal(samples.images(), expected.transpose(2, 0, 1)[None])
    (subject,) = subjects_of(samples, [0], ["apple"], answers=True)
    assert np.array_equal(subject.image, pixels / np.float32(255))


def test_every_image_is_read_once_in_the_order_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset("cluttered-digits", "val", size=5)
    read: list[int] = []
    original = type(dataset).__getitem__
    monkeypatch.setattr(
        type(dataset),
        "__getitem__",
        lambda self, position: read.append(position) or original(self, position),
    )
    seen: list[int] = []
    prepare = Preprocessing(80, 80, PREPARE.mean, PREPARE.std)
    samples = read_samples(dataset.chosen([3, 1, 4]), prepare, advance=seen.append)
    samples.images()
    subjects_of(samples, [0, 0], dataset.class_names, answers=True)
    assert sorted(read) == [1, 3, 4]
    assert seen == [1, 1, 1]
    assert samples.table.index.tolist() == [3, 1, 4]
    for position, mask in zip([3, 1, 4], samples.masks, strict=True):
        assert np.array_equal(mask, original(dataset, position).mask)


def test_a_box_stands_for_a_mask_that_is_not_known(tmp_path: Path) -> None:
    class Boxed(FileSet):
        def __getitem__(self, position: int):
            item = super().__getitem__(position)
            return replace(item, box=(0, 0, 4, 8))

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    samples = read_samples(
        Boxed("images", [tmp_path / "a.png"]), PREPARE
    )  # half as large: columns 0 and 1
    assert samples.boxes == ((0, 0, 2, 4),)
    assert samples.masks[0].sum(axis=0).tolist() == [4, 4, 0, 0]


def test_of_several_broken_images_the_first_is_named(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(20)]
    for number, file in enumerate(files):
        if number in (11, 12, 17):
            file.write_text("no image")
        else:
            Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(InputError, match=r"11\.png: not an image"):
        read_samples(FileSet("images", files), PREPARE)


@pytest.mark.parametrize("source", ["cluttered-digits", "saccade-digits"])
def test_parts_are_those_of_the_whole(source: str) -> None:
    chosen = open_dataset(source, "val", size=10).chosen([4, 0, 3])
    prepare = EventBinning(32, 32, 4, 75_000) if source == "saccade-digits" else PREPARE
    whole, *parts = [
        read_samples(chosen, prepare, positions) for positions in (None, range(2), range(2, 3))
    ]
    assert len(whole) == 3
    for positions, read in zip((range(2), range(2, 3)), parts, strict=True):
        for part in (read, whole.part(positions)):
            assert part.names == chosen.names[positions.start : positions.stop]
            assert (
                part.table.index.tolist()
                == chosen.table.index[positions.start : positions.stop].tolist()
            )
            for name in part.by_sample[3:]:
                for given, expected in zip(
                    getattr(part, name), getattr(whole, name)[positions.start :], strict=False
                ):
                    np.testing.assert_array_equal(given, expected)


def test_choosing_is_part_of_choosing_samples() -> None:
    checkpoint = load("cluttered-digits", "snn")
    chosen, samples = (
        make("cluttered-digits", checkpoint, 3, seed=1) for make in (choose, choose_samples)
    )
    assert chosen.table.index.tolist() == samples.table.index.tolist()
    assert chosen.names == samples.names
    assert len(chosen) == len(samples) == 3
