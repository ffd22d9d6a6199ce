"""Conversion: thresholds and latency by hand, the ANN's logits from spikes, and what cannot be converted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import spikesam
from spikesam.backends.network import LIF, Layer, Network, Readout, ReLU
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.config import Config, ConversionSection
from spikesam.pipeline.conversion.algorithm import calibration_of, converted
from spikesam.pipeline.conversion.latency import answers_over_time, milestones, settles_at, write_curves
from spikesam.pipeline.conversion.thresholds import balanced_thresholds, largest_current, percentile_current
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, predictions
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import RasterBatch, pack
from tests.pipeline.small_networks import class_folders, small_ann, small_model

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
    network = converted(three_neurons(), PIXELS, settings)[0]
    assert thresholds(network) == pytest.approx(expected, rel=2e-3)
    assert network.encoder == encoder
    assert network.readout.weight.tolist() == [[1], [-1]]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_balanced_thresholds_of_three_neurons_by_hand(encoder):
    # z of fc1 is ±0.5 and ±1 over the two images, so θ_c = 2·0.5/2 = 0.5 and 1 after one step. fc2 gets 3·0.5 + 1 and
    # 0: θ = 2.5. A spike of fc1's first neuron is worth 0.5, so fc2's weights become 1.5 and 1; the readout's 2.5.
    network = converted(three_neurons(), PIXELS, ConversionSection(timesteps=5, rule="balanced", encoder=encoder))[0]
    assert thresholds(network) == [1, 1]
    assert [layer.inputs[0].gain.tolist() for layer in network.layers] == [[[2, 1]], [[pytest.approx(1 / 2.5)]]]
    assert network.layers[1].inputs[0].weight.tolist() == [[1.5, 1]]
    assert network.readout.weight.tolist() == [[2.5], [-2.5]]


@pytest.fixture(scope="module")
def ann() -> Network:
    torch.manual_seed(3)
    return export_network(ReluNetwork([4, "P", 6, "P4", "D8"], (3, 16, 24), 3))


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (6, 3, 16, 24)).astype(np.float32)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("rule", RULES)
def test_rates_approach_the_anns_activations(ann, noise, encoder, rule):
    settings = ConversionSection(timesteps=600, rule=rule, encoder=encoder, percentile=100)
    network = converted(ann, noise, settings)[0]
    for layer in network.layers:
        assert isinstance(layer.neuron, LIF)
        assert layer.neuron.leak == 1
        assert not layer.neuron.bias.any()
        assert rule == "balanced" or (layer.inputs[0].gain == 1).all()
    inputs = encode(network, noise, 7, range(6))
    (exact,) = TorchBackend("cpu").run(network, [inputs], 6)
    (rounded,) = TorchBackend("cpu").run(quantise(network), [inputs], 6)
    with torch.no_grad():
        logits = DifferentiableNetwork(ann)(torch.from_numpy(mean_spikes(noise)))[0].numpy()
    unit = np.prod(thresholds(network)) / settings.timesteps
    largest = np.abs(logits).max()
    np.testing.assert_allclose(exact.readout * unit, logits, atol=0.15 * largest)
    scale = quantise(network).readout.scale
    np.testing.assert_allclose(rounded.readout * scale * unit, logits, atol=0.2 * largest)


def test_converted_digits_are_as_accurate_as_the_ann():
    ann = load_checkpoint("cluttered-digits-ann", "ann")
    settings = ConversionSection(timesteps=500, rule="balanced", encoder="constant-current", calibration=16)
    network, _ = converted(ann.network, calibration_of(ann, Config(conversion=settings)), settings)
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
        converted(three_neurons((-0.5, -1.0)), np.abs(PIXELS), ConversionSection(timesteps=5, rule=rule))


def test_a_network_that_spikes_already():
    spiking = converted(three_neurons(), PIXELS, ConversionSection(timesteps=5))[0]
    with pytest.raises(InputError, match="conversion: got a spiking network, expected an ANN"):
        converted(spiking, PIXELS, ConversionSection(timesteps=5))


def test_too_little_to_convert_from():
    with pytest.raises(InputError, match="got 1 calibration images, expected at least 2"):
        converted(three_neurons(), PIXELS[:1], ConversionSection(timesteps=5))
    with pytest.raises(InputError, match=r"conversion.timesteps is 2, but 2 layers delay .* at least 3"):
        converted(three_neurons(), PIXELS, ConversionSection(timesteps=2))


CONFIG = {"conversion": {"timesteps": 9, "calibration": 3, "rule": "balanced"}}


def test_what_comes_back_is_what_was_written(tmp_path: Path) -> None:
    ann = small_ann(tmp_path / "ann.safetensors")
    for part in ("train", "val"):
        class_folders(tmp_path / "images" / part, per_class=2)
    given = {"data": str(tmp_path / "images"), "samples": 4, "device": "cpu"}
    conversion = spikesam.convert(ann, out=tmp_path / "out", config=CONFIG, **given)
    names = ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json")
    assert conversion.files == tuple(tmp_path / "out" / name for name in names)
    assert conversion.checkpoint.network.timesteps == 9
    written = spikesam.load(conversion.files[0])
    assert written.network.sha256 == conversion.checkpoint.network.sha256 == conversion.summary.network_sha256
    table = pd.read_csv(conversion.files[1]).set_index("t")
    pd.testing.assert_frame_equal(table, conversion.accuracy, atol=5e-5, check_exact=False)
    with pytest.raises(InputError, match=f"{tmp_path / 'out'}: holds files already"):
        spikesam.convert(ann, out=tmp_path / "out", config=CONFIG, **given)
    again = spikesam.convert(ann, out=tmp_path / "out", config=CONFIG, **given, overwrite=True)
    assert again.checkpoint.network.sha256 == conversion.checkpoint.network.sha256


def test_answers_by_hand():
    # Two neurons fire at t = 1 and at t = 2, 3. Class 0 gets 1 for the first, class 1 gets 1 for the second.
    layer = Layer("fc1", np.ones((2, 1), np.float32), LIF(1.0))
    network = Network((1, 1, 1), 4, (layer,), Readout(np.eye(2, dtype=np.float32)))
    spikes = np.zeros((4, 1, 2, 1, 1), bool)
    spikes[1, 0, 0] = spikes[2:, 0, 1] = True
    batch = RasterBatch({"input": pack(spikes[:, :, :1]), "fc1": pack(spikes)}, np.array([[1, 2]], np.float32))
    # After 1 step 0:0 and after 3 steps 1:1, ties that go to class 0; after all four 1:2.
    assert answers_over_time(network, batch.spikes["fc1"]).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_stopping_early_is_the_same_as_asking_earlier(steps):
    whole = quantise(export_network(small_model()))
    layers = tuple(
        Layer(
            layer.name, replace(given, gain=given.gain[:steps]), replace(layer.neuron, bias=layer.neuron.bias[:steps])
        )
        for layer in whole.layers
        for given in layer.inputs
    )
    shorter = replace(whole, timesteps=steps, layers=layers)
    planes = np.random.default_rng(0).random((8, 5, 6, 16, 24)) < 0.3
    backend = TorchBackend("cpu")
    (batch,) = backend.run(whole, [planes], 5)
    (early,) = backend.run(shorter, [planes[:steps]], 5)
    answers = answers_over_time(whole, batch.spikes[whole.raster_names[-1]])
    assert answers[:, steps - 1].tolist() == early.readout.argmax(1).tolist()


def test_curves_as_csv(tmp_path):
    curves = pd.DataFrame({"float32": [0, 0.5], "fixed": [0.25, 1 / 3]}, pd.RangeIndex(1, 3, name="t"))
    write_curves(tmp_path / "accuracy.csv", curves)
    assert (tmp_path / "accuracy.csv").read_text() == "t,float32,fixed\n1,0.0000,0.2500\n2,0.5000,0.3333\n"


def test_settles_at_the_step_after_the_last_one_below():
    curve = np.array([0.1, 0.9, 0.8, 0.9, 0.95])
    assert [settles_at(curve, level) for level in (0, 0.85, 0.9, 0.95, 0.96)] == [1, 4, 4, 5, None]


def test_milestones():
    assert list(milestones(100)) == [8, 16, 32, 64, 100]
    assert list(milestones(8)) == [8]


def test_the_largest_current_of_all_steps():
    assert largest_current([np.float32([-3.0, 0.5]), np.float32([2.25, 1.0])]) == 2.25
    assert largest_current([np.float32([-3.0, -1.0])]) < 0
    assert largest_current([]) == 0


def test_a_percentile_counts_positive_currents_only():
    # Of 1 … 100, three quarters are at most 75, however many silent neurons there are beside them.
    currents = [np.arange(1.0, 101.0, dtype=np.float32), np.zeros(1000, np.float32), np.full(500, -7.0, np.float32)]
    assert percentile_current(currents, 75) == pytest.approx(75, rel=2e-3)
    assert percentile_current(currents, 100) == pytest.approx(100, rel=2e-3)
    assert percentile_current([np.float32([-1.0, 0.0])], 99.9) == 0


@given(st.lists(st.floats(2**-20, 2**20, width=32), min_size=1, max_size=60), st.floats(1, 99), st.integers(1, 5))
def test_a_percentile_separates_that_share_to_a_bin(values, percentile, parts):
    currents = np.array(values, np.float32)
    found = percentile_current(np.array_split(currents, parts), percentile)
    assert (currents <= found).mean() >= percentile / 100 - 1e-9
    assert (currents < found / 1.002).mean() < percentile / 100 + 1e-9


def test_balancing_by_hand():
    # One channel, z = (4, -1): θ ← θ + 2·(4 - θ)/2 = 4 at once, and stays.
    # Eight of which one is 4: θ ← θ + 2·(4 - θ)/8, so what is missing to 4 shrinks by 3/4 each of 1,000 steps.
    # No positive input: the layer's largest.
    rare = torch.tensor([4.0, *[-1.0] * 7])
    always = torch.tensor([4.0, -1.0] * 4)
    assert balanced_thresholds(torch.stack([always, rare, -rare.abs()])).tolist() == pytest.approx([4, 4, 4])
    assert balanced_thresholds(torch.tensor([[-1.0, -2.0]])).tolist() == [0]


def test_balancing_stays_below_an_outlier():
    # 99,999 activations up to 1 and one of 10, which in 1,000 steps can lift θ by 2·10/100,000·1,000 = 0.2 at most.
    z = torch.cat([torch.linspace(0, 1, 99_999), torch.tensor([10.0])])[None]
    assert 0.9 < float(balanced_thresholds(z)) < 1.2
