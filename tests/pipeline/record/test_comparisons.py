"""Comparisons that give numbers: what NaN, no values and negative zeros count as."""

import torch

from spikesam.pipeline.record._comparisons import are_zero, silent


def test_zeros_alone_are_zero() -> None:
    nan = float("nan")
    tensors = [torch.tensor(values) for values in ([0.0, -0.0], [], [0, 1.0], [-1.0, 0], [0, nan])]
    assert [are_zero(tensor) for tensor in tensors] == [True, True, False, False, False]


def test_neurons_that_did_not_fire_are_silent() -> None:
    numbers = silent(torch.tensor([0.0, 1, -0.0, 2, -1, float("nan")]))
    assert numbers.tolist() == [1, 0, 1, 0, 0, 0] and numbers.dtype == torch.float32
