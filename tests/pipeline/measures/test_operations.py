"""Synaptic operations, counted by hand: a spike at a border or in a corner reaches fewer neurons."""

from __future__ import annotations

import numpy as np
import pytest

from backends.network import LIF, Layer, Network, Readout
from pipeline.measures.operations import fan_out, products, synaptic_operations


def conv(out: int, channels: int, side: int = 3, **more: object) -> Layer:
    return Layer("conv1", np.ones((out, channels, side, side), np.float32), LIF(leak=0.9), **more)


def packed(spikes: np.ndarray) -> np.ndarray:
    return np.packbits(spikes.reshape(len(spikes), -1), axis=1)


def test_fan_out_of_a_convolution_is_smaller_at_borders() -> None:
    # 3 × 3 kernels with padding 1 on 3 × 4 pixels: a corner lies under 2 × 2 places, the middle under 3 × 3.
    expected = np.outer([2, 3, 2], [2, 3, 3, 2])
    assert np.array_equal(fan_out(conv(1, 2, padding=1), (2, 3, 4)), expected)
    assert np.array_equal(fan_out(conv(5, 2, padding=1), (2, 3, 4)), 5 * expected)


def test_fan_out_without_padding_and_with_a_stride() -> None:
    # 2 places, at 0 and 2, on 5 cells: cells 0, 1, 3, 4 lie under one, cell 2 under both.
    assert fan_out(conv(1, 1, stride=2), (1, 5, 5))[0].tolist() == [1, 1, 2, 1, 1]
    assert fan_out(conv(1, 1, side=2, stride=2), (1, 5, 4)).tolist() == [[1, 1, 1, 1]] * 4 + [[0, 0, 0, 0]]  # cut off


def test_fan_out_of_dense_layers_and_of_the_readout_is_their_size() -> None:
    dense = Layer("fc1", np.ones((7, 4), np.float32), LIF(leak=0.9), pool=2)
    assert fan_out(dense, (1, 4, 4)).tolist() == [[7, 7], [7, 7]]
    assert fan_out(Readout(np.ones((10, 7), np.float32)), (7, 1, 1)).tolist() == [[10]]


def test_operations_of_three_spikes() -> None:
    spikes = np.zeros((2, 1, 3, 3), bool)
    spikes[0, 0, 0, 0] = spikes[1, 0, 0, 0] = spikes[1, 0, 1, 1] = True  # a corner twice, the middle once
    assert synaptic_operations(conv(2, 1, padding=1), packed(spikes), (1, 3, 3)) == 2 * (4 + 4 + 9)


@pytest.mark.parametrize(("pooling", "passed"), [("average", 3), ("max", 2)])
def test_maximum_pooling_passes_on_one_spike_per_pool_and_step(pooling: str, passed: int) -> None:
    spikes = np.zeros((2, 1, 2, 2), bool)
    spikes[0, 0, 0] = spikes[1, 0, 1, 1] = True  # two at one step, one at the next
    layer = Layer("fc1", np.ones((5, 1), np.float32), LIF(leak=0.9), pool=2, pooling=pooling)
    assert synaptic_operations(layer, packed(spikes), (1, 2, 2)) == 5 * passed


def test_products_of_an_ann() -> None:
    network = Network(
        input_shape=(2, 4, 4),
        timesteps=3,
        layers=(conv(3, 2, padding=1), Layer("fc1", np.ones((5, 12), np.float32), LIF(leak=0.9), pool=2)),
        readout=Readout(np.ones((2, 5), np.float32)),
    )
    # One image, not its two planes: 3 channels × (2 + 3 + 3 + 2)²; 12 pooled values × 5; 5 × 2.
    assert list(products(network).values()) == [3 * 100, 60, 10]
