"""The result of an edit: the answers before and after, what fires differently, and the raster of
the edited run.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.disk import write_file, writing
from spikesam.common.lock import file_lock
from spikesam.common.text import LONGEST_NAME, brief, printable
from spikesam.pipeline.drawing.notebook import Shown
from spikesam.pipeline.measures.statistics import softmax
from spikesam.recordings.digests import spike_counts
from spikesam.recordings.raster.batch import NO_ANSWER, CountedSpikes, RasterBatch
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import encode_samples, raster_image, refuse_existing
from spikesam.recordings.schema import SampleTable

SHOWN = 10  # samples whose answers are printed
SHOWN_VALUES = 6  # outputs of each


@dataclass(frozen=True, eq=False)
class Answers:
    """The readout's answers to B samples."""

    readout: NDArray[Any]  # (B, K) raw sums: int32 in fixed point, float32 otherwise
    shares: NDArray[np.float64]  # (B, K), softmax of the logits
    predictions: NDArray[
        np.int32
    ]  # (B,), argmax of the readout, ties to the lowest class; -1 where all of it is 0, or no class
    counted: CountedSpikes | None = (
        None  # the counts of spikes that the answers are, where they are that
    )
    values: NDArray[np.float64] | None = None  # (B, K) of outputs that are numbers and no classes

    __repr__ = brief

    @classmethod
    def of(cls, readout: NDArray[Any], header: RasterHeader, fired: int) -> Answers:
        """Those of the raw sums of a raster, the last layer of which `fired` so often in these
        samples.
        """
        real, steps = readout * header.readout_scale, header.window or header.timesteps
        shares, chosen = softmax(real / header.timesteps), header.predictions(readout)
        if not header.has_classes:
            return cls(readout, shares, chosen, values=header.values(readout))
        counted = CountedSpikes.of(real, fired, header.layers[-1].neurons, steps)
        return cls(readout, shares, chosen, counted)


@dataclass(frozen=True, eq=False)
class Edit(Shown):
    """A run with some spikes changed, beside the recorded one; `print` shows a report.

    Parameters
    ----------
    layer : whose spikes were changed
    samples : (B,) positions in the recorded raster
    before, after : the answers of the recorded and of the edited run
    layers : a row per layer — layer, before, after (spikes of all these samples), differ (bits that
        differ)
    """

    layer: str
    samples: list[int]
    before: Answers
    after: Answers
    layers: pd.DataFrame
    _header: RasterHeader
    _table: SampleTable
    _batch: RasterBatch
    _names: tuple[str, ...] = ()  # of the classes

    def __repr__(self) -> str:
        """One line: how many answers changed."""
        return (
            f"<Edit of {self.layer}: {self.changed.sum()} of {len(self.samples)} answers changed>"
        )

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(B,) whether the answer is another class, or another number where outputs are numbers."""
        if self.before.values is not None:
            return np.asarray((self.before.readout != self.after.readout).any(axis=1))
        return self.before.predictions != self.after.predictions

    @cached_property
    def raster(self) -> RasterReader:
        """The edited run, in memory: of the same network, but that `layer` fires what the edit
        says.
        """
        return RasterReader(self._image, trusted=True)

    @cached_property
    def _image(self) -> bytes:
        records = list(encode_samples(self._header, self._batch, range(len(self._batch))))
        return raster_image(self._header, self._table, str(uuid.uuid4()), records)

    @checked_arguments
    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the raster of the edited run, which appears whole or not at all.

        Returns
        -------
        the path

        Raises
        ------
        InputError : if the file exists or cannot be written
        """
        target = Path(path)
        refuse_existing(target, overwrite)
        with file_lock(target), writing(target):
            write_file(target, self._image, overwrite=overwrite)
        return target

    def _parts(self) -> Iterator[Any]:
        """The number of answers that changed, those of the first samples, and the layers."""
        yield from (*self._answers(), "", self.layers)

    def _answers(self) -> Iterator[str]:
        differ = int(self.layers.set_index("layer")["differ"][self.layer])
        changed = f"{self.changed.sum()} of {len(self.samples)} answers changed"
        yield f"{self.layer}: {differ:,} spike{'s' * (differ != 1)} changed; {changed}"
        for row, sample in enumerate(self.samples[:SHOWN]):
            yield f"sample {sample}: {self._changed(row)}"
        if len(self.samples) > SHOWN:
            yield f"… and {len(self.samples) - SHOWN} more"

    def _name(self, number: int) -> str:
        return (
            printable(self._names[number], LONGEST_NAME)
            if number < len(self._names)
            else f"class {number}"
        )

    def _changed(self, row: int) -> str:
        """The answer to a sample before and after: numbers, counts of spikes, or the shares of the
        classes that were chosen.
        """
        if self.before.values is not None and self.after.values is not None:
            return f"{_numbers(self.before.values[row])} -> {_numbers(self.after.values[row])}"
        (answers_before, was), (answers_after, now) = (
            (answers, answers.predictions[row]) for answers in (self.before, self.after)
        )
        if answers_before.counted and answers_after.counted:
            return (
                f"{answers_before.counted.words(row, self._name)} -> "
                f"{answers_after.counted.words(row, self._name)}"
            )
        if was < 0 or now < 0:
            return " -> ".join(
                self._name(number) if number >= 0 else NO_ANSWER for number in (was, now)
            )
        share_before, share_after = answers_before.shares[row, was], answers_after.shares[row, was]
        shares = f"{self._name(was)} {share_before:.1%} -> {share_after:.1%}"
        return shares + (
            f", {self._name(now)} {answers_after.shares[row, now]:.1%}" if now != was else ""
        )


def _numbers(values: NDArray[np.float64]) -> str:
    """The first outputs of a sample."""
    said = ", ".join(f"{value:.4g}" for value in values[:SHOWN_VALUES])
    return said + ", …" * (len(values) > SHOWN_VALUES)


def layer_table(
    recorded: RasterReader, rows: Sequence[int], after: RasterBatch, changed: Collection[str]
) -> pd.DataFrame:
    """Spikes of the samples at `rows`, before and after, and bits that differ, in the `changed`
    layers alone.
    """
    table = []
    for layer in recorded.layers:
        fired = int(recorded.counts(layer)[rows].sum(dtype=np.int64))
        fires, differ = fired, 0
        if layer.name in changed:
            edited = after.spikes[layer.name]
            fires = int(spike_counts(edited).sum(dtype=np.int64))
            differing = (
                recorded.packed(layer, sample) ^ bits
                for sample, bits in zip(rows, edited, strict=True)
            )
            differ = sum(
                int(spike_counts(differing_bits).sum(dtype=np.int64))
                for differing_bits in differing
            )
        table.append((layer.name, fired, fires, differ))
    return pd.DataFrame(table, columns=["layer", "before", "after", "differ"])
