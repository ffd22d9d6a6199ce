"""A finished conversion: network, accuracy over time, cost, and where errors arise; its files and
its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from rich.console import Console
from rich.table import Table

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend, batch_size
from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.common.disk import write_file
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.common.text import printable
from spikesam.pipeline.config import ConversionSection, Section
from spikesam.pipeline.conversion._layer_errors import CAUSES, answers_in_levels, layer_errors
from spikesam.pipeline.conversion._spiking import Floats
from spikesam.pipeline.conversion.algorithm import convert_graph
from spikesam.pipeline.cost.energy import energy, in_joules
from spikesam.pipeline.cost.prices import prices_of
from spikesam.pipeline.drawing.conversion import draw_conversion
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.drawing.notebook import Shown, png_of
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import PreparedImages, Samples
from spikesam.pipeline.maps.plot import figure_of
from spikesam.pipeline.measures.synaptic_operations import products
from spikesam.pipeline.networks.checkpoint import Checkpoint, save
from spikesam.pipeline.networks.differentiable import predictions
from spikesam.recordings.raster.batch import unpack

BATCH = 4  # images simulated together
FEW = 8  # samples whose layers and operations are looked at
WITHIN, TWO_POINTS = 0.01, 0.02  # accuracy
Name = Annotated[
    str, BeforeValidator(printable)
]  # of whatever letters: a file's name need not even be UTF-8
WRITTEN = ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json")
UNPREPARED = (
    "how images are prepared is not known; say it: convert(…, preprocessing="
    "spikesam.Preprocessing(height, width, mean, std))"
)


@dataclass(frozen=True, eq=False)
class Conversion(Shown):
    """A spiking network that an ANN became, measured when it is first asked for; `print` shows all
    of it.

    Parameters
    ----------
    ann : the ANN, as a network of ReLU neurons
    network : the spiking network, in float32; :func:`spikesam.quantise` makes its integers
    settings : how it was converted, by the first of its rules
    thresholds : by layer, (C,): the activation that a spike at every step stands for, or all
        `spikes` of the settings
    samples : the images that are measured on, and their labels, or the ANN's answers where none are
        known
    labelled : whether their labels are known
    preprocessing, classes, class_names : of the checkpoint
    calibration : (N, C, H, W) the images that thresholds come from
    seed : of the Poisson spikes of `samples`
    device : of the torch backend that measures: "auto", "cpu", "cuda", "cuda:1"
    tracker : shows and times the work
    files : those written, the checkpoint first
    n_images : images that the samples were taken from; 0 if not known
    convert : what converts an ANN, of images and settings
    """

    ann: Network
    network: Network
    settings: ConversionSection
    thresholds: Mapping[str, Floats]
    samples: PreparedImages
    labelled: bool
    preprocessing: Preprocessing | None = None
    classes: Any = None
    class_names: Any = None
    calibration: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 1, 1, 1), np.float32)
    )
    seed: int = 0
    device: str = "auto"
    tracker: Tracker = field(default_factory=Tracker)
    files: tuple[Path, ...] = ()
    n_images: int = 0
    convert: Callable[..., tuple[Network, Any]] = convert_graph

    @property
    def checkpoint(self) -> Checkpoint:
        """The spiking network with its classes and preparation, for :func:`spikesam.save`."""
        if self.preprocessing is None:
            raise InputError(f"checkpoint: {UNPREPARED}")
        classes = tuple(self.classes or map(str, range(self.network.classes)))
        return Checkpoint(
            self.network, self.preprocessing, classes, tuple(self.class_names or classes)
        )

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The network in both precisions, "float32" and "fixed"."""
        return {"float32": self.network, "fixed": quantise(self.network)}

    @property
    def timesteps(self) -> int:
        """T, the steps that answers are counted in."""
        return self.network.window or self.network.timesteps

    @cached_property
    def answers(self) -> dict[str, NDArray[np.int64]]:
        """The answers of both precisions after t = 1 … T steps, (N, T)."""
        return self._answers(self.networks, f"measuring over {self.timesteps} steps")

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """Share of right answers, or of the ANN's where labels are not known, of both precisions
        after t = 1 … T.
        """
        return accuracy_over_time(self.answers, self.samples.table.label)

    @cached_property
    def rules(self) -> pd.DataFrame:
        """Accuracy in fixed point of every rule of the settings: a row per rule, a column per
        number of steps.

        The ANN is converted by each, of the same images, for T steps.
        """
        rows, curves = milestones(self.timesteps), dict[str, pd.Series]()
        for rule, settings in self.settings.by_rule.items():
            fixed = (
                {"fixed": self.answers["fixed"]}
                if not curves
                else self._answers(self._by(settings), f"rule {rule}")
            )
            curves[rule] = accuracy_over_time(fixed, self.samples.table.label)["fixed"].loc[rows]
        return pd.DataFrame(curves).T.rename_axis("rule")

    @cached_property
    def summary(self) -> ConversionSummary:
        """The numbers of `summary.json`."""
        curves, reference = self.accuracy, self.ann_accuracy
        return ConversionSummary(
            ann=self.settings.ann,
            conversion=self.settings,
            dataset=self.samples.name,
            n_samples=len(self.samples),
            seed=self.seed,
            ann_accuracy=reference,
            accuracy={
                name: {t: float(curve[t]) for t in milestones(len(curve))}
                for name, curve in curves.items()
            },
            within_2_points_from_step={
                name: settles_at(curve, reference - TWO_POINTS) for name, curve in curves.items()
            },
            thresholds=thresholds(self.network, self.thresholds),
            rules=self.rules.T.to_dict() if len(self.settings.by_rule) > 1 else {},
            network_sha256=self.network.sha256,
            seconds={stage: round(taken, 3) for stage, taken in self.tracker.seconds.items()},
        )

    @cached_property
    def ann_accuracy(self) -> float:
        """Share of right answers of the ANN; 1 where labels are not known."""
        inputs = self.samples.encoded(range(len(self.samples)), self.ann, 0, 1)
        return float(np.mean(predictions(self.ann, inputs) == self.samples.table.label))

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Errors of each layer's activations in % of their root mean square, by cause; of the first
        images.

        Columns are layer, error (in fixed point, all in all), and arriving, maximum, clipped,
        steps, unevenness and integers, see
        :func:`spikesam.pipeline.conversion._layer_errors.layer_errors`.
        """
        initial = self.settings.initial if self.network.window else 0.0
        with self._shown("looking for errors", None):
            images = self.samples.images[:FEW]
            return layer_errors(
                self.ann, self.networks, self.thresholds, images, initial, self.seed
            )

    @cached_property
    def table(self) -> pd.DataFrame:
        """Accuracy and cost after t = 8, 16, … T steps.

        Columns are float32 and fixed, the spiking network's accuracy; levels, that of the ANN whose
        activations are rounded to t + 1 levels up to the threshold, or nt + 1 of n spikes a step;
        and spikes, operations and joules (45nm) of a sample until then.
        """
        rows = milestones(len(self.accuracy))
        labels, images = self.samples.table.label, self.samples.images
        table = self.accuracy.loc[rows].copy()
        answers = [
            answers_in_levels(self.ann, images, self.thresholds, t * self.settings.spikes)
            for t in rows
        ]
        table["levels"] = [np.mean(answers_in_step == labels) for answers_in_step in answers]
        return table.join(self.costs)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Spikes, operations and joules (45nm) of a sample until t = 1 … T, of the first images, in
        fixed point.
        """
        with self._shown("counting operations", None):
            fixed = self.networks["fixed"]
            raster = simulate(fixed, self.samples.images[:FEW], seed=self.seed, device=self.device)
            steps = (
                energy(raster, fixed)
                .steps.groupby("step")[["spikes", "operations", "joules"]]
                .sum()
                .cumsum()
            )
            return steps.set_axis(self.accuracy.index)

    def plot(self) -> Figure:
        """Accuracy over time, and by layer the errors of activations by cause, as a figure of
        matplotlib.
        """
        return figure_of(self._picture())

    def _picture(self) -> bytes:
        curves = {"SNN float32": self.accuracy["float32"], "SNN integers": self.accuracy["fixed"]}
        curves[f"ANN at {self._levels}"] = self.table["levels"]
        title, errors = (
            f"Conversion by the rule {self.rule}",
            self.layers.set_index("layer")[list(CAUSES)],
        )
        return png_of(
            lambda path: draw_conversion(
                path, title, self._where, curves, self.ann_accuracy, errors
            )
        )

    @property
    def _levels(self) -> str:
        return f"{self.settings.spikes if self.settings.spikes > 1 else ''}t + 1 levels"

    @property
    def _where(self) -> str:
        measured = "accuracy" if self.labelled else "agreement with the ANN"
        count = (
            f"{len(self.samples)} of {self.n_images}"
            if self.n_images > len(self.samples)
            else f"{len(self.samples)}"
        )
        return (
            f"{measured} on {count} {self.samples.name}; errors of {min(FEW, len(self.samples))} "
            "of them"
        )

    def __repr__(self) -> str:
        """One line: rule, steps, and the network."""
        return f"<Conversion by the rule {self.rule}, {self.timesteps} steps: {self.network!r}>"

    def _parts(self) -> Iterator[Any]:
        """A report: what it keeps of the ANN, after how many steps, what that costs, and where
        errors arise; measures it.
        """
        table, curves = self.table, self.accuracy
        macs = sum(products(self.ann).values())
        spent = in_joules(1e-12 * macs * (prices_of("45nm").mac or 0))
        of_ann = f"the ANN's is {self.ann_accuracy:.1%}, with {macs:,} products, {spent}"
        shown = table.assign(
            **{
                name: [f"{accuracy:.1%}" for accuracy in table[name]]
                for name in ("float32", "fixed", "levels")
            }
        )
        for name in ("spikes", "operations"):
            shown[name] = [f"{count:,.0f}" for count in table[name]]
        shown["joules"] = [in_joules(joules) for joules in table["joules"]]
        shown = shown.rename(
            columns={"fixed": "integers", "levels": f"ANN, {self._levels}", "joules": "energy"}
        )
        clipped = [sentence] if (sentence := self.samples.clipped(self.network)) else []
        yield from (repr(self), f"{self._where}; {of_ann}", *clipped, shown.reset_index(), "")
        unreached = f"not yet{'; spikes=4 may help' if self.settings.spikes == 1 else ''}"
        for name, curve in curves.rename(columns={"fixed": "integers"}).items():
            step = settles_at(curve.to_numpy(), self.ann_accuracy - WITHIN)
            spikes, joules = self.costs.loc[step or len(curve), ["spikes", "joules"]]
            reached = (
                f"from step {step}, after {spikes:,.0f} spikes and {in_joules(joules)}"
                if step
                else unreached
            )
            yield f"{name}: within 1 point of the ANN {reached}"
        if len(self.settings.by_rule) > 1:
            shares = self.rules.map("{:.1%}".format)
            yield from (
                "",
                "in integers, by rule, after t steps:",
                shares.rename_axis(columns=None).reset_index(),
            )
        yield from ("", "errors of activations, % of their root mean square:", self.layers.round(1))

    @property
    def rule(self) -> str:
        """The settings of the conversion."""
        return next(iter(self.settings.by_rule))

    def _by(self, settings: ConversionSection) -> dict[str, Network]:
        with self._shown(f"converting by the rule {settings.rule}", None):
            network, _ = self.convert(self.ann, self.calibration, settings)
            return {"fixed": quantise(network)}

    def _answers(self, networks: Mapping[str, Network], text: str) -> dict[str, NDArray[np.int64]]:
        with self._shown(text, len(self.samples)) as advance:
            return all_answers(
                networks, make_backend("auto", self.device), self.samples, self.seed, advance
            )

    @contextmanager
    def _shown(self, text: str, total: int | None) -> Iterator[Any]:
        with self.tracker.time("measure"), self.tracker.show(text, total) as advance:
            compile_kernels("float32")
            compile_kernels("fixed")
            yield advance


class ConversionSummary(Section):
    """summary.json of a conversion. Accuracies are shares in 0 … 1, of the float32 and the
    fixed-point network.
    """

    ann: Name = Field(description="the ANN's name or file")
    conversion: ConversionSection = Field(description="how it was converted")
    dataset: Name = Field(description="whose validation images were measured on")
    n_samples: int = Field(description="how many of them")
    seed: int = Field(description="of their order and Poisson spikes")
    ann_accuracy: float = Field(description="of the ANN on them")
    accuracy: dict[str, dict[int, float]] = Field(
        description="by precision, after a few numbers of steps"
    )
    within_2_points_from_step: dict[str, int | None] = Field(
        description=(
            "by precision, the step from which on accuracy is at most 2 points below the "
            "ANN's; null if never"
        )
    )
    thresholds: dict[str, list[float]] = Field(
        description=(
            "by layer, θ/g in units of its input current: one for all neurons, or one per channel"
        )
    )
    rules: dict[str, dict[int, float]] = Field(
        {},
        description=(
            "accuracy in fixed point by rule, where several were asked for, after a few "
            "numbers of steps"
        ),
    )
    network_sha256: str = Field(description="identity of the float32 network")
    seconds: dict[str, float] = Field(description="by stage, by the clock")


def thresholds(
    network: Network, worths: Mapping[str, NDArray[np.float64]]
) -> dict[str, list[float]]:
    """θ of each layer: of a chain θ/g, in units of its input current, else of activations; one, or
    one per channel.
    """
    values_by_layer = dict(worths)
    if network.window is None:
        values_by_layer = {
            layer.name: layer.spiking_neuron.threshold / layer.inputs[0].gain[0]
            for layer in network.layers
        }
    values = {
        name: np.asarray(values_of_layer).tolist()
        for name, values_of_layer in values_by_layer.items()
    }
    return {
        name: values_of_layer[:1] if len(set(values_of_layer)) == 1 else values_of_layer
        for name, values_of_layer in values.items()
    }


def refuse_bad_measure(samples: int, device: str) -> None:
    """Refuse a number of samples or a device that is none, before anything is written."""
    if samples < 1:
        raise InputError(f"samples: got {samples}, expected a whole number, at least 1")
    make_backend("auto", device)


def written(conversion: Conversion) -> Conversion:
    """A conversion, whose files are written if it has some."""
    if conversion.files:
        save(conversion.checkpoint, conversion.files[0])
        write_conversion(conversion.summary, conversion.accuracy, conversion.files[0].parent)
    return conversion


def write_conversion(
    summary: ConversionSummary, curves: pd.DataFrame, out: Path
) -> tuple[Path, ...]:
    """Write accuracy.csv, accuracy.png and summary.json; returns their paths."""
    table_path, plot_path, summary_path = (out / name for name in WRITTEN[1:])
    write_curves(table_path, curves)
    rule, encoder = summary.conversion.first.rule, summary.conversion.encoder
    title = f"From {Path(summary.ann).stem} to spikes ({rule}, {encoder})"
    plot_curves(plot_path, curves, summary.ann_accuracy, title, _where(summary))
    write_file(summary_path, (summary.model_dump_json(indent=2) + "\n").encode())
    return table_path, plot_path, summary_path


def print_conversion(summary: ConversionSummary, console: Console) -> None:
    """Thresholds, accuracy over time as a table, and when it is there."""
    console.print(
        f"thresholds ({summary.conversion.first.rule}): {_thresholds_text(summary.thresholds)}"
    )
    table = Table(title=f"accuracy, {_where(summary)}; the ANN's is {summary.ann_accuracy:.1%}")
    for column in ("steps", *summary.accuracy):
        table.add_column(column, justify="right")
    for t in next(iter(summary.accuracy.values())):
        table.add_row(str(t), *(f"{accuracy[t]:.1%}" for accuracy in summary.accuracy.values()))
    console.print(table)
    if summary.rules:
        by_rule = Table(title="in fixed point, by rule, after so many steps")
        for column in ("rule", *map(str, next(iter(summary.rules.values())))):
            by_rule.add_column(column, justify="right")
        for name, curve in summary.rules.items():
            by_rule.add_row(name, *(f"{accuracy:.1%}" for accuracy in curve.values()))
        console.print(by_rule)
    for name, step in summary.within_2_points_from_step.items():
        when = f"from step {step}" if step else "not yet"
        console.print(f"{name}: within 2 points of the ANN or above it {when}")


def _where(summary: ConversionSummary) -> str:
    return f"{summary.dataset}, {summary.n_samples} images"


def _thresholds_text(thresholds: Mapping[str, list[float]]) -> str:
    """ "conv1 4.42, conv2 1.97, …"; of several per layer, the median and the range."""
    return ", ".join(
        f"{name} {np.median(values):.3g}"
        + (f" ({min(values):.2g}–{max(values):.2g})" if len(values) > 1 else "")
        for name, values in thresholds.items()
    )


def answers_over_time(network: Network, packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class with the largest Σ_{τ<t} W_out s_L[τ] + bias after t = 1 … T steps of packed spikes
    (B, T, bytes).
    """
    spikes = unpack(packed, network.shapes[-1]).reshape(*packed.shape[1::-1], -1)  # (T, B, neurons)
    readout, bias = network.readout, network.readout.bias[:, None].astype(np.float64)
    sums = (spikes.astype(np.float64) @ readout.weight.T.astype(np.float64) + bias).cumsum(axis=0)
    return sums[-network.window if network.window else 0 :].argmax(axis=-1).T


def all_answers(
    networks: Mapping[str, Network],
    backend: Backend,
    samples: Samples,
    seed: int,
    advance: Callable[[int], None],
) -> dict[str, NDArray[np.int64]]:
    """The :func:`answers_over_time` of all samples, (N, T), of each of networks that see the same
    input.
    """
    any_network = next(iter(networks.values()))
    answers_by_network: dict[str, list[NDArray[np.int64]]] = {name: [] for name in networks}
    for inputs in samples.encoded(range(len(samples)), any_network, seed, BATCH):
        size = batch_size(inputs)
        for name, network in networks.items():
            last = network.raster_names[-1]
            answers_by_network[name] += [
                answers_over_time(network, batch.spikes[last])
                for batch in backend.run(network, [inputs], size)
            ]
        advance(size)
    return {name: np.concatenate(parts) for name, parts in answers_by_network.items()}


def accuracy_over_time(
    answers: Mapping[str, NDArray[np.int64]], labels: NDArray[np.int32]
) -> pd.DataFrame:
    """Share of right answers (N, T), a row per number of steps t = 1 … T, a column per network."""
    right = {name: (chosen == labels[:, None]).mean(axis=0) for name, chosen in answers.items()}
    return (
        pd.DataFrame(right)
        .rename_axis("t")
        .set_axis(pd.RangeIndex(1, len(next(iter(right.values()))) + 1, name="t"))
    )


def settles_at(curve: NDArray[np.float64], level: float) -> int | None:
    """The number of steps from which on a curve stays at `level` or above; None if it ends
    below.
    """
    below = np.flatnonzero(curve < level - 1e-9)
    step = int(below[-1]) + 2 if below.size else 1
    return step if step <= len(curve) else None


def write_curves(path: Path, curves: pd.DataFrame) -> None:
    """CSV: the number of steps t, then the accuracy of each network after them."""
    write_file(path, curves.to_csv(float_format="%.4f", lineterminator="\n").encode())


def plot_curves(
    path: Path, curves: pd.DataFrame, reference: float, title: str, subtitle: str
) -> None:
    """Accuracy against t, and as a dashed line that of the ANN on the same images, the
    reference.
    """
    points = pd.concat(
        pd.DataFrame({"x": curve.index, "mean": 100 * curve}).assign(
            curve=f"SNN {name} {curve.iloc[-1]:.1%}", style=style
        )
        for (name, curve), style in zip(curves.items(), cycle(("-", ":")), strict=False)
    )
    level = (100 * reference, f"ANN {reference:.1%}")
    draw_curves(
        path,
        title,
        subtitle,
        points,
        "steps t",
        "accuracy, %",
        CurveOptions(level=level, limits=(0, 102), width=5.0),
    )


def milestones(timesteps: int) -> Sequence[int]:
    """A few numbers of steps to quote: 8, 16, 32, 64, … as far as they go, and the last."""
    return [
        *(1 << power for power in range(3, timesteps.bit_length()) if 1 << power < timesteps),
        timesteps,
    ]
