"""The event-driven kernels against hand-worked numbers and against plain NumPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.event.kernels import _products as products
from spikesam.backends.event.kernels import attention, neurons, steps, synapses
from spikesam.backends.event.kernels._tiles import HOW
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.event.kernels.synapses import (
    ADDITIONS,
    BLOCKS,
    WeightLayout,
    lay_out,
    room_for,
)
from spikesam.backends.network import LIF, Attention, Conv, FixedLIF, Identity, Input, Layer, pair
from spikesam.backends.network.step import current_of
from spikesam.common.errors import InputError

attend, step, update, add_spikes = map(
    entry, (attention.attend, neurons.step, steps.update, synapses.add_spikes)
)
multiply_spikes, correlate = map(entry, (products.multiply_spikes, synapses.correlate))
PLAIN = (1, 1), (1, 1), (0, 0)  # pool, stride, padding


def currents(
    spikes: NDArray[np.bool_], layout: WeightLayout, shape: tuple[int, ...]
) -> NDArray[Any]:
    """(OH, OW, O) current of (C, H, W) spikes, by every kernel; what was in the memory before must
    not matter.
    """
    fixed = layout.weights.dtype == np.uint8
    room = room_for(layout, spikes.shape)
    spikes = np.ascontiguousarray(spikes.transpose(1, 2, 0))
    added, chosen, multiplied = (
        np.full(shape, 77, np.int32 if fixed else np.float32) for _ in range(3)
    )
    add_spikes(spikes, layout, room, added)
    correlate(spikes, layout, room, chosen)
    assert np.array_equal(chosen, added)
    if len(layout.products.weights):
        room.products.sums[:] = 77
        sides = layout.pool, layout.stride, layout.padding
        multiply_spikes(spikes, layout.products, *sides, room.products, multiplied)
        assert np.array_equal(multiplied, added)
    return added


@pytest.mark.parametrize("weight", [-127, 127])
@pytest.mark.parametrize("fired", [ADDITIONS - 1, ADDITIONS, ADDITIONS + 1, 3 * ADDITIONS, 2000])
@pytest.mark.parametrize("outputs", [1, *BLOCKS, max(BLOCKS) + 1])
def test_partial_sums_never_overflow(weight: int, fired: int, outputs: int) -> None:
    spikes = np.zeros((4001, 1, 1), np.bool_)
    spikes[:fired] = True
    synapses = lay_out(np.full((outputs, 4001, 1, 1), weight, np.int8), spikes.shape, *PLAIN)
    assert (currents(spikes, synapses, (1, 1, outputs)) == weight * fired).all()


@pytest.mark.skipif(HOW is None, reason="this CPU multiplies no bytes")
@pytest.mark.parametrize("pool", [1, 2, 5, 11, 15])
def test_products_of_the_largest_counts_and_weights(pool: int) -> None:
    kernel = np.full((3, 1030, 1, 1), 127, np.int8)
    kernel[1] = -128
    spikes = np.ones((1030, 2 * pool, pool), np.bool_)
    synapses = lay_out(kernel, spikes.shape, (pool, pool), *PLAIN[1:])
    if not len(synapses.products.weights):
        assert pool > 11  # then an int16 does not hold two products
        return
    current = np.empty((2, 1, 3), np.int32)
    room = room_for(synapses, spikes.shape).products
    spikes = np.ascontiguousarray(spikes.transpose(1, 2, 0))
    multiply_spikes(spikes, synapses.products, (pool, pool), *PLAIN[1:], room, current)
    assert current.tolist() == 2 * [[[1030 * pool**2 * weight for weight in (127, -128, 127)]]]


def test_a_pooling_whose_counts_are_no_bytes_is_not_multiplied() -> None:
    assert not len(
        lay_out(np.ones((1, 1, 1, 1), np.int8), (1, 16, 16), (16, 16), *PLAIN[1:]).products.weights
    )


def test_rows_farther_apart_than_their_numbers_reach_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"^event: weights for a row of 1×268435457 neurons span 4,294,967,312 bytes, at",
    ):
        lay_out(np.ones((1, 1, 1, 1), np.int8), (1, 1, (1 << 28) + 1), (1, 1), *PLAIN[1:])


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Input, NDArray[np.bool_]]:
    """Float synapses of integer weights, so that its currents are exact,
    and the spikes before it.
    """
    pool, stride, padding = (
        draw(st.tuples(st.integers(*limits), st.integers(*limits)))
        for limits in ((1, 4), (1, 3), (0, 3))
    )
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    height = draw(st.integers(max(1, rows - 2 * padding[0]), 7))
    width = draw(st.integers(max(1, columns - 2 * padding[1]), 13))
    channels, outputs = (
        draw(st.sampled_from((1, 2, 3, 65))),
        draw(st.sampled_from((1, 4, 16, 20, 32, 63, 64, 130))),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = rng.integers(-127, 128, (outputs, channels, rows, columns)).astype(np.float32)
    density = draw(st.sampled_from((0.0, 0.02, 0.1, 0.5, 0.9, 1.0)))
    spikes = rng.random((channels, height * pool[0], width * pool[1])) < density
    return Input(Conv(weight, pool=pool, stride=stride, padding=padding)), spikes


@given(convolutions(), st.sampled_from((np.int8, np.float32)))
@settings(max_examples=200)
def test_currents_are_correlation_after_sum_pooling(
    drawn: tuple[Input, NDArray[np.bool_]], dtype: Any
) -> None:
    given, spikes = drawn
    expected = (current_of(given, spikes) * given.synapse.summed).transpose(1, 2, 0)
    sides = map(pair, (given.synapse.pool, given.synapse.stride, given.synapse.padding))
    synapses = lay_out(given.weight.astype(dtype), spikes.shape, *sides)
    assert np.array_equal(currents(spikes, synapses, expected.shape), np.rint(expected))


@pytest.mark.parametrize(
    ("positions", "channels", "spare"), [(12, 16, 0), (12, 16, 3), (5, 3, 0), (1, 300, 1)]
)
def test_several_steps_and_positions_at_once_are_the_same(
    positions: int, channels: int, spare: int
) -> None:
    rng = np.random.default_rng(positions)
    gain, bias = (rng.integers(-900, 900, (2, channels), np.int32) for _ in range(2))
    dynamics = dynamics_of(
        FixedLIF(400, bias=bias), [Input(Identity(), gain=gain, shift=8)], largest=9000
    )
    arrived: Any = rng.integers(-9000, 9000, (4, 1, positions + spare, channels), np.int32)
    membrane: Any = rng.integers(-5000, 5000, (positions, channels), np.int32)
    expected, rows = membrane.copy(), np.zeros((4, positions, channels), np.bool_)
    for i in range(4):
        step(3 + i, dynamics.neurons, arrived[i], expected, rows[i : i + 1], 0)
    fired = np.zeros((4, positions + 6, channels), np.bool_)
    update(3, 0, dynamics, arrived, membrane, np.zeros((0, channels), np.int32), fired, 6)
    assert rows.any()
    assert np.array_equal(membrane, expected)
    assert np.array_equal(fired[:, 6:], rows)
    assert not fired[:, :6].any()


@pytest.mark.parametrize("together", [False, True])
def test_float32_rounds_to_the_nearest_again_behind_neurons(together: bool) -> None:
    """2/3 lies nearer to 0.66666669 than to 0.66666663, which lies toward zero, as they round."""
    kernel = LayerKernel(Layer("fc1", Input(np.ones((1, 1), np.int8)), FixedLIF(400)), (1, 1, 1))
    assert kernel.dynamics.neurons.narrow
    state, (spikes, fired), packed = (
        kernel.rest(),
        np.zeros((2, 4, 1, 1, 1), bool),
        np.zeros(4, "u1"),
    )
    if together:
        kernel.run(0, [spikes], state, fired, packed[:, None])
    else:
        kernel.advance(1, state, fired[0], packed[:1])
    assert (np.ones(9, np.float32) * 2 / 3).tolist() == 9 * [float.fromhex("0x1.555556p-1")]


@pytest.mark.parametrize("weight", [np.int8(1), np.float32(1)])
def test_membranes_that_do_nothing_but_decay(weight: Any) -> None:
    """Integers toward zero: of such float32 holds halves, and -8382465.9998 is -8382466 if it
    rounds to the nearest. Leaks differ by channel.
    """
    expected, decay = np.arange(-8_388_000, -8_380_000, 97), np.resize((1, 400), 83)
    fixed = isinstance(weight, np.int8)
    neuron = FixedLIF(decay) if fixed else LIF(1 - decay / 4096)
    layer = Layer("fc1", Input(np.full((83, 1), weight)), neuron)
    kernel = LayerKernel(layer, (1, 1, 1))
    state, spikes = kernel.rest(), np.zeros((4, 1, 1, 1), np.bool_)
    state.membrane[0, 0] = expected
    fired, packed = np.zeros((4, 1, 1, 83), np.bool_), np.zeros((4, 11), np.uint8)
    kernel.run(1, [spikes], state, fired, packed)
    for _ in spikes:
        decayed = expected * (4096 - decay) / 4096  # exact in float64
        expected = np.trunc(decayed) if fixed else decayed.astype(np.float32)
    assert np.array_equal(state.membrane[0, 0], expected)


@pytest.mark.parametrize(
    "rates", [(0.3, 0.02, 0.02), (1, 1, 1), (0, 0.5, 0.5)], ids=["few", "all", "no query"]
)
@pytest.mark.parametrize(
    ("heads", "depth", "sides"),
    [(2, 70, (9, 15)), (3, 1, (1, 1)), (1, 5, (8, 8)), (4, 16, (3, 2)), (1, 66, (8, 150))],
)
def test_attention_is_that_of_numpy(
    rates: tuple[float, float, float], heads: int, depth: int, sides: tuple[int, int]
) -> None:
    """Of three sources, or of one that has all channels; also where sums need more than 16 bits."""
    rng, channels = np.random.default_rng(0), heads * depth
    each = [rng.random((*sides, channels)) < rate for rate in rates]
    joined = np.concatenate(each, axis=2)
    given = Input(Attention(heads=heads))
    expected = given.synapse.currents(given, joined.transpose(2, 0, 1)).transpose(1, 2, 0)
    for dtype in (np.int32, np.float32):
        pairs, found = np.ones((depth, depth), dtype), np.ones((*sides, channels), dtype)
        attend(*each, (0, 0, 0), pairs, found)
        assert np.array_equal(found, expected)
        attend(joined[-1:], joined, joined, (0, channels, 2 * channels), pairs, found[-1:])
        assert np.array_equal(found, expected)
