"""Networks that are trained, spiking or an ANN: what is trained, exported, stored and
differentiated is one network.
"""

import numpy as np
import pytest
import torch

from spikesam.backends.available import BACKENDS, make_backend
from spikesam.backends.network import NetworkError
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.common.errors import InputError
from spikesam.pipeline.config import CONFIGS, NetworkSection, load_config
from spikesam.pipeline.images.encoding import encode, mean_spikes
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, predictions
from spikesam.pipeline.networks.layer_list import (
    AttentionPlan,
    ConvPlan,
    DensePlan,
    description,
    outline,
    plan_depths,
    plan_layers,
)
from spikesam.pipeline.training.trainable import (
    ReluNetwork,
    SpikingNetwork,
    export_network,
    poisson,
)
from tests.pipeline.small_networks import SMALL, small_ann_model, small_model

BLOCKS = ("P", 8, "A2", "A4", "P4", "D8")
VGG11 = (64, "P", 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P4", "D4096")


def test_vgg11_as_a_list():
    plans = plan_layers(VGG11)
    assert [plan.name for plan in plans] == [*(f"conv{n}" for n in range(1, 9)), "fc1"]
    assert plans[1] == ConvPlan("conv2", 128, 2)
    assert plans[-1] == DensePlan("fc1", 4096, 4)


def test_blocks_of_a_transformer_as_a_list():
    plans = {plan.name: plan for plan in plan_layers(BLOCKS)}
    assert [plan.heads for plan in plans.values() if isinstance(plan, AttentionPlan)] == [2, 4]
    assert plans["block1_attention"].reads == ("block1_q", "block1_k", "block1_v")
    assert plans["block1_hidden"].reads == ("conv1", "block1_projection")
    assert plans["block2_q"].reads == ("conv1", "block1_projection", "block1_output")
    assert plans["fc1"].reads == (*plans["block2_q"].reads, "block2_projection", "block2_output")
    found = plan_depths(list(plans.values()))
    assert [
        found[name] for name in ("conv1", "block1_v", "block1_hidden", "block2_output", "fc1")
    ] == [1, 2, 5, 11, 12]


@pytest.mark.parametrize("layers", [VGG11, ("P", 8, "P3", "P4", "R5", "D6")])
def test_an_outline_becomes_a_list_again(layers):
    plans = plan_layers(layers)
    assert plan_layers(description(outline(plans))) == plans
    assert description(outline(plan_layers(VGG11))) == VGG11


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((16, "Q", "D8"), r"network.layers, entry 2: got 'Q', expected channels"),
        ((16, "P0", "D8"), r"entry 2: got 'P0', expected a number of 1 to 65,536"),
        ((16, "D8", 16), r"entry 3: convolution 16 after a dense layer"),
        ((16, "P"), r"the last entry must be dense neurons"),
        ((), r"the last entry must be dense neurons"),
        (
            (8, "A3", "D8"),
            r"entry 2: A3 is a block with 3 heads, expected a convolution in front of it, .* they "
            r"divid",
        ),
        (("A4", "D8"), r"entry 1: A4 is a block"),
        ((8, "P", "A4", "D8"), r"entry 3: A4 is a block"),
        ((8, "D8", "A4", "D8"), r"entry 3: A4 is a block"),
        ((8, "A0", "D8"), r"entry 2: A0 is a block"),
    ],
)
def test_a_list_that_makes_no_sense(layers, message):
    with pytest.raises(InputError, match=message):
        plan_layers(layers)


def test_pooling_that_does_not_divide():
    with pytest.raises(
        InputError, match="pooling 4 in front of fc1 does not divide its 5×12 input"
    ):
        small_model(height=10)


def test_too_few_steps_for_the_depth():
    with pytest.raises(
        InputError, match=r"timesteps is 3, but 3 layers delay the image.* at least 4"
    ):
        small_model(network=NetworkSection(layers=(4, 6, "P8", "D8"), timesteps=3))


def test_training_spikes_follow_the_law_of_the_encoding():
    images = torch.tensor([0.0, 0.5, -1.0, 2.0, -5.0]).reshape(1, 1, 1, 5)
    spikes = poisson(images, 4000, torch.Generator().manual_seed(0)).mean(0).flatten()
    assert spikes.tolist() == pytest.approx([0, 0.25, -0.5, 1, -1], abs=0.03)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    ("layers", "timesteps"), [(SMALL.layers, 8), (BLOCKS, 26), ((8, "P4", "R12", "R8"), 10)]
)
def test_the_exported_network_is_the_same_network(normalise, layers, timesteps):
    update = {"normalise": normalise, "threshold": 0.7, "layers": layers, "timesteps": timesteps}
    model = small_model(network=SMALL.model_copy(update=update))
    images = torch.randn(5, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    signed = poisson(images, timesteps, torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = model(signed)
    planes = torch.cat([signed > 0, signed < 0], dim=2).numpy()
    (batch,) = TorchBackend("cpu").run(export_network(model), [planes], 5)
    assert np.count_nonzero(batch.readout) > 5  # something happened
    np.testing.assert_allclose(batch.readout / timesteps, logits.numpy(), rtol=1e-4, atol=1e-5)


def test_bntt_becomes_a_gain_and_bias_per_step():
    model = small_model()
    norm = model.layers[1].bntt[3]
    norm.weight.data[2], norm.running_mean[2], norm.running_var[2] = 1.5, 0.2, 0.5
    layer = export_network(model).layers[1]
    gain = 1.5 / np.sqrt(0.5 + 1e-4)
    assert layer.inputs[0].gain[3, 2] == pytest.approx(gain)
    assert layer.spiking_neuron.bias[3, 2] == pytest.approx(-gain * 0.2)


def test_the_papers_network_fits_its_images():
    settings = load_config(CONFIGS / "vgg11.toml")
    model = SpikingNetwork(settings.network, (3, 64, 64), 200)
    assert settings.network.layers == VGG11
    assert tuple(model.layers[-1].synapses.weight.shape) == (4096, 512)
    assert tuple(model.readout.weight.shape) == (200, 4096)


def by_hand() -> ReluNetwork:
    """One pooled pixel, two neurons of opposite sign, one class."""
    model = ReluNetwork(["P", "D2"], (1, 2, 2), 1).eval()
    model.synapses[0].weight.data = torch.tensor([[4.0], [-4.0]])
    model.readout.weight.data = torch.tensor([[3.0, 5.0]])
    return model


def test_a_forward_pass_by_hand():
    # 2×2 pixels, pooled to one: clipped to ±2 and halved they are 1, -1, 0.5, 0.5, so 0.25 on
    # average.
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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_exported_network_is_the_trained_one_whatever_its_memory_layout(layout):
    model = small_ann_model().to(memory_format=layout)
    images = torch.randn(4, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    network = export_network(model)
    inputs = torch.from_numpy(mean_spikes(images.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(DifferentiableNetwork(network)(inputs)[0], model(images))
        assert (
            predictions(network, [inputs[:3].numpy(), inputs[3:].numpy()]).tolist()
            == model(images).argmax(1).tolist()
        )
    assert (network.kind, network.encoder, network.timesteps) == ("ann", "image", 1)
    assert {layer.name: layer.kind for layer in network.layers} == {
        "conv1": "conv",
        "conv2": "conv",
        "fc1": "dense",
    }


def test_it_has_no_attention():
    with pytest.raises(
        InputError,
        match=r"network.layers: an ANN has neither attention, .* network.neuron = \"lif\"",
    ):
        ReluNetwork([8, "A2", "D4"], (3, 8, 8), 2)


@pytest.mark.parametrize("backend", BACKENDS.built_in)
def test_no_backend_runs_it(backend):
    network = export_network(small_ann_model())
    images = [mean_spikes(np.zeros((1, 3, 16, 24), np.float32))]
    with pytest.raises(
        NetworkError, match=rf"{backend}: got an ANN, which does not spike, .* spikesam.convert\(\)"
    ):
        list(make_backend(backend).run(network, images, 1))


def test_it_is_not_quantised():
    with pytest.raises(
        NetworkError, match="quantise: got an ANN, which does not spike, expected a spiking network"
    ):
        quantise(export_network(small_ann_model()))
