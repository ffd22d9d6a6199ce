"""Do bands find the sound that decides? `python scripts/chirps.py OUT`: a folder; it goes on where
it stopped.

Five networks are trained on chirps, by `configs/chirps.toml` with seeds 0 to 4. Of 100 unseen
recordings each, it says which share of what a band of the input holds lies in the channels and
moments of the chirp, which alone decides the class. Chance is the share of the recording that the
chirp takes; the spikes themselves are the other rival.

And do its moments matter? All spikes of a step go, in the order of what the band sums to at each
step: the area under the probability of the answer over the share of spikes deleted, where a lower
one is better; by chance in random orders.

It leaves `OUT/recordings.csv.xz`, a row for each training, recording and method, and prints the
table of docs/sounds.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import spikesam
from paper.common.timing_measures import areas_of, cut
from paper.measures.inference import bootstrap_over_networks
from spikesam.pipeline.config import CONFIGS, read_config
from spikesam.pipeline.images.datasets.chirps import FRAME_US, Chirps
from spikesam.pipeline.maps.methods.perturbation import answers_of
from spikesam.pipeline.networks.recorded import recorded_network

TRAININGS, RECORDINGS, WINDOW_US = 5, 100, 8_000
PARTS, TIES = 10, 5  # of equal spikes; random orders of moments that are equal
METHODS = {
    "relevance": "relevance",
    "variance-relevance": "relevance of the variance",
    "sam": "SAM",
    "spikes": "spikes",
    "chance": "chance",
}


def main(out: Path) -> None:
    """Train, record, explain and print."""
    rows, config = [], read_config(CONFIGS / "chirps.toml")
    for seed in range(TRAININGS):
        folder = out / f"seed-{seed}"
        finished = folder / "checkpoint.safetensors"
        if not finished.exists():
            seeded = config.model_copy(
                update={"training": config.training.model_copy(update={"seed": seed})}
            )
            spikesam.train(seeded, folder, resume=(folder / "epochs" / "last.ckpt").exists())
        rows += measured(finished, seed)
        pd.DataFrame(rows).to_csv(out / "recordings.csv.xz", index=False, float_format="%.4f")
    print(*table_of(pd.read_csv(out / "recordings.csv.xz")), sep="\n")


def measured(checkpoint: Path, seed: int) -> list[dict[str, object]]:
    """Shares and areas of every recording, and whether its class was found."""
    raster = spikesam.simulate(checkpoint, samples=RECORDINGS, backend="event")
    chirps, network = Chirps("val"), {"network": checkpoint}
    methods: dict[str, dict[str, Any]] = {
        "relevance": network,
        "variance-relevance": network,
        "sam": {},
    }
    rows: list[dict[str, object]] = []
    answer = answers_of(recorded_network(raster, str(checkpoint)))
    bands = {
        name: spikesam.explain(raster, method=name, layers=["input"], steps="all", **given)["input"]
        for name, given in methods.items()
    }
    for sample, index in enumerate(raster.samples.index):
        decides, spikes = (
            by_bin(chirps.deciding(int(index)), raster.timesteps),
            raster["input"][sample],
        )
        seen: dict[str, NDArray[Any]] = {
            name: of_input[sample][:, :, 0] for name, of_input in bands.items()
        }
        seen |= {"spikes": spikes.sum(axis=(1, 3)), "chance": np.ones(decides.shape)}
        right = bool(raster.predictions[sample] == raster.labels[sample])
        for name, band in seen.items():
            moments, counts = (
                band.sum(axis=1)[:, None, None],
                spikes.sum(axis=(1, 2, 3))[:, None, None],
            )
            cuts = [cut(moments, counts, PARTS, tie) for tie in range(TIES)]
            share, area = (
                band[decides].sum() / band.sum(),
                np.mean(areas_of(answer, spikes, counts, cuts)),
            )
            rows.append({"training": seed, "recording": int(index), "right": right, "method": name})
            rows[-1] |= {"share": share, "area": area}
    return rows


def by_bin(frames: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """(T, 64): a channel decides in a bin if it does in a frame of it."""
    found = np.zeros((steps, frames.shape[1]), np.bool_)
    for number, frame in enumerate(frames):
        if number * FRAME_US // WINDOW_US < steps:
            found[number * FRAME_US // WINDOW_US] |= frame
    return found


def table_of(values: pd.DataFrame) -> list[str]:
    """The table of docs/sounds.md: means, with intervals over trainings and recordings."""
    right = values.groupby("training")["right"].mean()
    lines = [f"Right: {right.mean():.1%} of {values['recording'].nunique()} unseen recordings.", ""]
    lines += [
        "| band of the input | inside the chirp | area, deleting moments |",
        "| --- | --- | --- |",
    ]
    for method, called in METHODS.items():
        of_method = values[values["method"] == method]
        share, area = (
            bootstrap_over_networks(
                of_method.pivot(index="training", columns="recording", values=column)
            )
            for column in ("share", "area")
        )
        cells = [f"{each.mean:.3f} ({each.low:.3f} … {each.high:.3f})" for each in (share, area)]
        lines.append(f"| {called} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1]))
