"""An import that is wrong is found out at its first bit; one that rounding changes is told from it."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import LIF
from tests.pipeline.imports.models import spikes


class Neurons(nn.Module):
    """v ← v/2 + i; fires at v ≥ 1, or another threshold, and loses 1 at once."""

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.membrane: Any = 0.0
        self.threshold = threshold

    def forward(self, current: Tensor) -> Tensor:
        self.membrane = self.membrane / 2 + current
        fired = (self.membrane >= self.threshold).float()
        self.membrane = self.membrane - fired
        return fired


class Identity(nn.Linear):
    """Each input drives one neuron, by 0.75."""

    def __init__(self) -> None:
        super().__init__(2, 2, bias=False)
        self.weight.data = 0.75 * torch.eye(2)


RIGHT = LIF(0.5, 1.0, reset_by=0.5, fires_at_threshold=True)


def model() -> nn.Module:
    return nn.Sequential(Identity(), Neurons()).eval()


def given() -> Tensor:
    """Spikes for the second neuron of the second sample: v is 0.75, 1.125, 0.0625, 0.78125, 1.140625."""
    input_spikes = torch.zeros(5, 2, 2)
    input_spikes[[0, 1, 3, 4], 1, 1] = 1
    return input_spikes


def test_the_right_equation_is_proven() -> None:
    network = spikesam.from_torch(model(), given(), neurons={Neurons: RIGHT})
    raster = spikesam.simulate(network, given()[..., None, None], precision="float32")
    assert raster["neurons_1"][1][:, 1, 0, 0].tolist() == [False, False, True, False, False, True]


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        # Without the leak, v would be 0.75, 1.5, 0.5, 1.25: the network fires at step 3, where the model does not.
        (
            LIF(1.0, 1.0, fires_at_threshold=True),
            "module '1' (Neurons): at step 3 of sample 1, neuron (1, 0, 0) fires in the network, not in the model; its "
            "membrane is 1.25 in the network, 1.25 with the model's own currents, its threshold 1",
        ),
        # With another threshold, nothing fires at step 1.
        (
            LIF(0.5, 1.2, reset_by=0.5),
            "module '1' (Neurons): at step 1 of sample 1, neuron (1, 0, 0) fires in the model, not in the network; its "
            "membrane is 1.125 in the network, 1.125 with the model's own currents, its threshold 1.2",
        ),
    ],
)
def test_a_wrong_equation_is_named_with_both_membranes(neuron: LIF, message: str) -> None:
    for rounding in (False, True):
        with pytest.raises(spikesam.NetworkError, match=re.escape(message) + "$"):
            spikesam.from_torch(model(), given(), neurons={Neurons: neuron}, rounding=rounding)


class Doubled(nn.BatchNorm1d):
    """Looks like a normalisation, and is another."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x)


def test_wrong_synapses_are_told_from_wrong_neurons() -> None:
    doubled = nn.Sequential(Identity(), Doubled(2, eps=0), Neurons()).eval()
    message = "step 0 .* fires in the model, .* its membrane is 0.75 in the network, 1.5 with the model's own currents"
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(doubled, given(), neurons={Neurons: RIGHT})


def test_an_image_is_explained_too() -> None:
    image = torch.tensor([[0.0, 2.0]])
    with pytest.raises(spikesam.NetworkError, match=r"step 0 .* its membrane is 1.5 in the network, 1.5 with .* 1.6$"):
        spikesam.from_torch(model(), image, timesteps=3, neurons={Neurons: LIF(0.5, 1.6)})


def test_rounding_may_decide_where_it_is_accepted() -> None:
    """A membrane meets the threshold: the model fires at it, the network above it, and everything after differs."""
    at_threshold, above = (LIF(0.5, 1.125, reset_by=0.5, fires_at_threshold=fires) for fires in (True, False))
    exact = nn.Sequential(Identity(), Neurons(1.125), Identity(), Neurons(1.125)).eval()
    exact[2].weight.data *= 2
    message = "its threshold 1.125; the order of additions decides, which rounding=True accepts$"
    torch.manual_seed(0)
    loud = spikes(9, 8, 2, density=0.6)
    assert spikesam.from_torch(exact, loud, neurons={Neurons: at_threshold}).timesteps == 11
    with pytest.raises(spikesam.NetworkError, match=message):
        spikesam.from_torch(exact, loud, neurons={Neurons: above})
    network = spikesam.from_torch(exact, loud, neurons={Neurons: above}, rounding=True)
    assert spikesam.compare(exact, network, loud, neurons={Neurons: above}).runs["differ"][0] > 0


def test_lava_dls_rounding_is_accepted_where_it_decides() -> None:
    """Currents and membranes that leak are multiples of 1/4096 in lava-dl, and of nothing in float32."""
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    neuron = {"threshold": 0.7, "current_decay": 0.3, "voltage_decay": 0.1}
    torch.manual_seed(0)
    first = cuba.Conv(neuron, 2, 6, 3, weight_scale=3)
    leaky, loud = nn.Sequential(first, cuba.Flatten(), cuba.Dense(neuron, 600, 10)).eval(), spikes(20, 3, 2, 12, 12)
    with pytest.raises(spikesam.NetworkError, match="lava-dl rounds what leaks to 0.000244 at every step, which round"):
        spikesam.from_torch(leaky, loud)
    network = spikesam.from_torch(leaky, loud, rounding=True)
    differ = spikesam.compare(leaky, network, loud).layers["differ_float32"]
    assert 0 < differ[0] < 0.01


def test_an_answer_that_the_readout_does_not_give_is_refused() -> None:
    class Squared(nn.BatchNorm1d):
        """Looks like a normalisation."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2 + 1

    torch.manual_seed(0)
    squared = nn.Sequential(Identity(), Neurons(), Squared(2)).eval()
    with pytest.raises(spikesam.NetworkError, match="output: all spikes are the same, but its scores differ by up to"):
        spikesam.from_torch(squared, given(), neurons={Neurons: RIGHT})
