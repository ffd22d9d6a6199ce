"""Spikes -> currents with torch, for many steps and samples at a time.

Fixed point is exact because it is a product of integer matrices: the inputs of each neuron form a
row, and the rows are multiplied by the kernels. The magnitudes of a neuron's products add up to
less than 2²³ (checked when the network is built), so every partial sum, in whatever order it is
formed, is an integer that int32 and float32 both hold. Convolution routines are not used: a library
may choose a Winograd or Fourier transform, whose intermediate results are not integers.

* On CPUs with VNNI, int8 is multiplied by int8 into int32, several times faster than float32.
  oneDNN, which does it, is exact there; on other CPUs it may saturate pairs of products at 16 bits
  [1]_, [2]_.
* Everywhere else, and where sums of pooling exceed int8, matrices are float32, in full precision:
  :func:`exact_sums`.

In float32 a convolution is torch's.

References
----------
.. [1] oneDNN developer guide, "Nuances of int8 computations".
.. [2] PyTorch issue 136746, torch._int_mm on a CPU without VNNI.
.. [3] PyTorch issue 195066, torch._int_mm with strides of sides of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spikesam.backends.network import (
    CURRENT_LIMIT,
    NO_POOLING,
    Attention,
    Conv,
    Dense,
    Identity,
    Input,
    NetworkError,
    Shape,
    Synapse,
    Weighted,
    pair,
)


class Workspace:
    """Memory of a device that layers use in turn: new memory costs a page fault every 4 KiB."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._blocks: dict[tuple[str, torch.dtype], Tensor] = {}
        self._weights: dict[int, tuple[NDArray[Any], Tensor]] = {}

    def block(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Uninitialised memory, valid until the next call with the same name and dtype."""
        size = prod(shape)
        block = self._blocks.get((name, dtype))
        if block is None or len(block) < size:
            block = self._blocks[name, dtype] = torch.empty(size, dtype=dtype, device=self.device)
        return block[:size].view(shape)

    def weight(self, array: NDArray[Any]) -> Tensor:
        """Weights on the device, once for all inputs that share them."""
        if id(array) not in self._weights:
            self._weights[id(array)] = array, torch.tensor(array, device=self.device)
        return self._weights[id(array)][1]


class FixedSynapses:
    """An input's weights in fixed point as a matrix, int8 or float32, whichever is exact and faster
    if not given.
    """

    def __init__(
        self,
        layer_input: Input,
        shape: Shape,
        workspace: Workspace,
        dtype: torch.dtype | None = None,
        name: str = "currents",
    ) -> None:
        synapse, patches = layer_input.synapse, layer_input.arriving(shape)
        assert isinstance(synapse, Weighted)
        if dtype is None:
            largest = max(1, len(layer_input.sources)) * synapse.summed
            fast = (
                workspace.device == "cpu"
                and largest <= torch.iinfo(torch.int8).max
                and multiplies_int8()
            )
            dtype = torch.int8 if fast else torch.float32
        weight = synapse.kernel(synapse.weight, synapse.pooled_shape(patches))
        kernel = torch.tensor(weight, dtype=dtype, device=workspace.device)
        self.map, self.name = patches[1:], name
        self.pool, self.stride = pair(synapse.pool), pair(synapse.stride)
        self.padding = pair(synapse.padding)
        self.join = torch.maximum if synapse.pooling == "max" else torch.add
        self.windows, self.summed = synapse.windows, synapse.current_sum
        self.window = kernel.shape[2:]
        # Copied: where a side is 1, a view's strides are arbitrary, and _int_mm takes them at their
        # word [3]_.
        self.matrix = (
            kernel.permute(2, 3, 1, 0).clone(memory_format=torch.contiguous_format).flatten(0, 2)
        )
        self.workspace = workspace
        outputs, *self.positions = layer_input.unpooled_shape(shape)
        self.bytes_per_map = prod(self.positions) * (
            len(self.matrix) * dtype.itemsize + outputs * 4
        )

    def __call__(self, spikes: Tensor) -> Tensor:
        """a = W ⊛ pool(x) of (N, H·W, C) int8: (N·H'·W', C') int32 or float32, valid until the
        name's next call.
        """
        (down, across), (top, left), dtype = self.pool, self.padding, self.matrix.dtype
        maps = spikes.to(dtype).unflatten(1, self.map)
        maps = reduce(
            self.join, (maps[:, y::down, x::across] for y in range(down) for x in range(across))
        )
        maps = functional.pad(maps, (0, 0, left, left, top, top))
        for axis, (side, stride) in enumerate(zip(self.window, self.stride, strict=True), start=1):
            maps = maps.unfold(axis, side, stride)
        arriving_shape = maps.movedim(
            3, -1
        )  # (N, H', W', y, x, C): in the order of the matrix's rows
        patches = (
            self.workspace.block("patches", arriving_shape.shape, dtype)
            .copy_(arriving_shape)
            .view(-1, len(self.matrix))
        )
        multiply, sums = (torch._int_mm, torch.int32) if dtype == torch.int8 else (torch.mm, dtype)
        currents = self.workspace.block(self.name, (len(patches), self.matrix.shape[1]), sums)
        multiply(patches, self.matrix, out=currents)
        if self.windows == NO_POOLING:
            return (
                self._summed(currents.unflatten(0, (-1, *self.positions)))
                if self.summed
                else currents
            )
        (above, beside), (down, across) = self.windows.padding, self.windows.stride
        padding, (rows, columns) = (
            (0, 0, beside, beside, above, above),
            self.windows.fit(self.positions),
        )
        padded = functional.pad(
            currents.unflatten(0, (-1, *self.positions)), padding, value=-CURRENT_LIMIT
        )
        places = product(*map(range, self.windows.sides))
        cells = (
            padded[:, y : y + rows * down : down, x : x + columns * across : across]
            for y, x in places
        )
        largest = reduce(torch.maximum, cells)
        return self._summed(largest) if self.summed else largest.flatten(0, 2)

    def _summed(self, currents: Tensor) -> Tensor:
        """The sum over all places: (N, H', W', C') -> (N, C')."""
        return currents.sum((1, 2), dtype=currents.dtype)


class FloatSynapses:
    """An input's weights in float32, for sources of `shape` (C, H, W)."""

    def __init__(self, layer_input: Input, shape: Shape, workspace: Workspace) -> None:
        assert isinstance(layer_input.synapse, Weighted)
        self.input, self.map = layer_input, layer_input.arriving(shape)[1:]
        self.weight = workspace.weight(layer_input.synapse.weight)
        self.bytes_per_map = 4 * (prod(shape) + prod(layer_input.output_shape(shape)))

    def __call__(self, spikes: Tensor) -> Tensor:
        """Currents in float32; pooling averages. Parameters and result: see
        :meth:`FixedSynapses.__call__`.
        """
        currents = apply_synapses(
            self.input, self.weight, spikes.mT.unflatten(2, self.map).to(torch.float32)
        )
        return currents.movedim(1, -1).flatten(0, -2)


class Passed:
    """The identity: spikes, or sums of them, of sources (C, H, W)."""

    def __init__(self, layer_input: Input, shape: Shape) -> None:
        self.bytes_per_map = prod(layer_input.arriving(shape))

    def __call__(self, spikes: Tensor) -> Tensor:
        """(N, H·W, C) int8, as they are."""
        return spikes


class Products:
    """Attention to sources (C, H, W), whose sums float32 holds."""

    def __init__(self, layer_input: Input, shape: Shape) -> None:
        assert isinstance(layer_input.synapse, Attention)
        channels, *sides = layer_input.arriving(shape)
        self.heads, self.values = (
            layer_input.synapse.heads,
            layer_input.synapse.values(layer_input, channels),
        )
        pairs = (channels - self.values) // 2 * self.values // self.heads
        self.bytes_per_map = 4 * ((channels + self.values) * prod(sides) + pairs)

    def __call__(self, spikes: Tensor) -> Tensor:
        """(N, H·W, 2·C + V) int8, the channels of q, k and v -> (N, H·W, V) float32."""
        return attended_maps(spikes.to(torch.float32), self.heads, self.values)


def attended_maps(maps: Tensor, heads: int, values: int) -> Tensor:
    """q · kᵀ · v of each head: (N, P, 2·C + V), the channels of q, k and v, of which v has
    `values`, -> (N, P, V).
    """
    query_channels = (maps.shape[2] - values) // 2
    factor_maps = maps.split((query_channels, query_channels, values), 2)
    query, key, value = (
        part.unflatten(2, (heads, -1)).transpose(1, 2) for part in factor_maps
    )  # (N, heads, P, d)
    return (query @ (key.mT @ value)).transpose(1, 2).flatten(2)


def repeat_spikes(spikes: Tensor, layer_input: Input, shape: Shape) -> Tensor:
    """The spikes of sources of `shape` (C, H, W), (N, H·W, C), as an input sees them."""
    if not layer_input.synapse.copies:
        return spikes
    return arrange(spikes.unflatten(1, shape[1:]), layer_input.synapse, (3, 1, 2)).flatten(1, 2)


def arrange(maps: Tensor, synapse: Synapse, axes: tuple[int, int, int]) -> Tensor:
    """:meth:`Synapse.arranged` of a tensor, with gradients."""
    for axis, times in zip(axes, synapse.spread, strict=True):
        maps = maps if times == 1 else maps.repeat_interleave(times, axis)
    for axis, numbers in zip(axes[1:], (synapse.rows, synapse.columns), strict=True):
        if numbers:
            index = torch.tensor(numbers, device=maps.device)
            maps = maps.index_select(axis, index.clamp(min=0))
            maps = maps.index_fill(axis, (index < 0).nonzero().flatten(), 0)
    return maps


def make_synapses(layer_input: Input, shape: Shape, workspace: Workspace, name: str) -> Any:
    """The function from spikes of sources of `shape`, spread, to an input's currents; see
    :class:`FixedSynapses`.
    """
    make = MAKERS.get(type(layer_input.synapse))
    if make is None:
        raise unknown_kind(layer_input.synapse)
    return make(layer_input, shape, workspace, name)


def _make_weighted(
    layer_input: Input, shape: Shape, workspace: Workspace, name: str
) -> FixedSynapses | FloatSynapses:
    if layer_input.fixed:
        return FixedSynapses(layer_input, shape, workspace, name=name)
    return FloatSynapses(layer_input, shape, workspace)


MAKERS: dict[type[Synapse], Callable[[Input, Shape, Workspace, str], Any]] = {
    Attention: lambda layer_input, shape, workspace, name: Products(layer_input, shape),
    Conv: _make_weighted,
    Dense: _make_weighted,
    Identity: lambda layer_input, shape, workspace, name: Passed(layer_input, shape),
}


def unknown_kind(synapse: Synapse) -> NetworkError:
    """The error for a kind of synapses that torch is not told of."""
    return NetworkError(
        f"torch: got synapses of the kind {synapse.kind!r}, expected conv, dense, identity or "
        "attention; simulate it on the backend 'event'"
    )


def apply_synapses(
    layer_input: Input,
    weight: Tensor,
    maps: Tensor,
    memory_format: torch.memory_format = torch.channels_last,
) -> Tensor:
    """a of an input in real numbers, of its weights and of x, which a convolution lays out as
    `memory_format` says: (N, C, H, W) -> (N, C', H', W') or (N, C').
    """
    synapse = layer_input.synapse
    if synapse.pool != 1:
        if synapse.pooling == "max":
            maps = functional.max_pool2d(maps, synapse.pool)
        else:
            maps = functional.avg_pool2d(maps, synapse.pool, divisor_override=synapse.averaged)
    currents = CURRENTS.get(type(synapse))
    if currents is None:
        raise unknown_kind(synapse)
    return currents(layer_input, weight, maps, memory_format)


def _products(
    layer_input: Input, _weight: Tensor, maps: Tensor, _memory_format: torch.memory_format
) -> Tensor:
    synapse = layer_input.synapse
    assert isinstance(synapse, Attention)
    values = synapse.values(layer_input, maps.shape[1])
    products = attended_maps(maps.flatten(2).mT, synapse.heads, values)
    return products.mT.unflatten(2, maps.shape[2:])


def _convolved(
    layer_input: Input, weight: Tensor, maps: Tensor, memory_format: torch.memory_format
) -> Tensor:
    synapse = layer_input.synapse
    maps = maps.contiguous(memory_format=memory_format)
    currents = functional.conv2d(maps, weight, stride=synapse.stride, padding=synapse.padding)
    if synapse.windows != NO_POOLING:
        currents = functional.max_pool2d(currents, *synapse.windows)
    return currents.sum((2, 3), keepdim=True) if synapse.current_sum else currents


CURRENTS: dict[type[Synapse], Callable[[Input, Tensor, Tensor, torch.memory_format], Tensor]] = {
    Attention: _products,
    Conv: _convolved,
    Dense: lambda layer_input, weight, maps, _: functional.linear(maps.flatten(1), weight),
    Identity: lambda layer_input, weight, maps, _: maps,
}


def multiplies_int8() -> bool:
    """True if this CPU has the instructions (VNNI) that make int8 products exact, and fast."""
    return bool(torch.cpu._is_vnni_supported())


@contextmanager
def without_autocast() -> Iterator[None]:
    """Products in the types of their operands, also where the user's session is in
    `torch.autocast`.
    """
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


@contextmanager
def exact_sums() -> Iterator[None]:
    """Only direct and matrix-multiplication algorithms, in full float32: no TF32, no bfloat16, no
    transforms.

    cuDNN and NNPACK may choose Winograd or FFT for a convolution, so they are off; torch's own CUDA
    convolution multiplies matrices. oneDNN, on CPUs, is asked by torch for its direct algorithm.
    """
    precision = torch.get_float32_matmul_precision()
    with without_autocast(), ExitStack() as stack:
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
        yield
