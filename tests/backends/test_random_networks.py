"""Networks nobody would think of: every backend equals the equations, to the bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import Conv, Dense, FixedLIF, Input, Layer, Network, Readout
from tests.backends.test_contract import check
from tests.reference import simulate_reference

DENSITIES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.51, 0.7, 0.9, 0.99, 1.0)


def random_network(rng: np.random.Generator) -> Network:
    """One to three layers: odd sides, kernels of 1 … 5, strides, paddings, pooling 1 … 4, more
    outputs than a block.

    Pooling is average or maximum, of spikes or currents; neurons have all resets and firing rules,
    thresholds of their own, and membranes that are held; readouts may leak.
    """
    timesteps = int(rng.integers(1, 6))
    shape = input_shape = (
        int(rng.choice((1, 3, 65))),
        *(int(rng.choice((3, 4, 5, 8, 12))) for _ in range(2)),
    )
    layers: list[Layer] = []
    for number in range(int(rng.integers(1, 4))):
        pool = int(rng.choice([k for k in (1, 2, 3, 4) if shape[1] % k == 0 and shape[2] % k == 0]))
        rows, columns = shape[1] // pool, shape[2] // pool
        outputs = int(rng.choice((1, 5, 64, 67)))
        pooling: Any = rng.choice(("average", "max"))
        if rng.random() < 0.3:
            weight = weights(rng, outputs, shape[0] * rows * columns)
            made = Input(Dense(weight, pool=pool, pooling=pooling))
        else:
            padding = int(rng.integers(0, 4))
            kernel = [
                int(rng.integers(1, min(5, side + 2 * padding) + 1)) for side in (rows, columns)
            ]
            stride = int(rng.integers(1, 4))
            weight = weights(rng, outputs, shape[0], *kernel)
            conv = Conv(weight, pool=pool, stride=stride, padding=padding, pooling=pooling)
            sides = Input(conv).output_shape(shape)[1:]
            made = Input(replace(conv, **windows(rng, sides)))
        # Gains that bring currents near the threshold, whatever the weights.
        gain, shift = rng.integers(-3, 60, (1, outputs), np.int32), int(rng.choice((0, 2, 6)))
        layers.append(
            Layer(
                f"{made.synapse.kind}{number}",
                replace(made, gain=gain, shift=shift),
                neurons(rng, outputs),
            )
        )
        shape = layers[-1].inputs[0].output_shape(shape)
    bias = rng.integers(-50, 50, (timesteps, 3), np.int32)
    readout = Readout(
        weights(rng, 3, int(np.prod(shape))), leak=float(rng.choice((1, 0.5, 0))), bias=bias
    )
    return Network(input_shape, timesteps, tuple(layers), readout)


def windows(rng: np.random.Generator, sides: tuple[int, int]) -> dict[str, Any]:
    """A maximum pooling of currents, or none: windows that overlap, leave something out, or reach
    past a border.
    """
    if rng.random() < 0.5:
        return {}
    pool = [int(rng.integers(1, min(3, side) + 1)) for side in sides]
    stride, padding = (
        rng.integers(1, 4, 2).tolist(),
        [int(rng.integers(0, side // 2 + 1)) for side in pool],
    )
    return {"current_pool": pool, "current_stride": stride, "current_padding": padding}


def weights(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    """Any, or the largest there are, all of one sign or of both."""
    extremes: list[Any] = [
        127,
        -127,
        rng.choice((-127, 127), shape),
        rng.integers(-127, 128, shape),
    ]
    return np.full(shape, extremes[rng.integers(0, 4)], np.int8)


def neurons(rng: np.random.Generator, channels: int) -> FixedLIF:
    """Constants of every kind."""
    bias = rng.integers(-3000, 6000, (1, channels), np.int32)
    decay = rng.choice((0, 41, 4096), channels if rng.random() < 0.3 else None)
    reset, at_threshold = rng.choice(("subtract", "zero")), rng.random() < 0.5
    reset_by = (
        rng.integers(0, 6000, channels) if reset == "subtract" and rng.random() < 0.3 else None
    )
    synaptic_decay = rng.choice((0, 1000, 4096), channels) if rng.random() < 0.3 else 4096
    threshold = (
        rng.integers(1, 9000, channels if rng.random() < 0.5 else None)
        if rng.random() < 0.3
        else 4096
    )
    lowest = (
        -rng.integers(0, 9000, channels if rng.random() < 0.5 else None)
        if rng.random() < 0.3
        else None
    )
    return FixedLIF(
        decay,
        bias=bias,
        reset=str(reset),
        reset_by=reset_by,
        fires_at_threshold=at_threshold,
        synaptic_decay=synaptic_decay,
        threshold=threshold,
        min_v_mem=lowest,
    )  # type: ignore[arg-type]


def check_one(backend: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    densities = rng.choice(DENSITIES, 3)
    samples = [
        rng.random((network.timesteps, *network.input_shape)) < density for density in densities
    ]
    inputs = np.stack(samples, axis=1)
    check(backend, network, inputs, (2, 1))


@pytest.mark.parametrize("backend", ["event", "torch"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_any_network(backend: str, seed: int) -> None:
    check_one(backend, seed)


@pytest.mark.parametrize("backend", ["lava", "lava-stock"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_some_networks_on_lava(backend: str, seed: int) -> None:
    check_one(backend, seed)


def test_they_are_worth_it() -> None:
    """Of a hundred such networks, enough have layers that fire now and then, and steps at which
    most neurons do.
    """
    lively = dense = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        inputs = rng.random((network.timesteps, 1, *network.input_shape)) < 0.5
        rasters, _ = simulate_reference(network, inputs)
        lively += 0 < rasters[-1].mean() < 1
        dense += any(raster.mean(axis=(1, 2, 3, 4)).max() > 0.5 for raster in rasters[1:])
    assert lively >= 30
    assert dense >= 15
