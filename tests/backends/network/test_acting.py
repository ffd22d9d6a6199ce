import numpy as np
import pytest

from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import LIF, Conv, Identity, Input, Layer, Network, Readout, Source
from spikesam.backends.network.acting import ActingSteps
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.batch import RasterBatch

WINDOW, STEPS = 4, 8  # of layers 1, 2 and 3 deep, the last of which has no window


def windows(encoder: str) -> Network:
    """A bias acts in the window of a layer, and keeps it silent after that, as in imported
    networks.
    """
    rng, layers = np.random.default_rng(3), []
    for depth, (name, sources) in enumerate(
        {
            "one": ["input"],
            "two": [Source("one")],
            "three": [Source("one", 2), Source("two")],
        }.items(),
        1,
    ):
        acts = np.arange(1, STEPS + 1)[:, None] - depth
        bias = np.where(acts < 0, 0.0, np.where((acts < WINDOW) | (depth == 3), 0.3, -(2.0**17)))
        weight = rng.standard_normal((3, 2 if depth == 1 else 3, 3, 3), np.float32) / 3
        neuron = LIF(0.5, bias=np.broadcast_to(bias, (STEPS, 3)))
        layers.append(Layer(name, Input(Conv(weight, padding=1), sources), neuron))
    weight = np.tile(rng.standard_normal((2, 3, 1), np.float32), 16).reshape(
        2, 48
    )  # the mean of a channel
    return Network((2, 4, 4), STEPS, tuple(layers), Readout(weight), encoder)


def equal(one: RasterBatch, other: RasterBatch) -> bool:
    same = np.allclose(one.readout, other.readout, atol=1e-5)
    return same and all(np.array_equal(one.spikes[name], other.spikes[name]) for name in one.spikes)


def test_what_layers_fire_in_steps_that_are_not_computed_by_hand() -> None:
    network = windows("spikes")
    expected = [range(8), range(1, 5), range(2, 6), range(3, 8)]
    assert ActingSteps(network).of() == ActingSteps(quantise(network)).of() == expected
    assert ActingSteps(network).of({0}) == [range(8), range(8), range(1, 6), range(2, 8)]
    assert ActingSteps(windows("constant-current")).of() == expected


def test_feedback_acts_once_it_has_fired() -> None:
    weight, forgets = np.ones((1, 1), np.float32), LIF(0.0, bias=[[0.0], [0.0], *[[-9.0]] * 4])
    first = Layer("one", (Input(weight, Source("input", 2)), Input(Identity(), "two")), forgets)
    network = Network(
        (1, 1, 1), 6, (first, Layer("two", Input(weight, "one"), LIF(0.5))), Readout(weight)
    )
    assert ActingSteps(network).of() == [
        range(6),
        range(2, 3),
        range(3, 6),
    ]  # a current of 2 against a bias of -9


@pytest.mark.parametrize("encoder", ["spikes", "constant-current"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [3, 32])
def test_the_same_is_fired_as_if_all_steps_were_computed(
    encoder: str, threads: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesam.backends.event.backend.CHUNK", chunk)
    monkeypatch.setattr("spikesam.backends.event.backend.SPIKES", 0)
    monkeypatch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
    rng = np.random.default_rng(4)
    spikes = rng.random((STEPS, 1, 2, 4, 4)) < 0.4
    numbers = rng.integers(-127, 128, (1, 2, 4, 4)).astype(np.int8)
    given = {"one": rng.integers(0, 256, (STEPS, 6)).astype(np.uint8)}  # fired in any step
    for network in (windows(encoder), quantise(windows(encoder))):
        backend, found = EventBackend(threads), []
        for everything in (False, True):
            with monkeypatch.context() as patch:
                if everything:
                    patch.setattr(
                        ActingSteps, "of", lambda *_: [range(STEPS), *[range(1, STEPS)] * 3]
                    )
                for _ in range(2):  # what was edited before does not stay
                    found.extend(
                        backend.run(network, [spikes if encoder == "spikes" else numbers], 1)
                    )
                    found.extend(backend.rerun(network, [given], 1))
        assert found[0].spikes["three"].any()
        assert not equal(found[0], found[1])
        assert all(equal(found[number % 2], each) for number, each in enumerate(found))
