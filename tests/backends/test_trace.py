"""The constants of integer SAM: as many bits as never overflow, whatever fires."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesam.backends.trace import (
    GradedSpikes,
    SpikeTrace,
    StepMaps,
    StoredMaps,
    maps_of_packed,
    spike_trace,
)
from spikesam.common.errors import InputError

LOG_2 = float(np.log(2))


def largest_payload(trace: SpikeTrace, timesteps: int) -> int:
    """What the last spike of a neuron that always fires carries."""
    score = 0
    for _ in range(timesteps):
        score = score * trace.decay_factor // 4096 + 2**trace.trace_bits
    assert score < 2**23
    return score >> (trace.trace_bits - trace.payload_bits)


@pytest.mark.parametrize(
    ("gamma", "channels", "timesteps", "expected"),
    [
        (LOG_2, 1, 16, SpikeTrace(2048, 16, 8, 0)),
        (0.5, 64, 20, SpikeTrace(2484, 16, 8, 0)),  # 64 · 2.54 · 2⁸ = 41,600 fits into 16 bits
        (0.5, 512, 20, SpikeTrace(2484, 16, 8, 3)),
        (
            0.5,
            64,
            200_000,
            SpikeTrace(2484, 16, 6, 0),
        ),  # 41,600 over as many steps is more than 2³¹
        (0.0, 512, 500, SpikeTrace(4096, 14, 4, 6)),  # 500 · 2¹⁴ < 2²³; 512 · 500 · 500 · 2⁴ < 2³¹
    ],
)
def test_worked_by_hand(gamma: float, channels: int, timesteps: int, expected: SpikeTrace) -> None:
    assert spike_trace(gamma, channels, timesteps) == expected


@given(st.one_of(st.just(0.0), st.floats(0.0002, 9)), st.integers(1, 2048), st.integers(1, 300))
def test_nothing_overflows_and_no_bit_is_left_unused(
    gamma: float, channels: int, timesteps: int
) -> None:
    trace = spike_trace(gamma, channels, timesteps)
    of_step = channels * largest_payload(trace, timesteps)
    assert of_step < 2**23 and of_step * timesteps < 2**31
    assert of_step >> trace.dropped_bits < 2**16
    if trace.dropped_bits:
        assert of_step >> (trace.dropped_bits - 1) >= 2**16
    if trace.payload_bits < min(8, trace.trace_bits):
        assert 2 * of_step + channels >= min(2**23, 2**31 / timesteps)


@pytest.mark.parametrize(
    ("gamma", "message"),
    [
        (
            0.0001,
            "gamma: got 0.0001, whose decay rounds to 0 of 4096; in integers, γ is 0 or 0.000123 "
            "to 9.01",
        ),
        (9.1, "gamma: got 9.1, whose decay rounds to 4096 of 4096"),
        (-1.0, "gamma: got -1.0, expected a finite number"),
        (float("nan"), "gamma: got nan, expected a finite number"),
    ],
)
def test_a_decay_without_meaning(gamma: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        spike_trace(gamma, 8, 16)


@pytest.mark.parametrize("gamma", [0.000123, 9.01])
def test_the_limits_that_the_message_names_are_allowed(gamma: float) -> None:
    assert 0 < spike_trace(gamma, 1, 16).decay_factor < 4096


@pytest.mark.parametrize(("channels", "timesteps"), [(1, 2**23), (2**16, 2**8), (4096, 1200)])
def test_sums_that_could_overflow_without_decay(channels: int, timesteps: int) -> None:
    """A trace of 2²³, a sum over channels of 2²⁴, and a sum over steps of 5.9 · 10⁹."""
    with pytest.raises(
        InputError,
        match=f"integer maps of {channels} channels over {timesteps} steps could overflow",
    ):
        spike_trace(0.0, channels, timesteps)


def test_a_sample_leaves_nothing_to_the_next() -> None:
    """One neuron that fires at every step, e^-γ = 1/2: 1, 3/2, 7/4,
    of which two steps are summed.
    """
    trace = spike_trace(LOG_2, 1, 3)
    steps, leaving = StepMaps(trace, (1, 1, 1)), StoredMaps(trace, 1, steps_that_matter=2, room=2)
    for _ in range(2):
        found = []
        for t in range(3):
            leaving.add(t, steps.step(t, np.ones((1, 1, 1), np.bool_)))
            found.append(leaving.steps[t % 2].copy())
        assert trace.of_steps(np.stack(found)).ravel().tolist() == [1, 1.5, 1.75]
        assert trace.of_sum(leaving.sum).tolist() == [2.5]


def test_maps_of_packed_spikes_worked_by_hand() -> None:
    """A neuron fires in steps 0 and 2. N is 2¹⁶, rz(2¹⁶ · 2484, 12) = 39,744, and rz(39,744 · 2484,
    12) + 2¹⁶ = 89,638, of which a spike carries all but the last 8 bits.
    """
    trace, packed = spike_trace(0.5, 1, 3), np.array([[128], [0], [128]], np.uint8)
    for summed, total in ((1, 256), (2, 256), (3, 256 + 350)):
        for count in range(4):
            steps, of_sum = maps_of_packed(packed, (1, 1, 1), trace, summed, count)
            assert steps.ravel().tolist() == [256, 0, 350][:count]
            assert of_sum.tolist() == [total]


def test_a_spike_carries_the_first_bits_of_its_trace() -> None:
    """4 of 14 bits behind the point, of 1, 3/2 and 7/4."""
    trace, fired = SpikeTrace(2048, 14, 4, 0), np.ones((1, 1, 1), np.bool_)
    graded, summed = GradedSpikes(trace), StepMaps(trace, (1, 1, 1))
    for t, carried in enumerate((16, 24, 28)):
        assert graded.step(t, fired).item() == summed.step(t, fired).item() == carried
