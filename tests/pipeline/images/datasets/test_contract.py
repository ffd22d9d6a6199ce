"""What holds of every data set."""

import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import NAMED, is_generated, open_dataset
from spikesam.pipeline.images.datasets.cluttered_digits import ClutteredDigits
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.networks.open_samples import InMemory
from tests.pipeline.images.datasets.conftest import zipped
from tests.pipeline.small_events import bar, bar_folders, spoken_words


def generated(name):
    return "tmp_path", lambda path: open_dataset(name, "val", size=12)


SETS = {  # name -> the fixture that it is made of, and how
    **{name: generated(name) for name in filter(is_generated, NAMED)},
    "pairs": ("tmp_path", lambda path: ClutteredDigits("val", 12, pairs=True)),
    "cifar10": ("cifar", lambda path: open_dataset("cifar10", "val")),
    "fashion-mnist": ("fashion", lambda path: open_dataset("fashion-mnist", "train")),
    "tiny-imagenet": ("layout", lambda path: open_dataset(str(path), "train")),
    "zip": (
        "layout",
        lambda path: open_dataset(str(zipped(path, path.with_suffix(".zip"))), "val"),
    ),
    "class folders": ("pets", lambda path: open_dataset(str(path), "val")),
    "files": ("pets", lambda path: open_dataset(sorted(map(str, path.glob("dog/[ab]*"))), "val")),
    "SHD": ("tmp_path", lambda path: open_dataset(str(spoken_words(path / "shd.h5")), "val")),
    "event folders": (
        "tmp_path",
        lambda path: open_dataset(str(bar_folders(path / "bars", 2)), "val"),
    ),
    "images": (
        "tmp_path",
        lambda path: InMemory(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), [1, 0, -1], "ab"),
    ),
    "events": (
        "tmp_path",
        lambda path: InMemory([bar("left", 5.0), bar("right", 5.0)], [1, -1], "ab"),
    ),
}


MADE = {
    "chirps": "d59c94f2e259a64c",
    "cluttered-digits": "37b8a1eae86e15be",
    "contrast-digits": "af532e256748e220",
    "saccade-digits": "e6dff1e1412c7524",
}


@pytest.fixture(params=SETS)
def dataset(request):
    fixture, make = SETS[request.param]
    return make(request.getfixturevalue(fixture))


def test_every_named_set_is_here():
    assert set(NAMED) <= set(SETS) and set(filter(is_generated, NAMED)) == set(MADE)


def digest(item):
    image = item.image
    arrays = (
        [image.t, image.x, image.y, image.polarity]
        if isinstance(image, Events)
        else [np.asarray(image)]
    )
    seen = hashlib.sha256(
        b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    ).hexdigest()
    return item.index, item.name, item.box, seen


@pytest.mark.parametrize(("name", "expected"), MADE.items())
def test_what_is_made_depends_on_its_index_alone(name, expected):
    """Bundled checkpoints were trained and measured on exactly these items; each class comes once
    in a block.
    """
    seen = [digest(item)[-1] for item in open_dataset(name, "val", size=16)]
    assert hashlib.sha256("".join(seen).encode()).hexdigest()[:16] == expected
    assert digest(open_dataset(name, "val", size=100_007)[7])[-1] == seen[7]
    training = open_dataset(name, "train", size=1005)
    assert digest(training[0])[-1] != seen[0]
    classes = range(len(training.classes))
    blocks = [
        training.labels[start : start + len(classes)] for start in range(0, 1000, len(classes))
    ]
    assert all(sorted(block) == list(classes) for block in blocks)
    assert len(set(blocks)) > 90


def test_what_is_known_of_items_before_they_are_read(dataset, tmp_path):
    items = list(dataset)
    assert len(items) == len(dataset) == len(dataset.labels) == len(set(dataset.indices)) > 1
    assert [item.index for item in items] == dataset.table.index.tolist() == list(dataset.indices)
    assert tuple(item.label for item in items) == dataset.labels
    assert [
        -1 if item.label is None else item.label for item in items
    ] == dataset.table.label.tolist()
    assert tuple(item.name for item in items) == dataset.names
    assert len(dataset.class_names) == len(dataset.classes) == len(set(dataset.classes))
    assert {label for label in dataset.labels if label is not None} <= set(
        range(len(dataset.classes))
    )
    assert str(tmp_path) not in dataset.name
    assert dataset.skipped == 0
    for content in dataset.contents():
        assert content == "" or len(bytes.fromhex(content)) == 32


def test_items_are_images_or_events_with_boxes_and_masks_inside(dataset):
    for item in dataset:
        width, height = item.image.size
        assert isinstance(item.image, Events) or (
            isinstance(item.image, Image.Image) and item.image.mode == "RGB"
        )
        for each in (item, *item.others):
            if each.box is not None:
                x0, y0, x1, y1 = each.box
                assert 0 <= x0 < x1 <= width
                assert 0 <= y0 < y1 <= height
            if each.mask is not None:
                ys, xs = np.nonzero(each.mask)
                assert each.mask.shape == (height, width)
                assert each.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_it_travels_to_other_processes(dataset):
    assert list(map(digest, pickle.loads(pickle.dumps(dataset)))) == list(map(digest, dataset))


def test_chosen_items_are_those(dataset):
    positions = [1, 0, 1]
    chosen = dataset.chosen(positions)
    assert [digest(item) for item in chosen] == [
        digest(dataset[position]) for position in positions
    ]
    assert (chosen.classes, chosen.class_names, chosen.skipped) == (
        dataset.classes,
        dataset.class_names,
        0,
    )
    assert chosen.labels == tuple(dataset.labels[position] for position in positions)
    assert chosen.contents() == tuple(dataset.content(position) for position in positions)


def test_some_classes_keep_indices_and_take_the_given_order(dataset):
    first = next((label for label in dataset.labels if label is not None), 0)
    asked, names = dataset.classes[first : first + 1], dataset.class_names[first : first + 1]
    some = dataset.of_classes(["absent", *(name.swapcase() for name in names)])
    kept = [position for position, label in enumerate(dataset.labels) if label in (None, first)]
    assert (some.classes, some.class_names) == (("absent", *asked), ("absent", *names))
    assert some.labels == tuple(
        None if dataset.labels[position] is None else 1 for position in kept
    )
    assert [digest(item) for item in some] == [digest(dataset[position]) for position in kept]
    assert some.skipped == len(dataset) - len(kept)
    for item, position in zip(some, kept, strict=True):
        others = [other.label for other in dataset[position].others]
        assert [other.label for other in item.others] == [
            1 if label == first else None for label in others
        ]


def test_classes_that_are_not_there_or_named_twice(dataset):
    if None in dataset.labels:
        assert len(dataset.of_classes(["absent"])) == dataset.labels.count(None)
    else:
        wrong = dataset.class_names[0] + "x"
        with pytest.raises(
            ValueError,
            match=rf"none of its {len(dataset)} .* of a class asked for \({wrong}\); it has .*mean",
        ):
            dataset.of_classes([wrong])
    with pytest.raises(InputError, match="classes named twice among same, same"):
        dataset.of_classes(["same", "same"])
