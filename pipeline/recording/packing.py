"""The spikes of one layer in one batch, packed to bits on their device as they come."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.torch.backend import pack_bits
from recordings.errors import InputError
from recordings.raster.bits import FIRED_ADVICE

from .layouts import Layout, one_step, shape_of_step


class LayerBits:
    """One layer. At most one step is held unpacked at a time; what is no bit is found when all is read.

    Parameters
    ----------
    name : of the layer
    fired : whether to record of counts of spikes that there were any

    Attributes
    ----------
    shape : (C, H, W), known after the first call
    samples : B, known after the first call
    calls : how often spikes came
    steps : of how many steps
    layout : how they were laid out
    device : where they came from
    """

    def __init__(self, name: str, fired: bool) -> None:
        self.name, self.fired = name, fired
        self.shape = (0, 0, 0)
        self.samples = self.calls = 0
        self.layout: Layout = one_step
        self.device = ""
        self._packed: list[Tensor] = []  # of each step, (B, bytes) uint8
        self._values: list[Tensor] = []  # of each step, what tells whether it is bits, see _values_of

    @property
    def steps(self) -> int:
        """How many steps were recorded."""
        return len(self._packed)

    def add(self, spikes: Tensor, layout: Layout) -> None:
        """Take what a call gave.

        Raises
        ------
        InputError : if it has no steps, no samples, or other sizes than earlier calls
        """
        steps = layout(spikes.detach())
        if not self.calls:
            self.layout, self.device = layout, str(spikes.device)
        self.calls += 1
        if not len(steps):
            raise InputError(f"got shape {tuple(spikes.shape)}, in which T = 0, expected at least one step")
        for step in steps:
            self._add_step(step)

    def _add_step(self, step: Tensor) -> None:
        shape, samples = shape_of_step(step), len(step)
        if not (samples and all(shape)):
            raise InputError(f"got a step of shape {tuple(step.shape)}, expected no side of 0")
        if not self._packed:
            self.shape, self.samples = shape, samples
        elif (shape, samples) != (self.shape, self.samples):
            raise InputError(
                f"got a step of {samples} × {shape} after one of {self.samples} × {self.shape}; end a batch with "
                "finish(), and give each layer a module of its own"
            )
        self._packed.append(pack_step(step > 0 if self.fired else step.to(torch.bool)))
        if step.dtype != torch.bool:
            self._values.append(_values_of(step))

    def packed(self) -> NDArray[np.uint8]:
        """(B, T, bytes) uint8, on the CPU.

        Raises
        ------
        InputError : if other values than 0 and 1, or below 0 if `fired`, were among the spikes
        """
        if self._values:
            values = torch.stack(self._values).cpu()
            low, high, wrong = float(values[:, 0].min()), float(values[:, 1].max()), bool(values[:, 2].any())
            if not low >= 0 if self.fired else wrong:
                found = f"in {low + 0.0:.4g} … {high:.4g}"  # + 0.0 makes 0 of -0
                raise InputError(
                    f"got values {found}, expected counts of 0 or more"
                    if self.fired
                    else f"got values {found} that are neither 0 nor 1, expected spikes{FIRED_ADVICE}"
                )
        return torch.stack(self._packed, dim=1).cpu().numpy()


def _values_of(step: Tensor) -> Tensor:
    """(3,) float32: the least and the greatest value, and whether any is neither 0 nor 1."""
    if _channels_last(step):
        step = step.permute(0, 2, 3, 1)  # as it lies in memory, without which torch is ten times slower
    low, high = step.aminmax()
    least, most = torch.addcmul(step, step, step, value=-1).aminmax()  # x - x²
    return torch.stack((low.float(), high.float(), ((least != 0) | (most != 0)).float()))


def pack_step(bits: Tensor) -> Tensor:
    """(B, …) bool -> (B, ⌈neurons/8⌉) uint8 on the same device, packed in C-order as `numpy.packbits` does."""
    if _channels_last(bits):
        maps = bits.permute(0, 2, 3, 1).flatten(1, 2)
    elif bits.device.type == "cpu":
        return torch.from_numpy(np.packbits(bits.flatten(1).numpy(), axis=-1))
    else:
        maps = bits.flatten(1)[:, :, None]
    return pack_bits(maps[None].view(torch.int8))[:, 0]


def _channels_last(maps: Tensor) -> bool:
    """Whether (B, C, H, W) lies in memory as (B, H, W, C)."""
    return maps.ndim == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
