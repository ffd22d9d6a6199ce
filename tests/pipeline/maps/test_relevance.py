"""Relevance of spikes: by hand, what is kept of it from layer to layer, and what it depends on."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.step import on_maps
from spikesam.pipeline.maps.relevance import (
    SignedShares,
    Signs,
    logits_of,
    readout_relevance,
    relevance,
    variance_relevance,
)
from spikesam.pipeline.training.trainable import export_network
from tests.backends.graphs import FIXED, FLOAT, float_neurons, graphs
from tests.layers import with_first
from tests.pipeline.small_networks import small_model
from tests.reference import simulate_reference


def one_neuron(*weights: float, **neuron: Any) -> Network:
    """Inputs to one neuron (leak 1/2, threshold 1), which adds 2 / 4 to the logit whenever it
    fires. T = 4.
    """
    layer = Layer("fc1", [weights], LIF(0.5, **neuron))
    return Network((len(weights), 1, 1), 4, (layer,), Readout([[2.0]]), encoder="spikes")


def fired_by(network: Network, spikes: Any) -> list[Any]:
    """(T, C, H, W) of every raster, of input spikes in the same order."""
    given = np.asarray(spikes, bool).reshape(network.timesteps, 1, *network.input_shape)
    return [raster[:, 0] for raster in simulate_reference(network, given)[0]]


def of_input(network: Network, arrivals: Any, rule: Any) -> list[float]:
    """Relevance of the input's spikes, step by step."""
    return relevance(network, fired_by(network, arrivals), 0, rule)[0].ravel().tolist()


@pytest.mark.parametrize("rule", ["signed", "positive"])
def test_a_spike_of_two_arrivals_by_hand(rule: str) -> None:
    """v = 0, 0.8, 0.4 + 0.8 = 1.2: fires at t = 2. Of its relevance 1/2, 0.8 / 1.2 goes to the
    later one.
    """
    assert of_input(one_neuron(0.8), [1, 1, 0, 0], rule) == pytest.approx([1 / 6, 1 / 3, 0, 0])


def test_two_spikes_by_hand() -> None:
    """v = 0, 1.5, 0.75 - 1 + 1.5 = 1.25: fires at t = 1 and 2.

    signed: c[2] = 0.5 / 1.25 = 0.4. The reset gives -0.4 to the spike at t = 1: c[1] = (0.5 - 0.4)
    / 1.5 + 0.5 · 0.4. positive: the neuron had kept nothing at t = 2, 0.75 - 1 < 0, so each spike
    is of its own arrival alone.
    """
    assert of_input(one_neuron(1.5), [1, 1, 0, 0], "signed") == pytest.approx([0.4, 0.6, 0, 0])
    assert of_input(one_neuron(1.5), [1, 1, 0, 0], "positive") == pytest.approx([0.5, 0.5, 0, 0])


def test_the_map_of_a_layer_has_what_passes_through_its_output_by_hand() -> None:
    """Each of the two spikes above adds 1/2 to the logit; -0.4 of the reset stay in the neuron."""
    network = one_neuron(1.5)
    of_layer = relevance(network, fired_by(network, [1, 1, 0, 0]), 0, "signed")[1]
    assert of_layer.ravel() == pytest.approx([0, 0.5, 0.5, 0])


@pytest.mark.parametrize("rule", ["signed", "positive"])
def test_channels_of_delays_of_their_own_by_hand(rule: Any) -> None:
    """Three spikes meet 3, 1 and 2 steps late, v = 3 > 2.5: each has a third of 2 / 6, when it was
    fired.
    """
    layer = Layer("fc1", Input(np.ones((1, 3)), Source("input", (3, 1, 2))), LIF(0.5, 2.5))
    network = Network((3, 1, 1), 6, (layer,), Readout([[2.0]]), encoder="spikes")
    spikes = np.zeros((6, 1, 3, 1, 1), bool)
    spikes[(0, 2, 1, 4), 0, (0, 1, 2, 0)] = True  # the last arrives too late
    found, _ = relevance(
        network, [raster[:, 0] for raster in simulate_reference(network, spikes)[0]], 0, rule
    )
    assert found[(0, 2, 1), (0, 1, 2)].ravel() == pytest.approx([1 / 9] * 3)
    assert found.sum() == pytest.approx(1 / 3)


def test_reset_to_zero_and_a_synapse_that_outlasts_a_step_by_hand() -> None:
    """With reset to zero v = 0, 1.5, 1.5: each spike is of its own arrival.

    With a synaptic leak of 1/2: i = 0.8, 0.4; v = 0.8, 0.4 + 0.4 = 0.8 below 1: with 2 arrivals i =
    0.8, 1.2; v = 0.8, 0.4 + 1.2 = 1.6: 0.4 + 0.4 of it are of the first arrival, 0.8 of the second.
    """
    assert of_input(one_neuron(1.5, reset="zero"), [1, 1, 0, 0], "signed") == pytest.approx(
        [0.5, 0.5, 0, 0]
    )
    outlasting = one_neuron(0.8, synaptic_leak=0.5, threshold=1.2)
    assert of_input(outlasting, [1, 1, 0, 0], "signed") == pytest.approx([0.25, 0.25, 0, 0])
    assert of_input(outlasting, [1, 1, 0, 0], "positive") == pytest.approx([0.25, 0.25, 0, 0])


def test_evidence_against_the_class_by_hand() -> None:
    """Inputs of +2 and -0.5 make v = 1.5: "signed" gives 2 / 1.5 and -0.5 / 1.5 of 1/2, "positive"
    all to the first.
    """
    network, both = one_neuron(2, -0.5), [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert of_input(network, both, "signed") == pytest.approx([2 / 3, -1 / 6, 0, 0, 0, 0, 0, 0])
    assert of_input(network, both, "positive") == pytest.approx([0.5, 0, 0, 0, 0, 0, 0, 0])


def test_time_is_divided_by_the_current_that_inhibition_left_by_hand() -> None:
    """v = 0.9, then 0.45 kept + 0.9 - 0.3 = 1.05 fires: 0.45 / 1.05 of 1/2 go to the first arrival,
    the rest later.
    """
    found = of_input(one_neuron(0.9, -0.3), [[1, 0], [1, 1], [0, 0], [0, 0]], "positive")
    assert found == pytest.approx([0.5 * 3 / 7, 0, 0.5 * 4 / 7, 0, 0, 0, 0, 0])


def test_a_membrane_that_was_held_passes_nothing_back_by_hand() -> None:
    """-3 is held at -0.5, so v = -0.25 + 2 = 1.75 fires: "signed" gives 2 / 1.75 of 1/2 to the
    input that excites.
    """
    network, apart = one_neuron(-3, 2, min_v_mem=-0.5), [[1, 0], [0, 1], [0, 0], [0, 0]]
    assert of_input(network, apart, "signed") == pytest.approx([0, 0, 0, 4 / 7, 0, 0, 0, 0])
    assert of_input(network, apart, "positive") == pytest.approx([0, 0, 0, 0.5, 0, 0, 0, 0])


def test_what_a_bias_makes_fire_has_no_relevance_to_pass_on() -> None:
    assert of_input(one_neuron(0.8, bias=2.0), [0, 0, 0, 0], "signed") == [0, 0, 0, 0]
    assert of_input(one_neuron(0.8, bias=2.0), [0, 0, 0, 0], "positive") == [0, 0, 0, 0]


def neurons(rng: np.random.Generator, channels: int) -> LIF:
    """Any reset, leak and threshold; some membranes have a floor."""
    return replace(float_neurons(rng, channels), min_v_mem=rng.choice([None, -0.25]))


def without_biases(rng: np.random.Generator, channels: int) -> LIF:
    return replace(neurons(rng, channels), bias=0.0)


random_graphs = st.sampled_from([neurons, without_biases]).flatmap(
    lambda made: graphs(replace(FLOAT, neurons=made))
)


REAL = replace(
    FIXED,
    weights=lambda rng, *shape: rng.normal(size=shape),
    neurons=lambda rng, channels: replace(without_biases(rng, channels), min_v_mem=None),
    gain=lambda rng, shape: rng.uniform(-0.5, 2, shape),
    shifts=(0,),
    readout=lambda rng, neurons, timesteps: Readout(
        rng.normal(size=(3, neurons)), leak=float(rng.choice((1.0, 0.8)))
    ),
)


@st.composite
def chains(draw: st.DrawFn) -> Network:
    """Real numbers in networks of kernels, windows and poolings of any size, without biases and
    floors; the last currents may be summed over all places.
    """
    network = draw(graphs(REAL, chain=True))
    last = network.layers[-1]
    if last.inputs[0].synapse.kind == "conv" and draw(st.booleans()):
        last = with_first(last, current_sum=True)
        weight = network.readout.weight[:, : len(last.inputs[0].weight)]
        readout = replace(network.readout, weight=weight)
        network = replace(network, layers=(*network.layers[:-1], last), readout=readout)
    return network


@settings(max_examples=30)
@given(chains())
def test_relevance_is_kept_from_the_logit_to_the_input(network: Network) -> None:
    spikes = np.random.default_rng(0).random((network.timesteps, 1, *network.input_shape)) < 0.5
    rasters, readout = simulate_reference(network, spikes)
    fired = [raster[:, 0] for raster in rasters]
    for found in relevance(network, fired, 1, "signed"):
        assert found.sum() == pytest.approx(readout[0, 1] / network.timesteps, rel=1e-6, abs=1e-5)
    speaking = readout_relevance(network, fired[-1], 1, exciting=True).sum()
    for found, of_layer in zip(relevance(network, fired, 1, "positive"), fired, strict=True):
        assert found.sum() == pytest.approx(speaking, rel=1e-6, abs=1e-6)
        assert found.min() >= 0 and not found[~of_layer].any()


@pytest.mark.parametrize("rule", ["signed", "positive"])
def test_a_fixed_point_network_and_late_spikes(rule: Any) -> None:
    """In logits of the float network's size; nothing for spikes too late to reach the readout."""
    network = quantise(export_network(small_model()))
    fired = fired_by(network, np.random.default_rng(1).random((8, 6, 16, 24)) < 0.4)
    found = relevance(network, fired, 0, rule)
    for depth, (each, spikes) in enumerate(zip(found, fired, strict=True)):
        late = network.timesteps - (len(network.layers) - depth)
        assert spikes[late:].any() or depth == len(network.layers)
        assert each[:late].any() and not each[late:].any() and np.isfinite(each).all()
    alone = relevance(network, fired[1:], 0, rule)
    np.testing.assert_array_equal(alone[0], found[1])


@pytest.mark.parametrize("rule", ["signed", "positive"])
def test_the_largest_current_of_a_window_takes_all_by_hand(rule: Any) -> None:
    """Currents 1 2 / 2 0, then 1 0 / 0 2: v = 2, then 1 - 1 + 2 = 2, a spike each of 1/2. Of two
    maxima the first.
    """
    layer = Layer("conv1", Input(Conv([[[[1]], [[1]]]], current_pool=2)), LIF(0.5))
    network = Network((2, 2, 2), 4, (layer,), Readout([[2.0]]), encoder="spikes")
    spikes = np.zeros((4, 2, 2, 2), bool)
    spikes[0] = [[[1, 1], [1, 0]], [[0, 1], [1, 0]]]
    spikes[1] = [[[0, 0], [0, 1]], [[1, 0], [0, 1]]]
    fired = fired_by(network, spikes)
    expected = np.zeros((4, 2, 2, 2))
    expected[0, :, 0, 1] = expected[1, :, 1, 1] = 1 / 4
    np.testing.assert_allclose(relevance(network, fired, 0, rule)[0], expected)


def test_a_spike_that_is_subtracted_speaks_against_by_hand() -> None:
    """v = 1.8 at t = 1; at t = 2, 1.8 of the arrival a step before, less 0.3 of the one two steps
    before: a spike each.

    signed: of the second one's 1/2, 1.8 / 1.5 goes to the later arrival and -0.3 / 1.5 to the
    earlier.
    """
    neuron = LIF(0.0, reset="zero")
    layer = Layer("fc1", ([[1.8]], Input([[0.3]], Source("input", 2, -1))), neuron)
    network = Network((1, 1, 1), 4, (layer,), Readout([[2.0]]), encoder="spikes")
    assert fired_by(network, [1, 1, 0, 0])[1].ravel().tolist() == [False, True, True, False]
    assert of_input(network, [1, 1, 0, 0], "signed") == pytest.approx([0.4, 0.6, 0, 0])
    assert of_input(network, [1, 1, 0, 0], "positive") == pytest.approx([0.5, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("constant-current", "^relevance: layer 'fc2' gets the numbers of the input, too, which"),
        ("spikes", "relevance of some layers: layer 'fc2' reads more than the layer before"),
    ],
)
def test_numbers_and_spikes_of_the_input_that_reach_later_layers(
    encoder: str, message: str
) -> None:
    """The relevance of numbers is not known, and the rasters given are those of all layers but the
    input.
    """
    second = Layer("fc2", ([[1.0]], Input([[1.0]], Source("input", 2))), LIF(0.5))
    network = Network(
        (1, 1, 1), 4, (Layer("fc1", [[1.0]], LIF(0.5)), second), Readout([[1.0]]), encoder
    )
    with pytest.raises(NetworkError, match=message):
        relevance(network, 2 * [np.ones((4, 1, 1, 1), bool)], 0)


def test_recurrence_of_a_layer_that_numbers_drive_is_warned_of() -> None:
    """Its membranes are not known, so its spikes pass nothing back to each other."""
    first = Layer("fc1", ([[1.0]], Input([[1.0]], "fc1")), LIF(0.5))
    network = Network((1, 1, 1), 4, (first,), Readout([[1.0]]), "constant-current")
    with pytest.warns(UserWarning, match="relevance: layer 'fc1' is driven by numbers"):
        (of_spikes,) = relevance(network, [np.ones((4, 1, 1, 1), bool)], 0)
    assert of_spikes.ravel().tolist() == [0.25] * 4


@settings(max_examples=30)
@given(random_graphs, st.integers(0, 99), st.sampled_from(["signed", "positive"]))
def test_as_many_steps_at_once_as_memory_allows_give_what_single_steps_give(
    network: Network, seed: int, rule: Signs
) -> None:
    spikes = np.random.default_rng(seed).random((network.timesteps, 1, *network.input_shape)) < 0.3
    rasters, _ = simulate_reference(network, spikes)
    fired = [raster[:, 0] for raster in rasters]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikesam.pipeline.maps.relevance.MOST_AT_ONCE", 1)
        of_single_steps = relevance(network, fired, 1, rule)
    for layer, expected in zip(relevance(network, fired, 1, rule), of_single_steps, strict=True):
        np.testing.assert_allclose(layer, expected, rtol=1e-9, atol=1e-9)


class Accounting(SignedShares):
    """The rule "signed", which counts what leaves: to biases, and at membranes that stood at their
    `min_v_mem`.
    """

    to_biases = to_lowest = 0.0
    divisors: list[float]
    passed_on: Counter[str]  # by the name of the layer, to spikes that arrived and all else

    def pass_back(self, steps: range, found: Any) -> None:
        before = sum(relevance.sum() for relevance in found.values())
        super().pass_back(steps, found)
        given = sum(relevance.sum() for relevance in found.values()) - before
        Accounting.passed_on[self.name] += given

    def of_current(self, t: int, relevance: Any) -> Any:
        spiked = self.fired[t] & (relevance != 0)
        Accounting.divisors += (self.membrane[t] / on_maps(self.neuron.threshold))[spiked].tolist()
        per_current = super().of_current(t, relevance)
        bias = self.neuron.bias[(t - 1) % len(self.neuron.bias)][:, None, None]
        to_biases = float((bias * per_current).sum())
        Accounting.to_biases += to_biases
        Accounting.passed_on[self.name] += to_biases
        return per_current

    def note(self, t: int, per_membrane: Any) -> Any:
        if self.neuron.min_v_mem is not None:
            held = self.membrane[t] <= on_maps(self.neuron.min_v_mem)
            to_lowest = float((per_membrane * self.membrane[t])[held].sum())
            Accounting.to_lowest += to_lowest
            Accounting.passed_on[self.name] += to_lowest
        return super().note(t, per_membrane)


@settings(max_examples=40)
@given(random_graphs, st.integers(0, 99))
def test_what_does_not_reach_the_input_went_to_biases_and_to_the_lowest_membranes(
    network: Network, seed: int
) -> None:
    """Over resets by subtraction, to zero and none, leaks, BNTT, sums of inputs and loops; no
    divisor is below θ. Of every layer, the relevance of its spikes is all passed on.
    """
    steps = network.timesteps
    spikes = np.random.default_rng(seed).random((steps, 1, *network.input_shape)) < 0.6
    rasters, readout = simulate_reference(network, spikes)
    fired = [raster[:, 0] for raster in rasters]
    Accounting.to_biases = Accounting.to_lowest = 0.0
    Accounting.divisors, Accounting.passed_on = [], Counter()
    found = relevance(network, fired, 1, Accounting)
    terms = readout_relevance(network, fired[-1], 1).sum()
    logits = logits_of(network, fired[-1])
    np.testing.assert_allclose(logits, readout[0] / steps, rtol=1e-5, atol=1e-5)
    left = found[0].sum() + Accounting.to_biases + Accounting.to_lowest
    size = max(1, np.abs(found[0]).sum(), abs(Accounting.to_biases), abs(Accounting.to_lowest))
    assert left == pytest.approx(terms, abs=1e-9 * size)
    for name, of_layer in zip(network.names, found, strict=True):
        if name != "input":
            size = max(size, np.abs(of_layer).sum())
            assert of_layer.sum() == pytest.approx(Accounting.passed_on[name], abs=1e-9 * size)
    assert min(Accounting.divisors, default=1) > 1 - 1e-5
    positive, speaking = (
        relevance(network, fired, 1, "positive"),
        readout_relevance(network, fired[-1], 1, exciting=True).sum(),
    )
    assert all(
        each.min() >= 0 and not each[~raster].any()
        for each, raster in zip(positive, fired, strict=True)
    )
    assert positive[0].sum() <= speaking * (1 + 1e-6)
    if not any(layer.neuron.bias.any() for layer in network.layers):
        assert positive[0].sum() == pytest.approx(speaking, rel=1e-6)


def test_gates_and_attention_share_equally_by_hand() -> None:
    """A spike of a AND b is worth half of each; one of q · k · v a third; one of (NOT a) AND b is
    all b's.
    """
    gate = LIF(0.0, 1.5, reset="zero")
    layers = (
        Layer("and", (Input(Identity(), "input"), Input(Identity(), Source("input", 2))), gate),
        Layer(
            "but",
            (Input(Identity(), Source("input", 4), -1), Input(Identity(), "and")),
            LIF(0.0, 0.5, reset="zero"),
        ),
        Layer(
            "attended",
            Input(Attention(heads=1), ("but", Source("and", 2), Source("but", 1)), 2.0),
            gate,
        ),
    )
    network = Network((1, 1, 1), 8, layers, Readout([[8 * 12.0]]), encoder="spikes")
    fired = fired_by(network, [1, 1, 0, 0, 0, 0, 0, 0])
    assert [np.flatnonzero(each).tolist() for each in fired] == [[0, 1], [2], [3], [4]]
    for rule in ("signed", "positive"):
        found = [
            each.ravel()[np.flatnonzero(each)].tolist()
            for each in relevance(network, fired, 0, rule)
        ]
        assert found == [
            [6, 6],
            [12],
            [8],
            [12],
        ]  # of the gate's own third and the two that pass through "but"


@settings(max_examples=20)
@given(chains(), st.sampled_from(["signed", "positive"]))
def test_relevance_is_linear_in_what_is_explained(network: Network, rule: Any) -> None:
    """Of a sum of logits it is the sum of theirs, by the signed rule; so that of their variance
    adds up to it.
    """
    fired = fired_by(
        network, np.random.default_rng(2).random((network.timesteps, *network.input_shape)) < 0.5
    )
    of_all = relevance(network, fired, np.array([1.0, -2.0, 0.5]))
    each = [relevance(network, fired, target) for target in range(3)]
    for summed, *parts in zip(of_all, *each, strict=True):
        expected = parts[0] - 2 * parts[1] + 0.5 * parts[2]
        np.testing.assert_allclose(summed, expected, atol=1e-9 * max(1, np.abs(parts).max()))
    for found in variance_relevance(network, fired):
        assert found.sum() == pytest.approx(
            np.var(logits_of(network, fired[-1])), rel=1e-6, abs=1e-6
        )
    one = np.array([0.0, 1.0, 0.0])
    as_class, as_weights = (relevance(network, fired, target, rule) for target in (1, one))
    for first, second in zip(as_class, as_weights, strict=True):
        np.testing.assert_allclose(first, second)


def test_relevance_of_the_variance_by_hand() -> None:
    """Two neurons fire once each, T = 4. The first adds 2/4 and 1/4 to the logits, the second 0 and
    1: z = 1/2, 5/4.

    Their mean is 7/8, so they count -3/16 and 3/16: the first spike gets (-3/16)(2/4) +
    (3/16)(1/4), the second 3/16. Together 9/64, the variance. Each neuron's spike is of its own
    arrival.
    """
    layer = Layer("fc1", [[2, 0], [0, 3]], LIF(0.0))
    network = Network((2, 1, 1), 4, (layer,), Readout([[2.0, 0.0], [1.0, 4.0]]), encoder="spikes")
    fired = fired_by(network, [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert fired[1].sum() == 2 and fired[1][1, 0] and fired[1][2, 1]
    np.testing.assert_allclose(logits_of(network, fired[1]), [1 / 2, 5 / 4])
    found = variance_relevance(network, fired)
    np.testing.assert_allclose(found[0].reshape(4, 2), [[-3 / 64, 0], [0, 3 / 16], [0, 0], [0, 0]])
    np.testing.assert_allclose(found[1].reshape(4, 2), [[0, 0], [-3 / 64, 0], [0, 3 / 16], [0, 0]])
