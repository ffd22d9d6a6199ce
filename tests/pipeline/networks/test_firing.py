"""Firing over all steps as one operation: spikes and gradients of the equations, which autograd differentiates."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.common.peers import Surrogate
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.networks.firing import fire

CHANNELS = 4
NEURONS = [
    LIF(0.9, 1.3),
    LIF(0.75, 0.5, reset="zero"),
    (LIF(0.75, 1.0, synaptic_leak=[0.5, 0.0, 0.25, 0.75]), 0.5),
    LIF(0.9, 0.7, reset="zero", synaptic_leak=0.5),
    LIF(0.5, [0.5, 0.75, 1.0, 0.25], reset_by=[0.25, 0.5, 0.25, 0.125], fires_at_threshold=True),
    LIF(0.9, 0.7, min_v_mem=-0.5),
    LIF(1.0, [0.5, 0.75, 1.0, 0.25], reset="zero", synaptic_leak=0.5, min_v_mem=[0.0, -0.25, -0.5, -1.0]),
    (LIF(1.0, 0.8, bias=np.full((9, CHANNELS), 0.1)), np.linspace(0.5, 2, 9 * CHANNELS).reshape(9, CHANNELS)),
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
        driven = by_channel(neuron.synaptic_leak) * driven + (gain[t % len(gain)] * current + bias[t % len(bias)])
        if neuron.reset == "zero":
            membrane = by_channel(neuron.leak) * membrane * (1 - fired.detach()) + driven
        else:
            membrane = by_channel(neuron.leak) * membrane + driven - fired.detach() * by_channel(neuron.subtracted)
        if neuron.min_v_mem is not None:
            lowest = by_channel(neuron.min_v_mem)
            membrane = torch.where(membrane > lowest, membrane, lowest)
        fired = Surrogate.apply((membrane - by_channel(neuron.fires_above)) / by_channel(neuron.threshold))
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize(("width", "expected"), [(1.0, [0, 0.15, 0.3, 0.225, 0]), (2.0, [0, 0.225, 0.3, 0.2625, 0.15])])
def test_the_surrogate_by_hand(width: float, expected: list[float]) -> None:
    # 0.3 · max(0, 1 - |u| / width) / θ at u = v/θ - 1 = -2, -0.5, 0, 0.25, 1, with θ = 1
    currents = torch.tensor([-1.0, 0.5, 1.0, 1.25, 2.0]).reshape(1, 1, 5).requires_grad_()
    spikes = fire(LIF(0.9, 1.0).of_channels(5, "neurons"), np.ones((1, 5)), currents, width=width)
    spikes.sum().backward()
    assert spikes[0].tolist() == [[0, 0, 0, 0, 0]]
    assert spikes[1].tolist() == [[0, 0, 0, 1, 1]]
    assert currents.grad is not None
    assert currents.grad.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("late", [0, 3, 8])
@pytest.mark.parametrize("neuron", NEURONS)
def test_spikes_and_gradients_of_the_equations(neuron: LIF | tuple[LIF, Any], late: int) -> None:
    neuron, gain = neuron if isinstance(neuron, tuple) else (neuron, 1)
    currents = torch.randn(8, 3, CHANNELS, 5, 2, generator=torch.Generator().manual_seed(late)).requires_grad_()
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
        Layer(f"conv{number}", Input(random.normal(0, 0.5, (CHANNELS, channels, 3, 3)), padding=1), LIF(0.9, 0.4))
        for number, channels in enumerate((2, CHANNELS, CHANNELS), 1)
    )
    return Network((2, 4, 4), timesteps, layers, Readout(random.normal(size=(3, 16 * CHANNELS))), "spikes")


@pytest.mark.parametrize("timesteps", [1, 2, 3, 4, 9])
def test_logits_alone_are_those_of_all_steps(timesteps: int) -> None:
    """Also where the network has more layers than steps, so that nothing reaches the readout."""
    network = DifferentiableNetwork(deep(timesteps))
    x = (torch.rand(timesteps, 5, 2, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float().requires_grad_()
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
        assert gradient[:late].any() or timesteps < 9  # silence, a whole threshold away, has no surrogate
        assert not gradient[late:].any()
