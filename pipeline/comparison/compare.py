"""Compare a model with the network it became: layer by layer, in float32 and in fixed point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikesam.backends.network import Network, NetworkError
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.step import ROUNDING
from spikesam.backends.torch.synapses import without_autocast
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.text import brief
from spikesam.pipeline.drawing.notebook import Shown
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.imports.libraries.library import Takes
from spikesam.pipeline.imports.torch.calling import (
    Example,
    NoNeuronsError,
    checked_model,
    follow_model,
    read_example,
)
from spikesam.pipeline.imports.torch.follower import FollowedLayer, ModelOutput
from spikesam.pipeline.imports.torch.imported import assemble, model_bits
from spikesam.pipeline.imports.torch.modules import NeuronModules, OwnNeurons
from spikesam.pipeline.imports.torch.proof import LayerAlone, by_position
from spikesam.pipeline.networks.checkpoint import Checkpoint
from spikesam.recordings.raster.batch import chosen_classes, on_cpu
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import check_outputs

BATCH = 16  # samples that the model runs on at a time
TIE = 1e-6  # of the highest score


@without_autocast()  # the network that is compared is in float32
@checked_arguments
def compare(
    model: Any,
    network: Network | Checkpoint,
    data: Any,
    labels: ArrayLike | None = None,
    *,
    backends: str | Sequence[str] = ("event",),
    outputs: str = "classes",
    takes: Takes | None = None,
    neurons: Mapping[str | type, OwnNeurons] | None = None,
) -> Comparison:
    """Compare a model with the network that it became, on data: where do bits differ, and where
    does accuracy go?

    A network that a current drives is given the data in 8 bits. Its bits are compared with those of
    the model on the same rounded data; answers are told of the model as it is, too.

    Parameters
    ----------
    model : torch.nn.Module, as :func:`from_torch` takes it
    network : its import, in float32; or a checkpoint or conversion that holds it
    data : one batch as the model takes it at every step, or a sequence of them, as the example of
        :func:`from_torch`
    labels : (B,) int, the classes of the samples; -1 where unknown. Of outputs that are numbers,
        the right ones: (B, K), or (B,) of one output
    backends : simulators, or one, each used in both precisions; the first one's bits are compared
        layer by layer
    outputs : "classes" if the highest output is the answer, "values" if outputs are numbers, such
        as of a regression: then errors are told, in the outputs' units. One output alone always is
        a value, and so are those of a model that gives maps, such as pixels or boxes
    takes, neurons : as of :func:`from_torch`

    Returns
    -------
    tables of layers, runs and answers, which print as a report

    Raises
    ------
    InputError : if model, network and data do not fit

    Examples
    --------
    >>> import snntorch, torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(
    ...     nn.Linear(20, 30), snntorch.Leaky(beta=0.9, threshold=0.4, init_hidden=True),
    ...     nn.Linear(30, 5),
    ...     snntorch.Leaky(beta=0.9, threshold=0.4, init_hidden=True, output=True),
    ... ).eval()
    >>> spikes = (torch.rand(12, 8, 20) < 0.3).float()
    >>> network = spikesam.from_torch(model, spikes)
    >>> print(spikesam.compare(model, network, spikes, backends=("event", "torch")))
      layer  neurons model fires float32 fires float32 differs fixed fires fixed differs fixed alone
    leaky_1       30      14.34%        14.34%               0 ...
    leaky_3        5      10.62%        10.62%               0 ...
    <BLANKLINE>
    fixed point drifts from leaky_3 on: bits that differ there are 27% of the model's spikes
    alone, leaky_3 changes most: 3.92% of the model's spikes
    answers of 8 samples same as the model's
                   model                   -
               float32              100.0%
             fixed point              100.0%
    event: 0 of 3,360 bits differ in float32; fixed point has the digest ...
    torch: 0 of 3,360 bits differ in float32; fixed point has the digest ...
    fixed point is the same bits on event, torch
    """
    held = getattr(network, "network", network)  # of a checkpoint, or of a conversion
    network = cast("Network", held)  # `_read_data` refuses others
    backends = (backends,) if isinstance(backends, str) else tuple(backends)
    if not backends:
        raise InputError(f"compare: backends: got {backends!r}, expected at least one")
    check_outputs(outputs, "compare: outputs")
    try:
        model = checked_model(model)
        neuron_modules = NeuronModules(neurons, takes)
        example, exact = (
            _read_data(data, network, model, neuron_modules, rounded=rounded)
            for rounded in (True, False)
        )
        layers, shifts, output = _followed(model, example, neuron_modules, network)
        scores = output.scores
        numbers = outputs == "values" or scores.shape[1] == 1 or not output.by_class
        targets = _targets(labels, scores) if numbers else None
        answers = {"model": scores}
        if network.current_input:
            parts = [
                follow_model(model, part, neuron_modules).answer.scores
                for part in exact.parts(BATCH)
            ]
            answers = {"model": torch.cat(parts), "rounded": scores}
    except NoNeuronsError as error:
        raise NetworkError(
            f"compare: found no neurons that fire in {error.kinds}, so no bits to compare; how "
            "well the network that "
            "an ANN became agrees with it, on other images and layer by layer, "
            "print(spikesam.convert(model, images, "
            "validation=more)) says"
        ) from None
    except InputError as error:
        raise NetworkError(f"compare: {error}") from error.__cause__
    chosen = {} if numbers else {name: _chosen(output) for name, output in answers.items()}
    values = {name: output.cpu().double().numpy() for name, output in answers.items()}
    classes = None if numbers else labels
    samples = _simulated_samples(example, network)
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in network.layers],
            "neurons": [layer.spikes.shape[2] for layer in layers],
            "rate": [layer.spikes.double().mean().item() for layer in layers],
        }
    )
    runs: list[dict[str, Any]] = []
    bits = sum(layer.spikes.numel() for layer in layers)
    for backend in backends:
        for precision in PRECISIONS:
            raster = simulate(
                network, samples, labels=classes, backend=backend, precision=precision
            )
            agreement = _against(raster, layers, shifts)
            differ = int(agreement["differ"].sum())
            run = {"backend": backend, "precision": precision, "bits": bits, "differ": differ}
            runs.append(run | {"digest": raster.raster_digest})
            if backend == backends[0]:
                chosen[precision] = raster.predictions
                values[precision] = raster.header.values(raster.readout)
                table[f"rate_{precision}"] = agreement["rate"]
                table[f"differ_{precision}"] = agreement["differ"] / [
                    layer.spikes.numel() for layer in layers
                ]
    differences_alone = _alone(network, layers, shifts, example)
    table["alone_fixed"], table["ties_fixed"] = zip(*differences_alone, strict=True)
    compared = _columns(values, targets) if numbers else {"label": raster.labels, **chosen}
    return Comparison(table, pd.DataFrame(runs), pd.DataFrame(compared))


def _targets(labels: ArrayLike | None, scores: Tensor) -> NDArray[np.float64] | None:
    """The right numbers, (B, K), of outputs that are no classes."""
    if labels is None:
        return None
    try:
        targets = np.asarray(on_cpu(labels), np.float64)
    except (TypeError, ValueError):
        targets = np.empty(0)
    samples, count = scores.shape
    if targets.shape == (samples,) and count == 1:
        targets = targets[:, None]
    if targets.shape != (samples, count) or not np.isfinite(targets).all():
        shape = f"({samples},) or ({samples}, 1)" if count == 1 else f"({samples}, {count})"
        unfit = "NaN or infinity" if targets.shape == (samples, count) else targets.shape
        raise InputError(f"labels: got {unfit}, expected numbers {shape}, as outputs are")
    return targets


def _columns(
    values: Mapping[str, NDArray[np.float64]], targets: NDArray[np.float64] | None
) -> dict[str, NDArray[Any]]:
    """A row for each output of each sample."""
    samples, count = values["model"].shape
    columns: dict[str, NDArray[Any]] = {
        "sample": np.repeat(np.arange(samples), count),
        "output": np.tile(np.arange(count), samples),
    }
    if targets is not None:
        columns["target"] = targets.ravel()
    return columns | {name: numbers.ravel() for name, numbers in values.items()}


def _chosen(scores: Tensor) -> NDArray[np.int32]:
    """The classes with the highest scores, (B, K); ties, which sums may have rounded apart, go to
    the lowest index.
    """
    values = scores.cpu().numpy()
    highest_value = values.max(axis=1, keepdims=True)
    return chosen_classes(
        np.where(values >= highest_value - TIE * np.abs(highest_value), highest_value, values)
    )


def _read_data(
    data: Any, network: Network, model: Any, neurons: NeuronModules, *, rounded: bool = True
) -> Example:
    """The data, as the network can be given it, or before they are `rounded` for it."""
    if not isinstance(network, Network):
        raise NetworkError(
            f"network: got {type(network).__name__}, expected a Network, such as from_torch gives"
        )
    if network.precision != "float32":
        raise NetworkError("network: is in fixed point, expected float32; both are compared")
    if network.encoder != "spikes" and not network.current_input:
        raise NetworkError(f"network: takes {network.encoder!r}, expected 'spikes' or a current")
    delayed = any(neurons.describe(name, module).delayed for name, module in neurons.of("", model))
    steps = network.timesteps if delayed and network.window is None else network.model_steps
    example = read_example(data, steps, model, network, rounded=rounded)
    if example.shape != network.input_shape:
        raise NetworkError(
            f"data: samples are (C, H, W) = {example.shape}, expected {network.input_shape}"
        )
    return example


def _followed(
    model: Any, example: Example, neurons: NeuronModules, network: Network
) -> tuple[list[FollowedLayer], tuple[int, ...], ModelOutput]:
    """The model's layers, one for each of the network's, their shifts, and its output for all
    samples.
    """
    parts = [follow_model(model, part, neurons) for part in example.parts(BATCH)]
    orders = [assemble(model, part, example) for part in parts]
    layers = [
        replace(same[0], spikes=torch.cat([layer.spikes for layer in same], dim=1), currents=None)
        for same in zip(*(order.layers for order in orders), strict=True)
    ]
    sizes = [layer.spikes.shape[2] for layer in layers]
    expected = [prod(shape) for shape in network.shapes[1:]]
    if sizes != expected:
        raise NetworkError(
            f"network: has layers of {expected} neurons, the model {sizes}; is it of another model?"
        )
    steps = network.timesteps - orders[0].shifts[-1]
    if example.timesteps != steps:
        swapped = example.samples == steps and not example.constant
        raise NetworkError(
            f"data: has {example.timesteps} steps, expected {steps}, as the network was imported "
            "with" + f"; steps come first, and {steps} stand on the second axis" * swapped
        )
    scores = torch.cat([part.answer.scores for part in parts])
    return layers, orders[0].shifts, replace(parts[0].answer, scores=scores)


def _simulated_samples(example: Example, network: Network) -> NDArray[Any]:
    """The data as :func:`simulate` takes them."""
    if network.encoder == "spikes":
        return example.encoded(network.timesteps)
    steps = (
        example.sequence.reshape(example.timesteps, example.samples, *example.shape).cpu().numpy()
    )
    return steps[0] if network.encoder == "constant-current" else steps


def _against(
    raster: RasterReader, layers: Sequence[FollowedLayer], shifts: Sequence[int]
) -> pd.DataFrame:
    """A row per layer of the network: rate, and how many bits differ from the model's."""
    rows = []
    for spec, layer, shift in zip(raster.layers[-len(layers) :], layers, shifts, strict=True):
        of_model = layer.spikes.cpu().numpy()
        fired = raster.spikes(spec, steps=slice(shift, shift + len(of_model))).reshape(
            of_model.shape
        )
        rows.append({"rate": fired.mean(), "differ": int(np.sum(fired != of_model))})
    return pd.DataFrame(rows)


def _alone(
    network: Network, layers: Sequence[FollowedLayer], shifts: Sequence[int], example: Example
) -> Iterator[tuple[float, float]]:
    """The share of bits that differ in each layer where it alone is in fixed point, and of those
    that are ties.

    A tie is a membrane in float32 that equals the threshold up to rounding. Integers put it on one
    side.
    """
    fixed, steps = quantise(network), example.timesteps
    bits_of_model = model_bits(network, layers, shifts, example)
    for number, (layer, shift) in enumerate(zip(network.layers, shifts, strict=True)):
        threshold = torch.as_tensor(layer.spiking_neuron.threshold, dtype=torch.float32)
        integers = LayerAlone(fixed, number, bits_of_model, "cpu")
        reals = LayerAlone(network, number, bits_of_model, "cpu")
        stop = min(shift + steps, network.timesteps)
        differ = ties = 0
        for (t, fired), _ in zip(integers.run(shift, stop), reals.run(shift, stop), strict=True):
            bits = by_position(bits_of_model[layer.name][t], "cpu")
            wrong = fired != bits
            near = (reals.neurons.membrane - threshold).abs() <= ROUNDING * threshold
            differ, ties = differ + int(wrong.sum()), ties + int((wrong & near).sum())
            reals.neurons.spikes.copy_(bits)
        yield differ / layers[number].spikes.numel(), ties / layers[number].spikes.numel()


DRIFT = 0.25  # bits that differ, as a share of the model's spikes: a layer with more drifts
PRECISIONS = {
    "float32": "float32",
    "fixed": "fixed point",
}  # as columns name them, as the report does
ANSWERING = {"model": "model", "rounded": "model, input in 8 bits", **PRECISIONS}


@dataclass(frozen=True, eq=False)
class Comparison(Shown):
    """A model and its network side by side; `print` shows a report.

    Parameters
    ----------
    layers : a row per layer — layer, neurons, rate (the model's spikes per neuron and step); then
        of each precision, on the first backend, `rate_…` and `differ_…` (the share of bits that
        differ from the model's); `alone_fixed` (that share where this layer alone is in fixed
        point, driven by the model's spikes) and `ties_fixed` (the share of those among them at
        which the membrane in float32 equals the threshold up to rounding: integers put it on one
        side)
    runs : a row per backend and precision — backend, precision, bits, differ (how many bits),
        digest (of the raster)
    answers : a row per sample — label (-1 where unknown), model, rounded (the model on the data in
        8 bits, where a current drives the network), float32, fixed: the class that each chooses, -1
        where all scores are 0. Of outputs that are numbers, a row per sample and output — sample,
        output, target (where it was given), model, rounded, float32, fixed: the numbers
    """

    layers: pd.DataFrame
    runs: pd.DataFrame
    answers: pd.DataFrame

    __repr__ = brief

    @property
    def drifts_from(self) -> str | None:
        """The first layer that drifts: in fixed point, more bits differ than a quarter of the
        model's spikes.
        """
        drifting = self.layers["layer"][self.layers["differ_fixed"] > DRIFT * self.layers["rate"]]
        return None if drifting.empty else str(drifting.iloc[0])

    def _parts(self) -> Iterator[Any]:
        yield from (
            self._table(),
            "",
            self._drift(),
            self._alone(),
            *self._choices(),
            *self._backends(),
        )

    def _table(self) -> pd.DataFrame:
        columns = {"layer": self.layers["layer"], "neurons": self.layers["neurons"]}
        columns["model fires"] = self.layers["rate"].map(_share)
        for name in PRECISIONS:
            columns[f"{name} fires"] = self.layers[f"rate_{name}"].map(_share)
            columns[f"{name} differs"] = self.layers[f"differ_{name}"].map(_share)
        columns["fixed alone"] = self.layers["alone_fixed"].map(_share)
        return pd.DataFrame(columns)

    def _drift(self) -> str:
        layer = self.drifts_from
        if layer is None:
            return (
                f"fixed point does not drift: in every layer fewer bits differ than {DRIFT:.0%} "
                "of the model's spikes"
            )
        row = self.layers[self.layers["layer"] == layer].iloc[0]
        changed = row["differ_fixed"] / row["rate"] if row["rate"] else np.inf
        return (
            f"fixed point drifts from {layer} on: bits that differ there are {changed:.0%} of the "
            "model's spikes"
        )

    def _alone(self) -> str:
        share = self.layers["alone_fixed"] / self.layers["rate"].where(self.layers["rate"] > 0)
        if not share.max() > 0:
            return "no layer alone changes a bit in fixed point"
        row = self.layers.loc[share.idxmax()]
        sentence = (
            f"alone, {row['layer']} changes most: {_share(share.max())} of the model's spikes"
        )
        ties = row["ties_fixed"] / row["alone_fixed"]
        return (
            f"{sentence}; {ties:.0%} of these bits are membranes that meet the threshold exactly"
            if ties
            else sentence
        )

    def _choices(self) -> Iterator[Any]:
        answers = self.answers
        if "output" in answers:
            yield self._errors()
            return
        labelled = answers[answers["label"] >= 0]
        rows = {name: words for name, words in ANSWERING.items() if name in answers}
        columns: dict[str, Any] = {
            f"answers of {len(answers)} sample{'s' * (len(answers) > 1)}": rows.values()
        }
        if len(labelled):
            columns[f"right of {len(labelled)}"] = [
                f"{np.mean(labelled[name] == labelled['label']):.1%}" for name in rows
            ]
        same = (
            f"{np.mean(answers[name] == answers['model']):.1%}" for name in rows if name != "model"
        )
        yield pd.DataFrame(columns | {"same as the model's": ["-", *same]})

    def _errors(self) -> pd.DataFrame:
        """Mean and largest error of the outputs, beside the model's and beside the targets."""
        answers = self.answers
        rows = {name: words for name, words in ANSWERING.items() if name in answers}
        samples = int(answers["sample"].max()) + 1
        columns: dict[str, Any] = {
            f"outputs of {samples} sample{'s' * (samples > 1)}": rows.values()
        }
        for of, words in (("model", "error"), ("target", "to targets")):
            if of not in answers:
                continue
            errors = [(answers[name] - answers[of]).abs() for name in rows]
            columns[f"mean {words}"] = [f"{error.mean():.3g}" for error in errors]
            columns[f"largest {words}"] = [f"{error.max():.3g}" for error in errors]
        return pd.DataFrame(columns)

    def _backends(self) -> Iterator[str]:
        for backend, runs in self.runs.groupby("backend", sort=False):
            float32, fixed = (runs[runs["precision"] == name].iloc[0] for name in PRECISIONS)
            differ = f"{float32['differ']:,} of {float32['bits']:,} bits differ in float32"
            yield f"{backend}: {differ}; fixed point has the digest {fixed['digest'][:12]}"
        digests = self.runs[self.runs["precision"] == "fixed"]
        if len(digests) > 1:
            same = (
                "is the same bits"
                if digests["digest"].nunique() == 1
                else "DIFFERS, which is a bug,"
            )
            yield f"fixed point {same} on {', '.join(digests['backend'])}"


def _share(value: float) -> str:
    """A share as a percentage; none is told from few."""
    return "0" if value == 0 else f"{value:.2%}" if value >= 5e-5 else f"{value:.0e}"
