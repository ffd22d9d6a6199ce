"""Canvases and decoys: the images are there, whole, and masks go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paper.common.images import ImageSet
from paper.common.pasting import inverted, paste, with_decoys
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.recordings.errors import InputError


def image_set(count=6, height=8, width=12, classes=3, masks=True):
    random = np.random.default_rng(0)
    own = []
    for _ in range(count):
        mask = np.zeros((height, width), np.bool_)
        mask[2:5, random.integers(width - 3) :][:, :3] = True
        own.append(mask if masks else None)
    return ImageSet(
        "toys",
        random.standard_normal((count, 3, height, width)).astype(np.float32),
        np.arange(count) % classes,
        100 + np.arange(count),
        tuple(own),
        Preprocessing(height, width, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)),
    )


def find(canvas, pixels):
    """The only place at which an image lies in a canvas."""
    height, width = pixels.shape[1:]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (height, width), axis=(1, 2))
    hits = np.argwhere((windows == pixels[:, None, None]).all(axis=(0, 3, 4)))
    assert len(hits) == 1
    return np.s_[hits[0][0] : hits[0][0] + height, hits[0][1] : hits[0][1] + width]


@pytest.mark.parametrize("fill", ["mean", "texture"])
def test_pasted_images_are_whole_and_masks_move_along(fill):
    images = image_set()
    pasted = paste(images, 16, 24, seed=3, fill=fill)
    assert pasted.size == (16, 24)
    for number in range(len(images)):
        window = find(pasted.pixels[number], images.pixels[number])
        np.testing.assert_array_equal(pasted.masks[number][window], images.masks[number])
        assert pasted.masks[number].sum() == images.masks[number].sum()
        outside = np.ones((16, 24), np.bool_)
        outside[window] = False
        assert pasted.pixels[number][:, outside].any() == (fill == "texture")


def test_places_are_spread_and_depend_on_the_seed():
    images = image_set(count=60)
    canvases = paste(images, 16, 24, 0).pixels
    tops = {find(canvas, own)[0].start for canvas, own in zip(canvases, images.pixels, strict=True)}
    assert tops == set(range(9))
    assert paste(images, 16, 24, 0).sha256 == paste(images, 16, 24, 0).sha256 != paste(images, 16, 24, 1).sha256


@pytest.mark.parametrize("size", [(16, 24), (15, 23)])
def test_no_object_is_at_the_centre(size):
    for mask in paste(image_set(count=60), *size, 0).masks:
        assert not mask[(size[0] - 1) // 2 : size[0] // 2 + 1, (size[1] - 1) // 2 : size[1] // 2 + 1].any()


def test_an_object_that_fills_its_image_goes_into_a_corner():
    full = replace(image_set(count=20), masks=(np.ones((8, 12), np.bool_),) * 20)
    corners = {tuple(np.argwhere(mask)[0]) for mask in paste(full, 15, 22, 0).masks}
    assert corners == {(0, 0), (0, 10), (7, 0), (7, 10)}


def test_a_texture_has_the_spectrum_and_colours_of_an_image_but_not_its_shapes():
    images = image_set(count=2)
    canvas = paste(images, 16, 24, seed=0, fill="texture").pixels[0]
    source = images.pixels[1]
    outside = canvas[:, (canvas != 0).any(axis=0)]
    assert (outside.max(axis=1) <= np.maximum(source, images.pixels[0]).max(axis=(1, 2))).all()
    hits = (canvas[:, :-7, :-11, None] == source[:, 0, 0, None, None, None]).all(axis=0)
    assert not hits.any()


def test_a_canvas_of_the_same_size_is_the_image():
    images = image_set()
    np.testing.assert_array_equal(paste(images, 8, 12, 0, "texture").pixels, images.pixels)


def test_a_canvas_that_is_too_small():
    with pytest.raises(InputError, match="paste: got a canvas of 7×24, expected at least the images' 8×12"):
        paste(image_set(), 7, 24, 0)


def test_decoys_leave_the_object_alone_and_have_the_colours_of_others():
    images = image_set(count=8, height=20, width=20)
    decoys = with_decoys(images, count=3, side=4, seed=0)
    assert decoys.masks == images.masks
    for number in range(len(images)):
        changed = (decoys.pixels[number] != images.pixels[number]).any(axis=0)
        assert 3 <= changed.sum() <= 3 * 16
        assert not (changed & images.masks[number]).any()
        others = [images.pixels[i][:, images.masks[i]] for i in range(8) if i != number]
        colours = {tuple(colour) for colour in np.concatenate(others, axis=1).T}
        assert {tuple(colour) for colour in decoys.pixels[number][:, changed].T} <= colours


def test_where_there_is_no_room_there_are_no_decoys():
    images = image_set(count=2)
    full = replace(images, masks=(np.ones((8, 12), np.bool_), images.masks[1]))
    decoys = with_decoys(full, count=3, side=4, seed=0)
    np.testing.assert_array_equal(decoys.pixels[0], images.pixels[0])


@pytest.mark.parametrize(("masks", "side"), [(False, 3), (True, 9)])
def test_decoys_need_objects_and_must_fit(masks, side):
    with pytest.raises(InputError, match="expected at least 2 objects, and decoys that fit"):
        with_decoys(image_set(masks=masks), count=1, side=side, seed=0)


def test_negatives():
    images = image_set()
    negatives = inverted(images)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.2, 0.1])
    shown = images.pixels[0][:, 0, 0] * std + mean
    np.testing.assert_allclose(negatives.pixels[0][:, 0, 0] * std + mean, 1 - shown, rtol=1e-5)
    np.testing.assert_allclose(inverted(negatives).pixels, images.pixels, rtol=1e-4, atol=1e-5)
