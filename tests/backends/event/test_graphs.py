"""What is the event backend's own where layers read several others; what backends share is in
../test_contract.py.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.event.backend import EventBackend
from spikesam.backends.event.kernels._costs import ALWAYS, NEVER
from spikesam.backends.event.kernels._products import Costs
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.network import LIF, Conv, FixedLIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.batch import joined
from tests.backends.graphs import graphs


def test_sources_are_added_and_subtracted_and_currents_pooled_by_hand() -> None:
    """One pixel row of four, weight 2: sources 1 1 0 0, and 0 1 0 0 subtracted, give 2 0 0 0, of
    which 2 0 are left.
    """
    source = (Source("one"), Source("other", sign=-1))
    layer = Layer(
        "conv", Input(Conv(np.full((1, 1, 1, 1), 2, np.int8), current_pool=2), source), FixedLIF(0)
    )
    kernel = LayerKernel(layer, (1, 2, 4))
    one, other = np.zeros((2, 2, 4, 1), np.bool_)
    one[:, :2] = other[:, 1] = True
    state = kernel.rest()
    for _ in range(2):  # what was there before does not matter
        kernel.add([one, other], state)
        assert state.current.ravel().tolist() == [2, 0]
    kernel.add([None, None], state)
    assert state.current.ravel().tolist() == [2, 0]


@st.composite
def windows(draw: st.DrawFn) -> tuple[Layer, list[NDArray[np.bool_]]]:
    """A layer of one to three sources, and their (S, H, W, C) spikes, which come and whose bias
    acts in some steps.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    (channels, outputs), side, kernel = (
        rng.choice((1, 5, 64, 70), 2),
        draw(st.integers(3, 8)),
        draw(st.integers(1, 3)),
    )
    steps, begin, last = (
        draw(st.integers(1, 40)),
        draw(st.integers(0, 20)),
        draw(st.integers(0, 40)),
    )
    acts = (np.arange(steps) >= begin) & (np.arange(steps) <= last)
    biased = rng.random(outputs) < draw(st.sampled_from((0.1, 1.0)))  # channels
    weight = rng.integers(-127, 128, (outputs, channels, kernel, kernel)).astype(np.int8)
    gain, bias = (
        rng.integers(-3000, 3000, (1, outputs), np.int32),
        rng.integers(-2000, 4000, (steps, outputs), np.int32) * (acts[:, None] & biased),
    )
    reset, least = draw(st.sampled_from(("zero", "subtract"))), draw(st.sampled_from((None, -100)))
    decay = draw(st.sampled_from((0, 400, 4096, rng.choice((0, 400, 4096), outputs))))
    neuron: Any = FixedLIF(decay, bias=bias, reset=reset)
    of_input: dict[str, Any] = {"gain": gain, "shift": 10}
    if draw(st.booleans()):
        weight, of_input = weight.astype(np.float32), {"gain": gain.astype(np.float32) / 2**20}
        neuron = LIF(1 - decay / 4096, bias=bias.astype(np.float32) / 4096, reset=reset)
    elif least is not None:
        neuron = replace(neuron, min_v_mem=least)
    names = ("a", "b", "c")[: draw(st.integers(1, 3))]
    density = draw(st.sampled_from((0.02, 0.3, 0.9)))
    fires = (acts & (rng.random(steps) < 0.8))[:, None, None, None]
    spikes = [(rng.random((steps, side, side, channels)) < density) & fires for _ in names]
    source = tuple(map(Source, names))
    synapse = Conv(weight, padding=draw(st.integers(0, 1)))
    return Layer("layer", Input(synapse, source, **of_input), neuron), spikes


@given(windows(), st.integers(0, 2), st.sampled_from((ALWAYS, NEVER, None)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_steps_together_are_steps_one_by_one(
    drawn: tuple[Layer, list[NDArray[np.bool_]]], start: int, costs: Costs | None, before: bool
) -> None:
    """Whatever was in the memory of spikes before."""
    layer, spikes = drawn
    kernel = LayerKernel(layer, spikes[0].transpose(0, 3, 1, 2).shape[1:], costs=costs)
    steps, found = len(spikes[0]), []
    for together in (True, False):
        state, rng = kernel.rest(), np.random.default_rng(1)
        state.current[:], state.membrane[:] = rng.integers(-900, 900, (2, *kernel.output_shape)) * (
            start > 0
        )
        fired = np.full((steps, *kernel.output_shape), before)
        packed = np.full((steps, -(-fired[0].size // 8)), 255, np.uint8)
        if together:
            kernel.run(start, spikes, state, fired, packed)
        for i in range(0 if together else steps):
            kernel.advance(start + i, state, fired[i], packed[i])
            kernel.add([each[i] for each in spikes], state)
        found.append((fired, packed, state.membrane, state.current))
    assert all(map(np.array_equal, *found))


@given(windows(), st.integers(2, 4), st.sampled_from((ALWAYS, NEVER)))
@settings(max_examples=40, deadline=None)
def test_parts_of_several_sources_are_the_whole(
    drawn: tuple[Layer, list[NDArray[np.bool_]]], most: int, costs: Costs
) -> None:
    layer, spikes = drawn
    whole = LayerKernel(layer, spikes[0].transpose(0, 3, 1, 2).shape[1:], costs=costs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
        parts = whole.parts(most)
    fired = np.ones((2, len(spikes[0]), *whole.output_shape), np.bool_)
    packed = np.zeros((len(spikes[0]), -(-fired[0, 0].size // 8)), np.uint8)
    whole.run(0, spikes, whole.rest(), fired[0], packed)
    for part in parts:
        part.run(0, spikes, part.rest(), fired[1], packed)
    assert np.array_equal(*fired)


@given(graphs(), st.integers(2, 4))
@settings(max_examples=15)
def test_threads_change_nothing(network: Network, threads: int) -> None:
    rng = np.random.default_rng(2)
    spikes = rng.random((network.timesteps, 3, *network.input_shape)) < 0.3
    alone = joined(list(EventBackend(1).run(network, [spikes], 3)))
    backend = EventBackend(threads)
    together = joined(list(backend.run(network, [spikes], 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
        shared = joined(
            [
                batch
                for one in range(3)
                for batch in backend.run(network, [spikes[:, one : one + 1]], 1)
            ]
        )
    for found in (together, shared):
        assert all(
            np.array_equal(alone.spikes[name], found.spikes[name]) for name in network.raster_names
        )
        assert np.array_equal(alone.readout, found.readout)


def test_a_constant_current_beside_recurrent_weights_by_hand() -> None:
    """The current 1 is driven at every step after the first; from its own spikes, two steps later,
    comes -1.
    """
    more = (Input(np.float32([[-1]]), Source("rec", 2)),)
    layer = Layer("rec", (np.float32([[1]]), *more), LIF(1.0, fires_at_threshold=True))
    network = Network((1, 1, 1), 7, (layer,), Readout(np.float32([[1]])), "constant-current")
    (batch,) = EventBackend().run(network, [np.full((1, 1, 1, 1), 127, np.int8)], 1)
    # v = 1 at t = 1, and 1 - 1 + 1 = 1 at t = 2. The spike of t = 1 arrives at t = 3: v = 1 - 1 + 1
    # - 1 = 0; that of t = 2 at t = 4: v = 0 + 1 - 1 = 0; then nothing arrives: 1, 1.
    assert np.unpackbits(batch.spikes["rec"][0], axis=1)[:, 0].tolist() == [0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("bias", [3, 2**23])  # the current of several inputs would be limited
def test_joined_relays_are_several_inputs(bias: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a concatenation, one of them of several sources, the others of some channels."""
    rng, layers, steps = (
        np.random.default_rng(2),
        [Layer("one", Input(np.eye(6)[:, :, None, None]), LIF(0.0, 0.5))],
        6,
    )
    for first, count, sources in (
        (0, 4, [Source("one"), Source("input", 2)]),
        (5, 2, [Source("one", sign=-1)]),
    ):
        weight = np.zeros((8, 6, 1, 1), np.float32)
        weight[np.arange(first, first + count), np.arange(count) + first // 4] = (
            rng.random((count, 1, 1)) + 0.5
        )
        layers.append(Input(weight, sources, rng.random((steps, 8)) + 0.5))
    first, *parts = layers
    joined = Layer("joined", tuple(parts), LIF(0.5, bias=rng.random((steps, 8)) / 4))
    real = Network(
        (6, 3, 5), steps, (first, joined), Readout(np.ones((2, 120), np.float32)), "spikes"
    )
    fixed = quantise(real)
    limited = replace(fixed.layers[1], neuron=replace(fixed.layers[1].neuron, bias=np.int32(bias)))
    spikes = rng.random((steps, 1, 6, 3, 5)) < 0.4
    for network in (real, fixed, replace(fixed, layers=(fixed.layers[0], limited))):
        kernel = LayerKernel(network.layers[1], network.shapes[1], network.shapes[1])
        assert (kernel.joined is None) == (network.layers[1] is limited and bias > 3)
        with monkeypatch.context() as patch:
            [one] = EventBackend(1).run(network, [spikes], 1)
            patch.setattr("spikesam.backends.event.kernels.layer.joined_gains", lambda *_: None)
            [other] = EventBackend(1).run(network, [spikes], 1)
        assert one.spikes["joined"].any()
        assert np.array_equal(one.spikes["joined"], other.spikes["joined"])
