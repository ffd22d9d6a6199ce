"""Conversion: thresholds worked out by hand, the ANN's logits from spikes, and what cannot be converted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikesam.backends.network import LIF, Layer, Network, Readout, ReLU
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.config import Config, ConversionSection
from spikesam.pipeline.conversion.algorithm import convert, convert_checkpoint
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, predictions
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.recordings.errors import InputError

ENCODERS = ("poisson", "constant-current")
RULES = ("max", "percentile", "scaled", "balanced")


def three_neurons(first: tuple[float, float] = (0.5, 1.0)) -> Network:
    """One pixel, two neurons, and one that sees both."""
    layers = (Layer("fc1", np.array(first)[:, None], ReLU()), Layer("fc2", np.array([[3.0, 1]]), ReLU()))
    return Network((1, 1, 1), 1, layers, Readout(np.array([[1.0], [-1]])), "image")


# Pixels of ±2: the first spikes, or drives with 1, at every step; the second does the same with the opposite sign.
PIXELS = np.array([2, -2], np.float32).reshape(2, 1, 1, 1)


def thresholds(network) -> list[float]:
    return [layer.neuron.threshold for layer in network.layers]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("rule", "timesteps", "expected"),
    [
        # fc1 gets currents 0.5 and 1 at every t ≥ 1, so θ = 1. The first neuron then reaches 0.5, 1, 1.5 and fires at
        # t = 3, the second reaches 1, 2 and fires from t = 2 on. With T = 4, fc2 has seen the second alone: 1. With
        # T = 5 both arrive at t = 4: 3 + 1. (The ANN's activation would be 2.5.)
        ("max", 4, [1, 1]),
        ("max", 5, [1, 4]),
        # Half of 1 is θ = 0.5. The first fires from t = 2 (at 1 > 0.5), the second from t = 1; at t = 3 both arrive.
        ("scaled", 4, [0.5, 2]),
        # Positive currents of fc1 are as often 0.5 as 1. At the median θ = 0.5, so as before, and fc2 gets 1 at t = 2,
        # 4 at t = 3, 4, …: of five (T = 7) the median is 4.
        ("percentile", 7, [0.5, 4]),
    ],
)
def test_thresholds_of_three_neurons_by_hand(encoder, rule, timesteps, expected):
    settings = ConversionSection(timesteps=timesteps, rule=rule, scale=0.5, percentile=50, encoder=encoder)
    network = convert(three_neurons(), PIXELS, settings)
    assert thresholds(network) == pytest.approx(expected, rel=2e-3)
    assert network.encoder == encoder
    assert network.readout.weight.tolist() == [[1], [-1]]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_balanced_thresholds_of_three_neurons_by_hand(encoder):
    # z of fc1 is ±0.5 and ±1 over the two images, so θ_c = 2·0.5/2 = 0.5 and 1 after one step. fc2 gets 3·0.5 + 1 and
    # 0: θ = 2.5. A spike of fc1's first neuron is worth 0.5, so fc2's weights become 1.5 and 1; the readout's 2.5.
    network = convert(three_neurons(), PIXELS, ConversionSection(timesteps=5, rule="balanced", encoder=encoder))
    assert thresholds(network) == [1, 1]
    assert [layer.inputs[0].gain.tolist() for layer in network.layers] == [[[2, 1]], [[pytest.approx(1 / 2.5)]]]
    assert network.layers[1].inputs[0].weight.tolist() == [[1.5, 1]]
    assert network.readout.weight.tolist() == [[2.5], [-2.5]]


@pytest.fixture(scope="module")
def small_ann() -> Network:
    torch.manual_seed(3)
    return export_network(ReluNetwork([4, "P", 6, "P4", "D8"], (3, 16, 24), 3))


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (6, 3, 16, 24)).astype(np.float32)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("rule", RULES)
def test_rates_approach_the_anns_activations(small_ann, noise, encoder, rule):
    settings = ConversionSection(timesteps=600, rule=rule, encoder=encoder, percentile=100)
    network = convert(small_ann, noise, settings)
    for layer in network.layers:
        assert isinstance(layer.neuron, LIF)
        assert layer.neuron.leak == 1
        assert not layer.neuron.bias.any()
        assert rule == "balanced" or (layer.inputs[0].gain == 1).all()
    inputs = encode(network, noise, 7, range(6))
    (exact,) = TorchBackend("cpu").run(network, [inputs], 6)
    (rounded,) = TorchBackend("cpu").run(quantise(network), [inputs], 6)
    with torch.no_grad():
        logits = DifferentiableNetwork(small_ann)(torch.from_numpy(mean_spikes(noise)))[0].numpy()
    unit = np.prod(thresholds(network)) / settings.timesteps
    largest = np.abs(logits).max()
    np.testing.assert_allclose(exact.readout * unit, logits, atol=0.15 * largest)
    scale = quantise(network).readout.scale
    np.testing.assert_allclose(rounded.readout * scale * unit, logits, atol=0.2 * largest)


def test_converted_digits_are_as_accurate_as_the_ann():
    ann = load_checkpoint("cluttered-digits-ann", "ann")
    settings = ConversionSection(timesteps=500, rule="balanced", encoder="constant-current", calibration=16)
    network = convert_checkpoint(ann, Config(conversion=settings)).network
    samples = choose_samples("cluttered-digits", ann, 12, seed=1)
    images = samples.images()
    labels = samples.table.label
    reference = (predictions(ann.network, [mean_spikes(images)]) == labels).mean()
    inputs = [encode(network, part, 0, range(4)) for part in np.split(images, 3)]
    chosen = np.concatenate([batch.readout.argmax(1) for batch in TorchBackend("cpu").run(network, inputs, 12)])
    assert reference > 0.8
    assert (chosen == labels).mean() >= reference - 0.02


@pytest.mark.parametrize("rule", RULES)
def test_a_dead_layer_is_named(rule):
    # Negative weights alone: on the image of -2 they excite, so both images are +2.
    with pytest.raises(InputError, match=r"layer 'fc1': nothing drives it on 2 calibration images .* train the ANN"):
        convert(three_neurons((-0.5, -1.0)), np.abs(PIXELS), ConversionSection(timesteps=5, rule=rule))


def test_a_network_that_spikes_already():
    spiking = convert(three_neurons(), PIXELS, ConversionSection(timesteps=5))
    with pytest.raises(InputError, match="conversion: got a spiking network, expected an ANN"):
        convert(spiking, PIXELS, ConversionSection(timesteps=5))


def test_too_little_to_convert_from():
    with pytest.raises(InputError, match="got 1 calibration images, expected at least 2"):
        convert(three_neurons(), PIXELS[:1], ConversionSection(timesteps=5))
    with pytest.raises(InputError, match=r"conversion.timesteps is 2, but 2 layers delay .* at least 3"):
        convert(three_neurons(), PIXELS, ConversionSection(timesteps=2))
