from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paper.common.images import ImageSet, prepare
from paper.common.scenes import mosaics, side_by_side, two_digit_scenes
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import Checkpoint, load_checkpoint
from spikesam.recordings.errors import InputError
from tests.paper.test_pasting import image_set
from tests.pipeline.small_networks import small_checkpoint


def numbered(labels: list[int]) -> ImageSet:
    """2×3 images that hold their own number."""
    pixels = np.broadcast_to(np.arange(len(labels), dtype=np.float32)[:, None, None, None], (len(labels), 3, 2, 3))
    preprocessing = Preprocessing(2, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    known = np.array(labels, np.int64)
    return ImageSet("numbers", pixels.copy(), known, np.arange(len(labels)), (None,) * len(labels), preprocessing)


def test_scenes_side_by_side_are_two_images_of_different_classes_each_used_once() -> None:
    images = numbered([0, 0, 1, 1, 2, 2, 2, -1])
    scenes = side_by_side(images, 3, seed=0)
    assert scenes.images.pixels.shape == (3, 3, 2, 6)
    left, right = scenes.images.pixels[:, 0, 0, 0].astype(int), scenes.images.pixels[:, 0, 0, 3].astype(int)
    np.testing.assert_array_equal(scenes.images.pixels[:, :, :, :3], left[:, None, None, None] + np.zeros((1, 3, 2, 3)))
    np.testing.assert_array_equal(
        scenes.images.pixels[:, :, :, 3:], right[:, None, None, None] + np.zeros((1, 3, 2, 3))
    )
    np.testing.assert_array_equal(scenes.labels, np.stack([images.labels[left], images.labels[right]], axis=1))
    assert (scenes.labels[:, 0] != scenes.labels[:, 1]).all()
    assert (scenes.labels >= 0).all()
    assert len({*left, *right}) == 6
    np.testing.assert_array_equal(scenes.images.labels, scenes.labels[:, 0])
    np.testing.assert_array_equal(np.stack(scenes.masks[0])[:, 0], [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])


def test_the_choice_depends_on_the_seed_alone() -> None:
    images = numbered([0, 1, 2] * 10)
    first, again, other = (side_by_side(images, 8, seed).images for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256


def test_exchanging_twice_is_where_one_began() -> None:
    scenes = side_by_side(numbered([0, 1, 2, 3]), 2, seed=0)
    once, twice = scenes.exchanged(), scenes.exchanged().exchanged()
    np.testing.assert_array_equal(once.images.pixels[..., :3], scenes.images.pixels[..., 3:])
    np.testing.assert_array_equal(once.labels, scenes.labels)
    np.testing.assert_array_equal(once.masks[0][0], scenes.masks[0][1])
    np.testing.assert_array_equal(twice.images.pixels, scenes.images.pixels)
    np.testing.assert_array_equal(twice.masks, scenes.masks)
    assert once.images.sha256 != scenes.images.sha256


def test_images_run_out_when_one_class_is_left() -> None:
    assert len(side_by_side(numbered([0, 0, 0, 0, 1]), 50, seed=0)) == 1


@pytest.mark.parametrize("labels", [[0, 0, 0], [0], [-1, -1], [0, -1]])
def test_one_class_is_not_enough(labels: list[int]) -> None:
    with pytest.raises(InputError) as refused:
        side_by_side(numbered(labels), 5, seed=0)
    assert str(refused.value) == (
        f"numbers: no two of {len(labels)} images are of different classes, which fig10 needs; "
        "raise paper.images or use data with more classes"
    )


def test_images_of_different_size_come_to_one_height(tmp_path: Path) -> None:
    for name, size in (("apple", (60, 30)), ("pear", (200, 150))):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", size, "red" if name == "apple" else "blue").save(tmp_path / "images" / name / "1.png")
    checkpoint = load_checkpoint(str(small_checkpoint(tmp_path / "small.safetensors")))
    images = prepare(choose_samples(str(tmp_path / "images"), checkpoint, 2, seed=0))
    scenes = side_by_side(images, 1, seed=0)
    assert scenes.images.size == (16, 48)
    colours = scenes.images.picture(0)[[0, 0, 15, 15], [0, 23, 24, 47]]
    red, blue = [1, 0, 0], [0, 0, 1]
    expected = [red, red, blue, blue] if scenes.labels[0, 0] == 0 else [blue, blue, red, red]
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_scenes_hold_two_digits_whose_classes_the_network_knows() -> None:
    checkpoint = load_checkpoint("cluttered-digits")
    scenes = two_digit_scenes(checkpoint, 12)
    assert scenes.images.pixels.shape == (12, 3, 80, 80)
    assert (scenes.labels[:, 0] != scenes.labels[:, 1]).all()
    objects = np.array(scenes.masks)
    assert objects.any(axis=(2, 3)).all()
    assert not objects.all(axis=1).any()  # no pixel belongs to both


def knowing(classes: int) -> Checkpoint:
    """The bundled network without the later digits."""
    whole = load_checkpoint("cluttered-digits")
    whole_readout = whole.network.readout
    readout = replace(whole_readout, weight=whole_readout.weight[:classes], bias=whole_readout.bias[:, :classes])
    names = {"classes": whole.classes[:classes], "class_names": whole.class_names[:classes]}
    return replace(whole, network=replace(whole.network, readout=readout), **names)


def test_scenes_with_an_unknown_digit_are_left_out() -> None:
    few = two_digit_scenes(knowing(3), 100)
    assert 0 < len(few) < 20
    assert few.labels.max() <= 2
    with pytest.raises(InputError, match=r"^cluttered-digits/val-pairs: no scene of 10 has two digits that the check"):
        two_digit_scenes(knowing(1), 10)


def test_mosaics():
    images = image_set(count=9, classes=5)
    mosaic = mosaics(images, 2, 2, seed=1)
    assert mosaic.images.size == (16, 24)
    for number in range(len(images)):
        assert mosaic.labels[number, 0] == mosaic.images.labels[number] == images.labels[number]
        assert len(set(mosaic.labels[number])) == 4
        canvas, cells = mosaic.images.pixels[number], set()
        for label, mask in zip(mosaic.labels[number], mosaic.masks[number], strict=True):
            for top in (0, 8):
                for left in (0, 12):
                    window = np.s_[top : top + 8, left : left + 12]
                    if mask[window].any():
                        source = next(
                            i for i in range(9) if (images.pixels[i] == canvas[:, window[0], window[1]]).all()
                        )
                        assert images.labels[source] == label
                        np.testing.assert_array_equal(images.masks[source], mask[window])
                        cells.add((top, left))
        assert len(cells) == 4
        np.testing.assert_array_equal(mosaic.images.masks[number], np.logical_or.reduce(mosaic.masks[number]))
    assert len({tuple(np.argwhere(masks[0])[0] // (8, 12)) for masks in mosaic.masks}) > 1


def test_asking_a_mosaic_about_a_class():
    images = image_set(count=9, classes=5)
    mosaic = mosaics(images, 1, 3, seed=1)
    asked = mosaic.about(mosaic.labels[:, 2])
    assert all((own == masks[2]).all() for own, masks in zip(asked.masks, mosaic.masks, strict=True))
    missing = [min(set(range(5)) - set(labels)) for labels in mosaic.labels]
    assert mosaic.about(np.array(missing)).masks == (None,) * 9
    np.testing.assert_array_equal(asked.pixels, mosaic.images.pixels)


def test_mosaics_of_unknown_objects():
    mosaic = mosaics(image_set(masks=False), 1, 2, seed=0)
    assert mosaic.images.masks == (None,) * 6
    assert mosaic.masks == ((None, None),) * 6


def test_too_few_classes_for_a_mosaic():
    with pytest.raises(InputError, match="side by side: got images of 3 known classes, expected at least 4"):
        mosaics(image_set(), 2, 2, seed=0)
