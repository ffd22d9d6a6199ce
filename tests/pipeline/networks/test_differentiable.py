"""The differentiable network: the torch backend's spikes, and gradients by hand and against training's model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch, batch_size, unpacked
from spikesam.backends.network import LIF, Input, Layer, Network, NetworkError, Readout, ReLU, Shape, Source
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network, write_network
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.drawing.network import draw_network
from spikesam.pipeline.images.encoding import encode, poisson_batch
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.checkpoint_files import bundled_names
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.networks.to_torch import to_torch
from spikesam.pipeline.training.export import export_network
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import unpack
from tests.backends.graphs import FLOAT, graphs
from tests.pipeline.small_networks import SMALL, small_model

random = np.random.default_rng(0)


def smooth_images(count: int, height: int, width: int) -> NDArray[np.float32]:
    """Blobs of preprocessed pixels in -2 … 2."""
    rows, columns = np.mgrid[:height, :width]
    waves = random.uniform(1, 8, (count, 3, 2, 1, 1))
    return (2 * np.sin(waves[:, :, 0] * rows / height) * np.cos(waves[:, :, 1] * columns / width)).astype(np.float32)


def compared_spikes(network: Network, inputs: InputBatch) -> list[torch.Tensor]:
    """Each layer's spikes, which are those of the backend, as the logits are."""
    (batch,) = TorchBackend("cpu").run(network, [inputs], batch_size(inputs))
    logits, spikes = DifferentiableNetwork(network)(torch.from_numpy(unpacked(inputs)).float())
    for name, shape, found in zip(network.raster_names[-len(spikes) :], network.shapes[1:], spikes, strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), unpack(batch.spikes[name], shape), err_msg=name)
    np.testing.assert_allclose(logits.detach(), batch.readout / network.timesteps, rtol=1e-5, atol=1e-5)
    return spikes


@pytest.mark.parametrize("name", bundled_names("snn"))
def test_spikes_of_the_bundled_networks_are_the_backends(name: str) -> None:
    checkpoint = load_checkpoint(name)
    network = checkpoint.network
    if network.encoder != "poisson":
        (inputs,) = choose_samples(None, checkpoint, 2, seed=0).encoded([0, 1], network, 0, 2)
    else:
        inputs = poisson_batch(smooth_images(2, *network.input_shape[1:]), network.timesteps, 0, [3, 4])
    assert compared_spikes(network, inputs)[-1].any()


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(0.75, 0.5, reset="zero"),
        LIF(1.0, 0.5, reset="zero", fires_at_threshold=True),
        LIF(0.75, 1.0, synaptic_leak=[0.5, 0.0, 0.25, 0.75]),
        LIF(0.5, [0.5, 0.75, 1.0, 0.25], reset_by=[0.25, 0.5, 0.25, 0.125], fires_at_threshold=True),
    ],
)
def test_every_reset_and_firing_rule_is_the_backends(neuron: LIF) -> None:
    """Weights are multiples of 1/4, so that membranes meet their threshold exactly."""
    w1, w2 = (random.integers(-1, 3, shape) / 4 for shape in ((4, 2, 3, 3), (4, 4, 3, 3)))
    first = Input(w1, gain=0.5, padding=1, current_pool=3, current_stride=2, current_padding=1)
    layers = Layer("conv1", first, neuron), Layer("conv2", Input(w2, pool=2, padding=1, pooling="max"), neuron)
    readout = Readout(random.normal(size=(3, 16)), leak=0.75, bias=[0.5, -1.0, 0.0])
    network = Network((2, 8, 8), 10, layers, readout, "spikes")
    assert compared_spikes(network, random.random((10, 3, 2, 8, 8)) < 0.3)[-1].any()


@settings(max_examples=25)
@drawn(
    st.sampled_from(("spikes", "constant-current", "changing-current")).flatmap(
        lambda name: graphs(FLOAT, name, loops=False)
    )
)
def test_spikes_of_any_network_are_the_backends(network: Network) -> None:
    shape = 2, *network.input_shape
    given = random.integers(-3, 4, (network.timesteps, *shape), np.int8)
    given = given > 0 if network.spiking_input else given[0] if network.encoder == "constant-current" else given
    compared_spikes(network, given)


def test_one_neuron_and_a_constant_current_by_hand() -> None:
    """One pixel of 127 stands for 1, so the current is 2·1.5 + 0.1 = 3.1 at every step but the first.

    v = 0, 3.1, 1.55 + 3.1 - 2 = 2.65, 1.325 + 3.1 - 2 = 2.425: s = 0, 1, 1, 1 and surrogates 0.15·max(0, 2 - v/2) =
    0.0675, 0.10125, 0.118125. The pixel's share of v is 3·(1, 1.5, 1.75) per 127, each spike's of the logit 3/4.
    """
    pixel = torch.full((1, 1, 1, 1), 127.0).requires_grad_()
    logits, spikes = DifferentiableNetwork(replace(one_neuron(), encoder="constant-current"))(pixel)
    assert spikes[0].flatten().tolist() == [0, 1, 1, 1]
    (gradient,) = torch.autograd.grad(logits.sum(), pixel)
    expected = 0.75 * 3 * (0.0675 + 1.5 * 0.10125 + 1.75 * 0.118125) / 127
    assert gradient.item() == pytest.approx(expected, rel=1e-5)


def one_neuron() -> Network:
    """λ = 0.5, θ = 2, weight 1.5, gain 2 and bias 0.1, readout weight 3; T = 4."""
    layer = Layer("fc1", Input(np.array([[1.5]]), gain=2.0), LIF(0.5, 2.0, bias=0.1))
    return Network((1, 1, 1), 4, (layer,), Readout(np.array([[3.0]])))


def test_one_neuron_by_hand() -> None:
    """Worked out on paper.

    Current 2·1.5·s + 0.1, one step late. With input spikes at t = 0 and 2:
        v = 0, 3.1, 0.5·3.1 + 0.1 - 2 = -0.35, 0.5·(-0.35) + 3.1 = 2.925;  s = 0, 1, 0, 1;  logit = 3·2/4 = 1.5.
    Surrogate 0.3·max(0, 1 - |v/2 - 1|)/2 at t = 1, 2, 3: 0.0675, 0 (v/2 - 1 = -1.175), 0.080625.
    A spike of the neuron adds 3/4 to the logit. An input spike at t reaches v[t+1] with 3 and v[t+1+k] with 3·0.5ᵏ, and
    nothing passes through the reset:
        t = 0: 3/4·3·(0.0675 + 0 + 0.25·0.080625) = 0.197227;  t = 1: 3/4·3·0.5·0.080625 = 0.090703;
        t = 2: 3/4·3·0.080625 = 0.181406;  t = 3 comes too late: 0.
    """
    inputs = torch.tensor([1.0, 0, 1, 0]).reshape(4, 1, 1, 1, 1).requires_grad_()
    logits, spikes = DifferentiableNetwork(one_neuron())(inputs)
    assert spikes[0].flatten().tolist() == [0, 1, 0, 1]
    assert logits.item() == 1.5
    of_inputs, of_spikes = torch.autograd.grad(logits.sum(), [inputs, spikes[0]])
    torch.testing.assert_close(of_spikes.flatten(), torch.full((4,), 0.75))
    expected = torch.tensor([2.25 * (0.0675 + 0.25 * 0.080625), 2.25 * 0.5 * 0.080625, 2.25 * 0.080625, 0])
    torch.testing.assert_close(of_inputs.flatten(), expected)


@pytest.mark.parametrize("normalise", [True, False])
def test_gradients_are_those_of_training(normalise: bool) -> None:
    """With signed spikes x, training's model has ∂y/∂x; here the ON planes have it, and the OFF planes minus it."""
    section = NetworkSection(layers=SMALL.layers, timesteps=8, leak=0.9, threshold=0.7, normalise=normalise)
    model = small_model(network=section)
    inputs = poisson_batch(smooth_images(3, 16, 24), 8, 0, [0, 1, 2])
    planes = torch.from_numpy(inputs.unpacked()).float().requires_grad_()
    signed = (planes[:, :, :3] - planes[:, :, 3:]).detach().requires_grad_()
    logits, spikes = DifferentiableNetwork(export_network(model))(planes)
    expected = model(signed)
    torch.testing.assert_close(logits, expected)
    hidden: list[torch.Tensor] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, inputs, output: hidden.append(output[0]))
    labels = torch.arange(3)
    model(signed)[labels, labels].sum().backward()
    of_inputs, *of_spikes = torch.autograd.grad(logits[labels, labels].sum(), [planes, *spikes])
    assert signed.grad is not None and signed.grad.any()
    torch.testing.assert_close(of_inputs[:, :, :3], signed.grad)
    torch.testing.assert_close(of_inputs[:, :, 3:], -signed.grad)
    again = model(signed)
    references = torch.autograd.grad(again[labels, labels].sum(), hidden[-len(spikes) :])
    for depth, (gradient, reference) in enumerate(zip(of_spikes, references, strict=True), 1):
        reached = slice(depth, depth + len(reference))  # the steps that training differentiates
        torch.testing.assert_close(gradient[reached].reshape(reference.shape), reference)
        assert not gradient[reached.stop :].any()


def test_spikes_too_late_for_the_answer_have_no_gradient() -> None:
    logits, spikes = DifferentiableNetwork(export_network(small_model()))(torch.ones(8, 1, 6, 16, 24))
    for depth, gradient in enumerate(torch.autograd.grad(logits[0, 0], spikes), 1):
        beyond = 8 - (len(spikes) - depth)
        assert gradient[:beyond].any() and not gradient[beyond:].any()


def two_layers(*more: Input) -> Network:
    """Two dense layers of three neurons, whose second one may read others, too. T = 6."""
    layers = (
        Layer("fc1", random.uniform(0.1, 0.4, (3, 2)), LIF(0.9, 0.4)),
        Layer("fc2", (Input(random.uniform(0.1, 0.4, (3, 3))), *more), LIF(0.8, 0.5, synaptic_leak=0.3)),
    )
    return Network((2, 1, 1), 6, layers, Readout(random.normal(size=(2, 3))), encoder="spikes")


def gradient(network: Network, spikes: torch.Tensor) -> torch.Tensor:
    inputs = spikes.clone().requires_grad_()
    DifferentiableNetwork(network)(inputs)[0][:, 0].sum().backward()
    assert inputs.grad is not None
    return inputs.grad


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_layer_that_reads_itself_with_weights_of_zero_has_the_gradient_of_one_that_does_not(reset: Any) -> None:
    alone = two_layers()
    fc1, fc2 = alone.layers
    fc2 = replace(fc2, neuron=replace(fc2.neuron, reset=reset))
    again = replace(alone, layers=(fc1, replace(fc2, inputs=(*fc2.inputs, Input(np.zeros((3, 3)), "fc2")))))
    spikes = torch.tensor(random.random((6, 4, 2, 1, 1)) < 0.5, dtype=torch.float32)
    expected = gradient(replace(alone, layers=(fc1, fc2)), spikes)
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient(again, spikes), expected)


def test_a_shortcut_brings_gradients_from_later_steps() -> None:
    """Through two layers the last step but two is the last that matters; through the shortcut the last but one."""
    spikes = torch.tensor(random.random((6, 32, 2, 1, 1)) < 0.3, dtype=torch.float32)
    chain, short = two_layers(), two_layers(Input(random.uniform(0.1, 0.4, (3, 2)), "input"))
    assert [step.abs().max() > 0 for step in gradient(chain, spikes)][4:] == [False, False]
    assert [step.abs().max() > 0 for step in gradient(short, spikes)][4:] == [True, False]


def test_gradients_reach_the_image_through_shortcuts_and_through_the_layer_that_repeats_the_answers() -> None:
    network = load_checkpoint("residual-digits").network
    image = torch.tensor(random.integers(-127, 128, (1, *network.input_shape)), dtype=torch.float32, requires_grad=True)
    logits, outputs = DifferentiableNetwork(network)(image)
    logits[:, 3].sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0
    assert [layer.name for layer in network.layers][-1] == "answer" and len(outputs) == 10


def test_no_gradient_is_kept_where_none_is_asked_for_and_fixed_point_and_loops_are_refused() -> None:
    with torch.no_grad():
        logits, spikes = DifferentiableNetwork(one_neuron())(torch.ones(4, 1, 1, 1, 1))
    assert not logits.requires_grad and not spikes[0].requires_grad
    with pytest.raises(InputError, match="got a network in fixed point, expected float32"):
        DifferentiableNetwork(quantise(one_neuron()))
    fc1, fc2 = two_layers().layers
    loop = replace(two_layers(), layers=(replace(fc1, inputs=(*fc1.inputs, Input(np.eye(3), "fc2"))), fc2))
    with pytest.raises(InputError, match="gradients: a layer reads one that comes later"):
        DifferentiableNetwork(loop)


def ann(layers: tuple[Layer, ...], readout: Readout, shape: Shape = (2, 2, 2), largest: float = 1.0) -> Network:
    return Network(shape, 1, layers, readout, "image", largest)


def residual_ann() -> Network:
    """Of two pixels a, b: s = relu(a + 1, 2b - a), r = relu(s - x + 0.5 s), limited to 3 and 1."""
    first = Layer("fc1", np.array([[1, 0], [-1, 2.0]]), ReLU([1, 0]))
    inputs = Input(np.eye(2), ("fc1", Source("input", sign=-1))), Input(None, "fc1", gain=0.5)
    return ann((first, Layer("fc2", inputs, ReLU(limit=[3, 1]))), Readout(np.array([[1.0, 10]]), bias=[4]), (2, 1, 1))


def test_a_residual_sum_by_hand(tmp_path):
    network = residual_ann()
    # The largest number is 2, so pixels 2, -1 and 1, 2 of images are 1, -0.5 and 0.5, 1.
    images = np.array([[2, -1], [1, 2]], np.float32).reshape(2, 2, 1, 1)
    network = replace(network, input_range=2.0)
    inputs = torch.from_numpy(encode(network, images, 0, [0, 1]))
    logits, (first, second) = DifferentiableNetwork(network)(inputs)
    assert first.tolist() == [[2, 0], [1.5, 1.5]]
    assert second.tolist() == [[2, 0.5], [1.75, 1]]  # 2 - 1 + 1; 0 + 0.5 + 0; 1.5 - 0.5 + 0.75; min(1, 1.5 - 1 + 0.75)
    assert logits.tolist() == [[11], [15.75]]
    torch.testing.assert_close(to_torch(network)(torch.from_numpy(images)), logits)
    write_network(network, tmp_path / "ann.safetensors")
    read, _ = read_network(tmp_path / "ann.safetensors")
    assert read.sha256 == network.sha256 != residual_ann().sha256
    assert DifferentiableNetwork(read)(inputs)[0].tolist() == logits.tolist()
    assert "- input" in str(network) and draw_network(network).axes


def test_poolings_strides_and_clipping_by_hand():
    kernel = np.ones((1, 1, 1, 1))
    layers = (
        Layer("conv1", Input(kernel, gain=2), ReLU(-1, limit=6)),
        Layer("highest", Input(kernel, "conv1", current_pool=3, current_stride=2, current_padding=1), ReLU()),
        Layer("pooled", Input(kernel, "conv1", pool=2, pooling="max"), ReLU()),
        Layer("mean", (Input(-kernel, "conv1", pool=2), Input(None, "pooled")), ReLU(0.25)),
        Layer("fc1", (Input([[1.0, 0, 0, 0]], "highest"), Input([[1.0, 1, 1, 1]], "mean")), ReLU()),
    )
    network = ann(layers, Readout([[1.0]], bias=-1), (1, 4, 4), 8)
    image = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [0, 0, 4, 1], [0, -8, 0, 1]], np.float32).reshape(1, 1, 4, 4)
    logits, found = DifferentiableNetwork(network)(torch.from_numpy(image))
    assert found[0].squeeze().tolist() == [[1, 3, 0, 0], [5, 0, 0, 0], [0, 0, 6, 1], [0, 0, 0, 1]]
    assert found[1].squeeze().tolist() == [[5, 3], [5, 6]]  # of 3×3 windows that begin at -1 and 1
    assert found[2].squeeze().tolist() == [[5, 0], [0, 6]]
    assert found[3].squeeze().tolist() == [[5 - 9 / 4 + 0.25, 0.25], [0.25, 6 - 2 + 0.25]]
    assert logits.item() == 5 + 3 + 0.5 + 4.25 - 1


def test_networks_that_have_steps_or_the_wrong_order():
    first, weight = Layer("fc1", np.eye(2), ReLU()), np.eye(2)
    for inputs in ((weight, Input(weight, "fc2")), Input(weight, Source("input", 2))):
        with pytest.raises(NetworkError, match="layer 'fc2': reads '(fc2|input)' with delay .* which has no steps"):
            ann((first, Layer("fc2", inputs, ReLU())), Readout(weight), (2, 1, 1))
    with pytest.raises(NetworkError, match="readout: leak is 0.5, expected 1 of a network with neurons ReLU"):
        ann((first,), Readout(weight, leak=0.5), (2, 1, 1))
    with pytest.raises(NetworkError, match="bias has shape .* expected one number"):
        Layer("fc1", weight, ReLU(np.ones((2, 3))))
