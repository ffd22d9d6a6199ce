"""Neurons whose spikes are numbers: their layers of bits hold one membrane, and fire what the
neuron fires.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.backends.network import (
    LIF,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.backends.network.planes import integer_planes, ternary_planes
from spikesam.backends.torch.backend import TorchBackend
from spikesam.common.errors import InputError
from spikesam.recordings.raster.batch import unpack

STEPS = 12
WEIGHT = np.random.default_rng(1).integers(-3, 6, (4, 3)) / 4  # sums that float32 holds exactly
SPIKES = np.random.default_rng(2).random((STEPS, 1, 3, 1, 1)) < 0.6


def numbers(fires: Any, weight: NDArray[np.float64] = WEIGHT) -> NDArray[np.int64]:
    """(T, 4): what neurons of leak 1/2 fire whose spikes, `fires` of the membrane,
    each subtract 1.
    """
    membrane, fired = np.zeros(4), np.zeros((STEPS, 4), np.int64)
    for t in range(1, STEPS):
        membrane = 0.5 * membrane + weight @ SPIKES[t - 1, 0, :, 0, 0] + 0.25 - fired[t - 1]
        fired[t] = fires(membrane)
    return fired


def network(planes: tuple[Layer, ...], sources: Any) -> Network:
    last = Layer("last", Input(np.eye(4), sources), LIF(0.0, reset="zero"))
    return Network((3, 1, 1), STEPS, (*planes, last), Readout(np.eye(4)), encoder="spikes")


def summed(found: Network, signs: dict[str, int]) -> NDArray[np.int64]:
    (batch,) = TorchBackend("cpu").run(found, [SPIKES], 1)
    return sum(
        sign * unpack(batch.spikes[name], (4, 1, 1))[:, 0, :, 0, 0].astype(int)
        for name, sign in signs.items()
    )


def test_integer_spikes_are_the_number_of_thresholds_passed() -> None:
    layer = Layer("hidden", Input(WEIGHT, "input"), LIF(0.5, bias=0.25))
    planes = integer_planes(layer, (0.25, 1.0, 1.75))
    names = tuple(plane.name for plane in planes)
    found = network(planes, names)
    expected = numbers(lambda v: (v[:, None] > [0.25, 1.0, 1.75]).sum(axis=1))
    assert set(expected.ravel()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(summed(found, dict.fromkeys(names, 1)), expected)


def test_ternary_spikes_have_the_sign_of_the_membrane() -> None:
    layer = Layer("hidden", Input(WEIGHT - 0.5, "input"), LIF(0.5, bias=0.25))
    found = network(ternary_planes(layer), ("hidden_plus", Source("hidden_minus", sign=-1)))
    expected = numbers(lambda v: (v > 1).astype(int) - (v < -1), WEIGHT - 0.5)
    assert set(expected.ravel()) == {-1, 0, 1}
    np.testing.assert_array_equal(summed(found, {"hidden_plus": 1, "hidden_minus": -1}), expected)


def test_ternary_spikes_of_an_input_without_weights_are_those_of_the_identity() -> None:
    fired = []
    for each in (Input(Identity(), "input", -2.0), Input(-2.0 * np.eye(3), "input")):
        planes = ternary_planes(Layer("hidden", each, LIF(0.5, bias=0.25)))
        last = Layer(
            "last", Input(np.eye(3), ("hidden_plus", "hidden_minus")), LIF(0.0, reset="zero")
        )
        found = Network((3, 1, 1), STEPS, (*planes, last), Readout(np.eye(3)), encoder="spikes")
        (batch,) = TorchBackend("cpu").run(found, [SPIKES], 1)
        fired.append([unpack(batch.spikes[plane.name], (3, 1, 1)) for plane in planes])
    assert fired[0][1].any()
    np.testing.assert_array_equal(*fired)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda layer: integer_planes(layer, (1.5, 0.5)),
            r"thresholds are \[1.5, 0.5\], expected ascending",
        ),
        (lambda layer: integer_planes(layer, ()), r"thresholds are \[\], expected ascending"),
        (
            lambda _: ternary_planes(Layer("h", [[1.0]], LIF(0.5, reset="zero"))),
            "layer 'h' has LIF.*, expected LIF that",
        ),
        (
            lambda _: integer_planes(Layer("h", [[1.0]], LIF(0.5, synaptic_leak=0.1)), (1,)),
            "expected LIF that subtracts",
        ),
        (
            lambda _: ternary_planes(Layer("h", [[1.0]], LIF(0.5, min_v_mem=0.0))),
            "expected LIF that",
        ),
        (
            lambda _: ternary_planes(Layer("h", [[1.0], [1.0]], LIF(0.5, min_v_mem=[-1.0, 0.0]))),
            "expected LIF that",
        ),
        (lambda layer: integer_planes(layer, 1.5), "thresholds is 1.5, expected a list of finite"),
        (
            lambda layer: integer_planes(layer, ["a"]),
            "thresholds has the member 'a', expected a list",
        ),
        (lambda _: ternary_planes(Layer("h", [[1.0]], LIF(0.5))), "layer 'h' names no source"),
    ],
)
def test_what_cannot_be_planes(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(Layer("hidden", Input(WEIGHT, "input"), LIF(0.5)))
