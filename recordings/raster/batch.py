"""Packed spikes, a bit each: what a backend may be given of some samples, and what it hands over with their readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError


@dataclass(frozen=True, eq=False)
class PackedSpikes:
    """Spikes of `B` samples, packed as a raster file has them.

    Parameters
    ----------
    bits : (B, T, ceil(C*H*W/8)) uint8, as of :func:`pack`; pad bits are 0
    map_shape : (C, H, W)
    """

    bits: NDArray[np.uint8]
    map_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        neurons = prod(self.map_shape)
        size = -(-neurons // 8)
        if self.bits.ndim != 3 or self.bits.shape[2] != size or self.bits.dtype != np.uint8:
            raise InputError(
                f"packed spikes: got {self.bits.shape} {self.bits.dtype}, expected (B, T, {size}) uint8 for maps of "
                f"(C, H, W) = {self.map_shape}"
            )
        if neurons % 8 and (self.bits[..., -1] & (255 >> neurons % 8)).any():
            raise InputError("packed spikes: got pad bits that are set, expected zeros behind the last neuron")

    @classmethod
    def of(cls, spikes: NDArray[np.bool_]) -> PackedSpikes:
        """Pack (T, B, C, H, W) bool."""
        channels, height, width = spikes.shape[2:]
        return cls(pack(spikes), (channels, height, width))

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def timesteps(self) -> int:
        """T."""
        return self.bits.shape[1]

    def unpacked(self) -> NDArray[np.bool_]:
        """(T, B, C, H, W) bool."""
        return unpack(self.bits, self.map_shape)


@dataclass(frozen=True)
class RasterBatch:
    """Rasters of `B` consecutive samples.

    Parameters
    ----------
    spikes : layer name -> (B, T, ceil(C*H*W/8)) uint8, packed by :func:`pack`, in order of depth
    readout : (B, K) int32 raw sums in fixed point, float32 otherwise; K = 0 where it is unknown
    predictions : (B,) int32 — where the readout is unknown, the class chosen, -1 where that is unknown, too
    """

    spikes: dict[str, NDArray[np.uint8]]
    readout: NDArray[np.int32] | NDArray[np.float32]
    predictions: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.readout)


def joined(batches: Sequence[RasterBatch]) -> RasterBatch:
    """One batch of the samples of several, at least one, in their order."""
    if len(batches) == 1:
        return batches[0]
    spikes = {name: np.concatenate([batch.spikes[name] for batch in batches]) for name in batches[0].spikes}
    predictions = [batch.predictions for batch in batches if batch.predictions is not None]
    readout = np.concatenate([batch.readout for batch in batches])
    return RasterBatch(spikes, readout, np.concatenate(predictions) if predictions else None)


def pack(spikes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack a raster to bits: (T, B, C, H, W) bool -> (B, T, ceil(C*H*W/8)) uint8, big-endian bits, pad bits zero."""
    timesteps, batch = spikes.shape[:2]
    return np.packbits(spikes.reshape(timesteps, batch, prod(spikes.shape[2:])).swapaxes(0, 1), axis=-1)


def unpack(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Undo :func:`pack`: (B, T, bytes) uint8 and the layer's (C, H, W) -> (T, B, C, H, W) bool."""
    batch, timesteps = packed.shape[:2]
    bits = np.unpackbits(packed, axis=-1, count=int(np.prod(shape)))
    return bits.view(np.bool_).swapaxes(0, 1).reshape(timesteps, batch, *shape)
