"""Integer SAM: a trace by hand, one pass equal to the definition, and how near it is to SAM in real
numbers.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.trace import compile_maps, spike_trace
from spikesam.common.errors import InputError
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.methods.sam import fixed_maps, sam
from spikesam.pipeline.maps.sam import spike_activation_map
from spikesam.recordings.raster.batch import pack
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.maps.spikes import rasters, single_neuron
from tests.recordings.rasters import record

LOG_2 = float(np.log(2))
gammas = st.one_of(st.just(0.0), st.floats(0.0002, 9))


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    compile_maps()


def maps_and_sum(
    spikes: NDArray[np.bool_], gamma: float, summed: int | None = None, steps: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """From the packed bits of (T, C, H, W)."""
    return fixed_maps(pack(spikes[:, None])[0], spikes.shape[1:], gamma, summed, steps)


def definition(spikes: NDArray[np.bool_], gamma: float) -> NDArray[np.int64]:
    """Integer SAM of (T, C, H, W) as `backends/trace.py` defines it, before anything leaves: M, in
    units of 2⁻ᵏ.
    """
    trace = spike_trace(gamma, spikes.shape[1], len(spikes))
    maps = np.zeros((len(spikes), *spikes.shape[2:]), np.int64)
    score = np.zeros(spikes.shape[1:], np.int64)
    for fired, of_step in zip(spikes, maps, strict=True):
        score = (score * trace.decay_factor >> 12) + fired.astype(np.int64) * 2**trace.trace_bits
        of_step[:] = (fired * (score >> (trace.trace_bits - trace.payload_bits))).sum(axis=0)
    return maps


def test_worked_by_hand() -> None:
    """One neuron firing at t = 1, 2, 4, with e^-γ = 1/2, which integers express."""
    spikes = single_neuron(0, 1, 1, 0, 1)
    maps, total = maps_and_sum(spikes, LOG_2, 4)
    assert maps.ravel().tolist() == [0, 1, 1.5, 0, 1.375]
    assert total.item() == 2.5
    assert sam(spikes[:, None], LOG_2, variant="fixed").ravel().tolist() == [0, 1, 1.5, 0, 1.375]


def test_what_is_rounded() -> None:
    """κ = 1612 at γ = 0.5. The second spike carries rz(65536 · 2484, 12) = 39744, and 65536: 411.25
    of 256.
    """
    maps, _ = maps_and_sum(single_neuron(1, 1), 0.5)
    assert maps.ravel().tolist() == [1, 411 / 256]


@given(rasters, gammas, st.data())
def test_one_pass_is_the_definition(
    spikes: NDArray[np.bool_], gamma: float, data: st.DataObject
) -> None:
    timesteps = len(spikes)
    summed, steps = data.draw(st.integers(1, timesteps)), data.draw(st.integers(0, timesteps))
    trace = spike_trace(gamma, spikes.shape[1], timesteps)
    expected = definition(spikes, gamma)
    maps, total = maps_and_sum(spikes, gamma, summed, steps)
    unit = 2.0**trace.payload_bits
    np.testing.assert_array_equal(
        maps, (expected[:steps] >> trace.dropped_bits) * 2.0**trace.dropped_bits / unit
    )
    np.testing.assert_array_equal(total, (expected[:summed].sum(axis=0) / unit).astype(np.float32))


@pytest.mark.parametrize("gamma", [0.0, 0.002, 0.01, 0.1, 0.5, 2.0])
def test_it_is_near_the_real_numbers_however_slow_the_decay(gamma: float) -> None:
    """Within 1 % of the largest value over 300 steps; with as few bits in the trace as in a spike
    it would be 4 %.
    """
    random = np.random.default_rng(0)
    spikes = random.random((300, 64, 3, 4)) < random.random((64, 1, 1)) * 0.05
    exact = spike_activation_map(spikes[:, None], gamma)[:, 0]
    maps, total = maps_and_sum(spikes, gamma)
    assert np.abs(maps - exact).max() < 0.01 * exact.max()
    assert np.abs(total - exact.sum(axis=0)).max() < 0.01 * exact.sum(axis=0).max()


def test_dense_maps_of_many_channels_leave_with_fewer_bits() -> None:
    """300 channels that fire at both steps, γ = 0: 600 · 2⁸ = 153,600 is more than 2¹⁶, so two bits
    are dropped.
    """
    spikes = np.ones((2, 300, 1, 1), np.bool_)
    assert spike_trace(0.0, 300, 2).dropped_bits == 2
    maps, total = maps_and_sum(spikes, 0.0)
    assert (maps.ravel().tolist(), total.item()) == ([300, 600], 900)


def test_a_file_of_them(tmp_path: Path) -> None:
    raster = record(tmp_path / "run", 5)
    with (
        RasterReader(raster) as spikes,
        explain_source(
            raster, tmp_path / "sam.h5", variant="fixed", gamma=0.3, steps="1:3"
        ) as maps,
    ):
        assert maps.header.parameters == {"gamma": 0.3, "variant": "fixed", "include_current": True}
        for layer in maps.layers:
            for sample in range(maps.n_samples):
                packed, spec = (
                    spikes.packed(spikes.layer(layer.name), sample),
                    spikes.layer(layer.name),
                )
                expected, total = fixed_maps(packed, spec.shape, 0.3, layer.steps_that_matter)
                np.testing.assert_array_equal(maps.read(layer, sample), expected[1:3])
                np.testing.assert_array_equal(maps.read_sum(layer, sample), total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1e-5}, "^gamma: got 1e-05, whose decay rounds to 0 of 4096"),
        ({"include_current": False}, "^variant 'fixed' always counts the current spike"),
    ],
)
def test_what_integers_cannot_leaves_no_file(
    tmp_path: Path, options: dict[str, float], message: str
) -> None:
    raster = record(tmp_path / "run", 5)
    with pytest.raises(InputError, match=message):
        explain_source(raster, tmp_path / "sam.h5", variant="fixed", **options)
    assert not (tmp_path / "sam.h5").exists()


@pytest.mark.parametrize(
    ("shape", "steps", "message"),
    [
        *(
            ((1, 1, 1), pair, f"steps: got {pair[0]} and {pair[1]}, expected at most 3")
            for pair in ((0, 1), (4, 1), (1, 4), (1, -1))
        ),
        ((3, 3, 1), (None, None), r"packed spikes: got shape \(3, 1\) uint8, expected \(T, 2\)"),
    ],
)
def test_steps_and_places_that_are_not_there(shape: Any, steps: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        fixed_maps(np.zeros((3, 1), np.uint8), shape, 0.5, *steps)
