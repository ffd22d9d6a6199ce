"""Label-free variants of SAM: hand-worked numbers, and laws that all of them keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.maps.sam import spike_activation_maps, spike_count_map
from pipeline.maps.sam_variants import VARIANTS, channel_maps, merge
from recordings.errors import InputError

ALONE = ("plain", "channel mean", "channel peak", "place-selective", "sharpened")
BLIND_TO_SCALE = (
    "channel mean",
    "channel mean of set",
    "channel peak",
    "place-selective",
    "image-selective",
    "unusual channels",
)
EVERY = pytest.mark.parametrize("name", VARIANTS)


def packed(spikes):
    return np.packbits(spikes.reshape(len(spikes), -1), axis=1)


def some_maps(seed=0, shape=(4, 5, 3, 2)):
    random = np.random.default_rng(seed)
    return (random.random(shape) * (random.random(shape) < 0.7)).astype(np.float32)


def image(*channels):
    """One sample of one row."""
    return np.array([[[row] for row in channels]], np.float64)


def test_one_neuron_by_hand():
    spikes = np.array([1, 0, 1, 1], np.bool_).reshape(4, 1, 1, 1)
    # N at the spikes: γ = ln 2: 1, 1/4 + 1, 5/8 + 1; γ = 0: 1, 2, 3; γ = ∞: 1, 1, 1
    maps = channel_maps(packed(spikes), (1, 1, 1), (math.log(2), 0.0, math.inf), middle=2)
    np.testing.assert_allclose(maps[..., 0, 0, 0], [[1, 2.875], [1, 5], [1, 2]], rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5, 3.0]), st.integers(0, 7))
def test_the_sum_over_channels_is_sam(seed, gamma, middle):
    shape = (3, 2, 5)  # 30 bits, so that pad bits are there
    bits = packed(np.random.default_rng(seed).random((7, *shape)) < 0.3)
    maps = channel_maps(bits, shape, (gamma, math.inf), middle)
    sam = spike_activation_maps(bits, shape, (gamma,))[0]
    np.testing.assert_allclose(maps[0, 0].sum(axis=0), sam[:middle].sum(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(maps[0, 1].sum(axis=0), sam[middle:].sum(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(maps[1].sum(axis=(0, 1)), spike_count_map(bits, shape).sum(axis=0))


def test_silence_is_a_zero_map():
    assert not channel_maps(np.zeros((3, 1), np.uint8), (2, 2, 2), (0.5,)).any()


@pytest.mark.parametrize("gamma", [-1.0, math.nan, -math.inf])
def test_a_gamma_without_meaning(gamma):
    with pytest.raises(InputError, match="gamma: got"):
        channel_maps(np.zeros((3, 1), np.uint8), (2, 2, 2), (0.5, gamma))


def test_bits_of_another_layer():
    with pytest.raises(InputError, match=r"packed spikes: got shape \(3, 2\) uint8, expected \(T, 1\)"):
        channel_maps(np.zeros((3, 2), np.uint8), (2, 2, 2), (0.5,))


def test_normalised_channels_by_hand():
    maps = image([1, 3], [10, 0], [0, 0])
    np.testing.assert_allclose(VARIANTS["plain"](maps), [[[11, 3]]])
    np.testing.assert_allclose(VARIANTS["channel mean"](maps), [[[2.5, 1.5]]])  # ½ + 2, 3/2 + 0
    np.testing.assert_allclose(VARIANTS["channel peak"](maps), [[[4 / 3, 1]]])
    # sparseness: 1 - 2²/5 = 1/5, and 1 - 5²/50 = 1/2
    np.testing.assert_allclose(VARIANTS["place-selective"](maps), [[[0.1 + 1, 0.3]]])
    np.testing.assert_allclose(VARIANTS["sharpened"](maps), [[[4, 0]]])


def test_contrast_with_other_images_by_hand():
    maps = np.concatenate([image([4, 1]), image([2, 3]), image([0, 1])])
    np.testing.assert_allclose(VARIANTS["unusual"](maps)[:, 0], [[3, 0], [0, 2], [0, 0]])
    # expected of the first: (1, 2), mean 1.5
    np.testing.assert_allclose(VARIANTS["relative"](maps)[0, 0], [4 / 1.75, 1 / 2.75])
    # the channel's mean over the set is 11/6
    np.testing.assert_allclose(VARIANTS["unusual channels"](maps)[0, 0], [3 * 6 / 11, 0])


def test_images_like_any_other_have_nothing_unusual():
    maps = np.repeat(some_maps(shape=(1, 5, 3, 2)), 3, axis=0)
    for name in ("unusual", "unusual channels"):
        np.testing.assert_allclose(VARIANTS[name](maps), 0, atol=1e-6)


def test_image_selective_prefers_channels_that_fire_for_few_images():
    maps = np.concatenate([image([0, 1], [1, 0]), image([0, 0], [1, 0])])
    # channel means over pixels: (½, 0) and (½, ½): sparseness ½ and 0
    np.testing.assert_allclose(VARIANTS["image-selective"](maps)[0, 0], [0, 0.5 / 0.25])


@EVERY
def test_zero_maps_stay_zero(name):
    assert not VARIANTS[name](np.zeros((2, 3, 4, 4))).any()
    lone = VARIANTS[name](some_maps(shape=(1, 2, 1, 1)))
    assert np.isfinite(lone).all()


@EVERY
def test_the_order_of_channels_does_not_matter_and_maps_are_not_negative(name):
    maps = some_maps()
    result = VARIANTS[name](maps)
    assert result.shape == (4, 3, 2)
    assert result.min() >= 0
    np.testing.assert_allclose(VARIANTS[name](maps[:, ::-1]), result, rtol=1e-4)


@pytest.mark.parametrize("name", BLIND_TO_SCALE)
def test_how_much_a_channel_fires_in_all_does_not_matter(name):
    maps = some_maps()
    scaled = maps * np.array([1, 2, 30, 0.5, 7], np.float32)[:, None, None]
    np.testing.assert_allclose(VARIANTS[name](scaled), VARIANTS[name](maps), rtol=1e-4)


@pytest.mark.parametrize("name", ALONE)
def test_variants_of_one_raster_alone_ignore_other_images(name):
    maps = some_maps()
    np.testing.assert_allclose(VARIANTS[name](maps[1:2])[0], VARIANTS[name](maps)[1], rtol=1e-6)


def test_merging_by_hand():
    one, other = image([1, 3])[:, 0], image([4, 0])[:, 0]
    # relative to their means: (½, 3/2) and (2, 0)
    expected = [math.sqrt(0.6 * 2.1) - 0.1, math.sqrt(1.6 * 0.1) - 0.1]
    np.testing.assert_allclose(merge([one, other])[0, 0], expected)


def test_a_silent_map_has_no_say():
    one = image([1, 3])[:, 0]
    merged = merge([one, np.zeros_like(one), one])
    assert merged[0, 0, 1] > merged[0, 0, 0]
    assert not merge([np.zeros_like(one)] * 2).any()
