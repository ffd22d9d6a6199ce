"""Do bands find the sound that decides? `python scripts/chirps.py OUT`: a folder; it goes on where it stopped.

Five networks are trained on chirps, by `configs/chirps.toml` with seeds 0 to 4. Of 100 unseen recordings each, it says
which share of what a band of the input holds lies in the channels and moments of the chirp, which alone decides the
class. Chance is the share of the recording that the chirp takes; the spikes themselves are the other rival. It leaves
`OUT/chirps.csv`, a row for each training, recording and method.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import spikesam
from spikesam.pipeline.config import CONFIGS, read_config
from spikesam.pipeline.images.datasets.chirps import FRAME_US, Chirps
from spikesam.pipeline.measures.statistics import mean_with_interval

TRAININGS, RECORDINGS, WINDOW_US = 5, 100, 8_000


def main(out: Path) -> None:
    """Train, record, explain and print."""
    rows, config = [], read_config(CONFIGS / "chirps.toml")
    for seed in range(TRAININGS):
        folder = out / f"seed-{seed}"
        finished = folder / "checkpoint.safetensors"
        if not finished.exists():
            seeded = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
            spikesam.train(seeded, folder, resume=(folder / "epochs" / "last.ckpt").exists())
        rows += measured(finished, seed)
        pd.DataFrame(rows).to_csv(out / "chirps.csv", index=False, float_format="%.4f")
    table = pd.DataFrame(rows)
    for method in table["method"].unique():
        by_training = table[table["method"] == method].groupby("training")["share"].mean()
        found = mean_with_interval(by_training)
        print(f"{method}: {found.mean:.3f} ({found.low:.3f} to {found.high:.3f}, {TRAININGS} trainings)")


def measured(checkpoint: Path, seed: int) -> list[dict[str, object]]:
    """The shares of every recording, and whether its class was found."""
    raster = spikesam.simulate(checkpoint, samples=RECORDINGS, backend="event")
    chirps, network = Chirps("val"), {"network": checkpoint}
    methods: dict[str, dict[str, Any]] = {"relevance": network, "variance-relevance": network, "sam": {}}
    rows: list[dict[str, object]] = []
    bands = {
        name: spikesam.explain(raster, method=name, layers=["input"], steps="all", **given)["input"]
        for name, given in methods.items()
    }
    for sample, index in enumerate(raster.samples.index):
        decides = by_bin(chirps.deciding(int(index)), raster.timesteps)
        seen: dict[str, NDArray[Any]] = {name: of_input[sample][:, :, 0] for name, of_input in bands.items()}
        seen |= {"spikes": raster["input"][sample].sum(axis=(1, 3)), "chance": np.ones(decides.shape)}
        right = bool(raster.predictions[sample] == raster.labels[sample])
        for name, band in seen.items():
            share = band[decides].sum() / band.sum()
            rows.append({"training": seed, "recording": int(index), "right": right, "method": name, "share": share})
    return rows


def by_bin(frames: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """(T, 64): a channel decides in a bin if it does in a frame of it."""
    found = np.zeros((steps, frames.shape[1]), np.bool_)
    for number, frame in enumerate(frames):
        if number * FRAME_US // WINDOW_US < steps:
            found[number * FRAME_US // WINDOW_US] |= frame
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
