"""What BNTT sees, and its statistics estimated anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from paper.randomisation import current_moments, learnt_scales, randomise_from_top, renormalised
from spikesam import InputError, Layer, Network, quantise
from spikesam.training import export_network
from tests.layers import with_first
from tests.pipeline.small_networks import small_model


@pytest.fixture
def inputs() -> torch.Tensor:
    """(8, 5, 6, 16, 24) spikes."""
    return (torch.rand((8, 5, 6, 16, 24), generator=torch.Generator().manual_seed(0)) < 0.3).float()


def test_moments_are_those_of_the_currents_by_channel_and_step(inputs: torch.Tensor) -> None:
    network = export_network(small_model())
    first, *_ = found = current_moments(network, inputs)
    assert [moments.mean.shape for moments in found] == [(7, 4), (7, 6), (7, 8)]
    weight = torch.tensor(network.layers[0].inputs[0].weight)
    currents = torch.nn.functional.conv2d(inputs[2].double(), weight.double(), padding=1)[:, 3]
    assert first.mean[2, 3] == pytest.approx(float(currents.mean()), rel=1e-4)
    assert first.variance[2, 3] == pytest.approx(float(currents.var(correction=0)), rel=1e-4)
    second = found[1]
    assert not second.variance[0].any() and second.variance[1].any(), (
        "what leaves at step 1 arrives at step 2"
    )


def test_a_layer_made_too_strong_is_brought_back_to_the_scale_that_was_learnt(
    inputs: torch.Tensor,
) -> None:
    network = export_network(small_model())
    trained = current_moments(network, inputs)
    scales = learnt_scales(network, trained)
    strong = with_first(network.layers[0], weight=network.layers[0].inputs[0].weight * 50 + 1)
    again = renormalised(replace(network, layers=(strong, *network.layers[1:])), inputs, scales)
    for before, after, was, now in zip(
        network.layers, again.layers, trained, current_moments(again, inputs), strict=True
    ):
        gain = after.inputs[0].gain[:-1]
        np.testing.assert_allclose(
            gain * now.mean + after.spiking_neuron.bias[:-1], 0, atol=1e-4
        )  # as BNTT centres
        learnt = before.inputs[0].gain[:-1] ** 2 * (was.variance + 1e-4)
        np.testing.assert_allclose(gain**2 * (now.variance + 1e-4), learnt, rtol=1e-3)


def test_a_network_without_a_gain_per_step_is_refused(inputs: torch.Tensor) -> None:
    network = export_network(small_model())
    plain = tuple(
        Layer(layer.name, replace(layer.inputs[0], gain=1), replace(layer.neuron, bias=0.0))
        for layer in network.layers
    )
    constant = replace(network, layers=plain)
    scales = learnt_scales(constant, current_moments(constant, inputs))
    assert [scale.shape for scale in scales] == [(7, 4), (7, 6), (7, 8)]
    with pytest.raises(InputError, match="^BNTT: conv1 has no gain per step"):
        renormalised(constant, inputs, scales)


def test_layers_before_the_first_keep_their_statistics(inputs: torch.Tensor) -> None:
    network = export_network(small_model())
    scales = learnt_scales(network, current_moments(network, inputs))
    again = renormalised(network, inputs, scales, first=2)
    assert again.layers[:2] == network.layers[:2]
    assert not np.array_equal(
        again.layers[2].spiking_neuron.bias, network.layers[2].spiking_neuron.bias
    )
    assert renormalised(network, inputs, scales, first=3).sha256 == network.sha256


def network(*, signed: bool = True) -> Network:
    trained = export_network(small_model())
    weight = (
        trained.layers[0].inputs[0].weight
    )  # of the ON planes, and those of the OFF planes negated
    first = trained.layers[0] if signed else with_first(trained.layers[0], weight=np.abs(weight))
    return replace(trained, layers=(first, *trained.layers[1:]))


def weights(network: Network) -> dict[str, np.ndarray]:
    return {layer.name: layer.inputs[0].weight for layer in network.layers} | {
        "readout": network.readout.weight
    }


def test_one_layer_more_each_time_from_the_top() -> None:
    whole = weights(network())
    shuffled = list(randomise_from_top(network(), seed=1))
    assert [name for name, _ in shuffled] == ["readout", "fc1", "conv2", "conv1"]
    for count, (_, stage) in enumerate(shuffled, start=1):
        changed = {
            name
            for name, weight in weights(stage).items()
            if not np.array_equal(weight, whole[name])
        }
        assert changed == {name for name, _ in shuffled[:count]}
    final = shuffled[-1][1]
    for name, weight in weights(final).items():
        np.testing.assert_array_equal(
            np.sort(np.abs(weight), axis=None), np.sort(np.abs(whole[name]), axis=None)
        )
    restored = [with_first(layer, weight=whole[layer.name]) for layer in final.layers]
    assert replace(final, layers=restored, readout=network().readout).sha256 == network().sha256


def test_the_code_of_signed_spikes_stays() -> None:
    *_, (_, final) = randomise_from_top(network(), seed=1)
    np.testing.assert_array_equal(
        final.layers[0].inputs[0].weight[:, 3:], -final.layers[0].inputs[0].weight[:, :3]
    )
    *_, (_, final) = randomise_from_top(network(signed=False), seed=1)
    assert not np.array_equal(
        np.abs(final.layers[0].inputs[0].weight[:, 3:]),
        np.abs(final.layers[0].inputs[0].weight[:, :3]),
    )


def test_seeded() -> None:
    hashes = [
        [stage.sha256 for _, stage in randomise_from_top(network(), seed)] for seed in (1, 1, 2)
    ]
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


def test_fixed_point_is_refused() -> None:
    with pytest.raises(
        InputError, match="got a network in fixed point, expected float32; quantise it afterwards$"
    ):
        next(randomise_from_top(quantise(network()), 0))
