"""SAM and its sum over steps: worked by hand, the reference data, and the laws that hold for any
spikes.
"""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.pipeline.maps.methods.sam import sam
from spikesam.pipeline.maps.sam import (
    Variant,
    compile_sums,
    spike_activation_map,
    spike_activation_maps,
    spike_activation_sum,
    spike_count_map,
    spike_count_sum,
)
from spikesam.recordings.raster.batch import pack
from tests.pipeline.maps.spikes import rasters, single_neuron

READINGS: dict[str, dict[str, Any]] = {
    "paper_current": {},
    "paper_previous": {"include_current": False},
    "authors_code_raw": {"variant": "authors-code"},
}
any_reading = st.sampled_from(list(READINGS.values()))
gammas = st.floats(0, 5)


def stream(spikes: NDArray[np.bool_], gamma: float, **reading: Any) -> NDArray[np.float32]:
    """The event-driven form on the packed bits of (T, C, H, W)."""
    return spike_activation_maps(pack(spikes[:, None])[0], spikes.shape[1:], [gamma], **reading)[0]


def summed(
    spikes: NDArray[np.bool_], gamma: float, steps: int | None = None, **reading: Any
) -> NDArray[np.float32]:
    """The sum from the packed bits of (T, C, H, W)."""
    return spike_activation_sum(pack(spikes[:, None])[0], spikes.shape[1:], gamma, steps, **reading)


def by_definition(spikes: NDArray[np.bool_], gamma: float, **reading: Any) -> NDArray[np.float64]:
    """Maps (T, H, W) by the paper's equations."""
    return spike_activation_map(spikes[:, None], gamma, **reading)[:, 0]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels for every number of γ and both readings, before hypothesis looks at the
    clock.
    """
    compile_sums()
    for reading in READINGS.values():
        spike_activation_sum(np.zeros((1, 1), np.uint8), (1, 1, 1), 0.5, **reading)
    for variant, several in product(get_args(Variant), (1, 2, 5)):
        spike_activation_maps(
            np.zeros((1, 1), np.uint8), (1, 1, 1), [0.5] * several, variant=variant
        )


def test_worked_by_hand() -> None:
    """One neuron firing at t = 1, 2, 4, with e^-γ = 1/2."""
    spikes, gamma = single_neuron(0, 1, 1, 0, 1), math.log(2)
    current = [0, 1, 1 + 1 / 2, 0, 1 + 1 / 4 + 1 / 8]
    earlier = [0, 0, 1 / 2, 0, 1 / 4 + 1 / 8]
    # The authors' script adds 2^-t for the silent steps up to t: t = 0; then t = 0 and 3.
    authors = [0, 1 + 1 / 2, 1 + 1 / 2 + 1 / 4, 0, 1 + 1 / 4 + 1 / 8 + 2 / 16]
    for reading, expected in zip(READINGS.values(), (current, earlier, authors), strict=True):
        np.testing.assert_allclose(stream(spikes, gamma, **reading).ravel(), expected, rtol=1e-6)


def test_more_channels_than_are_held_at_a_time() -> None:
    """Three groups of channels, whose sums must go on where the one before ended."""
    spikes = np.random.default_rng(0).random((3, 1, (1 << 19) + 3, 1, 3)) < 0.1
    for gammas in ([0.5], [0.0, 0.5]):
        found = spike_activation_maps(pack(spikes)[0], spikes.shape[2:], gammas)[-1]
        np.testing.assert_allclose(found, spike_activation_map(spikes, 0.5)[:, 0], rtol=1e-6)


def test_strips_of_pixels_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = np.random.default_rng(0).random((7, 3, 9, 31)) < 0.3
    packed = pack(spikes[:, None])[0]
    whole = spike_activation_maps(packed, spikes.shape[1:], [0.5, 1.0], variant="authors-code")
    total = summed(spikes, 0.5, variant="authors-code")
    monkeypatch.setattr("spikesam.pipeline.maps.sam.STRIP_BYTES", 0)
    found = spike_activation_maps(packed, spikes.shape[1:], [0.5, 1.0], variant="authors-code")
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(summed(spikes, 0.5, variant="authors-code"), total)


def test_spikes_that_may_not_be_written_or_lie_apart_are_taken_alike() -> None:
    packed = pack(np.random.default_rng(0).random((7, 1, 3, 4, 5)) < 0.3)[0]
    apart = np.repeat(packed, 2, axis=1)[:, ::2]
    expected = spike_activation_maps(packed, (3, 4, 5), [0.5])
    total = spike_activation_sum(packed, (3, 4, 5), 0.5)
    packed.setflags(write=False)
    for same in (packed, apart):
        np.testing.assert_array_equal(spike_activation_maps(same, (3, 4, 5), [0.5]), expected)
        np.testing.assert_array_equal(spike_activation_sum(same, (3, 4, 5), 0.5), total)


def test_authors_code_takes_a_spike_at_step_zero_for_silence() -> None:
    spikes, late = single_neuron(1, 0, 1), single_neuron(0, 0, 1)
    fired, silent = (stream(raster, 0.5, variant="authors-code")[2] for raster in (spikes, late))
    assert fired == silent
    assert stream(spikes, 0.5)[2] > stream(late, 0.5)[2]


@pytest.mark.parametrize("gamma", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("name", READINGS)
def test_reference(shared: Path, name: str, gamma: float) -> None:
    reference = np.load(shared / "reference" / "sam.npz")
    spikes, expected = reference["spikes"], reference[f"{name}_gamma{gamma}"]
    np.testing.assert_allclose(by_definition(spikes, gamma, **READINGS[name]), expected, rtol=1e-6)
    np.testing.assert_allclose(stream(spikes, gamma, **READINGS[name]), expected, rtol=1e-6)


SHAPES = [
    (1, 1, 1),
    (3, 9, 15),
    (2, 8, 16),
    (4, 1, 65),
    (5, 8, 8),
    (70, 1, 1),
    (3, 7, 9),
    (2, 1, 127),
    (9, 13, 11),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_any_size_agrees_with_the_definition(shape: tuple[int, int, int], density: float) -> None:
    """Blocks of 64 pixels that are whole or not, of channels that begin anywhere in a byte; sums of
    33 steps.
    """
    spikes = np.random.default_rng(0).random((40, *shape)) < density
    for reading in READINGS.values():
        for gamma in (0.0, 0.4):
            expected = by_definition(spikes, gamma, **reading)
            np.testing.assert_allclose(stream(spikes, gamma, **reading), expected, rtol=1e-6)
            total = expected[:33].sum(axis=0, dtype=np.float64)
            np.testing.assert_allclose(summed(spikes, gamma, 33, **reading), total, rtol=1e-6)
    counted = spike_count_sum(pack(spikes[:, None])[0], shape, 33)
    np.testing.assert_array_equal(counted, spikes[:33].sum(axis=(0, 1)).astype(np.float32))


@given(rasters, st.lists(gammas, min_size=2, max_size=5), any_reading)
def test_several_gammas_at_once(
    spikes: NDArray[np.bool_], several: list[float], reading: dict[str, Any]
) -> None:
    together = spike_activation_maps(pack(spikes[:, None])[0], spikes.shape[1:], several, **reading)
    assert together.shape == (len(several), len(spikes), *spikes.shape[2:])
    for gamma, maps in zip(several, together, strict=True):
        np.testing.assert_array_equal(maps, stream(spikes, gamma, **reading))


def test_threads_change_no_bit() -> None:
    rasters = np.random.default_rng(0).random((8, 30, 16, 12, 12)) < 0.1
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda spikes: stream(spikes, 0.3), rasters))
    for spikes, maps in zip(rasters, threaded, strict=True):
        np.testing.assert_array_equal(maps, stream(spikes, 0.3))


def test_a_long_silence_is_not_forgotten() -> None:
    """Spikes at the first and last of 500 steps: what is left of the first is e^{-499 γ}, however
    steep the kernel.
    """
    spikes = np.zeros((500, 1, 1, 1), np.bool_)
    spikes[[0, 499]] = True
    for gamma, expected in (
        (0.0, 1.0),
        (0.01, math.exp(-4.99)),
        (0.2, math.exp(-99.8)),
        (1e308, 0.0),
    ):
        assert stream(spikes, gamma)[499] == np.float32(1 + expected)
        assert stream(spikes, gamma, include_current=False)[499] == np.float32(expected)


@given(rasters, gammas, any_reading)
def test_no_spike_no_map(spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any]) -> None:
    """A pixel is zero at every step at which none of its neurons fires."""
    assert not stream(spikes, gamma, **reading)[~spikes.any(axis=1)].any()
    assert not stream(np.zeros_like(spikes), gamma, **reading).any()


@given(rasters, gammas, any_reading, st.data())
def test_causal(
    spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any], data: st.DataObject
) -> None:
    """Changing later spikes changes no earlier bit of the map, nor of its sum."""
    step = data.draw(st.integers(0, len(spikes)))
    changed = spikes.copy()
    changed[step:] ^= data.draw(arrays(np.bool_, changed[step:].shape))
    before, after = stream(spikes, gamma, **reading), stream(changed, gamma, **reading)
    np.testing.assert_array_equal(before[:step], after[:step])
    if step:
        totals = (summed(each, gamma, step, **reading) for each in (spikes, changed))
        np.testing.assert_array_equal(*totals)


@given(rasters, gammas, any_reading, st.randoms(use_true_random=False))
def test_order_is_irrelevant(
    spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any], random: Any
) -> None:
    """Equal up to the rounding of a float64 sum: one float32 unit in the last place."""
    order = random.sample(range(spikes.shape[1]), spikes.shape[1])
    maps, permuted = stream(spikes, gamma, **reading), stream(spikes[:, order], gamma, **reading)
    np.testing.assert_array_max_ulp(maps, permuted, maxulp=1)


@given(rasters)
def test_steep_kernel_gives_the_spike_count(spikes: NDArray[np.bool_]) -> None:
    counts = spikes.sum(axis=1)
    np.testing.assert_array_equal(stream(spikes, 1000.0), counts)
    packed = pack(spikes[:, None])[0]
    np.testing.assert_array_equal(spike_count_map(packed, spikes.shape[1:]), counts)
    np.testing.assert_array_equal(spike_count_sum(packed, spikes.shape[1:]), counts.sum(axis=0))
    assert not stream(spikes, 1000.0, include_current=False).any()


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_arrays_of_any_dtype_give_the_maps_of_the_definition(dtype: type) -> None:
    spikes = np.random.default_rng(3).random((7, 2, 3, 4, 5)) < 0.3
    expected = spike_activation_map(spikes, 0.7)
    assert np.allclose(sam(spikes.astype(dtype), 0.7), expected, rtol=1e-6)


def test_a_tensor_in_gives_a_tensor_out() -> None:
    torch = pytest.importorskip("torch")
    spikes = torch.ones(3, 1, 2, 2, 2, requires_grad=True)
    maps = sam(spikes, 0.0)
    assert isinstance(maps, torch.Tensor)
    assert maps[:, 0, 0, 0].tolist() == [2, 4, 6]  # two channels, the t-th spike counts t


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (
            np.full((1, 1, 1, 1, 2), 0.5),
            r"SAM, index (0, 0, 0, 0, 0): got the value 0.5, expected spikes of 0 and 1",
        ),
        (np.full((1, 1, 1, 1, 1), np.nan), "got the value nan"),
        (np.zeros((2, 3, 4, 5)), "SAM: got spikes of shape (2, 3, 4, 5), expected (T, B, C, H, W)"),
        (np.zeros((0, 1, 1, 1, 1)), "expected (T, B, C, H, W), not empty"),
        (
            np.full((1, 1, 1, 1, 1), "1"),
            "SAM: got dtype <U1, expected bool, or 0 and 1 of any dtype",
        ),
    ],
)
def test_other_values_are_refused_by_name(spikes: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        sam(spikes)


@given(rasters, gammas, any_reading)
def test_other_pixels_and_channels_change_no_bit(
    spikes: NDArray[np.bool_], gamma: float, reading: dict[str, Any]
) -> None:
    """A pixel's sum depends on its own neurons alone: the rest may be anything, and anywhere in a
    byte.
    """
    wider = np.ones(
        (spikes.shape[0], spikes.shape[1] + 1, spikes.shape[2] + 1, spikes.shape[3] + 2), np.bool_
    )
    wider[:, :-1, 1:, 1:-1], wider[:, -1] = spikes, False
    np.testing.assert_array_equal(
        summed(wider, gamma, **reading)[1:, 1:-1], summed(spikes, gamma, **reading)
    )


OF_PACKED, OF_RASTERS = (spike_activation_maps, spike_activation_sum), (spike_activation_map,)


@pytest.mark.parametrize(
    ("arguments", "message", "forms"),
    [
        *(
            (
                {"gamma": gamma},
                f"gamma: got {gamma}, expected a finite number ≥ 0",
                OF_PACKED + OF_RASTERS,
            )
            for gamma in (-0.1, math.nan, math.inf)
        ),
        ({"gamma": []}, "gammas: got none, expected at least one", (spike_activation_maps,)),
        (
            {"variant": "theirs"},
            "variant: got 'theirs', expected one of paper, authors-code",
            OF_PACKED,
        ),
        (
            {"variant": "authors-code", "include_current": False},
            ".* always counts the current spike",
            OF_PACKED,
        ),
        (
            {"steps": 0},
            "steps: got 0, expected 1 to 6, the steps of these spikes",
            (spike_activation_sum,),
        ),
        ({"steps": 7}, "steps: got 7, expected 1 to 6", (spike_activation_sum,)),
        (
            {"shape": (3, 4, 9)},
            r"packed spikes: got shape \(6, 8\) uint8, expected \(T, 14\) uint8",
            OF_PACKED,
        ),
        (
            {"spikes": np.ones((3, 1, 1, 1), bool)},
            r".*\(3, 1, 1, 1\) bool, expected \(T, B, C, H, W\)",
            OF_RASTERS,
        ),
    ],
)
def test_what_has_no_meaning_is_refused(
    arguments: dict[str, Any], message: str, forms: tuple[Any, ...]
) -> None:
    packed = {"packed": np.zeros((6, 8), np.uint8), "shape": (3, 4, 5)}
    for form in forms:
        given = (
            {"spikes": np.ones((3, 1, 1, 1, 1), bool)} if form is spike_activation_map else packed
        )
        given = {**given, "gamma": 0.5, **arguments}
        if form is spike_activation_maps:
            gamma = given.pop("gamma")
            given["gammas"] = gamma if isinstance(gamma, list) else [gamma]
        with pytest.raises(InputError, match=f"^{message}"):
            form(**given)
