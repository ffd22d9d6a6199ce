"""Attention: synapses that multiply spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError, whole
from spikesam.backends.network.synapses.synapse import CURRENT_LIMIT, Floats, Shape, Synapse

if TYPE_CHECKING:
    from spikesam.backends.network.inputs import Input


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Synapse):
    """Products of the spikes of q, k and v, summed over all places.

    Its sources are q, k and v: three layers of one shape, but that v may have other channels, as
    many as the gain; or as many layers of each, those of q first, whose spikes are summed; or one
    that has the channels of all, one behind the other. Of head h, whose channels are e of v, and c
    of q and k, and of the places n, m

        a[h,e,n] = Σ_m (Σ_c q[h,c,n] · k[h,c,m]) · v[h,e,m]    integers, exact in float32

    x are their channels, one behind the other: (2·C + V, H, W).

    Parameters
    ----------
    heads : among which the channels are divided, the first head's first
    """

    heads: int

    kind = "attention"
    meets = "multiplies"

    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        """See :meth:`Synapse.checked_fields`."""
        return {"heads": whole(self.heads, "heads", 1)}

    def check_sources(self, sources: Sequence[Any]) -> None:
        """Refuse sources that are not q, k and v."""
        if len(sources) > 1 and len(sources) % 3:
            raise NetworkError(
                f"attention has {len(sources)} sources, expected q, k and v, or one that has all "
                "their channels, or as many of each"
            )
        for source in sources:
            if source.sign < 0:
                raise NetworkError(
                    f"attention subtracts {source.layer!r}, expected spikes of sign 1"
                )
            if isinstance(source.delay, tuple):
                raise NetworkError(
                    f"attention has a delay for each channel of {source.layer!r}, expected one for "
                    "all"
                )

    def summands(self, of_sources: Sequence[Any]) -> list[list[Any]]:
        """The values of the sources of q, of k and of v."""
        count = max(1, len(of_sources) // 3)
        return [
            list(of_sources[first : first + count]) for first in range(0, len(of_sources), count)
        ]

    def planes(self, layer_input: Input) -> int:
        """The layers that are summed to each of q, k and v."""
        return max(1, len(layer_input.sources) // 3)

    def values(self, layer_input: Input, channels: int) -> int:
        """The channels of v among all of q, k and v: as many as the gain has, else a third."""
        of_gain = int(np.shape(layer_input.gain)[-1]) if np.ndim(layer_input.gain) else 1
        return of_gain if of_gain > 1 and len(layer_input.sources) > 1 else channels // 3

    def of_bits(self, layer_input: Input, channels: int) -> bool:
        """True if q, k and v, which have so many channels together, are bits of one shape."""
        return self.planes(layer_input) == 1 and channels == 3 * self.values(layer_input, channels)

    def source_shapes(self, layer_input: Input, first: Shape) -> list[Shape]:
        """(C, H, W) of q and k, as that of the first, and of v."""
        planes = self.planes(layer_input)
        of_values = self.values(layer_input, 3 * first[0]), *first[1:]
        return [first] * min(2 * planes, len(layer_input.sources)) + [of_values] * (
            len(layer_input.sources) - 2 * planes
        )

    def expected_shapes(self, layer_input: Input, place: int) -> str:
        """See :meth:`Synapse.expected_shapes`."""
        of_values = place >= 2 * self.planes(layer_input)
        wider = ", or values of other channels, more than 1, as many as the gain has"
        return f"equal shapes{wider if of_values else ''}"

    def counted(self, layer_input: Input, arriving_shape: Shape) -> int:
        """The largest a, d · N · P³: heads of d channels, N places, P planes; x (2·C + V, H, W)."""
        channels, height, width = arriving_shape
        depth = (channels - self.values(layer_input, channels)) // 2 // self.heads
        return depth * height * width * self.planes(layer_input) ** 3

    def most(self, layer_input: Input, shape: Shape, _: Any) -> int:
        """See :meth:`counted`."""
        return self.counted(layer_input, layer_input.arriving(shape))

    def arriving(self, layer_input: Input, shape: Shape, source_name: str) -> Shape:
        """(2·C + V, H, W); refuses heads that do not divide these, and sums that could overflow."""
        channels, height, width = shape
        has_one_source = len(layer_input.sources) == 1
        if has_one_source and channels % 3:
            raise NetworkError(
                f"{source_name} has {channels} channels, expected those of q, k and v, as many of "
                "each"
            )
        query_channels = channels // 3 if has_one_source else channels
        values = self.values(layer_input, 3 * query_channels)
        for count in (query_channels, values):
            if count % self.heads:
                raise NetworkError(
                    f"{self.heads} heads do not divide the {count} channels of {source_name}"
                )
        arriving_shape = 2 * query_channels + values, height, width
        if (largest := self.counted(layer_input, arriving_shape)) >= CURRENT_LIMIT:
            raise NetworkError(
                f"a head of {source_name} has {query_channels // self.heads} channels and "
                f"{height * width} tokens, whose products can sum to {largest:,}, expected less "
                f"than 2²³ = {CURRENT_LIMIT:,}"
            )
        return arriving_shape

    def unpooled_shape(self, layer_input: Input, arriving_shape: Shape, source_name: str) -> Shape:
        """That of v."""
        channels, height, width = arriving_shape
        return self.values(layer_input, channels), height, width

    def factors(self, layer_input: Input, x: NDArray[Any]) -> list[NDArray[Any]]:
        """q, k and v, (…, heads, d, N) each, of x, (…, 2·C + V, H, W)."""
        *maps, count, _, _ = x.shape
        channels = (count - self.values(layer_input, count)) // 2
        parts = np.split(x, (channels, 2 * channels), axis=-3)
        return [part.reshape(*maps, self.heads, part.shape[-3] // self.heads, -1) for part in parts]

    def currents(self, layer_input: Input, x: NDArray[Any]) -> Floats:
        """q · kᵀ · v of each head: (2·C + V, H, W) -> (V, H, W), whole numbers."""
        return self._products(layer_input, x.astype(np.float64))

    def currents_of_steps(self, layer_input: Input, maps: NDArray[Any]) -> NDArray[np.float32]:
        """See :meth:`Synapse.currents_of_steps`."""
        return self._products(layer_input, maps.astype(np.float32))

    def _products(self, layer_input: Input, x: NDArray[Any]) -> NDArray[Any]:
        query, key, value = self.factors(layer_input, x)
        products: NDArray[Any] = value @ key.swapaxes(-1, -2) @ query
        return products.reshape(*x.shape[:-3], -1, *x.shape[-2:])

    def reach(self, layer_input: Input, place: Shape, shape: Shape) -> list[NDArray[np.bool_]]:
        """The neurons of its head, its token, its channel."""
        channel, row, column = place
        mask = np.zeros(layer_input.arriving(shape), np.bool_)
        query, key, value = self.factors(layer_input, mask)  # views
        head, of_head = divmod(channel, value.shape[1])
        query[head, :, row * shape[2] + column] = key[head] = value[head, of_head] = True
        channels = len(mask) - len(value) * value.shape[1]
        masks = (
            np.split(mask, (channels // 2, channels)) if len(layer_input.sources) > 1 else [mask]
        )
        return [mask for mask in masks for _ in range(self.planes(layer_input))]

    @property
    def beyond_sums(self) -> str:
        """See :attr:`Synapse.beyond_sums`."""
        return "multiplies the spikes of q, k and v"
