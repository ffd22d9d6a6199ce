"""A convolution of spikes in training: rows of weights, and backward of gradients, are added for
those that fired.

The products of a neuron that is silent are zero, in the convolution and in the gradient of its
weights, and most are. Forward, an output pixel adds the rows of the spikes that it sees, as the
event backend does. Backward, the gradient of a weight is the sum, over the spikes of its input
channel, of the gradients one tap of the kernel away; their outputs lie side by side as the weights'
do. The gradient of the spikes themselves is dense, and PyTorch's.

References
----------
Perez-Nieves & Goodman 2021, Sparse Spiking Gradient Descent.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikesam.backends.event.kernels.aligned import at_cache_line
from spikesam.backends.event.kernels.compiled import (
    compiled_in_parallel,
    compiled_making_arrays,
    internal,
)
from spikesam.backends.event.kernels.events import (
    COPIED,
    WORD,
    list_events,
    list_window,
    trailing_zeros,
    word_of,
)
from spikesam.backends.event.kernels.synapses import FARTHEST, add_rows, positions_of

# of all neurons: with AVX-512 adding rows takes as long then, without it half of all neurons may
# fire
FEW = 0.3
LOOKED_AT = 8  # maps, for how many fire
NARROW, WIDE = 32, 64  # outputs whose weights lie side by side
BAND = 8  # rows of a map whose gradients stay in the nearest cache
FLOAT = 4  # bytes


def pays(spikes: Tensor, weight: Tensor) -> bool:
    """True if adding rows is faster than multiplying everything, by some of the maps (N, C, H, W),
    of 0 and 1.
    """
    outputs, channels, rows, _ = weight.shape
    height, width = spikes.shape[2:]
    reach = width * max(channels * rows, height) * WIDE * FLOAT  # of an event, in bytes
    some_maps = spikes[:: max(1, len(spikes) // LOOKED_AT)]
    return outputs % NARROW == 0 and 2 * reach < FARTHEST and bool(some_maps.mean() < FEW)


def convolve_spikes(spikes: Tensor, weight: Tensor, padding: int) -> Tensor:
    """`functional.conv2d`, differentiable, on the CPU; sums are rounded in another order.

    `spikes` (N, C, H, W) are 0 or 1, channels last; `weight` is (O, C, KH, KW), and O a multiple of
    32; both are float32.
    """
    convolved: Tensor = _SpikeConvolution.apply(spikes, weight, padding)
    return convolved


class _SpikeConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(spikes, weight)
        ctx.padding = padding
        maps, (outputs, _, *taps) = _channels_last(spikes), weight.shape
        size = _block(outputs)
        rows = weight.detach().numpy().reshape(-1, size, *weight.shape[1:]).transpose(0, 4, 3, 2, 1)
        positions = positions_of((maps.shape[1], maps.shape[2]), taps, (1, 1), (padding, padding))
        currents = spikes.new_empty(len(maps), *positions, outputs)
        convolve_maps(maps, at_cache_line(rows), padding, currents.numpy(), numba.get_num_threads())
        return currents.movedim(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        spikes, weight = ctx.saved_tensors
        through_spikes, through_weight, _ = ctx.needs_input_grad
        return (
            _spike_gradient(spikes, gradient, weight, ctx.padding) if through_spikes else None,
            _weight_gradient(spikes, gradient, weight.shape, ctx.padding)
            if through_weight
            else None,
            None,
        )


def _spike_gradient(spikes: Tensor, gradient: Tensor, weight: Tensor, padding: int) -> Tensor:
    as_forward: Any = [1, 1], [padding, padding], [1, 1], False, [0, 0], 1
    gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, spikes, weight, None, *as_forward, [True, False, False]
    )
    return gradients[0]


def _weight_gradient(spikes: Tensor, gradient: Tensor, shape: torch.Size, padding: int) -> Tensor:
    maps, (outputs, channels, down, across) = _channels_last(spikes), shape
    _, height, width, _ = maps.shape
    size = _block(outputs)
    blocks = outputs // size
    parts = -(
        -numba.get_num_threads() // blocks
    )  # of the maps: sums of all weights for each would take much memory
    sums = np.zeros((parts, blocks, channels, down, across, size), np.float32)
    padded_gradients = at_cache_line(
        np.zeros((parts * blocks, height + down - 1, width + across - 1, size), np.float32)
    )
    add_gradients(maps, _channels_last(gradient), padding, padded_gradients, sums)
    return torch.from_numpy(np.moveaxis(sums.sum(axis=0), -1, 1).reshape(shape))


def _block(outputs: int) -> int:
    return NARROW if outputs % WIDE else WIDE


def compile_spike_convolution() -> None:
    """Compile what both directions need, or load it from numba's cache: some seconds the first
    time.
    """
    spikes, weight = torch.ones(1, 1, 1, 1), torch.ones(NARROW, 1, 1, 1, requires_grad=True)
    convolve_spikes(spikes, weight, 0).sum().backward()


def _channels_last(maps: Tensor) -> NDArray[np.float32]:
    return maps.detach().contiguous(memory_format=torch.channels_last).movedim(1, -1).numpy()


@compiled_in_parallel
def convolve_maps(maps: Any, weights: Any, padding: int, currents: Any, threads: int) -> None:
    """Set the currents (N, OH, OW, O) of maps (N, H, W, C), by aligned weights (O/B, KW, KH, C,
    B).
    """
    for thread in numba.prange(threads):
        first, last = len(maps) * thread // threads, len(maps) * (thread + 1) // threads
        convolve_some(maps[first:last], weights, padding, currents[first:last])


@compiled_in_parallel
def add_gradients(
    maps: Any, gradients: Any, padding: int, padded_gradients: Any, sums: Any
) -> None:
    """Add to `sums` (P, O/B, C, KH, KW, B), of P parts of maps (N, H, W, C), the gradients (N, OH,
    OW, O) of weights.

    `padded_gradients` (P·O/B, H + KH - 1, W + KW - 1, B) is aligned and zero; a gradient is written
    into its middle.
    """
    parts, blocks = sums.shape[:2]
    for task in numba.prange(parts * blocks):
        part, block = task // blocks, task % blocks
        first, last = len(maps) * part // parts, len(maps) * (part + 1) // parts
        add_some_gradients(
            maps[first:last],
            gradients[first:last],
            block,
            padding,
            padded_gradients[task],
            sums[part, block],
        )


@compiled_making_arrays
def convolve_some(maps: Any, weights: Any, padding: int, currents: Any) -> None:
    """The part of :func:`convolve_maps` that a thread does."""
    _, height, width, channels = maps.shape
    _, down, across, outputs = currents.shape
    blocks, taps_across, taps_down, _, size = weights.shape
    rows = weights.reshape(-1)
    fired = np.empty((height, width, channels), np.bool_)
    events = np.empty(fired.size + WORD, np.int32)
    ends = np.empty((height, width + 1), np.int32)
    window = np.empty(taps_down * width * channels + COPIED, np.int32)
    starts = np.empty(width + 1, np.int32)
    for i in range(len(maps)):
        note_fired(maps[i].reshape(-1), fired.reshape(-1))
        list_events(fired, True, (1, 1), events, ends)
        sums = currents[i].reshape(-1)
        for y in range(down):
            list_window(
                events,
                ends,
                y - padding,
                taps_down,
                channels,
                size * FLOAT,
                window,
                np.int64(0),
                starts,
            )
            for block in range(blocks):
                for x in range(across):
                    left = x - padding
                    first, last = (
                        starts[max(0, left)],
                        starts[max(0, min(width, left + taps_across))],
                    )
                    base, target = (
                        (block * taps_across - left) * taps_down * channels,
                        (y * across + x) * outputs,
                    )
                    add_rows(
                        size, rows, base, window, first, last, sums, target + block * size, False
                    )


@compiled_making_arrays
def add_some_gradients(
    maps: Any, gradients: Any, block: int, padding: int, padded_gradients: Any, sums: Any
) -> None:
    """The part of :func:`add_gradients` that a thread does at a time."""
    _, height, width, channels = maps.shape
    _, rows, columns, _ = gradients.shape
    _, down, across, size = sums.shape
    padded_width = width + across - 1
    padded_rows, flat_sums = padded_gradients.reshape(-1), sums.reshape(-1)
    fired = np.empty(height * width * channels, np.bool_)
    events = np.empty(
        (channels, BAND * width), np.int32
    )  # bytes from one corner of `around`, by channel
    counts = np.empty(channels, np.int64)
    for i in range(len(maps)):
        note_fired(maps[i].reshape(-1), fired)
        for row in range(rows):
            for column in range(columns):
                for output in range(size):
                    target_place = row + down - 1 - padding, column + across - 1 - padding, output
                    padded_gradients[target_place] = gradients[
                        i, row, column, block * size + output
                    ]
        for top in range(0, height, BAND):
            band = top, min(height, top + BAND), width
            list_channels(fired, band, padded_width * size * FLOAT, size * FLOAT, events, counts)
            for channel in range(channels):
                for y in range(down):
                    for x in range(across):
                        base = (down - 1 - y) * padded_width + across - 1 - x
                        target, count = ((channel * down + y) * across + x) * size, counts[channel]
                        add_rows(
                            size,
                            padded_rows,
                            base,
                            events[channel],
                            0,
                            count,
                            flat_sums,
                            target,
                            True,
                        )


@internal
def note_fired(spikes: Any, fired: Any) -> None:
    """Mark the neurons that fired, of flat arrays."""
    for neuron in range(len(spikes)):
        fired[neuron] = spikes[neuron] != 0


@internal
def list_channels(fired: Any, part: Any, row: int, pixel: int, events: Any, counts: Any) -> None:
    """List, for each channel, the pixels where it fired, of some rows of a map: `row` and `pixel`
    are bytes of each.
    """
    first, last, width = part
    channels = len(counts)
    counts[:] = 0
    for y in range(first, last):
        for x in range(width):
            for start in range(0, channels, WORD):
                word = word_of(
                    fired, (y * width + x) * channels + start, min(WORD, channels - start)
                )
                while word:
                    channel = start + np.int64(trailing_zeros(word))  # type: ignore[call-arg]
                    events[channel, counts[channel]] = y * row + x * pixel
                    counts[channel] += 1
                    word &= word - np.uint64(1)
