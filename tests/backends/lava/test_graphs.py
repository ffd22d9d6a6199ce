"""Lava runs networks whose layers read several others as the equations say, with both sets of
models.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.backends.base import MapRequest
from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.network import (
    LIF,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from tests.backends.graphs import quarters
from tests.backends.lava.test_maps import SAMPLES, STEPPED, assert_those_of_the_raster
from tests.backends.test_contract import check
from tests.reference import simulate_reference

TIMESTEPS = 9


def everything(rng: np.random.Generator) -> Network:
    """A residual sum 3 steps late, minus signs, identities, layers that read themselves, and conv3
    and conv4 in a loop.

    There are delays in front of convolutions, dense layers and pooling of both kinds.
    """
    lif, slow = LIF(0.5, 1.0, bias=0.25), LIF(0.5, 1.5, bias=0.25, reset="zero", synaptic_leak=0.5)
    shortcut, itself = (
        Input(Identity(), Source("conv1", 3), 0.5),
        Input(quarters(rng, 4, 4, 1, 1), "conv2", 0.25),
    )
    subtracted = Input(Identity(), ("conv4", Source("conv1", 2, -1)), 0.5)
    skipped = Input(
        Conv(quarters(rng, 4, 2, 3, 3), padding=1, current_pool=2),
        ("input", Source("input", 4)),
        0.5,
    )
    recurrent, less = (
        Input(quarters(rng, 5, 5), "fc6"),
        Input(Dense(quarters(rng, 5, 36), pool=2), Source("conv4", 1, -1)),
    )
    layers = (
        Layer("conv1", Input(Conv(quarters(rng, 4, 2, 3, 3), padding=1)), lif),
        Layer(
            "conv2",
            (Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1), gain=0.5), shortcut, itself),
            slow,
        ),
        Layer(
            "conv3",
            Input(
                Conv(quarters(rng, 4, 4, 3, 3), padding=1),
                ("conv2", Source("conv1", 2, -1), "conv4"),
            ),
            lif,
        ),
        Layer(
            "conv4",
            (Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1), Source("conv3", 2)), subtracted),
            lif,
        ),
        Layer(
            "conv5",
            (
                Input(Conv(quarters(rng, 4, 4, 1, 1), pool=2, pooling="max"), Source("conv4", 2)),
                skipped,
            ),
            lif,
        ),
        Layer("fc6", (quarters(rng, 5, 36), recurrent, less), LIF(0.5, 2.0)),
    )
    return Network((2, 6, 6), TIMESTEPS, layers, Readout(quarters(rng, 3, 5)), "spikes")


def driven(rng: np.random.Generator) -> Network:
    """A current that changes, into both layers; the first reads itself and the one behind it as
    well.
    """
    lif, itself = LIF(0.5, 1.0), Input(quarters(rng, 3, 3, 1, 1), "conv1")
    back = Input(Identity(), Source("conv2", 2, -1), 0.5)
    first = Layer("conv1", (Input(Conv(quarters(rng, 3, 2, 3, 3), padding=1)), itself, back), lif)
    later = Input(quarters(rng, 3, 2, 1, 1), Source("input", 3))
    second = Layer("conv2", (Input(Conv(quarters(rng, 3, 3, 3, 3), padding=1)), later), lif)
    return Network(
        (2, 4, 4), TIMESTEPS, (first, second), Readout(quarters(rng, 3, 48)), "changing-current"
    )


def driven_by_an_image(rng: np.random.Generator) -> Network:
    return replace(driven(rng), encoder="constant-current")


def drawn(rng: np.random.Generator, network: Network) -> NDArray[Any]:
    """A sample, a loud one, and the first again."""
    shape = (
        network.input_shape
        if network.encoder == "constant-current"
        else (TIMESTEPS, *network.input_shape)
    )
    if network.spiking_input:
        one, other = (rng.random(shape) < density for density in (0.3, 0.9))
    else:
        one, other = rng.integers(-127, 128, (2, *shape), np.int8)
    return np.stack([one, other, one], axis=-4)


@pytest.mark.parametrize("build", [everything, driven, driven_by_an_image])
@pytest.mark.parametrize("models", ["event", "stock"])
def test_fixed_point_with_maps(
    models: Any, build: Callable[[np.random.Generator], Network]
) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    rng = np.random.default_rng(4)
    network = quantise(build(rng))
    inputs = drawn(rng, network)
    expected, _ = simulate_reference(network, inputs)
    assert network.has_loops
    for raster in expected:  # each layer fires now and then, and each sample starts from rest
        assert raster.any(axis=(0, 2, 3, 4)).all() and not raster.all(axis=(0, 2, 3, 4)).any()
        assert np.array_equal(raster[:, 0], raster[:, 2])
    summed = {name: 8 for name, shape in network.shape_of.items() if shape[1:] != (1, 1)}
    request = MapRequest(0.5, summed, STEPPED)
    found = list(LavaBackend(models).run_maps(network, [inputs], SAMPLES, request))
    assert_those_of_the_raster(network, request, found, inputs)


@pytest.mark.parametrize("backend", ["lava", "lava-stock"])
def test_float32(backend: str) -> None:
    """Of numbers whose sums float32 holds, so that no order of additions matters."""
    rng = np.random.default_rng(4)
    network = everything(rng)
    check(backend, network, drawn(rng, network), (1, 2))
