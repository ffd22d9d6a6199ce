"""The currents of an input that is numbers, and neurons they drive, by hand."""

import numpy as np
import pytest

from spikesam.backends.base import BackendError
from spikesam.backends.input_currents import input_currents
from spikesam.backends.network import (
    LIF,
    Conv,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.batch import unpack
from tests.backends.equations import BACKENDS, make_backend


def network(layer: Layer, input_shape: tuple[int, int, int], timesteps: int = 3) -> Network:
    neurons = int(np.prod(layer.inputs[0].output_shape(input_shape)))
    return Network(
        input_shape, timesteps, (layer,), Readout(np.ones((2, neurons))), "constant-current"
    )


def test_a_pooled_convolution_by_hand():
    # Pool sums 14 and 6, or averages 3.5 and 1.5; padded with zeros, the kernel (2, -1) sees (0,
    # 14), (14, 6), (6, 0) in the middle of three rows. In fixed point the weights are 127 and
    # rint(-63.5) = -64.
    image = np.int8([[[[1, 2, 3, 4], [5, 6, 7, -8]]]])
    layer = Layer(
        "conv1", Input(Conv(np.float32([[[[2, -1]]]]), pool=2, padding=1)), LIF(1.0, bias=1e-4)
    )  # on no grid
    real = network(layer, (1, 2, 4))
    current = input_currents(real, image)
    assert (current.dtype, current.shape) == (np.float32, (1, 1, 9))
    assert current.reshape(3, 3).tolist() == [
        [0, 0, 0],
        np.float32(np.array([-3.5, 5.5, 3]) / 127).tolist(),
        [0, 0, 0],
    ]
    current = input_currents(quantise(real), image)
    assert current.dtype == np.int32
    assert current.reshape(3, 3).tolist() == [
        [0, 0, 0],
        [-64 * 14, 127 * 14 - 64 * 6, 127 * 6],
        [0, 0, 0],
    ]


def test_other_numbers_at_every_step_by_hand():
    # 127 stands for 5, of which the weights see the half: a[t] = 2 · x[t-1] · 2.5/127.
    layer = Layer("fc1", np.float32([[2]]), LIF(1.0, bias=1e-4))  # on no grid
    given = Network(
        (1, 1, 1), 4, (layer,), Readout(np.ones((1, 1))), "changing-current", input_range=5.0
    )
    steps = np.int8([127, -127, 1, 88])[:, None, None, None, None]
    currents = input_currents(given, steps)
    assert currents[0].ravel().tolist() == [5, -5, np.float32(5 / 127), np.float32(88 * 5 / 127)]
    fixed = quantise(given)
    assert input_currents(fixed, steps)[0].ravel().tolist() == [
        127 * 127,
        -127 * 127,
        127,
        88 * 127,
    ]
    # One unit is 2/127 · 2.5/127 · 4096 = 1.269763 of the membrane: times 2¹⁴ 20803.8, times 2¹⁵
    # beyond 32767.
    assert isinstance(fixed.layers[0].neuron, FixedLIF)
    assert (fixed.layers[0].inputs[0].gain.item(), fixed.layers[0].inputs[0].shift) == (20804, 14)


@pytest.mark.parametrize("source", [Source("input", sign=-1), ("input", "fc1")])
def test_numbers_are_read_by_an_input_of_their_own(source):
    layer = Layer("fc1", Input(np.float32([[2]]), source), LIF(1.0))
    with pytest.raises(
        NetworkError,
        match="^layer 'fc1', input 1: reads the numbers of 'input', expected weights and",
    ):
        network(layer, (1, 1, 1), timesteps=4)
    several = Layer("fc1", Input(np.float32([[2, 1]]), Source("input", (1, 2))), LIF(1.0))
    with pytest.raises(
        NetworkError, match="^layer 'fc1', input 1: has a delay for each channel of the numbers of"
    ):
        network(several, (2, 1, 1), timesteps=4)
    layer = Layer("fc1", (np.float32([[2]]), Input(Identity(), "input")), LIF(1.0))
    with pytest.raises(
        NetworkError,
        match="^layer 'fc1', input 2: reads the numbers of 'input', expected weights and",
    ):
        network(layer, (1, 1, 1), timesteps=4)


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_an_image_drives_two_layers_by_hand(backend):
    """The image is 1, and its weights are 1/2 and 1/4; the second layer has it three steps late.

    t                          0    1    2    3    4    5    6    7
    first: v += 1/2            0   .5    1  1.5    1  1.5    1  1.5
    fires above 1, and 1 less  0    0    0    1    0    1    0    1
    second gets of the image   0    0    0  1/4  1/4  1/4  1/4  1/4
    and of the first           0    0    0    0    1    0    1    0
    v, 1 less after a spike    0    0    0  .25  1.5  .75    2 1.25
    fires above 1              0    0    0    0    1    0    1    1
    """
    if backend == "torch":
        pytest.importorskip("torch")
    image = Input(np.float32([[0.25]]), Source("input", 3))
    layers = (
        Layer("first", np.float32([[0.5]]), LIF(1.0)),
        Layer("second", (np.float32([[1]]), image), LIF(1.0)),
    )
    given = Network(
        (1, 1, 1), 8, layers, Readout(np.ones((1, 1))), "constant-current", input_range=254.0
    )
    (batch,) = make_backend(backend).run(given, [np.int8([[[[1]]]])], 1)
    assert {
        name: unpack(bits, (1, 1, 1)).ravel().astype(int).tolist()
        for name, bits in batch.spikes.items()
    } == {
        "first": [0, 0, 0, 1, 0, 1, 0, 1],
        "second": [0, 0, 0, 0, 1, 0, 1, 1],
    }


@pytest.mark.parametrize("precision", ["float32", "fixed"])
def test_an_integrate_and_fire_neuron_by_hand(precision):
    # The current is 51/127 = 0.4016 from t = 1 on, the threshold 1. After k steps and n spikes the
    # membrane is 0.4016 k - n: 0.40, 0.80, 1.20 (spike), 0.61, 1.008 (spike), 0.41, 0.81, 1.21
    # (spike). In fixed point 1644 arrive per step, the threshold is 4096: 1644, 3288, 4932, 2480,
    # 4124, 1672, 3316, 4960.
    pytest.importorskip("torch")
    given = network(Layer("fc1", np.float32([[1]]), LIF(1.0)), (1, 1, 1), timesteps=9)
    given = given if precision == "float32" else quantise(given)
    (batch,) = make_backend("torch").run(given, [np.int8([[[[51]]], [[[0]]], [[[-51]]]])], 3)
    spikes = unpack(batch.spikes["fc1"], (1, 1, 1))[:, :, 0, 0, 0]
    assert np.flatnonzero(spikes[:, 0]).tolist() == [3, 5, 8]
    assert not spikes[:, 1:].any()


@pytest.mark.parametrize("name", BACKENDS[:2])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((1, 1, 2, 5), np.int8),
            r"got maps of \(1, 1, 2, 5\) int8, expected .* int8; encode",
        ),
        (
            np.zeros((1, 1, 2, 4), np.float32),
            r"\(1, 1, 2, 4\) float32, expected \(B, 1, 2, 4\) int8",
        ),
        (np.zeros((3, 1, 1, 2, 4), np.bool_), r"\(3, 1, 1, 2, 4\) bool, expected"),
        (np.full((1, 1, 2, 4), -128, np.int8), "got a pixel of -128, expected -127 … 127"),
    ],
)
def test_inputs_that_are_no_images_are_refused_before_anything_starts(name, images, message):
    backend = make_backend(name)
    given = quantise(network(Layer("fc1", np.ones((2, 8)), LIF(1.0)), (1, 2, 4)))
    with pytest.raises(BackendError, match=message):
        next(iter(backend.run(given, [images], 1)))
