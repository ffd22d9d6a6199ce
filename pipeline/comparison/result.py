"""The result of a comparison: three tables, and the report that they print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spikesam.recordings.text import brief

DRIFT = 0.25  # bits that differ, as a share of the model's spikes: a layer with more drifts
PRECISIONS = {"float32": "float32", "fixed": "fixed point"}  # as columns name them, as the report does


@dataclass(frozen=True, eq=False)
class Comparison:
    """A model and its network side by side; `print` shows a report.

    Parameters
    ----------
    layers : a row per layer — layer, neurons, rate (the model's spikes per neuron and step); then of each precision, on
        the first backend, `rate_…` and `differ_…` (the share of bits that differ from the model's); `alone_fixed` (that
        share where this layer alone is in fixed point, driven by the model's spikes) and `ties_fixed` (the share of
        those among them at which the membrane in float32 equals the threshold up to rounding: integers put it on one
        side)
    runs : a row per backend and precision — backend, precision, bits, differ (how many bits), digest (of the raster)
    answers : a row per sample — label (-1 where unknown), model, float32, fixed (the class that each chooses)
    """

    layers: pd.DataFrame
    runs: pd.DataFrame
    answers: pd.DataFrame

    __repr__ = brief

    @property
    def drifts_from(self) -> str | None:
        """The first layer that drifts: in fixed point, more bits differ than a quarter of the model's spikes."""
        drifting = self.layers["layer"][self.layers["differ_fixed"] > DRIFT * self.layers["rate"]]
        return None if drifting.empty else str(drifting.iloc[0])

    def __str__(self) -> str:
        return "\n".join((self._table(), "", self._drift(), self._alone(), *self._choices(), *self._backends()))

    def _table(self) -> str:
        columns = {"layer": self.layers["layer"], "neurons": self.layers["neurons"]}
        columns["model fires"] = self.layers["rate"].map(_share)
        for name in PRECISIONS:
            columns[f"{name} fires"] = self.layers[f"rate_{name}"].map(_share)
            columns[f"{name} differs"] = self.layers[f"differ_{name}"].map(_share)
        columns["fixed alone"] = self.layers["alone_fixed"].map(_share)
        return pd.DataFrame(columns).to_string(index=False)

    def _drift(self) -> str:
        layer = self.drifts_from
        if layer is None:
            return (
                f"fixed point does not drift: in every layer fewer bits differ than {DRIFT:.0%} of the model's spikes"
            )
        row = self.layers[self.layers["layer"] == layer].iloc[0]
        changed = row["differ_fixed"] / row["rate"] if row["rate"] else np.inf
        return f"fixed point drifts from {layer} on: bits that differ there are {changed:.0%} of the model's spikes"

    def _alone(self) -> str:
        own = self.layers["alone_fixed"] / self.layers["rate"].where(self.layers["rate"] > 0)
        if not own.max() > 0:
            return "no layer alone changes a bit in fixed point"
        row = self.layers.loc[own.idxmax()]
        said = f"alone, {row['layer']} changes most: {_share(own.max())} of the model's spikes"
        ties = row["ties_fixed"] / row["alone_fixed"]
        return f"{said}; {ties:.0%} of these bits are membranes that meet the threshold exactly" if ties else said

    def _choices(self) -> Iterator[str]:
        answers = self.answers
        known = answers[answers["label"] >= 0]
        if len(known):
            each = {"model": "model", **PRECISIONS}
            right = (f"{words} {np.mean(known[name] == known['label']):.1%}" for name, words in each.items())
            yield f"accuracy on {len(known)} samples: {', '.join(right)}"
        same = (f"{words} {np.mean(answers[name] == answers['model']):.1%}" for name, words in PRECISIONS.items())
        yield f"the model's answer on {len(answers)} samples: {', '.join(same)}"

    def _backends(self) -> Iterator[str]:
        for backend, runs in self.runs.groupby("backend", sort=False):
            float32, fixed = (runs[runs["precision"] == name].iloc[0] for name in PRECISIONS)
            differ = f"{float32['differ']:,} of {float32['bits']:,} bits differ in float32"
            yield f"{backend}: {differ}; fixed point has the digest {fixed['digest'][:12]}"
        digests = self.runs[self.runs["precision"] == "fixed"]
        if len(digests) > 1:
            same = "is the same bits" if digests["digest"].nunique() == 1 else "DIFFERS, which is a bug,"
            yield f"fixed point {same} on {', '.join(digests['backend'])}"


def _share(value: float) -> str:
    """A share as a percentage; none is told from few."""
    return "0" if value == 0 else f"{value:.2%}" if value >= 5e-5 else f"{value:.0e}"
