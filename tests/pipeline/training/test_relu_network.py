"""The ANN: a forward pass by hand, and that what is trained, exported, stored and differentiated is one network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spikesam.backends.available import BACKENDS, make_backend
from spikesam.backends.network import LIF, Layer, Network, NetworkError, Readout, ReLU
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, predictions
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.recordings.errors import InputError
from tests.pipeline.small_networks import CLASSES, SMALL, small_ann, small_ann_model, small_checkpoint


@pytest.fixture
def path(tmp_path) -> Path:
    return small_ann(tmp_path / "small.safetensors")


def by_hand() -> ReluNetwork:
    """One pooled pixel, two neurons of opposite sign, one class."""
    model = ReluNetwork(["P", "D2"], (1, 2, 2), 1).eval()
    model.synapses[0].weight.data = torch.tensor([[4.0], [-4.0]])
    model.readout.weight.data = torch.tensor([[3.0, 5.0]])
    return model


def test_a_forward_pass_by_hand():
    # 2×2 pixels, pooled to one: clipped to ±2 and halved they are 1, -1, 0.5, 0.5, so 0.25 on average.
    images = torch.tensor([[[[9.0, -2.0], [1.0, 1.0]]]])
    assert by_hand()(images).tolist() == [[3.0]]  # ReLU silences the second
    network = export_network(by_hand())
    inputs = torch.from_numpy(encode(network, images.numpy(), 0, [0]))
    assert inputs.tolist() == [[[[1, -1], [0.5, 0.5]]]]
    logits, (activations,) = DifferentiableNetwork(network)(inputs)
    assert (logits.tolist(), activations.tolist()) == ([[3.0]], [[1, 0]])


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    model = ReluNetwork(["P4", "D64"], (3, 4, 4), 2, dropout=0.5)
    image = torch.rand(1, 3, 4, 4)
    assert not torch.equal(model.train()(image), model(image))
    assert torch.equal(model.eval()(image), model(image))


def test_the_same_list_as_the_spiking_network():
    model = ReluNetwork(SMALL.layers, (3, 16, 24), 3)
    assert [plan.name for plan in model.plans] == ["conv1", "conv2", "fc1"]
    assert all(module.bias is None for module in (*model.synapses, model.readout))
    with pytest.raises(InputError, match="pooling 4 in front of fc1 does not divide its 5×12 input"):
        ReluNetwork(SMALL.layers, (3, 10, 24), 3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_exported_network_is_the_trained_one_whatever_its_memory_layout(layout):
    model = small_ann_model().to(memory_format=layout)
    images = torch.randn(4, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    network = export_network(model)
    inputs = torch.from_numpy(mean_spikes(images.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(DifferentiableNetwork(network)(inputs)[0], model(images))
        assert (
            predictions(network, [inputs[:3].numpy(), inputs[3:].numpy()]).tolist() == model(images).argmax(1).tolist()
        )
    assert (network.kind, network.encoder, network.timesteps) == ("ann", "image", 1)
    assert network.raster_kinds == {"conv1": "conv", "conv2": "conv", "fc1": "dense"}


def test_identity_depends_on_every_weight():
    model = small_ann_model()
    before = export_network(model).sha256
    assert export_network(small_ann_model()).sha256 == before
    model.readout.weight.data[0, 0] += 1
    assert export_network(model).sha256 != before


def test_it_has_no_attention():
    with pytest.raises(InputError, match=r"network.layers: an ANN has neither attention, .* network.neuron = \"lif\""):
        ReluNetwork([8, "A2", "D4"], (3, 8, 8), 2)


def test_whoever_asks_for_one_kind_is_told_of_the_other(tmp_path, path):
    with pytest.raises(InputError, match=r"small.safetensors: an ANN, .* convert it with spikesam.convert\(\)"):
        load_checkpoint(str(path), "snn")
    spiking = small_checkpoint(tmp_path / "spiking.safetensors")
    with pytest.raises(InputError, match=r"spiking.safetensors: a spiking network, expected an ANN; train one"):
        load_checkpoint(str(spiking), "ann")
    with pytest.raises(InputError, match=r"'cluttered-digit-ann': neither a bundled one \(cluttered-digits-ann"):
        load_checkpoint("cluttered-digit-ann", "ann")
    assert load_checkpoint(str(path)).classes == load_checkpoint(str(spiking)).classes == CLASSES


@pytest.mark.parametrize("backend", BACKENDS.built_in)
def test_no_backend_runs_it(backend):
    network = export_network(small_ann_model())
    images = [mean_spikes(np.zeros((1, 3, 16, 24), np.float32))]
    with pytest.raises(NetworkError, match=rf"{backend}: got an ANN, which does not spike, .* spikesam.convert\(\)"):
        list(make_backend(backend).run(network, images, 1))


def test_it_is_not_quantised():
    with pytest.raises(NetworkError, match="quantise: got an ANN, which does not spike, expected a spiking network"):
        quantise(export_network(small_ann_model()))


def test_networks_that_are_neither():
    relu, lif = Layer("fc1", np.eye(2), ReLU()), Layer("fc2", np.eye(2), LIF(1.0))
    readout = Readout(np.ones((1, 2)))
    with pytest.raises(NetworkError, match="got ReLU and spiking neurons in one network, expected either"):
        Network((2, 1, 1), 1, (relu, lif), readout, "image")
    with pytest.raises(NetworkError, match="encoder is 'poisson', expected 'image' of a network with neurons ReLU"):
        Network((2, 1, 1), 1, (relu,), readout)
    with pytest.raises(NetworkError, match="encoder is 'image', expected an encoder of spikes or currents"):
        Network((2, 1, 1), 1, (lif,), readout, "image")
    with pytest.raises(NetworkError, match="timesteps is 2, expected 1 of a network with neurons ReLU"):
        Network((2, 1, 1), 2, (relu,), readout, "image")
