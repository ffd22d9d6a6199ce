"""Bundled networks of events, tokens and sounds: what they answer, on every backend alike, and
where their maps lie.
"""

import runpy
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import spikesam
from spikesam.pipeline import run
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.chirps import Chirps
from spikesam.pipeline.images.datasets.saccade_digits import saccades
from spikesam.pipeline.images.pictures import pictures_beside

ROOT = Path(__file__).parents[2]
DOCS, SCRIPT = ROOT / "docs", runpy.run_path(str(ROOT / "scripts" / "chirps.py"))
SAMPLES = 20
Recorded = Callable[..., spikesam.RasterReader]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Runs of bundled networks on samples that they were not trained on, each simulated once."""

    @lru_cache
    def simulated(name: str, precision: str = "fixed") -> spikesam.RasterReader:
        out = tmp_path_factory.mktemp(name) / "run"
        return spikesam.simulate(
            name, samples=SAMPLES, backend="event", precision=precision, out=out
        )

    return simulated


@pytest.mark.parametrize(
    ("name", "precision", "timesteps", "right"),
    [
        ("saccade-digits", "fixed", 34, 0.9),
        ("saccade-digits", "float32", 34, 0.9),
        ("spikformer-digits", "fixed", 20, 0.85),
        ("chirps", "fixed", 52, 0.91),
    ],
)
def test_it_knows_what_it_has_never_seen(
    name: str, precision: str, timesteps: int, right: float, recorded: Recorded
) -> None:
    raster = recorded(name, precision)
    assert raster.timesteps == timesteps and raster.header.dataset.endswith("/val")
    assert (raster.predictions == raster.labels).mean() >= right


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("saccade-digits", "fixed"),
        ("spikformer-digits", "fixed"),
        ("chirps", "fixed"),
        ("chirps", "float32"),
    ],
)
def test_its_spikes_are_the_same_on_every_backend(name: str, precision: str) -> None:
    backends = ("event", "torch", "lava")[: 3 if precision == "fixed" else 2]
    rasters = [
        spikesam.simulate(name, samples=1, backend=each, precision=precision) for each in backends
    ]
    assert len({each.raster_digest for each in rasters}) == 1


def centres(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T, H, W) -> (T, 2) x and y of the centre of every step's map, in pixels of the sensor."""
    cell = 32 / maps.shape[1]
    place = (np.arange(maps.shape[1]) + 0.5) * cell
    total = maps.sum(axis=(1, 2))
    return np.stack([maps.sum(axis=axis) @ place / total for axis in (1, 2)], axis=1)


def test_maps_follow_the_digit(recorded: Recorded, tmp_path: Path) -> None:
    maps = spikesam.explain(recorded("saccade-digits"), out=tmp_path / "sam.h5", steps="all")
    way, times = saccades()
    bins = np.array([way[times // 10_000 == number].mean(axis=0) for number in range(30)])[3:]
    wanted = bins - bins.mean(axis=0)
    for depth, name in enumerate(maps):
        found = np.array(
            [centres(maps[name][sample][depth : depth + 30])[3:] for sample in range(SAMPLES)]
        )
        found -= found.mean(axis=1, keepdims=True)
        norms = np.sqrt((found**2).sum(axis=(1, 2)) * (wanted**2).sum())
        assert ((found * wanted).sum(axis=(1, 2)) / norms).mean() > 0.9, name


def test_a_run_of_events_says_what_it_merged_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", "saccade-digits", "--backend", "event", "--samples", "3"]
    run.main([*words, "--out", str(tmp_path / "run")])
    assert "merged (same pixel, polarity and bin)" in capsys.readouterr().out
    for name in ("overview", "sam_000", "spike_rates", "raster_conv3"):
        assert (tmp_path / "run" / "figures" / f"{name}.png").stat().st_size > 0


def test_a_real_recording_of_another_camera(shared: Path) -> None:
    """N-MNIST's camera and handwriting are others, so the network runs, but its answer is not
    checked.
    """
    one = spikesam.simulate(
        "saccade-digits", shared / "data" / "events" / "nmnist.bin", backend="event"
    )
    assert one["input"].counts.sum() > 2000
    assert one["conv3"].counts.sum() > 0


def test_tokens_attend_to_the_digit(recorded: Recorded, tmp_path: Path) -> None:
    raster = recorded("spikformer-digits")
    scenes = [open_dataset("cluttered-digits", "val")[int(index)] for index in raster.samples.index]
    places = np.arange(8) * 10 + 5  # of the tokens' centres, in pixels of an 80×80 scene
    inside = np.array(
        [
            np.outer(*((places > low) & (places < high) for low, high in boxes(each.box)))
            for each in scenes
        ]
    )
    for token in (None, (0, 0), (7, 7)):
        attended = spikesam.attention_map(
            raster, query="block1_q", key="block1_k", heads=4, token=token
        )
        assert (attended * inside).sum() / attended.sum() > 2 * inside.mean(), token
    maps = spikesam.explain(raster, out=tmp_path / "attention.h5", method="attention")
    assert list(maps) == ["block1_k", "block2_k"]
    assert (
        (maps["block1_k"].sum[:] * inside).sum() / maps["block1_k"].sum[:].sum()
    ) > 2 * inside.mean()


def boxes(box: tuple[float, ...] | None) -> tuple[tuple[float, float], tuple[float, float]]:
    """Rows and columns that a digit's box spans."""
    assert box is not None
    left, top, right, bottom = box
    return (top, bottom), (left, right)


def test_relevance_lies_on_the_chirp(recorded: Recorded, tmp_path: Path) -> None:
    raster = recorded("chirps")
    decides = [
        SCRIPT["by_bin"](Chirps("val").deciding(int(index)), 52) for index in raster.samples.index
    ]
    shares: dict[str, Any] = {"chance": np.mean(decides)}
    for method in ("relevance", "sam"):
        options = {"method": method, "layers": ["input"], "steps": "all"}
        bands = spikesam.explain(raster, out=tmp_path / f"{method}.h5", **options)["input"]
        each = [bands[sample][:, :, 0] for sample in range(SAMPLES)]
        shares[method] = np.mean(
            [band[where].sum() / band.sum() for band, where in zip(each, decides, strict=True)]
        )
    assert shares["relevance"] > 0.75 > shares["sam"] > 0.5 > 0.1 > shares["chance"]


def test_pictures_of_sounds_are_read_again(recorded: Recorded) -> None:
    seen = pictures_beside(recorded("chirps"))
    assert seen is not None and len(seen) == SAMPLES
    assert seen[0].picture is not None and seen[0].picture.shape == (64, 50, 3)
    assert (
        seen[0].mask is not None
        and seen[0].mask.any(axis=1).tolist() == seen[0].mask.all(axis=1).tolist()
    )


def test_the_page_has_the_values_of_all_trainings() -> None:
    values = pd.read_csv(DOCS / "results" / "chirps" / "recordings.csv.xz")
    assert (values.groupby(["training", "method"]).size() == 100).all() and values[
        "training"
    ].nunique() == 5
    assert "\n".join(SCRIPT["table_of"](values)) in (DOCS / "sounds.md").read_text()
    shares = values.groupby(["method", "training"])["share"].mean()
    assert shares["relevance"].min() >= 0.8 > shares["sam"].max() and values["right"].mean() >= 0.9
