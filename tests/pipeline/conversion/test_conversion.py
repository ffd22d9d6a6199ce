"""Conversion: thresholds, latency and traces by hand, rates that approach activations, and what is
refused.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import spikesam
from spikesam.backends.network import LIF, Identity, Input, Layer, Network, Readout, ReLU, Source
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.common.errors import InputError
from spikesam.pipeline.config import ConversionSection
from spikesam.pipeline.conversion._layer_errors import CAUSES, answers_in_levels
from spikesam.pipeline.conversion._spiking import spiking_network
from spikesam.pipeline.conversion._thresholds import (
    Rectifiers,
    balanced_thresholds,
    percentile_current,
)
from spikesam.pipeline.conversion.algorithm import convert_graph, converted
from spikesam.pipeline.conversion.conversion import answers_over_time, milestones, settles_at
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.training.trainable import ReluNetwork, export_network
from spikesam.recordings.raster.batch import RasterBatch, pack, unpack
from tests.pipeline.small_networks import class_folders, small_ann

ENCODERS = ("poisson", "constant-current")
RULES = ("max", "percentile", "scaled", "balanced")


def three_neurons(first: tuple[float, float] = (0.5, 1.0)) -> Network:
    """One pixel, two neurons, and one that sees both."""
    layers = (
        Layer("fc1", np.array(first)[:, None], ReLU()),
        Layer("fc2", np.array([[3.0, 1]]), ReLU()),
    )
    return Network((1, 1, 1), 1, layers, Readout(np.array([[1.0], [-1]])), "image")


# Pixels of ±2: the first spikes, or drives with 1, at every step; the second does the same with the
# opposite sign.
PIXELS = np.array([2, -2], np.float32).reshape(2, 1, 1, 1)


def thresholds(network) -> list[float]:
    return [layer.neuron.threshold for layer in network.layers]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("rule", "timesteps", "expected"),
    [
        # fc1 gets currents 0.5 and 1 at every t ≥ 1, so θ = 1. The first neuron then reaches 0.5,
        # 1, 1.5 and fires at t = 3, the second reaches 1, 2 and fires from t = 2 on. With T = 4,
        # fc2 has seen the second alone: 1. With T = 5 both arrive at t = 4: 3 + 1. (The ANN's
        # activation would be 2.5.)
        ("max", 4, [1, 1]),
        ("max", 5, [1, 4]),
        # Half of 1 is θ = 0.5. The first fires from t = 2 (at 1 > 0.5), the second from t = 1; at t
        # = 3 both arrive.
        ("scaled", 4, [0.5, 2]),
        # Positive currents of fc1 are as often 0.5 as 1. At the median θ = 0.5, so as before, and
        # fc2 gets 1 at t = 2, 4 at t = 3, 4, …: of five (T = 7) the median is 4.
        ("percentile", 7, [0.5, 4]),
    ],
)
def test_thresholds_of_three_neurons_by_hand(encoder, rule, timesteps, expected):
    settings = ConversionSection(
        timesteps=timesteps, rule=rule, scale=0.5, percentile=50, encoder=encoder
    )
    network = converted(three_neurons(), PIXELS, settings)[0]
    assert thresholds(network) == pytest.approx(expected, rel=2e-3)
    assert network.encoder == encoder
    assert network.readout.weight.tolist() == [[1], [-1]]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_balanced_thresholds_of_three_neurons_by_hand(encoder):
    # z of fc1 is ±0.5 and ±1 over the two images, so θ_c = 2·0.5/2 = 0.5 and 1 after one step. fc2
    # gets 3·0.5 + 1 and 0: θ = 2.5. A spike of fc1's first neuron is worth 0.5, so fc2's weights
    # become 1.5 and 1; the readout's 2.5.
    network = converted(
        three_neurons(), PIXELS, ConversionSection(timesteps=5, rule="balanced", encoder=encoder)
    )[0]
    assert thresholds(network) == [1, 1]
    assert [layer.inputs[0].gain.tolist() for layer in network.layers] == [
        [[2, 1]],
        [[pytest.approx(1 / 2.5)]],
    ]
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


@pytest.mark.parametrize("rule", RULES)
def test_a_dead_layer_is_named(rule):
    # Negative weights alone: on the image of -2 they excite, so both images are +2.
    with pytest.raises(
        InputError, match=r"layer 'fc1': nothing drives it on 2 calibration images .* train the ANN"
    ):
        converted(
            three_neurons((-0.5, -1.0)), np.abs(PIXELS), ConversionSection(timesteps=5, rule=rule)
        )


def test_what_cannot_be_converted():
    spiking = converted(three_neurons(), PIXELS, ConversionSection(timesteps=5))[0]
    with pytest.raises(InputError, match="conversion: got a spiking network, expected an ANN"):
        converted(spiking, PIXELS, ConversionSection(timesteps=5))
    with pytest.raises(InputError, match="got 1 calibration images, expected at least 2"):
        converted(three_neurons(), PIXELS[:1], ConversionSection(timesteps=5))
    with pytest.raises(
        InputError, match=r"conversion.timesteps is 2, but 2 layers delay .* at least 3"
    ):
        converted(three_neurons(), PIXELS, ConversionSection(timesteps=2))


def test_what_comes_back_is_what_was_written(tmp_path: Path) -> None:
    ann = small_ann(tmp_path / "ann.safetensors")
    for part in ("train", "val"):
        class_folders(tmp_path / "images" / part, per_class=2)
    settings = {
        "conversion": {"ann": str(ann), "timesteps": 9, "calibration": 3, "rule": "balanced"},
        "data": {"source": str(tmp_path / "images")},
    }
    given = {"out": tmp_path / "out", "samples": 4, "device": "cpu"}
    conversion = spikesam.convert_checkpoint(settings, **given)
    names = ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json")
    assert conversion.files == tuple(tmp_path / "out" / name for name in names)
    assert conversion.checkpoint.network.timesteps == 9
    written = spikesam.load(conversion.files[0])
    assert (
        written.network.sha256
        == conversion.checkpoint.network.sha256
        == conversion.summary.network_sha256
    )
    table = pd.read_csv(conversion.files[1]).set_index("t")
    pd.testing.assert_frame_equal(table, conversion.accuracy, atol=5e-5, check_exact=False)
    with pytest.raises(InputError, match=f"{tmp_path / 'out'}: holds files already"):
        spikesam.convert_checkpoint(settings, **given)
    again = spikesam.convert_checkpoint(settings, **given, overwrite=True)
    assert again.checkpoint.network.sha256 == conversion.checkpoint.network.sha256


def test_answers_by_hand():
    # Two neurons fire at t = 1 and at t = 2, 3. Class 0 gets 1 for the first, class 1 gets 1 for
    # the second.
    layer = Layer("fc1", np.ones((2, 1), np.float32), LIF(1.0))
    network = Network((1, 1, 1), 4, (layer,), Readout(np.eye(2, dtype=np.float32)))
    spikes = np.zeros((4, 1, 2, 1, 1), bool)
    spikes[1, 0, 0] = spikes[2:, 0, 1] = True
    batch = RasterBatch(
        {"input": pack(spikes[:, :, :1]), "fc1": pack(spikes)}, np.array([[1, 2]], np.float32)
    )
    # After 1 step 0:0 and after 3 steps 1:1, ties that go to class 0; after all four 1:2.
    assert answers_over_time(network, batch.spikes["fc1"]).tolist() == [[0, 0, 0, 1]]


def test_settles_at_the_step_after_the_last_one_below():
    curve = np.array([0.1, 0.9, 0.8, 0.9, 0.95])
    assert [settles_at(curve, level) for level in (0, 0.85, 0.9, 0.95, 0.96)] == [1, 4, 4, 5, None]


def test_milestones():
    assert list(milestones(100)) == [8, 16, 32, 64, 100]
    assert list(milestones(8)) == [8]


def test_a_percentile_counts_positive_currents_only():
    # Of 1 … 100, three quarters are at most 75, however many silent neurons there are beside them.
    currents = [
        np.arange(1.0, 101.0, dtype=np.float32),
        np.zeros(1000, np.float32),
        np.full(500, -7.0, np.float32),
    ]
    assert percentile_current(currents, 75) == pytest.approx(75, rel=2e-3)
    assert percentile_current(currents, 100) == pytest.approx(100, rel=2e-3)
    assert percentile_current([np.float32([-1.0, 0.0])], 99.9) == 0


@given(
    st.lists(st.floats(2**-20, 2**20, width=32), min_size=1, max_size=60),
    st.floats(1, 99),
    st.integers(1, 5),
)
def test_a_percentile_separates_that_share_to_a_bin(values, percentile, parts):
    currents = np.array(values, np.float32)
    found = percentile_current(np.array_split(currents, parts), percentile)
    assert (currents <= found).mean() >= percentile / 100 - 1e-9
    assert (currents < found / 1.002).mean() < percentile / 100 + 1e-9


def test_balancing_by_hand():
    # One channel, z = (4, -1): θ ← θ + 2·(4 - θ)/2 = 4 at once, and stays.
    # Eight of which one is 4: θ ← θ + 2·(4 - θ)/8, so what is missing to 4 shrinks by 3/4 each of
    # 1,000 steps. No positive input: the layer's largest.
    rare = torch.tensor([4.0, *[-1.0] * 7])
    always = torch.tensor([4.0, -1.0] * 4)
    assert balanced_thresholds(torch.stack([always, rare, -rare.abs()])).tolist() == pytest.approx(
        [4, 4, 4]
    )
    assert balanced_thresholds(torch.tensor([[-1.0, -2.0]])).tolist() == [0]


def test_balancing_stays_below_an_outlier():
    # 99,999 activations up to 1 and one of 10, which in 1,000 steps can lift θ by
    # 2·10/100,000·1,000 = 0.2 at most.
    z = torch.cat([torch.linspace(0, 1, 99_999), torch.tensor([10.0])])[None]
    assert 0.9 < float(balanced_thresholds(z)) < 1.2


def fired(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """(T, N, neurons) bool of each layer, in the T steps of its window."""
    (batch,) = TorchBackend("cpu").run(
        network, [encode(network, images, 0, range(len(images)))], len(images)
    )
    found = {}
    for layer in network.layers:
        shape = network.shapes[network.place(layer.name)]
        spikes = unpack(batch.spikes[layer.name], shape)
        end = network.timesteps - network.to_readout[layer.name]
        inside = slice(end - network.window, end)
        assert spikes.sum() == spikes[inside].sum()  # silent before and behind the window
        found[layer.name] = spikes[inside].reshape(network.window, len(images), -1)
    return found


def one_pixel(*layers: Layer) -> Network:
    """A network that sees one pixel, of ±1."""
    return Network((1, 1, 1), 1, layers, Readout(np.ones((1, 1), np.float32)), "image", 1.0)


def dense(
    name: str, weight: float, source: object = (), bias: float = 0.0, limit: float | None = None
) -> Layer:
    return Layer(name, Input(np.full((1, 1), weight, np.float32), source), ReLU(bias, limit))


def test_a_sum_of_branches_by_hand():
    # x = 1, so a = ReLU(0.5 + 0.25) = 0.75; b = ReLU(2a - 0.5) = 1; c = ReLU(b - a + x/4) = 0.5.
    # With θ of 1, 2 and 1:
    ann = one_pixel(
        dense("a", 0.5, bias=0.25),
        dense("b", 2.0, "a", bias=-0.5),
        Layer(
            "c",
            [
                Input(np.ones((1, 1)), (Source("b"), Source("a", sign=-1))),
                Input(np.full((1, 1), 0.25), "input"),
            ],
            ReLU(),
        ),
    )
    network = spiking_network(ann, {"a": np.ones(1), "b": np.full(1, 2.0), "c": np.ones(1)}, 8)
    spikes = {
        name: bits.ravel().astype(int).tolist()
        for name, bits in fired(network, np.ones((1, 1, 1, 1))).items()
    }
    # a starts at 1/2 and gets 3/4 a step: 1.25 fires (0.25), 1.0 is no more than 1, 1.75 (0.75),
    # 1.5 (0.5), 1.25, …
    assert spikes["a"] == [1, 0, 1, 1, 1, 0, 1, 1]
    # b, in units of 2, starts at 1/2 and gets 2·1/2 with a spike of a, and -1/4: 1.25, 0, 0.75,
    # 1.5, 1.25, 0, 0.75, 1.5
    assert spikes["b"] == [1, 0, 0, 1, 1, 0, 0, 1]
    # c starts at 1/2 and gets 2 for b, -1 for a, and 1/4: 1.75, 1, 0.25, 1.5, 1.75, 1, 0.25, 1.5
    assert spikes["c"] == [1, 0, 0, 1, 1, 0, 0, 1]
    assert network.window == 8 and network.timesteps == 11


@settings(deadline=None, max_examples=30)
@given(st.floats(-2, 2), st.floats(-1, 1), st.floats(0.2, 2), st.integers(1, 40), st.integers(1, 5))
def test_a_rate_is_the_rounded_and_clipped_activation(weight, bias, threshold, timesteps, spikes):
    ann = one_pixel(dense("a", weight, bias=bias, limit=1.5))
    network = spiking_network(ann, {"a": np.full(1, threshold)}, timesteps, spikes=spikes)
    rate = fired(network, np.ones((1, 1, 1, 1)))["a"].sum(-1).mean()
    z = np.float32(weight) + bias
    assert abs(rate - np.clip(z / threshold, 0, spikes)) <= 0.5 / timesteps + 1e-5


def test_several_spikes_a_step_by_hand():
    # x = 1, a = ReLU(0.75) and b = ReLU(2a - 0.25 + a): with θ of 1/2 and 1, 2 spikes a step
    second = Layer("b", [Input(np.full((1, 1), 2.0), "a"), Input(Identity(), "a")], ReLU(-0.25))
    ann = one_pixel(dense("a", 0.75), second)
    network = spiking_network(ann, {"a": np.full(1, 0.5), "b": np.ones(1)}, 6, spikes=2)
    spikes = {
        name: bits[:, 0].astype(int).tolist()
        for name, bits in fired(network, np.ones((1, 1, 1, 1))).items()
    }
    # a, in units of 1/2, starts at 1/2 and gets 1.5 a step: 2 is more than 1 (leaves 1), 2.5 is
    # more than 2 (0.5), …
    assert spikes["a"] == [[1, 0], [1, 1], [1, 0], [1, 1], [1, 0], [1, 1]]
    # b starts at 1/2 and gets 1.5 for a spike of a, and -1/4: 1.75, 3.5, 2.75, 3.5, 2.75, 3.5
    assert spikes["b"] == [[1, 0], [1, 1], [1, 1], [1, 1], [1, 1], [1, 1]]
    assert [layer.name for layer in network.layers] == ["a", "b"] and network.shapes[1:] == (
        (2, 1, 1),
        (2, 1, 1),
    )


@pytest.mark.parametrize("rule", [*RULES, "ftbc"])
@pytest.mark.parametrize("spikes", [1, 2])
def test_a_nearly_dead_channel_has_a_threshold_that_fixed_point_holds(rule, spikes):
    # a = x = 1, and b = ReLU(a - 0.99999 a) = 1e-5. A spike of a brings 1: θ of b is 1/100.
    second = Layer("b", [Input(np.full((1, 1), -0.99999), "a"), Input(Identity(), "a")], ReLU())
    ann = one_pixel(dense("a", 1.0), second)
    options = ConversionSection(rule=rule, timesteps=8, spikes=spikes, percentile=100)
    network, thresholds = convert_graph(ann, np.ones((2, 1, 1, 1), np.float32), options)
    assert thresholds["b"] == pytest.approx(thresholds["a"] / 100)
    assert quantise(network).precision == "fixed"


@pytest.mark.parametrize("rule", [*RULES, "ftbc"])
def test_a_nearly_dead_channel_of_a_chain_without_biases(rule):
    # A spike of a brings b's channels 1 and 1e-5, times its θ: with "balanced", which has a θ for
    # each channel, the second one's is 1/100 of the first one's current, as integers share a scale.
    names = {"a": [[1.0]], "b": [[1.0], [1e-5]], "c": [[1.0, 1.0]]}
    layers = [Layer(name, np.array(weight), ReLU()) for name, weight in names.items()]
    ann = Network((1, 1, 1), 1, layers, Readout(np.array([[1.0], [-1.0]])), "image")
    options = ConversionSection(rule=rule, timesteps=8, percentile=100)
    network, _ = converted(ann, np.full((2, 1, 1, 1), 2, np.float32), options)
    assert quantise(network).precision == "fixed"


class Residual(nn.Module):
    """A convolution, a block with a shortcut, and a pooled block without."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (
            nn.Conv2d(*each, 3, padding=1) for each in ((1, 6), (6, 6), (6, 6))
        )
        self.norm, self.wider, self.out = (
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 8, 3, 2, 1),
            nn.Linear(8, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu6(self.norm(self.second(functional.relu(self.first(x)))) + x)
        x = functional.relu(functional.max_pool2d(self.wider(x), 2))
        return self.out(x.mean((2, 3)))


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A model that tells where a bright spot is, 120 images, and their labels."""
    torch.manual_seed(0)
    labels = torch.arange(120) % 3
    images = 0.3 * torch.randn(120, 1, 12, 12)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 4 * label : 4 + 4 * label, 2:9] += 1.0
    images = images.clamp(-1, 1)
    model = Residual()
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        loss = functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), images, labels


@pytest.fixture(scope="module")
def converts(trained):
    """What it becomes by some settings, measured on 40 other images."""
    model, images, labels = trained
    given = {"validation": (images[40:], labels[40:]), "samples": 40}
    return cache(lambda **settings: spikesam.convert(model, images[:40], **given, **settings))


@pytest.fixture(scope="module")
def conversion(converts):
    return converts(timesteps=32)


def test_a_trained_model_keeps_its_accuracy(conversion):
    assert conversion.ann_accuracy > 0.9
    assert conversion.accuracy.shape == (32, 2)
    assert (conversion.accuracy.loc[8:] >= conversion.ann_accuracy - 0.05).all(axis=None)
    assert conversion.network.precision == "float32" and conversion.network.window == 32
    text = str(conversion)
    assert "accuracy on 40 of 80 validation images; " in text
    assert (
        "within 1 point of the ANN from step" in text and "unevenness" in text and "energy" in text
    )
    assert conversion.plot().get_size_inches()[0] > 5
    errors = conversion.layers
    assert list(errors.columns) == ["layer", "error", *CAUSES]
    assert errors["layer"].tolist() == [layer.name for layer in conversion.ann.layers]
    assert errors["maximum"].gt(0).tolist() == [False, False, False, True]
    assert errors["error"].max() < 40


def test_as_many_validation_images_are_taken_of_batches_as_are_asked_for(trained):
    model, images, labels = trained
    batches = DataLoader(TensorDataset(torch.cat([images] * 10), labels.repeat(10)), batch_size=100)
    conversion = spikesam.convert(model, images[:40], timesteps=1, validation=batches, samples=1200)
    assert "accuracy on 1200 validation images; " in str(conversion)


def test_several_spikes_a_step_lose_less(converts, conversion):
    several, one = converts(timesteps=8, spikes=4), converts(timesteps=8)
    last = [each.layers["error"].iloc[-1] for each in (several, conversion, one)]
    assert last[0] < last[1] < last[2]  # 8 steps of 4, 32 of 1, 8 of 1
    assert several.network.window == 8 and several.layers["error"].max() < 20
    assert [layer.name for layer in several.network.layers] == [
        layer.name for layer in several.ann.layers
    ]
    for ann, snn in zip(several.ann.shapes[1:], several.network.shapes[1:], strict=True):
        assert snn == (4 * ann[0], *ann[1:])
    assert "ANN, 4t + 1 levels" in str(several)
    assert (several.accuracy.loc[8] >= several.ann_accuracy - 0.03).all()
    raster = spikesam.simulate(quantise(several.network), several.samples.images[:2])
    assert spikesam.energy(raster, quantise(several.network)).joules > 0
    assert spikesam.explain(raster)[raster.layers[0].name].sum.shape == (2, 12, 12)


@pytest.mark.parametrize(
    ("timesteps", "spikes", "encoder"), [(8, 4, "constant-current"), (64, 3, "poisson")]
)
def test_other_ways_keep_the_accuracy(converts, timesteps, spikes, encoder):
    conversion = converts(timesteps=timesteps, spikes=spikes, encoder=encoder)
    assert (conversion.accuracy.iloc[-1] >= conversion.ann_accuracy - 0.05).all()


def test_every_rule_on_it(converts, conversion):
    every = converts(timesteps=32, rule="all")
    assert every.network.sha256 == conversion.network.sha256  # the first rule converts
    assert every.rules.index.tolist() == ["ftbc", "max", "percentile", "scaled", "balanced"]
    assert every.rules.columns.tolist() == [8, 16, 32]
    assert (
        every.rules.loc["ftbc"].tolist() == conversion.accuracy["fixed"].loc[[8, 16, 32]].tolist()
    )
    assert every.rules.loc["ftbc", 8] >= every.rules[8].max() - 0.05
    assert "by rule, after t steps" in str(every) and "balanced" in str(every)
    two = converts(timesteps=32, rule=("max", "scaled"))
    assert two.rules.loc["max"].tolist() == every.rules.loc["max"].tolist() and len(two.rules) == 2
    assert conversion.rules.index.tolist() == ["ftbc"]


def test_a_threshold_a_layer_and_empty_membranes(converts):
    channels, layers = (
        converts(timesteps=8, rule="percentile", per=per).thresholds for per in ("channel", "layer")
    )
    for name, (theta, *others) in ((name, set(each)) for name, each in layers.items()):
        assert not others and channels[name].min() < theta <= channels[name].max()
    empty, half = (
        converts(timesteps=8, rule="max", initial=initial).network for initial in (0.0, 0.5)
    )
    for one, other in zip(half.layers, empty.layers, strict=True):
        more = one.neuron.bias - other.neuron.bias
        assert more.sum(axis=0) == pytest.approx(0.5) and more.max(axis=0) == pytest.approx(
            0.5
        )  # in one step


@pytest.mark.parametrize(
    ("encoder", "spikes"), [("constant-current", 1), ("poisson", 1), ("poisson", 3)]
)
def test_rates_approach_activations_with_more_steps(conversion, encoder, spikes):
    ann, images = conversion.ann, conversion.samples.images[:8]
    second, rectifiers = ann.layers[1].name, Rectifiers(ann)
    pixels = torch.from_numpy(mean_spikes(images, ann.input_range))
    found = {
        name: activations
        for name, _, activations in rectifiers.run(pixels, lambda name, values: values)
    }
    expected = found[second].flatten(1).detach().numpy()
    errors = []
    for timesteps in (16, 512):
        given = {"rule": "percentile", "percentile": 100, "encoder": encoder, "spikes": spikes}
        network, theta = convert_graph(ann, images, ConversionSection(timesteps=timesteps, **given))
        shares = fired(network, images)[second].mean(0).reshape(len(images), spikes, -1).mean(1)
        rates = shares * theta[second].repeat(144)
        errors.append(np.sqrt(np.square(rates - expected).mean() / np.square(expected).mean()))
    assert errors[1] < 0.1 and errors[1] < errors[0] / 2


def test_an_ann_of_many_levels_answers_as_the_ann(conversion):
    images, labels = conversion.samples.images, conversion.samples.table.label
    shares = [
        (answers_in_levels(conversion.ann, images, conversion.thresholds, levels) == labels).mean()
        for levels in (4, 1024)
    ]
    assert shares[1] == pytest.approx(conversion.ann_accuracy, abs=0.03)
    assert all(low <= high + 0.1 for low, high in pairwise(shares))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": None}, "images: got none, expected some to calibrate on"),
        ({"labels": [1, 2]}, "labels: got int64 of shape"),
        ({"labels": [7] * 4}, "labels: got 7 … 7, expected 0 … 2"),
        ({"rule": "best"}, "conversion.rule is 'best', expected"),
        (
            {"rule": ("max", "best")},
            r"conversion.rule is .*, expected .* several of them with commas, or 'all'",
        ),
        ({"timesteps": 0}, "conversion.timesteps is 0, expected"),
        ({"spikes": 0}, "conversion.spikes is 0, expected"),
        ({"ann": 7}, "ann: got int, expected a torch.nn.Module$"),
        (
            {"ann": "cluttered-digits-ann"},
            "ann: got str, expected a torch.nn.Module; spikesam.convert_checkpoint converts a "
            "check",
        ),
        ({"out": "new"}, "out: how images are prepared is not known"),
        (
            {"validation": torch.ones(4, 1, 24, 6)},
            r"validation: have shape \(4, 1, 24, 6\), expected \(N, 1, 12, 12\)",
        ),
        (
            {"validation": (torch.ones(4, 1, 12, 12), [1, 2])},
            "^validation: labels: got int64 of shape",
        ),
        ({"samples": 0}, "samples: got 0, expected a whole number"),
    ],
)
def test_refusals_write_nothing(trained, tmp_path, monkeypatch, change, reason):
    monkeypatch.chdir(tmp_path)
    model, images, _ = trained
    arguments = {"ann": model, "images": images[:4], "labels": None} | change
    with pytest.raises(InputError, match=reason):
        spikesam.convert(**arguments)
    assert not list(tmp_path.iterdir())


def test_compare_says_of_a_conversion_that_its_model_has_no_spikes(trained):
    model, images, _ = trained
    conversion = spikesam.convert(model, images[:20], timesteps=8)
    with pytest.raises(
        InputError, match="compare: found no neurons that fire in .* to compare; how"
    ):
        spikesam.compare(model, conversion, images[:2])


def test_an_unprepared_conversion_stands_for_its_network(trained):
    model, images, _ = trained
    conversion = spikesam.convert(model, images[:20], timesteps=8)
    assert spikesam.fits(conversion).layers.equals(spikesam.fits(conversion.network).layers)
    arrays = images[:2].numpy()
    raster = spikesam.simulate(conversion, arrays)
    assert raster.raster_digest == spikesam.simulate(conversion.network, arrays).raster_digest
    costs = (spikesam.energy(raster, network=n) for n in (conversion, conversion.network))
    assert len({*map(str, costs)}) == 1
    layer = conversion.network.layers[0].name
    edit = spikesam.edit(raster, network=conversion, layer=layer, all=True)
    assert not edit.raster[layer].counts[:].any()
    with pytest.raises(InputError, match="a plain network does not know how its images are"):
        spikesam.simulate(conversion, ["image.png"])
    with pytest.raises(InputError, match="how images are prepared is not known; say it: convert"):
        spikesam.save(conversion, "not_written.safetensors")


def test_a_checkpoint_of_it_is_written_when_asked(trained, tmp_path):
    model, images, labels = trained
    given = {
        "preprocessing": spikesam.Preprocessing(12, 12, (0.5,), (0.5,)),
        "class_names": ("top", "middle", "bottom"),
        "out": tmp_path / "out",
    }
    conversion = spikesam.convert(model, images[:20], labels[:20], timesteps=8, samples=10, **given)
    checkpoint = spikesam.load(conversion.files[0])
    assert checkpoint.class_names == ("top", "middle", "bottom")
    assert (
        checkpoint.network.sha256 == conversion.network.sha256 == conversion.summary.network_sha256
    )
    raster = spikesam.simulate(checkpoint, images[:2].numpy())
    of_conversion = spikesam.simulate(conversion, images[:2].numpy())
    assert of_conversion.raster_digest == raster.raster_digest
    spikesam.save(conversion, tmp_path / "saved.safetensors")
    assert spikesam.load(tmp_path / "saved.safetensors").class_names == checkpoint.class_names
    assert spikesam.energy(raster, checkpoint).joules > 0
    maps = spikesam.explain(raster)
    assert maps[raster.layers[0].name].sum.shape == (2, 12, 12)
