"""Whatever stands between weights and neurons, the network's neurons are in the model's own order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from tests.pipeline.imports.models import Written, fires, loud, spikes

pytest.importorskip("snntorch")
STEPS, SAMPLES = 7, 3
CHANNELS, NEURONS = [2, 0, 3, 1], [3, 5, 1, 0, 2, 4, 11, 10, 9, 8, 7, 6]


def net(step: Callable[[Any, Tensor], Tensor]) -> nn.Module:
    """Two convolutions and a dense layer, each with neurons, around which a test writes the rest."""

    def forward(m: Any, x: Tensor) -> Tensor:
        for lif in (m.lif1, m.lif2, m.lif3):
            lif.reset_mem()
        return torch.stack([step(m, each).flatten(1) for each in x])

    torch.manual_seed(0)
    synapses = {
        "conv1": nn.Conv2d(2, 4, 3, padding=1),
        "conv2": nn.Conv2d(4, 4, 3, padding=1),
        "fc": nn.Linear(144, 12),
    }
    return loud(Written(forward, **synapses, **{f"lif{number}": fires(beta=0.9) for number in (1, 2, 3)}))


def shuffled(maps: Tensor) -> Tensor:
    samples, channels, *sides = maps.shape
    return maps.view(samples, 2, channels // 2, *sides).transpose(1, 2).reshape(maps.shape)


def fired(m: Any, x: Tensor) -> Tensor:
    return m.lif1(m.conv1(x))


CASES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "channels shuffled in front of neurons": lambda m, x: m.lif3(m.fc(m.lif1(shuffled(m.conv1(x))).flatten(1))),
    "channels shuffled by a module": lambda m, x: m.lif1(nn.ChannelShuffle(2)(m.conv1(x))),
    "channels by their index": lambda m, x: m.lif1(m.conv1(x).index_select(1, torch.tensor(CHANNELS))),
    "some channels, one twice": lambda m, x: m.lif2(m.conv2(fired(m, x)[:, [3, 3, 0, 1]])),
    "neurons of a dense layer": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1))[:, NEURONS]),
    "a transposed dense layer": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1)).view(-1, 3, 4).mT.flatten(1)),
    "in front of a convolution": lambda m, x: m.lif2(m.conv2(shuffled(fired(m, x)))),
    "behind pooling": lambda m, x: m.lif2(m.conv2(shuffled(functional.max_pool2d(fired(m, x), 2)))),
    "in front of pooling": lambda m, x: m.lif2(m.conv2(functional.avg_pool2d(shuffled(fired(m, x)), 2))),
    "twice, around pooling, and flattened with channels last": lambda m, x: m.lif3(
        m.fc(functional.max_pool2d(shuffled(fired(m, x)), 2).permute(0, 2, 3, 1).repeat(1, 2, 2, 1).flatten(1))
    ),
    "in front of a dense layer": lambda m, x: m.lif3(m.fc(shuffled(fired(m, x)).flatten(1))),
    "with no weights": lambda m, x: m.lif2(fired(m, x)[:, CHANNELS] * 0.5),
    "of a concatenation of halves": lambda m, x: m.lif2(
        shuffled(torch.cat([(y := fired(m, x))[:, :2], m.conv2(y)[:, 1:3]], 1))
    ),
    "of a sum": lambda m, x: m.lif2(shuffled(m.conv2(y := fired(m, x)) + shuffled(y))),
    "of the answer": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1)))[:, NEURONS],
    "of some classes": lambda m, x: m.lif3(m.fc(fired(m, x).flatten(1)))[:, NEURONS[:5]],
    "of the answer of a map": lambda m, x: shuffled(fired(m, x)).mean((2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_recording_of_the_model_and_a_simulation_of_the_network_are_the_same(case: str, tmp_path: Path) -> None:
    model, given = net(CASES[case]), spikes(STEPS, SAMPLES, 2, 6, 6)
    network = spikesam.from_torch(model, given)
    with torch.no_grad(), spikesam.record(model, tmp_path, layout="B...") as recording:
        recording.finish(model(given).sum(0))
    silent = torch.zeros(network.timesteps - STEPS, *given.shape[1:])
    raster = spikesam.simulate(network, torch.cat([given, silent]).numpy(), precision="float32")
    found = spikesam.diff(tmp_path, raster, network)
    assert found.layers[["only_first", "only_second"]].to_numpy().sum() == 0
    assert found.answers == 0
    recorded, simulated = spikesam.explain(tmp_path), spikesam.explain(raster)
    assert np.array_equal(recorded["lif1"].sum, simulated["lif1"].sum)


MOVED = "moves places of a map between a convolution and neurons, expected channels in"
REFUSED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    rf"torch.Tensor.transpose: {MOVED}": lambda m, x: m.lif1(m.conv1(x).transpose(2, 3)),
    rf"torch.Tensor.flip: {MOVED}": lambda m, x: m.lif1(m.conv1(x).flip(3).flatten(1)),
    rf"torch.nn.functional.pixel_shuffle: {MOVED}": lambda m, x: m.lif1(functional.pixel_shuffle(m.conv1(x), 2)),
    r"module 'conv2' \(Conv2d\): sees a map whose places are moved": lambda m, x: m.lif2(m.conv2(fired(m, x).mT)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_places_that_are_moved_around_a_convolution_are_refused(message: str) -> None:
    with pytest.raises(spikesam.NetworkError, match=f"from_torch: {message}"):
        spikesam.from_torch(net(REFUSED[message]), spikes(STEPS, SAMPLES, 2, 6, 6))
