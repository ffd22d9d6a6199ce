"""Cluttered digits: what every scene keeps, and what must not give the class away."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.cluttered_digits import SIDE, ClutteredDigits
from spikesam.pipeline.images.datasets.handwriting import FRACTIONS, handwriting
from spikesam.pipeline.images.preprocessing import Preprocessing

LUMINANCE = np.float32([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def training():
    return list(ClutteredDigits("train", size=2000))


@pytest.fixture(scope="module")
def unseen():
    return list(ClutteredDigits("val", size=500))


def pixels(items):
    return np.stack([np.asarray(item.image) for item in items]).reshape(
        len(items), -1
    ) / np.float32(255)


def test_splits_share_nohandwriting():
    parts = {split: {glyph.tobytes() for glyph in handwriting(split)[0]} for split in FRACTIONS}
    assert len(parts["train"]) == 1347
    assert sum(map(len, parts.values())) == 1797
    assert len(set.union(*parts.values())) == 1797
    assert set(handwriting("val")[1]) == set(range(10))


@pytest.mark.long
def test_no_box_covers_the_centre(training, unseen):
    for item in [*training, *unseen]:
        x0, y0, x1, y1 = item.box
        assert 0 <= x0 < x1 <= SIDE
        assert 0 <= y0 < y1 <= SIDE
        assert not (x0 <= 41 and x1 >= 39 and y0 <= 41 and y1 >= 39)


@pytest.mark.parametrize("side", [48, 64, 80])
def test_a_centred_guess_misses_at_any_input_size(side, unseen):
    prepare = Preprocessing(side, side, (0, 0, 0), (1, 1, 1))
    for item in unseen[:100]:
        assert not prepare.mask(item.mask)[side // 2, side // 2]
        x0, y0, x1, y1 = prepare.box(item.box, item.image.size)
        assert not (x0 <= side / 2 <= x1 and y0 <= side / 2 <= y1)


def test_scenes_of_two_digits():
    for item in ClutteredDigits("val", 100, pairs=True):
        (other,) = item.others
        assert other.label not in (None, item.label)
        assert not (item.mask & other.mask).any()
        assert not other.mask[39:41, 39:41].any()
        assert item.name == f"{item.label}+{other.label} (scene {item.index})"


def test_every_digit_stands_out_from_what_surrounds_it(unseen):
    from scipy.ndimage import binary_dilation

    for item in unseen[:200]:
        brightness = np.asarray(item.image) / np.float32(255) @ LUMINANCE
        ring = binary_dilation(item.mask, iterations=5) & ~binary_dilation(item.mask)
        assert brightness[item.mask].mean() > brightness[ring].mean() + 0.25


@pytest.mark.long
def test_a_linear_classifier_fails(training, unseen):
    from sklearn.linear_model import RidgeClassifier

    labels, expected = [[item.label for item in items] for items in (training, unseen)]
    score = max(
        RidgeClassifier(alpha=alpha).fit(pixels(training), labels).score(pixels(unseen), expected)
        for alpha in (100, 1e4)
    )
    assert score < 0.3


@pytest.mark.long
def test_neither_colour_nor_place_gives_the_class_away(training, unseen):
    from sklearn.ensemble import RandomForestClassifier

    def colour_and_place(items):
        channels = pixels(items).reshape(len(items), -1, 3)
        centres = [
            ((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (item.box for item in items)
        ]
        return np.c_[channels.mean(1), channels.std(1), centres]

    labels, expected = [[item.label for item in items] for items in (training, unseen)]
    forest = RandomForestClassifier(100, random_state=0).fit(colour_and_place(training), labels)
    assert forest.score(colour_and_place(unseen), expected) < 0.2


def test_the_handwriting_is_that_of_scikit_learn():
    images, targets = load_digits(return_X_y=True)
    parts = [handwriting(split) for split in FRACTIONS]
    glyphs = np.concatenate([glyphs[:, 3:11, 3:11] for glyphs, _ in parts]).reshape(-1, 64)
    labels = np.concatenate([labels for _, labels in parts])
    for digit in range(10):
        expected, found = (images[targets == digit] / 16).tolist(), glyphs[labels == digit].tolist()
        assert sorted(found) == sorted(expected)


@pytest.fixture(scope="module")
def contrasting():
    return list(ClutteredDigits("val", size=300, contrast=True))


def test_digits_of_random_contrast_are_as_often_darker_as_lighter(contrasting):
    lighter, farther = [], []
    for item in contrasting:
        grey = np.asarray(item.image) / np.float32(255) @ LUMINANCE
        digit, around = grey[item.mask].mean(), np.median(grey[~item.mask])
        assert abs(digit - around) > 0.1
        lighter.append(digit > around)
        farther.append(abs(digit - 0.5) > abs(around - 0.5))
    assert 0.4 < np.mean(lighter) < 0.6
    assert 0.4 < np.mean(farther) < 0.6


def test_input_spikes_do_not_point_at_digits_of_random_contrast(contrasting, unseen):
    def energy(items, mean):
        """Expected input spikes on the digit, relative to the digit's share of the scene."""
        spikes = np.abs(
            np.stack([np.asarray(item.image) for item in items]) / np.float32(255) - mean
        ).sum(axis=3)
        masks = np.stack([item.mask for item in items])
        return np.mean(
            (spikes * masks).sum(axis=(1, 2)) / spikes.sum(axis=(1, 2)) / masks.mean(axis=(1, 2))
        )

    assert 0.7 < energy(contrasting, 0.5) < 1.4
    assert energy(unseen, 0.3) > 2


def test_random_contrast_changes_nothing_but_brightness(contrasting, unseen):
    assert contrasting[0].image.tobytes() != unseen[0].image.tobytes()
    assert [item.label for item in contrasting] == [item.label for item in unseen[:300]]
    dataset = open_dataset("contrast-digits", "selection", size=10)
    assert dataset.name == "contrast-digits/selection"
    assert len(dataset) == 10
