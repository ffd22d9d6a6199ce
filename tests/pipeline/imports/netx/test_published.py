"""Networks that were trained for Loihi, against what Lava and lava-dl recorded of them: every bit is the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam

NAMES = ("input", *(f"conv-{number}" for number in range(5)), *(f"fc-{number}" for number in range(3)))
STEPS = 17  # that a layer of PilotNet ran between two resets


@pytest.fixture
def folder(shared: Path) -> Path:
    found = shared / "data/networks"
    if not found.is_dir():
        pytest.skip(f"needs {found}, which is not here")
    return found


def recorded(folder: Path, name: str) -> NDArray[np.bool_]:
    """(T, C, H, W) of a layer of PilotNet, whose files are (x, y, channel, step) or (neuron, step)."""
    bits = np.load(folder / f"pilotnet_lif/{name}.npy")
    return bits.transpose(3, 2, 1, 0) if bits.ndim == 4 else bits.T[..., None, None]


def pixels(image: NDArray[np.integer]) -> NDArray[np.float64]:
    """(x, y, channel) integers that an input layer is given, as an image (1, C, H, W)."""
    return image.transpose(2, 1, 0)[None] * 2 / 127


def pilotnet(folder: Path) -> spikesam.Network:
    return spikesam.from_netx(folder / "pilotnet_lif/network.net")


def alone(folder: Path) -> Iterator[tuple[str, spikesam.Network, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Each layer as a network of its own, the spikes that drove it from step l on, and its own from step l + 1 on."""
    network = pilotnet(folder)
    for number, layer in enumerate(network.layers[1:], start=1):
        arrived = recorded(folder, NAMES[number - 1])[number - 1 :][:STEPS]
        neuron = replace(layer.neuron, bias=layer.neuron.bias[-1:])
        readout = spikesam.Readout(np.ones((1, int(np.prod(network.shapes[number + 1]))), np.int8))
        steps = len(arrived) + 1
        given = [replace(each, source="input") for each in layer.inputs]
        layers = (spikesam.Layer(layer.name, given, neuron),)
        one = spikesam.Network(network.shapes[number], steps, layers, readout, encoder="spikes")
        yield layer.name, one, arrived, recorded(folder, NAMES[number])[number:][:STEPS]


@pytest.mark.parametrize("backend", ["event", "torch", "lava"])
def test_each_layer_of_pilotnet_fires_its_file(folder: Path, backend: str) -> None:
    if backend == "lava":
        pytest.importorskip("lava", reason="lava-nc is not installed")
    for name, network, arrived, expected in alone(folder):
        if backend == "lava" and name != "conv4":  # the others take as long again, each
            continue
        raster = spikesam.simulate(network, arrived[:, None], backend=backend, device="cpu")
        found = raster[name][0][1 : 1 + len(expected)]
        assert np.array_equal(found, expected), name
        assert len(expected) == STEPS - (name == "fc3")  # the files have 24 steps
        assert expected.any()


@pytest.mark.parametrize("backend", ["event", "torch"])
def test_pilotnet_steers_from_an_image(folder: Path, backend: str) -> None:
    """The states of its files were zeroed layer by layer, as the image's wave arrives: the network's are the same."""
    network = pilotnet(folder)
    image = pixels(np.load(folder / "pilotnet_lif/image.npy"))
    raster = spikesam.simulate(network, image, backend=backend, device="cpu")
    assert (network.timesteps, len(network.layers)) == (16 + 9, 9)
    for number, (name, layer) in enumerate(zip(NAMES, network.layers, strict=True)):
        expected = recorded(folder, name)[number:][:16]
        assert np.array_equal(raster[layer.name][0][number + 1 :][:16], expected), name
    weights = network.readout.weight[0].astype(int)
    assert raster.readout.tolist() == [[int((recorded(folder, "fc-2")[8:, :, 0, 0] @ weights).sum())]] == [[30]]
    if backend == "event":  # 30 / (16 · 32) = 0.059 radians, as lava-dl's example reads the membrane
        maps = spikesam.explain(raster)
        for name, shape in (("image", (66, 200)), ("conv1", (32, 99)), ("conv5", (2, 20))):
            heat = maps[name].sum
            assert heat.shape == (1, *shape)
            assert heat.max() > 0


def test_tinynet_fires_what_was_recorded_of_it(folder: Path) -> None:
    network = spikesam.from_netx(folder / "tinynet/tiny.net", 16)
    raster = spikesam.simulate(network, pixels(np.load(folder / "tinynet/input_bias.npy")), backend="event")
    for steps, (name, layer) in enumerate((("input", "image"), ("layer1", "conv1"), ("output", "conv2"))):
        expected = np.load(folder / f"tinynet/{name}.npy")[0].transpose(3, 0, 1, 2) > 0
        assert np.array_equal(raster[layer][0][steps : steps + 16], expected), name
        assert expected.any()


@pytest.mark.parametrize("backend", ["event", "torch"])
def test_oxford_fires_what_lava_dl_fired(folder: Path, backend: str) -> None:
    """A release in which v = threshold fired; rows are (neuron, 0, step), of the input rounded to whole steps."""

    def bits(name: str) -> NDArray[np.bool_]:
        neuron, _, step = np.rint(np.load(folder / f"oxford/{name}.npy")).astype(int).T
        found = np.zeros((2000, 200), np.bool_)
        found[step, neuron] = True
        return found

    network = spikesam.from_netx(folder / "oxford/network.net", 2000, fires_at_threshold=True)
    arrived = bits("input")[:, None, :, None, None]
    raster = spikesam.simulate(network, arrived, backend=backend, device="cpu")
    assert np.array_equal(raster["fc2"][0][:2000, :, 0, 0], bits("ground_truth"))
