"""Faults planted in one layer of random networks: diff finds the first bit that they change, and
names their cause.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Conv, Dense, Input, Layer, Network, Readout, Source
from spikesam.backends.network.storage import write_network
from spikesam.pipeline.comparison.pair import Bit
from tests.backends.graphs import quarters
from tests.layers import with_first
from tests.pipeline.comparison.rasters import Spikes, fired, of_network


def random_network(rng: np.random.Generator) -> Network:
    """A convolution and a dense layer, whose sums float32 holds exactly."""

    def neuron(channels: int) -> LIF:
        reset: Any = rng.choice(("subtract", "zero"))
        return LIF(
            0.5, rng.choice((0.75, 1.0, 1.5)), bias=rng.integers(0, 2, channels) / 4, reset=reset
        )

    conv = Layer("conv1", Input(Conv(quarters(rng, 4, 2, 3, 3), padding=1)), neuron(4))
    dense = Layer(
        "fc1",
        Dense((rng.integers(-3, 4, (12, 36)) / 4).astype(np.float32), pool=2, pooling="max"),
        neuron(12),
    )
    return Network((2, 6, 6), 16, (conv, dense), Readout(np.ones((1, 12), np.float32)), "spikes")


def neuron(**changed: Callable[[LIF], Any]) -> Callable[[Layer], Layer]:
    def edit(layer: Layer) -> Layer:
        assert isinstance(layer.neuron, LIF)
        constants = {name: of(layer.neuron) for name, of in changed.items()}
        return replace(layer, neuron=replace(layer.neuron, **constants))

    return edit


def heavier(layer: Layer) -> Layer:
    weight = layer.inputs[0].weight.copy()
    weight[1] += np.float32(2) * (np.arange(weight[1].size) == 7).reshape(weight[1].shape)
    return with_first(layer, weight=weight)


def later(layer: Layer) -> Layer:
    return with_first(layer, source=Source("input" if layer.name == "conv1" else "conv1", delay=2))


def reversed_channels(layer: Layer) -> Layer:
    weight = layer.inputs[0].weight
    channels = weight.reshape(len(weight), 2 if layer.name == "conv1" else 4, -1)
    return with_first(layer, weight=channels[:, ::-1].reshape(weight.shape).copy())


def averaged(layer: Layer) -> Layer:
    return with_first(layer, pooling="average")


OTHER_NUMBERS = "or other numbers in channel 1: the network explains all but"
FAULTS: dict[
    str, tuple[Callable[[Layer], Layer], str, str]
] = {  # what is said of an unknown network, of a known one
    "threshold": (
        neuron(threshold=lambda n: 1.25 * n.threshold),
        r"with a threshold of 1[12][0-9.]+% to 1[2-4][0-9.]+% of the network's, ",
        r"threshold [0-9.]+ in A, [0-9.]+ in B",
    ),
    "silence": (
        neuron(threshold=lambda n: 99 * n.threshold),
        r"with a threshold of [0-9.]+% or more of the network's",
        r"threshold [0-9.]+ in A, [0-9.]+ in B",
    ),
    "leak": (neuron(leak=lambda n: 0.9), "a leak of 0.9", "leak 0.5 in A, 0.9 in B"),
    "reset": (
        neuron(reset=lambda n: "zero" if n.reset == "subtract" else "subtract"),
        "with a reset (to zero|by subtraction), ",
        "reset (subtract|zero) in A, (subtract|zero) in B",
    ),
    "firing": (
        neuron(fires_at_threshold=lambda n: True),
        "with firing at the threshold, too, ",
        "firing at the threshold no in A, yes in B",
    ),
    "weight": (heavier, OTHER_NUMBERS, "1 of [0-9]+ weights, by 2 at most"),
    "bias": (
        neuron(bias=lambda n: n.bias + 1.5 * (np.arange(n.bias.size) == 1)),
        OTHER_NUMBERS,
        "1 of (4|12) biases, by 1.5 at most",
    ),
    "delay": (
        later,
        "with inputs that act one step later",
        "delay from (input|conv1) 1 in A, 2 in B",
    ),
    "synaptic leak": (
        neuron(synaptic_leak=lambda n: 0.5),
        "with a synaptic leak of 0.5, ",
        "synaptic leak 0 in A, 0.5 in B",
    ),
    "channels": (
        reversed_channels,
        "with the channels of its input in reverse order",
        "[0-9]+ of [0-9]+ weights, by [0-9.]+ at most",
    ),
    "pooling": (averaged, "with average pooling, ", "pooling max in A, average in B"),
}
PLANTED = [
    (fault, number)
    for fault in FAULTS
    for number in (0, 1)
    if (fault, number) != ("pooling", 0)  # conv1 does not pool
]


def first_of(a: dict[str, Spikes], b: dict[str, Spikes]) -> Bit:
    """The first bit that differs: by step, layer, sample and neuron."""
    order = {name: place for place, name in enumerate(a)}
    found = [
        (step, order[name], *place)
        for name in a
        for step, *place in np.argwhere(a[name] ^ b[name]).tolist()
    ]
    step, layer, sample, *neuron = min(found)
    name, (channel, row, column) = [*a][layer], neuron
    return Bit(
        name,
        sample,
        step,
        (channel, row, column),
        bool(a[name][step, sample, channel, row, column]),
    )


@pytest.mark.parametrize(("fault", "number"), PLANTED)
def test_a_fault_of_one_layer_is_named(fault: str, number: int, tmp_path: Path) -> None:
    """By the raster of a chip or a library, which names no network, and by that of another network,
    which is known.
    """
    edit, unknown, known = FAULTS[fault]
    rng = np.random.default_rng(15)  # by which each fault changes some bits
    network = random_network(rng)
    inputs = rng.random((network.timesteps, 4, *network.input_shape)) < 0.4
    layers = list(network.layers)
    layers[number] = edit(layers[number])
    other = replace(network, layers=tuple(layers))
    ours, theirs = fired(network, inputs), fired(other, inputs)
    (tmp_path / "run").mkdir()
    write_network(other, tmp_path / "run" / "network.safetensors")
    chip = spikesam.write_raster(
        tmp_path / "b.h5", {k: s.swapaxes(0, 1) for k, s in theirs.items()}, layer_delay=1
    )
    with (
        of_network(tmp_path / "a.h5", network, ours) as a,
        of_network(tmp_path / "run" / "raster.h5", other, theirs) as b,
    ):
        for second, said in (
            (chip, unknown),
            (b, f"the networks differ in {layers[number].name}: {known}$"),
        ):
            found = spikesam.diff(a, second, network)
            assert found.first == first_of(ours, theirs)
            assert found.why.root.layer == layers[number].name
            assert re.search(said, found.why.cause[-1]), found.why.cause[-1]


def test_no_rule_is_blamed_that_the_rest_of_the_layer_contradicts(tmp_path: Path) -> None:
    """Four neurons fire at 2 and 3. The first does not fire at 3 in B, as with a reset to zero; the
    others do.

    t                          0     1     2     3     4
    v, by subtraction          0  0.75   1.5  1.25  0.25
    v, reset to zero           0  0.75   1.5  0.75  0.75
    """
    layer = Layer("fc1", 0.75 * np.eye(4, dtype=np.float32), LIF(1.0))
    network = Network((4, 1, 1), 5, (layer,), Readout(np.ones((1, 4), np.float32)), "spikes")
    inputs = np.zeros((5, 1, 4, 1, 1), np.bool_)
    inputs[:3] = True
    ours = fired(network, inputs)
    theirs = {"input": inputs, "fc1": ours["fc1"].copy()}
    theirs["fc1"][3, 0, 0] = False
    chip = spikesam.write_raster(
        tmp_path / "b.h5", {k: s.swapaxes(0, 1) for k, s in theirs.items()}, layer_delay=1
    )
    with of_network(tmp_path / "a.h5", network, ours) as a:
        why = spikesam.diff(a, chip, network).why
    assert why.cause[-1] == (
        "so the network explains all but 1 of the 20 bits of fc1; fewer than 8 bits name no cause"
    )
