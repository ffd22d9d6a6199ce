"""Classes of a data set and of a checkpoint, matched by identifier or name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spikesam.pipeline.cli.errors import message
from spikesam.pipeline.images.datasets import Dataset, open_dataset
from spikesam.pipeline.images.matching import known_classes
from spikesam.recordings.errors import InputError

CLASSES = ("n01443537", "n02124075", "n07873807")
NAMES = ("goldfish, Carassius auratus", "Egyptian cat", "pizza")


def folders(path: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(path / name / f"{number}.png")
    return path


def known(path: Path) -> Dataset:
    return known_classes(open_dataset(str(path), "val"), CLASSES, NAMES)


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
    data = known_classes(open_dataset(str(folders(tmp_path, crane=1)), "val"), ("bird", "crane"), ("crane", "machine"))
    assert data.labels == (1,)


CRANES = ("n02012849", "n03126707", "n01443537"), ("crane", "crane, hoist", "goldfish")


def test_two_classes_of_one_name_are_matched_by_identifier(tmp_path):
    data = known_classes(open_dataset(str(folders(tmp_path, n02012849=1, n03126707=2, goldfish=1)), "val"), *CRANES)
    assert data.labels == (2, 0, 1, 1)


def test_a_name_that_two_known_classes_have_is_refused(tmp_path):
    data = open_dataset(str(folders(tmp_path, Crane=1, goldfish=1)), "val")
    with pytest.raises(InputError, match=r"class 'Crane' could be each of .* 0 \(n02012849\) and 1 \(n03126707\)"):
        known_classes(data, *CRANES)


def test_folders_that_differ_in_case_alone_are_the_classes_trained_on_them(tmp_path):
    data = open_dataset(str(folders(tmp_path, Crane=1, crane=2)), "val")
    assert known_classes(data, ("Crane", "crane"), ("Crane", "crane")).labels == (0, 1, 1)


def test_two_classes_of_the_data_with_the_name_that_is_known_are_refused(tmp_path):
    data = open_dataset(str(folders(tmp_path, n02012849=1, n03126707=2)), "val")
    data.class_names = ("crane", "crane")
    with pytest.raises(InputError, match=r"classes n02012849 and n03126707 are all called 'crane'"):
        known_classes(data, ("bird",), ("crane",))
    hoist = known_classes(data, ("n03126707",), ("crane",))
    assert (hoist.labels, hoist.skipped) == ((0, 0), 1)


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
        f"spikesam run --data '{path}'/*/*"
    )
