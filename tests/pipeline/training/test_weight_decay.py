"""Weight decay: BNTT's gains at their own rate, and steps that no answer hears of not at all."""

import pytest
import torch

from spikesam.pipeline.config import Config, DataSection, NetworkSection, TrainingSection
from spikesam.pipeline.training.inputs import training_inputs
from spikesam.pipeline.training.module import TrainingModule
from spikesam.pipeline.training.spiking_network import SpikingNetwork


@pytest.mark.parametrize(("gain_decay", "left"), [(None, 0.99), (0.5, 0.95), (0.0, 1.0)])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_without_gradient_shrinks_gains_at_their_own_rate(optimizer, gain_decay, left):
    network = NetworkSection(layers=(4, "D8"), timesteps=4)
    training = TrainingSection(
        optimizer=optimizer, learning_rate=0.1, weight_decay=0.1, gain_decay=gain_decay, schedule="step"
    )
    data = DataSection(height=4, width=4)
    model = SpikingNetwork(network, (3, 4, 4), 2)
    module = TrainingModule(model, training, training_inputs(Config(data=data, network=network, training=training)))
    (chosen,), _ = module.configure_optimizers()
    layer = model.layers[0]
    weight = layer.synapses.weight.detach().clone()
    spikes = torch.ones(4, 2, 3, 4, 4)
    model(spikes).sum().mul(0).backward()  # gradients of zero, where an answer hears of a parameter
    chosen.step()
    torch.testing.assert_close(layer.synapses.weight, 0.99 * weight)
    reached = [norm.weight.grad is not None for norm in layer.bntt]
    assert reached == [True, True, False, False]  # two layers delay the input by two steps
    for norm, heard in zip(layer.bntt, reached, strict=True):
        torch.testing.assert_close(norm.weight.detach(), torch.full((4,), left if heard else 1.0))
