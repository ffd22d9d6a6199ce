"""Cascading randomisation: from the top, one layer more each time, nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest

from paper.measures.randomisation import randomise_from_top
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.errors import InputError


def network(*, signed: bool = True) -> Network:
    random = np.random.default_rng(0)
    w1, w2, w3, w_out = (
        random.normal(size=shape).astype(np.float32) for shape in ((4, 3, 3, 3), (5, 4, 3, 3), (6, 20), (3, 6))
    )
    return Network(
        input_shape=(6, 4, 4),
        timesteps=5,
        layers=(
            Layer("conv1", Input(np.concatenate([w1, -w1 if signed else w1], axis=1), padding=1), LIF(leak=0.9)),
            Layer("conv2", Input(w2, gain=0.5, padding=1), LIF(leak=0.9, threshold=0.7)),
            Layer("fc1", Input(w3, pool=2), LIF(leak=0.9)),
        ),
        readout=Readout(w_out),
    )


def weights(network: Network) -> dict[str, np.ndarray]:
    return {layer.name: layer.inputs[0].weight for layer in network.layers} | {"readout": network.readout.weight}


def test_one_layer_more_each_time_from_the_top() -> None:
    whole = weights(network())
    shuffled = list(randomise_from_top(network(), seed=1))
    assert [name for name, _ in shuffled] == ["readout", "fc1", "conv2", "conv1"]
    for count, (_, stage) in enumerate(shuffled, start=1):
        changed = {name for name, weight in weights(stage).items() if not np.array_equal(weight, whole[name])}
        assert changed == {name for name, _ in shuffled[:count]}
    final = shuffled[-1][1]
    for name, weight in weights(final).items():
        np.testing.assert_array_equal(np.sort(np.abs(weight), axis=None), np.sort(np.abs(whole[name]), axis=None))
    assert (final.layers[1].neuron.threshold, final.timesteps) == (0.7, 5)
    np.testing.assert_array_equal(final.layers[1].inputs[0].gain, network().layers[1].inputs[0].gain)


def test_the_code_of_signed_spikes_stays() -> None:
    *_, (_, final) = randomise_from_top(network(), seed=1)
    np.testing.assert_array_equal(final.layers[0].inputs[0].weight[:, 3:], -final.layers[0].inputs[0].weight[:, :3])
    *_, (_, final) = randomise_from_top(network(signed=False), seed=1)
    assert not np.array_equal(
        np.abs(final.layers[0].inputs[0].weight[:, 3:]), np.abs(final.layers[0].inputs[0].weight[:, :3])
    )


def test_seeded() -> None:
    hashes = [[stage.sha256 for _, stage in randomise_from_top(network(), seed)] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


def test_fixed_point_is_refused() -> None:
    with pytest.raises(InputError, match="got a network in fixed point, expected float32; quantise it afterwards$"):
        next(randomise_from_top(quantise(network()), 0))
