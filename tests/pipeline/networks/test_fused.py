"""The fused operation against the plain snnTorch modules: spikes, gradients and running statistics."""

from __future__ import annotations

import pytest
import torch

from pipeline.config import NetworkSection
from pipeline.networks.architecture import SpikingNetwork
from pipeline.networks.fused import bntt_lif

NETWORK = NetworkSection(layers=(5, "P", 6, "P4", "D9"), timesteps=7, leak=0.9, threshold=1.3)


def trained_once(fused: bool) -> SpikingNetwork:
    torch.manual_seed(0)
    model = SpikingNetwork(NETWORK, 3, 8, 16, 4, fused=fused)
    images = torch.randn(7, 3, 3, 8, 16).sign()
    torch.nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 3])).backward()
    return model


def test_same_gradients_and_statistics_as_snntorch():
    plain, fused = trained_once(False), trained_once(True)
    gradients = 0
    for (name, expected), (_, found) in zip(plain.named_parameters(), fused.named_parameters(), strict=True):
        assert (expected.grad is None) == (found.grad is None), name  # both leave the same BNTT steps unused
        if expected.grad is not None:
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)
            gradients += int(expected.grad.abs().max() > 1e-4)
    assert gradients > 10
    for (name, expected), (_, found) in zip(plain.named_buffers(), fused.named_buffers(), strict=True):
        if name.endswith("neuron.mem"):
            continue  # snnTorch keeps its last membrane there
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_by_hand():
    # One channel, two rows, two steps. First: a = 1, 3 -> normalised -1, 1; times scale 1.5: v = -1.5, 1.5: one fires.
    # Then: a = 4, 2 -> i = 1.5, -1.5; v = 0.5·(-1.5) + 1.5 = 0.75 and 0.5·1.5 - 1.5 - 1 = -1.75: nobody fires.
    current = torch.tensor([[[1.0], [3.0]], [[4.0], [2.0]]])
    spikes, mean, variance = bntt_lif(current, torch.full((2, 1), 1.5), 0.0, 0.5, 1.0, 0.3)
    assert spikes.flatten().tolist() == [0, 1, 0, 0]
    assert mean.flatten().tolist() == [2, 3]
    assert variance.flatten().tolist() == [1, 1]


def test_bfloat16_currents_give_the_spikes_of_their_float32_values():
    current = torch.randn(5, 700, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    scale = torch.ones(5, 6)
    short, *_ = bntt_lif(current, scale, 1e-4, 0.99, 1.0, 0.3)
    full, *_ = bntt_lif(current.float(), scale, 1e-4, 0.99, 1.0, 0.3)
    assert short.dtype == torch.bfloat16
    assert torch.equal(short.float(), full)
    assert 0.02 < full.mean() < 0.5


def test_bfloat16_gradients_are_float32_ones_rounded():
    current = torch.randn(4, 300, 3, generator=torch.Generator().manual_seed(1)).bfloat16()
    upstream = torch.randn(4, 300, 3, generator=torch.Generator().manual_seed(2)).bfloat16()
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        leaf = current.to(dtype).clone().requires_grad_()
        spikes, *_ = bntt_lif(leaf, torch.ones(4, 3), 1e-4, 0.9, 1.0, 0.3)
        spikes.backward(upstream.to(dtype))
        found[dtype] = leaf.grad
    assert torch.equal(found[torch.float32].bfloat16(), found[torch.bfloat16])
    assert found[torch.float32].abs().max() > 0.1


@pytest.mark.parametrize("rows", [1, 255, 256, 257])
def test_block_edges(rows):
    current = torch.arange(rows * 2, dtype=torch.float32).reshape(1, rows, 2)
    _, mean, variance = bntt_lif(current, torch.ones(1, 2), 1e-4, 0.9, 1.0, 0.3)
    torch.testing.assert_close(mean[0], current[0].mean(0))
    torch.testing.assert_close(variance[0], current[0].var(0, unbiased=False), rtol=1e-4, atol=1e-4)
