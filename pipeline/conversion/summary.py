"""Results of `spikesam convert`: its summary.json, and the text it prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from rich.console import Console
from rich.table import Table

from spikesam.backends.network import Network
from spikesam.pipeline.config import ConversionSection, Section
from spikesam.pipeline.conversion.latency import milestones, plot_curves, settles_at, write_curves
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.networks.differentiable import predictions
from spikesam.recordings.disk import write_file
from spikesam.recordings.text import printable

Name = Annotated[str, BeforeValidator(printable)]  # of whatever letters: a file's name need not even be UTF-8
WITHIN = 0.02  # accuracy
WRITTEN = ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json")


class ConversionSummary(Section):
    """summary.json of a conversion. Accuracies are shares in 0 … 1, of the float32 and the fixed-point network."""

    ann: Name = Field(description="the ANN's name or file")
    conversion: ConversionSection = Field(description="how it was converted")
    dataset: Name = Field(description="whose validation images were measured on")
    n_samples: int = Field(description="how many of them")
    seed: int = Field(description="of their order and Poisson spikes")
    ann_accuracy: float = Field(description="of the ANN on them")
    accuracy: dict[str, dict[int, float]] = Field(description="by precision, after a few numbers of steps")
    within_2_points_from_step: dict[str, int | None] = Field(
        description="by precision, the step from which on accuracy is at most 2 points below the ANN's; null if never"
    )
    thresholds: dict[str, list[float]] = Field(
        description="by layer, θ/g in units of its input current: one for all neurons, or one per channel"
    )
    rules: dict[str, dict[int, float]] = Field(
        {}, description="accuracy in fixed point by rule, where several were asked for, after a few numbers of steps"
    )
    network_sha256: str = Field(description="identity of the float32 network")
    seconds: dict[str, float] = Field(description="by stage, by the clock")


def summarise_conversion(
    settings: ConversionSection,
    ann: Network,
    network: Network,
    worths: Mapping[str, NDArray[np.float64]],
    samples: Samples,
    seed: int,
    curves: pd.DataFrame,
    rules: dict[str, dict[int, float]],
    seconds: dict[str, float],
) -> ConversionSummary:
    """The summary of an ANN, the float32 network it became, both precisions' accuracy on samples, and that of rules."""
    reference = ann_accuracy(ann, samples)
    return ConversionSummary(
        ann=settings.ann,
        conversion=settings,
        dataset=samples.name,
        n_samples=len(samples),
        seed=seed,
        ann_accuracy=reference,
        accuracy={name: {t: float(curve[t]) for t in milestones(len(curve))} for name, curve in curves.items()},
        within_2_points_from_step={name: settles_at(curve, reference - WITHIN) for name, curve in curves.items()},
        thresholds=thresholds(network, worths),
        rules=rules,
        network_sha256=network.sha256,
        seconds=seconds,
    )


def ann_accuracy(ann: Network, samples: Samples) -> float:
    """Share of right answers of an ANN."""
    return float(np.mean(predictions(ann, samples.encoded(range(len(samples)), ann, 0, 1)) == samples.table.label))


def thresholds(network: Network, worths: Mapping[str, NDArray[np.float64]]) -> dict[str, list[float]]:
    """θ of each layer: of a chain θ/g, in units of its input current, else of activations; one, or one per channel."""
    each = dict(worths)
    if network.window is None:
        each = {layer.name: layer.spiking_neuron.threshold / layer.inputs[0].gain[0] for layer in network.layers}
    values = {name: np.asarray(found).tolist() for name, found in each.items()}
    return {name: found[:1] if len(set(found)) == 1 else found for name, found in values.items()}


def write_conversion(summary: ConversionSummary, curves: pd.DataFrame, out: Path) -> tuple[Path, ...]:
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
    console.print(f"thresholds ({summary.conversion.first.rule}): {_thresholds_text(summary.thresholds)}")
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
            by_rule.add_row(name, *(f"{each:.1%}" for each in curve.values()))
        console.print(by_rule)
    for name, step in summary.within_2_points_from_step.items():
        when = f"from step {step}" if step else "not yet"
        console.print(f"{name}: within 2 points of the ANN or above it {when}")


def _where(summary: ConversionSummary) -> str:
    return f"{summary.dataset}, {summary.n_samples} images"


def _thresholds_text(thresholds: Mapping[str, list[float]]) -> str:
    """ "conv1 4.42, conv2 1.97, …"; of several per layer, the median and the range."""
    return ", ".join(
        f"{name} {np.median(values):.3g}" + (f" ({min(values):.2g}–{max(values):.2g})" if len(values) > 1 else "")
        for name, values in thresholds.items()
    )
