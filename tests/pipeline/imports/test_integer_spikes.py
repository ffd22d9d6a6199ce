"""Neurons of sinabs that fire up to several spikes a step: planes of bits."""

from typing import Any

import pytest
import torch
from torch import nn

import spikesam
from tests.pipeline.imports.models import assert_same_bits, loud, spikes

layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")


def counting(most: int, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    count = activation.MaxSpike(most)
    neurons = [layers.IAF(spike_fn=count, **options) for _ in range(2)]
    parts = nn.Linear(10, 12), neurons[0], nn.Linear(12, 6), neurons[1]
    return loud(nn.Sequential(*parts), 6.0)


@pytest.mark.parametrize("options", [{}, {"min_v_mem": -1.0}])
def test_neurons_of_sinabs_with_a_limit_are_planes(options: dict[str, Any]) -> None:
    model, example = counting(3, **options), spikes(6, 3, 10, density=0.5)
    network = spikesam.from_torch(model, example)
    assert network.names[1:4] == ("iaf_1_1", "iaf_1_2", "iaf_1_3")
    assert [layer.neuron.threshold for layer in network.layers[:3]] == [1, 2, 3]
    assert all(layer.neuron.fires_at_threshold for layer in network.layers[:3])
    for density in (0.9, 0.1):
        assert_same_bits(model, network, spikes(6, 3, 10, density=density))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_fn": activation.MembraneReset()}, "is reset to zero by several spikes per step"),
        ({"tau_syn": 3.0}, "has tau_syn and several spikes per step, expected no tau_syn"),
    ],
)
def test_other_neurons_with_several_spikes_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(spikesam.NetworkError, match=f"'1' .IAF.: {message}"):
        spikesam.from_torch(counting(3, **options), spikes(6, 3, 10, density=0.5))
