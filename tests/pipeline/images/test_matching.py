"""Classes of a data set and of a checkpoint, matched by identifier or name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipeline.cli.errors import message
from pipeline.images.datasets import open_dataset
from pipeline.images.matching import KnownClasses
from recordings.errors import InputError

CLASSES = ("n01443537", "n02124075", "n07873807")
NAMES = ("goldfish, Carassius auratus", "Egyptian cat", "pizza")


def folders(path: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(path / name / f"{number}.png")
    return path


def known(path: Path) -> KnownClasses:
    return KnownClasses(open_dataset(str(path), "val"), CLASSES, NAMES)


def test_each_folder_is_matched_by_identifier_or_name(tmp_path):
    counts = {"N01443537": 1, "goldfish": 2, "Egyptian cat": 3, "egyptian_Cat": 1, "Pizza": 4, "yak": 5, "zebra": 1}
    data = known(folders(tmp_path, **counts))
    labels = [(item.name.split("/")[0], item.label) for item in data]
    expected = {"Egyptian cat": 1, "N01443537": 0, "Pizza": 2, "egyptian_Cat": 1, "goldfish": 0}
    assert labels == [(name, label) for name, label in expected.items() for _ in range(counts[name])]
    assert data.labels == tuple(label for _, label in labels)
    assert (data.skipped, len(data)) == (6, 11)
    assert (data.classes, data.class_names) == (CLASSES, NAMES)
    # Poisson spikes depend on an image's index in the whole set: 3 + 1 + 4 + 1 + 2 images, then yaks and zebras.
    assert [item.index for item in data] == list(range(11))


def test_an_identifier_goes_before_a_name(tmp_path):
    data = KnownClasses(open_dataset(str(folders(tmp_path, crane=1)), "val"), ("bird", "crane"), ("crane", "machine"))
    assert data.labels == (1,)


def test_images_without_labels_stay(tmp_path):
    path = folders(tmp_path, yak=2) / "yak"
    data = known(path)
    assert (data.labels, data.skipped) == ((None, None), 0)


def test_unknown_classes_are_refused_with_the_command_that_takes_them(tmp_path):
    path = folders(tmp_path / "my pets", yak=2, zebra=1)
    with pytest.raises(InputError) as error:
        known(path)
    assert message(error.value).removeprefix("error: ").partition(": ")[2] == (
        "its classes (yak, zebra) are none that the checkpoint knows (goldfish, Egyptian cat, pizza); "
        "give other data (--data), or another checkpoint (--checkpoint), or run the images without their labels: "
        f"python -m pipeline.run --data '{path}'/*/*"
    )
