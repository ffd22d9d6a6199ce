"""The first spike that differs between two rasters, or between a raster and a model, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at, finding
from spikesam.common.text import brief, printable
from spikesam.pipeline.comparison._membranes import FiringRule, Rule, Traced
from spikesam.pipeline.comparison.pair import Bit, Differences, RasterPair, line_up
from spikesam.pipeline.comparison.sides import (
    WHAT,
    Driven,
    network_beside,
    opened_side,
    plain_network,
    raster_words,
    samples_of,
    simulated,
    what_drives,
)
from spikesam.pipeline.comparison.why import Why, explain_bit, number_text
from spikesam.pipeline.drawing.notebook import Shown, png_of
from spikesam.pipeline.networks.recorded import fired_by, loaded_network, recorded_network
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.reader import position

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint

ORDINALS = ("first", "second")  # what columns call A and B
SHOWN = 8  # steps of a neuron that a report prints


@dataclass(frozen=True, eq=False)
class Diff(Shown):
    """The spikes in which two rasters differ, A and B; `print` shows a report.

    Parameters
    ----------
    names : of A and B
    samples : number that both hold
    layers : a row per layer — layer, neurons, spikes_first, spikes_second (of A and of B),
        only_first, only_second (spikes that the other has not), step and sample (of the first bit
        that differs; <NA> if there is none)
    table : a row per layer and step — layer, step, only_first, only_second
    answers : samples whose answers differ, -1 (all scores are 0) being one; None if one of the
        rasters knows none
    first : the bit that differs first, where it was looked for; None if there is none
    why : why it differs; None if that is not known
    notes : facts that are unknown, or were assumed
    lag : layer -> how many steps later it stands in B than in A, where one of them passes spikes on
        a step later
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
        cls,
        differences: Differences,
        names: tuple[str, str],
        bit: Bit | None,
        why: Why | None,
        notes: tuple[str, ...],
    ) -> Diff:
        """The result of counted differences."""
        pair = differences.pair
        firsts = {bit.layer: bit for bit in reversed([*differences.firsts()])}
        place_columns: dict[str, list[object]] = {"step": [], "sample": []}
        for name in pair.layers:
            for column, values in place_columns.items():
                values.append(getattr(firsts[name], column) if name in firsts else pd.NA)
        layers = pd.DataFrame(
            {
                "layer": pair.layers,
                "neurons": [pair.first.layer(name).neurons for name in pair.layers],
                "spikes_first": differences.spikes[0],
                "spikes_second": differences.spikes[1],
                "only_first": differences.only[0].sum(axis=1),
                "only_second": differences.only[1].sum(axis=1),
                **{column: pd.array(values, "Int64") for column, values in place_columns.items()},
            }
        )
        chosen = [raster.predictions for raster in pair.rasters]
        have_answers = all(
            raster.header.has_classes or np.any(raster.predictions >= 0) for raster in pair.rasters
        )
        answers = int(np.sum(chosen[0] != chosen[1])) if have_answers else None
        lag = {name: pair.shifts[1][name] - pair.shifts[0][name] for name in pair.layers}
        return cls(
            names, pair.first.n_samples, layers, differences.table(), answers, bit, why, notes, lag
        )

    @property
    def bits(self) -> int:
        """The number of bits that differ."""
        return int(self.layers[["only_first", "only_second"]].to_numpy().sum())

    def __bool__(self) -> bool:
        """True if any bit differs."""
        return self.bits > 0

    @checked_arguments
    def draw(self, path: str | Path) -> Path:
        """Draw which bits differ, by layer and step, and both membranes of the neuron that differs
        first (PNG).
        """
        from spikesam.pipeline.drawing.difference import DrawnNeuron, draw_difference

        names, steps, neuron = (
            self.layers["layer"].tolist(),
            len(self.table) // len(self.layers),
            None,
        )
        if self.first is not None:
            membranes, fired = {}, {}
            for name, ordinal, threshold in zip(
                "AB", ORDINALS, self.why.thresholds if self.why else (), strict=False
            ):
                if self.why is not None and threshold is not None:
                    membranes[name] = self.why.steps[f"membrane_{ordinal}"].to_numpy() / threshold
                    fired[name] = self.why.steps[f"fired_{ordinal}"].to_numpy()
            title = f"{self.first.layer}, neuron {self.first.neuron}, sample {self.first.sample}"
            neuron = DrawnNeuron(
                names.index(self.first.layer), self.first.step, title, membranes, fired
            )
        counts = (
            (self.table["only_first"] + self.table["only_second"]).to_numpy().reshape(-1, steps)
        )
        caption = f"A: {self.names[0]}. B: {self.names[1]}. {_count(self.samples, 'sample')}."
        draw_difference(
            Path(path),
            caption,
            names,
            counts,
            (self.layers["neurons"] * self.samples).tolist(),
            neuron,
        )
        return Path(path)

    def _picture(self) -> bytes:
        if not self:
            raise InputError("no bit differs, so there is nothing to draw")
        return png_of(self.draw)

    def _parts(self) -> Iterator[Any]:
        for part in self._report_of_differences():
            yield printable(part) if isinstance(part, str) and part.strip() else part

    def _report_of_differences(self) -> Iterator[Any]:
        steps = len(self.table) // len(self.layers)
        yield from (
            f"{name}: {description}" for name, description in zip("AB", self.names, strict=True)
        )
        total = self.samples * steps * int(self.layers["neurons"].sum())
        yield (
            f"{self.bits:,} of {total:,} bits differ: {_count(self.samples, 'sample')}, "
            f"{_count(steps, 'step')}"
        )
        if not self:
            return
        yield ""
        yield self._table()
        yield ""
        if self.answers is not None:
            yield f"the answer differs in {self.answers} of {_count(self.samples, 'sample')}"
        if self.first is None:
            yield "where it was looked for, no bit differs"
            return
        yield self.bit_words(self.first, "first that differs")
        if self.why is not None:
            yield from self._why(self.why)
        yield from self.notes

    def _table(self) -> pd.DataFrame:
        rows = self.layers
        columns = {"layer": rows["layer"], "neurons": rows["neurons"]}
        for heading, column in (("spikes of", "spikes"), ("only", "only")):
            for name, ordinal in zip("AB", ORDINALS, strict=True):
                columns[f"{heading} {name}"] = rows[f"{column}_{ordinal}"].map("{:,}".format)
        differs = [
            "-" if pd.isna(step) else f"step {step}, sample {sample}"
            for step, sample in zip(rows["step"], rows["sample"], strict=True)
        ]
        return pd.DataFrame({**columns, "first differs at": differs})

    def bit_words(self, bit: Bit, label: str) -> str:
        """A bit as a line of the report: its layer, step, sample and neuron, and which raster
        fires.
        """
        later = self.lag.get(bit.layer, 0)
        step = f"step {bit.step}" + (f" (of B: step {bit.step + later})" if later > 0 else "")
        step += f" (of A: step {bit.step - later})" if later < 0 else ""
        fires = "A fires, B does not" if bit.fired else "B fires, A does not"
        return f"{label}: {bit.layer}, {step}, sample {bit.sample}, neuron {bit.neuron}: {fires}"

    def _why(self, why: Why) -> Iterator[Any]:
        bit = why.bit
        if len(why.steps):
            yield self._steps(why)
        for ancestor in why.ancestors:
            yield self.bit_words(ancestor, "  that rests on")
        if why.ancestors and why.root.layer != bit.layer:
            yield f"nothing in front of {why.root.layer} at step {why.root.step} differs"
        yield from why.cause

    def _steps(self, why: Why) -> pd.DataFrame:
        """The last steps up to the bit, from the first in which its neuron does anything."""
        rows = why.steps[: why.bit.step + 1]
        quiet = rows.drop(columns="step").any(axis=1).to_numpy().argmax()
        rows = rows[max(quiet, len(rows) - SHOWN) :]
        columns = {"step": rows["step"]}
        if why.steps[["arrive_first", "arrive_second"]].to_numpy().any():
            columns |= {"spikes arrive in A": rows["arrive_first"], "in B": rows["arrive_second"]}
            columns["that differ"] = rows["arrive_differ"]
        for name, ordinal in zip("AB", ORDINALS, strict=True):
            if f"membrane_{ordinal}" in rows:
                columns[f"membrane in {name}"] = rows[f"membrane_{ordinal}"].map(number_text)
        for name, ordinal in zip("AB", ORDINALS, strict=True):
            columns[f"{name} fires"] = rows[f"fired_{ordinal}"].map({True: "yes", False: ""})
        return pd.DataFrame(columns)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


@checked_arguments
def diff(
    first: RasterReader | str | PathLike[str] | Network | Checkpoint,
    second: RasterReader | str | PathLike[str] | Network | Checkpoint,
    network: str | PathLike[str] | Network | Checkpoint | None = None,
    *,
    layer: str | int | None = None,
    sample: int | None = None,
    data: Any = None,
    backend: str = "auto",
    precision: str = "fixed",
) -> Diff:
    """Find the first spike that differs between two rasters, or a raster and a model, and say why.

    Parameters
    ----------
    first, second : each a raster, its file or the folder of a run. One of them may be a model
        instead, a checkpoint, its name or a network: it is simulated on the input spikes that the
        raster holds, or on `data`
    network : the network that fired the spikes; if not given, the model, or `network.safetensors`
        beside a raster. A raster that names no network, such as that of a library or a chip, is
        taken to be of this network, which must fire one of both rasters, in the sample of the first
        bit that differs
    layer, sample : where to look for the spike: in one layer, by its name or number; in one sample,
        by its position; everywhere if not given
    data : the samples, as of :func:`simulate`; for a network that a current drives, and where a
        raster does not hold its input
    backend, precision : for the simulation of a model

    Returns
    -------
    the differences; they print as a report

    Raises
    ------
    InputError : if rasters do not hold the same samples and steps, or a layer has two shapes

    Examples
    --------
    >>> import spikesam
    >>> raster = spikesam.simulate("cluttered-digits", samples=1, precision="float32")
    >>> found = spikesam.diff(raster, "cluttered-digits")  # in fixed point
    >>> found.first.layer, found.first.step
    ('conv1', 1)
    >>> print(found.why.cause[-1])
    so A and B each fire what their network makes of the same inputs; the networks differ: ...
    """
    with ExitStack() as resources:
        sides: list[Any] = [opened_side(argument, resources) for argument in (first, second)]
        rasters = [side for side in sides if isinstance(side, RasterReader)]
        if not rasters:
            raise InputError(
                "diff: got two models, expected a raster among them; simulate one of them first"
            )
        model = next((side for side in sides if not isinstance(side, RasterReader)), None)
        given_network = None if network is None else loaded_network(network, WHAT)
        known_network = model or given_network or network_beside(rasters)
        source = None if data is None else samples_of(data, known_network, rasters[0])
        names = [raster_words(raster) for raster in rasters]
        if model is not None:
            position_of_model = sides.index(model)
            fired = resources.enter_context(
                simulated(model, rasters[0], source, backend, precision)
            )
            called = (
                str((first, second)[position_of_model])
                if isinstance((first, second)[position_of_model], (str, PathLike))
                else "the model"
            )
            rasters.insert(position_of_model, fired)
            names.insert(position_of_model, f"{called} on {raster_words(fired, named=False)}")
        same_index = model is None or not (data is None or hasattr(data, "__array__"))
        pair = line_up(rasters[0], rasters[1], same_index=same_index)
        differences = Differences(pair)
        with at("sample"):
            place = None if sample is None else position(sample, pair.first.n_samples)
        bit, why, notes = next(differences.firsts(layer, place), None), None, list[str]()
        if bit is not None:
            networks = (
                None if source_model is None else plain_network(source_model)
                for source_model in (given_network, model)
            )
            rules, notes = _rules(pair, *networks)
            if any(rules):
                driven = what_drives(source, rasters[0].header.seed)
                unlike = _unlike(pair, rules, driven, bit.sample)
                fits = any(
                    rule and (rule.proven or not misfit)
                    for rule, misfit in zip(rules, unlike, strict=True)
                )
                if given_network is not None and not fits:
                    wrong = "; ".join(
                        f"{name}: {misfit}"
                        for name, misfit in zip("AB", unlike, strict=True)
                        if misfit
                    )
                    raise InputError(
                        f"network: fires neither raster, expected that of one of them ({wrong})"
                    )
                try:
                    why = explain_bit(bit, Traced(pair, rules, driven))
                except InputError as error:
                    notes.append(f"why it differs is not known: {finding(error)}")
        return Diff.of(differences, (names[0], names[1]), bit, why, tuple(notes))


def _unlike(
    pair: RasterPair, rules: tuple[Rule | None, Rule | None], driven: Driven | None, sample: int
) -> tuple[str | None, str | None]:
    """Of each raster whose network is taken for granted, the first layer that fires otherwise; None
    if none does.
    """
    misfits: list[str | None] = [None, None]
    with suppress(InputError):
        traced = Traced(pair, rules, driven)
        for side, rule in enumerate(rules):
            for layer in rule.network.layers if rule and not rule.proven else ():
                if layer.name not in pair.layers:
                    continue
                with suppress(
                    InputError
                ):  # numbers that drive it are not known, or it is in one raster alone
                    missed = traced.misses(
                        side, layer.name, sample, {"": FiringRule(layer.spiking_neuron)}
                    )[""].sum()
                    if missed:
                        misfits[side] = (
                            f"{missed:,} bits of {layer.name} in sample {sample} are others"
                        )
                        break
    return misfits[0], misfits[1]


def _rules(
    pair: RasterPair, named: Network | None, model: Network | None
) -> tuple[tuple[Rule | None, Rule | None], list[str]]:
    """The rules of both rasters, of the network that was `named` or the `model` simulated, and
    notes where unknown.
    """
    rules: list[Rule | None] = []
    notes = []
    for name, raster in zip("AB", pair.rasters, strict=True):
        names_network, rule, refused = bool(raster.header.network_sha256), None, []
        candidates: list[Network | None] = []
        if names_network:
            candidates += [network for network in (named, model) if network is not None]
            candidates += [] if raster.path is None else [None]  # the file that lies beside it
        for candidate in candidates:
            try:
                rule = rule or Rule(recorded_network(raster, candidate), proven=True)
            except InputError as error:
                refused.append(finding(error))
        rules.append(rule)
        if names_network and rule is None:
            notes.append(
                f"{name}'s membranes are not known: {refused[0] if refused else 'give its network'}"
            )
        elif names_network and named is not None and refused:
            notes.append(
                f"the network that was given is not {name}'s; the one that is known was taken: "
                f"{refused[0]}"
            )
    taken = named or model or next((rule.network for rule in rules if rule), None)
    if lying := None if taken else network_beside(pair.rasters):
        taken = plain_network(lying)
    for side, raster in enumerate(pair.rasters):
        name, other_name = "AB"[side], "BA"[side]
        if raster.header.network_sha256:
            continue
        if taken is None:
            notes.append(
                f"{name} does not say which network fired it; give the network, to know why they "
                "differ"
            )
        else:
            whose = (
                "the one that was given"
                if named
                else "the one that lies beside it"
                if lying
                else f"{other_name}'s"
            )
            try:
                rules[side] = Rule(fired_by(raster, taken), proven=False)
                notes.append(
                    f"{name} does not say which network fired it: it is taken to be {whose}"
                )
            except InputError as error:
                notes.append(f"{name}'s membranes are not known: {finding(error)}")
    return (rules[0], rules[1]), notes
