"""The bundled Spikformer: what it answers, on every backend alike, and that its tokens attend to the digit."""

from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.pipeline.images.datasets import open_dataset

SAMPLES = 20


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> spikesam.RasterReader:
    out = tmp_path_factory.mktemp("spikformer") / "run"
    return spikesam.simulate("spikformer-digits", samples=SAMPLES, backend="event", out=out)


def test_it_knows_digits_it_has_never_seen(raster: spikesam.RasterReader) -> None:
    assert (raster.predictions == raster.labels).mean() >= 0.85


def test_its_spikes_are_the_same_on_every_backend() -> None:
    digests = {
        spikesam.simulate("spikformer-digits", samples=1, backend=backend).raster_digest
        for backend in ("event", "torch", "lava")
    }
    assert len(digests) == 1


def test_tokens_attend_to_the_digit(raster: spikesam.RasterReader, tmp_path: Path) -> None:
    scenes = [open_dataset("cluttered-digits", "val")[int(index)] for index in raster.samples.index]
    places = np.arange(8) * 10 + 5  # of the tokens' centres, in pixels of an 80×80 scene
    inside = np.array(
        [np.outer(*((places > low) & (places < high) for low, high in boxes(each.box))) for each in scenes]
    )
    for token in (None, (0, 0), (7, 7)):
        attended = spikesam.attention_map(raster, query="block1_q", key="block1_k", heads=4, token=token)
        assert (attended * inside).sum() / attended.sum() > 2 * inside.mean(), token
    maps = spikesam.explain(raster, tmp_path / "attention.h5", method="attention")
    assert list(maps) == ["block1_k", "block2_k"]
    assert ((maps["block1_k"].sum[:] * inside).sum() / maps["block1_k"].sum[:].sum()) > 2 * inside.mean()


def boxes(box: tuple[float, ...] | None) -> tuple[tuple[float, float], tuple[float, float]]:
    """Rows and columns that a digit's box spans."""
    assert box is not None
    left, top, right, bottom = box
    return (top, bottom), (left, right)
