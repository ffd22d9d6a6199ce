"""Convolutions that add rows of those that fired, against PyTorch's: in whole numbers, where no sum
is rounded.
"""

import numba
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training import _spike_convolution as spike_convolution
from spikesam.pipeline.training._spike_convolution import convolve_spikes, pays
from spikesam.pipeline.training.trainable import SpikingNetwork


def outcome(convolve, spikes, weight, padding, upstream):
    leaves = [
        tensor.clone(memory_format=torch.preserve_format).requires_grad_()
        for tensor in (spikes, weight)
    ]
    found = convolve(*leaves, padding=padding)
    found.backward(upstream)
    return found.detach(), *(leaf.grad for leaf in leaves)


@given(
    seed=st.integers(0, 2**31 - 1),
    maps=st.integers(1, 5),
    inputs=st.sampled_from([1, 3, 31, 64, 65, 130]),
    outputs=st.sampled_from([32, 64, 96, 128]),
    sides=st.tuples(st.integers(1, 19), st.integers(1, 11)),
    side=st.sampled_from([1, 3, 5]),
    firing=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_sums_and_gradients_are_pytorchs(seed, maps, inputs, outputs, sides, side, firing):
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(maps, inputs, *sides, generator=generator) < firing).float()
    weight = torch.randint(-99, 100, (outputs, inputs, side, side), generator=generator).float()
    upstream = torch.randint(-9, 10, (maps, outputs, *sides), generator=generator).float()
    spikes = spikes.contiguous(memory_format=torch.channels_last)
    plain, added = (
        outcome(convolve, spikes, weight, side // 2, upstream)
        for convolve in (functional.conv2d, convolve_spikes)
    )
    for expected, found in zip(plain, added, strict=True):
        assert torch.equal(found, expected)


def test_any_number_of_threads_gives_the_same_sums():
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(3, 5, 6, 6, generator=generator) < 0.3).float()
    weight = torch.randint(-9, 10, (32, 5, 3, 3), generator=generator).float()
    upstream = torch.randint(-9, 10, (3, 32, 6, 6), generator=generator).float()
    several = outcome(convolve_spikes, spikes, weight, 1, upstream)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = outcome(convolve_spikes, spikes, weight, 1, upstream)
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(alone, several, strict=True))


def test_by_hand():
    # One channel, 1 × 3 pixels, of which the first and the last fire; the kernel 1, 10, 100 along
    # them. Padded, an output sees its neighbours: 10, 1 + 100, 10. With upstream 2, 3, 5, a tap
    # gets those of outputs that see a spike through it: the left one 3 (of the first), the middle
    # one 2 + 5, the right one 3 (of the last).
    spikes = torch.tensor([1.0, 0, 1]).reshape(1, 1, 1, 3)
    weight = torch.zeros(32, 1, 3, 3)
    weight[7, 0, 1] = torch.tensor([1.0, 10, 100])
    upstream = torch.zeros(1, 32, 1, 3)
    upstream[0, 7, 0] = torch.tensor([2.0, 3, 5])
    found, through_spikes, through_weight = outcome(convolve_spikes, spikes, weight, 1, upstream)
    assert found[0, 7, 0].tolist() == [10, 101, 10]
    assert through_spikes.flatten().tolist() == [23, 235, 350]
    assert through_weight[7, 0, 1].tolist() == [3, 7, 3]
    assert found.count_nonzero() + through_weight.count_nonzero() == 6


@pytest.mark.parametrize(
    ("firing", "weight", "expected"),
    [
        (0.1, (32, 4, 3, 3), True),
        (0.9, (32, 4, 3, 3), False),
        (0.1, (33, 4, 3, 3), False),
        (0, (32, 4, 3, 3), True),
    ],
)
def test_rows_are_added_where_few_fire_and_outputs_fill_vectors(firing, weight, expected):
    spikes = (torch.rand(40, 4, 8, 8, generator=torch.Generator().manual_seed(0)) < firing).float()
    assert pays(spikes, torch.empty(weight)) == expected


def test_events_that_lie_farther_than_their_numbers_reach_are_not_added():
    spikes, weight = torch.zeros(1, 1, 1, 1), torch.zeros(1)
    assert not pays(spikes.expand(1, 1 << 16, 1, 200), weight.expand(32, 1 << 16, 3, 3))


def test_layers_that_read_other_than_one_layers_spikes_multiply():
    network = NetworkSection(layers=(32, 32, "P", 32, "A2", "P4", "D9"), timesteps=16)
    model = SpikingNetwork(network, (3, 8, 8), 4, fused=True)
    found = [
        plan.name
        for plan, layer in zip(model.plans, model.layers, strict=True)
        if layer.reads_spikes
    ]
    # Not the input, which is signed, nor averages, nor sums, nor spikes of attention, which may be
    # of another type.
    assert found == ["conv2", "block1_q", "block1_k", "block1_v", "block1_output"]


def test_a_network_learns_alike_either_way(monkeypatch):
    network = NetworkSection(layers=(32, 64, 32, "P", 32, 32, "D9"), timesteps=9, leak=0.9)
    gradients = []
    for few in (0.0, 1.0):
        monkeypatch.setattr(spike_convolution, "FEW", few)
        torch.manual_seed(0)
        model = SpikingNetwork(network, (3, 8, 8), 4, fused=True)
        logits = model(torch.randn(9, 3, 3, 8, 8).sign())
        functional.cross_entropy(logits, torch.tensor([0, 1, 3])).backward()
        gradients.append([layer.synapses.weight.grad for layer in model.layers])
    for multiplied, added in zip(*gradients, strict=True):
        torch.testing.assert_close(added, multiplied, rtol=1e-3, atol=1e-6)
        assert added.abs().max() > 1e-5
    assert not all(
        torch.equal(*pair) for pair in zip(*gradients, strict=True)
    )  # rounded in another order
