"""The bundled network for sounds: what it answers, on every backend alike, and that relevance finds what decides."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spikesam
from spikesam.pipeline.images.datasets.chirps import Chirps
from spikesam.pipeline.images.pictures import pictures_beside

SAMPLES = 12
ROOT = Path(__file__).parents[2]
DOCS, SCRIPT = ROOT / "docs", runpy.run_path(str(ROOT / "scripts" / "chirps.py"))


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> spikesam.RasterReader:
    out = tmp_path_factory.mktemp("chirps") / "run"
    return spikesam.simulate("chirps", samples=SAMPLES, backend="event", out=out)


def test_it_knows_sounds_it_has_never_heard(raster: spikesam.RasterReader) -> None:
    assert raster.header.dataset == "chirps/val" and raster.timesteps == 52
    assert (raster.predictions == raster.labels).sum() >= SAMPLES - 1


@pytest.mark.parametrize("precision", ["fixed", "float32"])
def test_its_spikes_are_the_same_on_every_backend(precision: str) -> None:
    backends = ("event", "torch", "lava")[: 3 if precision == "fixed" else 2]
    rasters = [spikesam.simulate("chirps", samples=1, backend=each, precision=precision) for each in backends]
    assert len({each.raster_digest for each in rasters}) == 1


def test_relevance_lies_on_the_chirp(raster: spikesam.RasterReader) -> None:
    decides = [SCRIPT["by_bin"](Chirps("val").deciding(int(index)), 52) for index in raster.samples.index]
    shares: dict[str, Any] = {"chance": np.mean(decides)}
    for method in ("relevance", "sam"):
        bands = spikesam.explain(raster, method=method, layers=["input"], steps="all")["input"]
        each = [bands[sample][:, :, 0] for sample in range(SAMPLES)]
        shares[method] = np.mean([band[where].sum() / band.sum() for band, where in zip(each, decides, strict=True)])
    assert shares["relevance"] > 0.75 > shares["sam"] > 0.5 > 0.1 > shares["chance"]


def test_pictures_of_sounds_are_read_again(raster: spikesam.RasterReader) -> None:
    seen = pictures_beside(raster)
    assert seen is not None and len(seen) == SAMPLES
    assert seen[0].picture is not None and seen[0].picture.shape == (64, 50, 3)
    assert seen[0].mask is not None and seen[0].mask.any(axis=1).tolist() == seen[0].mask.all(axis=1).tolist()


def test_the_page_has_the_values_of_all_trainings() -> None:
    values = pd.read_csv(DOCS / "results" / "chirps" / "recordings.csv.xz")
    assert (values.groupby(["training", "method"]).size() == 100).all() and values["training"].nunique() == 5
    assert "\n".join(SCRIPT["table_of"](values)) in (DOCS / "sounds.md").read_text()
    shares = values.groupby(["method", "training"])["share"].mean()
    assert shares["relevance"].min() >= 0.8 > shares["sam"].max() and values["right"].mean() >= 0.9
