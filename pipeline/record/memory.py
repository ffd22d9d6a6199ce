"""Memory of tensors that have gradients, which others may share, read or write without a function
of torch: `nn.Parameter(spikes)`, `copy.copy`, DLPack, arrays of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.multiprocessing.reductions import StorageWeakRef

from spikesam.pipeline.imports.torch.follower import version_of
from spikesam.pipeline.record._passages import Node


class Holder(NamedTuple):
    """The node that made the numbers of a memory, and its memory, as long as it is there."""

    storage: StorageWeakRef
    node: Node
    of_input: bool  # of the model


@dataclass(eq=False)
class Handed:
    """A tensor whose memory NumPy or others have, and its numbers when they were last looked at."""

    tensor: Tensor
    numbers: Tensor
    version: int
    node: Node


class SharedMemory:
    """The memory of the tensors of a batch that have gradients."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """All tensors."""
        self._holders: dict[int, Holder] = {}
        self._handed: dict[int, list[Handed]] = {}

    def hold(self, tensor: Tensor) -> None:
        """Note the memory of a tensor with a gradient, and the node that made it."""
        tensor = unwrapped(tensor)
        if (storage := storage_of(tensor)) is not None and (place := storage.data_ptr()):
            with torch.enable_grad():
                node = get_gradient_edge(tensor).node
            self._holders[place] = Holder(StorageWeakRef(storage), node, tensor.is_leaf)

    def holder(self, tensor: Tensor) -> Holder | None:
        """The holder of memory that a tensor without a function shares; None if it is its own."""
        if not self._holders or (storage := storage_of(tensor)) is None:
            return None
        holder = self._holders.get(storage.data_ptr())
        return None if holder is None or holder.storage.expired() else holder

    def hand(self, tensor: Tensor, node: Node) -> None:
        """Others get the memory of a tensor, and may write there unseen."""
        if tensor.device.type != "cpu" or (storage := storage_of(tensor)) is None:
            return  # they get a copy
        alias = tensor.detach()
        handed = Handed(alias, alias.clone(), version_of(tensor), node)
        self._handed.setdefault(storage.data_ptr(), []).append(handed)

    def written(self, tensor: Tensor) -> Handed | None:
        """What others have of a tensor's memory, if they wrote there; None if they did not."""
        if not self._handed or (storage := storage_of(tensor)) is None:
            return None
        return next(
            (
                handed
                for handed in self._handed.get(storage.data_ptr(), ())
                if not _same(handed.tensor, handed.numbers)
            ),
            None,
        )

    def written_last(self) -> Handed | None:
        """What others have of any tensor, if they wrote there since it was read last."""
        handed = (entry for entries in self._handed.values() for entry in entries)
        return next((entry for entry in handed if not _same(entry.tensor, entry.numbers)), None)

    def look_again(self, tensor: Tensor) -> None:
        """A function of torch wrote into a tensor, which others may have, too."""
        if self._handed and (storage := storage_of(tensor)) is not None:
            for handed in self._handed.get(storage.data_ptr(), ()):
                handed.numbers = handed.tensor.clone()


def _same(tensor: Tensor, numbers: Tensor) -> bool:
    """True if all bits are the same, those of NaN, too."""
    return torch.equal(tensor, numbers) or bool(
        torch.equal(tensor.isnan(), numbers.isnan())
        and torch.equal(tensor.nan_to_num(), numbers.nan_to_num())
    )


def storage_of(tensor: Tensor) -> Any:
    """The memory of a tensor; None if it has none of its own kind."""
    if tensor.layout != torch.strided or is_wrapped(tensor):
        return None
    return tensor.untyped_storage()


def is_wrapped(tensor: Tensor) -> bool:
    """True within torch.vmap and torch.func."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor that torch.vmap and torch.func wrap."""
    while is_wrapped(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def has_gradient(tensor: Tensor) -> bool:
    """True if relevance goes through a tensor, or through what torch.vmap wraps."""
    return tensor.requires_grad or (is_wrapped(tensor) and unwrapped(tensor).requires_grad)
