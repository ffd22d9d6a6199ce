"""Comparisons of tensors that give numbers: those to bool take PyTorch several times as long."""

from __future__ import annotations

import torch
from torch import Tensor


def are_zero(values: Tensor) -> bool:
    """True if all values are 0; False of NaN."""
    if not values.numel():
        return True
    low, high = values.aminmax()
    return not (low or high)


def are_bits(values: Tensor) -> bool:
    """True if all values are 0 or 1."""
    return are_zero(values * (1 - values))


def silent(spikes: Tensor) -> Tensor:
    """1 where neurons did not fire, 0 where they did."""
    return torch.eq(spikes, 0, out=torch.empty_like(spikes))
