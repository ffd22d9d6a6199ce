"""The images of an experiment, preprocessed and in memory; attacked or combined images have the
form of clean ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikesam import Network, Preprocessing
from spikesam.data import DatasetSamples, EventSamples, InputSteps, Samples, SampleTable, encode
from spikesam.simulators import InputBatch


@dataclass(frozen=True, eq=False)
class ImageSet(Samples):
    """Images as a network gets them."""

    name: str
    pixels: NDArray[np.float32]  # (N, C, H, W), preprocessed
    labels: NDArray[np.int64]  # (N,), -1 where unknown
    indices: NDArray[np.int64]  # (N,) keys of the Poisson spikes
    masks: tuple[NDArray[np.bool_] | None, ...]  # (H, W) of every object; None where unknown
    preprocessing: Preprocessing  # that was applied; height and width may since have changed

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @cached_property
    def table(self) -> SampleTable:  # type: ignore[override]  # a constant, too
        """For a raster file."""
        return SampleTable(self.indices, self.labels.astype(np.int32))

    @cached_property
    def sha256(self) -> str:
        """Identity of the pixels and of what their spikes depend on."""
        digest = hashlib.sha256(f"{self.name} {self.pixels.shape}".encode())
        for array in (self.pixels, self.labels, self.indices):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def batch(self, chosen: list[int], network: Network, seed: int) -> InputBatch:
        """Input of `network` for the chosen images; see `encode`."""
        return encode(network, self.pixels[chosen], seed, self.indices[chosen])

    def part(self, positions: range) -> ImageSet:
        """Some consecutive images."""
        return self.pick(positions)

    def picture(self, image: int) -> NDArray[np.float32]:
        """One image for display: (H, W, 3) float32 in 0 … 1."""
        prepare = self.preprocessing
        mean, std = np.asarray(prepare.mean, np.float32), np.asarray(prepare.std, np.float32)
        pixels = self.pixels[image].transpose(1, 2, 0) * std + mean
        return np.clip(np.broadcast_to(pixels, (*self.size, 3)), 0, 1)

    def take(self, count: int) -> ImageSet:
        """The first `count`, or all if there are fewer."""
        return self.pick(range(min(count, len(self))))

    def pick(self, chosen: Sequence[int]) -> ImageSet:
        """Those at these positions, in this order."""
        at = np.asarray(chosen, np.int64)
        return replace(
            self,
            pixels=self.pixels[at],
            labels=self.labels[at],
            indices=self.indices[at],
            masks=tuple(self.masks[place] for place in at),
        )


@dataclass(frozen=True, eq=False, repr=False)
class EventSet(EventSamples):
    """Recordings of events as a network gets them."""

    @cached_property
    def sha256(self) -> str:
        """Identity of the bits."""
        return hashlib.sha256(self.bits.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class TimedSpikes(InputSteps):
    """Samples of a task of :mod:`paper.common.timing_tasks`: `values` are (steps, N, 1, rows,
    columns) bool.
    """

    answers: NDArray[np.int64]  # (N, Q), the class by each question that these spikes are asked
    deciding: NDArray[np.bool_]  # (N, rows, columns), the places whose times make the class
    others: NDArray[
        np.bool_
    ]  # (N, rows, columns), places that fire as often, and whose times do not

    @cached_property
    def sha256(self) -> str:
        """Identity of the bits and of the answers to every question."""
        return hashlib.sha256(
            np.packbits(self.values.astype(np.bool_)).tobytes()
            + self.answers.astype(np.int32).tobytes()
        ).hexdigest()

    def shuffled(self, seed: int) -> TimedSpikes:
        """The samples with each neuron's spikes at other, random steps: as many, but not then."""
        random = np.random.default_rng([seed, 1])
        return replace(
            self, name=f"{self.name}/shuffled", values=random.permuted(self.values, axis=0)
        )


def prepare(samples: DatasetSamples) -> ImageSet:
    """The images of a run, all in memory."""
    table = samples.table
    return ImageSet(
        samples.name,
        samples.images(),
        table.label.astype(np.int64),
        table.index,
        samples.masks,
        samples.image_preprocessing,
    )
