"""Poisson rate coding and constant currents: worked numbers, and the laws every sample obeys."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from spikesam.common.errors import InputError
from spikesam.pipeline.images.encoding import in_eight_bits, poisson_batch, poisson_spikes
from spikesam.recordings.raster.batch import pack

pixels = st.floats(-4, 4, width=32)
images = arrays(np.float32, (3, 4, 5), elements=pixels)
keys = st.integers(0, 2**64 - 1)


def test_reference(shared):
    with np.load(shared / "reference" / "neuron.npz") as data:
        x, seed, index = data["poisson_x"], int(data["poisson_seed"]), int(data["poisson_index"])
        expected = data["input_spikes"].astype(bool)
    assert np.array_equal(poisson_spikes(x, len(expected), seed, index), expected)


@given(st.data(), st.integers(1, 9), keys, keys | st.integers(2**64 - 3, 2**64 - 1))
def test_the_kernel_draws_the_spikes_of_the_definition(data, steps, seed, index):
    shape = data.draw(array_shapes(min_dims=3, max_dims=3, max_side=13))
    x = data.draw(
        arrays(
            np.float32,
            shape,
            elements=pixels | st.sampled_from([0, -0.0, 2, -2, 2**-23, -(2**-24)]),
        )
    )
    expected = poisson_spikes(x, steps, seed, index)
    packed = poisson_batch(x[None], steps, seed, [index])
    assert np.array_equal(packed.unpacked()[:, 0], expected)
    assert np.array_equal(packed.bits, pack(expected[:, None]))  # pad bits, too


def test_threads_draw_large_images_at_once():
    x = np.random.default_rng(1).normal(0, 1, (8, 1, 3, 61, 67)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            lambda index: poisson_batch(x[index], 20, 2**64 - 1, [2**40 + index]).unpacked(),
            range(8),
        )
    for index, spikes in enumerate(found):
        assert np.array_equal(
            spikes[:, 0], poisson_spikes(x[index, 0], 20, 2**64 - 1, 2**40 + index)
        )


def test_an_odd_number_of_draws_by_hand():
    # One pixel, three steps: the low half of the first raw number, its high half, the low half of
    # the second.
    raw = [
        int(number) for number in np.random.Philox(key=np.array([7, 9], np.uint64)).random_raw(2)
    ]
    draws = [raw[0] & 0xFFFFFFFF, raw[0] >> 32, raw[1] & 0xFFFFFFFF]
    limit = 12582912  # 1.5 · 2²³
    expected = [draw >> 8 < limit for draw in draws]
    assert poisson_spikes(np.float32([[[1.5]]]), 3, 7, 9)[:, 0, 0, 0].tolist() == expected


@given(images, keys, keys)
def test_a_spike_has_the_sign_of_its_pixel_and_two_and_more_always_fire(x, seed, index):
    spikes = poisson_spikes(x, 6, seed, index)
    on, off = spikes[:, :3], spikes[:, 3:]
    assert (spikes.shape, spikes.dtype) == ((6, 6, 4, 5), np.bool_)
    assert not on[:, x <= 0].any() and not off[:, x >= 0].any()
    assert (on | off)[:, np.abs(x) >= 2].all()
    assert np.array_equal(poisson_spikes(-x, 6, seed, index), np.concatenate([off, on], axis=1))


@given(images, st.integers(1, 5), st.integers(1, 5), keys, keys)
def test_more_steps_only_append(x, steps, more, seed, index):
    longer = poisson_spikes(x, steps + more, seed, index)
    assert np.array_equal(longer[:steps], poisson_spikes(x, steps, seed, index))


@given(arrays(np.float32, (4, 3, 4, 5), elements=pixels), keys, st.permutations([3, 0, 2**40, 17]))
def test_a_sample_does_not_depend_on_its_batch(batch, seed, indices):
    together = poisson_batch(batch, 3, seed, indices).unpacked()
    assert together.shape == (3, 4, 6, 4, 5)
    for place, index in enumerate(indices):
        assert np.array_equal(together[:, place], poisson_spikes(batch[place], 3, seed, index))


GREY = np.zeros((3, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (GREY + np.float32(np.nan), 4, 0, 5),
            "image 5: got NaN or infinite pixels, expected finite numbers",
        ),
        (
            (GREY + np.float32(np.inf), 4, 0, 5),
            "image 5: got NaN or infinite pixels, expected finite numbers",
        ),
        ((np.zeros((2, 2)), 4, 0, 0), r"got shape \(2, 2\) to encode, expected \(C, H, W\)"),
        ((GREY, 0, 0, 0), "timesteps: got 0, expected at least 1"),
        ((GREY, 4, -1, 0), "seed: got -1, expected an integer in 0"),
        ((GREY, 4, 0, 2**64), "index: got 18446744073709551616, expected an integer in 0"),
    ],
)
def test_what_is_no_image_and_bad_keys_are_refused(arguments, message):
    x, steps, seed, index = arguments
    for encode in (
        lambda: poisson_spikes(*arguments),
        lambda: poisson_batch(x[None], steps, seed, [index]),
    ):
        with pytest.raises(InputError, match=message):
            encode()
    with pytest.raises(InputError, match="got 2 images and 1 indices"):
        poisson_batch(np.stack([GREY, GREY]), 4, 0, [0])
    with pytest.raises(InputError, match="current: got NaN or infinite pixels"):
        in_eight_bits(np.float32([[1, np.nan]]))


def test_constant_current_by_hand():
    # 1 · 63.5 is a tie, which goes to the even 64; 0.5 · 63.5 = 31.75; 1/128 · 63.5 = 0.496; beyond
    # ±2 it is clipped.
    x = np.float32([0, 1, -1, 0.5, -0.5, 1 / 128, 2, -2, 2.001, -70, np.finfo(np.float32).max])
    q = in_eight_bits(x)
    assert q.dtype == np.int8
    assert q.tolist() == [0, 64, -64, 32, -32, 0, 127, -127, 127, -127, 127]
    # 1 · 127/2.54 = 50; 2.6 is clipped; 0.01 · 50 is a tie just missed, since 0.01 is a little less
    # in float32.
    assert in_eight_bits(np.float32([1, -2, 2.6, 0.01]), 2.54).tolist() == [50, -100, 127, 0]


@given(images)
def test_a_constant_current_is_the_clipped_image_to_half_a_unit(x):
    q = in_eight_bits(x)
    assert q.shape == x.shape
    assert np.abs(q / 63.5 - np.clip(x, -2, 2)).max() <= 0.5 / 63.5
    assert np.array_equal(in_eight_bits(-x), -q)
