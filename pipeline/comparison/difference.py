"""What `diff` found: tables, and the report that they print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from spikesam.pipeline.comparison.counting import Differences
from spikesam.pipeline.comparison.pair import Bit
from spikesam.pipeline.comparison.why import Why, number
from spikesam.recordings.text import brief, printable

WHICH = ("first", "second")  # what columns call A and B
SHOWN = 8  # steps of a neuron that a report prints


@dataclass(frozen=True, eq=False)
class Diff:
    """The spikes in which two rasters differ, A and B; `print` shows a report.

    Parameters
    ----------
    names : what A and B are
    samples : how many both hold
    layers : a row per layer — layer, neurons, spikes_first, spikes_second (of A and of B), only_first, only_second
        (spikes that the other has not), step and sample (of the first bit that differs; <NA> if there is none)
    table : a row per layer and step — layer, step, only_first, only_second
    answers : samples whose answers differ; None if one of the rasters has none
    first : the bit that differs first, where it was looked for; None if there is none
    why : why it differs; None if that is not known
    notes : what is not known, and what was taken for granted
    lag : layer -> how many steps later it stands in B than in A, where one of them passes spikes on a step later
    """

    names: tuple[str, str]
    samples: int
    layers: pd.DataFrame
    table: pd.DataFrame
    answers: int | None
    first: Bit | None
    why: Why | None
    notes: tuple[str, ...]
    lag: dict[str, int] = field(default_factory=dict)

    __repr__ = brief

    @classmethod
    def of(
        cls, found: Differences, names: tuple[str, str], bit: Bit | None, why: Why | None, notes: tuple[str, ...]
    ) -> Diff:
        """What to say of counted differences."""
        pair = found.pair
        firsts = {each.layer: each for each in reversed([*found.firsts()])}
        at: dict[str, list[object]] = {"step": [], "sample": []}
        for name in pair.layers:
            for column, values in at.items():
                values.append(getattr(firsts[name], column) if name in firsts else pd.NA)
        layers = pd.DataFrame(
            {
                "layer": pair.layers,
                "neurons": [pair.first.layer(name).neurons for name in pair.layers],
                "spikes_first": found.spikes[0],
                "spikes_second": found.spikes[1],
                "only_first": found.only[0].sum(axis=1),
                "only_second": found.only[1].sum(axis=1),
                **{column: pd.array(values, "Int64") for column, values in at.items()},
            }
        )
        chosen = [raster.predictions for raster in pair.rasters]
        known = all(len(each) and each.min() >= 0 for each in chosen)
        answers = int(np.sum(chosen[0] != chosen[1])) if known else None
        lag = {name: pair.shifts[1][name] - pair.shifts[0][name] for name in pair.layers}
        return cls(names, pair.first.n_samples, layers, found.table(), answers, bit, why, notes, lag)

    @property
    def bits(self) -> int:
        """How many bits differ."""
        return int(self.layers[["only_first", "only_second"]].to_numpy().sum())

    def __bool__(self) -> bool:
        """Whether any bit differs."""
        return self.bits > 0

    def draw(self, path: str | Path) -> Path:
        """Draw which bits differ, by layer and step, and both membranes of the neuron that differs first (PNG)."""
        from spikesam.pipeline.drawing.difference import DrawnNeuron, draw_difference

        names, steps, neuron = self.layers["layer"].tolist(), len(self.table) // len(self.layers), None
        if self.first is not None:
            membranes, fired = {}, {}
            for name, which, threshold in zip("AB", WHICH, self.why.thresholds if self.why else (), strict=False):
                if self.why is not None and threshold is not None:
                    membranes[name] = self.why.steps[f"membrane_{which}"].to_numpy() / threshold
                if self.why is not None and threshold is not None:
                    fired[name] = self.why.steps[f"fired_{which}"].to_numpy()
            about = f"{self.first.layer}, neuron {self.first.neuron}, sample {self.first.sample}"
            neuron = DrawnNeuron(names.index(self.first.layer), self.first.step, about, membranes, fired)
        counts = (self.table["only_first"] + self.table["only_second"]).to_numpy().reshape(-1, steps)
        said = f"A: {self.names[0]}. B: {self.names[1]}. {_count(self.samples, 'sample')}."
        draw_difference(Path(path), said, names, counts, (self.layers["neurons"] * self.samples).tolist(), neuron)
        return Path(path)

    def __str__(self) -> str:
        return "\n".join(printable(line) if line.strip() else line for line in self._lines())

    def _lines(self) -> Iterator[str]:
        steps = len(self.table) // len(self.layers)
        yield from (f"{name}: {what}" for name, what in zip("AB", self.names, strict=True))
        total = self.samples * steps * int(self.layers["neurons"].sum())
        yield f"{self.bits:,} of {total:,} bits differ: {_count(self.samples, 'sample')}, {_count(steps, 'step')}"
        if not self:
            return
        yield ""
        yield from self._table().splitlines()
        yield ""
        if self.answers is not None:
            yield f"the answer differs in {self.answers} of {_count(self.samples, 'sample')}"
        if self.first is None:
            yield "where it was looked for, no bit differs"
            return
        yield from self._bit(self.first, "first that differs")
        if self.why is not None:
            yield from self._why(self.why)
        yield from self.notes

    def _table(self) -> str:
        rows = self.layers
        columns = {"layer": rows["layer"], "neurons": rows["neurons"]}
        for name, which in (("A", "first"), ("B", "second")):
            columns["spikes of A only"[:0] + f"spikes of {name}"] = rows[f"spikes_{which}"].map("{:,}".format)
        for name, which in (("A", "first"), ("B", "second")):
            columns[f"only {name}"] = rows[f"only_{which}"].map("{:,}".format)
        differs = [
            "-" if pd.isna(step) else f"step {step}, sample {sample}"
            for step, sample in zip(rows["step"], rows["sample"], strict=True)
        ]
        return pd.DataFrame({**columns, "first differs at": differs}).to_string(index=False)

    def _bit(self, bit: Bit, which: str) -> Iterator[str]:
        later = self.lag.get(bit.layer, 0)
        step = f"step {bit.step}" + (f" (of B: step {bit.step + later})" if later > 0 else "")
        step += f" (of A: step {bit.step - later})" if later < 0 else ""
        fires = "A fires, B does not" if bit.fired else "B fires, A does not"
        yield f"{which}: {bit.layer}, {step}, sample {bit.sample}, neuron {bit.neuron}: {fires}"

    def _why(self, why: Why) -> Iterator[str]:
        bit = why.bit
        if len(why.steps):
            yield from self._steps(why)
        for ancestor in why.ancestors:
            yield from self._bit(ancestor, "  that rests on")
        if why.ancestors and why.root.layer != bit.layer:
            yield f"nothing in front of {why.root.layer} at step {why.root.step} differs"
        yield from why.cause

    def _steps(self, why: Why) -> Iterator[str]:
        """A table of the last steps up to the bit, from where something happens to its neuron on."""
        rows = why.steps[: why.bit.step + 1]
        quiet = rows.drop(columns="step").any(axis=1).to_numpy().argmax()
        rows = rows[max(quiet, len(rows) - SHOWN) :]
        columns = {"step": rows["step"]}
        if why.steps[["arrive_first", "arrive_second"]].to_numpy().any():
            columns |= {"spikes arrive in A": rows["arrive_first"], "in B": rows["arrive_second"]}
            columns["that differ"] = rows["arrive_differ"]
        for name, which in zip("AB", WHICH, strict=True):
            if f"membrane_{which}" in rows:
                columns[f"membrane in {name}"] = rows[f"membrane_{which}"].map(number)
        for name, which in zip("AB", WHICH, strict=True):
            columns[f"{name} fires"] = rows[f"fired_{which}"].map({True: "yes", False: ""})
        yield from pd.DataFrame(columns).to_string(index=False).splitlines()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
