"""Maps summed over steps in one pass: a trace by hand, and laws that hold for every raster."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.pipeline.maps.sam import compile_sums, spike_activation_map, spike_activation_sum, spike_count_sum
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import pack
from tests.pipeline.maps.test_sam import READINGS, any_reading, gammas, rasters


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernel for both readings, before hypothesis looks at the clock."""
    compile_sums()
    for reading in READINGS.values():
        spike_activation_sum(np.zeros((1, 1), np.uint8), (1, 1, 1), 0.5, **reading)


def summed(spikes: NDArray[np.bool_], gamma: float, steps: int | None = None, **reading: Any) -> NDArray[np.float32]:
    """The sum from the packed bits of (T, C, H, W)."""
    return spike_activation_sum(pack(spikes[:, None])[0], spikes.shape[1:], gamma, steps, **reading)


def by_definition(
    spikes: NDArray[np.bool_], gamma: float, steps: int | None = None, **reading: Any
) -> NDArray[np.float32]:
    return spike_activation_map(spikes[:, None], gamma, **reading)[:steps, 0].sum(axis=0, dtype=np.float64)


@given(rasters, gammas, any_reading, st.data())
def test_it_is_the_sum_of_the_definition(
    spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any], data: st.DataObject
) -> None:
    steps = data.draw(st.one_of(st.none(), st.integers(1, len(spikes))))
    found = summed(spikes, gamma, steps, **reading)
    assert found.shape == spikes.shape[2:] and found.dtype == np.float32
    np.testing.assert_allclose(found, by_definition(spikes, gamma, steps, **reading), rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 9, 15), (2, 8, 16), (4, 1, 65), (5, 8, 8), (70, 1, 1), (3, 7, 9), (2, 1, 127), (9, 13, 11)]
)
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_any_size(shape: tuple[int, int, int], density: float) -> None:
    """Blocks of 64 pixels that are whole or not, of channels that begin anywhere in a byte."""
    spikes = np.random.default_rng(0).random((40, *shape)) < density
    for reading in READINGS.values():
        for gamma in (0.0, 0.4):
            expected = by_definition(spikes, gamma, 33, **reading)
            np.testing.assert_allclose(summed(spikes, gamma, 33, **reading), expected, rtol=1e-6)
    np.testing.assert_array_equal(
        spike_count_sum(pack(spikes[:, None])[0], shape, 33), spikes[:33].sum(axis=(0, 1)).astype(np.float32)
    )


@given(rasters)
def test_counts_are_exact(spikes: NDArray[np.bool_]) -> None:
    found = spike_count_sum(pack(spikes[:, None])[0], spikes.shape[1:])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, spikes.sum(axis=(0, 1)))


@given(rasters, gammas, any_reading)
def test_other_pixels_and_silent_channels_change_no_bit(
    spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any]
) -> None:
    """A pixel's sum depends on its own neurons alone: the rest may be anything, and anywhere in a byte."""
    wider = np.ones((spikes.shape[0], spikes.shape[1] + 1, spikes.shape[2] + 1, spikes.shape[3] + 2), np.bool_)
    wider[:, :-1, 1:, 1:-1], wider[:, -1] = spikes, False
    np.testing.assert_array_equal(summed(wider, gamma, **reading)[1:, 1:-1], summed(spikes, gamma, **reading))


@given(rasters, gammas, any_reading)
def test_later_spikes_change_no_bit(spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any]) -> None:
    longer = np.concatenate([spikes, np.ones_like(spikes)])
    np.testing.assert_array_equal(summed(longer, gamma, len(spikes), **reading), summed(spikes, gamma, **reading))


def test_strips_of_pixels_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = np.random.default_rng(0).random((7, 3, 9, 31)) < 0.3
    whole = summed(spikes, 0.5, variant="authors-code")
    monkeypatch.setattr("spikesam.pipeline.maps.sam.STRIP_BYTES", 0)
    np.testing.assert_array_equal(summed(spikes, 0.5, variant="authors-code"), whole)


def test_spikes_that_may_not_be_written_or_lie_apart_are_taken_alike() -> None:
    packed = pack(np.random.default_rng(0).random((7, 1, 3, 4, 5)) < 0.3)[0]
    apart, expected = np.repeat(packed, 2, axis=1)[:, ::2], spike_activation_sum(packed, (3, 4, 5), 0.5)
    packed.setflags(write=False)
    for same in (packed, apart):
        np.testing.assert_array_equal(spike_activation_sum(same, (3, 4, 5), 0.5), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -1.0}, "gamma: got -1.0, expected a finite number"),
        ({"gamma": float("nan")}, "gamma: got nan"),
        ({"variant": "theirs"}, "variant: got 'theirs'"),
        ({"variant": "authors-code", "include_current": False}, "always counts the current spike"),
        ({"steps": 0}, "steps: got 0, expected 1 to 6, the steps of these spikes"),
        ({"steps": 7}, "steps: got 7, expected 1 to 6"),
        ({"shape": (3, 4, 9)}, r"packed spikes: got shape \(6, 8\) uint8, expected \(T, 14\) uint8"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"packed": np.zeros((6, 8), np.uint8), "shape": (3, 4, 5), "gamma": 0.5} | arguments
    with pytest.raises(InputError, match=message):
        spike_activation_sum(**given)
