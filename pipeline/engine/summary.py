"""The results of a run, as `summary.json`: every field, its type and its meaning (docs/summary.md
lists them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from spikesam.common.disk import write_file
from spikesam.common.errors import at
from spikesam.common.files import read_file
from spikesam.common.models import Many, parse_model
from spikesam.common.text import printable, told_apart
from spikesam.pipeline.measures.statistics import mean_with_interval, softmax
from spikesam.recordings.raster.batch import CountedSpikes, chosen_classes
from spikesam.recordings.raster.schema import RasterHeader

LIKELIEST = 3  # classes named per image
# Bytes, and marks of JSON: of names of classes and all else; of an answer with a long name.
LARGEST, MOST_MARKS = 1 << 24, 1 << 18
PER_SAMPLE, MARKS_PER_SAMPLE = 1 << 11, 1 << 6

Name = Annotated[
    str, BeforeValidator(printable)
]  # of whatever letters: a file's name need not even be UTF-8
Class = Annotated[int, Field(ge=0)]

if TYPE_CHECKING:
    from spikesam.pipeline.engine.merge import Totals


class Record(BaseModel):
    """A group of results that knows nothing but its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(Record):
    """A mean and its 95 % interval."""

    mean: float = Field(description="mean over n samples")
    low: float = Field(description="lower end of the 95 % interval")
    high: float = Field(description="upper end")
    n: int = Field(description="samples whose class, or whose object, is known")


class ImageAnswer(Record):
    """The network's answer for one image. Classes are numbers, from 0 on: two may have one name."""

    image: Name = Field(description="name of the image")
    label: Class | None = Field(description="its class; null if unknown")
    classes: Many[Class] = Field(
        description="the three likeliest classes, the likeliest first; none if all scores are 0"
    )
    shares: Many[float] = Field(description="their softmax shares")
    counts: Many[int] | None = Field(
        None, description="how often their neurons fired, of a network that counts spikes"
    )

    values: list[float] | None = Field(
        None, description="the outputs themselves, where they are numbers and no classes"
    )

    @property
    def right(self) -> bool | None:
        """True if the likeliest class is the image's own; None if that is unknown."""
        if self.label is None or self.values is not None:
            return None
        return self.classes[:1] == [self.label]


class LocalisationScore(Interval):
    """The score with which one kind of map finds the object, by one measure (docs/measures.md)."""

    layer: str | None = Field(description="name of the layer; null for a guess that needs none")
    method: str = Field(description="SAM, spike count, centred box or centred Gaussian")
    measure: str = Field(description="pointing game, energy in object or IoU")


class Summary(Record):
    """The results of `spikesam run`."""

    backend: str = Field(description="event, torch or lava")
    device: str = Field(description="cpu, cuda, …")
    precision: str = Field(description="fixed or float32")
    checkpoint: Name = Field(description="name or file of the network")
    dataset: Name = Field(description="identity of the data")
    n_samples: int = Field(description="images that were simulated")
    timesteps: int = Field(
        description="T, steps per image; of an imported network, those of its model"
    )
    seed: int = Field(description="of the order of images and the Poisson spikes")
    accuracy: float | None = Field(description="share of right answers; null if no class is known")
    accuracy_interval: Interval | None = Field(description="the same with its 95 % interval")
    class_names: Annotated[Many[Name], AfterValidator(told_apart)] = Field(
        description="of every class, by its number; names that look alike say theirs"
    )
    answers: Many[ImageAnswer] = Field(description="one for each image")
    spike_rate: dict[str, float] = Field(
        description="layer -> spikes per neuron and step; empty where only maps left Lava's graph"
    )
    localisation: Many[LocalisationScore] = Field(description="empty if no object is known")
    raster_digest: str | None = Field(
        description=(
            "identity of all spikes, 64 hexadecimal digits; null where only maps left Lava's graph"
        )
    )
    network_sha256: str = Field(description="identity of the network, 64 hexadecimal digits")
    contents: str | None = Field(
        description=(
            "identity of the files that all images were read from, 64 hexadecimal digits; "
            "null if unknown"
        )
    )
    plan: str = Field(
        description="identity of all that decides these results, 64 hexadecimal digits"
    )
    seconds: dict[str, float] = Field(
        description="stage -> seconds, of all threads together: encoding, simulating, recording, "
        "explaining and measuring overlap"
    )

    @model_validator(mode="after")
    def _classes_have_names(self) -> Self:
        for answer in self.answers:
            if max([*answer.classes, answer.label or 0]) >= len(self.class_names):
                raise ValueError(f"{answer.image}: a class without a name")
            for numbers in (answer.shares, answer.counts or answer.classes):
                if len(numbers) != len(answer.classes):
                    raise ValueError(
                        f"{answer.image}: {len(numbers)} shares or counts of {len(answer.classes)} "
                        "classes"
                    )
        return self

    def write(self, path: Path) -> None:
        """Store as JSON; the file appears whole."""
        write_file(path, (self.model_dump_json(indent=2) + "\n").encode())


def read_summary(path: Path, n_samples: int) -> Summary:
    """Read `summary.json` of a run of so many samples; refuses what is none,
    naming file and place.
    """
    text = read_file(path, LARGEST + n_samples * PER_SAMPLE)
    with at(path):
        return parse_model(Summary, text, MOST_MARKS + n_samples * MARKS_PER_SAMPLE)


def summarise(totals: Totals, seconds: Mapping[str, float]) -> Summary:
    """Gather the results of a run, with the seconds of each stage."""
    spec = totals.spec
    right = accuracy(spec.samples.label, totals.predictions) if spec.header.has_classes else None
    header, scale = spec.header, spec.header.readout_scale / spec.header.timesteps
    backend, device = totals.origin
    return Summary(
        backend=backend,
        device=device,
        precision=header.precision,
        checkpoint=spec.checkpoint,
        dataset=header.dataset,
        n_samples=len(spec.samples),
        timesteps=header.window or header.timesteps,
        seed=header.seed,
        accuracy=right.mean if right else None,
        accuracy_interval=right,
        class_names=list(spec.class_names),
        answers=answers(totals.readout * scale, spec.samples.label, totals.names, _counted(totals))
        if header.has_classes
        else _values(header.values(totals.readout), spec.samples.label, totals.names),
        spike_rate=spike_rates(header, totals.spikes, len(spec.samples)),
        localisation=[
            LocalisationScore(
                layer=layer or None, method=method, measure=measure, **estimate._asdict()
            )
            for (layer, method, measure), estimate in totals.scores.summary().items()
        ],
        raster_digest=totals.raster_digest,
        network_sha256=header.network_sha256,
        contents=spec.contents_digest,
        plan=spec.results_identity,
        seconds={stage: round(taken, 3) for stage, taken in seconds.items()},
    )


def accuracy(labels: NDArray[np.int32], predictions: NDArray[np.int32]) -> Interval | None:
    """Share of right answers, (N,) each, with Wilson's interval; None if no class is known, all
    labels -1.
    """
    labelled = labels >= 0
    if not labelled.any():
        return None
    right = (predictions == labels)[labelled].astype(np.float64)
    return Interval(**mean_with_interval(right)._asdict())


def _counted(totals: Totals) -> CountedSpikes | None:
    header = totals.spec.header
    last, steps = header.layers[-1], header.window or header.timesteps
    return CountedSpikes.of(
        totals.readout * header.readout_scale, totals.spikes.get(last.name, -1), last.neurons, steps
    )


def answers(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int32],
    images: Sequence[str],
    counted: CountedSpikes | None = None,
) -> list[ImageAnswer]:
    """The likeliest classes of every image by its name, of logits (N, K), with labels (N,), -1
    where unknown.
    """
    shares, chosen = softmax(logits), chosen_classes(logits)
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :LIKELIEST].tolist()
    return [
        ImageAnswer(
            image=images[sample],
            label=int(label) if label >= 0 else None,
            classes=classes,
            shares=[round(float(shares[sample, number]), 4) for number in classes],
            counts=None
            if counted is None
            else [int(counted.counts[sample, number]) for number in classes],
        )
        for sample, label in enumerate(labels)
        for classes in [ranked[sample] if chosen[sample] >= 0 else []]
    ]


def _values(
    outputs: NDArray[np.float64], labels: NDArray[np.int32], images: Sequence[str]
) -> list[ImageAnswer]:
    """The outputs (N, K) of every image by its name, which are no classes."""
    return [
        ImageAnswer(
            image=name,
            label=int(label) if label >= 0 else None,
            classes=[],
            shares=[],
            values=[float(f"{value:.6g}") for value in numbers],
        )
        for name, label, numbers in zip(images, labels, outputs, strict=True)
    ]


def spike_rates(
    header: RasterHeader, spikes: Mapping[str, int], n_samples: int
) -> dict[str, float]:
    """Spikes per neuron and step; `spikes`: layer -> number of all samples, where it is known."""
    neurons = {layer.name: layer.neurons for layer in header.layers}
    steps = header.window or header.timesteps
    return {name: count / (n_samples * steps * neurons[name]) for name, count in spikes.items()}
