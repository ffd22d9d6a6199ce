"""Gradients of networks: firing over all steps as one operation, networks of any kind by hand, and
as torch modules.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

import spikesam
from spikesam.backends.base import InputBatch, batch_size, unpacked
from spikesam.backends.network import (
    LIF,
    Conv,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    ReLU,
    Shape,
    Source,
)
from spikesam.backends.network.storage import read_network, write_network
from spikesam.backends.torch.backend import TorchBackend
from spikesam.common.errors import InputError
from spikesam.pipeline.drawing.network import draw_network
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, to_torch
from spikesam.pipeline.networks.firing import fire
from spikesam.recordings.raster.batch import unpack
from tests.backends.graphs import FLOAT, graphs
from tests.pipeline.surrogate import Surrogate

random = np.random.default_rng(0)


def compared_spikes(network: Network, inputs: InputBatch) -> list[torch.Tensor]:
    """Each layer's spikes, which are those of the backend, as the logits are."""
    (batch,) = TorchBackend("cpu").run(network, [inputs], batch_size(inputs))
    logits, spikes = DifferentiableNetwork(network)(torch.from_numpy(unpacked(inputs)).float())
    for name, shape, found in zip(
        network.raster_names[-len(spikes) :], network.shapes[1:], spikes, strict=True
    ):
        np.testing.assert_array_equal(
            found.detach().numpy(), unpack(batch.spikes[name], shape), err_msg=name
        )
    np.testing.assert_allclose(
        logits.detach(), batch.readout / network.timesteps, rtol=1e-5, atol=1e-5
    )
    return spikes


@settings(max_examples=25)
@drawn(
    st.sampled_from(("spikes", "constant-current", "changing-current")).flatmap(
        lambda name: graphs(FLOAT, name, loops=False)
    )
)
def test_spikes_of_any_network_are_the_backends(network: Network) -> None:
    shape = 2, *network.input_shape
    given = random.integers(-3, 4, (network.timesteps, *shape), np.int8)
    given = (
        given > 0
        if network.spiking_input
        else given[0]
        if network.encoder == "constant-current"
        else given
    )
    compared_spikes(network, given)


def test_one_neuron_and_a_constant_current_by_hand() -> None:
    """One pixel of 127 stands for 1, so the current is 2·1.5 + 0.1 = 3.1 at every step but the
    first.

    v = 0, 3.1, 1.55 + 3.1 - 2 = 2.65, 1.325 + 3.1 - 2 = 2.425: s = 0, 1, 1, 1 and surrogates
    0.15·max(0, 2 - v/2) = 0.0675, 0.10125, 0.118125. The pixel's share of v is 3·(1, 1.5, 1.75) per
    127, each spike's of the logit 3/4.
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
        v = 0, 3.1, 0.5·3.1 + 0.1 - 2 = -0.35, 0.5·(-0.35) + 3.1 = 2.925;
        s = 0, 1, 0, 1;  logit = 3·2/4 = 1.5.
    Surrogate 0.3·max(0, 1 - |v/2 - 1|)/2 at t = 1, 2, 3: 0.0675, 0 (v/2 - 1 = -1.175), 0.080625.
    A spike of the neuron adds 3/4 to the logit. An input spike at t reaches v[t+1] with 3 and
    v[t+1+k] with 3·0.5ᵏ, and nothing passes through the reset:
        t = 0: 3/4·3·(0.0675 + 0 + 0.25·0.080625) = 0.197227;  t = 1: 3/4·3·0.5·0.080625 = 0.090703;
        t = 2: 3/4·3·0.080625 = 0.181406;  t = 3 comes too late: 0.
    """
    inputs = torch.tensor([1.0, 0, 1, 0]).reshape(4, 1, 1, 1, 1).requires_grad_()
    logits, spikes = DifferentiableNetwork(one_neuron())(inputs)
    assert spikes[0].flatten().tolist() == [0, 1, 0, 1]
    assert logits.item() == 1.5
    of_inputs, of_spikes = torch.autograd.grad(logits.sum(), [inputs, spikes[0]])
    torch.testing.assert_close(of_spikes.flatten(), torch.full((4,), 0.75))
    expected = torch.tensor(
        [2.25 * (0.0675 + 0.25 * 0.080625), 2.25 * 0.5 * 0.080625, 2.25 * 0.080625, 0]
    )
    torch.testing.assert_close(of_inputs.flatten(), expected)


def two_layers(*more: Input) -> Network:
    """Two dense layers of three neurons, whose second one may read others, too. T = 6."""
    layers = (
        Layer("fc1", random.uniform(0.1, 0.4, (3, 2)), LIF(0.9, 0.4)),
        Layer(
            "fc2",
            (Input(random.uniform(0.1, 0.4, (3, 3))), *more),
            LIF(0.8, 0.5, synaptic_leak=0.3),
        ),
    )
    return Network((2, 1, 1), 6, layers, Readout(random.normal(size=(2, 3))), encoder="spikes")


def gradient(network: Network, spikes: torch.Tensor) -> torch.Tensor:
    inputs = spikes.clone().requires_grad_()
    DifferentiableNetwork(network)(inputs)[0][:, 0].sum().backward()
    assert inputs.grad is not None
    return inputs.grad


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_layer_that_reads_itself_with_weights_of_zero_has_the_gradient_of_one_that_does_not(
    reset: Any,
) -> None:
    alone = two_layers()
    fc1, fc2 = alone.layers
    fc2 = replace(fc2, neuron=replace(fc2.neuron, reset=reset))
    again = replace(
        alone, layers=(fc1, replace(fc2, inputs=(*fc2.inputs, Input(np.zeros((3, 3)), "fc2"))))
    )
    spikes = torch.tensor(random.random((6, 4, 2, 1, 1)) < 0.5, dtype=torch.float32)
    expected = gradient(replace(alone, layers=(fc1, fc2)), spikes)
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient(again, spikes), expected)


def test_a_shortcut_brings_gradients_from_later_steps() -> None:
    """Through two layers the last step but two is the last that matters; through the shortcut the
    last but one.
    """
    spikes = torch.tensor(random.random((6, 32, 2, 1, 1)) < 0.3, dtype=torch.float32)
    chain, short = two_layers(), two_layers(Input(random.uniform(0.1, 0.4, (3, 2)), "input"))
    assert [step.abs().max() > 0 for step in gradient(chain, spikes)][4:] == [False, False]
    assert [step.abs().max() > 0 for step in gradient(short, spikes)][4:] == [True, False]


def test_no_gradient_is_kept_where_none_is_asked_for_and_loops_are_refused() -> None:
    with torch.no_grad():
        logits, spikes = DifferentiableNetwork(one_neuron())(torch.ones(4, 1, 1, 1, 1))
    assert not logits.requires_grad and not spikes[0].requires_grad
    fc1, fc2 = two_layers().layers
    loop = replace(
        two_layers(), layers=(replace(fc1, inputs=(*fc1.inputs, Input(np.eye(3), "fc2"))), fc2)
    )
    with pytest.raises(InputError, match="gradients: a layer reads one that comes later"):
        DifferentiableNetwork(loop)


def ann(
    layers: tuple[Layer, ...], readout: Readout, shape: Shape = (2, 2, 2), largest: float = 1.0
) -> Network:
    return Network(shape, 1, layers, readout, "image", largest)


def residual_ann() -> Network:
    """Of two pixels a, b: s = relu(a + 1, 2b - a), r = relu(s - x + 0.5 s), limited to 3 and 1."""
    first = Layer("fc1", np.array([[1, 0], [-1, 2.0]]), ReLU([1, 0]))
    inputs = Input(np.eye(2), ("fc1", Source("input", sign=-1))), Input(Identity(), "fc1", 0.5)
    return ann(
        (first, Layer("fc2", inputs, ReLU(limit=[3, 1]))),
        Readout(np.array([[1.0, 10]]), bias=[4]),
        (2, 1, 1),
    )


def test_a_residual_sum_by_hand(tmp_path):
    network = residual_ann()
    # The largest number is 2, so pixels 2, -1 and 1, 2 of images are 1, -0.5 and 0.5, 1.
    images = np.array([[2, -1], [1, 2]], np.float32).reshape(2, 2, 1, 1)
    network = replace(network, input_range=2.0)
    inputs = torch.from_numpy(encode(network, images, 0, [0, 1]))
    logits, (first, second) = DifferentiableNetwork(network)(inputs)
    assert first.tolist() == [[2, 0], [1.5, 1.5]]
    assert second.tolist() == [
        [2, 0.5],
        [1.75, 1],
    ]  # 2 - 1 + 1; 0 + 0.5 + 0; 1.5 - 0.5 + 0.75; min(1, 1.5 - 1 + 0.75)
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
        Layer(
            "highest",
            Input(Conv(kernel, current_pool=3, current_stride=2, current_padding=1), "conv1"),
            ReLU(),
        ),
        Layer("pooled", Input(Conv(kernel, pool=2, pooling="max"), "conv1"), ReLU()),
        Layer(
            "mean", (Input(Conv(-kernel, pool=2), "conv1"), Input(Identity(), "pooled")), ReLU(0.25)
        ),
        Layer("fc1", (Input([[1.0, 0, 0, 0]], "highest"), Input([[1.0, 1, 1, 1]], "mean")), ReLU()),
    )
    network = ann(layers, Readout([[1.0]], bias=-1), (1, 4, 4), 8)
    image = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [0, 0, 4, 1], [0, -8, 0, 1]], np.float32).reshape(
        1, 1, 4, 4
    )
    logits, found = DifferentiableNetwork(network)(torch.from_numpy(image))
    assert found[0].squeeze().tolist() == [[1, 3, 0, 0], [5, 0, 0, 0], [0, 0, 6, 1], [0, 0, 0, 1]]
    assert found[1].squeeze().tolist() == [[5, 3], [5, 6]]  # of 3×3 windows that begin at -1 and 1
    assert found[2].squeeze().tolist() == [[5, 0], [0, 6]]
    assert found[3].squeeze().tolist() == [[5 - 9 / 4 + 0.25, 0.25], [0.25, 6 - 2 + 0.25]]
    assert logits.item() == 5 + 3 + 0.5 + 4.25 - 1


def test_networks_that_have_steps_or_the_wrong_order():
    first, weight = Layer("fc1", np.eye(2), ReLU()), np.eye(2)
    for inputs in ((weight, Input(weight, "fc2")), Input(weight, Source("input", 2))):
        with pytest.raises(
            NetworkError, match="layer 'fc2': reads '(fc2|input)' with delay .* which has no steps"
        ):
            ann((first, Layer("fc2", inputs, ReLU())), Readout(weight), (2, 1, 1))
    with pytest.raises(
        NetworkError, match="readout: leak is 0.5, expected 1 of a network with neurons ReLU"
    ):
        ann((first,), Readout(weight, leak=0.5), (2, 1, 1))
    with pytest.raises(NetworkError, match="bias has shape .* expected one number"):
        Layer("fc1", weight, ReLU(np.ones((2, 3))))


CHANNELS = 4
NEURONS = [
    LIF(0.9, 1.3),
    LIF(0.75, 0.5, reset="zero"),
    (LIF(0.75, 1.0, synaptic_leak=[0.5, 0.0, 0.25, 0.75]), 0.5),
    LIF(0.9, 0.7, reset="zero", synaptic_leak=0.5),
    LIF(0.5, [0.5, 0.75, 1.0, 0.25], reset_by=[0.25, 0.5, 0.25, 0.125], fires_at_threshold=True),
    LIF(0.9, 0.7, min_v_mem=-0.5),
    LIF(
        1.0,
        [0.5, 0.75, 1.0, 0.25],
        reset="zero",
        synaptic_leak=0.5,
        min_v_mem=[0.0, -0.25, -0.5, -1.0],
    ),
    (
        LIF(1.0, 0.8, bias=np.full((9, CHANNELS), 0.1)),
        np.linspace(0.5, 2, 9 * CHANNELS).reshape(9, CHANNELS),
    ),
]


def by_channel(constant: Any) -> Tensor:
    tensor = torch.tensor(constant, dtype=torch.float32)
    return tensor[..., None, None] if tensor.ndim else tensor


def fire_step_by_step(neuron: LIF, gain: Tensor, currents: Tensor) -> Tensor:
    """The equations, one line each."""
    bias = by_channel(neuron.bias)
    driven = membrane = fired = torch.zeros_like(currents[0])
    spikes = [fired]
    for t, current in enumerate(currents):
        driven = by_channel(neuron.synaptic_leak) * driven + (
            gain[t % len(gain)] * current + bias[t % len(bias)]
        )
        if neuron.reset == "zero":
            membrane = by_channel(neuron.leak) * membrane * (1 - fired.detach()) + driven
        else:
            membrane = (
                by_channel(neuron.leak) * membrane
                + driven
                - fired.detach() * by_channel(neuron.subtracted)
            )
        if neuron.min_v_mem is not None:
            lowest = by_channel(neuron.min_v_mem)
            membrane = torch.where(membrane > lowest, membrane, lowest)
        fired = Surrogate.apply(
            (membrane - by_channel(neuron.fires_above)) / by_channel(neuron.threshold)
        )
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize(
    ("width", "expected"), [(1.0, [0, 0.15, 0.3, 0.225, 0]), (2.0, [0, 0.225, 0.3, 0.2625, 0.15])]
)
def test_the_surrogate_by_hand(width: float, expected: list[float]) -> None:
    # 0.3 · max(0, 1 - |u| / width) / θ at u = v/θ - 1 = -2, -0.5, 0, 0.25, 1, with θ = 1
    currents = torch.tensor([-1.0, 0.5, 1.0, 1.25, 2.0]).reshape(1, 1, 5).requires_grad_()
    spikes = fire(LIF(0.9, 1.0).of_channels(5), np.ones((1, 5)), currents, width=width)
    spikes.sum().backward()
    assert spikes[0].tolist() == [[0, 0, 0, 0, 0]]
    assert spikes[1].tolist() == [[0, 0, 0, 1, 1]]
    assert currents.grad is not None
    assert currents.grad.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("late", [0, 3, 8])
@pytest.mark.parametrize("neuron", NEURONS)
def test_spikes_and_gradients_of_the_equations(neuron: LIF | tuple[LIF, Any], late: int) -> None:
    neuron, gain = neuron if isinstance(neuron, tuple) else (neuron, 1)
    currents = torch.randn(
        8, 3, CHANNELS, 5, 2, generator=torch.Generator().manual_seed(late)
    ).requires_grad_()
    weights = torch.randn(9, 3, CHANNELS, 5, 2, generator=torch.Generator().manual_seed(9))
    layer = Layer("conv1", Input(np.ones((CHANNELS, 1, 3, 3)), gain=gain), neuron)
    rows = layer.inputs[0].gain
    expected = fire_step_by_step(layer.spiking_neuron, by_channel(rows), currents)
    found = fire(layer.spiking_neuron, rows, currents[: 8 - late], currents[8 - late :].detach())
    assert 0.05 < expected.mean() < 0.9
    assert torch.equal(found, expected)
    weights[9 - late :] = 0  # of late spikes there is no gradient
    (of_equations,) = torch.autograd.grad((expected * weights).sum(), currents)
    (gradient,) = torch.autograd.grad((found * weights).sum(), currents)
    assert bool(of_equations.any()) == (late < 8)
    torch.testing.assert_close(gradient, of_equations)


def deep(timesteps: int) -> Network:
    random = np.random.default_rng(0)
    layers = tuple(
        Layer(
            f"conv{number}",
            Input(Conv(random.normal(0, 0.5, (CHANNELS, channels, 3, 3)), padding=1)),
            LIF(0.9, 0.4),
        )
        for number, channels in enumerate((2, CHANNELS, CHANNELS), 1)
    )
    return Network(
        (2, 4, 4), timesteps, layers, Readout(random.normal(size=(3, 16 * CHANNELS))), "spikes"
    )


@pytest.mark.parametrize("timesteps", [1, 2, 3, 4, 9])
def test_logits_alone_are_those_of_all_steps(timesteps: int) -> None:
    """Also where the network has more layers than steps, so that nothing reaches the readout."""
    network = DifferentiableNetwork(deep(timesteps))
    x = (
        (torch.rand(timesteps, 5, 2, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5)
        .float()
        .requires_grad_()
    )
    logits, spikes = network(x)
    assert torch.equal(network.logits(x), logits)
    assert [len(each) for each in spikes] == [timesteps] * 3
    assert bool(logits.any()) == (timesteps > 3)
    weights = torch.tensor([1.0, -2.0, 0.5])
    everywhere = torch.autograd.grad((logits * weights).sum(), [x, *spikes])
    (sooner,) = torch.autograd.grad((network.logits(x) * weights).sum(), x)
    assert torch.equal(sooner, everywhere[0])
    for number, gradient in enumerate(everywhere):
        late = max(0, timesteps - 3 + number)
        assert (
            gradient[:late].any() or timesteps < 9
        )  # silence, a whole threshold away, has no surrogate
        assert not gradient[late:].any()


def images_for(model: Any, count: int = 3) -> torch.Tensor:
    return torch.tensor(random.normal(0, 0.7, (count, *model.image_shape)), dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "shape"), [("cluttered-digits", (3, 80, 80)), ("residual-digits", (3, 40, 40))]
)
def test_the_scores_are_the_backends(name: str, shape: tuple[int, ...]) -> None:
    network = spikesam.load(name).network
    model = spikesam.to_torch(name, seed=4)
    assert model.image_shape == shape and not model.training
    images = images_for(model)
    with torch.no_grad():
        scores = model(images)
    (batch,) = TorchBackend("cpu").run(network, [encode(network, images.numpy(), 4, range(3))], 3)
    np.testing.assert_allclose(
        scores, batch.readout * network.readout.scale / network.timesteps, rtol=1e-4, atol=1e-5
    )
    assert torch.equal(model(images), model(images))


def test_what_is_refused() -> None:
    checkpoint = spikesam.load("residual-digits")
    with pytest.raises(
        spikesam.InputError, match="^gradients: got a network in fixed point, expected float32"
    ):
        spikesam.to_torch(spikesam.quantise(checkpoint.network))
    with pytest.raises(
        spikesam.InputError, match="^to_torch: the network takes spikes, expected one that"
    ):
        spikesam.to_torch("saccade-digits")
    with pytest.raises(
        spikesam.InputError,
        match="^to_torch: got int, expected a Network, a checkpoint or its name$",
    ):
        spikesam.to_torch(3)  # type: ignore[arg-type]
    model = spikesam.to_torch(checkpoint)
    with pytest.raises(
        spikesam.InputError, match=r"^to_torch: got images of \(2, 7, 5, 5\), expected \(B, "
    ):
        model(torch.zeros(2, 7, 5, 5))
