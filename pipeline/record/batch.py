"""The batch at hand: the layers that fired in it, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

from torch import Tensor

from spikesam.pipeline.record.layouts import Layout
from spikesam.pipeline.record.packing import Counts, LayerBits
from spikesam.recordings.errors import InputError

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
        return (layer for _, layer in takewhile(lambda each: each[0] != key, self.layers.items()) if layer.steps)

    @property
    def steps(self) -> int:
        """The fewest steps of any layer; 0 if none fired."""
        return min((layer.steps for layer in self.layers.values()), default=0)

    def agreed(self) -> list[LayerBits]:
        """The layers, the input first; all of one number of steps and samples.

        Raises
        ------
        InputError : naming two layers that differ
        """
        layers = sorted(self.layers.values(), key=lambda layer: layer.name != "input")  # stable
        shortest = min(layers, key=lambda layer: layer.steps)
        for layer in layers:
            with about(layer.name):
                if layer.samples != layers[0].samples:
                    raise InputError(
                        f"got {layer.samples} samples, expected {layers[0].samples} as layer {layers[0].name!r}"
                    )
                if layer.steps != shortest.steps:
                    times, rest = divmod(layer.steps, shortest.steps)
                    twice = f", so it may be called {times} times a step; give each use a module of its own, or tap it"
                    raise InputError(
                        f"got {layer.steps} steps, expected {shortest.steps} as layer {shortest.name!r}"
                        + ("" if rest else twice)
                    )
        return layers


@contextmanager
def about(layer: str) -> Iterator[None]:
    """Name the layer in errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"layer {layer!r}: {error}") from error
