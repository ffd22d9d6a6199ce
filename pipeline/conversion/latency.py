"""How accurate a spiking network is after so many steps: its readout is a running sum, so one simulation tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.backends.base import Backend, batch_size
from spikesam.backends.network import Network
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.images.samples import Samples
from spikesam.recordings.disk import write_file
from spikesam.recordings.raster.batch import unpack

BATCH = 4  # images simulated together


def answers_over_time(network: Network, packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class with the largest Σ_{τ<t} W_out s_L[τ] + bias after t = 1 … T steps of packed spikes (B, T, bytes)."""
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
    """The :func:`answers_over_time` of all samples, (N, T), of each of networks that see the same input."""
    some = next(iter(networks.values()))
    found: dict[str, list[NDArray[np.int64]]] = {name: [] for name in networks}
    for inputs in samples.encoded(range(len(samples)), some, seed, BATCH):
        size = batch_size(inputs)
        for name, network in networks.items():
            last = network.raster_names[-1]
            found[name] += [
                answers_over_time(network, batch.spikes[last]) for batch in backend.run(network, [inputs], size)
            ]
        advance(size)
    return {name: np.concatenate(each) for name, each in found.items()}


def accuracy_over_time(answers: Mapping[str, NDArray[np.int64]], labels: NDArray[np.int32]) -> pd.DataFrame:
    """Share of right answers (N, T), a row per number of steps t = 1 … T, a column per network."""
    right = {name: (each == labels[:, None]).mean(axis=0) for name, each in answers.items()}
    return (
        pd.DataFrame(right).rename_axis("t").set_axis(pd.RangeIndex(1, len(next(iter(right.values()))) + 1, name="t"))
    )


def settles_at(curve: NDArray[np.float64], level: float) -> int | None:
    """The number of steps from which on a curve stays at `level` or above; None if it ends below."""
    below = np.flatnonzero(curve < level - 1e-9)
    step = int(below[-1]) + 2 if below.size else 1
    return step if step <= len(curve) else None


def write_curves(path: Path, curves: pd.DataFrame) -> None:
    """CSV: the number of steps t, then the accuracy of each network after them."""
    write_file(path, curves.to_csv(float_format="%.4f", lineterminator="\n").encode())


def plot_curves(path: Path, curves: pd.DataFrame, reference: float, title: str, subtitle: str) -> None:
    """Accuracy against t, and as a dashed line that of the ANN on the same images, the reference."""
    points = pd.concat(
        pd.DataFrame({"x": curve.index, "mean": 100 * curve}).assign(
            curve=f"SNN {name} {curve.iloc[-1]:.1%}", style=style
        )
        for (name, curve), style in zip(curves.items(), cycle(("-", ":")), strict=False)
    )
    level = (100 * reference, f"ANN {reference:.1%}")
    draw_curves(
        path, title, subtitle, points, "steps t", "accuracy, %", CurveOptions(level=level, limits=(0, 102), width=5.0)
    )


def milestones(timesteps: int) -> Sequence[int]:
    """A few numbers of steps to quote: 8, 16, 32, 64, … as far as they go, and the last."""
    return [*(1 << power for power in range(3, timesteps.bit_length()) if 1 << power < timesteps), timesteps]
