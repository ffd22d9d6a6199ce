from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paper.common.widen import widen
from spikesam.backends.network import LIF, Input, Layer, Network, Readout, ReLU
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import unpack

SHAPE = (2, 4, 6)


def network(dense: bool = True) -> Network:
    """Pointwise convolutions, which do not see the border, so that an even image stays even."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0.1, 0.5, shape).astype(np.float32)

    layers = [
        Layer("conv1", weights(3, 2, 1, 1), LIF(leak=0.9, threshold=0.3)),
        Layer("conv2", Input(weights(4, 3, 1, 1), pool=2), LIF(leak=0.9, threshold=0.2)),
    ]
    if dense:
        layers.append(Layer("fc1", weights(5, 4 * 1 * 3 * 2), LIF(leak=0.9, threshold=0.2)))
    return Network(SHAPE, 12, tuple(layers), Readout(weights(3, 5 if dense else 4 * 2 * 3)))


def run(network: Network, inputs: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    (batch,) = TorchBackend("cpu").run(network, [inputs], inputs.shape[1])
    shapes = dict(zip(network.raster_names, network.raster_shapes, strict=True))
    return {name: unpack(packed, shapes[name]) for name, packed in batch.spikes.items()}, batch.readout


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (3, 1), (2, 2)])
def test_an_even_image_is_the_same_at_any_size(dense: bool, rows: int, columns: int) -> None:
    own = network(dense)
    wide = widen(own, 4 * rows, 6 * columns)
    channels = np.random.default_rng(1).random((12, 1, 2, 1, 1)) < 0.6  # a colour at each step, the same everywhere
    inputs = np.broadcast_to(channels, (12, 1, *SHAPE))
    spikes, readout = run(own, inputs)
    wide_spikes, wide_readout = run(wide, np.tile(inputs, (1, 1, 1, rows, columns)))
    assert spikes["conv2"].any()
    np.testing.assert_allclose(wide_readout, readout, rtol=1e-4)
    if dense:
        np.testing.assert_array_equal(wide_spikes["fc1"], spikes["fc1"])


def test_cells_of_a_block_share_the_weight_of_the_cell_they_stand_for() -> None:
    own = Network((1, 1, 2), 3, (Layer("fc1", np.array([[4.0, 8.0]]), LIF(leak=1)),), Readout(np.ones((1, 1))))
    wide = widen(own, 2, 4)
    np.testing.assert_array_equal(wide.layers[0].inputs[0].weight, [[1, 1, 2, 2, 1, 1, 2, 2]])
    assert wide.shapes == ((1, 2, 4), (1, 1, 1))
    assert wide.readout is own.readout


def test_an_ann_sees_the_same_in_an_image_enlarged_by_repetition() -> None:
    """Its convolution sees single pixels, so that repeating them changes no mean of the pooling behind it."""
    random = np.random.default_rng(0)
    layers = (
        Layer("conv1", random.normal(size=(3, 2, 1, 1)), ReLU()),
        Layer("fc1", Input(random.normal(size=(5, 18)), pool=2), ReLU()),
    )
    ann = Network(SHAPE, 1, layers, Readout(random.normal(size=(3, 5))), "image")
    images = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    wide = DifferentiableNetwork(widen(ann, 8, 18))
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(wide(enlarged)[0], DifferentiableNetwork(ann)(images)[0])


def test_its_own_size_is_itself() -> None:
    own = network()
    assert widen(own, 4, 6) is own


@given(st.integers(1, 3), st.integers(1, 3))
def test_a_neuron_keeps_the_sum_of_its_weights(rows: int, columns: int) -> None:
    for dense in (True, False):
        own = network(dense)
        wide = widen(own, 4 * rows, 6 * columns)
        for one, other in ((own.layers[-1].inputs[0], wide.layers[-1].inputs[0]), (own.readout, wide.readout)):
            axes = tuple(range(1, one.weight.ndim))
            np.testing.assert_allclose(other.weight.sum(axis=axes), one.weight.sum(axis=axes), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(5, 6), (4, 9), (2, 6), (0, 6), (4, 0)])
def test_other_sizes_than_multiples_are_refused(height: int, width: int) -> None:
    with pytest.raises(InputError) as refused:
        widen(network(), height, width)
    assert str(refused.value) == (f"widen: got {height}×{width}, expected multiples of the network's own input of 4×6")


def test_fixed_point_is_refused() -> None:
    with pytest.raises(InputError, match=r"^widen: got a network in fixed point, expected float32; widen it before"):
        widen(quantise(network()), 8, 12)
