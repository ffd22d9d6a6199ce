"""Balanced orders, selection splits, and the classes of a data set that a checkpoint knows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.cli.errors import message
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.selection import balanced_order, known_classes, split_selection

some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)
seeds = st.integers(0, 2**32)


@given(some_labels, seeds)
def test_every_prefix_is_as_balanced_as_it_can_be(labels, seed):
    order = balanced_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    totals = np.bincount(labels, minlength=5)
    for n in range(1, len(labels) + 1):
        counts = np.bincount([labels[i] for i in order[:n]], minlength=5)
        unfinished = counts[counts < totals]
        # A class with images left is behind no other by more than the one of the current round.
        assert not len(unfinished) or counts.max() - unfinished.min() <= 1


def test_the_seed_decides():
    labels = [i % 3 for i in range(60)]
    assert np.array_equal(balanced_order(labels, 4), balanced_order(labels, 4))
    assert not np.array_equal(balanced_order(labels, 4), balanced_order(labels, 5))
    firsts = {labels[balanced_order(labels, seed)[0]] for seed in range(30)}
    assert firsts == {0, 1, 2}  # no class is always first


def test_unlabelled_images_keep_their_order_and_come_last():
    assert balanced_order([], 0).tolist() == []
    assert balanced_order([None] * 5, 3).tolist() == [0, 1, 2, 3, 4]
    order = balanced_order([None, 1, None, 0], 3)
    assert set(order[:2]) == {1, 3}
    assert order[2:].tolist() == [0, 2]


@given(st.lists(st.integers(2, 12), min_size=1, max_size=5), st.floats(0.01, 0.99), seeds)
def test_a_split_takes_its_share_of_every_class(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(range(len(counts)), counts)).tolist()
    train, selection = split_selection(labels, fraction, seed)
    assert sorted([*train, *selection]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        taken = sum(labels[i] == label for i in selection)
        assert 1 <= taken <= count - 1
        assert abs(taken - fraction * count) <= 1


def test_a_tenth_by_hand():
    labels = [0] * 50 + [1] * 20
    train, selection = split_selection(labels, 0.1, 0)
    assert np.bincount(np.array(labels)[selection]).tolist() == [5, 2]
    assert (np.diff(train) > 0).all()
    assert not np.array_equal(selection, split_selection(labels, 0.1, 1)[1])


@pytest.mark.parametrize(
    ("labels", "fraction", "seed", "message"),
    [
        ([0, 0, 1, 1], 0.0, 0, "selection fraction: got 0.0, expected more than 0 and less than 1"),
        ([0, None], 0.5, 0, "got images without labels"),
        ([], 0.5, 0, "got images without labels"),
        ([0, 0, 1], 0.5, 0, "class 1 has one image, expected two or more"),
        ([0, 0, 1, 1], 0.5, -1, "seed: got -1, expected 0 or more"),
    ],
)
def test_what_cannot_be_split(labels, fraction, seed, message):
    with pytest.raises(InputError, match=message):
        split_selection(labels, fraction, seed)


CLASSES = ("n01443537", "n02124075", "n07873807")
NAMES = ("goldfish, Carassius auratus", "Egyptian cat", "pizza")


def folders(path: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(path / name / f"{number}.png")
    return path


def test_each_folder_is_matched_by_identifier_or_name(tmp_path):
    counts = {
        "N01443537": 1,
        "goldfish": 2,
        "Egyptian cat": 3,
        "egyptian_Cat": 1,
        "Pizza": 4,
        "yak": 5,
        "zebra": 1,
    }
    data = known_classes(open_dataset(str(folders(tmp_path, **counts)), "val"), CLASSES, NAMES)
    labels = [(item.name.split("/")[0], item.label) for item in data]
    expected = {"Egyptian cat": 1, "N01443537": 0, "Pizza": 2, "egyptian_Cat": 1, "goldfish": 0}
    assert labels == [
        (name, label) for name, label in expected.items() for _ in range(counts[name])
    ]
    assert data.labels == tuple(label for _, label in labels)
    assert (data.skipped, len(data)) == (6, 11)
    assert (data.classes, data.class_names) == (CLASSES, NAMES)
    # Poisson spikes depend on an image's index in the whole set: 3 + 1 + 4 + 1 + 2 images, then
    # yaks and zebras.
    assert [item.index for item in data] == list(range(11))


CRANES = ("n02012849", "n03126707", "n01443537"), ("crane", "crane, hoist", "goldfish")


@pytest.mark.parametrize(
    ("counts", "known", "labels"),
    [
        (
            {"crane": 1},
            (("bird", "crane"), ("crane", "machine")),
            (1,),
        ),  # an identifier goes before a name
        ({"n02012849": 1, "n03126707": 2, "goldfish": 1}, CRANES, (2, 0, 1, 1)),
        ({"Crane": 1, "crane": 2}, (("Crane", "crane"), ("Crane", "crane")), (0, 1, 1)),
    ],
)
def test_identifiers_and_case_tell_classes_of_one_name_apart(tmp_path, counts, known, labels):
    assert (
        known_classes(open_dataset(str(folders(tmp_path, **counts)), "val"), *known).labels
        == labels
    )


def test_a_name_of_two_classes_is_refused(tmp_path):
    data = open_dataset(str(folders(tmp_path / "known", Crane=1, goldfish=1)), "val")
    with pytest.raises(
        InputError, match=r"class 'Crane' could be each of .* 0 \(n02012849\) and 1 \(n03126707\)"
    ):
        known_classes(data, *CRANES)
    data = open_dataset(str(folders(tmp_path / "data", n02012849=1, n03126707=2)), "val")
    data.class_names = ("crane", "crane")
    with pytest.raises(InputError, match=r"classes n02012849 and n03126707 are all called 'crane'"):
        known_classes(data, ("bird",), ("crane",))
    hoist = known_classes(data, ("n03126707",), ("crane",))
    assert (hoist.labels, hoist.skipped) == ((0, 0), 1)


def test_unknown_classes_are_refused_with_the_command_that_takes_them(tmp_path):
    path = folders(tmp_path / "my pets", yak=2, zebra=1)
    with pytest.raises(InputError) as error:
        known_classes(open_dataset(str(path), "val"), CLASSES, NAMES)
    assert message(error.value).removeprefix("error: ").partition(": ")[2] == (
        "its classes (yak, zebra) are none that the checkpoint knows (goldfish, Egyptian cat, "
        "pizza); "
        "give other --data, or another --checkpoint, or run the images without "
        "their labels: "
        f"spikesam run --data '{path}'/*/*"
    )
