"""Samples that a model keeps apart: the relevance of one lies in its own rows alone.

The first batch of each size has a second backward pass, whose targets are weighted by powers of 2,
which round nothing: all rows must be weighted alike. A batch of a size that was checked has one
pass, in which a half of the targets is 2⁸⁰ times as large as the other half, another half in each
batch. Rows are divided by that again, to the same bits; what came from a row of the larger half
into one of the smaller half is then so large that nothing else explains it. That costs nothing,
and sees what begins in a later batch: rows that are sorted by activity, or that a target permutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.common.errors import InputError

LEVEL = 40  # the smaller half is 2⁻⁴⁰ of a target, the larger one 2⁴⁰
LARGEST = 2.0**50  # times the largest target, or relevance of the larger half: never of a model


class CheckedRows:
    """The sizes of batches that were checked, and which half is larger in the batch at hand."""

    def __init__(self) -> None:
        self._samples, self._batches = 1, 0
        self._checked = {1}  # samples of a batch; one alone mixes with nothing

    def begin_batch(self, samples: int) -> bool:
        """True if a batch of this size needs a second pass."""
        self._samples = samples
        return samples not in self._checked

    def end_batch(self) -> None:
        """The batch at hand keeps its samples apart."""
        self._checked.add(self._samples)
        self._batches += 1

    def levels(self, numbers: Tensor, *, exact: bool) -> Tensor:
        """(B,) factors of targets; ones where there is one sample, or they would round.

        In 2 log2(B) batches each row was once in another half than each other one, both ways.
        """
        samples = len(numbers)
        if samples == 1 or not exact:
            return torch.ones_like(numbers)
        bit = self._batches // 2 % (samples - 1).bit_length()
        rows = torch.arange(samples, device=numbers.device)
        larger = (rows >> bit & 1) ^ (self._batches & 1)
        return torch.ldexp(torch.ones_like(numbers), LEVEL * (2 * larger - 1)).detach()


def powers_of_2(numbers: Tensor) -> Tensor:
    """(B,) from 2⁻⁸ to 2⁷, other ones for neighbours, and for rows that are 16 apart."""
    rows = torch.arange(len(numbers), device=numbers.device)
    return torch.ldexp(torch.ones_like(numbers), (7 * rows + rows // 16) % 16 - 8).detach()


def at_one_level(
    maps: Mapping[str, NDArray[np.float32]], levels: NDArray[Any], targets: NDArray[Any]
) -> str:
    """Divide the maps (B, …) of layers by the levels (B,) of their samples, in place.

    Gives the last layer whose samples are mixed; "" of none.
    """
    if (levels == 1).all():
        return ""
    mixed = ""
    larger = levels > 1
    for layer, values in maps.items():
        values /= levels.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
        most = max(float(np.abs(targets).max()), float(np.abs(values[larger]).max())) or 1.0
        if float(np.abs(values[~larger]).max()) > LARGEST * most:
            mixed = layer  # the last one is nearest to where they are mixed
    return mixed


def mixed_samples(target: str, layer: str) -> InputError:
    """The error that names the layer behind which samples are mixed."""
    return InputError(
        f"why: target {target!r}: samples are mixed behind {layer!r}, so that the relevance of one "
        "lies in another; expected rows that belong to the samples in the order in which they "
        "come, see spikesam.check()"
    )
