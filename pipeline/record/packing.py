"""The spikes of one layer in one batch, packed to bits on their device as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.torch.backend import pack_bits
from recordings.errors import InputError
from recordings.raster.bits import FIRED_ADVICE

from .layouts import Layout, one_step, shape_of_step

SMALL = 1 << 18  # neurons times samples that are packed at a time, if a step is not larger
Range = tuple[Tensor, Tensor]  # the least and the greatest of some values, each a scalar on its device


class LayerBits:
    """The spikes of one layer, packed as they come, a step or some small ones at a time; `packed` refuses other values.

    Parameters
    ----------
    name : of the layer
    fired : whether to record of counts of spikes that there were any

    Attributes
    ----------
    shape : (C, H, W), known after the first call
    samples : B, known after the first call
    steps : how many were recorded
    layout : how the spikes of the first call were laid out
    device : where they were
    """

    def __init__(self, name: str, fired: bool) -> None:
        self.name, self.fired = name, fired
        self.shape = (0, 0, 0)
        self.samples = self.steps = 0
        self.layout: Layout = one_step
        self.device = ""
        self._packed: list[Tensor] = []  # (S, B, bytes) uint8 of S steps each
        self._values: list[Range] = []  # of spikes x
        self._excess: list[Range] = []  # of x - x², which is 0 for 0 and 1 alone

    def add(self, spikes: Tensor, layout: Layout) -> None:
        """Take what a call gave.

        Raises
        ------
        InputError : if it has no steps, no samples, or other sizes than earlier calls
        """
        steps = layout(spikes.detach())
        if not len(steps):
            raise InputError(f"got shape {tuple(spikes.shape)}, in which T = 0, expected at least one step")
        shape, samples = shape_of_step(steps[0]), steps.shape[1]
        if not (samples and all(shape)):
            raise InputError(f"got a step of shape {tuple(steps.shape[1:])}, expected no side of 0")
        if not self.steps:
            self.shape, self.samples, self.layout, self.device = shape, samples, layout, str(spikes.device)
        elif (shape, samples) != (self.shape, self.samples):
            raise InputError(
                f"got a step of {samples} × {shape} after one of {self.samples} × {self.shape}; end a batch with "
                "finish(), and give each layer a module of its own"
            )
        self.steps += len(steps)
        for some in steps.split(max(1, SMALL // steps[0].numel())):
            maps = some.flatten(0, 1)
            packed = pack_maps(maps > 0 if self.fired else maps.to(torch.bool))
            self._packed.append(packed.unflatten(0, (-1, samples)))
            if maps.dtype != torch.bool:
                self._look_at(maps)

    def _look_at(self, maps: Tensor) -> None:
        if _channels_last(maps):
            maps = maps.permute(0, 2, 3, 1)  # as it lies in memory, without which torch is ten times slower
        self._values.append(maps.aminmax())
        if not self.fired:
            self._excess.append(torch.addcmul(maps, maps, maps, value=-1).aminmax())

    def packed(self) -> NDArray[np.uint8]:
        """(B, T, bytes) uint8, on the CPU.

        Raises
        ------
        InputError : if other values than 0 and 1, or below 0 if `fired`, were among the spikes
        """
        low, high = _overall(self._values)
        if self.fired and not low >= 0:
            raise InputError(f"got values in {low:.4g} … {high:.4g}, expected counts of 0 or more")
        if _overall(self._excess) != (0, 0):
            raise InputError(
                f"got values in {low:.4g} … {high:.4g} that are neither 0 nor 1, expected spikes{FIRED_ADVICE}"
            )
        return torch.cat(self._packed).cpu().numpy().swapaxes(0, 1)


def _overall(ranges: Sequence[Range]) -> tuple[float, float]:
    """The least and the greatest of all; 0 if there are none; NaN if there is one."""
    if not ranges:
        return 0.0, 0.0
    lows, highs = (torch.stack(ends).cpu() for ends in zip(*ranges, strict=True))
    return float(lows.min()) + 0.0, float(highs.max()) + 0.0  # + 0.0 makes 0 of -0


def pack_maps(bits: Tensor) -> Tensor:
    """(B, …) bool -> (B, ⌈neurons/8⌉) uint8 on the same device, packed in C-order as `numpy.packbits` does."""
    channels_last = _channels_last(bits)
    if bits.device.type == "cpu" and (
        bits.numel() <= SMALL or not channels_last
    ):  # NumPy is faster, but for reordering
        return torch.from_numpy(np.packbits(bits.flatten(1).numpy(), axis=-1))
    maps = bits.permute(0, 2, 3, 1).flatten(1, 2) if channels_last else bits.flatten(1)[:, :, None]
    return pack_bits(maps[None].view(torch.int8))[:, 0]


def _channels_last(maps: Tensor) -> bool:
    """Whether (B, C, H, W) lies in memory as (B, H, W, C)."""
    return maps.ndim == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
