"""Spikes as bits, whatever made them; packed, what a backend may be given, and what it gives with
their readout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.constraints import is_tensor
from spikesam.common.errors import InputError

FIRED = "fired"  # a bit says that a neuron fired, be it once or more often


NO_ANSWER = "no answer, since all scores are 0"
FIRED_ADVICE = f"; pass counts={FIRED!r} to record that a neuron fired, however often"


def counts_as_fired(counts: object) -> bool:
    """True if counts of spikes are to be recorded as "fired", which `counts` says if it is not
    None.
    """
    if counts not in (None, FIRED):
        raise InputError(f"counts: got {counts!r}, expected None or {FIRED!r}")
    return counts == FIRED


def as_bits(
    spikes: Any,
    place_of: Callable[[tuple[int, ...]], str],
    *,
    fired: bool = False,
    advice: str = "",
) -> NDArray[np.bool_]:
    """Spikes of 0 and 1, an array or torch tensor of any shape, device and dtype, as bool; else an
    InputError.

    `place_of` makes of an index what names its place in a message; () names the whole. `fired`
    takes counts of spikes as well, and calls what is above 0 a spike. `advice`, the end of a
    message, is what else could be done about counts.
    """
    spikes = on_cpu(spikes)
    if not is_tensor(spikes):
        try:
            spikes = np.asarray(spikes)
        except ValueError:
            raise InputError(
                f"{place_of(())}: got lists of several lengths, expected an array of 0 and 1"
            ) from None
    if isinstance(spikes, np.ndarray) and spikes.dtype.kind not in "biuf":
        raise InputError(
            f"{place_of(())}: got dtype {spikes.dtype}, expected bool, or 0 and 1 of any dtype"
        )
    is_spike = spikes > 0 if fired else spikes == 1
    is_invalid = np.asarray(~(is_spike | (spikes == 0)))
    if is_invalid.any():
        place = tuple(np.argwhere(is_invalid)[0].tolist())
        if advice and spikes[place] < 0:  # which counts= does not take
            advice = "; give -1, 0 and 1 as two planes of channels, spikes > 0 and spikes < 0"
        wanted = "counts of 0 or more" if fired else f"spikes of 0 and 1 only{advice}"
        got = f"got the value {spikes[place].item()}"
        raise InputError(f"{place_of(place)}: {got}, expected {wanted}")
    return np.asarray(is_spike)


def on_cpu(values: Any) -> Any:
    """A torch tensor, which may be on a GPU or need gradients, as one that NumPy can read; anything
    else as it is.
    """
    if not is_tensor(values):
        return values
    tensor = values.detach().cpu()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def whole_numbers(values: Any, count: int, dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """(N,) whole numbers, one for each of `count` samples: -1, for unknown, or what the dtype holds
    from 0 on.
    """
    array = np.asarray(on_cpu(values))
    if array.shape == (count,) and array.dtype.kind == "f":
        raise InputError(
            f"got real numbers, expected {count} whole ones; where outputs are numbers, "
            "compare(…, labels=…, outputs='values') says how far they are from the right ones"
        )
    if array.shape != (count,) or array.dtype.kind not in "iu":
        got = f"shape {array.shape} of {array.dtype}"
        raise InputError(f"got {got}, expected {count} whole numbers, one for each sample")
    largest = np.iinfo(dtype).max
    if count and (array.min() < -1 or array.max() > largest):
        raise InputError(f"got {array.min()} to {array.max()}, expected -1 to {largest}")
    return array


def chosen_classes(readout: NDArray[Any]) -> NDArray[np.int32]:
    """The classes with the highest sums (B, K), the lowest of several; -1, no answer, where all of
    several are 0.
    """
    chosen = readout.argmax(axis=1).astype(np.int32)
    chosen[~readout.any(axis=1) & (readout.shape[1] > 1)] = -1
    return chosen


@dataclass(frozen=True, eq=False)
class CountedSpikes:
    """Answers that are counts of spikes: (B, K) of each class, at most `most`."""

    counts: NDArray[np.int64]
    most: int

    @classmethod
    def of(
        cls, sums: NDArray[Any], fired: int, neurons: int, timesteps: int
    ) -> CountedSpikes | None:
        """The counts that raw sums (B, K) in real numbers are, or their means over steps or over
        neurons of a class.

        The last layer has `neurons`, which `fired` so often in all. None if the sums are not those
        of its spikes.
        """
        neurons_per_class, remainder = divmod(neurons, sums.shape[1] or 1)
        for factor in (
            dict.fromkeys((1, timesteps, neurons_per_class, neurons_per_class * timesteps))
            if neurons_per_class and not remainder
            else ()
        ):
            counts = np.rint(sums.astype(np.float64) * factor)
            is_integer = np.abs(sums * factor - counts).max(initial=0) < 1e-3
            if is_integer and counts.min(initial=0) >= 0 and counts.sum() == fired:
                return cls(counts.astype(np.int64), neurons_per_class * timesteps)
        return None

    def words(self, row: int, name: Callable[[int], str] = "class {}".format) -> str:
        """An answer, such as "cat 5 of 12 spikes, next dog 3"."""
        counts = self.counts[row]
        first, *runners_up = np.argsort(-counts, kind="stable").tolist()
        if not counts[first]:
            return NO_ANSWER
        tied = [name(number) for number in runners_up if counts[number] == counts[first]]
        answer = f"{name(first)} {counts[first]} of {self.most} spikes"
        if tied or not runners_up:
            return f"{answer}, tied with {', '.join(tied)}" if tied else answer
        return f"{answer}, next {name(runners_up[0])} {counts[runners_up[0]]}"


@dataclass(frozen=True, eq=False)
class PackedSpikes:
    """Spikes of `B` samples, packed as a raster file has them."""

    bits: NDArray[np.uint8]  # (B, T, ceil(C*H*W/8)), as of :func:`pack`; pad bits are 0
    map_shape: tuple[int, int, int]  # (C, H, W)

    def __post_init__(self) -> None:
        neurons = prod(self.map_shape)
        size = packed_bytes(neurons)
        if self.bits.ndim != 3 or self.bits.shape[2] != size or self.bits.dtype != np.uint8:
            raise InputError(
                f"packed spikes: got {self.bits.shape} {self.bits.dtype}, expected (B, T, {size}) "
                f"uint8 for maps of (C, H, W) = {self.map_shape}"
            )
        if neurons % 8 and (self.bits[..., -1] & (255 >> neurons % 8)).any():
            raise InputError(
                "packed spikes: got pad bits that are set, expected zeros behind the last neuron"
            )

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
    """Rasters of `B` consecutive samples."""

    spikes: dict[
        str, NDArray[np.uint8]
    ]  # layer -> (B, T, ceil(C*H*W/8)), by :func:`pack`, in order of depth
    readout: NDArray[np.int32] | NDArray[np.float32]  # (B, K) raw sums; K = 0 where it is unknown
    predictions: NDArray[np.int32] | None = (
        None  # (B,) where the readout is unknown; -1: so is the class
    )

    def __len__(self) -> int:
        return len(self.readout)


def joined(batches: Sequence[RasterBatch]) -> RasterBatch:
    """One batch of the samples of several, at least one, in their order."""
    if len(batches) == 1:
        return batches[0]
    spikes = {
        name: np.concatenate([batch.spikes[name] for batch in batches])
        for name in batches[0].spikes
    }
    predictions = [batch.predictions for batch in batches if batch.predictions is not None]
    readout = np.concatenate([batch.readout for batch in batches])
    return RasterBatch(spikes, readout, np.concatenate(predictions) if predictions else None)


def packed_bytes(neurons: int) -> int:
    """Bytes of one packed step, ⌈neurons/8⌉."""
    return -(-neurons // 8)


def pack(spikes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack a raster to bits: (T, B, C, H, W) bool -> (B, T, ceil(C*H*W/8)) uint8, big-endian bits,
    pad bits zero.
    """
    timesteps, batch = spikes.shape[:2]
    return np.packbits(
        spikes.reshape(timesteps, batch, prod(spikes.shape[2:])).swapaxes(0, 1), axis=-1
    )


def unpack(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Undo :func:`pack`: (B, T, bytes) uint8 and the layer's (C, H, W) -> (T, B, C, H, W) bool."""
    batch, timesteps = packed.shape[:2]
    bits = np.unpackbits(packed, axis=-1, count=int(np.prod(shape)))
    return bits.view(np.bool_).swapaxes(0, 1).reshape(timesteps, batch, *shape)
