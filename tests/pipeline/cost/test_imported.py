"""Energy of imported networks: what the model does, in the model's steps, whichever of both was
recorded.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import LIF, Attention, Input, Layer, Network, Readout, Source
from spikesam.pipeline.engine.summary import spike_rates
from tests.pipeline.imports.models import Written, loud

STEPS = 4


def blocks(m: Any, image: Tensor) -> Tensor:
    """Two blocks behind a maximum pooling of spikes; the answer comes from two layers."""
    pooled = m.pool(m.sn1(m.conv1(image)))
    return m.fc((m.sn3(m.conv3(m.sn2(m.conv2(pooled)))) + pooled).flatten(1))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    convolutions = {
        f"conv{at}": nn.Conv2d(8 if at > 1 else 3, 8, 3, padding=1, groups=1 + (at == 2))
        for at in (1, 2, 3)
    }
    neurons = {f"sn{at}": neuron.IFNode() for at in (1, 2, 3)}
    found = loud(
        Written(
            blocks,
            **convolutions,
            **neurons,
            pool=nn.MaxPool2d(3, 2, 1),
            fc=nn.Linear(8 * 8 * 8, 4),
        )
    )
    for each in found.modules():
        if isinstance(each, nn.Conv2d):
            each.bias.data.abs_()  # so that neurons would go on firing
    return found


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(128, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 63.5


@pytest.fixture(scope="module")
def network(model: nn.Module, images: Tensor) -> Network:
    return spikesam.from_torch(model, images, timesteps=STEPS)


@pytest.fixture
def recording(model: nn.Module, images: Tensor, tmp_path: Path) -> Path:
    functional.reset_net(model)
    with torch.no_grad(), spikesam.record(model, tmp_path / "model", operations=True) as recording:
        for _ in range(STEPS):
            model(images)
        recording.finish()
    return tmp_path / "model"


def operations_of(model: nn.Module, steps: Iterable[Tensor]) -> Any:
    """SpikingJelly's count of the operations of a model."""
    counter = pytest.importorskip("spikingjelly.activation_based.op_counter")
    synops = counter.SynOpCounter()
    with torch.no_grad(), counter.DispatchCounterMode([synops]):
        for step in steps:
            model(step)
    return synops


def test_a_recording_costs_what_a_simulation_costs(
    recording: Path, network: Network, images: Tensor
) -> None:
    simulated = spikesam.simulate(network, images.numpy(), precision="float32")
    assert {*simulated} - {*spikesam.open_raster(recording / "raster.h5")} == {"sn1_max", "answer"}
    ours, theirs = spikesam.energy(simulated, network), spikesam.energy(recording, network)
    for table in ("layers", "steps"):
        assert getattr(ours, table).equals(getattr(theirs, table))
    np.testing.assert_allclose(ours.map, theirs.map)
    assert ours.sparsity == theirs.sparsity
    assert ours.steps["step"].max() == STEPS - 1
    updates = ours.layers.set_index("layer")["updates"]
    assert updates["sn1"] == 8 * 16 * 16 * STEPS
    assert "linear operations of the model" in ours.note


def test_operations_are_of_the_convolutions(
    recording: Path, network: Network, model: nn.Module, images: Tensor
) -> None:
    """Counted in the model by SpikingJelly: each spike that a convolution gets, at each of its
    weights.
    """
    functional.reset_net(model)
    counts = operations_of(model, STEPS * [images]).get_counts()
    counted = [sum(counts[f"Written.{name}"].values()) for name in ("conv2", "conv3")]
    found = spikesam.energy(recording, network).layers.set_index("layer")
    assert found["operations"][["sn2", "sn3"]].mul(len(images)).round(6).tolist() == counted
    modules = spikesam.energy(recording).layers.set_index("layer")
    assert modules["operations"][["conv2", "conv3"]].tolist() == (
        found["operations"][["sn2", "sn3"]].tolist()
    )
    assert modules["ann_macs"][["conv2", "conv3"]].tolist() == (
        found["ann_macs"][["sn2", "sn3"]].tolist()
    )
    assert found["ann_macs"]["sn2"] * 2 == found["ann_macs"]["sn3"] == 8 * 8 * 22 * 22


def test_without_the_network_spikes_are_known_in_the_steps_of_the_model(
    network: Network, images: Tensor
) -> None:
    simulated = spikesam.simulate(network, images.numpy(), precision="float32")
    known, unknown = spikesam.energy(simulated, network), spikesam.energy(simulated)
    assert unknown.sparsity == known.sparsity
    assert unknown.layers["updates"].tolist() == known.layers["updates"][:-1].tolist()


def test_every_number_of_steps_is_the_models(
    network: Network, images: Tensor, tmp_path: Path
) -> None:
    raster = spikesam.simulate(network, images.numpy(), out=tmp_path / "run")
    assert f"{STEPS} steps" in repr(network)
    spikes = int(raster.counts(raster.layer("sn1")).sum())
    assert spike_rates(raster.header, {"sn1": spikes}, 3) == {
        "sn1": spikes / (3 * STEPS * 8 * 16 * 16)
    }
    with pytest.raises(spikesam.NetworkError, match="window is 10, expected at most 9 timesteps"):
        replace(network, window=10)


def test_spikingjelly_counts_as_many_operations_of_its_own_model() -> None:
    """But for the readout that an import adds, which counts the last layer's spikes."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(2, 8, 3, padding=1),
        neuron.IFNode(),
        nn.Conv2d(8, 6, 3, stride=2),
        neuron.IFNode(),
    )
    model = loud(nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 49, 10), neuron.IFNode()))
    example = (torch.rand(STEPS, 1, 2, 16, 16) < 0.3).float()
    counted = operations_of(model, example).get_total()
    functional.reset_net(model)
    network = spikesam.from_torch(model, example)
    found = spikesam.energy(
        spikesam.simulate(network, example.numpy() > 0, precision="float32"), network
    )
    assert found.layers.set_index("layer")["operations"].drop("readout").sum() == counted > 0


def test_attention_of_layers_of_other_depths_costs_as_much_in_a_recording(tmp_path: Path) -> None:
    """Of q one layer deep, and k and v two deep; a recording of the model has them in the same
    step.
    """
    identity, neuron = np.eye(2, dtype=np.float32)[..., None, None], LIF(0.0, 0.5, reset="zero")
    names = {"q": "input", "k0": "input", "k": "k0"}
    layers = [Layer(name, Input(identity, source), neuron) for name, source in names.items()]
    attention = Input(Attention(heads=1), (Source("q", 2), "k", "k"))
    readout = Readout(np.ones((3, 8), np.float32))
    network = Network(
        (2, 2, 2),
        STEPS + 4,
        (*layers, Layer("a", attention, neuron)),
        readout,
        "spikes",
        window=STEPS,
    )
    rng, spikes = np.random.default_rng(0), np.zeros((STEPS + 4, 3, 2, 2, 2), bool)
    spikes[:STEPS] = rng.random((STEPS, 3, 2, 2, 2)) < 0.5
    simulated = spikesam.simulate(network, spikes, precision="float32")
    of_model = {
        each.name: simulated[each.name][:][simulated.header.window_of(each)].swapaxes(0, 1)
        for each in simulated.layers
    }
    recording = spikesam.write_raster(tmp_path / "model.h5", of_model)
    ours, theirs = spikesam.energy(simulated, network), spikesam.energy(recording, network)
    assert ours.layers.set_index("layer")["operations"]["a"] > 0
    assert ours.layers.equals(theirs.layers)
