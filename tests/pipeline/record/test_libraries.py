"""Small networks of every library: each recorded bit is the one that the network itself fires."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import MODELS, make

# Called at every step; others take all steps. Networks take images in 8 bits, these models as they
# are.
STEP_BY_STEP = (
    "snntorch_tutorial",
    *(f"spikingjelly_{kind}" for kind in ("steps_hard", "integrate_and_fire")),
)
STEP_BY_STEP += ("spikingjelly_current_based", "norse_cells")
OF_IMAGES = tuple(name for name in MODELS if name.endswith("image") or "converted" in name)


def answer(name: str, model: nn.Module, example: Tensor) -> Any:
    """The output of a model, called with (T, B, …) as its library has it."""
    if name.startswith("sinabs"):
        samples_first = example.transpose(0, 1)
        return model(samples_first.flatten(0, 1) if "squeezed" in name else samples_first)
    if name not in STEP_BY_STEP:
        return model(example.movedim(0, -1) if name.startswith("lava") else example)
    given, state = [], None
    for step in example:
        output, state = model(step, state) if name == "norse_cells" else (model(step), None)
        given.append(output[0] if isinstance(output, tuple) else output)
    return torch.stack(given)


@pytest.mark.short  # lava-dl runs in torch, not on Lava
@pytest.mark.parametrize("name", [name for name in MODELS if name not in OF_IMAGES])
def test_a_recording_is_the_raster_of_the_network_that_the_model_becomes(
    name: str, tmp_path: Path
) -> None:
    """The import is proven; its layers fire as many steps later as they lie deep."""
    model, example = make(name)
    network = spikesam.from_torch(model, example)
    with spikesam.record(model, tmp_path) as recording:
        recording.finish(
            answer(name, model, example), layout="B...T" if name.startswith("lava") else None
        )
    spikes = example.reshape(*example.shape, *[1] * (5 - example.ndim))
    simulated = spikesam.simulate(network, spikes, precision="float32")
    recording.raster.verify()
    assert recording.raster.timesteps == len(example)
    assert [layer.name for layer in network.layers] == list(recording.raster)[: len(network.layers)]
    for depth, layer in enumerate(network.layers, start=1):
        later = 1 if name == "lava_dl" else depth  # blocks that are delayed themselves
        expected = simulated[layer.name][:][later : later + len(example)]
        assert 0 < expected.mean() < 1 and len(expected) >= len(example) - 1
        assert np.array_equal(recording.raster[layer.name][:][: len(expected)], expected), (
            layer.name
        )
    if network.readout.leak == 1 and name != "lava_dl":
        assert recording.raster.readout == pytest.approx(simulated.readout)


def test_spikingjelly_neurons_that_are_no_base_node(tmp_path: Path) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    if not hasattr(neuron, "PSN"):
        pytest.skip("this release has no PSN")
    model = nn.Sequential(nn.Linear(6, 5), neuron.PSN(T=7), neuron.NonSpikingLIFNode()).eval()
    model[1].bias.fill_(-0.5)
    currents = 2 * torch.rand(7, 3, 6)
    with spikesam.record(model, tmp_path) as recording:
        model(currents)
        recording.finish()
    expected = model[1](model[0](currents)).bool()
    assert list(recording.raster) == ["psn_1"] and 0 < expected.float().mean() < 1
    assert np.array_equal(recording.raster["psn_1"][:][..., 0, 0], expected)
