"""The batch at hand: the layers that fired in it, packed to bits on their device as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.torch.backend import pack_bits
from spikesam.common.errors import InputError
from spikesam.pipeline.record._layouts import Layout, one_step, shape_of_step
from spikesam.recordings.raster.batch import FIRED_ADVICE

Key = tuple[str, str]  # where the spikes of a layer come from, and its name there


class Batch:
    """Layers in the order in which they first fired; `counts` as of `LayerBits`."""

    def __init__(self, counts: Counts) -> None:
        self.layers: dict[Key, LayerBits] = {}
        self._counts = counts

    def add(self, key: Key, name: str, spikes: Tensor, layout: Layout) -> int:
        """Take what a call of a layer gave; how many steps that were."""
        if key not in self.layers:
            self.layers[key] = LayerBits(name, self._counts)
        with about(name):
            return self.layers[key].add(spikes, layout)

    def shapes_before(self, key: Key) -> list[tuple[int, int, int]]:
        """(C, H, W) of the layers that fired before a layer first did."""
        return [layer.shape for layer in self._before(key)]

    def sizes(self, key: Key) -> dict[str, int]:
        """T and B, as far as layers before say them."""
        first = next(self._before(key), None)
        return {"T": first.steps, "B": first.samples} if first else {}

    def _before(self, key: Key) -> Iterator[LayerBits]:
        """The layers that fired before; of those that none put spikes out yet, nothing is known."""
        return (
            layer
            for _, layer in takewhile(lambda each: each[0] != key, self.layers.items())
            if layer.steps
        )

    @property
    def steps(self) -> int:
        """The fewest steps of any layer; 0 if none fired."""
        return min((layer.steps for layer in self.layers.values()), default=0)

    def agreed(self) -> list[LayerBits]:
        """The layers, the input first, all of one number of steps and samples; an InputError names
        two that differ.
        """
        layers = sorted(self.layers.values(), key=lambda layer: layer.name != "input")  # stable
        shortest = min(layers, key=lambda layer: layer.steps)
        for layer in layers:
            with about(layer.name):
                first = layers[0]
                if layer.steps == first.steps * first.samples and layer.samples != first.samples:
                    raise InputError(
                        f"samples are mixed in {layer.name!r}: it runs over {layer.steps} steps, "
                        f"which are the {first.steps} steps and {first.samples} samples of layer "
                        f"{first.name!r} in one axis; reshape what it takes to (T, B, …)"
                    )
                if layer.samples != first.samples:
                    raise InputError(
                        f"got {layer.samples} samples, expected {first.samples} as layer "
                        f"{first.name!r}"
                    )
                if layer.steps != shortest.steps:
                    times, rest = divmod(layer.steps, shortest.steps)
                    twice = (
                        f", so it may be called {times} times a step; give each use a module "
                        "of its own, or tap it"
                    )
                    raise InputError(
                        f"got {layer.steps} steps, expected {shortest.steps} as layer "
                        f"{shortest.name!r}" + ("" if rest else twice)
                    )
        return layers


@contextmanager
def about(layer: str) -> Iterator[None]:
    """Name the layer in errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"layer {layer!r}: {error}") from error


Counts: TypeAlias = (
    Literal["fired", "ternary"] | None
)  # what a bit says of other values than 0 and 1
TERNARY_ADVICE = (
    "; pass counts='ternary' to record -1, 0 and 1 as two planes of channels, positive spikes first"
)
SMALL = 1 << 18  # neurons times samples that are packed at a time, if a step is not larger
Range = tuple[
    Tensor, Tensor
]  # the least and the greatest of some values, each a scalar on its device


class LayerBits:
    """The spikes of one layer, packed as they come, a step or some small ones at a time; ternary,
    of 2C channels.
    """

    def __init__(self, name: str, counts: Counts) -> None:
        self.name, self.counts = name, counts
        self.shape = (0, 0, 0)
        self.samples = self.steps = 0
        self.layout: Layout = one_step
        self.device = ""
        self._packed: list[Tensor] = []  # (S, B, bytes) uint8 of S steps each
        self._values: list[Range] = []  # of spikes x
        self._excess: list[
            Range
        ] = []  # of x - x², which is 0 for 0 and 1 alone; of ternary spikes for their amounts

    def add(self, spikes: Tensor, layout: Layout) -> int:
        """Take what a call gave; returns how many steps; refuses none, no samples, and other sizes
        than before.
        """
        steps = layout(spikes.detach())
        if not len(steps):
            raise InputError(
                f"got shape {tuple(spikes.shape)}, in which T = 0, expected at least one step"
            )
        shape, samples = shape_of_step(steps[0]), steps.shape[1]
        if not (samples and all(shape)):
            raise InputError(f"got a step of shape {tuple(steps.shape[1:])}, expected no side of 0")
        if self.counts == "ternary":
            shape = (2 * shape[0], *shape[1:])
        if not self.steps:
            self.shape, self.samples, self.layout, self.device = (
                shape,
                samples,
                layout,
                str(spikes.device),
            )
        elif (shape, samples) != (self.shape, self.samples):
            raise InputError(
                f"got a step of {samples} × {shape} after one of {self.samples} × {self.shape}; "
                "end a batch with finish(), and give each layer a module of its own"
            )
        self.steps += len(steps)
        for some in steps.split(max(1, SMALL // steps[0].numel())):
            maps = some.flatten(0, 1)
            packed = pack_maps(self._bits(maps))
            self._packed.append(packed.unflatten(0, (-1, samples)))
            if maps.dtype != torch.bool:
                self._look_at(maps)
        return len(steps)

    def _bits(self, maps: Tensor) -> Tensor:
        if self.counts == "ternary":
            return torch.cat([maps > 0, maps < 0], dim=1)
        return maps > 0 if self.counts else maps.to(torch.bool)

    def _look_at(self, maps: Tensor) -> None:
        if _channels_last(maps):
            maps = maps.permute(
                0, 2, 3, 1
            )  # as it lies in memory, without which torch is ten times slower
        self._values.append(maps.aminmax())
        if self.counts != "fired":
            amounts = maps.abs() if self.counts else maps
            self._excess.append(torch.addcmul(amounts, maps, maps, value=-1).aminmax())

    def packed(self) -> NDArray[np.uint8]:
        """(B, T, bytes) uint8, on the CPU; refuses values that `counts` does not stand for."""
        low, high = _overall(self._values)
        if self.counts == "fired" and not low >= 0:
            raise InputError(
                f"got values in {low:.4g} … {high:.4g}, expected counts of 0 or "
                f"more{TERNARY_ADVICE}"
            )
        if _overall(self._excess) != (0, 0):
            advice = FIRED_ADVICE if low >= 0 else TERNARY_ADVICE if (low, high) == (-1, 1) else ""
            wanted = "-1, 0 and 1" if self.counts else f"spikes{advice}"
            neither = "" if self.counts else " that are neither 0 nor 1"
            raise InputError(f"got values in {low:.4g} … {high:.4g}{neither}, expected {wanted}")
        return torch.cat(self._packed).cpu().numpy().swapaxes(0, 1)


def _overall(ranges: Sequence[Range]) -> tuple[float, float]:
    """The least and the greatest of all; 0 if there are none; NaN if there is one."""
    if not ranges:
        return 0.0, 0.0
    lows, highs = (torch.stack(ends).cpu() for ends in zip(*ranges, strict=True))
    return float(lows.min()) + 0.0, float(highs.max()) + 0.0  # + 0.0 makes 0 of -0


def pack_maps(bits: Tensor) -> Tensor:
    """(B, …) bool -> (B, ⌈neurons/8⌉) uint8 on the same device, packed in C-order as
    `numpy.packbits` does.
    """
    channels_last = _channels_last(bits)
    if bits.device.type == "cpu" and (
        bits.numel() <= SMALL or not channels_last
    ):  # NumPy is faster, but for reordering
        return torch.from_numpy(np.packbits(bits.flatten(1).numpy(), axis=-1))
    maps = bits.permute(0, 2, 3, 1).flatten(1, 2) if channels_last else bits.flatten(1)[:, :, None]
    return pack_bits(maps[None].view(torch.int8))[:, 0]


def _channels_last(maps: Tensor) -> bool:
    """True of (B, C, H, W) that lies in memory as (B, H, W, C)."""
    return (
        maps.ndim == 4
        and not maps.is_contiguous()
        and maps.is_contiguous(memory_format=torch.channels_last)
    )
