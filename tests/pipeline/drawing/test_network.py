"""A network as a picture: every layer and every arrow, and how often layers fire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Input, Layer, Network, Readout, Source
from spikesam.recordings.errors import InputError


@pytest.fixture(scope="module")
def network() -> Network:
    random, neuron = np.random.default_rng(0), LIF(0.9)
    layers = (
        Layer("first", random.normal(size=(4, 2)), neuron),
        Layer("second", (random.normal(size=(4, 4)), Input(None, Source("first", 2, -1))), neuron),
        Layer("third", (random.normal(size=(4, 4)), Input(random.normal(size=(4, 4)), "third")), neuron),
    )
    return Network((2, 1, 1), 5, layers, Readout(random.normal(size=(3, 4))), encoder="spikes")


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_layer_and_every_arrow(network: Network) -> None:
    figure = spikesam.draw_network(network)
    boxes, arrows = (
        [patch for patch in figure.axes[0].patches if type(patch).__name__ == kind]
        for kind in ("FancyBboxPatch", "FancyArrowPatch")
    )
    assert (len(boxes), len(arrows)) == (5, 6)
    boxed = ["input", "2×1×1", "first", "4×1×1", "second", "4×1×1", "third", "4×1×1", "readout", "3"]
    assert texts(figure) == [*boxed, "2 steps, −"]


def test_rates_stand_at_the_arrows(network: Network) -> None:
    spikes = np.zeros((5, 2, 2, 1, 1), bool)
    spikes[1, 0] = True  # 2 of 20: each of two neurons once, in one of two samples
    raster = spikesam.simulate(network, data=spikes, backend="torch")
    found = texts(spikesam.draw_network(network, raster))
    assert "10.0 %" in found
    rate = f"{100 * float(raster.counts('first').sum()) / 40:.1f} %"
    assert {rate, f"{rate}, 2 steps, −"} <= set(found)
    with pytest.raises(InputError, match="draw_network: the raster has a layer 'conv1', which the network has not"):
        spikesam.draw_network(network, spikesam.simulate("cluttered-digits", samples=1, backend="torch"))
    with pytest.raises(InputError, match="draw_network: got str, expected a Network or a Checkpoint"):
        spikesam.draw_network("cluttered-digits")  # type: ignore[arg-type]
