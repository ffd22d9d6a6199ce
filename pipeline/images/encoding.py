"""A preprocessed image as the input of a network: Poisson spikes, a constant current, or clipped
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch
from spikesam.backends.network import DEFAULT_RANGE, PIXEL_LIMIT, Network
from spikesam.common.errors import InputError
from spikesam.recordings.raster.batch import PackedSpikes, packed_bytes


def encode(
    network: Network,
    images: NDArray[np.float32],
    seed: int,
    indices: Sequence[int] | NDArray[np.int64],
) -> InputBatch:
    """Encode preprocessed images, (B, C, H, W) float32, as the input of a network; refuses one that
    takes steps.
    """
    if network.encoder == "constant-current":
        return in_eight_bits(images, network.input_range)
    if network.encoder == "image":
        return mean_spikes(images, network.input_range)
    if not network.takes_images:
        number_kind = "of 0 and 1" if network.spiking_input else "floating point"
        raise InputError(
            f"encoding: got images, but the network takes {network.encoder}: (T, B, C, H, W) "
            f"{number_kind}"
        )
    return poisson_batch(images, network.timesteps, seed, indices)


def poisson_spikes(
    x: NDArray[np.float32], timesteps: int, seed: int, index: int
) -> NDArray[np.bool_]:
    """Encode one preprocessed image, (C, H, W) float32: (T, 2C, H, W) bool, planes of positive
    pixels (ON), then OFF.

    A pixel spikes with probability min(1, |x|/2), in the plane of its sign.
    The random numbers are `numpy.random.Philox(key=(seed, index)).random_raw`, split into
    little-endian uint32 `u` in C-order (T, C, H, W); a spike happens iff `u >> 8 < min(2²⁴,
    ⌊|x|·2²³⌋)`: integers, so the same bits everywhere. This is the definition, in NumPy;
    :func:`poisson_batch` draws the same spikes several times as fast.
    """
    x = _checked(x, timesteps, seed, index)
    count = timesteps * x.size
    generator = np.random.Philox(key=np.array([seed, index], np.uint64))
    raw = generator.random_raw((count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]
    fires = (raw >> 8).reshape(timesteps, *x.shape) < _limits(x)
    return np.concatenate([fires & (x > 0), fires & (x < 0)], axis=1)


def poisson_batch(
    images: NDArray[np.float32],
    timesteps: int,
    seed: int,
    indices: Sequence[int] | NDArray[np.int64],
) -> PackedSpikes:
    """The :func:`poisson_spikes` of images (B, C, H, W) float32 and B dataset indices, packed;
    threads may do this.
    """
    from spikesam.pipeline.images._poisson_kernel import (
        draw_spikes,
        plane_limits,
    )  # numba is slow to import

    if len(images) != len(indices) or len(images) == 0:
        raise InputError(
            f"encoding: got {len(images)} images and {len(indices)} indices, expected as many, at "
            "least one"
        )
    checked = [_checked(x, timesteps, seed, int(i)) for x, i in zip(images, indices, strict=True)]
    channels, height, width = checked[0].shape
    packed = np.empty((len(checked), timesteps, packed_bytes(2 * checked[0].size)), np.uint8)
    for x, index, bits in zip(checked, indices, packed, strict=True):
        draw_spikes(*plane_limits(x, _limits(x)), x.size, np.uint64(seed), np.uint64(index), bits)
    return PackedSpikes(packed, (2 * channels, height, width))


def compile_encoding(network: Network) -> None:
    """Compile, or load from numba's cache, what :func:`encode` needs for a network, before a timed
    part.
    """
    if network.encoder == "poisson":
        poisson_batch(np.zeros((1, 1, 1, 1), np.float32), 1, 0, [0])


def mean_spikes(x: NDArray[np.float32], largest: float = DEFAULT_RANGE) -> NDArray[np.float32]:
    """The input of an ANN: pixels clipped to a range, over the range, by default the mean of signed
    Poisson spikes.
    """
    return np.clip(_finite(x, "image"), -largest, largest) / np.float32(largest)


def in_eight_bits(x: NDArray[np.float32], largest: float = DEFAULT_RANGE) -> NDArray[np.int8]:
    """rint(clip(x, ±largest) · 127 / largest) of finite float32, half-to-even: int8 in -127 …
    127.
    """
    clipped = np.clip(_finite(x, "current").astype(np.float64), -largest, largest)
    return np.rint(clipped * PIXEL_LIMIT / largest).astype(np.int8)


def _checked(x: NDArray[np.float32], timesteps: int, seed: int, index: int) -> NDArray[np.float32]:
    """The image in float32, (C, H, W); refuses what Poisson spikes cannot be drawn for."""
    if np.ndim(x) != 3:
        raise InputError(f"image {index}: got shape {np.shape(x)} to encode, expected (C, H, W)")
    x = _finite(x, f"image {index}")
    if timesteps < 1:
        raise InputError(f"timesteps: got {timesteps}, expected at least 1")
    for name, value in (("seed", seed), ("index", index)):
        if not 0 <= value < 1 << 64:
            raise InputError(f"{name}: got {value}, expected an integer in 0 … 2⁶⁴-1")
    return x


def _limits(x: NDArray[np.float32]) -> NDArray[np.uint32]:
    """min(2²⁴, ⌊|x|·2²³⌋) of every pixel: multiplying a float32 by 2²³ is exact, and 2·2²³ = 2²⁴ is
    the cap.
    """
    return np.floor(np.minimum(np.abs(x), np.float32(2)) * np.float32(1 << 23)).astype(np.uint32)


def _finite(x: NDArray[np.float32], subject: str) -> NDArray[np.float32]:
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise InputError(
            f"{subject}: got NaN or infinite pixels, expected finite numbers; check the image"
        )
    return x
