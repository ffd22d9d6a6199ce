"""Tensors of which it is known that they hold 0 and 1 alone, so that nobody looks again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from spikesam.pipeline.imports.torch.follower import version_of


class KnownSpikes:
    """Memory that holds spikes alone, until it is written to.

    What shares memory with such a tensor, such as its reshape, holds spikes, too.
    """

    def __init__(self) -> None:
        # a reference to memory keeps another tensor from getting its number
        self._versions: dict[int, tuple[StorageWeakRef, int]] = {}

    def forget(self) -> None:
        """Look at all tensors again."""
        self._versions.clear()

    def add(self, tensor: Tensor) -> None:
        """Take a tensor of spikes alone, if it is no part of another."""
        storage = tensor.untyped_storage()
        if tensor.numel() * tensor.element_size() == storage.nbytes():
            self._versions[storage._cdata] = StorageWeakRef(storage), version_of(tensor)

    def discard(self, tensor: Tensor) -> None:
        """Look again at a tensor that is written to."""
        if self._versions and tensor.layout == torch.strided:
            self._versions.pop(tensor.untyped_storage()._cdata, None)

    def holds(self, tensor: Tensor) -> bool:
        """True of spikes that are known."""
        _, version = self._versions.get(tensor.untyped_storage()._cdata, (None, None))
        return version == version_of(tensor)
