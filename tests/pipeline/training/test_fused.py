"""Training, fused and not, against snnTorch's modules stepped by hand: answers, gradients,
statistics.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training._fused import bntt_lif
from tests.pipeline.surrogate import Surrogate
from tests.pipeline.training.trained import trained_once

BLOCK = NetworkSection(layers=(4, "P", 6, "A2", "P4", "D9"), timesteps=13, leak=0.9)


@pytest.mark.parametrize("fused", [False, True])
def test_same_gradients_and_statistics_as_snntorch(fused):
    plain, found = trained_once(False, loop=True), trained_once(fused)
    gradients = 0
    for (name, expected), (_, parameter) in zip(
        plain.named_parameters(), found.named_parameters(), strict=True
    ):
        assert (expected.grad is None) == (parameter.grad is None), (
            name
        )  # both leave the same BNTT steps unused
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-4, atol=1e-6)
            gradients += int(expected.grad.abs().max() > 1e-4)
    assert gradients > 10
    for (name, expected), (_, buffer) in zip(
        plain.named_buffers(), found.named_buffers(), strict=True
    ):
        torch.testing.assert_close(buffer, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_a_block_of_a_transformer_learns_alike_fused_or_not():
    plain, fused = (trained_once(fused, network=BLOCK) for fused in (False, True))
    for (name, expected), (_, found) in zip(
        plain.named_parameters(), fused.named_parameters(), strict=True
    ):
        if expected.grad is not None:
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-6, msg=name)
    for part in ("q", "k", "v"):
        at = [plan.name for plan in plain.plans].index(f"block1_{part}")
        assert plain.layers[at].synapses.weight.grad.abs().max() > 1e-6


def test_by_hand():
    # One channel, two rows, two steps. First: a = 1, 3 -> normalised -1, 1; times scale 1.5: v =
    # -1.5, 1.5: one fires. Then: a = 4, 2 -> i = 1.5, -1.5; v = 0.5·(-1.5) + 1.5 = 0.75 and 0.5·1.5
    # - 1.5 - 1 = -1.75: nobody fires.
    current = torch.tensor([[[1.0], [3.0]], [[4.0], [2.0]]])
    spikes, membrane, mean, variance = bntt_lif(current, torch.full((2, 1), 1.5), 0.0, 0.5, 1.0)
    assert spikes.flatten().tolist() == [0, 1, 0, 0]
    assert membrane.flatten().tolist() == [0.75, -1.75]
    assert mean.flatten().tolist() == [2, 3]
    assert variance.flatten().tolist() == [1, 1]


def test_two_parts_give_what_one_run_gives():
    current = torch.randn(6, 300, 5, generator=torch.Generator().manual_seed(0))
    scale = torch.linspace(0.5, 2, 30).reshape(6, 5)
    whole, end, *_ = bntt_lif(current, scale, 1e-4, 0.9, 1.0)
    first, membrane, *_ = bntt_lif(current[:2], scale[:2], 1e-4, 0.9, 1.0)
    kept = membrane.clone()
    second, membrane_end, *_ = bntt_lif(current[2:], scale[2:], 1e-4, 0.9, 1.0, membrane)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(membrane_end, end)
    assert torch.equal(membrane, kept)
    assert not torch.equal(bntt_lif(current[2:], scale[2:], 1e-4, 0.9, 1.0)[0], second)


def test_gradients_from_a_given_membrane():
    leak, threshold = 0.8, 1.2
    generator = torch.Generator().manual_seed(3)
    current, upstream = torch.randn(2, 4, 300, 3, generator=generator)
    start = torch.randn(300, 3, generator=generator)
    gradients = []
    for fused in (False, True):
        leaf, scale = current.clone().requires_grad_(), torch.full((4, 3), 1.5, requires_grad=True)
        if fused:
            spikes, *_ = bntt_lif(leaf, scale, 1e-4, leak, threshold, start)
        else:
            v, fired = start, []
            for a, gamma in zip(leaf, scale, strict=True):
                i = functional.batch_norm(a, None, None, gamma, training=True, eps=1e-4)
                v = leak * v + i - threshold * (v.detach() > threshold)
                fired.append(Surrogate.apply((v - threshold) / threshold))
            spikes = torch.stack(fired)
        spikes.backward(upstream)
        gradients.append((spikes.detach(), leaf.grad, scale.grad))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_currents_give_the_spikes_of_their_float32_values():
    current = torch.randn(5, 700, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    scale = torch.ones(5, 6)
    short, *_ = bntt_lif(current, scale, 1e-4, 0.99, 1.0)
    full, *_ = bntt_lif(current.float(), scale, 1e-4, 0.99, 1.0)
    assert short.dtype == torch.bfloat16
    assert torch.equal(short.float(), full)
    assert 0.02 < full.mean() < 0.5


def test_bfloat16_gradients_are_float32_ones_rounded():
    current = torch.randn(4, 300, 3, generator=torch.Generator().manual_seed(1)).bfloat16()
    upstream = torch.randn(4, 300, 3, generator=torch.Generator().manual_seed(2)).bfloat16()
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        leaf = current.to(dtype).clone().requires_grad_()
        spikes, *_ = bntt_lif(leaf, torch.ones(4, 3), 1e-4, 0.9, 1.0)
        spikes.backward(upstream.to(dtype))
        found[dtype] = leaf.grad
    assert torch.equal(found[torch.float32].bfloat16(), found[torch.bfloat16])
    assert found[torch.float32].abs().max() > 0.1


@pytest.mark.parametrize("rows", [1, 255, 256, 257])
def test_block_edges(rows):
    current = torch.arange(rows * 2, dtype=torch.float32).reshape(1, rows, 2)
    _, _, mean, variance = bntt_lif(current, torch.ones(1, 2), 1e-4, 0.9, 1.0)
    torch.testing.assert_close(mean[0], current[0].mean(0))
    torch.testing.assert_close(variance[0], current[0].var(0, unbiased=False), rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_threads_change_no_bit_of_a_gradient():
    """Each number of threads in a process of its own: numba starts them once."""
    code = """
import hashlib, torch
from tests.pipeline.training.trained import trained_once
torch.set_num_threads(1)  # the kernels' threads are numba's
found = [p.grad.numpy().tobytes() for p in trained_once(True).parameters() if p.grad is not None]
print(len(found), hashlib.sha256(b"".join(found)).hexdigest())
"""
    said = set()
    for threads in ("1", "2"):
        ask = {
            "args": [sys.executable, "-c", code],
            "env": os.environ | {"NUMBA_NUM_THREADS": threads},
        }
        said.add(subprocess.run(**ask, capture_output=True, text=True, check=True).stdout)
    assert len(said) == 1
    assert int(said.pop().split()[0]) > 10
